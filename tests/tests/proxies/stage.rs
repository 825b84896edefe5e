//! A figure set up: its programs running, ready for a sender.

use std::{fs, net::IpAddr, path::PathBuf, thread, time::Duration};

use uftp_tests::{
    Failure, Family, HostId, Proxy, ProxyRole, Receiver, Result, Suite, World, eventually,
    patience, uid, unless_standing_still, write_file,
};

use crate::{cast::Cast, condition::Condition};

/// UDP port of receivers and proxies.
pub(crate) const PORT: u16 = 1044;

/// The host that sends, in every figure.
pub(crate) const SENDER: HostId = 0;

/// The longest a session may take; healthy ones take a second or two, those under congestion
/// control some more, and on a machine that stalls for a second they begin anew at the rate that
/// such a round trip time allows.
pub(crate) const BOUND: Duration = Duration::from_secs(180);

/// Figures played at the same time: they mostly wait.
const ABREAST: usize = 4;

/// A world with its proxies and receivers.
pub(crate) struct Stage {
    // In this order: programs end before their world does.
    receivers: Vec<(HostId, Receiver)>,
    proxies: Vec<(HostId, &'static str, Proxy)>,
    pub(crate) world: World,
    pub(crate) cast: Cast,
    pub(crate) condition: Condition,
    content: PathBuf,
}

impl Stage {
    pub(crate) fn new(world: World, cast: Cast, condition: Condition) -> Result<Self> {
        let content = world.make_dir("content")?;
        write_file(&content.join("file"), condition.file_size())?;
        Ok(Stage {
            receivers: Vec::new(),
            proxies: Vec::new(),
            world,
            cast,
            condition,
            content,
        })
    }

    /// Adds a proxy.
    pub(crate) fn proxy(
        &mut self,
        suite: Suite,
        host: HostId,
        role: ProxyRole,
        args: &[&str],
    ) -> Result<()> {
        let gathers = matches!(role, ProxyRole::Client | ProxyRole::Response);
        let setup = self.world.proxy(suite, host, role).args(args);
        let setup = match gathers && !args.contains(&"-k") {
            true => setup.args(self.condition.key_args()),
            false => setup,
        };
        let proxy = setup.start()?;
        if gathers {
            self.lose(host)?;
        }
        // Files must not find another way.
        let proof = if gathers {
            "Sent COMPLETE"
        } else {
            "Received request from"
        };
        self.proxies.push((host, proof, proxy));
        Ok(())
    }

    /// Adds a receiver.
    pub(crate) fn receiver(&mut self, host: HostId, args: &[&str]) -> Result<()> {
        let suite = self.cast.receiver(self.receivers.len());
        let setup = self.world.receiver(suite, host);
        let receiver = setup.args(self.condition.key_args()).args(args).start()?;
        self.lose(host)?;
        self.receivers.push((host, receiver));
        Ok(())
    }

    /// Adds a receiver that the proxy on a host answers for. In protocol 5 it is told of the proxy
    /// by name; `standing` is how it is told in protocols 3 and 4.
    pub(crate) fn receiver_behind(
        &mut self,
        proxy: HostId,
        host: HostId,
        standing: &[&str],
    ) -> Result<()> {
        if self.condition.protocol() != "5" {
            return self.receiver(host, standing);
        }
        let name = uid(proxy);
        let servers = server_line(&self.world, SENDER, proxy)?;
        let proxies = format!("{name}|{}\n", self.address(proxy));
        let path = |kind: &str| self.world.dir().join(format!("{kind}{host}"));
        let lists = [("servers", servers), ("proxies", proxies)];
        let [servers, proxies] = lists.map(|(kind, lines)| (path(kind), lines));
        for (path, lines) in [&servers, &proxies] {
            fs::write(path, lines)?;
        }
        let (servers, proxies) = (servers.0.to_string_lossy(), proxies.0.to_string_lossy());
        self.receiver(host, &["-E", "-S", &servers, "-R", &proxies])
    }

    /// Has a host lose what the condition says.
    fn lose(&self, host: HostId) -> Result<()> {
        match self.condition.loss() {
            None => Ok(()),
            Some(permille) => self.world.lose_incoming(host, PORT, permille),
        }
    }

