//! What the options of `uftpproxyd` do.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use nix::sys::signal::Signal;
use uftp_tests::{
    Daemon, Failure, Family, Plan, ProxyRole, Result, SenderSetup, Suite, World, eventually,
    patience, uid, write_file,
};

use crate::{
    daemon::ends,
    restart::begun,
    stage::BOUND,
    tunnel::{FAR, NEAR, RECEIVERS, SERVER, Tunnel},
};

/// `-p`, `-q`: every program has another port.
#[test]
fn ports_may_all_differ() -> Result<()> {
    let tunnel = Tunnel::new("ports")?;
    let world = &tunnel.world;
    let role = ProxyRole::Server(tunnel.far(Family::V4));
    let _proxies = [
        world
            .proxy(Suite::Ours, NEAR, role)
            .port(4000)
            .args(&["-q", "3000"])
            .start()?,
        world
            .proxy(Suite::Ours, FAR, ProxyRole::Client)
            .port(3000)
            .args(&["-q", "2000"])
            .start()?,
    ];
    let start = |host| world.receiver(Suite::Ours, host).port(2000).start();
    let receivers = RECEIVERS.into_iter().map(start).collect::<Result<_>>()?;
    tunnel.carries(receivers, |sender| sender.args(&["-p", "4000"]))
}

/// `-t`, `-Q`: of multicast, and of everything.
#[test]
fn time_to_live_and_code_point() -> Result<()> {
    let tunnel = Tunnel::new("ttl")?;
    let world = &tunnel.world;
    let [receiver, _] = RECEIVERS;
    world.count_incoming(
        receiver,
        &[
            "ip daddr 224.0.0.0/4 udp dport 1044 ip ttl 9 ip dscp 0x2e",
            "ip daddr 224.0.0.0/4 udp dport 1044",
        ],
    )?;
    world.count_incoming(
        FAR,
        &[
            "udp dport 1044 ip saddr 10.77.0.2 ip dscp 0x0a",
            "udp dport 1044 ip saddr 10.77.0.2",
        ],
    )?;
    let role = ProxyRole::Server(tunnel.far(Family::V4));
    let _proxies = [
        world
            .proxy(Suite::Ours, NEAR, role)
            .args(&["-Q", "10"])
            .start()?,
        world
            .proxy(Suite::Ours, FAR, ProxyRole::Client)
            .args(&["-t", "9", "-Q", "0x2e"])
            .start()?,
    ];
    tunnel.carries(tunnel.receivers()?, |sender| sender)?;
    for host in [receiver, FAR] {
        match world.counted(host)?[..] {
            [marked, all] if marked == all && all > 50 => {}
            ref counts => return Err(Failure::new(format!("host {host} counted {counts:?}"))),
        }
    }
    Ok(())
}

/// All of it over IPv6, and IPv4 multicast through an IPv6 tunnel; in protocol 5 encrypted, with
/// receivers that know sender and proxy by their names.
#[test]
fn over_ipv6() -> Result<()> {
    for (label, groups, protocol) in [
        ("ipv6", Family::V6, "4"),
        ("mixed", Family::V4, "4"),
        ("ipv6five", Family::V6, "5"),
        ("mixedfive", Family::V4, "5"),
    ] {
        let tunnel = Tunnel::new(label)?;
        let world = &tunnel.world;
        let role = ProxyRole::Server(tunnel.far(Family::V6));
        let near = world
            .proxy(Suite::Ours, NEAR, role)
            .family(groups)
            .start()?;
        // Both families have their addresses on the interface.
        let far = world
            .proxy(Suite::Ours, FAR, ProxyRole::Client)
            .args(&["-O", "eth0"])
            .start()?;
        let list = world.dir().join("servers");
        let here = world.address(SERVER, groups);
        fs::write(&list, format!("0xA1|{here}|{}\n", uid(FAR)))?;
        let list = list.to_string_lossy();
        let args: &[&str] = match protocol {
            "5" => &["-E", "-S", &list],
            _ => &[],
        };
        let start = |host| {
            let receiver = world.receiver(Suite::Ours, host).family(groups);
            receiver.args(args).start()
        };
        let receivers = RECEIVERS.into_iter().map(start).collect::<Result<_>>()?;
        tunnel.carries(receivers, |sender| {
            let sender = sender.family(groups).protocol(protocol);
            sender.args(&["-U", "0xA1"])
        })?;
        far.says("fd77::")?;
        near.stop()?;
        far.stop()?;
    }
    Ok(())
}

