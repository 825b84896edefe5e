//! Sessions that are resumed: whom a sender leaves in its restart file, and what it sends again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::sys::signal::Signal;
use uftp_tests::{Failure, Family, Parties, Program, Result, Suite, World, eventually, patience};

const BOUND: Duration = Duration::from_secs(60);

/// `uftp` in the world's directory, where restart files go, with options for short runs.
fn sender(world: &World, suite: Suite, args: &[&str]) -> Result<Command> {
    let mut command = world.command(0, &suite.program("uftp")?);
    command
        .current_dir(world.dir())
        .args(["-I", &world.address(0, Family::V4).to_string()])
        .args(["-s", "10", "-r", "0.1:0.03:5"]);
    if let Suite::Ours = suite {
        // What the reference speaks.
        command.args(["--protocol", "4"]);
    }
    command.args(args);
    Ok(command)
}

fn run(world: &World, name: &str, command: Command) -> Result<Option<i32>> {
    let mut program = Program::start(name, command, &world.log_path(name))?;
    Ok(program.wait(BOUND)?.code)
}

/// The only restart file in the world's directory.
fn restart_file(world: &World) -> Result<PathBuf> {
    let entries = fs::read_dir(world.dir()).map_err(|e| Failure::io("reading the world", e))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with("_restart"))
        .collect();
    match (found.pop(), found.len()) {
        (Some(path), 0) => Ok(path),
        (last, _) => Err(Failure::new(format!(
            "there should be one restart file: {found:?} {last:?}"
        ))),
    }
}

/// `options` are the sender's.
fn resumes_for_the_absent(first: Suite, options: &[&str]) -> Result<()> {
    let world = World::new("absent", 3)?;
    let content = world.one_file(300_000)?;
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    let args = ["-R", "50000", "-H", "0x1,0x2", "-f", "content/file"];
    let args = [&args, options].concat();
    let code = run(&world, "first", sender(&world, first, &args)?)?;
    assert_eq!(code, Some(0), "lost receivers do not change the exit code");
    let file = restart_file(&world)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let group = name
        .trim_start_matches("_group_")
        .trim_end_matches("_restart");
    assert_eq!(group.len(), 8, "{name}");
    receiver.holds(&content)?;
    let before = receiver.status()?;
    receiver.stop()?;

    let receiver = world.receiver(Suite::Ours, 1).start()?;
    let late = world.receiver(Suite::Ours, 2).start()?;
    let resume = ["-R", "50000", "-F", &name, "-S", "status"];
    let resume = [&resume, options].concat();
    let code = run(&world, "second", sender(&world, Suite::Ours, &resume)?)?;
    assert_eq!(code, Some(0));
    late.holds(&content)?;
    let lines = late.status()?;
    let same = !lines.is_empty() && lines.iter().all(|line| line.field(3) == group);
    assert!(same, "not of session {group}: {lines:?}");
    assert_eq!(receiver.status()?, before, "who had finished is not asked");
    let status = fs::read_to_string(world.dir().join("status")).unwrap_or_default();
    assert!(status.starts_with("CONNECT;success;0x2\n"), "{status}");
    assert!(!status.contains("0x1;"), "{status}");
    let log = fs::read_to_string(world.log_path("second")).unwrap_or_default();
    assert!(log.contains(group), "{log}");
    assert!(file.exists(), "success does not remove it");
    receiver.stop()?;
    late.stop().map(drop)
}

#[test]
fn ours_resumes_for_the_absent() -> Result<()> {
    resumes_for_the_absent(Suite::Ours, &[])
}

/// In protocol 5, whose every run has new keys.
#[test]
fn ours_resumes_encrypted_sessions() -> Result<()> {
    resumes_for_the_absent(Suite::Ours, &["--protocol", "5", "-c"])
}

/// What 4.10.2 leaves, an administrator can finish with ours.
#[test]
fn ours_resumes_what_the_reference_left() -> Result<()> {
    resumes_for_the_absent(Suite::Reference, &[])
}

/// Interrupted at half, the resumed run sends the other half only: the receiver keeps what it has
/// in its temporary directory.
#[test]
fn only_what_is_missing_is_sent_again() -> Result<()> {
    let plain = |parties| sent_again(parties, 1332, &[], false);
    Parties::WITH_OURS.into_iter().try_for_each(plain)
}

