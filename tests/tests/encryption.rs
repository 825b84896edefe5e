//! Encrypted sessions of protocol 4 between our programs and the reference's, in every direction.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use uftp_tests::{Failure, Family, HostId, Parties, Result, Suite, World};

/// UDP port of the receivers.
const PORT: u16 = 1044;

/// The longest a run may take; healthy ones take a second or two.
const BOUND: Duration = Duration::from_secs(60);

const ACROSS: [Parties; 2] = [Parties::OURS_TO_THEIRS, Parties::THEIRS_TO_OURS];

const CIPHERS: [&str; 7] = [
    "3des",
    "aes128-cbc",
    "aes256-cbc",
    "aes128-gcm",
    "aes256-gcm",
    "aes128-ccm",
    "aes256-ccm",
];

/// Keys that go with a key exchange: what the sender and what receivers are told to make.
fn keys(exchange: &str) -> (&'static str, &'static str) {
    match exchange {
        "ecdh_ecdsa:secp384r1" => ("secp384r1", "ec:secp384r1"),
        "ecdh_ecdsa:secp521r1" => ("secp521r1", "ec:secp521r1"),
        e if e.starts_with("ecdh_ecdsa") => ("prime256v1", "ec:prime256v1"),
        _ => ("1024", "rsa:1024"),
    }
}

/// One session with these algorithms, each way.
fn session(name: &str, cipher: &str, hash: &str, exchange: &str, more: &[&str]) -> Result<()> {
    for parties in ACROSS {
        one_way(parties, name, cipher, hash, exchange, more).map_err(|failure| {
            Failure::new(format!(
                "{cipher} {hash} {exchange} {more:?}, {parties}: {failure}"
            ))
        })?;
    }
    Ok(())
}

fn one_way(
    parties: Parties,
    name: &str,
    cipher: &str,
    hash: &str,
    exchange: &str,
    more: &[&str],
) -> Result<()> {
    let world = World::new(name, 2)?;
    let content = world.one_file(200_000)?;
    let (own, theirs) = keys(exchange);
    let legacy = world.openssl_with_des()?;
    let receiver = world
        .receiver(parties.receiver, 1)
        .args(&["-E", "-K", theirs])
        .environment("OPENSSL_CONF", &legacy)
        .start()?;
    let sent = world
        .sender(parties.sender, 0)
        .invite(&[1])
        .args(&["-Y", cipher, "-h", hash, "-e", exchange, "-K", own])
        .args(more)
        .environment("OPENSSL_CONF", &legacy)
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    sent.connected("success", &[1])?;
    sent.resulted("copy", &[1], 1)?;
    receiver.holds(&content)?;
    receiver.reported_copied(1)?;
    receiver.stop().map(drop)
}

#[test]
fn every_cipher_with_rsa() -> Result<()> {
    for cipher in CIPHERS {
        session("cipher", cipher, "sha256", "rsa", &[])?;
    }
    Ok(())
}

#[test]
fn des_with_the_legacy_provider() -> Result<()> {
    session("des", "des", "sha256", "rsa", &[])
}

#[test]
fn every_hash_with_gcm_and_with_cbc_and_hmac() -> Result<()> {
    for hash in ["sha1", "sha384", "sha512"] {
        session("hash", "aes128-gcm", hash, "rsa", &[])?;
        session("hash", "aes256-cbc", hash, "rsa", &["-w", "hmac"])?;
    }
    Ok(())
}

#[test]
fn every_key_exchange_with_gcm_and_with_signed_packets() -> Result<()> {
    for exchange in ["rsa", "ecdh_rsa", "ecdh_ecdsa"] {
        session("exchange", "aes256-gcm", "sha256", exchange, &[])?;
        session(
            "exchange",
            "aes128-cbc",
            "sha256",
            exchange,
            &["-w", "keyex"],
        )?;
    }
    Ok(())
}

#[test]
fn other_curves() -> Result<()> {
    for exchange in ["ecdh_ecdsa:secp384r1", "ecdh_ecdsa:secp521r1"] {
        session("curve", "aes256-gcm", "sha384", exchange, &["-c"])?;
        session("curve", "aes256-cbc", "sha512", exchange, &["-w", "keyex"])?;
    }
    Ok(())
}

#[test]
fn congestion_control_within_encryption() -> Result<()> {
    session(
        "tfmcc",
        "aes256-gcm",
        "sha256",
        "ecdh_rsa",
        &["-C", "tfmcc:max=50000"],
    )?;
    let signed = ["-w", "keyex", "-C", "tfmcc:max=50000"];
    session("tfmcc", "aes128-cbc", "sha256", "ecdh_ecdsa", &signed)
}

/// The private address is part of what is signed and proved; in a unicast session it is zero.
#[test]
fn ipv6_and_unicast() -> Result<()> {
    for parties in ACROSS {
        let world = World::new("addresses", 2)?;
        let content = world.one_file(100_000)?;
        let keys = ["-Y", "aes128-gcm", "-h", "sha256", "-e", "ecdh_ecdsa", "-c"];
        for (count, family, unicast) in [(1, Family::V6, false), (2, Family::V4, true)] {
            let receiver = world
                .receiver(parties.receiver, 1)
                .family(family)
                .args(&["-K", "ec:prime256v1"])
                .start()?;
            let sender = world
                .sender(parties.sender, 0)
                .family(family)
                .invite(&[1])
                .args(&keys)
                .args(&["-K", "prime256v1"])
                .files_of(&content)?;
            let sender = match unicast {
                true => sender.to(world.address(1, family)),
                false => sender,
            };
            sender.run(BOUND)?.ended_with(0)?;
            receiver.holds(&content)?;
            receiver.reported_copied(count)?;
            receiver.stop()?;
        }
    }
    Ok(())
}

