//! A disk that is too small for the old file and the new one.

use std::fs;

use uftp_tests::{Parties, Result, World, mount_privately, small_disk, write_file};

use crate::BOUND;

const SIZE: usize = 3_000_000;

/// Sends a file over another of its size to a disk with room for one of them; says the sender's exit
/// code and whether the receiver has the old or the new one.
fn replace(parties: Parties, options: &[&str]) -> Result<(Option<i32>, &'static str)> {
    let world = World::new("room", 2)?;
    let old = small_disk(&world, "receiver1.dest", 5 << 20)?.join("file");
    fs::write(&old, vec![b'o'; SIZE])?;
    let words = world.words_with_dirs(options)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let receiver = world.receiver(parties.receiver, 1).args(&words).start()?;
    let file = world.make_dir("content")?.join("file");
    write_file(&file, SIZE as u64)?;
    let sender = world.sender(parties.sender, 0).invite(&[1]);
    let sent = sender.rate("100000").file(&file).run(BOUND)?;
    receiver.stop()?;
    let there = fs::read(&old)?;
    let is = match (there == fs::read(&file)?, there.first()) {
        (true, _) => "new",
        (false, Some(b'o')) => "old",
        (false, _) => "neither",
    };
    Ok((sent.exit.code, is))
}

/// The old file makes room, if nothing asks to keep it.
#[test]
fn disk_with_room_for_one_of_two() -> Result<()> {
    mount_privately()?;
    for (options, left) in [(&[][..], (Some(0), "new")), (&["-t"], (Some(8), "old"))] {
        for parties in Parties::WITH_OURS.into_iter().chain([Parties::REFERENCE]) {
            assert_eq!(replace(parties, options)?, left, "{parties} {options:?}");
        }
    }
    Ok(())
}
