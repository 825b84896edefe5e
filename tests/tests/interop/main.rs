//! Protocol 4 between our programs and the reference's, in every direction.
//!
//! Each case is one function of who sends and who receives; `cases!` makes a test of it for
//! ours→theirs, theirs→ours and ours→ours.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use uftp_tests::{
    Content, Failure, Family, HostId, Parties, Receiver, Result, SenderSetup, Suite, World,
    write_file, write_tree,
};

/// UDP port of the receivers.
const PORT: u16 = 1044;

/// The longest a run may take; healthy ones take a second or two.
const BOUND: Duration = Duration::from_secs(60);

macro_rules! cases {
    ($($case:ident),+ $(,)?) => {$(
        mod $case {
            use uftp_tests::Parties;

            #[test]
            fn ours_to_theirs() -> uftp_tests::Result<()> {
                super::$case(Parties::OURS_TO_THEIRS)
            }

            #[test]
            fn theirs_to_ours() -> uftp_tests::Result<()> {
                super::$case(Parties::THEIRS_TO_OURS)
            }

            #[test]
            fn ours_to_ours() -> uftp_tests::Result<()> {
                super::$case(Parties::OURS)
            }
        }
    )+};
}

mod absence;

cases! {
    one_megabyte,
    special_sizes,
    sixty_megabytes_unpaced,
    three_receivers_with_loss,
    one_receiver_with_heavy_loss,
    tree_with_empty_directory_and_link,
    sixty_small_files,
    ipv6,
    unicast,
    block_size_1400,
    two_senders_at_once,
    replaced_file,
    congestion_controlled,
    congestion_controlled_with_loss,
}

fn one_megabyte(parties: Parties) -> Result<()> {
    let world = World::new("1mb", 2)?;
    let content = world.one_file(1_000_000)?;
    let receiver = world.receiver(parties.receiver, 1).start()?;
    // With the programs' own timing once, all other cases are hurried.
    let sender = world
        .sender(parties.sender, 0)
        .default_timing()
        .files_of(&content)?;
    deliver(sender, [receiver], &content, 1)
}

/// Nothing, one byte, one block, and 77 blocks of 1300 bytes without a remainder.
fn special_sizes(parties: Parties) -> Result<()> {
    let world = World::new("sizes", 2)?;
    let content = world.make_dir("content")?;
    for size in [0, 1, 1300, 77 * 1300] {
        write_file(&content.join(format!("size{size}")), size)?;
    }
    let receiver = world.receiver(parties.receiver, 1).start()?;
    let sender = world.sender(parties.sender, 0).files_of(&content)?;
    deliver(sender, [receiver], &content, 4)
}

fn sixty_megabytes_unpaced(parties: Parties) -> Result<()> {
    let world = World::new("60mb", 2)?;
    let content = world.one_file(60_000_000)?;
    let receiver = world.receiver(parties.receiver, 1).start()?;
    let sender = world
        .sender(parties.sender, 0)
        .rate("-1")
        .files_of(&content)?;
    deliver(sender, [receiver], &content, 1)
}

fn three_receivers_with_loss(parties: Parties) -> Result<()> {
    let world = World::new("loss5", 4)?;
    let content = world.one_file(4_000_000)?;
    for host in 1..=3 {
        world.lose_incoming(host, PORT, 50)?;
    }
    let receivers = start_receivers(&world, parties, 1..=3)?;
    let sender = world.sender(parties.sender, 0).files_of(&content)?;
    deliver(sender, receivers, &content, 1)?;
    for host in 1..=3 {
        assert!(
            world.lost(host)? > 50,
            "host {host} lost only {} datagrams",
            world.lost(host)?
        );
    }
    Ok(())
}

/// A fifth of the data and a twentieth of the answers go astray.
fn one_receiver_with_heavy_loss(parties: Parties) -> Result<()> {
    let world = World::new("loss20", 2)?;
    let content = world.one_file(2_000_000)?;
    world.lose_incoming(1, PORT, 200)?;
    world.lose_answers(0, PORT, 50)?;
    let receiver = world.receiver(parties.receiver, 1).start()?;
    let sender = world.sender(parties.sender, 0).files_of(&content)?;
    deliver(sender, [receiver], &content, 1)?;
    assert!(
        world.lost(1)? > 150,
        "only {} datagrams were lost",
        world.lost(1)?
    );
    Ok(())
}

