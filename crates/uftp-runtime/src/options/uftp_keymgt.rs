//! The command line of `uftp_keymgt` (cli §5).

use std::path::PathBuf;

use clap::Parser;

use super::Program;

/// Make and show the private keys of UFTP programs.
///
/// Without -g, prints what kind of key is in each file, and its fingerprint, to standard error.
#[derive(Parser, Clone, PartialEq, Debug)]
#[command(name = "uftp_keymgt", version, max_term_width = 100)]
pub struct Args {
    /// Key files
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Make a key, rsa:BITS (512 to 8192 in steps of 32) or ec:CURVE, and store it in FILE, which
    /// must not exist; only its owner can read it
    #[arg(short = 'g', long, value_name = "KIND:SIZE")]
    pub generate: Option<String>,

    /// Delete a key from the system's key store; Windows only
    #[arg(short = 'd', long)]
    pub delete: bool,

    /// Use the machine's key store instead of the user's; Windows only
    #[arg(short = 'm')]
    pub machine: bool,

    /// Also print each public key to standard output, as PEM
    #[arg(long)]
    pub public: bool,

    /// Also print a JSON object for each key to standard output, one a line
    #[arg(long, conflicts_with = "public")]
    pub json: bool,
}

impl Program for Args {
    const OPERANDS: &'static str = "FILE... ";
}
