//! Senders and receivers on the hosts of a world.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    Exit, Failure, Family, HostId, Program, Result, StatusLine, Suite, World, compare_trees,
    compare_undated_trees, eventually, patience, read_status,
};

/// UDP port of every receiver in the tests, the protocol's own.
pub(crate) const PORT: u16 = 1044;

/// The announcing group of the tests.
fn public_group(family: Family) -> &'static str {
    match family {
        Family::V4 => "230.4.4.1",
        Family::V6 => "ff15::4:4:1",
    }
}

/// The group given, or the announcing group of the tests.
pub(crate) fn group_or_public(group: Option<IpAddr>, family: Family) -> String {
    group.map_or_else(
        || public_group(family).to_owned(),
        |group| group.to_string(),
    )
}

/// A receiver to be started: `uftpd` in the foreground with its own destination directory.
pub struct ReceiverSetup<'w> {
    world: &'w World,
    suite: Suite,
    host: HostId,
    family: Family,
    group: Option<IpAddr>,
    port: u16,
    program: Option<PathBuf>,
    by_itself: bool,
    args: Vec<String>,
    environment: Vec<(String, PathBuf)>,
}

/// A running receiver. Its UID is the number of its host.
pub struct Receiver {
    suite: Suite,
    program: Program,
    dest: PathBuf,
    status: PathBuf,
}

impl World {
    /// A receiver of `suite` for `host`.
    pub fn receiver(&self, suite: Suite, host: HostId) -> ReceiverSetup<'_> {
        ReceiverSetup {
            world: self,
            suite,
            host,
            family: Family::V4,
            group: None,
            port: PORT,
            program: None,
            by_itself: false,
            args: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// A sender of `suite` for `host`.
    pub fn sender(&self, suite: Suite, host: HostId) -> SenderSetup<'_> {
        SenderSetup {
            world: self,
            suite,
            host,
            family: Family::V4,
            program: None,
            by_itself: false,
            to: None,
            rate: "100000".to_owned(),
            timing: Timing::Quick,
            protocol: Some("4"),
            args: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
            current_dir: None,
            stdin: None,
        }
    }
}

impl ReceiverSetup<'_> {
    /// Listens on the groups of `family`.
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// Listens on this group.
    #[must_use]
    pub fn group(mut self, group: IpAddr) -> Self {
        self.group = Some(group);
        self
    }

    /// Listens on this port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Runs this program instead of the suite's `uftpd`.
    #[must_use]
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Lets the program find its interface and its id by itself.
    #[must_use]
    pub fn by_itself(mut self) -> Self {
        self.by_itself = true;
        self
    }

    /// Adds options.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &Path) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not listen in time.
    pub fn start(self) -> Result<Receiver> {
        let (world, host) = (self.world, self.host);
        let name = format!("receiver{host}");
        let dest = world.make_dir(&format!("{name}.dest"))?;
        let status = world.dir().join(format!("{name}.status"));
        let group = group_or_public(self.group, self.family);
        let program = self
            .program
            .map_or_else(|| self.suite.program("uftpd"), Ok)?;
        let mut command = world.command(host, &program);
        command
            .args(self.suite.standing_args())
            .args(["-d", "-q", "-x", "3"])
            .args(["-M", &group, "-p", &self.port.to_string()])
            .arg("-D")
            .arg(&dest)
            .arg("-F")
            .arg(&status)
            .args(&self.args)
            .env_remove("UFTP_PROTOCOL")
            .envs(self.environment);
        if !self.by_itself {
            let address = world.address(host, self.family).to_string();
            command.args(["-U", &uid(host), "-I", &address]);
        }
        let mut program = Program::start(&name, command, &world.log_path(&name))?;
        wait_until_listening(&mut program, "uftpd", self.port, &group)?;
        Ok(Receiver {
            suite: self.suite,
            program,
            dest,
            status,
        })
    }
}

impl Receiver {
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
    pub fn stop(mut self) -> Result<Exit> {
        if let Some(exit) = self.program.try_wait() {
            return Err(Failure::new(format!(
                "{} had already ended: {exit:?}",
                self.program.name()
            )));
        }
        self.program.signal(Signal::SIGTERM);
        let exit = self.program.wait(patience())?;
        match (self.suite, exit.code) {
            (Suite::Ours, Some(6)) | (Suite::Reference, _) => Ok(exit),
            _ => Err(Failure::new(format!(
                "{} was told to stop and ended as {exit:?}, not with exit code 6",
                self.program.name()
            ))),
        }
    }
}

/// The timing options of a sender.
#[derive(Clone, Copy, Debug)]
enum Timing {
    /// Few repetitions and short round trips, for runs of a second, with enough slack for busy machines.
    Quick,
    /// What the program does by itself.
    Default,
}

/// A sender to be started: `uftp`.
pub struct SenderSetup<'w> {
    world: &'w World,
    suite: Suite,
    host: HostId,
    family: Family,
    program: Option<PathBuf>,
    by_itself: bool,
    to: Option<IpAddr>,
    rate: String,
    timing: Timing,
    /// What a sender of ours speaks; `None` for its default.
    protocol: Option<&'static str>,
    args: Vec<String>,
    environment: Vec<(String, PathBuf)>,
    files: Vec<PathBuf>,
    current_dir: Option<PathBuf>,
    stdin: Option<PathBuf>,
}

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

