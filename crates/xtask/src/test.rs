//! `cargo xtask test`: everything, on a machine that may be new.

use std::process::ExitCode;

use uftp_tests::{Result, reference_dir};

use crate::{
    options::Options,
    packages::{Need, install_missing, update_lists},
    programs::cargo,
};

/// Runs all tests of the workspace, those in network namespaces and with the reference included.
pub(crate) fn test(options: &mut Options) -> Result<ExitCode> {
    install_missing(Need::Tests)?;
    // Fetched before any test waits for it; a machine that was never updated has no lists to fetch it by.
    let reference = reference_dir().or_else(|_| {
        update_lists();
        reference_dir()
    })?;
    println!("reference programs: {}", reference.display());
    // Built here, so that no test has to wait for it.
    cargo(&["build", "--workspace", "--locked", "--bins"])?;
    let more = options.rest();
    let mut args = vec!["test", "--workspace", "--locked", "--no-fail-fast"];
    args.extend(more.iter().map(String::as_str));
    cargo(&args)?;
    println!("all tests passed");
    Ok(ExitCode::SUCCESS)
}
