//! What installations do beyond the plain cases: both suites in one session, odd names, extreme
//! blocks, daemons, no options at all.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use uftp_tests::{Content, Family, Receiver, Result, Suite, World, write_file, write_tree};

/// UDP port of the receivers.
const PORT: u16 = 1044;

const BOUND: Duration = Duration::from_secs(60);

const BOTH: [Suite; 2] = [Suite::Ours, Suite::Reference];

/// Two receivers of either suite, with loss, from a sender of either.
#[test]
fn mixed_receivers() -> Result<()> {
    for sender in BOTH {
        let world = World::new("mixed", 5)?;
        let content = world.make_dir("content")?;
        write_file(&content.join("first"), 2_000_000)?;
        write_file(&content.join("second"), 10_000)?;
        let mut receivers = Vec::new();
        for host in 1..=4 {
            world.lose_incoming(host, PORT, 30)?;
            let suite = if host % 2 == 0 {
                Suite::Ours
            } else {
                Suite::Reference
            };
            receivers.push(world.receiver(suite, host).start()?);
        }
        let sent = world.sender(sender, 0).files_of(&content)?.run(BOUND)?;
        sent.ended_with(0)?;
        sent.resulted("copy", &[1, 2, 3, 4], 2)?;
        all_hold(&receivers, &content)?;
    }
    Ok(())
}

/// The least and the largest block; datagrams with the latter are fragmented.
#[test]
fn extreme_block_sizes() -> Result<()> {
    for (sender, receiver) in [
        (Suite::Ours, Suite::Reference),
        (Suite::Reference, Suite::Ours),
        (Suite::Ours, Suite::Ours),
    ] {
        for size in ["512", "8800"] {
            let world = World::new("blocks", 2)?;
            let content = world.make_dir("content")?;
            write_file(&content.join("file"), 4_000_000)?;
            let receivers = [world.receiver(receiver, 1).start()?];
            let sender = world.sender(sender, 0).args(&["-b", size]);
            let sent = sender.files_of(&content)?.run(BOUND)?;
            sent.ended_with(0)?;
            sent.resulted("copy", &[1], 1)?;
            all_hold(&receivers, &content)?;
        }
    }
    Ok(())
}

#[test]
fn odd_names() -> Result<()> {
    for (sender, receiver) in [
        (Suite::Ours, Suite::Reference),
        (Suite::Reference, Suite::Ours),
    ] {
        let world = World::new("names", 2)?;
        let content = world.make_dir("content")?;
        let long = "n".repeat(200);
        let deep = format!("{}/file", ["directory"; 18].join("/"));
        write_tree(
            &content,
            &[
                Content::File("tree/two words", 10),
                Content::File("tree/Grüße – 文件", 20),
                Content::File("tree/-R", 30),
                Content::File("tree/a..b", 40),
                Content::File("tree/..c", 50),
                Content::File("tree/new\nline", 60),
                Content::File("tree/back\\slash", 70),
                Content::File(&format!("tree/{long}"), 80),
                Content::File(&format!("tree/{deep}"), 90),
            ],
        )?;
        let receivers = [world.receiver(receiver, 1).start()?];
        let sent = world
            .sender(sender, 0)
            .file(&content.join("tree"))
            .run(BOUND)?;
        sent.ended_with(0)?;
        all_hold(&receivers, &content)?;
    }
    Ok(())
}

/// No interface and no id named: both suites find the same ones.
#[test]
fn defaults_of_interface_and_id() -> Result<()> {
    for (sender, receiver) in [
        (Suite::Ours, Suite::Reference),
        (Suite::Reference, Suite::Ours),
    ] {
        let world = World::new("defaults", 3)?;
        let content = world.make_dir("content")?;
        write_file(&content.join("file"), 100_000)?;
        let receivers = [
            world.receiver(receiver, 1).by_itself().start()?,
            world.receiver(receiver, 2).by_itself().start()?,
        ];
        let hosts = [1, 2]
            .map(|host| world.address(host, Family::V4).to_string())
            .join(",");
        let sender = world.sender(sender, 0).by_itself().args(&["-H", &hosts]);
        let sent = sender.files_of(&content)?.run(BOUND)?;
        sent.ended_with(0)?;
        let connected: Vec<_> = sent
            .status
            .iter()
            .filter(|line| line.kind() == "CONNECT")
            .map(|line| (line.field(1), line.field(2)))
            .collect();
        assert_eq!(
            connected,
            [("success", "10.77.0.2"), ("success", "10.77.0.3")]
        );
        all_hold(&receivers, &content)?;
    }
    Ok(())
}

/// An interface has a global and a link-local IPv6 address; the group is joined once all the same.
#[test]
fn ipv6_group_without_an_interface() -> Result<()> {
    let world = World::new("group6", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 100_000)?;
    let receivers = [world
        .receiver(Suite::Ours, 1)
        .family(Family::V6)
        .by_itself()
        .start()?];
    let sender = world.sender(Suite::Ours, 0).family(Family::V6).by_itself();
    let sent = sender.files_of(&content)?.run(BOUND)?;
    sent.ended_with(0)?;
    all_hold(&receivers, &content)
}

/// Three hundred hosts are invited, one is there: lists of hosts overflow their datagrams.
#[test]
fn more_hosts_than_a_datagram_holds() -> Result<()> {
    for (sender, receiver) in [
        (Suite::Ours, Suite::Reference),
        (Suite::Reference, Suite::Ours),
    ] {
        let world = World::new("manyhosts", 2)?;
        let content = world.make_dir("content")?;
        write_file(&content.join("file"), 100_000)?;
        let receivers = [world.receiver(receiver, 1).start()?];
        let absent: String = (0..300)
            .map(|number| format!("0x{:08X},", 0x1000 + number))
            .collect();
        let hosts = format!("{absent}0x00000001");
        let sender = world.sender(sender, 0).args(&["-b", "512", "-H", &hosts]);
        let sent = sender.files_of(&content)?.run(BOUND)?;
        sent.ended_with(0)?;
        sent.connected("success", &[1])?;
        sent.resulted("copy", &[1], 1)?;
        all_hold(&receivers, &content)?;
    }
    Ok(())
}

/// 2 MB at 8,000 Kbps: 1,539 packets charged with 1,352 bytes at 1,024,000 bytes a second. That it is no slower
/// either, a simulated clock shows: here this machine may have other work.
#[test]
fn rate_is_not_exceeded() -> Result<()> {
    let world = World::new("rate", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 2_000_000)?;
    let receivers = [world.receiver(Suite::Reference, 1).start()?];
    let start = Instant::now();
    let sender = world.sender(Suite::Ours, 0).rate("8000").invite(&[1]);
    sender.files_of(&content)?.run(BOUND)?.ended_with(0)?;
    let took = start.elapsed().as_secs_f64();
    let ideal = 1_539.0 * 1_352.0 / 1_024_000.0;
    assert!(
        took >= ideal * 0.99,
        "faster than allowed: {took:.2} s instead of {ideal:.2} s"
    );
    all_hold(&receivers, &content)
}

fn all_hold(receivers: &[Receiver], content: &Path) -> Result<()> {
    receivers
        .iter()
        .try_for_each(|receiver| receiver.holds(content))
}
