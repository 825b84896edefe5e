//! One transfer under stated conditions, and what it cost.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use uftp_tests::{
    Exit, Failure, HostId, Parties, Proxy, Receiver, Result, Suite, reference_dir, uid, write_file,
};

use super::scene::Scene;
use crate::{options::Options, programs::build};

/// UDP port of the receivers.
const PORT: u16 = 1044;

/// The longest a run may take.
const BOUND: Duration = Duration::from_secs(600);

/// What is measured of each run, and of proxies only if there are any. Those of receivers are means
/// over all of them.
const QUANTITIES: [&str; 9] = [
    "goodput MB/s",
    "sender CPU s/GB",
    "receiver CPU s/GB",
    "sender peak MB",
    "receiver peak MB",
    "server proxy CPU s/GB",
    "client proxy CPU s/GB",
    "server proxy peak MB",
    "client proxy peak MB",
];
const WITHOUT_PROXIES: usize = 5;

/// The conditions of a transfer.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Plan {
    /// Files, and bytes of each.
    pub(super) files: u32,
    pub(super) size: u64,
    /// The files are holes from end to end.
    pub(super) sparse: bool,
    pub(super) receivers: HostId,
    /// Datagrams lost of a thousand, at each receiver.
    pub(super) loss: u16,
    /// Kbps as `-R` takes them, -1 without bound.
    pub(super) rate: i64,
    pub(super) block_size: u16,
    /// As `uftp -Y` takes it.
    pub(super) cipher: Option<String>,
    /// Through a server proxy and a client proxy, a routed hop between them.
    pub(super) tunnel: bool,
    pub(super) dir: PathBuf,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            files: 1,
            size: 400_000_000,
            sparse: false,
            receivers: 1,
            loss: 0,
            rate: -1,
            block_size: 1300,
            cipher: None,
            tunnel: false,
            dir: PathBuf::from("/dev/shm"),
        }
    }
}

/// Who plays, for tables: one name if both sides are of one suite.
pub(super) fn name(parties: Parties) -> String {
    match (parties.sender.name(), parties.receiver.name()) {
        (sender, receiver) if sender == receiver => sender.to_owned(),
        (sender, receiver) => format!("{sender} → {receiver}"),
    }
}

/// Who is meant by the name of a suite or `SENDER:RECEIVER`.
///
/// # Errors
/// No suite is called so.
pub(super) fn parties_called(name: &str) -> Result<Parties> {
    let (sender, receiver) = name.split_once(':').unwrap_or((name, name));
    Ok(Parties {
        sender: suite_called(sender)?,
        receiver: suite_called(receiver)?,
    })
}

fn suite_called(name: &str) -> Result<Suite> {
    [Suite::Ours, Suite::Reference]
        .into_iter()
        .find(|suite| suite.name() == name)
        .ok_or_else(|| Failure::new(format!("no suite is called {name:?}")))
}

/// Where the programs of both suites are.
pub(super) struct Programs {
    ours: PathBuf,
    reference: PathBuf,
}

impl Programs {
    /// Builds ours in release and fetches Debian's.
    ///
    /// # Errors
    /// When that fails.
    pub(super) fn ready() -> Result<Programs> {
        Ok(Programs {
            ours: build(true)?,
            reference: reference_dir()?,
        })
    }

    fn of(&self, suite: Suite) -> &Path {
        match suite {
            Suite::Ours => &self.ours,
            Suite::Reference => &self.reference,
        }
    }
}

