//! Protocol 3 where proxies have nothing else to go by, and beside the others.

use std::fs;

use uftp_tests::{
    Family, HostId, Plan, ProxyRole, Receiver, Result, SenderSetup, Suite, World, uid, write_file,
};

use crate::{
    condition::Condition,
    stage::{BOUND, PORT, server_line},
    tunnel::{FAR, NEAR, Tunnel},
};

/// First byte of every packet of the earlier programs of protocol 3.
const WIRE_ID: u8 = 0x30;

fn rsa(world: &World, name: &str) -> Result<(String, String)> {
    world.make_key(name, "rsa:1024")
}

/// A sender of this protocol that invites receivers and proxies.
fn sender<'w>(
    world: &'w World,
    host: HostId,
    protocol: &'static str,
    receivers: &[HostId],
    proxies: &[HostId],
) -> Result<SenderSetup<'w>> {
    let list = world.dir().join(format!("proxies{host}"));
    let lines: String = proxies.iter().map(|&host| uid(host) + "\n").collect();
    fs::write(&list, lines)?;
    let sender = world.sender(Suite::Ours, host).protocol(protocol);
    let sender = match protocol {
        "3" => sender
            .default_timing()
            .args(&Condition::Three.sender_args()),
        _ => sender,
    };
    let sender = sender.invite(receivers);
    Ok(sender.args(&["-j", &list.to_string_lossy()]))
}

/// The way to a client proxy is learned from heartbeats of protocol 3, and from nobody who has
/// another key.
#[test]
fn heartbeats_of_protocol_3_alone_open_a_tunnel() -> Result<()> {
    let mut plan = Plan::default();
    let [home, near, far, first, second, thief] = [0, 0, 1, 1, 1, 1].map(|n| plan.host(n));
    plan.router(&[0, 1]);
    let world = World::planned("beat3", plan)?;
    let ((key, print), (other, _)) = (rsa(&world, "key")?, rsa(&world, "other")?);
    let relay = world.proxy(Suite::Ours, near, ProxyRole::Learned(print));
    let relay = relay.start()?;
    world.hear_only(near, PORT, WIRE_ID)?;
    let to = world.address(near, Family::V4).to_string();
    let client = |host, key: &str| {
        let proxy = world.proxy(Suite::Ours, host, ProxyRole::Client);
        proxy.args(&["-H", &to, "-h", "1", "-k", key]).start()
    };
    let stranger = client(thief, &other)?;
    relay.says("Failed to verify HB_REQ")?;
    stranger.says("Heartbeat authentication failed")?;
    stranger.stop()?;
    let proxy = client(far, &key)?;
    let place = world.address(far, Family::V4);
    relay.says(&format!("Using {place}:1044 as downstream"))?;
    let start = |host| world.receiver(Suite::Ours, host).args(&["-E"]).start();
    let receivers = [start(first)?, start(second)?];
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 300_000)?;
    let sent = sender(&world, home, "3", &[first, second], &[far])?
        .args(&["-Y", "aes256", "-w", "rsa", "-K", "1024"])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    sent.resulted("copy", &[first, second], 1)?;
    for receiver in receivers {
        receiver.holds_undated(&content)?;
        receiver.stop()?;
    }
    proxy.says("Sent COMPLETE")?;
    proxy.stop()?;
    relay.stop().map(drop)
}

/// `-T`: who announces every five seconds, for four, hears of receivers behind a proxy that holds what
/// they say for half a second, and not of those behind one that holds it for nearly five.
#[test]
fn answers_are_held_for_part_of_the_time_between_questions() -> Result<()> {
    for (percent, code) in [("10", 0), ("99", 7)] {
        let tunnel = Tunnel::new("hold")?;
        let world = &tunnel.world;
        let role = ProxyRole::Server(tunnel.far(Family::V4));
        let proxies = [
            world.proxy(Suite::Ours, NEAR, role).start()?,
            world
                .proxy(Suite::Ours, FAR, ProxyRole::Client)
                .args(&["-T", percent])
                .start()?,
        ];
        let receivers = tunnel.receivers()?;
        let content = world.one_file(10_000)?;
        let sent = tunnel
            .sender()?
            .protocol("3")
            .default_timing()
            .args(&["--announce-interval", "5000", "--announce-time", "4"])
            .args(&["--register-interval", "5000"])
            .args(&["--status-interval", "500", "--done-interval", "500"])
            .files_of(&content)?
            .run(BOUND)?;
        sent.ended_with(code)?;
        for receiver in receivers {
            receiver.stop()?;
        }
        for proxy in proxies {
            proxy.stop()?;
        }
    }
    Ok(())
}

