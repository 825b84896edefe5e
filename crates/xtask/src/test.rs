//! `cargo xtask test`: everything, on a machine that may be new.

use std::process::ExitCode;

use nix::unistd::geteuid;
use uftp_tests::{Failure, Result, reference_dir};

use crate::{
    options::Options,
    packages::{Need, install_missing, update_lists},
    programs::{build, cargo_lines},
};

/// Runs all tests of the workspace, those in network namespaces and with the reference included.
pub(crate) fn test(options: &mut Options) -> Result<ExitCode> {
    install_missing(Need::Build)?;
    if !geteuid().is_root() {
        return Err(Failure::new(
            "the tests make network namespaces, which takes root: sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask test. \
             Without root there are: cargo test -p uftp-proto -p uftp-session -p uftp-sim",
        ));
    }
    install_missing(Need::Tests)?;
    // Fetched before any test waits for it; a machine that was never updated has no lists to fetch it by.
    let reference = reference_dir().or_else(|_| {
        update_lists();
        reference_dir()
    })?;
    println!("reference programs: {}", reference.display());
    // Built here, so that no test has to wait for it.
    build(false)?;
    let more = options.rest();
    let mut args = vec!["test", "--workspace", "--locked", "--no-fail-fast"];
    args.extend(more.iter().map(String::as_str));
    let mut tally = Tally::default();
    let ended = cargo_lines(&args, &[], |line| tally.add(line));
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    ended.map(|()| ExitCode::SUCCESS)
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
