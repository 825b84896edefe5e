//! `cargo xtask bench`: our programs and the reference's in turn, under the same conditions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use uftp_tests::{
    Exit, Failure, Family, HostId, Proxy, ProxyRole, Receiver, Result, Suite, World, reference_dir,
    uid, write_file,
};

use crate::{
    options::Options,
    packages::{Need, install_missing},
    programs::build_release,
    table::{Numbers, table},
};

/// UDP port of the receivers.
const PORT: u16 = 1044;

/// The longest a run may take.
const BOUND: Duration = Duration::from_secs(600);

/// What is measured, and of proxies only if there are any.
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

/// What is measured.
struct Plan {
    /// Bytes of the file.
    size: u64,
    rounds: u32,
    receivers: HostId,
    /// Datagrams lost of a thousand, at each receiver.
    loss: u16,
    /// Kbps as `-R` takes them, -1 without bound.
    rate: i64,
    block_size: u16,
    /// As `uftp -Y` takes it.
    cipher: Option<String>,
    /// Through a server proxy and a client proxy, a routed hop between them.
    tunnel: bool,
    suites: Vec<Suite>,
    dir: PathBuf,
}

/// Runs the plan of the options and prints its table.
pub(crate) fn bench(options: &mut Options) -> Result<ExitCode> {
    let plan = read_plan(options)?;
    install_missing(Need::Tests)?;
    let mut suites = Vec::new();
    for &suite in &plan.suites {
        let programs = match suite {
            Suite::Ours => build_release()?,
            Suite::Reference => reference_dir()?,
        };
        suites.push((
            suite,
            programs,
            vec![Numbers::default(); plan.quantities().len()],
        ));
    }

    println!("{}", plan.told());
    for round in 1..=plan.rounds {
        for (suite, programs, numbers) in &mut suites {
            let run = transfer(&plan, *suite, programs)
                .map_err(|failure| Failure::new(format!("{}: {failure}", suite.name())))?;
            let values = run.quantities(&plan);
            println!(
                "round {round}, {}: {}",
                suite.name(),
                plan.quantities()
                    .iter()
                    .zip(&values)
                    .map(|(quantity, value)| format!("{quantity} {value:.2}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            for (numbers, value) in numbers.iter_mut().zip(values) {
                numbers.add(value);
            }
        }
    }
    let suites: Vec<(&str, Vec<Numbers>)> = suites
        .into_iter()
        .map(|(suite, _, numbers)| (suite.name(), numbers))
        .collect();
    println!(
        "\nmedian (least–most) of {} rounds\n\n{}",
        plan.rounds,
        table(plan.quantities(), &suites)
    );
    Ok(ExitCode::SUCCESS)
}

fn read_plan(options: &mut Options) -> Result<Plan> {
    let mut plan = Plan {
        size: 400_000_000,
        rounds: 3,
        receivers: 1,
        loss: 0,
        rate: -1,
        block_size: 1300,
        cipher: None,
        tunnel: false,
        suites: vec![Suite::Reference, Suite::Ours],
        dir: PathBuf::from("/dev/shm"),
    };
    while let Some(option) = options.next() {
        match option.as_str() {
            "--size" => plan.size = options.value::<u32>(&option).map(u64::from)? * 1_000_000,
            "--rounds" => plan.rounds = options.value(&option)?,
            "--receivers" => plan.receivers = options.value(&option)?,
            "--loss" => {
                let percent: f64 = options.value(&option)?;
                if !(0.0..100.0).contains(&percent) {
                    return Err(Failure::new(format!("--loss {percent}: wanted 0 to 99.9")));
                }
                // In range, as was just checked.
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let permille = (percent * 10.0).round() as u16;
                plan.loss = permille;
            }
            "--rate" => plan.rate = options.value(&option)?,
            "--block-size" => plan.block_size = options.value(&option)?,
            "--cipher" => plan.cipher = Some(options.value(&option)?),
            "--tunnel" => plan.tunnel = true,
            "--dir" => plan.dir = options.value(&option)?,
            "--suites" => {
                let list: String = options.value(&option)?;
                plan.suites = list.split(',').map(suite_called).collect::<Result<_>>()?;
            }
            other => return Err(Failure::new(format!("bench has no option {other:?}"))),
        }
    }
    if plan.receivers == 0 || plan.receivers > 200 || plan.rounds == 0 || plan.size == 0 {
        return Err(Failure::new(
            "bench wants 1 to 200 receivers, a size and at least one round",
        ));
    }
    Ok(plan)
}

fn suite_called(name: &str) -> Result<Suite> {
    [Suite::Ours, Suite::Reference]
        .into_iter()
        .find(|suite| suite.name() == name)
        .ok_or_else(|| Failure::new(format!("--suites: no suite is called {name:?}")))
}

impl Plan {
    fn quantities(&self) -> &'static [&'static str] {
        let (without, _) = QUANTITIES.split_at(WITHOUT_PROXIES);
        if self.tunnel { &QUANTITIES } else { without }
    }

    fn told(&self) -> String {
        let rate = match self.rate {
            -1 => "no rate limit".to_owned(),
            rate => format!("{rate} Kbps"),
        };
        format!(
            "{} MB to {} receiver(s){}, {rate}, block size {}, cipher {}, {} % loss, files in {}",
            self.size / 1_000_000,
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

    /// What encryption adds to the options of a sender and of receivers, whichever suite.
    fn encryption(&self) -> (Vec<&str>, &'static [&'static str]) {
        match &self.cipher {
            None => (Vec::new(), &[]),
            Some(cipher) => (
                vec![
                    "-Y",
                    cipher,
                    "-h",
                    "sha256",
                    "-e",
                    "ecdh_ecdsa",
                    "-K",
                    "prime256v1",
                ],
                &["-K", "ec:prime256v1"],
            ),
        }
    }
}

/// How the programs of one transfer ended.
struct Run {
    sender: Exit,
    receivers: Vec<Exit>,
    /// The server proxy and the client proxy, if there are any.
    proxies: Vec<Exit>,
}

fn transfer(plan: &Plan, suite: Suite, programs: &Path) -> Result<Run> {
    let scene = Scene::new(plan)?;
    let world = &scene.world;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), plan.size)?;
    for &host in scene.receivers.iter().filter(|_| plan.loss > 0) {
        world.lose_incoming(host, PORT, plan.loss)?;
    }
    let (sender_encryption, receiver_encryption) = plan.encryption();
    let proxies = scene.start_proxies(suite, programs, receiver_encryption)?;
    let receivers: Vec<Receiver> = scene
        .receivers
        .iter()
        .map(|&host| {
            world
                .receiver(suite, host)
                .program(programs.join("uftpd"))
                .args(receiver_encryption)
                .start()
        })
        .collect::<Result<_>>()?;
    let sender = world
        .sender(suite, 0)
        .program(programs.join("uftp"))
        .default_timing()
        .invite(&scene.receivers)
        .rate(&plan.rate.to_string())
        .args(&["-b", &plan.block_size.to_string()])
        .args(&sender_encryption);
    let listed = world.dir().join("proxies");
    let sender = match scene.tunnel {
        None => sender,
        Some((_, client_proxy)) => {
            fs::write(&listed, uid(client_proxy) + "\n")?;
            sender.args(&["-j", &listed.to_string_lossy()])
        }
    };
    let sent = sender.files_of(&content)?.run(BOUND)?;
    sent.ended_with(0)?;
    sent.resulted("copy", &scene.receivers, 1)?;
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

/// Where a transfer takes place. Host 0 is the sender's.
struct Scene {
    world: World,
    /// The hosts of the server proxy and of the client proxy.
    tunnel: Option<(HostId, HostId)>,
    receivers: Vec<HostId>,
}

impl Scene {
    fn new(plan: &Plan) -> Result<Self> {
        let mut networks = uftp_tests::Plan::one_network(1);
        let near = plan.tunnel.then(|| networks.host(0));
        let remote = u8::from(plan.tunnel);
        let far = plan.tunnel.then(|| networks.host(remote));
        let receivers = (0..plan.receivers).map(|_| networks.host(remote)).collect();
        if plan.tunnel {
            networks.router(&[0, remote]);
        }
        Ok(Scene {
            world: World::planned_in(&plan.dir, "bench", networks)?.quiet(),
            tunnel: near.zip(far),
            receivers,
        })
    }

    /// The server proxy and the client proxy, if there are to be any.
    fn start_proxies(&self, suite: Suite, programs: &Path, keys: &[&str]) -> Result<Vec<Proxy>> {
        let Some((near, far)) = self.tunnel else {
            return Ok(Vec::new());
        };
        let to = self.world.address(far, Family::V4);
        let start = |host, role, args: &[&str]| {
            let proxy = self.world.proxy(suite, host, role).args(args);
            proxy.program(programs.join("uftpproxyd")).start()
        };
        Ok(vec![
            start(near, ProxyRole::Server(to), &[])?,
            start(far, ProxyRole::Client, keys)?,
        ])
    }
}

impl Run {
    /// The numbers for [`Plan::quantities`]; those of receivers are means over all of them.
    fn quantities(&self, plan: &Plan) -> Vec<f64> {
        let bytes = plan.size as f64;
        let per_gb = |exit: &Exit| exit.cpu.as_secs_f64() / bytes * 1e9;
        let megabytes = |exit: &Exit| exit.peak_rss as f64 / 1e6;
        let mean = |of: &dyn Fn(&Exit) -> f64| {
            self.receivers.iter().map(of).sum::<f64>() / self.receivers.len() as f64
        };
        let mut numbers = vec![
            bytes / 1e6 / self.sender.elapsed.as_secs_f64(),
            per_gb(&self.sender),
            mean(&per_gb),
            megabytes(&self.sender),
            mean(&megabytes),
        ];
        numbers.extend(self.proxies.iter().map(per_gb));
        numbers.extend(self.proxies.iter().map(megabytes));
        numbers
    }
}
