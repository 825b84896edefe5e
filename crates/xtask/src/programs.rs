//! Calls of cargo, with its output shown.

use std::{
    env,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
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
        "-p",
        "uftpproxyd",
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
    run_cargo(args, Stdio::inherit(), |_| Ok(()))
}

/// As [`cargo`], with each line of its standard output shown and handed to `line`.
///
/// # Errors
/// As [`cargo`].
pub(crate) fn cargo_lines(args: &[&str], mut line: impl FnMut(&str)) -> Result<()> {
    run_cargo(args, Stdio::piped(), |output| {
        for text in BufReader::new(output).lines() {
            let text = text?;
            println!("{text}");
            line(&text);
        }
        Ok(())
    })
}

fn run_cargo(
    args: &[&str],
    stdout: Stdio,
    read: impl FnOnce(ChildStdout) -> io::Result<()>,
) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = format!("cargo {}", args.join(" "));
    println!("$ {told}");
    let mut child = Command::new(cargo)
        .args(args)
        .current_dir(root())
        .stdout(stdout)
        .spawn()
        .map_err(|error| Failure::io(format!("cannot start `{told}`"), error))?;
    let read = child.stdout.take().map_or(Ok(()), read);
    let status = child
        .wait()
        .map_err(|error| Failure::io(format!("cannot wait for `{told}`"), error))?;
    read.map_err(|error| Failure::io(format!("cannot read what `{told}` says"), error))?;
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
