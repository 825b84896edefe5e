//! Carries UFTP sessions between networks, and gathers the answers of receivers.

use std::process::ExitCode;

fn main() -> ExitCode {
    uftp_runtime::proxy::main(std::env::args_os()).into()
}
