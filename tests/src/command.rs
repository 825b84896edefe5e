//! Commands that run to their end: helpers like `ip`, `nft`, `apt-get` and `cargo`, and programs under test.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Failure, Program, Result};

/// Runs `program` with `args`, giving it `input` on standard input, and returns its standard output.
///
/// # Errors
/// When it cannot be started (with the package to install, where known) or ends with anything but 0
/// (with all it wrote to standard error).
pub fn run(program: &str, args: &[&str], input: &str) -> Result<String> {
    let told = format!("{program} {}", args.join(" "));
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            Failure::new(format!("cannot start `{told}`: {error}{}", hint(program)))
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends without reading tells more by its exit code than this error would.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| Failure::io(format!("waiting for `{told}`"), error))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "`{told}` failed ({}): {}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim(),
            if input.is_empty() {
                String::new()
            } else {
                format!("\nits input was:\n{input}")
            },
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How a program ended, and what it said where.
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it said on standard output.
    pub out: String,
    /// What it said on standard error.
    pub err: String,
}

/// Runs `command`, called `name` in messages, to its end with nothing to read. What it says passes through
/// the files `out` and `err` in `dir`, so that nobody waits for what it left in the background.
///
/// # Errors
/// When it cannot be started, or goes on for longer than `within`: then it is killed.
pub fn run_apart(name: &str, mut command: Command, dir: &Path, within: Duration) -> Result<Ended> {
    let (out, err) = (dir.join("out"), dir.join("err"));
    command.stdin(Stdio::null());
    command
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?);
    let mut running = Program::start_as_is(name, command, &err)?;
    let said = |path: &Path| -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
    };
    match running.wait(within) {
        Ok(exit) => Ok(Ended {
            code: exit.code,
            out: said(&out)?,
            err: said(&err)?,
        }),
        Err(failure) => Err(Failure::new(format!("{failure}:\n{}", said(&err)?))),
    }
}

fn hint(program: &str) -> &'static str {
    match program {
        "ip" => " (install the package iproute2)",
        "nft" => " (install the package nftables)",
        _ => "",
    }
}
