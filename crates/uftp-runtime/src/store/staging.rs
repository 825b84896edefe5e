//! The files of a session while it lasts, in the temp directory (`-T`, behaviour-sender-receiver
//! §5.9, §5.12), in its own [`Shelf`].

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use uftp_session::files::{IncomingFile, SessionInfo};

use super::beneath::{Dir, Entry};
use super::held::Held;
use super::restart::{Partial, Restart};
use super::shelf::{self, Shelf};
use crate::log::{self, Tag};

/// Parts remembered of one session. Only a sender that gives up file after file leaves several.
const MAX_PARTIALS: usize = 64;

/// Shelves of the temp directory that a session has right now, by the names of their trees.
pub(super) type Claims = Arc<Mutex<HashSet<OsString>>>;

/// How files leave the temp directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Delivery {
    /// Each top-level entry in one piece: what else was in a directory there is gone.
    Whole,
    /// File by file: what else is in a directory there stays (`-i`).
    Individual,
}

/// The files of one session.
pub(super) struct Staging {
    temp: Dir,
    shelf: Shelf,
    /// Whole files.
    tree: Dir,
    /// Files on their way in, and what is on its way out.
    parts: Dir,
    info: SessionInfo,
    /// Whether `tree` has files of an earlier run of this session.
    resuming: bool,
    partials: Vec<Partial>,
    delivered: bool,
    /// Number of the next entry on its way out.
    outgoing: u32,
    _claim: Claim,
}

/// A file on its way in.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) parts: Dir,
    pub(super) part: OsString,
    /// What it is, if part of it was there.
    pub(super) earlier: Option<Partial>,
}

impl Staging {
    /// The files of this session: none, or those of its last run, if it is a later run and all
    /// that was kept is sound.
    pub(super) fn open(temp: &Dir, info: &SessionInfo, claims: &Claims) -> io::Result<Staging> {
        let shelf = Shelf::of(info);
        let claim = Claim::new(&shelf, claims)?;
        shelf::sort_out(temp, info.group)?;
        let earlier = earlier_run(temp, &shelf, info).filter(|_| shelf.is_own(temp, info));
        if earlier.is_none() {
            shelf.clear(temp)?;
        }
        let [tree, parts] = shelf.make(temp)?;
        let resuming = earlier.is_some();
        let partials = earlier.map_or(Vec::new(), |restart| restart.partials);
        for name in parts.entries()? {
            if !partials.iter().any(|partial| partial.part == name) {
                parts.remove_tree(&name)?;
            }
        }
        Ok(Staging {
            temp: temp.clone(),
            tree,
            shelf,
            parts,
            info: info.clone(),
            resuming,
            partials,
            delivered: false,
            outgoing: 0,
            _claim: claim,
        })
    }

    /// Where whole files go.
    pub(super) fn tree(&self) -> &Dir {
        &self.tree
    }

    /// Whether `there` is the offered file, received whole by an earlier run.
    pub(super) fn has_whole(&self, there: Entry, file: &IncomingFile) -> bool {
        match there {
            Entry::Regular { size, mtime } if self.resuming => {
                size == file.size && (mtime == file.mtime || file.mtime == 0)
            }
            _ => false,
        }
    }

    /// Bytes of the offered file that an earlier run has brought.
    pub(super) fn present(&self, file: &IncomingFile) -> u64 {
        let partial = self.partials.iter().find(|partial| partial.is_of(file));
        partial.map_or(0, Partial::present)
    }

    /// Opens a part for the offered file: the one an earlier run left, else a new one.
    pub(super) fn begin(&mut self, file: &IncomingFile) -> io::Result<Opened> {
        let parts = self.parts.clone();
        if let Some(at) = self.partials.iter().position(|p| p.is_of(file)) {
            let earlier = self.partials.swap_remove(at);
            let opened = parts.open_regular(&earlier.part);
            if let Ok(file) = opened
                && parts.owns(&file)?
            {
                return Ok(Opened {
                    file,
                    parts,
                    part: earlier.part.clone(),
                    earlier: Some(earlier),
                });
            }
        }
        let part: OsString = format!("{:02X}-{:04X}", self.info.instance.0, file.file.0).into();
        parts.remove_tree(&part)?;
        self.partials.retain(|partial| partial.part != part);
        Ok(Opened {
            file: parts.create(&part)?,
            parts,
            part,
            earlier: None,
        })
    }

