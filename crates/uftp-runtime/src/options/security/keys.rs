//! The keys of a daemon (cli §3.1).

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use uftp_proto::crypto::{BadKeySpec, KeySpec, PrivateKey};

use crate::exit::Failure;
use crate::keys;
use crate::options::values;

/// Options about the keys of a daemon.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Encryption")]
pub(crate) struct KeyArgs {
    /// Files with our private keys, comma separated; with -K they are made and stored there
    #[arg(short = 'k', long, value_name = "FILES", action = clap::ArgAction::Append)]
    pub key_file: Vec<OsString>,

    /// Make new keys, comma separated: rsa:BITS or ec:CURVE. Without -k and -K, keys are made as
    /// senders need them
    #[arg(short = 'K', long, value_name = "KEYS", action = clap::ArgAction::Append,
          value_delimiter = ',')]
    pub new_key: Vec<String>,

    /// Keys are in the machine's key store; Windows only
    #[arg(short = 'm', long, hide = true)]
    pub system_keys: bool,
}

impl KeyArgs {
    /// The keys, read or made.
    ///
    /// # Errors
    /// A key that cannot be had, or files and keys that do not pair.
    pub(crate) fn validate(&self) -> Result<Vec<Arc<PrivateKey>>, Failure> {
        let files: Vec<&Path> = values::paths(&self.key_file).collect();
        let specs: Vec<KeySpec> = self
            .new_key
            .iter()
            .filter(|spec| !spec.is_empty())
            .map(|spec| {
                spec.parse().map_err(|why| {
                    let phrase = match why {
                        BadKeySpec::Form(_) => "Invalid keyinfo entry",
                        BadKeySpec::Size(_) => "Invalid RSA key size",
                        BadKeySpec::Curve(_) => "Invalid EC curve",
                    };
                    Failure::command_line(format!("{phrase}: {why}")).about("-K")
                })
            })
            .collect::<Result<_, _>>()?;
        if specs.is_empty() {
            return files.into_iter().map(keys::read).collect();
        }
        if !files.is_empty() && files.len() != specs.len() {
            return Err(Failure::command_line(format!(
                "{} keys are to be made (option -K) but {} files are named for them (option -k): \
                 expected as many",
                specs.len(),
                files.len()
            )));
        }
        let path = |at: usize| files.get(at).copied();
        let made = specs.iter().enumerate();
        made.map(|(at, spec)| keys::make(*spec, path(at))).collect()
    }
}
