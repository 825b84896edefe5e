//! Senders on the hosts of a world.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Exit, Failure, Family, HostId, Program, Result, StatusLine, Suite, World, read_status,
    setup::{Setup, public_group, uid},
};

/// The timing options of a sender.
#[derive(Clone, Copy, Debug)]
enum Timing {
    /// Few repetitions and short round trips, for runs of a second, with enough slack for busy machines.
    Quick,
    /// What the program does by itself.
    Default,
}

/// What a sender is told.
pub struct SenderOptions {
    by_itself: bool,
    to: Option<IpAddr>,
    rate: String,
    timing: Timing,
    /// What a sender of ours speaks; `None` for its default.
    protocol: Option<&'static str>,
    files: Vec<PathBuf>,
    current_dir: Option<PathBuf>,
    stdin: Option<PathBuf>,
}

impl Default for SenderOptions {
    fn default() -> Self {
        SenderOptions {
            by_itself: false,
            to: None,
            rate: "100000".to_owned(),
            timing: Timing::Quick,
            protocol: Some("4"),
            files: Vec::new(),
            current_dir: None,
            stdin: None,
        }
    }
}

/// A sender to be started: `uftp`.
pub type SenderSetup<'w> = Setup<'w, SenderOptions>;

/// A running sender.
pub struct Sender {
    program: Program,
    status: PathBuf,
}

/// What a sender left.
pub struct Sent {
    /// How it ended.
    pub exit: Exit,
    /// The lines of its status file.
    pub status: Vec<StatusLine>,
}

impl World {
    /// A sender of `suite` for `host`.
    pub fn sender(&self, suite: Suite, host: HostId) -> SenderSetup<'_> {
        Setup::new(self, suite, host, SenderOptions::default())
    }
}

impl SenderSetup<'_> {
    /// Sends to this one address instead of a group.
    #[must_use]
    pub fn to(mut self, address: IpAddr) -> Self {
        self.kind.to = Some(address);
        self
    }

    /// A sender of ours speaks this protocol instead of 4, the reference's.
    #[must_use]
    pub fn protocol(mut self, protocol: &'static str) -> Self {
        self.kind.protocol = Some(protocol);
        self
    }

    /// A sender of ours speaks what it does by itself.
    #[must_use]
    pub fn default_protocol(mut self) -> Self {
        self.kind.protocol = None;
        self
    }

    /// The sending rate, as `-R` wants it.
    #[must_use]
    pub fn rate(mut self, rate: &str) -> Self {
        rate.clone_into(&mut self.kind.rate);
        self
    }

    /// Expects exactly the receivers on these hosts, by `-H`.
    #[must_use]
    pub fn invite(self, hosts: &[HostId]) -> Self {
        let list: Vec<String> = hosts.iter().map(|&host| uid(host)).collect();
        self.args(&["-H", &list.join(",")])
    }

    /// Keeps the program's own round trip estimate and robustness factor.
    #[must_use]
    pub fn default_timing(mut self) -> Self {
        self.kind.timing = Timing::Default;
        self
    }

    /// Lets the program find its interface and its id by itself.
    #[must_use]
    pub fn by_itself(mut self) -> Self {
        self.kind.by_itself = true;
        self
    }

    /// Runs it in this directory, from which names among the options and files are meant.
    #[must_use]
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.kind.current_dir = Some(dir.to_owned());
        self
    }

    /// Lets it read this file as its standard input.
    #[must_use]
    pub fn stdin(mut self, file: &Path) -> Self {
        self.kind.stdin = Some(file.to_owned());
        self
    }

    /// Adds a file or directory to send.
    #[must_use]
    pub fn file(mut self, file: &Path) -> Self {
        self.kind.files.push(file.to_owned());
        self
    }

    /// Adds everything that lies directly in `dir`.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn files_of(mut self, dir: &Path) -> Result<Self> {
        let doing = |error| Failure::io(format!("reading {}", dir.display()), error);
        for entry in fs::read_dir(dir).map_err(doing)? {
            self.kind.files.push(entry.map_err(doing)?.path());
        }
        self.kind.files.sort();
        Ok(self)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(self) -> Result<Sender> {
        let (world, host) = (self.world, self.host);
        let name = format!("sender{host}");
        let status = world.dir().join(format!("{name}.status"));
        let mut command = self.command("uftp")?;
        command
            .args(["-x", "3", "-R", &self.kind.rate])
            .arg("-S")
            .arg(&status);
        if !self.kind.by_itself {
            command.args(["-I", &self.address()]);
        }
        match self.kind.to {
            Some(address) => command.args(["-M", &address.to_string()]),
            None => command.args(["-M", public_group(self.family)]),
        };
        if self.kind.to.is_none() && self.family == Family::V6 {
            command.args(["-P", "ff15::5:x:x"]);
        }
        if let (Suite::Ours, Some(protocol)) = (self.suite, self.kind.protocol) {
            command.args(["--protocol", protocol]);
        }
        if let Timing::Quick = self.kind.timing {
            command.args(["-s", "10", "-r", "0.1:0.03:5"]);
        }
        command.args(&self.args).args(&self.kind.files);
        if let Some(dir) = self.kind.current_dir {
            command.current_dir(dir);
        }
        let input = self.kind.stdin.as_deref().unwrap_or(Path::new("/dev/null"));
        let input = fs::File::open(input)
            .map_err(|error| Failure::io(format!("opening {}", input.display()), error))?;
        let log = world.log_path(&name);
        let program = Program::start_with_input(&name, command, &log, input.into())?;
        Ok(Sender { program, status })
    }

    /// Starts it and waits for its end, at most for `within`.
    ///
    /// # Errors
    /// When it cannot be started or overstays.
    pub fn run(self, within: Duration) -> Result<Sent> {
        self.start()?.finish(within)
    }
}

