//! What happens to command lines and directories in the field.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use uftp_tests::{
    Content, Outcome, Parties, Result, Suite, World, eventually, patience, write_file,
};

use crate::stage::{Stage, beside};
use crate::{BOUND, has};

#[test]
fn two_slashes_in_a_name() -> Result<()> {
    let left = beside("slashes", &[], |stage| {
        stage.write(&[Content::File("file", 3000)])?;
        stage.send(&["-D", "two//slashes", "file"])?;
        let name = format!("{}//absolute", stage.dest("").display());
        stage.send(&["-D", &name, "file"])
    })?;
    let tree = left.tree.join("\n");
    for name in ["two/slashes", "absolute"] {
        assert!(tree.contains(&format!("receiver1.dest/{name} ")), "{tree}");
    }
    Ok(())
}

/// With a base directory without a slash at its end the reference sends names of two slashes.
#[test]
fn base_dir_without_a_slash_below_a_dest_name() -> Result<()> {
    let play = |receiver| -> Result<Outcome> {
        let sender = Suite::Reference;
        let mut stage = Stage::new("baseslash", Parties { sender, receiver }, &[])?;
        stage.write(&[Content::File("base/one/a", 3000)])?;
        stage.send(&["-E", "base", "-o", "-D", "d", "base/one/a"])?;
        stage.end()
    };
    let left = play(Suite::Reference)?;
    has(&left.sender, &["d//one/a;2KB;copy;SPEED"]);
    assert_eq!(play(Suite::Ours)?, left);
    Ok(())
}

/// What is cleaned away, or replaced, while the receiver runs is where its path is when a session begins.
#[test]
fn directories_that_are_replaced() -> Result<()> {
    for options in [&[][..], &["-T", "DIR/temp"], &["-t", "-A", "DIR/backup"]] {
        let left = beside("replaced", options, |stage| {
            stage.write(&[Content::File("tree/file", 3000)])?;
            stage.send(&["-D", "first", "tree"])?;
            let mut dirs: Vec<_> = stage
                .dirs
                .iter()
                .map(|d| stage.world.dir().join(d))
                .collect();
            dirs.push(stage.dest(""));
            stage.rest()?;
            // The reference moves nothing from a temp directory to a destination that is gone.
            fs::remove_dir_all(&dirs[0])?;
            stage.send(&["-D", "gone", "tree"])?;
            stage.rest()?;
            for dir in &dirs {
                if dir.exists() {
                    fs::remove_dir_all(dir)?;
                }
                fs::create_dir(dir)?;
            }
            stage.send(&["-D", "new", "tree"])?;
            stage.send(&["-D", "new", "tree"])
        })?;
        assert_eq!(left.codes, [Some(0); 4], "{options:?} {left}");
    }
    Ok(())
}

/// Waits until a file is in its place; with a temp directory the reference moves it after the session.
fn arrived(file: &Path) -> Result<()> {
    eventually("the file in its place", patience(), || {
        let there = fs::metadata(file);
        there.map(drop).map_err(|error| error.to_string())
    })
}

/// A log, say, that is written to while it is sent: what was announced of it arrives, and the session ends.
#[test]
fn file_that_grows_while_it_is_sent() -> Result<()> {
    const SIZE: u64 = 1_000_000;
    for parties in Parties::WITH_OURS.into_iter().chain([Parties::REFERENCE]) {
        let world = World::new("grows", 2)?;
        let file = world.make_dir("content")?.join("log");
        write_file(&file, SIZE)?;
        let announced = fs::read(&file)?;
        let receiver = world.receiver(parties.receiver, 1).start()?;
        let sender = world.sender(parties.sender, 0).rate("8000").file(&file);
        let sender = sender.start()?;
        world.until_received(1, 100_000)?;
        let mut log = OpenOptions::new().append(true).open(&file)?;
        log.write_all(&[b'+'; 5000])?;
        sender.finish(BOUND)?.ended_with(0)?;
        arrived(&receiver.dest().join("log"))?;
        let received = fs::read(receiver.dest().join("log"))?;
        assert!(received == announced, "{parties}: {} bytes", received.len());
        receiver.stop()?;
    }
    Ok(())
}

/// What was a file is a directory now: in one session, or from one to the next.
#[test]
fn file_that_becomes_a_directory() -> Result<()> {
    for options in [&[][..], &["-T", "DIR/temp"]] {
        let left = beside("becomes", options, |stage| {
            stage.write(&[Content::File("old/x", 3000), Content::File("new/x/y/z", 10)])?;
            stage.send(&["-D", "at-once", "old/x", "new/x"])?;
            stage.send(&["old/x"])?;
            stage.rest()?;
            stage.send(&["new/x"])
        })?;
        assert_eq!(left.codes, [Some(0); 3], "{options:?} {left}");
    }
    Ok(())
}

/// One list of groups serves hosts of one family and of two: what no interface speaks keeps nothing from
/// being heard.
#[test]
fn group_of_a_family_that_the_interface_has_not() -> Result<()> {
    for receiver in [Suite::Reference, Suite::Ours] {
        let sender = Suite::Reference;
        let parties = Parties { sender, receiver };
        let mut stage = Stage::new("families", parties, &["-M", "ff15::9"])?;
        stage.write(&[Content::File("file", 3000)])?;
        stage.send(&["file"])?;
        let left = stage.end()?;
        assert_eq!(left.codes, [Some(0)], "{left}");
        assert!(left.tree.concat().contains("/file 3000 bytes"), "{left}");
    }
    Ok(())
}
