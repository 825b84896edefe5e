//! Proxies that senders and receivers know by the fingerprints of their keys, in sessions of named
//! algorithms; and senders whose algorithms a proxy does not want.

use std::{fs, time::Duration};

use uftp_tests::{Family, HostId, ProxyRole, Receiver, Result, Suite, World, uid, write_file};

use crate::{
    stage::BOUND,
    tunnel::{FAR, NEAR, RECEIVERS, SERVER, Tunnel},
};

/// A file of lines in the world's directory; returns its path.
fn list(world: &World, name: &str, lines: &str) -> Result<String> {
    let path = world.dir().join(name);
    fs::write(&path, lines)?;
    Ok(path.to_string_lossy().into_owned())
}

/// Everybody knows everybody else by name and key. The first has the longest messages there can be.
#[test]
fn all_are_known_by_fingerprints() -> Result<()> {
    for (label, suite, keys) in [
        (
            "longest",
            ["aes128-ccm", "sha512", "secp521r1"],
            ["rsa:3072", "rsa:3072", "rsa:3072"],
        ),
        (
            "mixed",
            ["aes256-gcm", "sha384", "secp384r1"],
            ["ec:secp521r1", "rsa:2048", "ec:secp256r1"],
        ),
        (
            "small",
            ["aes256-ccm", "sha256", "secp256r1"],
            ["rsa:1024", "ec:secp384r1", "ec:secp521r1"],
        ),
    ] {
        let tunnel = Tunnel::new(label)?;
        let world = &tunnel.world;
        let names = ["server", "proxy", "client"];
        let mut made = Vec::new();
        for (name, spec) in names.into_iter().zip(keys) {
            made.push(world.make_key(name, spec)?);
        }
        let [
            (server, server_print),
            (proxy, proxy_print),
            (client, client_print),
        ] = &made[..]
        else {
            unreachable!("three keys were made")
        };
        let here = world.address(SERVER, Family::V4);
        let far = tunnel.far(Family::V4);

        let role = ProxyRole::Server(far);
        let _near = world.proxy(Suite::Ours, NEAR, role).start()?;
        let servers = format!("0x0A4D0001|{here}|{server_print}\n");
        let servers = list(world, "servers", &servers)?;
        let member = |host: HostId| format!("{}|{client_print}\n", uid(host));
        let members = RECEIVERS.map(member).concat();
        let clients = list(world, "clients", &members)?;
        let _far = world
            .proxy(Suite::Ours, FAR, ProxyRole::Client)
            .args(&["-k", proxy, "-S", &servers, "-C", &clients, "--strict"])
            .start()?;

        let senders = format!("0x0A4D0001|{far}|{}|{server_print}\n", uid(FAR));
        let senders = list(world, "senders", &senders)?;
        let proxies = format!("{}|{far}|{proxy_print}\n", uid(FAR));
        let proxies = list(world, "named", &proxies)?;
        let start = |host| {
            world
                .receiver(Suite::Ours, host)
                .args(&["-E", "-k", client, "-S", &senders, "-R", &proxies])
                .start()
        };
        let receivers: Vec<Receiver> = RECEIVERS.into_iter().map(start).collect::<Result<_>>()?;
        let known = list(world, "known", &format!("{}|{proxy_print}\n", uid(FAR)))?;
        let [cipher, hash, curve] = suite;
        tunnel.carries(receivers, |sender| {
            sender
                .default_protocol()
                .args(&["-Y", cipher, "-h", hash, "-e", curve, "-k", server])
                .args(&["-c", "-j", &known])
        })?;
    }
    Ok(())
}

/// A proxy with another key than the receiver expects is not answered, and hands out nothing.
#[test]
fn a_proxy_with_another_key_is_not_answered() -> Result<()> {
    let tunnel = Tunnel::new("another")?;
    let world = &tunnel.world;
    let far = tunnel.far(Family::V4);
    let ((proxy, right), (_, wrong)) = (
        world.make_key("right", "ec:secp256r1")?,
        world.make_key("wrong", "ec:secp256r1")?,
    );
    let role = ProxyRole::Server(far);
    let _near = world.proxy(Suite::Ours, NEAR, role).start()?;
    let far_proxy = world
        .proxy(Suite::Ours, FAR, ProxyRole::Client)
        .args(&["-k", &proxy])
        .start()?;
    let senders = list(
        world,
        "senders",
        &format!("0x0A4D0001|{far}|{}\n", uid(FAR)),
    )?;
    let start = |host, print: &str| {
        let proxies = format!("{}|{far}|{print}\n", uid(FAR));
        let proxies = list(world, &format!("proxies{host}"), &proxies)?;
        let receiver = world.receiver(Suite::Ours, host);
        receiver
            .args(&["-E", "-S", &senders, "-R", &proxies])
            .start()
    };
    let [first, second] = RECEIVERS;
    let served = start(first, &right)?;
    let mut wary = start(second, &wrong)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 100_000)?;
    let sender = tunnel.sender()?.default_protocol().files_of(&content)?;
    let sent = sender.run(BOUND)?;
    sent.ended_with(0)?;
    sent.resulted("copy", &[first], 1)?;
    served.holds(&content)?;
    wary.holds_nothing(Duration::ZERO)?;
    far_proxy.says("Sending PROXY_KEY")?;
    let said = wary.program().output();
    assert!(
        said.contains("Failed to verify proxy key fingerprint"),
        "{said}"
    );
    Ok(())
}

