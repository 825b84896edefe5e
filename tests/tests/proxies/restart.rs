//! A proxy is killed in the middle of a session and started again.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;
use uftp_tests::{
    Failure, Family, HostId, Plan, Proxy, ProxyRole, Receiver, Result, Suite, World, eventually,
    patience, uid, write_file,
};

use crate::stage::{BOUND, all};

/// Bytes of the file, and its rate in Kbps: some three seconds.
const SIZE: u64 = 3_000_000;
const RATE: &str = "8000";

/// What the sender is told of time: ten repetitions, round trips from 30 ms to 1 s.
const TIMING: [&str; 4] = ["-s", "10", "-r", "0.1:0.03:1"];

/// Where a proxy stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Post {
    Server,
    Client,
    Response,
}

#[test]
fn a_proxy_that_dies_and_comes_back() -> Result<()> {
    let cases = [
        (Post::Server, Suite::Ours),
        (Post::Client, Suite::Ours),
        (Post::Client, Suite::Reference),
        (Post::Response, Suite::Ours),
    ];
    all(&cases, |&(victim, sender)| {
        dies_and_comes_back(victim, sender)
    })
}

/// A receiver beside the sender, two behind proxies.
struct Scene {
    near: (HostId, Receiver),
    far: [(HostId, Receiver); 2],
    proxies: Vec<(Post, HostId, Proxy)>,
    world: World,
    server: HostId,
}

fn dies_and_comes_back(victim: Post, sender: Suite) -> Result<()> {
    let mut scene = Scene::new(victim == Post::Response)?;
    let content = scene.world.make_dir("content")?;
    write_file(&content.join("first"), SIZE)?;
    let sending = scene.sender(sender, RATE).files_of(&content)?.start()?;
    for (_, receiver) in &scene.far {
        begun(receiver)?;
    }
    let at = scene.proxies.iter().position(|(part, ..)| *part == victim);
    let at = at.ok_or_else(|| Failure::new("nobody to be killed"))?;
    let (part, host, mut proxy) = scene.proxies.remove(at);
    proxy.program().signal(Signal::SIGKILL);
    proxy.program().wait(patience())?;
    drop(proxy);
    let again = scene.start(part, host)?;
    scene.proxies.insert(at, (part, host, again));

    // Every receiver has its verdict, and nobody waits for ever.
    let sent = sending.finish(BOUND)?;
    sent.ended_with(0)?;
    sent.resulted("copy", &[scene.near.0], 1)?;
    sent.resulted("lost", &scene.far.each_ref().map(|(host, _)| *host), 1)?;
    for (_, receiver) in &mut scene.far {
        match victim {
            // They heard the sender to the end, who did not hear them.
            Post::Response => receiver.holds(&content)?,
            Post::Server | Post::Client => gave_up(receiver)?,
        }
    }
    for (part, _, proxy) in &scene.proxies {
        if *part != victim {
            proxy.says("Group timed out")?;
        }
    }

    // The next session works at once.
    fs::remove_file(
        scene
            .world
            .dir()
            .join(format!("sender{}.status", scene.server)),
    )?;
    let content = scene.world.make_dir("again")?;
    write_file(&content.join("second"), 100_000)?;
    let sent = scene.sender(Suite::Ours, "100000");
    let sent = sent.files_of(&content)?.run(BOUND)?;
    sent.ended_with(0)?;
    sent.resulted("copy", &scene.hosts(), 1)?;
    for (_, _, proxy) in scene.proxies {
        proxy.stop()?;
    }
    Ok(())
}

impl Scene {
    fn new(gathered: bool) -> Result<Self> {
        let mut plan = Plan::default();
        let (server, near) = (plan.host(0), plan.host(0));
        let network = if gathered { 0 } else { 1 };
        let far = [plan.host(network), plan.host(network)];
        let mut posts = vec![(Post::Response, plan.host(network))];
        if !gathered {
            posts = vec![
                (Post::Client, plan.host(network)),
                (Post::Server, plan.host(0)),
            ];
            plan.router(&[0, network]);
        }
        let world = World::planned("restart", plan)?;
        let through = posts
            .first()
            .map(|(_, host)| world.address(*host, Family::V4));
        let through = through.map(|addr| addr.to_string()).unwrap_or_default();
        let receiver = |host, far: bool| {
            let setup = world.receiver(Suite::Ours, host);
            let args: &[&str] = if far && gathered {
                &["-R", &through]
            } else {
                &[]
            };
            setup.args(args).start().map(|receiver| (host, receiver))
        };
        let near = receiver(near, false)?;
        let [first, second] = far;
        let far = [receiver(first, true)?, receiver(second, true)?];
        let mut scene = Scene {
            near,
            far,
            proxies: Vec::new(),
            world,
            server,
        };
        for (part, host) in posts {
            let proxy = scene.start(part, host)?;
            scene.proxies.push((part, host, proxy));
        }
        // Server proxies are nobody to the sender.
        let listed = scene
            .proxies
            .iter()
            .filter(|(part, ..)| *part != Post::Server);
        let lines: String = listed.map(|(_, host, _)| uid(*host) + "\n").collect();
        fs::write(scene.world.dir().join("proxies"), lines)?;
        Ok(scene)
    }

    fn start(&self, part: Post, host: HostId) -> Result<Proxy> {
        let role = match part {
            Post::Client => ProxyRole::Client,
            Post::Response => ProxyRole::Response,
            Post::Server => {
                let client = self.proxies.iter().find(|(p, ..)| *p == Post::Client);
                let (_, client, _) =
                    client.ok_or_else(|| Failure::new("there is no client proxy"))?;
                ProxyRole::Server(self.world.address(*client, Family::V4))
            }
        };
        self.world.proxy(Suite::Ours, host, role).start()
    }

    fn hosts(&self) -> Vec<HostId> {
        let far = self.far.iter().map(|(host, _)| *host);
        std::iter::once(self.near.0).chain(far).collect()
    }

    fn sender(&self, suite: Suite, rate: &str) -> uftp_tests::SenderSetup<'_> {
        let list = self.world.dir().join("proxies");
        self.world
            .sender(suite, self.server)
            .invite(&self.hosts())
            .args(&["-j", &list.to_string_lossy()])
            .args(&TIMING)
            .rate(rate)
    }
}

/// Waits until data has arrived.
pub(crate) fn begun(receiver: &Receiver) -> Result<()> {
    eventually("data to arrive", patience(), || {
        let entries = fs::read_dir(receiver.dest()).map_err(|error| error.to_string())?;
        let sizes = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
        match sizes.sum::<u64>() {
            0 => Err("nothing is there".to_owned()),
            _ => Ok(()),
        }
    })
}

/// Waits until a receiver has given its session up, and left nothing behind.
fn gave_up(receiver: &mut Receiver) -> Result<()> {
    receiver.holds_nothing(Duration::from_secs(30))?;
    let said = receiver.program().output();
    match said.contains("Transfer timed out") || said.contains("aborted") {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "a receiver does not say why:\n{said}"
        ))),
    }
}
