//! Calls of cargo, with its output shown.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use uftp_tests::{Failure, Result};

/// Builds our programs in release and returns the directory they are in.
///
/// # Errors
/// When the build fails; cargo has then said why.
pub(crate) fn build_release() -> Result<PathBuf> {
    cargo(&[
        "build",
        "--release",
        "--locked",
        "-p",
        "uftp",
        "-p",
        "uftpd",
    ])?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(root().join(target).join("release"))
}

/// Runs cargo in the workspace.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn cargo(args: &[&str]) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = format!("cargo {}", args.join(" "));
    println!("$ {told}");
    let status = Command::new(cargo)
        .args(args)
        .current_dir(root())
        .status()
        .map_err(|error| Failure::io(format!("cannot start `{told}`"), error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{told}` failed ({status})")))
    }
}

/// The workspace's root directory.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}
