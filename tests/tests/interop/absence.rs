//! Who is not invited, does not come, leaves or dies, and what becomes of the others.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use nix::sys::signal::Signal;
use uftp_tests::{Parties, Result, Suite, World, patience, write_file};

use super::{BOUND, PORT, all_received, start_receivers};

cases! {
    uninvited_receiver,
    absent_receiver,
    interrupted_sender,
    killed_receiver,
    receiver_that_is_no_longer_heard,
}

fn uninvited_receiver(parties: Parties) -> Result<()> {
    let world = World::new("uninvited", 4)?;
    let content = world.one_file(1_000_000)?;
    let invited = start_receivers(&world, parties, 1..=2)?;
    let uninvited = world.receiver(parties.receiver, 3).start()?;
    let sent = world
        .sender(parties.sender, 0)
        .invite(&[1, 2])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    sent.connected("success", &[1, 2])?;
    sent.connected("failed", &[])?;
    sent.resulted("copy", &[1, 2], 1)?;
    all_received(invited, &content, 1)?;
    uninvited.holds_nothing(Duration::ZERO)?;
    assert_eq!(
        uninvited.status()?,
        [],
        "the uninvited receiver reports no session"
    );
    uninvited.stop().map(drop)
}

fn absent_receiver(parties: Parties) -> Result<()> {
    let world = World::new("absent", 3)?;
    let content = world.one_file(1_000_000)?;
    let receivers = start_receivers(&world, parties, 1..=2)?;
    let sent = world
        .sender(parties.sender, 0)
        .invite(&[1, 2, 99])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    sent.connected("success", &[1, 2])?;
    sent.connected("failed", &[99])?;
    sent.resulted("copy", &[1, 2], 1)?;
    sent.resulted("mute", &[99], 1)?;
    all_received(receivers, &content, 1)
}

/// Ctrl-C in the middle of a file: exit code 6, the receiver drops what it has, and serves on.
fn interrupted_sender(parties: Parties) -> Result<()> {
    let world = World::new("interrupt", 2)?;
    let content = world.one_file(30_000_000)?;
    let receiver = world.receiver(parties.receiver, 1).start()?;
    let mut sender = world
        .sender(parties.sender, 0)
        .rate("16000")
        .files_of(&content)?
        .start()?;
    world.until_received(1, 3_000_000)?;
    sender.program().signal(Signal::SIGINT);
    let sent = sender.finish(patience())?;
    sent.ended_with(6)?;
    sent.resulted("aborted", &[1], 1)?;
    receiver.holds_nothing(patience())?;
    receiver.reported_copied(0)?;

    let second = world.make_dir("second")?;
    write_file(&second.join("after"), 100_000)?;
    let sent = world
        .sender(parties.sender, 0)
        .files_of(&second)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    all_received([receiver], &second, 1)
}

/// A sender that these signals end in mid-file tells its receiver, which does not wait for it in vain.
fn a_sender_ended_by(name: &str, signals: &[Signal]) -> Result<()> {
    let world = World::new(name, 2)?;
    let content = world.one_file(30_000_000)?;
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    let mut sender = world
        .sender(Suite::Ours, 0)
        .rate("16000")
        .files_of(&content)?
        .start()?;
    world.until_received(1, 300_000)?;
    for signal in signals {
        sender.program().signal(*signal);
    }
    let sent = sender.finish(patience())?;
    sent.ended_with(6)?;
    sent.resulted("aborted", &[1], 1)?;
    receiver.holds_nothing(patience())?;
    receiver.reported_copied(0)
}

/// Whoever ends a sender by its group of processes, as `timeout` does, signals it more than once.
#[test]
fn a_sender_that_is_signalled_twice_at_once() -> Result<()> {
    a_sender_ended_by("twice", &[Signal::SIGTERM, Signal::SIGINT])
}

/// The terminal that a sender was started from closes.
#[test]
fn a_sender_whose_terminal_closes() -> Result<()> {
    a_sender_ended_by("hangup", &[Signal::SIGHUP])
}

/// Under nohup the terminal may close, and the file goes on.
#[test]
fn a_sender_whose_terminal_does_not_matter() -> Result<()> {
    let world = World::new("nohup", 2)?;
    let content = world.one_file(3_000_000)?;
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    let uftp = Suite::Ours.program("uftp")?;
    let nohup = world.dir().join("nohup-uftp");
    let script = "#!/bin/sh\nexec env --ignore-signal=HUP \"$UFTP\" \"$@\"\n";
    fs::write(&nohup, script)?;
    fs::set_permissions(&nohup, Permissions::from_mode(0o755))?;
    let mut sender = world
        .sender(Suite::Ours, 0)
        .program(nohup)
        .environment("UFTP", uftp)
        .rate("16000")
        .files_of(&content)?
        .start()?;
    world.until_received(1, 300_000)?;
    sender.program().signal(Signal::SIGHUP);
    sender.finish(BOUND)?.ended_with(0)?;
    all_received([receiver], &content, 1)
}

/// One of two receivers dies in the middle of a file; the other completes, and the next file too.
fn killed_receiver(parties: Parties) -> Result<()> {
    let world = World::new("killed", 3)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("first"), 6_000_000)?;
    write_file(&content.join("second"), 100_000)?;
    let survivor = world.receiver(parties.receiver, 1).start()?;
    let mut victim = world.receiver(parties.receiver, 2).start()?;
    let sender = world
        .sender(parties.sender, 0)
        .rate("24000")
        .files_of(&content)?
        .start()?;
    world.until_received(2, 1_000_000)?;
    victim.program().signal(Signal::SIGKILL);
    let sent = sender.finish(BOUND)?;
    sent.ended_with(0)?;
    sent.connected("success", &[1, 2])?;
    sent.resulted("copy", &[1], 2)?;
    sent.resulted("lost", &[2], 2)?;
    all_received([survivor], &content, 2)
}

/// A receiver whose answers no longer get through is given up with blocks missing. It must not take
/// the end of the session for the end of its file (behaviour-sender-receiver §5.7); the other completes.
fn receiver_that_is_no_longer_heard(parties: Parties) -> Result<()> {
    let world = World::new("unheard", 3)?;
    let content = world.one_file(6_000_000)?;
    world.lose_incoming_data(2, PORT, 200)?;
    let heard = world.receiver(parties.receiver, 1).start()?;
    let unheard = world.receiver(parties.receiver, 2).start()?;
    let sender = world
        .sender(parties.sender, 0)
        .rate("24000")
        .files_of(&content)?
        .start()?;
    world.until_received(2, 1_000_000)?;
    world.silence(2, PORT)?;
    let sent = sender.finish(BOUND)?;
    sent.ended_with(0)?;
    sent.resulted("copy", &[1], 1)?;
    sent.resulted("lost", &[2], 1)?;
    all_received([heard], &content, 1)?;
    unheard.holds_nothing(patience())?;
    unheard.reported_copied(0)?;
    unheard.stop().map(drop)
}