/// `--refuse-weak`: 5.0.1's rule for senders of 4.x, and its words.
#[test]
fn weak_algorithms_may_be_refused() -> Result<()> {
    const KEY: [&str; 4] = ["-e", "ecdh_ecdsa", "-K", "prime256v1"];
    let tunnel = Tunnel::new("weak")?;
    let world = &tunnel.world;
    let role = ProxyRole::Server(tunnel.far(Family::V4));
    let _near = world.proxy(Suite::Ours, NEAR, role).start()?;
    let far = world
        .proxy(Suite::Ours, FAR, ProxyRole::Client)
        .args(&["--refuse-weak", "-K", "ec:prime256v1"])
        .start()?;
    let start = |host| world.receiver(Suite::Ours, host).start();
    let receivers: Vec<Receiver> = RECEIVERS.into_iter().map(start).collect::<Result<_>>()?;
    let file = world.dir().join("file");
    write_file(&file, 1000)?;
    let weak = tunnel.sender()?.args(&["-Y", "aes256-cbc", "-s", "10"]);
    weak.args(&KEY).file(&file).run(BOUND)?.ended_with(7)?;
    far.says("Invalid sigtype specified")?;
    tunnel.carries(receivers, |sender| {
        sender
            .args(&["-Y", "aes256-gcm", "-h", "sha256"])
            .args(&KEY)
    })
}

/// `--require-encryption`: whatever the protocol, and whichever proxy has it.
#[test]
fn sessions_in_the_clear_may_be_refused() -> Result<()> {
    const RULE: &[&str] = &["--require-encryption"];
    let tunnel = Tunnel::new("inclear")?;
    let world = &tunnel.world;
    let file = world.dir().join("file");
    write_file(&file, 1000)?;
    let near = |args: &[&str]| {
        let role = ProxyRole::Server(tunnel.far(Family::V4));
        world.proxy(Suite::Ours, NEAR, role).args(args).start()
    };
    let far = |args: &[&str]| {
        let far = world.proxy(Suite::Ours, FAR, ProxyRole::Client);
        far.args(args).start()
    };
    let start = |host| world.receiver(Suite::Ours, host).start();
    let receivers: Vec<Receiver> = RECEIVERS.into_iter().map(start).collect::<Result<_>>()?;
    for (near_rule, far_rule, protocol) in [(RULE, &[][..], "4"), (&[], RULE, "5")] {
        let (near, far) = (near(near_rule)?, far(far_rule)?);
        let plain = tunnel.sender()?.protocol(protocol).args(&["-Y", "none"]);
        plain.file(&file).run(BOUND)?.ended_with(7)?;
        let refuses = if near_rule.is_empty() { &far } else { &near };
        refuses.says("No unencrypted transfers allowed")?;
        near.stop()?;
        far.stop()?;
    }
    let _proxies = [near(RULE)?, far(RULE)?];
    tunnel.carries(receivers, |sender| sender.args(&["-Y", "aes256-gcm"]))
}

/// The list that receivers have does for a proxy, too; what it says of proxies is told to mean nothing.
#[test]
fn a_list_that_names_proxies() -> Result<()> {
    let tunnel = Tunnel::new("named")?;
    let world = &tunnel.world;
    let here = world.address(SERVER, Family::V4);
    let line = format!("0x0A4D0001|{here}|{}\n", uid(FAR));
    let servers = list(world, "servers", &line)?;
    let role = ProxyRole::Server(tunnel.far(Family::V4));
    let _near = world.proxy(Suite::Ours, NEAR, role).start()?;
    let far = world.proxy(Suite::Ours, FAR, ProxyRole::Client);
    let far = far.args(&["-S", &servers, "--strict"]).start()?;
    far.says("-S names proxies")?;
    let start = |host| world.receiver(Suite::Ours, host).start();
    let receivers = RECEIVERS.into_iter().map(start).collect::<Result<_>>()?;
    tunnel.carries(receivers, |sender| sender)
}