/// Receivers ask a proxy of protocol 3 for its key, and take it if it is the one they know.
#[test]
fn keys_of_protocol_3_alone_are_asked_for_and_shown() -> Result<()> {
    let mut plan = Plan::default();
    let [home, proxy, first, second, deceived] = [0; 5].map(|n| plan.host(n));
    let world = World::planned("keys3", plan)?;
    let ((path, print), (_, other)) = (rsa(&world, "key")?, rsa(&world, "other")?);
    let place = world.address(proxy, Family::V4);
    let running = world.proxy(Suite::Ours, proxy, ProxyRole::Response);
    let running = running.args(&["-k", &path]).start()?;
    world.hear_only(proxy, PORT, WIRE_ID)?;
    let start = |host, print: &str| -> Result<Receiver> {
        let through = format!("{place}/{print}");
        world
            .receiver(Suite::Ours, host)
            .args(&["-E", "-R", &through])
            .start()
    };
    let mut receivers = [start(first, &print)?, start(second, &print)?];
    for receiver in &mut receivers {
        receiver
            .program()
            .says("Received the keys of the response proxy")?;
    }
    let mut deceived = start(deceived, &other)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 300_000)?;
    let sent = sender(&world, home, "3", &[first, second], &[proxy])?
        .args(&["-Y", "aes128", "-K", "1024", "-c"])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    sent.resulted("copy", &[first, second], 1)?;
    for receiver in receivers {
        receiver.holds_undated(&content)?;
        receiver.stop()?;
    }
    running.says("Sent PROXY_KEY")?;
    running.says("Sent COMPLETE")?;
    running.stop()?;
    let told = deceived.program().output();
    assert!(!told.contains("Received the keys"), "{told}");
    deceived.stop().map(drop)
}

/// All protocols through the same proxies at the same time.
#[test]
fn senders_of_3_4_and_5_share_a_tunnel() -> Result<()> {
    let mut plan = Plan::default();
    let senders = [0; 3].map(|n| plan.host(n));
    let near = plan.host(0);
    let [far, first, second] = [1; 3].map(|n| plan.host(n));
    plan.router(&[0, 1]);
    let world = World::planned("three", plan)?;
    let role = ProxyRole::Server(world.address(far, Family::V4));
    let proxies = [
        world.proxy(Suite::Ours, near, role).start()?,
        world.proxy(Suite::Ours, far, ProxyRole::Client).start()?,
    ];
    // In protocol 5 receivers know a proxy by its name.
    let lines = senders.map(|host| server_line(&world, host, far));
    let lines: Result<String> = lines.into_iter().collect();
    let list = world.dir().join("servers");
    fs::write(&list, lines?)?;
    let start = |host| {
        let receiver = world.receiver(Suite::Ours, host);
        receiver.args(&["-S", &list.to_string_lossy()]).start()
    };
    let receivers = [start(first)?, start(second)?];
    let mut running = Vec::new();
    for (host, protocol) in senders.into_iter().zip(["3", "4", "5"]) {
        let content = world.make_dir(&format!("content{protocol}"))?;
        write_file(&content.join(format!("of{protocol}")), 3_000_000)?;
        let sender = sender(&world, host, protocol, &[first, second], &[far])?;
        let sender = sender.rate("8000").files_of(&content)?;
        running.push(sender.start()?);
    }
    for sender in running {
        let sent = sender.finish(BOUND)?;
        sent.ended_with(0)?;
        sent.resulted("copy", &[first, second], 1)?;
    }
    for receiver in receivers {
        receiver.reported_copied(3)?;
        receiver.stop()?;
    }
    for proxy in proxies {
        proxy.stop()?;
    }
    Ok(())
}