impl SenderSetup<'_> {
    /// Announces to the group of `family`.
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// Runs this program instead of the suite's `uftp`.
    #[must_use]
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Sends to this one address instead of a group.
    #[must_use]
    pub fn to(mut self, address: IpAddr) -> Self {
        self.to = Some(address);
        self
    }

    /// A sender of ours speaks this protocol instead of 4, the reference's.
    #[must_use]
    pub fn protocol(mut self, protocol: &'static str) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// A sender of ours speaks what it does by itself.
    #[must_use]
    pub fn default_protocol(mut self) -> Self {
        self.protocol = None;
        self
    }

    /// The sending rate, as `-R` wants it.
    #[must_use]
    pub fn rate(mut self, rate: &str) -> Self {
        rate.clone_into(&mut self.rate);
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
        self.timing = Timing::Default;
        self
    }

    /// Lets the program find its interface and its id by itself.
    #[must_use]
    pub fn by_itself(mut self) -> Self {
        self.by_itself = true;
        self
    }

    /// Adds options.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &Path) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it in this directory, from which names among the options and files are meant.
    #[must_use]
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.current_dir = Some(dir.to_owned());
        self
    }

    /// Lets it read this file as its standard input.
    #[must_use]
    pub fn stdin(mut self, file: &Path) -> Self {
        self.stdin = Some(file.to_owned());
        self
    }

    /// Adds a file or directory to send.
    #[must_use]
    pub fn file(mut self, file: &Path) -> Self {
        self.files.push(file.to_owned());
        self
    }

    /// Adds everything that lies directly in `dir`.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn files_of(mut self, dir: &Path) -> Result<Self> {
        let doing = |error| Failure::io(format!("reading {}", dir.display()), error);
        for entry in fs::read_dir(dir).map_err(doing)? {
            self.files.push(entry.map_err(doing)?.path());
        }
        self.files.sort();
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
        let program = self
            .program
            .map_or_else(|| self.suite.program("uftp"), Ok)?;
        let mut command = world.command(host, &program);
        command
            .args(self.suite.standing_args())
            .args(["-x", "3", "-R", &self.rate])
            .arg("-S")
            .arg(&status);
        if !self.by_itself {
            command.args(["-I", &world.address(host, self.family).to_string()]);
        }
        match self.to {
            Some(address) => command.args(["-M", &address.to_string()]),
            None => command.args(["-M", public_group(self.family)]),
        };
        if self.to.is_none() && self.family == Family::V6 {
            command.args(["-P", "ff15::5:x:x"]);
        }
        if let (Suite::Ours, Some(protocol)) = (self.suite, self.protocol) {
            command.args(["--protocol", protocol]);
        }
        if let Timing::Quick = self.timing {
            command.args(["-s", "10", "-r", "0.1:0.03:5"]);
        }
        command
            .args(&self.args)
            .args(&self.files)
            .env_remove("UFTP_PROTOCOL")
            .envs(self.environment);
        if let Some(dir) = self.current_dir {
            command.current_dir(dir);
        }
        let input = self.stdin.as_deref().unwrap_or(Path::new("/dev/null"));
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

/// Waits until `program`, once it is the process called `comm`, has bound UDP `port` and joined `group`.
///
/// # Errors
/// When it ends before that, or takes too long.
pub fn wait_until_listening(
    program: &mut Program,
    comm: &str,
    port: u16,
    group: &str,
) -> Result<()> {
    wait_until_bound(program, comm, port)?;
    wait_for(program, |pid| joined(pid, group))
}

/// Waits until `program`, once it is the process called `comm`, has bound UDP `port`.
///
/// # Errors
/// When it ends before that, or takes too long.
pub fn wait_until_bound(program: &mut Program, comm: &str, port: u16) -> Result<()> {
    wait_for(program, |pid| bound(pid, comm, port))
}

fn wait_for(
    program: &mut Program,
    condition: impl Fn(i32) -> std::result::Result<(), String>,
) -> Result<()> {
    let name = program.name().to_owned();
    eventually(&format!("{name} to listen"), patience(), || {
        if let Some(exit) = program.try_wait() {
            // Not worth waiting any longer, so this is not an error of the condition.
            return Ok(Err(Failure::new(format!(
                "{name} ended before it listened ({exit:?}), saying:\n{}",
                program.output()
            ))));
        }
        condition(program.pid()).map(Ok)
    })?
}

fn read(pid: i32, file: &str) -> std::result::Result<String, String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
}

fn bound(pid: i32, comm: &str, port: u16) -> std::result::Result<(), String> {
    // Before the program replaces `ip`, the process may still be in the machine's own namespace.
    if read(pid, "comm")?.trim_end() != comm {
        return Err("it is not running yet".to_owned());
    }
    let local = format!(":{port:04X} ");
    if !read(pid, "net/udp")?.contains(&local) && !read(pid, "net/udp6")?.contains(&local) {
        return Err(format!("UDP port {port} is not bound"));
    }
    Ok(())
}

fn joined(pid: i32, group: &str) -> std::result::Result<(), String> {
    let group: IpAddr = group
        .parse()
        .map_err(|error| format!("group {group}: {error}"))?;
    let (file, shown) = match group {
        IpAddr::V4(group) => (
            "net/igmp",
            format!("{:08X}", u32::from_ne_bytes(group.octets())),
        ),
        IpAddr::V6(group) => (
            "net/igmp6",
            group
                .octets()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        ),
    };
    if read(pid, file)?.contains(&shown) {
        Ok(())
    } else {
        Err(format!("group {group} is not joined"))
    }
}

/// The UID that receivers and proxies in the tests have: the number of their host.
pub fn uid(host: HostId) -> String {
    format!("0x{host:08X}")
}
