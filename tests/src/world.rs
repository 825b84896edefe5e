//! A world: networks and the hosts on them, each host in a network namespace of its own.

use std::{
    env, fmt,
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    Failure, HostId, NetworkId, Plan, Result, command, eventually, patience, run, without_settings,
    write_file,
};

/// Names of all namespaces and directories made here begin so; then come the process id, the number
/// of the world in the process, and its label.
const PREFIX: &str = "uftp";

/// The first interface of every host.
pub(crate) const INTERFACE: &str = "eth0";

/// There if the kernel has IPv6. Where it has not, a world is without, and only what takes IPv6 fails.
const V6_SETTINGS: &str = "/proc/sys/net/ipv6/conf";

/// Which internet protocol a test uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Networks and the hosts on them, all in namespaces, and a directory for files and logs.
///
/// Dropping it removes all of that, after printing the logs, which the test runner shows for
/// tests that fail. Programs in it must have ended before (declare them after the world).
pub struct World {
    name: String,
    pub(crate) plan: Plan,
    dir: PathBuf,
    show_logs: bool,
}

impl World {
    /// Builds a world of `hosts` hosts on one network, with its files in the directory for
    /// temporary files.
    ///
    /// # Errors
    /// When this process is not root, or `ip` is missing or refuses.
    pub fn new(label: &str, hosts: HostId) -> Result<Self> {
        Self::planned(label, Plan::one_network(hosts))
    }

    /// Builds what is planned, with its files in the directory for temporary files.
    ///
    /// # Errors
    /// As [`World::new`].
    pub fn planned(label: &str, plan: Plan) -> Result<Self> {
        Self::planned_in(&env::temp_dir(), label, plan)
    }

