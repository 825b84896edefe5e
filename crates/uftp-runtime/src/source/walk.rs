//! A tree, entry by entry, in the order of the file system.

use std::ffi::{OsStr, OsString};
use std::fs::{self, ReadDir};
use std::io;
use std::iter::Peekable;
use std::path::PathBuf;

use super::names::Named;

/// What an entry is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Regular,
    EmptyDirectory,
    Link(OsString),
    /// A device, pipe or socket.
    Special,
}

/// What could not be looked at.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// What failed, in the words of the deployed programs.
    pub(super) failed: &'static str,
    pub(super) path: PathBuf,
    pub(super) why: io::Error,
}

const STATUS: &str = "Error getting file status for";
const DIRECTORY: &str = "Failed to open directory";

/// Depth first through one argument. Directories with entries are not reported themselves.
pub(super) struct Walk {
    first: Option<Named>,
    dirs: Vec<(Named, Peekable<ReadDir>)>,
    follow_links: bool,
}

/// Directories in one another beyond which a tree is taken to contain itself.
const MAX_DEPTH: usize = 200;

impl Walk {
    pub(super) fn new(start: Named, follow_links: bool) -> Self {
        Walk {
            first: Some(start),
            dirs: Vec::new(),
            follow_links,
        }
    }

    /// The next entry, or what could not be looked at. Entries for whose path (from the
    /// argument's parent on) `excluded` holds are passed over with all below them.
    pub(super) fn next(
        &mut self,
        excluded: impl Fn(&OsStr) -> bool,
    ) -> Option<Result<(Named, Kind), Unreadable>> {
        loop {
            let entry = match self.first.take() {
                Some(first) => first,
                None => {
                    let (dir, entries) = self.dirs.last_mut()?;
                    match entries.next() {
                        None => {
                            self.dirs.pop();
                            continue;
                        }
                        Some(Err(why)) => {
                            let path = dir.path.clone();
                            // It would most likely fail for ever.
                            self.dirs.pop();
                            return Some(Err(Unreadable {
                                failed: DIRECTORY,
                                path,
                                why,
                            }));
                        }
                        Some(Ok(entry)) => dir.child(&entry.file_name()),
                    }
                }
            };
            if excluded(&entry.relative) {
                continue;
            }
            match self.look(&entry) {
                Ok(Some(kind)) => return Some(Ok((entry, kind))),
                Ok(None) => {}
                Err((failed, why)) => {
                    return Some(Err(Unreadable {
                        failed,
                        path: entry.path,
                        why,
                    }));
                }
            }
        }
    }

    /// What `entry` is. `None` for a directory that was entered.
    fn look(&mut self, entry: &Named) -> Result<Option<Kind>, (&'static str, io::Error)> {
        let status = |why| (STATUS, why);
        let meta = if self.follow_links {
            fs::metadata(&entry.path)
        } else {
            fs::symlink_metadata(&entry.path)
        };
        let meta = meta.map_err(status)?;
        let kind = meta.file_type();
        if kind.is_dir() {
            let entries = fs::read_dir(&entry.path).map_err(|why| (DIRECTORY, why))?;
            let mut entries = entries.peekable();
            if entries.peek().is_none() {
                return Ok(Some(Kind::EmptyDirectory));
            }
            if self.dirs.len() >= MAX_DEPTH {
                let why = format!(
                    "more than {MAX_DEPTH} directories in one another; does a link lead back up?"
                );
                return Err((DIRECTORY, io::Error::other(why)));
            }
            self.dirs.push((entry.clone(), entries));
            return Ok(None);
        }
        Ok(Some(if kind.is_file() {
            Kind::Regular
        } else if kind.is_symlink() {
            let text = fs::read_link(&entry.path).map_err(status)?;
            Kind::Link(text.into_os_string())
        } else {
            Kind::Special
        }))
    }
}