fn tree_with_empty_directory_and_link(parties: Parties) -> Result<()> {
    let world = World::new("tree", 2)?;
    let content = world.make_dir("content")?;
    write_tree(
        &content,
        &[
            Content::File("tree/first", 10_000),
            Content::File("tree/deep/er/second", 5_000),
            Content::File("tree/deep/nothing", 0),
            Content::Directory("tree/deep/empty"),
            Content::Link("tree/deep/link", "er/second"),
            Content::Link("tree/dangling", "no/such/place"),
        ],
    )?;
    let receiver = world.receiver(parties.receiver, 1).start()?;
    let sender = world.sender(parties.sender, 0).file(&content.join("tree"));
    deliver(sender, [receiver], &content, 6)
}

fn sixty_small_files(parties: Parties) -> Result<()> {
    let world = World::new("small", 3)?;
    let content = world.make_dir("content")?;
    for number in 0..60 {
        write_file(&content.join(format!("file{number:02}")), number * 211)?;
    }
    let receivers = start_receivers(&world, parties, 1..=2)?;
    let sender = world.sender(parties.sender, 0).files_of(&content)?;
    deliver(sender, receivers, &content, 60)
}

fn ipv6(parties: Parties) -> Result<()> {
    let world = World::new("ipv6", 3)?;
    let content = world.one_file(1_000_000)?;
    let receivers = (1..=2)
        .map(|host| {
            world
                .receiver(parties.receiver, host)
                .family(Family::V6)
                .start()
        })
        .collect::<Result<Vec<_>>>()?;
    let sender = world
        .sender(parties.sender, 0)
        .family(Family::V6)
        .files_of(&content)?;
    deliver(sender, receivers, &content, 1)
}

/// Two receivers listen, and only the addressed one may get anything.
fn unicast(parties: Parties) -> Result<()> {
    let world = World::new("unicast", 3)?;
    let content = world.one_file(1_000_000)?;
    let addressed = world.receiver(parties.receiver, 1).start()?;
    let other = world.receiver(parties.receiver, 2).start()?;
    let to = world.address(1, Family::V4);
    let sender = world.sender(parties.sender, 0).to(to);
    deliver(sender.files_of(&content)?, [addressed], &content, 1)?;
    other.holds_nothing(Duration::ZERO)
}

fn block_size_1400(parties: Parties) -> Result<()> {
    let world = World::new("block1400", 2)?;
    let content = world.make_dir("content")?;
    // More than one section, a last block that is not full; and only full blocks.
    write_file(&content.join("uneven"), 20_000_001)?;
    write_file(&content.join("even"), 500 * 1400)?;
    let receiver = world.receiver(parties.receiver, 1).start()?;
    let sender = world
        .sender(parties.sender, 0)
        .rate("400000")
        .args(&["-b", "1400"]);
    deliver(sender.files_of(&content)?, [receiver], &content, 2)
}

fn two_senders_at_once(parties: Parties) -> Result<()> {
    let world = World::new("two", 4)?;
    let content = world.make_dir("content")?;
    let files: [PathBuf; 2] = [content.join("first"), content.join("second")];
    for file in &files {
        write_file(file, 3_000_000)?;
    }
    let receivers = start_receivers(&world, parties, 2..=3)?;
    // Each takes two seconds, so they overlap.
    let senders = (0u8..)
        .zip(&files)
        .map(|(host, file)| {
            world
                .sender(parties.sender, host)
                .rate("12000")
                .file(file)
                .start()
        })
        .collect::<Result<Vec<_>>>()?;
    for sender in senders {
        let sent = sender.finish(BOUND)?;
        sent.ended_with(0)?;
        sent.resulted("copy", &[2, 3], 1)?;
    }
    all_received(receivers, &content, 2)
}