    /// Waits until the receiver on a host has the keys of its response proxy, if it needs them.
    pub(crate) fn has_keys_of(&mut self, host: HostId, proxy: &str) -> Result<()> {
        let receiver = self.receivers.iter_mut().find(|(at, _)| *at == host);
        let Some((_, receiver)) = receiver.filter(|_| self.condition.has_standing_keys()) else {
            return Ok(());
        };
        let theirs = format!("Received PROXY_KEY from {proxy}");
        let ours = "Received the keys of the response proxy";
        eventually("the proxy's keys", patience(), || {
            let said = receiver.program().output();
            match said.contains(&theirs) || said.contains(ours) {
                true => Ok(()),
                false => Err(format!("host {host} said:\n{said}")),
            }
        })
    }

    /// The proxy on a host.
    pub(crate) fn proxy_on(&self, host: HostId) -> Result<&Proxy> {
        let found = self.proxies.iter().find(|(at, ..)| *at == host);
        found
            .map(|(.., proxy)| proxy)
            .ok_or_else(|| Failure::new(format!("no proxy is on host {host}")))
    }

    /// Sends a file from [`SENDER`] to all receivers, invites the proxies on the hosts `listed`,
    /// and has everything checked: who got it, what arrived, and that all end well. A failure tells
    /// what every program said of things that go wrong.
    pub(crate) fn play(mut self, listed: &[HostId], args: &[&str]) -> Result<()> {
        self.perform(listed, args).map_err(|failure| {
            let troubles = self.world.troubles();
            Failure::new(format!("{failure}\n{troubles}"))
        })
    }

    fn perform(&mut self, listed: &[HostId], args: &[&str]) -> Result<()> {
        let hosts: Vec<HostId> = self.receivers.iter().map(|(host, _)| *host).collect();
        let list = self.world.dir().join("proxies");
        let lines: String = listed.iter().map(|&host| uid(host) + "\n").collect();
        fs::write(&list, lines)?;
        let sender = self
            .world
            .sender(self.cast.sender, SENDER)
            .protocol(self.condition.protocol())
            .invite(&hosts)
            .args(&["-j", &list.to_string_lossy()])
            .args(self.condition.timing())
            .args(&self.condition.sender_args())
            .args(args);
        let sender = match self.condition.protocol() {
            "3" => sender.default_timing(),
            _ => sender,
        };
        let sent = sender.files_of(&self.content)?.run(BOUND)?;
        sent.ended_with(0)?;
        sent.resulted("copy", &hosts, 1)?;
        for (host, receiver) in self.receivers.drain(..) {
            match self.condition.protocol() {
                "3" => receiver.holds_undated(&self.content)?,
                _ => receiver.holds(&self.content)?,
            }
            receiver.reported_copied(1)?;
            if self.condition.loss().is_some() && self.world.lost(host)? == 0 {
                return Err(Failure::new(format!("host {host} lost nothing")));
            }
            receiver.stop()?;
        }
        for (_, proof, proxy) in self.proxies.drain(..) {
            proxy.says(proof)?;
            proxy.stop()?;
        }
        Ok(())
    }

    /// The address of a host.
    pub(crate) fn address(&self, host: HostId) -> IpAddr {
        self.world.address(host, Family::V4)
    }
}

/// A line of a receiver's list of servers: the sender on a host, and the proxy it stands behind.
pub(crate) fn server_line(world: &World, sender: HostId, proxy: HostId) -> Result<String> {
    let address = world.address(sender, Family::V4);
    let IpAddr::V4(id) = address else {
        return Err(Failure::new(format!("{address} makes no id")));
    };
    let id = u32::from(id);
    Ok(format!("0x{id:08X}|{address}|{}\n", uid(proxy)))
}

/// Plays all cases, some at the same time; tells of all that fail.
pub(crate) fn all<T: Sync + std::fmt::Debug>(
    cases: &[T],
    play: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failures = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..ABREAST.min(cases.len()) {
            scope.spawn(|| {
                while let Some(case) =
                    cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let started = std::time::Instant::now();
                    let ended = unless_standing_still(|| play(case));
                    let took = started.elapsed().as_secs_f64();
                    match ended {
                        Ok(()) => eprintln!("{case:?}: well, in {took:.1} s"),
                        Err(failure) => {
                            let told = format!("{case:?}, after {took:.1} s: {failure}");
                            eprintln!("{told}");
                            failures
                                .lock()
                                .unwrap_or_else(std::sync::PoisonError::into_inner)
                                .push(told);
                        }
                    }
                }
            });
        }
    });
    let failures = failures
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    match failures.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "{} of {} failed:\n{}",
            failures.len(),
            cases.len(),
            failures.join("\n")
        ))),
    }
}