    /// Remembers a part for a later run.
    pub(super) fn keep(&mut self, partial: Partial) -> io::Result<()> {
        if self.partials.len() >= MAX_PARTIALS {
            let oldest = self.partials.remove(0);
            self.parts.remove_file(&oldest.part)?;
        }
        self.partials.push(partial);
        Ok(())
    }

    /// Moves everything into `dest`, and tells what.
    ///
    /// # Errors
    /// The first error; what could be moved has been.
    pub(super) fn deliver(&mut self, dest: &Held, how: Delivery) -> io::Result<Vec<PathBuf>> {
        let mut moved = Moved::default();
        let tree = self.tree.clone();
        match how {
            Delivery::Individual => self.merge(&tree, &dest.dir, &dest.path, &mut moved)?,
            Delivery::Whole => {
                for name in tree.entries()? {
                    let placed = self.place(&tree, &name, &dest.dir);
                    moved.note(placed, dest.path.join(&name));
                }
            }
        }
        self.delivered = moved.failed.is_none();
        moved.failed.map_or(Ok(moved.paths), Err)
    }

    /// Moves the files below `from` to their places below `to`, whose path is `path`; what else is
    /// there stays. Goes down no further than names of files, of 300 bytes at most, can have led.
    fn merge(&mut self, from: &Dir, to: &Dir, path: &Path, moved: &mut Moved) -> io::Result<()> {
        for name in from.entries()? {
            let path = path.join(&name);
            let is_tree = from.look(&name)?.is_directory() && !from.is_empty(&name)?;
            if is_tree {
                let below = self
                    .make_directory(to, &name)
                    .and_then(|to| Ok((from.child(&name)?, to)))
                    .and_then(|(from, to)| self.merge(&from, &to, &path, moved));
                moved.note_failure(below);
            } else {
                let placed = self.place_leaf(from, &name, to);
                moved.note(placed, path);
            }
        }
        Ok(())
    }

    /// The directory `name` in `to`, made in the place of a file if one is there.
    fn make_directory(&mut self, to: &Dir, name: &OsStr) -> io::Result<Dir> {
        match to.look(name)? {
            Entry::Directory { .. } => {}
            Entry::Absent => to.make(name)?,
            Entry::Regular { .. } | Entry::Other { .. } => {
                let fresh = self.out_name();
                self.parts.make(&fresh)?;
                self.parts.swap_with(&fresh, to, name)?;
            }
        }
        Ok(to.child(name)?)
    }

    /// Moves a file, a link or an empty directory, but not in the place of a tree.
    fn place_leaf(&mut self, from: &Dir, name: &OsStr, to: &Dir) -> io::Result<()> {
        if to.look(name)?.is_directory() {
            if from.look(name)?.is_directory() {
                return Ok(());
            }
            if !to.is_empty(name)? {
                return Err(io::Error::other(format!(
                    "a directory that is not empty has the name {}",
                    log::printable(name.as_encoded_bytes())
                )));
            }
        }
        self.place(from, name, to)
    }

    /// Moves an entry to its place at once. What was there is removed with the session's files.
    fn place(&mut self, from: &Dir, name: &OsStr, to: &Dir) -> io::Result<()> {
        match (from.look(name)?, to.look(name)?) {
            (_, Entry::Absent)
            | (
                Entry::Regular { .. } | Entry::Other { .. },
                Entry::Regular { .. } | Entry::Other { .. },
            ) => from.move_to(name, to, name),
            _ => {
                // Out of the tree first: what is replaced must never be taken for what was sent.
                let out = self.out_name();
                from.move_to(name, &self.parts, &out)?;
                self.parts.swap_with(&out, to, name)
            }
        }
    }