/// `-S` with groups for that: packets of other senders do not even come in.
#[test]
fn source_specific_multicast() -> Result<()> {
    let tunnel = Tunnel::new("ssm")?;
    let world = &tunnel.world;
    let group = IpAddr::from(Ipv4Addr::new(232, 4, 4, 1));
    let list = world.dir().join("servers");
    let listed = list.to_string_lossy().into_owned();
    let role = ProxyRole::Server(tunnel.far(Family::V4));
    let setup = |address: IpAddr| {
        fs::write(&list, format!("0x0A4D0001|{address}\n"))?;
        let near = world.proxy(Suite::Ours, NEAR, role.clone()).group(group);
        near.args(&["-S", &listed, "-o"]).start()
    };
    let near = setup(world.address(SERVER, Family::V4))?;
    let _far = world.proxy(Suite::Ours, FAR, ProxyRole::Client).start()?;
    let start = |host| world.receiver(Suite::Ours, host).group(group).start();
    let receivers = RECEIVERS.into_iter().map(start).collect::<Result<_>>()?;
    fn to_group(sender: SenderSetup<'_>) -> SenderSetup<'_> {
        let group = Ipv4Addr::new(232, 4, 4, 1);
        sender.to(group.into()).args(&["-P", "232.5.5.5"])
    }
    tunnel.carries(receivers, to_group)?;
    near.stop()?;

    // The sender is no longer where the list says: the proxy does not hear it.
    let near = setup(Ipv4Addr::new(10, 77, 0, 99).into())?;
    let file = world.dir().join("content").join("file");
    let sent = to_group(tunnel.sender()?)
        .args(&["-s", "10"])
        .file(&file)
        .run(BOUND)?;
    sent.ended_with(7)?;
    assert!(!near.said().contains("Received request"), "{}", near.said());
    near.stop().map(drop)
}

/// `--max-clients`: who is too much is told so.
#[test]
fn more_clients_than_it_may_have() -> Result<()> {
    let tunnel = Tunnel::new("many")?;
    let world = &tunnel.world;
    let role = ProxyRole::Server(tunnel.far(Family::V4));
    let _near = world.proxy(Suite::Ours, NEAR, role).start()?;
    let far = world
        .proxy(Suite::Ours, FAR, ProxyRole::Client)
        .args(&["--max-clients", "1"])
        .start()?;
    let mut receivers = tunnel.receivers()?;
    let file = world.dir().join("file");
    write_file(&file, 100_000)?;
    let sent = tunnel.sender()?.file(&file).run(BOUND)?;
    sent.ended_with(0)?;
    far.says("max destinations exceeded")?;
    let said: Vec<_> = receivers.iter_mut().map(|r| r.program().output()).collect();
    let refused = said
        .iter()
        .filter(|s| s.contains("Transfer aborted by server: Max destinations exceeded"));
    assert_eq!(refused.count(), 1, "{said:?}");
    assert_eq!(
        said.iter()
            .filter(|s| s.contains("File transfer complete"))
            .count(),
        1,
        "{said:?}"
    );
    Ok(())
}

/// `-C`: who is not listed gets no keys where receivers prove themselves, and with `--strict` has no
/// part in any session.
#[test]
fn clients_that_are_not_listed() -> Result<()> {
    let keys = ["-K", "ec:prime256v1"];
    let proved = [
        "-c",
        "-Y",
        "aes256-gcm",
        "-e",
        "ecdh_ecdsa",
        "-K",
        "prime256v1",
    ];
    for (label, options, sending) in [
        ("listed", &keys[..], &proved[..]),
        ("strict", &["--strict"], &[]),
    ] {
        let tunnel = Tunnel::new(label)?;
        let world = &tunnel.world;
        let [listed, other] = RECEIVERS;
        let list = world.dir().join("clients");
        fs::write(&list, uid(listed) + "\n")?;
        let role = ProxyRole::Server(tunnel.far(Family::V4));
        let _near = world.proxy(Suite::Ours, NEAR, role).start()?;
        let far = world.proxy(Suite::Ours, FAR, ProxyRole::Client);
        let far = far.args(&["-C", &list.to_string_lossy()]).args(options);
        let _far = far.start()?;
        let start = |host| world.receiver(Suite::Ours, host).args(&keys).start();
        let receivers = [start(listed)?, start(other)?];
        let content = world.make_dir("content")?;
        write_file(&content.join("file"), 100_000)?;
        let sender = tunnel.sender()?.args(sending).files_of(&content)?;
        let sent = sender.run(BOUND)?;
        sent.ended_with(0)?;
        sent.resulted("copy", &[listed], 1)?;
        let [first, second] = receivers;
        first.holds(&content)?;
        second.holds_nothing(Duration::ZERO)?;
    }
    Ok(())
}

/// `-S`: who is not listed may send in clear, but not with `--strict`.
#[test]
fn senders_that_are_not_listed() -> Result<()> {
    for (label, strict) in [("anyone", &[][..]), ("known", &["--strict"])] {
        let tunnel = Tunnel::new(label)?;
        let world = &tunnel.world;
        let list = world.dir().join("servers");
        fs::write(&list, "0x0A0000FF|10.77.0.99\n")?;
        let role = ProxyRole::Server(tunnel.far(Family::V4));
        let _near = world.proxy(Suite::Ours, NEAR, role).start()?;
        let far = world.proxy(Suite::Ours, FAR, ProxyRole::Client);
        let far = far.args(&["-S", &list.to_string_lossy()]).args(strict);
        let far = far.start()?;
        let receivers = tunnel.receivers()?;
        if strict.is_empty() {
            tunnel.carries(receivers, |sender| sender)?;
            continue;
        }
        let file = world.dir().join("file");
        write_file(&file, 100_000)?;
        let sent = tunnel.sender()?.file(&file).run(BOUND)?;
        sent.ended_with(7)?;
        far.says("Server not in server list")?;
        for receiver in &receivers {
            receiver.holds_nothing(Duration::ZERO)?;
        }
    }
    Ok(())
}

/// SIGTERM: both sides are told, and nobody waits for a time-out.
#[test]
fn a_proxy_that_is_stopped_ends_its_session() -> Result<()> {
    let tunnel = Tunnel::new("stopped")?;
    let world = &tunnel.world;
    let role = ProxyRole::Server(tunnel.far(Family::V4));
    let _near = world.proxy(Suite::Ours, NEAR, role).start()?;
    let far = world.proxy(Suite::Ours, FAR, ProxyRole::Client).start()?;
    let mut receivers = tunnel.receivers()?;
    let file = world.dir().join("file");
    write_file(&file, 10_000_000)?;
    let sending = tunnel.sender()?.rate("8000").file(&file).start()?;
    for receiver in &receivers {
        begun(receiver)?;
    }
    far.stop()?;
    let words = "Proxy shutting down";
    for receiver in &mut receivers {
        let told = format!("Transfer aborted by server: {words}");
        receiver.program().says(&told)?;
    }
    let sent = sending.finish(BOUND)?;
    sent.ended_with(9)?;
    sent.resulted("aborted", &RECEIVERS, 1)
}

/// `fp=`: the tunnel goes to whoever proves the key, and only there. `-H` with a port, `-h`.
#[test]
fn the_tunnel_moves_with_the_key() -> Result<()> {
    let mut plan = Plan::default();
    for network in [0, 0, 1, 1, 1, 1] {
        plan.host(network);
    }
    plan.router(&[0, 1]);
    let tunnel = Tunnel {
        world: World::planned("moves", plan)?,
    };
    let world = &tunnel.world;
    let make = |name| world.make_key(name, "ec:prime256v1");
    let ((key, print), (other, _)) = (make("key")?, make("other")?);
    let near = world
        .proxy(Suite::Ours, NEAR, ProxyRole::Learned(print))
        .port(4000)
        .start()?;
    let to = format!("{}:4000", world.address(NEAR, Family::V4));
    let client = |host, key: &str| {
        let proxy = world.proxy(Suite::Ours, host, ProxyRole::Client);
        proxy
            .args(&["-H", &to, "-h", "1", "-k", key, "-U", &uid(FAR)])
            .start()
    };
    let stranger = client(FAR, &other)?;
    near.says("Failed to verify HB_REQ")?;
    stranger.says("Heartbeat authentication failed")?;
    stranger.stop()?;

    let first = client(FAR, &key)?;
    near.says(&format!(
        "Using {}:1044 as downstream",
        tunnel.far(Family::V4)
    ))?;
    first.says("Heartbeats are answered by")?;
    first.stop()?;
    let second = client(5, &key)?;
    let address = world.address(5, Family::V4);
    near.says(&format!("Using {address}:1044 as downstream"))?;
    tunnel.carries(tunnel.receivers()?, |sender| sender.args(&["-p", "4000"]))?;
    second.says("Sent COMPLETE")?;
    second.stop().map(drop)
}

/// In the background: verdict, log, process id, signals. And every way it can fail to start.
#[test]
fn a_daemon_and_its_exit_codes() -> Result<()> {
    let world = World::new("proxydaemon", 2)?;
    let (log, pid_file) = (world.log_path("daemon"), world.dir().join("pid"));
    let (log_name, pid_name) = (log.to_string_lossy(), pid_file.to_string_lossy());
    let mut line = vec![
        "-s",
        "10.77.0.2",
        "-I",
        "eth0",
        "-L",
        &log_name,
        "-P",
        &pid_name,
    ];
    line.extend(["-g", "1", "-n", "2", "-x", "2"]);
    ends(&world, &line, 0, "")?;
    let daemon = Daemon::of(&pid_file)?;
    for (line, code, says) in [
        (&line[..], 2, "Address already in use"),
        (&["-s", "10.77.0.2", "-I", "nosuch"], 1, "nosuch"),
        (&["-s"], 1, "requires an argument"),
        (&[], 1, "Either -s, -c, or -r must be specified"),
        (&["-c", "-k", "/no/key", "-p", "2000"], 3, "/no/key"),
        (&["-c", "-L", "/no/log", "-p", "2000"], 4, "/no/log"),
    ] {
        ends(&world, line, code, says)?;
    }
    let text = || fs::read_to_string(&log).map_err(|error| error.to_string());
    let logged = |words: &str| {
        eventually(words, patience(), || {
            let text = text()?;
            if text.contains(words) {
                Ok(())
            } else {
                Err(text)
            }
        })
    };
    logged("Server proxy for 10.77.0.2:1044")?;
    daemon.signal(Signal::SIGUSR1);
    logged("Downstream is 10.77.0.2:1044")?;
    fs::rename(&log, world.dir().join("old"))?;
    daemon.signal(Signal::SIGHUP);
    eventually("a new log", patience(), || text().map(drop))?;
    daemon.stop()?;
    logged("Exiting on signal 15")?;
    assert!(!pid_file.exists(), "the process id file is removed");
    Ok(())
}
