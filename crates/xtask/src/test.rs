//! `cargo xtask test`: everything, on a machine that may be new.

use std::process::ExitCode;

use nix::{
    sys::stat::{Mode, umask},
    unistd::geteuid,
};
use uftp_tests::{Failure, Result, World, reference_dir};

use crate::{
    options::Options,
    packages::{Need, install_missing, update_lists},
    programs::{build, cargo_lines, host_tuple},
    rights::{give_back, need_root, words_of_sudo},
    room::{Runs, roomy},
};

/// Bytes that the tests have in files at one time, at most.
const ROOM: u64 = 1_000_000_000;

/// Runs all tests of the workspace, those in network namespaces and with the reference included: as root,
/// but what is built belongs to the user.
pub(crate) fn test(options: &mut Options) -> Result<ExitCode> {
    need_root("test").map_err(|failure| {
        Failure::new(format!(
            "{failure}. Without root there are: cargo test -p uftp-proto -p uftp-session -p uftp-sim"
        ))
    })?;
    install_missing(Need::Tests)?;
    try_a_world()?;
    let files = roomy(ROOM, Runs::Scripts)?;
    println!("files of the tests: {}", files.display());
    // Fetched before any test waits for it; a machine that was never updated has no lists to fetch it by.
    let reference = reference_dir().or_else(|_| {
        update_lists();
        reference_dir()
    })?;
    println!("reference programs: {}", reference.display());
    // Built here, so that no test has to wait for it.
    build(false)?;
    // Tests expect the rights that files have by it.
    umask(Mode::from_bits_truncate(0o022));
    let more = options.rest();
    let mut args = vec!["test", "--workspace", "--locked", "--no-fail-fast"];
    let by_root;
    if !geteuid().is_root() {
        by_root = format!(
            "target.{}.runner={:?}",
            host_tuple()?,
            words_of_sudo(&files)
        );
        args.extend(["--config", &by_root]);
    }
    args.extend(more.iter().map(String::as_str));
    let mut tally = Tally::default();
    let ended = cargo_lines(&args, &[("TMPDIR", files.as_os_str())], |line| {
        tally.add(line);
    });
    if !geteuid().is_root() {
        give_back()?;
    }
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    ended.map(|()| ExitCode::SUCCESS)
}

/// Ends early, and with one reason, where every test would end with it.
fn try_a_world() -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    World::new("trial", 2).map(drop).map_err(|failure| {
        Failure::new(format!(
            "the tests make network namespaces and connect them, which this machine does not let root do \
             (in a container it takes --privileged): {failure}"
        ))
    })
}

/// Tests of all test programs together.
#[derive(Default, PartialEq, Debug)]
struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    /// Adds what a test program's last line says, if `line` is one:
    /// `test result: ok. 12 passed; 0 failed; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let (_, counts) = result.split_once(". ").unwrap_or_default();
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((n, "passed")) => self.passed += n.parse().unwrap_or(0),
                Some((n, "failed")) => self.failed += n.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_test_programs_add_up() {
        let mut tally = Tally::default();
        for line in [
            "running 2 tests",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; finished in 0.1s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; finished in 0.1s",
        ] {
            tally.add(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 15,
                failed: 2
            }
        );
    }
}
