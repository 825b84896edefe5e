//! What a hostile sender can do to our receiver's disk: nothing outside the destination directory.
//!
//! The reference plays the hostile sender, since ours would not send such names.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use uftp_tests::{Receiver, Result, Sent, Suite, World, write_file};

const BOUND: Duration = Duration::from_secs(60);

/// How the reference ends when nobody took anything.
const REJECTED: i32 = 10;

/// Files outside the destination, and what is in them.
const VICTIMS: [&str; 2] = ["victim", "deeper/victim"];
const UNTOUCHED: &[u8] = b"untouched";

/// The world of one attempt: a receiver of ours, beside whose directory lies one that must stay as it is.
struct Attempt {
    world: World,
    receiver: Receiver,
}

impl Attempt {
    fn new(label: &str) -> Result<Self> {
        Self::at_receiver_with(&[], label)
    }

    fn at_receiver_with(args: &[&str], label: &str) -> Result<Self> {
        let world = World::new(label, 2)?;
        let outside = world.make_dir("outside")?;
        world.make_dir("outside/deeper")?;
        for name in VICTIMS {
            fs::write(outside.join(name), UNTOUCHED)?;
        }
        let receiver = world.receiver(Suite::Ours, 1).args(args).start()?;
        Ok(Self { world, receiver })
    }

    /// Sends a file called `name` with these options.
    fn send(&self, name: &str, args: &[&str]) -> Result<Sent> {
        let content = self.world.make_dir("content")?;
        write_file(&content.join(name), 10_000)?;
        let sender = self.world.sender(Suite::Reference, 0).args(args);
        sender.file(&content.join(name)).run(BOUND)
    }

    /// Expects that nothing changed outside, and that the receiver still serves.
    fn was_harmless(self) -> Result<()> {
        let outside = self.world.dir().join("outside");
        for name in VICTIMS {
            let intact = fs::read(outside.join(name))? == UNTOUCHED;
            assert!(intact, "{name} was changed outside the destination");
        }
        let entries = fs::read_dir(&outside)?
            .chain(fs::read_dir(outside.join("deeper"))?)
            .count();
        assert_eq!(entries, 3, "something new lies outside the destination");
        let sent = self.send("harmless", &[])?;
        sent.ended_with(0)?;
        assert!(self.receiver.dest().join("harmless").is_file());
        self.receiver.stop().map(drop)
    }
}

fn refused(attempt: Attempt, dest_name: &str) -> Result<()> {
    let sent = attempt.send("evil", &["-D", dest_name])?;
    sent.ended_with(10)?;
    sent.resulted("rejected", &[1], 1)?;
    attempt.was_harmless()
}

#[test]
fn parent_directory_is_refused() -> Result<()> {
    refused(Attempt::new("dotdot")?, "../outside/evil")
}

#[test]
fn parent_directory_behind_a_name_with_dots_is_refused() -> Result<()> {
    refused(Attempt::new("dots")?, "a..b/../../outside/evil")
}

#[test]
fn absolute_name_outside_is_refused() -> Result<()> {
    let attempt = Attempt::new("absolute")?;
    let name = attempt.world.dir().join("outside/evil");
    refused(attempt, &name.to_string_lossy())
}

/// `/…/receiver1.dest` is a prefix of `/…/receiver1.destroyed`, but not a directory above it.
#[test]
fn absolute_name_that_only_begins_like_the_destination_is_refused() -> Result<()> {
    let attempt = Attempt::new("prefix")?;
    let sibling = format!("{}royed", attempt.receiver.dest().display());
    fs::create_dir(&sibling)?;
    let sent = attempt.send("evil", &["-D", &format!("{sibling}/evil")])?;
    sent.ended_with(10)?;
    assert!(!Path::new(&sibling).join("evil").exists());
    attempt.was_harmless()
}

#[test]
fn link_among_the_parents_is_not_followed() -> Result<()> {
    let attempt = Attempt::new("linkdir")?;
    let outside = attempt.world.dir().join("outside");
    for name in ["way", "path"] {
        symlink(&outside, attempt.receiver.dest().join(name))?;
    }
    // The reference replaces the link when it is the last of the parents, and follows it above that.
    for name in ["way/victim", "path/deeper/victim"] {
        attempt.send("victim", &["-D", name])?;
    }
    attempt.was_harmless()
}

#[test]
fn link_in_the_place_of_the_file_is_not_followed() -> Result<()> {
    let attempt = Attempt::new("linkfile")?;
    let victim = attempt.world.dir().join("outside/victim");
    symlink(&victim, attempt.receiver.dest().join("file"))?;
    attempt.send("victim", &["-D", "file"])?;
    attempt.was_harmless()
}

#[test]
fn destination_itself_cannot_be_deleted() -> Result<()> {
    let attempt = Attempt::new("delete")?;
    let kept = attempt.receiver.dest().join("kept");
    fs::write(&kept, "kept")?;
    for name in ["@DELETE:.", "@DELETE:"] {
        attempt
            .world
            .sender(Suite::Reference, 0)
            .args(&[name])
            .run(BOUND)?;
        assert!(kept.is_file(), "{name} removed a file");
    }
    attempt.was_harmless()
}

#[test]
fn links_and_deletions_can_be_rejected() -> Result<()> {
    let attempt = Attempt::at_receiver_with(&["--no-links", "--no-delete"], "unwanted")?;
    let dest = attempt.receiver.dest().to_owned();
    attempt.send("kept", &[])?.ended_with(0)?;
    let link = attempt.world.dir().join("link");
    symlink("outside/victim", &link)?;
    let sender = || attempt.world.sender(Suite::Reference, 0);
    sender().file(&link).run(BOUND)?.ended_with(REJECTED)?;
    assert!(!dest.join("link").is_symlink());
    sender()
        .args(&["@DELETE:kept"])
        .run(BOUND)?
        .ended_with(REJECTED)?;
    assert!(dest.join("kept").is_file());
    attempt.was_harmless()
}
