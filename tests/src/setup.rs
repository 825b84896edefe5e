//! What there is to say about any program before it starts.

use std::{ffi::OsString, net::IpAddr, path::PathBuf, process::Command};

use crate::{Family, HostId, Result, Suite, World};

/// UDP port of every receiver in the tests, the protocol's own.
const PORT: u16 = 1044;

/// The announcing group of the tests.
pub(crate) fn public_group(family: Family) -> &'static str {
    match family {
        Family::V4 => "230.4.4.1",
        Family::V6 => "ff15::4:4:1",
    }
}

/// The UID that receivers and proxies in the tests have: the number of their host.
pub fn uid(host: HostId) -> String {
    format!("0x{host:08X}")
}

/// A program to be started on a host of a world, with options of its `kind`.
pub struct Setup<'w, K> {
    pub(crate) world: &'w World,
    pub(crate) suite: Suite,
    pub(crate) host: HostId,
    pub(crate) family: Family,
    pub(crate) args: Vec<String>,
    pub(crate) kind: K,
    program: Option<PathBuf>,
    environment: Vec<(String, OsString)>,
}

impl<'w, K> Setup<'w, K> {
    pub(crate) fn new(world: &'w World, suite: Suite, host: HostId, kind: K) -> Self {
        Setup {
            world,
            suite,
            host,
            family: Family::V4,
            args: Vec::new(),
            kind,
            program: None,
            environment: Vec::new(),
        }
    }

    /// Uses the groups of `family`, and the host's addresses of that.
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// Runs this program instead of the suite's own.
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
    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// The command that runs the program `name` of the suite, or what stands in its place, with its
    /// environment and what every program of the suite is told.
    pub(crate) fn command(&self, name: &str) -> Result<Command> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => self.suite.program(name)?,
        };
        let mut command = self.world.command(self.host, &program);
        command
            .args(self.suite.standing_args())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// The host's address, as options want it.
    pub(crate) fn address(&self) -> String {
        self.world.address(self.host, self.family).to_string()
    }
}

/// Where a receiver or a proxy listens.
pub struct Ear {
    pub(crate) group: Option<IpAddr>,
    pub(crate) port: u16,
}

impl Default for Ear {
    /// The port of the tests, and their announcing group.
    fn default() -> Self {
        Ear {
            group: None,
            port: PORT,
        }
    }
}

/// A kind of program that listens.
pub trait Listens {
    /// Where.
    fn ear(&mut self) -> &mut Ear;
}

impl<K: Listens> Setup<'_, K> {
    /// Listens on this group.
    #[must_use]
    pub fn group(mut self, group: IpAddr) -> Self {
        self.kind.ear().group = Some(group);
        self
    }

    /// Listens on this port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.kind.ear().port = port;
        self
    }

    /// The group it listens on and its port, as options want them.
    pub(crate) fn place(&mut self) -> (String, String) {
        let Ear { group, port } = self.kind.ear();
        let group = group.map_or_else(
            || public_group(self.family).to_owned(),
            |group| group.to_string(),
        );
        (group, port.to_string())
    }
}
