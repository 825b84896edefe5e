//! Sessions of protocol 5 between our programs: there is no packaged program of another hand that
//! speaks it. Where protocol 4 comes in, so does the reference.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use uftp_tests::{Failure, Family, Result, Suite, World, write_file};

/// The longest a run may take; healthy ones take a second or two.
const BOUND: Duration = Duration::from_secs(60);

/// A sender of protocol 3 that does not take long.
const QUICK_THREE: [&str; 10] = [
    "--announce-time",
    "2",
    "--announce-interval",
    "500",
    "--register-interval",
    "500",
    "--status-interval",
    "500",
    "--done-interval",
    "500",
];

/// One session with these options to two receivers, who insist on encryption.
fn session(family: Family, size: u64, options: &[&str], receiver_options: &[&str]) -> Result<()> {
    let world = World::new("five", 3)?;
    let content = world.one_file(size)?;
    let receiver = |host| {
        let receiver = world.receiver(Suite::Ours, host).family(family);
        receiver.args(&["-E"]).args(receiver_options).start()
    };
    let receivers = [receiver(1)?, receiver(2)?];
    let sent = world
        .sender(Suite::Ours, 0)
        .family(family)
        .default_protocol()
        .invite(&[1, 2])
        .args(options)
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    sent.connected("success", &[1, 2])?;
    sent.resulted("copy", &[1, 2], 1)?;
    for receiver in receivers {
        receiver.holds(&content)?;
        receiver.reported_copied(1)?;
        receiver.stop()?;
    }
    Ok(())
}

#[test]
fn a_session_is_encrypted_unless_told_otherwise() -> Result<()> {
    session(Family::V4, 2_000_000, &[], &[])
}

#[test]
fn identities_and_client_authentication() -> Result<()> {
    for (ours, theirs) in [
        ("rsa:2048", "ec:secp256r1"),
        ("ec:secp521r1", "rsa:3072"),
        ("rsa:3072", "ec:secp384r1"),
    ] {
        session(Family::V4, 100_000, &["-c", "-K", ours], &["-K", theirs])?;
    }
    Ok(())
}

#[test]
fn ipv6() -> Result<()> {
    session(Family::V6, 300_000, &["-c"], &[])
}

#[test]
fn congestion_control() -> Result<()> {
    session(Family::V4, 1_000_000, &["-C", "tfmcc"], &[])
}

/// Members are known by the fingerprints of their keys; one has another key.
#[test]
fn a_closed_group_known_by_fingerprints() -> Result<()> {
    let world = World::new("known", 4)?;
    let content = world.one_file(200_000)?;
    let (mut keys, mut list) = (Vec::new(), String::new());
    for host in 1..=3 {
        let (key, print) = world.make_key(&format!("key{host}.pem"), "ec:secp256r1")?;
        list += &format!("0x{host:08X}|{print}\n");
        keys.push(key);
    }
    let hosts = world.dir().join("hosts");
    fs::write(&hosts, list)?;
    let start = |host, key: &str| {
        let receiver = world.receiver(Suite::Ours, host);
        receiver.args(&["-k", key]).start()
    };
    let right = [start(1, &keys[0])?, start(2, &keys[1])?];
    let wrong = start(3, &keys[0])?;
    let sent = world
        .sender(Suite::Ours, 0)
        .default_protocol()
        .args(&["-c", "-H", &format!("@{}", hosts.display())])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    sent.connected("success", &[1, 2])?;
    sent.connected("failed", &[3])?;
    for receiver in right {
        receiver.holds(&content)?;
        receiver.stop()?;
    }
    wrong.holds_nothing(Duration::ZERO)?;
    wrong.stop().map(drop)
}

#[test]
fn losses() -> Result<()> {
    let world = World::new("lossy", 2)?;
    let content = world.one_file(3_000_000)?;
    world.lose_incoming(1, 1044, 50)?;
    let receiver = world.receiver(Suite::Ours, 1).args(&["-E"]).start()?;
    let sent = world
        .sender(Suite::Ours, 0)
        .default_protocol()
        .invite(&[1])
        .args(&["-c"])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    receiver.holds(&content)?;
    receiver.stop().map(drop)
}