impl Plan {
    /// Takes one option of the command line, if it is one of a plan's.
    ///
    /// # Errors
    /// When its value is missing or out of range.
    pub(super) fn take(&mut self, option: &str, options: &mut Options) -> Result<bool> {
        match option {
            "--size" => self.size = options.value::<u32>(option).map(u64::from)? * 1_000_000,
            "--files" => self.files = options.value(option)?,
            "--file-size" => self.size = options.value(option)?,
            "--sparse" => self.sparse = true,
            "--receivers" => self.receivers = options.value(option)?,
            "--loss" => {
                let percent: f64 = options.value(option)?;
                if !(0.0..100.0).contains(&percent) {
                    return Err(Failure::new(format!("--loss {percent}: wanted 0 to 99.9")));
                }
                // In range, as was just checked.
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let permille = (percent * 10.0).round() as u16;
                self.loss = permille;
            }
            "--rate" => self.rate = options.value(option)?,
            "--block-size" => self.block_size = options.value(option)?,
            "--cipher" => self.cipher = Some(options.value(option)?),
            "--tunnel" => self.tunnel = true,
            "--dir" => self.dir = options.value(option)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// # Errors
    /// When it cannot be carried out.
    pub(super) fn check(&self) -> Result<()> {
        if self.receivers == 0 || self.receivers > 200 || self.size == 0 || self.files == 0 {
            return Err(Failure::new(
                "bench wants 1 to 200 receivers and at least one file that is not empty",
            ));
        }
        Ok(())
    }

    /// Names of what is measured.
    pub(super) fn quantities(&self) -> &'static [&'static str] {
        let (without, _) = QUANTITIES.split_at(WITHOUT_PROXIES);
        if self.tunnel { &QUANTITIES } else { without }
    }

    pub(super) fn told(&self) -> String {
        let rate = match self.rate {
            -1 => "no rate limit".to_owned(),
            rate => format!("{rate} Kbps"),
        };
        format!(
            "{} file(s) of {} bytes to {} receiver(s){}, {rate}, block size {}, cipher {}, {} % loss, \
             files in {}",
            self.files,
            self.size,
            self.receivers,
            if self.tunnel {
                " through a server and a client proxy"
            } else {
                ""
            },
            self.block_size,
            self.cipher.as_deref().unwrap_or("none"),
            f64::from(self.loss) / 10.0,
            self.dir.display()
        )
    }

    /// Carries it out once. The numbers for [`quantities`](Self::quantities).
    ///
    /// # Errors
    /// When the transfer fails or does not arrive whole.
    pub(super) fn run(&self, parties: Parties, programs: &Programs) -> Result<Vec<f64>> {
        self.transfer(parties, programs)
            .map(|run| run.values(self))
            .map_err(|failure| Failure::new(format!("{}: {failure}", name(parties))))
    }

    fn transfer(&self, parties: Parties, programs: &Programs) -> Result<Run> {
        let scene = Scene::new(self)?;
        let world = &scene.world;
        let content = world.make_dir("content")?;
        for number in 0..self.files {
            let path = content.join(format!("file{number}"));
            if self.sparse {
                make_hole(&path, self.size)?;
            } else {
                write_file(&path, self.size)?;
            }
        }
        for &host in scene.receivers.iter().filter(|_| self.loss > 0) {
            world.lose_incoming(host, PORT, self.loss)?;
        }
        let (sender_encryption, receiver_encryption) = self.encryption();
        let proxies = scene.start_proxies(
            parties.sender,
            programs.of(parties.sender),
            receiver_encryption,
        )?;
        let receivers: Vec<Receiver> = scene
            .receivers
            .iter()
            .map(|&host| {
                world
                    .receiver(parties.receiver, host)
                    .program(programs.of(parties.receiver).join("uftpd"))
                    .args(receiver_encryption)
                    .start()
            })
            .collect::<Result<_>>()?;
        let files = usize::try_from(self.files).unwrap_or(usize::MAX);
        let sender = world
            .sender(parties.sender, 0)
            .program(programs.of(parties.sender).join("uftp"))
            .default_timing()
            .invite(&scene.receivers)
            .rate(&self.rate.to_string())
            .args(&["-b", &self.block_size.to_string()])
            .args(&sender_encryption);
        let listed = world.dir().join("proxies");
        let sender = match scene.tunnel {
            None => sender,
            Some((_, client_proxy)) => {
                fs::write(&listed, uid(client_proxy) + "\n")?;
                sender.args(&["-j", &listed.to_string_lossy()])
            }
        };
        if !self.sparse {
            let received = u64::from(self.files) * self.size * u64::from(self.receivers);
            touch_memory(world.dir(), received)?;
        }
        let sent = sender.files_of(&content)?.run(BOUND)?;
        sent.ended_with(0)?;
        sent.resulted("copy", &scene.receivers, files)?;
        let mut ended = Vec::new();
        for receiver in receivers {
            receiver.holds(&content)?;
            ended.push(receiver.stop()?);
        }
        Ok(Run {
            sender: sent.exit,
            receivers: ended,
            proxies: proxies
                .into_iter()
                .map(Proxy::stop)
                .collect::<Result<_>>()?,
        })
    }

    /// What encryption adds to the options of a sender and of receivers, whichever suite.
    fn encryption(&self) -> (Vec<&str>, &'static [&'static str]) {
        let Some(cipher) = &self.cipher else {
            return (Vec::new(), &[]);
        };
        let keys = ["-h", "sha256", "-e", "ecdh_ecdsa", "-K", "prime256v1"];
        let sender = ["-Y", cipher].into_iter().chain(keys).collect();
        (sender, &["-K", "ec:prime256v1"])
    }
}

/// Takes so many bytes of memory and gives them back, if that is what files in `dir` are made of. A virtual
/// machine's host may let a page wait for ten copies when it is touched for the first time, which is no
/// property of the program that happens to touch it.
fn touch_memory(dir: &Path, size: u64) -> Result<()> {
    if !statfs(dir).is_ok_and(|system| system.filesystem_type() == TMPFS_MAGIC) {
        return Ok(());
    }
    let path = dir.join("touched");
    write_file(&path, size)?;
    fs::remove_file(&path)
        .map_err(|error| Failure::io(format!("removing {}", path.display()), error))
}

fn make_hole(path: &Path, size: u64) -> Result<()> {
    File::create(path)
        .and_then(|file| file.set_len(size))
        .map_err(|error| Failure::io(format!("writing {}", path.display()), error))
}

/// How the programs of one transfer ended.
struct Run {
    sender: Exit,
    receivers: Vec<Exit>,
    /// The server proxy and the client proxy, if there are any.
    proxies: Vec<Exit>,
}

impl Run {
    fn values(&self, plan: &Plan) -> Vec<f64> {
        let bytes = plan.size as f64 * f64::from(plan.files);
        let per_gb = |exit: &Exit| exit.cpu.as_secs_f64() / bytes * 1e9;
        let megabytes = |exit: &Exit| exit.peak_rss as f64 / 1e6;
        let mean = |of: &dyn Fn(&Exit) -> f64| {
            self.receivers.iter().map(of).sum::<f64>() / self.receivers.len() as f64
        };
        let mut values = vec![
            bytes / 1e6 / self.sender.elapsed.as_secs_f64(),
            per_gb(&self.sender),
            mean(&per_gb),
            megabytes(&self.sender),
            mean(&megabytes),
        ];
        values.extend(self.proxies.iter().map(per_gb));
        values.extend(self.proxies.iter().map(megabytes));
        values
    }
}