    fn out_name(&mut self) -> OsString {
        self.outgoing += 1;
        format!("out-{}", self.outgoing).into()
    }

    /// The session is over. Unless everything was delivered, what was received is kept for a later
    /// run.
    pub(super) fn end(self) {
        let ended = match self.delivered || self.is_empty() {
            true => self.shelf.clear(&self.temp),
            false => self.save(),
        };
        if let Err(error) = ended {
            let text = format_args!("Couldn't tidy up the temp directory: {error}");
            log::line(0, Some(tag(&self.info)), text);
        }
    }

    fn is_empty(&self) -> bool {
        self.partials.is_empty() && self.tree.entries().is_ok_and(|names| names.is_empty())
    }

    fn save(&self) -> io::Result<()> {
        // What the restart file speaks of must be there when it is.
        self.temp.sync_all()?;
        let restart = Restart {
            group: self.info.group,
            instance: self.info.instance,
            server: self.info.server,
            encrypted: self.info.encrypted,
            partials: self.partials.clone(),
        };
        restart.store(&self.temp, &self.shelf.restart)?;
        let text = format_args!("What was received is kept for a restart of the session");
        log::line(2, Some(tag(&self.info)), text);
        Ok(())
    }
}

/// What was moved, and the first thing that was not.
#[derive(Default)]
struct Moved {
    paths: Vec<PathBuf>,
    failed: Option<io::Error>,
}

impl Moved {
    fn note(&mut self, placed: io::Result<()>, path: PathBuf) {
        match placed {
            Ok(()) => self.paths.push(path),
            failed => self.note_failure(failed),
        }
    }

    fn note_failure(&mut self, result: io::Result<()>) {
        self.failed = self.failed.take().or(result.err());
    }
}

/// What an earlier run left, if this session goes on where that stopped.
fn earlier_run(temp: &Dir, shelf: &Shelf, info: &SessionInfo) -> Option<Restart> {
    if !info.resumed {
        return None;
    }
    let say = |name: &OsStr, why: &dyn std::fmt::Display| {
        let name = log::printable(name.as_encoded_bytes());
        let text = format_args!("Restart file {name} is not used: {why}");
        log::line(1, Some(tag(info)), text);
    };
    let unused = |why: &dyn std::fmt::Display| {
        say(&shelf.restart, why);
        None
    };
    // Anybody may have sent what came in the clear, and what goes on from an encrypted run is to be
    // its sender's alone.
    let strange = match info.encrypted {
        true => "what it tells of was received in the clear",
        false => "what it tells of came encrypted",
    };
    match Restart::load(temp, &shelf.restart) {
        Ok(None) => {
            let other = Shelf::of_other(info).restart;
            if temp.look(&other).is_ok_and(|there| there != Entry::Absent) {
                say(&other, &strange);
            }
            None
        }
        Ok(Some(restart)) if restart.group != info.group || restart.server != info.server => {
            unused(&"it is of another session")
        }
        Ok(Some(restart)) if restart.encrypted != info.encrypted => unused(&strange),
        // Protocol 3 does not count its runs.
        Ok(Some(restart)) if info.instance.0 > 0 && restart.instance >= info.instance => {
            unused(&"it is of a later run")
        }
        Ok(restart) => restart,
        Err(why) => unused(&why),
    }
}

fn tag(info: &SessionInfo) -> Tag {
    Tag::of_session(info.group, info.instance)
}

/// The right to a shelf.
struct Claim {
    tree: OsString,
    claims: Claims,
}

impl Claim {
    fn new(shelf: &Shelf, claims: &Claims) -> io::Result<Claim> {
        let mut held = claims.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.insert(shelf.tree.clone()) {
            return Err(io::Error::other(
                "another session of the same number is being received",
            ));
        }
        drop(held);
        Ok(Claim {
            tree: shelf.tree.clone(),
            claims: Arc::clone(claims),
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&self.tree);
    }
}
