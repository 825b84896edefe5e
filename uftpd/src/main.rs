//! Receives files that `uftp` sends over UDP multicast.

use std::process::ExitCode;

fn main() -> ExitCode {
    uftp_runtime::receive::main(std::env::args_os()).into()
}
