//! A scenario played by all programs, and what it leaves.

use std::{
    fs,
    path::{Path, PathBuf},
};

use uftp_tests::{
    Content, Failure, Outcome, Parties, Receiver, Result, Suite, World, listing, masked_names,
    masked_status, write_tree,
};

use crate::BOUND;

/// A sender and a receiver, and what they did so far.
pub(crate) struct Stage {
    parties: Parties,
    pub(crate) world: World,
    receiver: Receiver,
    /// Directories of the receiver besides its destination.
    pub(crate) dirs: Vec<String>,
    pub(crate) outcome: Outcome,
}

impl Stage {
    /// A receiver with these options; `DIR/name` is a directory of its own.
    pub(crate) fn new(label: &str, parties: Parties, options: &[&str]) -> Result<Self> {
        let world = World::new(label, 2)?;
        world.make_dir("content")?;
        let words = world.words_with_dirs(options)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let receiver = world.receiver(parties.receiver, 1).args(&words).start()?;
        let dirs = options.iter().filter_map(|word| word.strip_prefix("DIR/"));
        Ok(Self {
            parties,
            dirs: dirs.map(str::to_owned).collect(),
            world,
            receiver,
            outcome: Outcome::default(),
        })
    }

    /// A file or directory of the sender.
    pub(crate) fn content(&self, name: &str) -> PathBuf {
        self.world.dir().join("content").join(name)
    }

    pub(crate) fn dest(&self, name: &str) -> PathBuf {
        self.receiver.dest().join(name)
    }

    /// Writes these files and directories for the sender.
    pub(crate) fn write(&self, entries: &[Content<'_>]) -> Result<()> {
        write_tree(&self.content(""), entries)
    }

    /// Has the sender send by this command line to the receiver.
    pub(crate) fn send(&mut self, line: &[&str]) -> Result<()> {
        self.send_reading(line, Path::new("/dev/null"))
    }

    pub(crate) fn send_reading(&mut self, line: &[&str], input: &Path) -> Result<()> {
        let sender = self.world.sender(self.parties.sender, 0).invite(&[1]);
        let sender = sender.current_dir(&self.content("")).stdin(input);
        let sent = sender.args(line).run(BOUND)?;
        self.outcome.codes.push(sent.exit.code);
        Ok(())
    }

    /// Waits until the receiver touches nothing any more of what was sent last.
    pub(crate) fn rest(&self) -> Result<()> {
        self.receiver.rests()
    }

    /// What is left when all is done.
    pub(crate) fn end(mut self) -> Result<Outcome> {
        // The reference does one thing after the other: when it takes part in a session again, all that
        // came before is finished.
        let last = self.world.sender(Suite::Reference, 0).invite(&[1]);
        let last = last.args(&["-S", "/dev/null", "@FREESPACE"]).run(BOUND)?;
        last.ended_with(0)?;
        self.receiver.rests()?;
        self.receiver.stop()?;
        let dir = self.world.dir().to_string_lossy().into_owned();
        let status = |name: &str| -> Result<Vec<String>> {
            let text = fs::read_to_string(self.world.dir().join(name))?;
            Ok(masked_status(&text.replace(&dir, "/WORLD")))
        };
        self.outcome.sender = status("sender0.status")?;
        self.outcome.receiver = status("receiver1.status")?;
        self.dirs.push("receiver1.dest".to_owned());
        for name in &self.dirs {
            let dir = self.world.dir().join(name);
            let shown = |path: &str| format!("{name}/{}", masked(&self.world, path));
            self.outcome.tree.extend(listing(&dir, shown)?);
        }
        Ok(self.outcome)
    }
}

/// `text` without what differs from world to world.
pub(crate) fn masked(world: &World, text: &str) -> String {
    let dir = world.dir().to_string_lossy();
    masked_names(&text.replace(dir.trim_start_matches('/'), "WORLD"))
}

/// Plays a scenario by all programs and compares.
pub(crate) fn beside(
    label: &str,
    options: &[&str],
    scenario: impl Fn(&mut Stage) -> Result<()>,
) -> Result<Outcome> {
    let play = |parties| -> Result<Outcome> {
        let told = |failure| Failure::new(format!("{parties}: {failure}"));
        let mut stage = Stage::new(label, parties, options).map_err(told)?;
        scenario(&mut stage)
            .and_then(|()| stage.end())
            .map_err(told)
    };
    let expected = play(Parties::REFERENCE)?;
    for parties in Parties::WITH_OURS {
        let outcome = play(parties)?;
        assert!(
            outcome == expected,
            "{parties} left\n{outcome}\nand should leave\n{expected}"
        );
    }
    Ok(expected)
}
