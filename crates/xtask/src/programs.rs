//! Calls of cargo, with its output shown.

use std::{
    env,
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
};

use uftp_tests::{Failure, Result, building, programs_dir};

/// Builds our programs and returns the directory they are in.
///
/// # Errors
/// When the build fails; cargo has then said why.
pub(crate) fn build(release: bool) -> Result<PathBuf> {
    let args = building(release);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut messages = String::new();
    run_cargo(&args, &[], Stdio::piped(), |mut output| {
        output.read_to_string(&mut messages).map(drop)
    })?;
    programs_dir(&messages)
}

/// The name of what this machine is, as the compiler has it.
///
/// # Errors
/// When the compiler does not say.
pub(crate) fn host_tuple() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc)
        .args(["--print", "host-tuple"])
        .output()
        .map_err(|error| Failure::io("cannot start rustc", error))?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// Runs cargo in the workspace.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn cargo(args: &[&str]) -> Result<()> {
    cargo_with(args, &[])
}

/// As [`cargo`], with more in its environment.
///
/// # Errors
/// As [`cargo`].
pub(crate) fn cargo_with(args: &[&str], environment: &[(&str, &OsStr)]) -> Result<()> {
    run_cargo(args, environment, Stdio::inherit(), |_| Ok(()))
}

/// As [`cargo_with`], with each line of its standard output shown and handed to `line`.
///
/// # Errors
/// As [`cargo`].
pub(crate) fn cargo_lines(
    args: &[&str],
    environment: &[(&str, &OsStr)],
    mut line: impl FnMut(&str),
) -> Result<()> {
    run_cargo(args, environment, Stdio::piped(), |output| {
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
    environment: &[(&str, &OsStr)],
    stdout: Stdio,
    read: impl FnOnce(ChildStdout) -> io::Result<()>,
) -> Result<()> {
    let told = format!("cargo {}", args.join(" "));
    println!("$ {told}");
    let mut child = uftp_tests::cargo()
        .args(args)
        .envs(environment.iter().copied())
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
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}