impl Sender {
    /// Its process.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Waits for its end, at most for `within`.
    ///
    /// # Errors
    /// When it overstays.
    pub fn finish(mut self, within: Duration) -> Result<Sent> {
        let exit = self.program.wait(within)?;
        Ok(Sent {
            exit,
            status: read_status(&self.status)?,
        })
    }
}

impl Sent {
    /// Expects this exit code.
    ///
    /// # Errors
    /// When it was another.
    pub fn ended_with(&self, code: i32) -> Result<()> {
        if self.exit.code == Some(code) {
            Ok(())
        } else {
            Err(Failure::new(format!(
                "the sender should end with exit code {code}: {:?}",
                self.exit
            )))
        }
    }

    /// Expects a line `CONNECT` with `outcome` (`success`, `failed`) for exactly these hosts.
    ///
    /// # Errors
    /// When the lines are others.
    pub fn connected(&self, outcome: &str, hosts: &[HostId]) -> Result<()> {
        let found = self.clients(
            |line| line.kind() == "CONNECT" && line.field(1) == outcome,
            2,
        );
        self.expect_clients(&format!("CONNECT;{outcome}"), found, hosts)
    }

    /// Expects for each of these hosts exactly `count` lines `RESULT` with `outcome` (`copy`, `lost`, …),
    /// and such lines for nobody else.
    ///
    /// # Errors
    /// When the lines are others.
    pub fn resulted(&self, outcome: &str, hosts: &[HostId], count: usize) -> Result<()> {
        let found = self.clients(
            |line| line.kind() == "RESULT" && line.field(4) == outcome,
            1,
        );
        let hosts: Vec<HostId> = hosts
            .iter()
            .flat_map(|&host| std::iter::repeat_n(host, count))
            .collect();
        self.expect_clients(&format!("RESULT;…;{outcome}"), found, &hosts)
    }

    /// How each file ended at each receiver, in order, as the status file has it.
    pub fn results(&self) -> Vec<String> {
        self.clients(|line| line.kind() == "RESULT", 4)
    }

    fn clients(&self, which: impl Fn(&StatusLine) -> bool, field: usize) -> Vec<String> {
        self.status
            .iter()
            .filter(|line| which(line))
            .map(|line| line.field(field).to_owned())
            .collect()
    }

    fn expect_clients(&self, what: &str, mut found: Vec<String>, hosts: &[HostId]) -> Result<()> {
        let mut wanted: Vec<String> = hosts.iter().map(|&host| uid(host)).collect();
        found.sort();
        wanted.sort();
        if found == wanted {
            Ok(())
        } else {
            Err(Failure::new(format!(
                "the sender's status file should have lines {what} for {wanted:?}, has {:?}",
                self.status
            )))
        }
    }
}