/// Senders of 4.x and 5.x, encrypted and not, at one receiver at the same time.
#[test]
fn both_generations_at_one_receiver() -> Result<()> {
    let world = World::new("both", 4)?;
    let sent = world.make_dir("sent")?;
    let [five, four, plain] = ["five", "four", "plain"].map(|name| sent.join(name));
    for file in [&five, &four, &plain] {
        write_file(file, 1_500_000)?;
    }
    let receiver = world.receiver(Suite::Ours, 3).start()?;
    let slow = |suite, host| world.sender(suite, host).rate("16000").invite(&[3]);
    let running = [
        slow(Suite::Ours, 0)
            .default_protocol()
            .file(&five)
            .start()?,
        slow(Suite::Reference, 1)
            .args(&["-Y", "aes256-gcm", "-h", "sha256"])
            .args(&["-e", "ecdh_ecdsa", "-K", "prime256v1"])
            .file(&four)
            .start()?,
        slow(Suite::Reference, 2).file(&plain).start()?,
    ];
    for sender in running {
        let ended = sender.finish(BOUND)?;
        ended.ended_with(0)?;
        ended.resulted("copy", &[3], 1)?;
    }
    receiver.holds(&sent)?;
    receiver.stop().map(drop)
}

/// A receiver of 4.x does not hear protocol 5, and the sender says that this may be so.
#[test]
fn nobody_registers_who_only_speaks_4() -> Result<()> {
    let world = World::new("deaf", 2)?;
    let content = world.one_file(1000)?;
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    let mut sender = world
        .sender(Suite::Ours, 0)
        .default_protocol()
        .invite(&[1])
        .files_of(&content)?
        .start()?;
    let exit = sender.program().wait(BOUND)?;
    let said = sender.program().output();
    assert_eq!(exit.code, Some(7), "{said}");
    let cause = "do not hear protocol 5 (send with --protocol 4)";
    assert!(said.contains(cause), "{said}");
    // A value that only 4.x has selects protocol 4, and says so.
    let mut sender = world
        .sender(Suite::Ours, 0)
        .default_protocol()
        .invite(&[1])
        .args(&["-Y", "none", "-w", "hmac"])
        .files_of(&content)?
        .start()?;
    let exit = sender.program().wait(BOUND)?;
    let said = sender.program().output();
    assert_eq!(exit.code, Some(0), "{said}");
    assert!(said.contains("Speaking protocol 4, for -w hmac"), "{said}");
    receiver.holds(&content)?;
    receiver.stop().map(drop)
}

#[test]
fn the_environment_chooses_too() -> Result<()> {
    let world = World::new("chosen", 2)?;
    let content = world.one_file(1000)?;
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    let sent = world
        .sender(Suite::Ours, 0)
        .default_protocol()
        .environment("UFTP_PROTOCOL", "4")
        .invite(&[1])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    receiver.holds(&content)?;
    receiver.stop().map(drop)
}

/// Without `-Y` data of protocol 5 is never seen in the clear; with `-Y none` it is, of every protocol
/// by default and of none with `--require-encryption`.
#[test]
fn plain_is_a_choice() -> Result<()> {
    let world = World::new("plain5", 2)?;
    let content = world.one_file(100_000)?;
    for (rule, code) in [(&[][..], 0), (&["--require-encryption"], 7)] {
        let mut receiver = world.receiver(Suite::Ours, 1).args(rule).start()?;
        for protocol in ["3", "4", "5"] {
            let sent = world.sender(Suite::Ours, 0).protocol(protocol).invite(&[1]);
            let sent = match protocol {
                "3" => sent.default_timing().args(&QUICK_THREE),
                _ => sent,
            };
            let sent = sent.args(&["-Y", "none"]).files_of(&content)?.run(BOUND)?;
            sent.ended_with(code)
                .map_err(|failure| Failure::new(format!("{protocol} {rule:?}: {failure}")))?;
        }
        let said = receiver.program().output();
        let refusals = said.matches("No unencrypted transfers allowed").count();
        assert_eq!(refusals >= 3, code == 7, "{said}");
        receiver.stop()?;
    }
    Ok(())
}

