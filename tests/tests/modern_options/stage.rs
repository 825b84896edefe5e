//! A sender and receivers of this suite, and a file to send.

use std::{fs, path::PathBuf, process::Command};

use uftp_tests::{Ended, Receiver, Result, Suite, World, run_apart, write_file};

use crate::BOUND;

/// A world with a file to send.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) file: PathBuf,
}

impl Stage {
    pub(crate) fn new(label: &str, hosts: u8) -> Result<Self> {
        let world = World::new(label, hosts)?;
        let file = world.make_dir("content")?.join("file");
        write_file(&file, 100_000)?;
        Ok(Self { world, file })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.world.dir().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<String> {
        fs::write(self.path(name), text)?;
        Ok(self.path(name).to_string_lossy().into_owned())
    }

    pub(crate) fn command(&self, host: u8, program: &str, args: &[&str]) -> Result<Command> {
        let mut command = self.world.command(host, &Suite::Ours.program(program)?);
        command.args(args).current_dir(self.world.dir());
        Ok(command)
    }

    /// Runs a program to its end, its streams apart.
    pub(crate) fn run(&self, host: u8, program: &str, args: &[&str]) -> Result<Ended> {
        let command = self.command(host, program, args)?;
        run_apart(program, command, self.world.dir(), BOUND)
    }

    /// Sends the file with these further options, quickly.
    pub(crate) fn send(&self, more: &[&str]) -> Result<Ended> {
        let quick = ["-I", "eth0", "-R", "-1", "-s", "10", "-r", "0.1:0.03:5"];
        let file = self.file.to_string_lossy();
        let args = [&quick[..], more, &[&file]].concat();
        self.run(0, "uftp", &args)
    }

    pub(crate) fn holds(&self, receiver: &Receiver) -> Result<()> {
        assert!(fs::read(receiver.dest().join("file"))? == fs::read(&self.file)?);
        Ok(())
    }
}
