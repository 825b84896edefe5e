//! What a file that is replaced hands on, and one that nothing can take the place of.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use uftp_tests::{Parties, Result, World, mount_over, mount_privately, write_file};

use crate::BOUND;

/// Sends a file to where another one is, which `arrange` is shown first; says the sender's exit code,
/// whether the new content is there, owner and group.
fn replace(
    parties: Parties,
    arrange: impl Fn(&World, &Path) -> Result<()>,
) -> Result<(Option<i32>, bool, u32, u32)> {
    let world = World::new("over", 2)?;
    let there = world.make_dir("receiver1.dest")?.join("file");
    write_file(&there, 70_000)?;
    arrange(&world, &there)?;
    let receiver = world.receiver(parties.receiver, 1).start()?;
    let file = world.make_dir("content")?.join("file");
    write_file(&file, 50_000)?;
    let sent = world
        .sender(parties.sender, 0)
        .invite(&[1])
        .file(&file)
        .run(BOUND)?;
    receiver.stop()?;
    let same = fs::read(&there)? == fs::read(&file)?;
    let left = fs::metadata(&there)?;
    Ok((sent.exit.code, same, left.uid(), left.gid()))
}

/// A daemon that is root leaves files to those they belong to.
#[test]
fn owner_and_group_stay() -> Result<()> {
    for parties in Parties::WITH_OURS.into_iter().chain([Parties::REFERENCE]) {
        let left = replace(parties, |_, there| {
            Ok(chown(there, Some(1234), Some(5678))?)
        })?;
        assert_eq!(left, (Some(0), true, 1234, 5678), "{parties}");
    }
    Ok(())
}

/// As single files are given to containers.
#[test]
fn a_mounted_file_is_written_to() -> Result<()> {
    mount_privately()?;
    for parties in Parties::WITH_OURS.into_iter().chain([Parties::REFERENCE]) {
        let left = replace(parties, |world, there| {
            let outside = world.dir().join("outside");
            write_file(&outside, 60_000)?;
            mount_over(&outside, there)
        })?;
        assert_eq!(left, (Some(0), true, 0, 0), "{parties}");
    }
    Ok(())
}
