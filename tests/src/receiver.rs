//! Receivers on the hosts of a world.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Exit, HostId, Program, Result, StatusLine, Suite, World, compare_trees,
    content::compare_undated_trees,
    eventually,
    listening::wait_until_listening,
    patience, read_status,
    setup::{Ear, Listens, Setup, uid},
};

/// What a receiver is told.
#[derive(Default)]
pub struct ReceiverOptions {
    ear: Ear,
    by_itself: bool,
}

impl Listens for ReceiverOptions {
    fn ear(&mut self) -> &mut Ear {
        &mut self.ear
    }
}

/// A receiver to be started: `uftpd` in the foreground with its own destination directory.
pub type ReceiverSetup<'w> = Setup<'w, ReceiverOptions>;

/// A running receiver. Its UID is the number of its host.
pub struct Receiver {
    suite: Suite,
    host: HostId,
    program: Program,
    dest: PathBuf,
    status: PathBuf,
}

impl World {
    /// A receiver of `suite` for `host`.
    pub fn receiver(&self, suite: Suite, host: HostId) -> ReceiverSetup<'_> {
        Setup::new(self, suite, host, ReceiverOptions::default())
    }
}

impl ReceiverSetup<'_> {
    /// Lets the program find its interface and its id by itself.
    #[must_use]
    pub fn by_itself(mut self) -> Self {
        self.kind.by_itself = true;
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not listen in time.
    pub fn start(mut self) -> Result<Receiver> {
        let (world, host) = (self.world, self.host);
        let name = format!("receiver{host}");
        let dest = world.make_dir(&format!("{name}.dest"))?;
        let status = world.dir().join(format!("{name}.status"));
        let (group, port) = self.place();
        let mut command = self.command("uftpd")?;
        command
            .args(["-d", "-q", "-x", "3", "-M", &group, "-p", &port])
            .arg("-D")
            .arg(&dest)
            .arg("-F")
            .arg(&status)
            .args(&self.args);
        if !self.kind.by_itself {
            command.args(["-U", &uid(host), "-I", &self.address()]);
        }
        let mut program = Program::start(&name, command, &world.log_path(&name))?;
        wait_until_listening(&mut program, "uftpd", self.kind.ear.port, &group)?;
        Ok(Receiver {
            suite: self.suite,
            host,
            program,
            dest,
            status,
        })
    }
}

impl Receiver {
    /// The host it runs on.
    pub fn host(&self) -> HostId {
        self.host
    }

    /// Its destination directory.
    pub fn dest(&self) -> &Path {
        &self.dest
    }

    /// Its process.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Waits until everything below `sent` is below its destination directory, and nothing else.
    ///
    /// A receiver of ours answers only when an item is in place, so right after the sender's success
    /// nothing may be missing; the reference answers first, and gets a moment.
    ///
    /// # Errors
    /// The differences.
    pub fn holds(&self, sent: &Path) -> Result<()> {
        self.compares(sent, compare_trees)
    }

    /// As [`holds`](Self::holds), but for the times of files, which protocol 3 does not tell.
    ///
    /// # Errors
    /// The differences.
    pub fn holds_undated(&self, sent: &Path) -> Result<()> {
        self.compares(sent, compare_undated_trees)
    }

    fn compares(
        &self,
        sent: &Path,
        compare: impl Fn(&Path, &Path) -> std::result::Result<(), String>,
    ) -> Result<()> {
        let moment = match self.suite {
            Suite::Ours => Duration::ZERO,
            Suite::Reference => Duration::from_secs(5),
        };
        eventually("the files to arrive", moment, || compare(sent, &self.dest))
    }

    /// Waits until its destination directory has nothing in it.
    ///
    /// # Errors
    /// What is there instead.
    pub fn holds_nothing(&self, within: Duration) -> Result<()> {
        eventually("an empty destination directory", within, || {
            let entries = fs::read_dir(&self.dest).map_err(|error| error.to_string())?;
            let names: Vec<_> = entries
                .filter_map(|entry| Some(entry.ok()?.file_name()))
                .collect();
            if names.is_empty() {
                Ok(())
            } else {
                Err(format!("it has {names:?}"))
            }
        })
    }

    /// Waits until its status file has exactly `count` lines `RESULT`, all saying `copied`.
    ///
    /// # Errors
    /// The lines that are there instead.
    pub fn reported_copied(&self, count: usize) -> Result<()> {
        eventually(&format!("{count} lines RESULT"), patience(), || {
            let lines = self.status().map_err(|failure| failure.to_string())?;
            let results: Vec<_> = lines
                .iter()
                .filter(|line| line.kind() == "RESULT")
                .collect();
            if results.len() == count && results.iter().all(|line| line.field(6) == "copied") {
                Ok(())
            } else {
                Err(format!("the status file has {lines:?}"))
            }
        })
    }

    /// Waits until it has done with the last session that it heard of, if it is the reference, and so
    /// may be told to stop.
    ///
    /// The reference tidies up behind a session when the sender has long ended, and forgets the session
    /// last. A signal in between makes it write a restart file of what has been confirmed.
    ///
    /// # Errors
    /// What it does or says instead.
    pub fn rests(&self) -> Result<()> {
        if self.suite == Suite::Ours {
            return Ok(());
        }
        eventually("the reference to rest", patience(), || {
            let said = self.program.output();
            let last = said.rsplit("Received request from").next();
            if !last.is_some_and(|last| last.contains("Group file transfer confirmed")) {
                return Err(format!("it said:\n{said}"));
            }
            // Only the wait for datagrams lets it sleep so that signals wake it.
            match self.program.state() {
                Some('S') => Ok(()),
                state => Err(format!("its state is {state:?}")),
            }
        })
    }

    /// The lines of its status file so far.
    ///
    /// # Errors
    /// When the file is not readable text.
    pub fn status(&self) -> Result<Vec<StatusLine>> {
        read_status(&self.status)
    }

    /// Tells it to stop, as a service manager would, and expects exit code 6 of it.
    ///
    /// # Errors
    /// When it ends otherwise. The reference may end as it likes: it is known to crash while stopping.
    pub fn stop(self) -> Result<Exit> {
        self.program.stop(self.suite)
    }
}
