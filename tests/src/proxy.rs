//! Proxies on the hosts of a world.

use std::net::IpAddr;

use crate::{
    Exit, HostId, Program, Result, Suite, World,
    listening::{wait_until_bound, wait_until_listening},
    setup::{Ear, Listens, Setup, uid},
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

/// What a proxy is told.
pub struct ProxyOptions {
    role: ProxyRole,
    ear: Ear,
}

impl Listens for ProxyOptions {
    fn ear(&mut self) -> &mut Ear {
        &mut self.ear
    }
}

/// A proxy to be started: `uftpproxyd` in the foreground.
pub type ProxySetup<'w> = Setup<'w, ProxyOptions>;

/// A running proxy. Its UID is the number of its host.
pub struct Proxy {
    suite: Suite,
    program: Program,
}

impl World {
    /// A proxy of `suite` for `host`.
    pub fn proxy(&self, suite: Suite, host: HostId, role: ProxyRole) -> ProxySetup<'_> {
        let ear = Ear::default();
        Setup::new(self, suite, host, ProxyOptions { role, ear })
    }
}

impl ProxySetup<'_> {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not listen in time.
    pub fn start(mut self) -> Result<Proxy> {
        let (world, host) = (self.world, self.host);
        let name = format!("proxy{host}");
        let address = self.address();
        let (group, port) = self.place();
        let mut command = self.command("uftpproxyd")?;
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
        match &self.kind.role {
            ProxyRole::Server(to) => command.args(["-M", &group, "-s", &to.to_string()]),
            ProxyRole::Learned(print) => command.args(["-M", &group, "-s", &format!("fp={print}")]),
            ProxyRole::Client => command.arg("-c"),
            ProxyRole::Response => command.args(["-M", &group, "-r"]),
        };
        command.args(["-p", &port]).args(&self.args);
        let mut program = Program::start(&name, command, &world.log_path(&name))?;
        let port = self.kind.ear.port;
        match self.kind.role {
            ProxyRole::Client => wait_until_bound(&mut program, "uftpproxyd", port)?,
            _ => wait_until_listening(&mut program, "uftpproxyd", port, &group)?,
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
    pub fn stop(self) -> Result<Exit> {
        self.program.stop(self.suite)
    }
}
