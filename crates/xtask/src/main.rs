//! Tasks of this workspace, run as `cargo xtask TASK`.

mod bench;
mod demo;
mod dist;
mod fuzz;
mod options;
mod packages;
mod programs;
mod rights;
mod room;
mod test;

use std::{env, process::ExitCode};

use uftp_tests::{Failure, Result};

use crate::options::Options;

const USAGE: &str = "\
usage: cargo xtask TASK

  demo [FILE]       build the programs and send FILE, or 100 MB made up for the occasion,
                    from uftp to uftpd on this machine, and compare
  test [ARG...]     run all tests; ARGs go to `cargo test`
  bench [OPTION...] measure our programs and the reference's in turn:
      --size MB         size of the file in 10^6 bytes (400)
      --rounds N        times each suite runs (3)
      --receivers N     receivers, each on its own host (1)
      --loss PERCENT    datagrams each receiver loses (0)
      --rate KBPS       sending rate, -1 is as fast as possible (-1)
      --block-size N    bytes of file in a datagram (1300); above 1400
                        the links carry jumbo frames
      --cipher NAME     encrypt with this cipher, by its name for uftp -Y (none)
      --tunnel          through a server proxy and a client proxy, a routed hop between them
      --files N         files (1)
      --file-size BYTES size of each, instead of --size
      --sparse          the files are holes from end to end
      --suites LIST     who is measured: ours, reference, or SENDER:RECEIVER (reference,ours)
      --dir DIR         where the files go (/dev/shm)
      --table           instead all cases for which a floor is set, and whether each is met
      --only TEXT       of these the cases whose names contain TEXT
  fuzz TARGET [SECONDS | FILE...]
                    have libFuzzer look for a minute (or SECONDS) for bytes that break a law, or try
                    those of FILEs; TARGET is packet, key, session or encrypted
  dist              make target/dist: a tree to install, with man pages and completions, and a
                    Debian package of it
  try-package       make that package and install it in a throw-away root (an overlay in memory)
                    in the place of Debian's and alone; use, upgrade, remove and purge it there
  try-units         make the tree and have its units run by a systemd of their own

demo, test, bench, fuzz and dist install the system packages they miss, by apt-get, without asking.
test, bench, try-package and try-units run as root, or by a sudo that asks for no password.
";

fn main() -> ExitCode {
    match run_task(&mut Options::new(env::args().skip(1))) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run_task(options: &mut Options) -> Result<ExitCode> {
    let task = options.next();
    match task.as_deref() {
        Some("help" | "--help" | "-h") => Ok(help()),
        // The options of `test` are those of `cargo test`.
        Some(other) if other != "test" && options.ask_for_help() => Ok(help()),
        Some("demo") => demo::demo(options),
        Some("test") => test::test(options),
        Some("fuzz") => fuzz::fuzz(options),
        Some("bench") => bench::bench(options),
        Some("dist") => dist::dist(options),
        Some("try-package") => dist::try_package(options),
        Some("try-units") => dist::try_units(options),
        Some(other) => Err(Failure::new(format!(
            "there is no task {other:?}\n\n{USAGE}"
        ))),
        None => Err(Failure::new(format!("which task?\n\n{USAGE}"))),
    }
}

fn help() -> ExitCode {
    print!("{USAGE}");
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_is_asked_for_help_does_nothing_else() {
        for task in ["bench --table --help", "demo -h", "nonsense --help", "help"] {
            let words = task.split(' ').map(str::to_owned);
            let code = run_task(&mut Options::new(words)).unwrap();
            assert_eq!(code, ExitCode::SUCCESS, "{task}");
        }
    }

    #[test]
    fn help_names_what_can_be_fuzzed() {
        for name in fuzz::names() {
            assert!(USAGE.contains(name), "{name}");
        }
    }
}
