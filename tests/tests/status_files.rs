//! Status files, line by line the same as those of 4.10.2 in the same situation, but for times,
//! speeds and numbers of groups.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use uftp_tests::{Failure, Result, Suite, World, eventually, masked_status, patience, write_file};

const BOUND: Duration = Duration::from_secs(60);

/// What a sender and its receiver wrote.
#[derive(Debug, PartialEq)]
struct Lines {
    sender: Vec<String>,
    receiver: Vec<String>,
}

fn read(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::io(format!("reading {}", path.display()), error))?;
    Ok(masked_status(&text))
}

/// A file, a tree with an empty directory and a link, a request and a deletion, for one receiver
/// that is there and one that is not.
fn plain(sender: Suite, receiver: Suite) -> Result<Lines> {
    let world = World::new("statusplain", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("a;b"), 300_000)?;
    write_file(&content.join("file"), 2050)?;
    fs::create_dir_all(content.join("tree/empty"))
        .and_then(|()| symlink("../file", content.join("link")))
        .map_err(|error| Failure::io("making content", error))?;
    let running = world.receiver(receiver, 1).start()?;
    let setup = world.sender(sender, 0).invite(&[1, 5]).files_of(&content)?;
    let setup = setup.file(Path::new("@FREESPACE"));
    setup
        .file(Path::new("@DELETE:file"))
        .run(BOUND)?
        .ended_with(0)?;
    let status = world.dir().join("receiver1.status");
    eventually(
        "all lines of the receiver",
        patience(),
        || match fs::read_to_string(&status).unwrap_or_default() {
            lines if lines.lines().count() == 7 => Ok(()),
            other => Err(other),
        },
    )?;
    running.stop()?;
    Ok(Lines {
        sender: read(&world.dir().join("sender0.status"))?,
        receiver: read(&status)?,
    })
}

#[test]
fn plain_sessions() -> Result<()> {
    let golden = plain(Suite::Reference, Suite::Reference)?;
    assert!(golden.sender.len() >= 2 + 2 * 6 + 3, "{golden:?}");
    for (sender, receiver) in [
        (Suite::Ours, Suite::Ours),
        (Suite::Ours, Suite::Reference),
        (Suite::Reference, Suite::Ours),
    ] {
        let lines = plain(sender, receiver)?;
        assert_eq!(lines, golden, "{sender:?} to {receiver:?}");
    }
    Ok(())
}

/// Synchronised: one file is new, one is the same, one has changed. The receiver is the reference's.
fn synchronised(sender: Suite) -> Result<Vec<String>> {
    let world = World::new("statussync", 2)?;
    let content = world.make_dir("content")?;
    for name in ["changed", "same"] {
        write_file(&content.join(name), 20_000)?;
    }
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    world
        .sender(Suite::Reference, 0)
        .files_of(&content)?
        .run(BOUND)?
        .ended_with(0)?;
    receiver.reported_copied(2)?;
    let old = receiver.dest().join("changed");
    write_file(&old, 10)?;
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options()
        .write(true)
        .open(&old)
        .and_then(|file| file.set_modified(long_ago))
        .map_err(|error| Failure::io("setting a time", error))?;
    write_file(&content.join("new"), 30_000)?;
    let status = world.dir().join("sync.status");
    let path = status.to_string_lossy().into_owned();
    let setup = world.sender(sender, 0).files_of(&content)?;
    setup.args(&["-z", "-S", &path]).run(BOUND)?.ended_with(0)?;
    receiver.stop()?;
    read(&status)
}

#[test]
fn synchronising_sessions() -> Result<()> {
    let golden = synchronised(Suite::Reference)?;
    for word in ["overwritten;SPEED", "copy;SPEED", "skipped;"] {
        let found = golden.iter().any(|line| line.ends_with(word));
        assert!(found, "{word} in {golden:?}");
    }
    assert_eq!(synchronised(Suite::Ours)?, golden);
    Ok(())
}

/// An open group without an answer writes nothing; a closed one says who failed.
#[test]
fn sessions_without_receivers() -> Result<()> {
    let run = |suite, args: &[&str]| -> Result<String> {
        let world = World::new("statusnobody", 1)?;
        let content = world.make_dir("content")?;
        write_file(&content.join("file"), 10)?;
        let sent = world.sender(suite, 0).args(args).files_of(&content)?;
        sent.run(BOUND)?.ended_with(7)?;
        let path = world.dir().join("sender0.status");
        Ok(fs::read_to_string(path).unwrap_or_default())
    };
    for args in [&[][..], &["-H", "0x5,0x6"], &["-q", "-H", "0x5"]] {
        assert_eq!(
            run(Suite::Ours, args)?,
            run(Suite::Reference, args)?,
            "{args:?}"
        );
    }
    Ok(())
}

/// A receiver answers with a status that senders do not know: COMPLETE of the first file has a 9 in
/// place of it, under way.
fn strange(sender: Suite, receiver: Suite, args: &[&str], code: i32) -> Result<Lines> {
    let world = World::new("statusstrange", 2)?;
    let content = world.make_dir("content")?;
    for name in ["first", "second"] {
        write_file(&content.join(name), 2050)?;
    }
    let mut running = world.receiver(receiver, 1).start()?;
    // Behind the UDP header: version, function, and behind the packet header of 16 bytes file id and
    // status of COMPLETE.
    let complete = "udp sport 1044 @th,64,8 0x40 @th,72,8 12 @th,208,16 1";
    world.rewrite_outgoing(1, complete, "@th,224,8 set 9")?;
    let setup = world.sender(sender, 0).invite(&[1]).args(args);
    let setup = setup.files_of(&content)?;
    setup.run(BOUND)?.ended_with(code)?;
    let log = fs::read(world.log_path("sender0"))?;
    let log = String::from_utf8_lossy(&log);
    let told = "Status: Unknown completion status: 9";
    assert!(log.contains(told), "{sender:?}: {log}");
    running.program().says("Group file transfer confirmed")?;
    running.stop()?;
    Ok(Lines {
        sender: read(&world.dir().join("sender0.status"))?,
        receiver: read(&world.dir().join("receiver1.status"))?,
    })
}

#[test]
fn a_status_that_nobody_knows() -> Result<()> {
    let golden = strange(Suite::Reference, Suite::Reference, &[], 0)?;
    let unknown = |line: &&String| line.contains("first") && line.ends_with(";Unknown;");
    assert_eq!(golden.sender.iter().filter(unknown).count(), 1);
    for (sender, receiver) in [
        (Suite::Ours, Suite::Ours),
        (Suite::Ours, Suite::Reference),
        (Suite::Reference, Suite::Ours),
    ] {
        let lines = strange(sender, receiver, &[], 0)?;
        assert_eq!(lines, golden, "{sender:?} to {receiver:?}");
    }
    // Ours does not take it for success if asked to be strict.
    strange(Suite::Ours, Suite::Ours, &["--strict"], 10)?;
    Ok(())
}