    /// Builds what is planned, with its files in a new directory below `parent`.
    ///
    /// # Errors
    /// As [`World::new`].
    pub fn planned_in(parent: &Path, label: &str, plan: Plan) -> Result<Self> {
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() {
            return Err(Failure::new(
                "network namespaces need root: run the tests as root (for example in a container)",
            ));
        }
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}-{label}", std::process::id());
        let dir = parent.join(&name);
        fs::create_dir_all(&dir)
            .map_err(|error| Failure::io(format!("creating {}", dir.display()), error))?;
        let world = Self {
            name,
            plan,
            dir,
            show_logs: true,
        };
        world.build()?;
        Ok(world)
    }

    /// Prints no logs at the end.
    pub fn quiet(mut self) -> Self {
        self.show_logs = false;
        self
    }

    /// The directory of this world's files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the log of the program called `name` goes.
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// Makes a directory below this world's.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn make_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)
            .map_err(|error| Failure::io(format!("creating {}", dir.display()), error))?;
        Ok(dir)
    }

    /// The directory `content`, with one file, `file`, of `size` bytes to send.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn one_file(&self, size: u64) -> Result<PathBuf> {
        let content = self.make_dir("content")?;
        write_file(&content.join("file"), size)?;
        Ok(content)
    }

    /// The words of a command line, in which `DIR/name` stands for the directory `name` of this world,
    /// which is made.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn words_with_dirs(&self, words: &[&str]) -> Result<Vec<String>> {
        words
            .iter()
            .map(|word| match word.strip_prefix("DIR/") {
                Some(name) => self.make_dir(name).map(|dir| dir.display().to_string()),
                None => Ok((*word).to_owned()),
            })
            .collect()
    }

    /// The address of `host` on the first of its networks.
    pub fn address(&self, host: HostId, family: Family) -> IpAddr {
        self.plan.address(host, self.plan.network_of(host), family)
    }

    /// A command that will run `program` on `host`, without what this environment sets of its options.
    pub fn command(&self, host: HostId, program: &Path) -> Command {
        let mut command = command("env");
        without_settings(&mut command)
            // Whatever these tests were started with: under nohup nobody would heed it.
            .args(["--default-signal=HUP", "ip", "netns", "exec"])
            .arg(self.namespace(Part::Host(host)))
            .arg(program);
        command
    }

    /// Takes the interface of `host` down.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn interface_down(&self, host: HostId) -> Result<()> {
        self.ip(Part::Host(host), &format!("link set {INTERFACE} down"))
    }

    /// Takes the interfaces of `host` up again, as they were after [`World::new`].
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn interface_up(&self, host: HostId) -> Result<()> {
        let mut script = String::new();
        let has_v6 = Path::new(V6_SETTINGS).exists();
        for (link, &network) in self.plan.networks_of(host).iter().enumerate() {
            let v4 = self.plan.address(host, network, Family::V4);
            let _ = writeln!(
                script,
                "link set eth{link} up\naddress replace {v4}/24 brd + dev eth{link}"
            );
            if has_v6 {
                let v6 = self.plan.address(host, network, Family::V6);
                let _ = writeln!(script, "address replace {v6}/64 dev eth{link} nodad");
            }
        }
        let _ = writeln!(script, "route replace 224.0.0.0/4 dev {INTERFACE}");
        // To this world alone: who looks up a name must not wait for an answer.
        for (family, world) in [(Family::V4, "10.77.0.0/16"), (Family::V6, "fd77::/16")] {
            if let Some(gateway) = self.plan.gateway_of(host, family)
                && (has_v6 || family == Family::V4)
            {
                let _ = writeln!(script, "route replace {world} via {gateway}");
            }
        }
        self.ip(Part::Host(host), &script)
    }

    /// Takes the first interface of `host` away and puts a new one of the same name and addresses in
    /// its place, as a replugged adapter or a reloaded driver does.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn replace_interface(&self, host: HostId) -> Result<()> {
        self.ip(Part::Host(host), &format!("link delete {INTERFACE}"))?;
        self.plug(host, 0, self.plan.network_of(host))?;
        self.interface_up(host)
    }

    /// Takes the first interface of `host` away and gives it back in the same instant, with its index and
    /// addresses, but without what programs had joined on it.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn snatch_interface(&self, host: HostId) -> Result<()> {
        let (host_name, aside) = (
            self.namespace(Part::Host(host)),
            self.namespace(Part::Bridge),
        );
        self.ip(
            Part::Host(host),
            &format!("link set {INTERFACE} netns {aside}"),
        )?;
        self.ip(
            Part::Bridge,
            &format!("link set {INTERFACE} netns {host_name}"),
        )?;
        self.interface_up(host)
    }

    /// Makes interface number `link` of `host`, joined to the bridge of a network.
    fn plug(&self, host: HostId, link: usize, network: NetworkId) -> Result<()> {
        let namespace = self.namespace(Part::Host(host));
        let mtu = self.plan.mtu;
        self.ip(
            Part::Bridge,
            &format!(
                "link add port{host}.{link} mtu {mtu} \
                 type veth peer name eth{link} mtu {mtu} netns {namespace}\n\
                 link set port{host}.{link} master br{network} up"
            ),
        )
    }

    /// Gives `host` one more interface, to which nothing is connected.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn add_interface(&self, host: HostId, name: &str, address: &str) -> Result<()> {
        let script = format!(
            "link add {name} type veth peer name {name}-end\nlink set {name}-end up\n\
             link set {name} up\naddress add {address} dev {name}"
        );
        self.ip(Part::Host(host), &script)
    }

    /// What `program` with `args` prints on `host`.
    ///
    /// # Errors
    /// When it cannot be started or fails.
    pub fn run_on(&self, host: HostId, program: &str, args: &[&str]) -> Result<String> {
        let namespace = self.namespace(Part::Host(host));
        run(
            "ip",
            &[&["netns", "exec", &namespace, program], args].concat(),
            "",
        )
    }

    /// Bytes that `host` has received by its interface.
    ///
    /// # Errors
    /// When the kernel's count cannot be read.
    pub fn received_bytes(&self, host: HostId) -> Result<u64> {
        let namespace = self.namespace(Part::Host(host));
        let file = format!("/sys/class/net/{INTERFACE}/statistics/rx_bytes");
        let text = run("ip", &["netns", "exec", &namespace, "cat", &file], "")?;
        text.trim()
            .parse()
            .map_err(|error| Failure::io(format!("{file} says {text:?}"), error))
    }

    /// Waits until `host` has received so many bytes more: a sender is then in the middle of its file.
    ///
    /// # Errors
    /// When they do not come.
    pub fn until_received(&self, host: HostId, bytes: u64) -> Result<()> {
        let start = self.received_bytes(host)?;
        eventually("the transfer to be under way", patience(), || {
            match self.received_bytes(host) {
                Ok(now) if now >= start + bytes => Ok(()),
                Ok(now) => Err(format!("host {host} has received {} bytes", now - start)),
                Err(failure) => Err(failure.to_string()),
            }
        })
    }

    fn build(&self) -> Result<()> {
        remove_abandoned();
        let mut script = String::new();
        for part in self.parts() {
            let _ = writeln!(script, "netns add {}", self.namespace(part));
        }
        batch(&script)?;

        let mut bridges = String::new();
        for network in self.plan.networks() {
            let _ = writeln!(
                bridges,
                "link add br{network} type bridge stp_state 0 mcast_snooping 0\n\
                 link set br{network} up"
            );
        }
        self.ip(Part::Bridge, &bridges)?;
        for (host, station) in self.plan.stations() {
            self.without_address_detection(Part::Host(host))?;
            self.ip(Part::Host(host), "link set lo up")?;
            for (link, &network) in station.networks.iter().enumerate() {
                self.plug(host, link, network)?;
            }
            self.interface_up(host)?;
            if let Some(rules) = station.rules() {
                let forward = format!(
                    "echo 1 > /proc/sys/net/ipv4/ip_forward; \
                     ! [ -d {V6_SETTINGS} ] || echo 1 > {V6_SETTINGS}/all/forwarding"
                );
                self.run_on(host, "sh", &["-c", &forward])?;
                self.nft(host, &rules)?;
            }
        }
        Ok(())
    }

    /// Runs lines of `ip` commands in a namespace of this world.
    pub(crate) fn ip(&self, part: Part, script: &str) -> Result<()> {
        run("ip", &["-n", &self.namespace(part), "-batch", "-"], script).map(drop)
    }

    /// Link-local addresses are usable at once, without the second of asking for duplicates.
    fn without_address_detection(&self, part: Part) -> Result<()> {
        let namespace = self.namespace(part);
        let script = format!(
            "! cd {V6_SETTINGS} || for conf in all default; do \
             echo 0 > $conf/accept_dad; echo 0 > $conf/router_solicitations; done"
        );
        let args = ["netns", "exec", &namespace, "sh", "-c", &script];
        run("ip", &args, "").map(drop)
    }

    fn parts(&self) -> impl Iterator<Item = Part> + use<'_> {
        let hosts = self.plan.stations().map(|(host, _)| Part::Host(host));
        std::iter::once(Part::Bridge).chain(hosts)
    }

    pub(crate) fn namespace(&self, part: Part) -> String {
        format!("{}-{part}", self.name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.show_logs {
            self.print_logs();
        }
        for part in self.parts() {
            let _ = run("ip", &["netns", "delete", &self.namespace(part)], "");
        }
        if env::var_os("UFTP_KEEP_FILES").is_none() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// One of the namespaces of a world.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Bridge,
    Host(HostId),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge => f.write_str("bridge"),
            Self::Host(host) => write!(f, "host{host}"),
        }
    }
}

fn batch(script: &str) -> Result<()> {
    run("ip", &["-batch", "-"], script).map(drop)
}

/// Removes namespaces that killed test processes left behind: those named after processes that are gone.
fn remove_abandoned() {
    let Ok(entries) = fs::read_dir("/run/netns") else {
        return;
    };
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let mut parts = name.split('-');
        let ours = parts.next() == Some(PREFIX);
        let owner = parts.next().and_then(|pid| pid.parse::<u32>().ok());
        if let (true, Some(owner)) = (ours, owner)
            && !Path::new(&format!("/proc/{owner}")).exists()
        {
            let _ = run("ip", &["netns", "delete", &name], "");
        }
    }
}
