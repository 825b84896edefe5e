//! Sessions that are resumed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal;
use uftp_tests::{Failure, Family, Program, Result, Suite, World, eventually, patience};

use super::{BOUND, ONE, QUICK, TWO};

const SIZE: u64 = 8_000_000;

/// `uftp` in the world's directory, where restart files go.
fn sender(world: &World, args: &[&str]) -> Result<Command> {
    let mut command = world.command(0, &Suite::Ours.program("uftp")?);
    command
        .current_dir(world.dir())
        .args(["-I", &world.address(0, Family::V4).to_string()])
        .args(["--protocol", "3"])
        .args(QUICK)
        .args(args);
    Ok(command)
}

/// Interrupted at half, the resumed run sends the other half only.
#[test]
fn only_what_is_missing_is_sent_again() -> Result<()> {
    let world = World::new("half", 2)?;
    let content = world.one_file(SIZE)?;
    let temp = world.make_dir("temp")?;
    let temp = temp.to_string_lossy().into_owned();
    let receiver = world.receiver(Suite::Ours, 1).args(&["-T", &temp]);
    let receiver = receiver.start()?;
    let args = ["-R", "24000", "-H", ONE, "-f", "content/file"];
    let log = world.log_path("first");
    let mut first = Program::start("first", sender(&world, &args)?, &log)?;
    world.until_received(1, SIZE / 2)?;
    first.signal(Signal::SIGINT);
    assert_eq!(first.wait(BOUND)?.code, Some(6), "{}", first.output());
    let restart = restart_file(&world)?;
    eventually("the receiver to keep its half", patience(), || {
        kept(Path::new(&temp))
    })?;
    let before = world.received_bytes(1)?;
    let second = sender(&world, &["-R", "24000", "-F", &restart])?;
    let mut second = Program::start("second", second, &world.log_path("second"))?;
    assert_eq!(second.wait(BOUND)?.code, Some(0), "{}", second.output());
    receiver.holds_undated(&content)?;
    let again = world.received_bytes(1)? - before;
    assert!(
        again < SIZE * 6 / 10,
        "{again} bytes for the missing half of {SIZE}"
    );
    receiver.stop().map(drop)
}

/// What a sender has left to resume from.
fn restart_file(world: &World) -> Result<String> {
    let entries = fs::read_dir(world.dir()).into_iter().flatten().flatten();
    let mut left = entries.map(|entry| entry.path());
    let restart = left.find(|path: &PathBuf| path.to_string_lossy().ends_with("_restart"));
    match restart {
        Some(restart) => Ok(restart.to_string_lossy().into_owned()),
        None => Err(Failure::new("no restart file".to_owned())),
    }
}

/// Whether a receiver has written down what it has.
fn kept(temp: &Path) -> std::result::Result<(), String> {
    let entries = fs::read_dir(temp).map_err(|error| error.to_string())?;
    let kept = entries.flatten().any(|entry| entry.path().is_file());
    kept.then_some(()).ok_or("no restart file".to_owned())
}

/// A receiver that is killed has written nothing down: it gets all of the file in the next run,
/// which is for it alone.
#[test]
fn a_killed_receiver_is_served_by_the_next_run() -> Result<()> {
    let world = World::new("killed", 3)?;
    let content = world.one_file(SIZE)?;
    let survivor = world.receiver(Suite::Ours, 1).start()?;
    let mut victim = world.receiver(Suite::Ours, 2).start()?;
    let args = ["-R", "24000", "--status-time", "2", "-H", TWO, "-f"];
    let args = [&args[..], &["content/file"]].concat();
    let log = world.log_path("first");
    let mut first = Program::start("first", sender(&world, &args)?, &log)?;
    world.until_received(2, SIZE / 2)?;
    victim.program().signal(Signal::SIGKILL);
    victim.program().wait(BOUND)?;
    assert_eq!(first.wait(BOUND)?.code, Some(0), "{}", first.output());
    survivor.holds_undated(&content)?;
    let status = survivor.status()?;
    let again = world.receiver(Suite::Ours, 2).start()?;
    let second = ["-R", "24000", "-F", &restart_file(&world)?];
    let second = sender(&world, &second)?;
    let mut second = Program::start("second", second, &world.log_path("second"))?;
    assert_eq!(second.wait(BOUND)?.code, Some(0), "{}", second.output());
    again.holds_undated(&content)?;
    assert_eq!(survivor.status()?, status, "who had finished is not asked");
    survivor.stop()?;
    again.stop().map(drop)
}

/// The second run is killed, and followed by a third before the receiver notices.
#[test]
fn a_killed_sender_is_followed_by_the_next_run() -> Result<()> {
    let world = World::new("again", 2)?;
    let content = world.one_file(SIZE)?;
    let temp = world.make_dir("temp")?;
    let temp = temp.to_string_lossy().into_owned();
    let receiver = world.receiver(Suite::Ours, 1).args(&["-T", &temp]);
    let receiver = receiver.start()?;
    let run = |name: &str, args: &[&str]| {
        let args = [&["-R", "24000"], args].concat();
        Program::start(name, sender(&world, &args)?, &world.log_path(name))
    };
    let mut first = run("first", &["-H", ONE, "-f", "content/file"])?;
    world.until_received(1, SIZE / 4)?;
    first.signal(Signal::SIGINT);
    assert_eq!(first.wait(BOUND)?.code, Some(6), "{}", first.output());
    eventually("the receiver to keep a quarter", patience(), || {
        kept(Path::new(&temp))
    })?;
    let restart = restart_file(&world)?;
    let mut second = run("second", &["-F", &restart])?;
    world.until_received(1, SIZE / 4)?;
    second.signal(Signal::SIGKILL);
    second.wait(BOUND)?;
    let before = world.received_bytes(1)?;
    let mut third = run("third", &["-F", &restart])?;
    assert_eq!(third.wait(BOUND)?.code, Some(0), "{}", third.output());
    receiver.holds_undated(&content)?;
    let again = world.received_bytes(1)? - before;
    assert!(
        again < SIZE * 7 / 10,
        "{again} bytes for the missing half of {SIZE}"
    );
    receiver.stop().map(drop)
}
