//! `uftp_keymgt`: makes and shows the private keys of UFTP programs.

use std::process::ExitCode;

fn main() -> ExitCode {
    uftp_runtime::keymgt::main(
        std::env::args_os(),
        &mut std::io::stdout(),
        &mut std::io::stderr(),
    )
    .into()
}
