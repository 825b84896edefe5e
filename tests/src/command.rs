//! Commands that run to their end: helpers like `ip`, `nft`, `apt-get` and `cargo`, and programs under test.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Failure, Program, Result};

/// A command that is also looked for where Debian has what is for root alone: `su` leaves root with the
/// user's own `PATH`, without these.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", with_sbin(&env::var_os("PATH").unwrap_or_default()));
    command
}

/// `path` with the directories of root's programs at its end.
fn with_sbin(path: &OsStr) -> OsString {
    let mut path = path.to_owned();
    for dir in ["/usr/local/sbin", "/usr/sbin", "/sbin"] {
        if !env::split_paths(&path).any(|has| has == Path::new(dir)) {
            path.push(if path.is_empty() { "" } else { ":" });
            path.push(dir);
        }
    }
    path
}

/// Takes from the environment of a program of ours what would set its options (`UFTP_RATE`).
pub fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"UFTP_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `program` with `args`, giving it `input` on standard input, and returns its standard output.
///
/// # Errors
/// When it cannot be started (with the package to install, where known) or ends with anything but 0
/// (with all it wrote to standard error).
pub fn run(program: &str, args: &[&str], input: &str) -> Result<String> {
    let told = format!("{program} {}", args.join(" "));
    let mut child = command(program)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_root_are_found_by_any_path() {
        let given = |path: &str| with_sbin(OsStr::new(path)).into_string().unwrap();
        let bare = "/usr/local/bin:/usr/bin:/bin";
        let all = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
        assert_eq!(given(bare), all);
        assert_eq!(given(all), all);
        assert_eq!(given(""), "/usr/local/sbin:/usr/sbin:/sbin");
    }
}