/// A longer and newer file of the same name is there before.
fn replaced_file(parties: Parties) -> Result<()> {
    let world = World::new("replaced", 2)?;
    let content = world.one_file(100_000)?;
    let receiver = world.receiver(parties.receiver, 1).start()?;
    std::fs::write(receiver.dest().join("file"), vec![b'x'; 300_000])?;
    let sender = world.sender(parties.sender, 0).files_of(&content)?;
    deliver(sender, [receiver], &content, 1)
}

/// Three files under TFMCC, without any loss, at a rate at which each takes several rounds of
/// feedback.
fn congestion_controlled(parties: Parties) -> Result<()> {
    let world = World::new("tfmcc", 4)?;
    let content = files(&world, 3, 5_000_000)?;
    let receivers = start_receivers(&world, parties, 1..=3)?;
    let sender = world
        .sender(parties.sender, 0)
        .args(&["-C", "tfmcc:max=40000"]);
    deliver(sender.files_of(&content)?, receivers, &content, 3)?;
    match parties.sender {
        Suite::Ours => others_report_in_the_last_file(&world),
        Suite::Reference => Ok(()),
    }
}

/// Receivers that do not limit the rate must be heard in every file, not only the first.
fn others_report_in_the_last_file(world: &World) -> Result<()> {
    let path = world.log_path("sender0");
    let doing = |error| Failure::io(format!("reading {}", path.display()), error);
    let log = std::fs::read_to_string(&path).map_err(doing)?;
    let last = log.rsplit("sending as:").next().unwrap_or_default();
    let reports = last.lines().filter(|line| line.contains("Got CC rate"));
    let others = reports.filter(|line| !line.ends_with("CLR")).count();
    assert!(
        others > 0,
        "nobody but the limiting receiver reports:\n{last}"
    );
    Ok(())
}

/// Two files under TFMCC that lose one packet in fifty.
fn congestion_controlled_with_loss(parties: Parties) -> Result<()> {
    let world = World::new("tfmccloss", 3)?;
    let content = files(&world, 2, 1_500_000)?;
    for host in 1..=2 {
        world.lose_incoming(host, PORT, 20)?;
    }
    let receivers = start_receivers(&world, parties, 1..=2)?;
    let sender = world
        .sender(parties.sender, 0)
        .args(&["-C", "tfmcc"])
        .files_of(&content)?;
    deliver(sender, receivers, &content, 2)?;
    for host in 1..=2 {
        assert!(world.lost(host)? > 10, "host {host} lost nothing");
    }
    Ok(())
}

/// A directory with `count` files of `size` bytes.
fn files(world: &World, count: usize, size: u64) -> Result<PathBuf> {
    let content = world.make_dir("content")?;
    for number in 0..count {
        write_file(&content.join(format!("file{number}")), size)?;
    }
    Ok(content)
}

fn start_receivers(
    world: &World,
    parties: Parties,
    hosts: impl Iterator<Item = HostId>,
) -> Result<Vec<Receiver>> {
    hosts
        .map(|host| world.receiver(parties.receiver, host).start())
        .collect()
}

/// Sends all there is in `content`, `items` of them, and expects every receiver to come, to have all
/// and to stop when told.
fn deliver(
    sender: SenderSetup<'_>,
    receivers: impl IntoIterator<Item = Receiver>,
    content: &Path,
    items: usize,
) -> Result<()> {
    let receivers: Vec<_> = receivers.into_iter().collect();
    let hosts: Vec<_> = receivers.iter().map(Receiver::host).collect();
    let sent = sender.run(BOUND)?;
    sent.ended_with(0)?;
    sent.connected("success", &hosts)?;
    sent.resulted("copy", &hosts, items)?;
    all_received(receivers, content, items)
}

/// Expects every receiver to hold exactly `content`, to have reported `items` of it as copied, and
/// to stop when told.
fn all_received(
    receivers: impl IntoIterator<Item = Receiver>,
    content: &Path,
    items: usize,
) -> Result<()> {
    for receiver in receivers {
        receiver.holds(content)?;
        receiver.reported_copied(items)?;
        receiver.stop()?;
    }
    Ok(())
}