/// The same in protocol 5, also if somebody sends in the clear under the session's number meanwhile.
#[test]
fn only_what_is_missing_is_sent_again_encrypted() -> Result<()> {
    let ours = Parties {
        sender: Suite::Ours,
        receiver: Suite::Ours,
    };
    for forged in [false, true] {
        sent_again(ours, 1332 + 28, &["--protocol", "5", "-c"], forged)?;
    }
    Ok(())
}

/// Datagrams with a whole block are `length` bytes long; `options` are the sender's. With `forged`
/// there is a run in the clear between the two.
fn sent_again(parties: Parties, length: usize, options: &[&str], forged: bool) -> Result<()> {
    const BLOCKS: u64 = 6000;
    const BLOCKS_AT_HALF: u64 = BLOCKS / 2;
    const SIZE: u64 = BLOCKS * 1300;
    let world = World::new("half", 2)?;
    // Packets with a whole block of data.
    world.count_incoming(1, &[&format!("udp dport 1044 udp length {length}")])?;
    let blocks = || world.counted(1).map(|counts| counts.iter().sum::<u64>());
    let content = world.one_file(SIZE)?;
    let temp = world.make_dir("temp")?;
    let temp = temp.to_string_lossy().into_owned();
    let receiver = world.receiver(parties.receiver, 1).args(&["-T", &temp]);
    let receiver = receiver.start()?;
    // Half of the time it takes is left to notice that half is there, by commands that take their time, too.
    let args = ["-R", "8000", "-H", "0x1", "-f", "content/file"];
    let args = [&args, options].concat();
    let log = world.log_path("first");
    let mut first = Program::start("first", sender(&world, parties.sender, &args)?, &log)?;
    eventually("half of the file", patience(), || match blocks() {
        Ok(BLOCKS_AT_HALF..) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    first.signal(Signal::SIGINT);
    assert_eq!(first.wait(BOUND)?.code, Some(6), "{}", first.output());
    let name = restart_file(&world)?;
    let name = name.to_string_lossy();
    eventually("the receiver to keep its half", patience(), || {
        let entries = fs::read_dir(Path::new(&temp)).map_err(|error| error.to_string())?;
        let kept = entries.flatten().any(|entry| entry.path().is_file());
        kept.then_some(()).ok_or("no restart file".to_owned())
    })?;

    if forged {
        let clear = ["-R", "48000", "-F", &*name];
        let code = run(&world, "forged", sender(&world, Suite::Ours, &clear)?)?;
        assert_eq!(code, Some(0));
        receiver.holds(&content)?;
        fs::remove_file(receiver.dest().join("file"))?;
    }

    let before = blocks()?;
    let resume = [&["-R", "24000", "-F", &*name], options].concat();
    let code = run(&world, "second", sender(&world, parties.sender, &resume)?)?;
    assert_eq!(code, Some(0), "{parties}");
    receiver.holds(&content)?;
    let after = blocks()? - before;
    println!("{parties}: {before} blocks in the first run, {after} in the second, of {BLOCKS}");
    assert!(
        before + after >= BLOCKS && after <= BLOCKS * 6 / 10,
        "{parties}: {before} blocks in the first run, {after} in the second, of {BLOCKS}"
    );
    receiver.stop().map(drop)
}

#[test]
fn conflicts_and_damaged_files_are_refused() -> Result<()> {
    let world = World::new("conflict", 1)?;
    world.one_file(10)?;
    let code = run(
        &world,
        "leaving",
        sender(&world, Suite::Ours, &["-H", "0x1", "-f", "content/file"])?,
    )?;
    assert_eq!(code, Some(7), "written also when nobody registered");
    let file = restart_file(&world)?;
    let name = file.to_string_lossy().into_owned();
    let mut bytes = fs::read(&file).unwrap_or_default();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(world.dir().join("damaged"), &bytes).unwrap();
    for (args, words) in [
        (vec!["-F", &name, "-H", "0x1"], "both -H and -F"),
        (vec!["-F", &name, "-i", "list"], "both -i and -F"),
        (vec!["-F", &name, "-z"], "restart mode and sync mode"),
        (vec!["-F", "damaged"], "checksum is wrong"),
        (vec!["-F", "missing"], "Failed to open restart file"),
    ] {
        let log = world.log_path("refused");
        let mut program = Program::start("refused", sender(&world, Suite::Ours, &args)?, &log)?;
        assert_eq!(program.wait(BOUND)?.code, Some(1), "{args:?}");
        assert!(program.output().contains(words), "{}", program.output());
    }
    Ok(())
}