/// `--protocols`: sessions of others are not heard. What a sender takes from the environment says
/// nothing to a receiver.
#[test]
fn the_protocols_named_are_heard() -> Result<()> {
    let world = World::new("rprotocol", 2)?;
    let content = world.one_file(5000)?;
    for (named, spoken) in [
        (&["--protocols", "4,5"][..], &["4", "5"][..]),
        (&["--protocols", "3", "--protocol", "5"], &["3", "5"]),
        (&[], &["3", "4", "5"]),
    ] {
        let receiver = world.receiver(Suite::Ours, 1).args(named);
        let receiver = receiver.environment("UFTP_PROTOCOL", "3").start()?;
        for protocol in ["3", "4", "5"] {
            let sent = world.sender(Suite::Ours, 0).protocol(protocol).invite(&[1]);
            let sent = match protocol {
                "3" => sent.default_timing().args(&QUICK_THREE),
                _ => sent,
            };
            let expected = if spoken.contains(&protocol) { 0 } else { 7 };
            let ended = sent.files_of(&content)?.run(BOUND)?;
            ended.ended_with(expected).map_err(|failure| {
                Failure::new(format!("{named:?} hears {protocol}: {failure}"))
            })?;
        }
        receiver.stop()?;
    }
    Ok(())
}

/// Groups made for that are joined for the listed senders only: always if the list is of the form of
/// 4.x, with `-o` if it is of that of 5.x.
#[test]
fn source_specific_groups() -> Result<()> {
    let world = World::new("rssm", 2)?;
    let content = world.one_file(5000)?;
    let group: IpAddr = Ipv4Addr::new(232, 4, 4, 1).into();
    let here = world.address(0, Family::V4);
    let elsewhere = Ipv4Addr::new(10, 77, 0, 99);
    let list = world.dir().join("servers");
    let listed = list.to_string_lossy().into_owned();
    for (line, options, heard) in [
        (format!("{here}"), &[][..], true),
        (format!("{elsewhere}"), &[], false),
        (format!("{elsewhere}|0"), &[], true),
        (format!("{elsewhere}|0"), &["-o"], false),
        (format!("{here}|0"), &["-o"], true),
    ] {
        fs::write(&list, format!("0x0A4D0001|{line}\n"))?;
        let receiver = world.receiver(Suite::Ours, 1).group(group);
        let receiver = receiver.args(&["-S", &listed]).args(options).start()?;
        let sender = world.sender(Suite::Ours, 0).default_protocol().to(group);
        let sender = sender.args(&["-P", "232.5.5.5"]).invite(&[1]);
        let sent = sender.files_of(&content)?.run(BOUND)?;
        sent.ended_with(if heard { 0 } else { 7 })
            .map_err(|failure| Failure::new(format!("{line} {options:?}: {failure}")))?;
        receiver.stop()?;
    }
    Ok(())
}

/// Messages of protocol 5 have no room for an RSA key of 4096 bits and its signature, which is said
/// before anything is sent. Protocol 4 has, where nothing is signed.
#[test]
fn a_key_too_large_for_signed_messages() -> Result<()> {
    let world = World::new("large", 2)?;
    let content = world.one_file(5000)?;
    let (key, _) = world.make_key("key", "rsa:4096")?;
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    let start = |protocol, options: &[&str]| {
        let sender = world.sender(Suite::Ours, 0).protocol(protocol).invite(&[1]);
        let sender = sender.args(&["-Y", "aes256-gcm", "-k", &key]).args(options);
        sender.files_of(&content)?.start()
    };
    let mut refused = start("5", &[])?;
    let exit = refused.program().wait(BOUND)?;
    let said = refused.program().output();
    assert_eq!(exit.code, Some(3), "{said}");
    assert!(said.contains("too large for the announcement"), "{said}");
    start("4", &["-e", "rsa"])?.finish(BOUND)?.ended_with(0)?;
    receiver.holds(&content)?;
    receiver.stop().map(drop)
}