#[test]
fn three_receivers_prove_who_they_are_and_lose_packets() -> Result<()> {
    for parties in ACROSS {
        let world = World::new("auth", 4)?;
        let content = world.one_file(2_000_000)?;
        for host in 1..=3 {
            world.lose_incoming(host, PORT, 40)?;
        }
        let (mut list, mut receivers) = (Vec::new(), Vec::new());
        for host in 1..=3 {
            let (key, line) = make_key(&world, host)?;
            let receiver = world.receiver(parties.receiver, host);
            receivers.push(receiver.args(&["-k", &key]).start()?);
            list.push(line);
        }
        let sent = world
            .sender(parties.sender, 0)
            .args(&["-H", &host_list(&world, &list)?])
            .args(&["-Y", "aes256-gcm", "-h", "sha256", "-c"])
            .args(&["-e", "ecdh_ecdsa", "-K", "prime256v1"])
            .files_of(&content)?
            .run(BOUND)?;
        sent.ended_with(0)?;
        sent.connected("success", &[1, 2, 3])?;
        sent.resulted("copy", &[1, 2, 3], 1)?;
        for receiver in receivers {
            receiver.holds(&content)?;
            receiver.reported_copied(1)?;
            receiver.stop()?;
        }
    }
    Ok(())
}

#[test]
fn a_receiver_with_another_key_than_listed_gets_nothing() -> Result<()> {
    for parties in ACROSS {
        let world = World::new("wrong", 3)?;
        let content = world.one_file(500_000)?;
        let (first_key, first) = make_key(&world, 1)?;
        let (second_key, _) = make_key(&world, 2)?;
        // The second is listed with the key of the first.
        let list = [first.clone(), first.replace("0x00000001", "0x00000002")];
        let start = |host, key: &str| {
            let receiver = world.receiver(parties.receiver, host);
            receiver.args(&["-k", key]).start()
        };
        let (right, wrong) = (start(1, &first_key)?, start(2, &second_key)?);
        let sent = world
            .sender(parties.sender, 0)
            .args(&["-H", &host_list(&world, &list)?])
            .args(&["-Y", "aes256-gcm", "-h", "sha256", "-c"])
            .args(&["-e", "ecdh_ecdsa", "-K", "prime256v1"])
            // The group is announced to the end, as one of it stays away: long enough for a machine
            // that lets somebody wait for more than a second, whom the sender loses otherwise.
            .args(&["-r", "0.2:0.2:5"])
            .files_of(&content)?
            .run(BOUND)?;
        sent.ended_with(0)?;
        sent.connected("success", &[1])?;
        sent.connected("failed", &[2])?;
        sent.resulted("copy", &[1], 1)?;
        sent.resulted("mute", &[2], 1)?;
        right.holds(&content)?;
        right.stop()?;
        wrong.holds_nothing(Duration::ZERO)?;
        wrong.reported_copied(0)?;
        wrong.stop()?;
    }
    Ok(())
}

#[test]
fn keys_are_made_to_fit_where_none_are_given() -> Result<()> {
    for sender in [Suite::Ours, Suite::Reference] {
        let world = World::new("demand", 2)?;
        let content = world.one_file(100_000)?;
        let receiver = world.receiver(Suite::Ours, 1).start()?;
        for (count, keys) in [
            (1, ["-e", "rsa", "-K", "1024"]),
            (2, ["-e", "ecdh_ecdsa", "-K", "secp384r1"]),
        ] {
            let sent = world
                .sender(sender, 0)
                .invite(&[1])
                .args(&["-Y", "aes128-cbc", "-w", "keyex", "-h", "sha256"])
                .args(&keys)
                .files_of(&content)?
                .run(BOUND)?;
            sent.ended_with(0)?;
            receiver.reported_copied(count)?;
        }
        receiver.holds(&content)?;
        receiver.stop()?;
    }
    Ok(())
}

/// Ours to ours without another word than the cipher: whatever both do by default goes together.
#[test]
fn a_cipher_is_all_it_takes() -> Result<()> {
    let world = World::new("plainest", 2)?;
    let content = world.one_file(100_000)?;
    let receiver = world.receiver(Suite::Ours, 1).args(&["-E"]).start()?;
    let sent = world
        .sender(Suite::Ours, 0)
        .invite(&[1])
        .args(&["-Y", "aes256-gcm"])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    receiver.holds(&content)?;
    receiver.stop().map(drop)
}

#[test]
fn a_receiver_that_demands_encryption_refuses_what_is_plain() -> Result<()> {
    for parties in ACROSS {
        let world = World::new("demands", 2)?;
        let content = world.one_file(1000)?;
        let receiver = world.receiver(parties.receiver, 1).args(&["-E"]).start()?;
        let sent = world
            .sender(parties.sender, 0)
            .invite(&[1])
            .files_of(&content)?
            .run(BOUND)?;
        sent.ended_with(7)?;
        receiver.holds_nothing(Duration::ZERO)?;
        receiver.stop()?;
    }
    Ok(())
}

/// Makes the key of a receiver: its path, and the receiver's line in a list of hosts.
fn make_key(world: &World, host: HostId) -> Result<(String, String)> {
    let (path, print) = world.make_key(&format!("key{host}.pem"), "ec:prime256v1")?;
    Ok((path, format!("0x{host:08X}|{print}")))
}

/// A list of hosts, as `-H` takes it.
fn host_list(world: &World, lines: &[String]) -> Result<String> {
    let path: PathBuf = Path::new(world.dir()).join("hosts");
    fs::write(&path, lines.join("\n") + "\n")?;
    Ok(format!("@{}", path.display()))
}
