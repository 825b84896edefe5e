//! Proxies in the background, and those that never get there.

use std::time::Duration;

use uftp_tests::{Failure, Program, Result, Suite, World};

/// Runs `uftpproxyd` with these words until the process that was started ends.
pub(crate) fn ends(world: &World, line: &[&str], code: i32, says: &str) -> Result<()> {
    let mut command = world.command(1, &Suite::Ours.program("uftpproxyd")?);
    command.args(line);
    let mut program = Program::start("uftpproxyd", command, &world.log_path("started"))?;
    let exit = program.wait(Duration::from_secs(30))?;
    let output = program.output();
    match exit.code == Some(code) && output.contains(says) {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "uftpproxyd {line:?} should end with {code} and say {says:?}: {exit:?} {output}"
        ))),
    }
}
