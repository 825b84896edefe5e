//! Proxies on the hosts of a world.

use std::{net::IpAddr, path::PathBuf};

use nix::sys::signal::Signal;

use crate::{
    Exit, Failure, Family, HostId, Program, Result, Suite, World,
    listening::{wait_until_bound, wait_until_listening},
    patience,
    scenario::{PORT, group_or_public, uid},
};

/// What a proxy does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProxyRole {
    /// Passes on to this address.
    Server(IpAddr),
    /// Passes on to whoever has the key of this fingerprint.
    Learned(String),
    /// Multicasts and gathers answers.
    Client,
    /// Gathers answers.
    Response,
}

/// A proxy to be started: `uftpproxyd` in the foreground.
pub struct ProxySetup<'w> {
    world: &'w World,
    suite: Suite,
    host: HostId,
    role: ProxyRole,
    family: Family,
    group: Option<IpAddr>,
    port: u16,
    program: Option<PathBuf>,
    args: Vec<String>,
    environment: Vec<(String, PathBuf)>,
}

/// A running proxy. Its UID is the number of its host.
pub struct Proxy {
    suite: Suite,
    program: Program,
}

impl World {
    /// A proxy of `suite` for `host`.
    pub fn proxy(&self, suite: Suite, host: HostId, role: ProxyRole) -> ProxySetup<'_> {
        ProxySetup {
            world: self,
            suite,
            host,
            role,
            family: Family::V4,
            group: None,
            port: PORT,
            program: None,
            args: Vec::new(),
            environment: Vec::new(),
        }
    }
}

impl ProxySetup<'_> {
    /// Listens on the groups of `family`, and multicasts by its addresses of that.
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

    /// Runs this program instead of the suite's `uftpproxyd`.
    #[must_use]
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Adds options.
    #[must_use]
    pub fn args<T: AsRef<str>>(mut self, args: &[T]) -> Self {
        let args = args.iter().map(|arg| arg.as_ref().to_owned());
        self.args.extend(args);
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<PathBuf>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not listen in time.
    pub fn start(self) -> Result<Proxy> {
        let (world, host) = (self.world, self.host);
        let name = format!("proxy{host}");
        let program = self
            .program
            .map_or_else(|| self.suite.program("uftpproxyd"), Ok)?;
        let address = world.address(host, self.family).to_string();
        let group = group_or_public(self.group, self.family);
        let mut command = world.command(host, &program);
        command.args(self.suite.standing_args());
        command.args([
            "-d",
            "-x",
            "3",
            "-U",
            &uid(host),
            "-I",
            &address,
            "-O",
            &address,
        ]);
        match &self.role {
            ProxyRole::Server(to) => command.args(["-M", &group, "-s", &to.to_string()]),
            ProxyRole::Learned(print) => command.args(["-M", &group, "-s", &format!("fp={print}")]),
            ProxyRole::Client => command.arg("-c"),
            ProxyRole::Response => command.args(["-M", &group, "-r"]),
        };
        command
            .args(["-p", &self.port.to_string()])
            .args(&self.args)
            .envs(self.environment);
        let mut program = Program::start(&name, command, &world.log_path(&name))?;
        match self.role {
            ProxyRole::Client => wait_until_bound(&mut program, "uftpproxyd", self.port)?,
            _ => wait_until_listening(&mut program, "uftpproxyd", self.port, &group)?,
        }
        Ok(Proxy {
            suite: self.suite,
            program,
        })
    }
}

impl Proxy {
    /// Its process.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// All it has said so far.
    pub fn said(&self) -> String {
        self.program.output()
    }

    /// Waits until it has said `words`.
    ///
    /// # Errors
    /// What it has said instead.
    pub fn says(&self, words: &str) -> Result<()> {
        self.program.says(words)
    }

    /// Tells it to stop, as a service manager would, and expects exit code 6 of it.
    ///
    /// # Errors
    /// When it had ended before, or ends otherwise.
    pub fn stop(mut self) -> Result<Exit> {
        let name = self.program.name().to_owned();
        if let Some(exit) = self.program.try_wait() {
            return Err(Failure::new(format!("{name} had already ended: {exit:?}")));
        }
        self.program.signal(Signal::SIGTERM);
        let exit = self.program.wait(patience())?;
        match (self.suite, exit.code) {
            (Suite::Ours, Some(6)) | (Suite::Reference, _) => Ok(exit),
            _ => Err(Failure::new(format!(
                "{name} was told to stop and ended as {exit:?}, not with exit code 6"
            ))),
        }
    }
}
