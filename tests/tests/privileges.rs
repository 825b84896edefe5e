//! `--user` where there is something left of other rights, whoever laid it aside.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::User};
use uftp_tests::{Failure, Program, Result, Suite, World, runs_as, wait_until_bound};

const BOUND: Duration = Duration::from_secs(60);

struct Stage {
    world: World,
    user: User,
}

impl Stage {
    fn new(label: &str) -> Result<Self> {
        let user = User::from_name("nobody").map_err(std::io::Error::from)?;
        Ok(Self {
            world: World::new(label, 1)?,
            user: user.ok_or_else(|| Failure::new("there is no user nobody"))?,
        })
    }

    /// Starts a receiver that is to become nobody and has these rights, in words of `setpriv` in
    /// which `U` and `G` stand for nobody and its group.
    fn start(&self, rights: &str) -> Result<Program> {
        let dest = self.world.make_dir("dest")?;
        let (uid, gid) = (self.user.uid.to_string(), self.user.gid.to_string());
        fs::set_permissions(&dest, Permissions::from_mode(0o777))?;
        let mut command = self.world.command(0, Path::new("setpriv"));
        let words = rights.split(' ');
        command.args(words.map(|word| word.replace('U', &uid).replace('G', &gid)));
        command.arg(Suite::Ours.program("uftpd")?);
        command.args(["-d", "-q", "-I", "eth0", "--user", "nobody", "-D"]);
        command.arg(dest);
        Program::start("uftpd", command, &self.world.log_path("uftpd"))
    }
}

/// Real, effective and saved ids and groups: none is left of another's.
#[test]
fn rights_that_were_laid_aside_are_given_up() -> Result<()> {
    let stage = Stage::new("aside")?;
    for rights in [
        "--ruid 0 --euid U --regid G --clear-groups",
        "--ruid 0 --euid U --regid G --groups 0,4",
        "--reuid U --rgid 0 --egid G --clear-groups",
        "--ruid U --euid 0 --regid G --groups 0",
        "--reuid 0 --regid 0 --keep-groups",
        // Nothing is left already.
        "--reuid U --regid G --clear-groups",
        "--reuid U --regid G --init-groups",
    ] {
        let mut receiver = stage.start(rights)?;
        wait_until_bound(&mut receiver, "uftpd", 1044)?;
        receiver.says("Listening for")?;
        let well = runs_as(receiver.pid(), &stage.user);
        well.map_err(|failure| Failure::new(format!("{rights}: {failure}")))?;
        receiver.signal(Signal::SIGTERM);
        assert_eq!(receiver.wait(BOUND)?.code, Some(6), "{rights}");
    }
    Ok(())
}

/// What cannot be given up is told.
#[test]
fn rights_that_cannot_be_given_up_are_refused() -> Result<()> {
    let stage = Stage::new("kept")?;
    for (rights, words) in [
        (
            "--reuid U --regid G --groups 0",
            "can't give up groups that are not of nobody: that takes the privileges of root",
        ),
        (
            "--reuid U --regid 0 --clear-groups",
            "can't become nobody: that takes the privileges of root",
        ),
        (
            "--reuid 1 --regid G --clear-groups",
            "can't become nobody: that takes the privileges of root",
        ),
    ] {
        let mut receiver = stage.start(rights)?;
        assert_eq!(receiver.wait(BOUND)?.code, Some(1), "{rights}");
        let said = receiver.output();
        assert!(said.contains(words), "{rights}: {said}");
    }
    Ok(())
}
