//! Sends files to many receivers at once over UDP multicast.

use std::process::ExitCode;

fn main() -> ExitCode {
    uftp_runtime::send::main(std::env::args_os()).into()
}
