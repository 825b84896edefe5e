//! Received files on disk, confined beneath the destination directories.
//!
//! A file is received under a temporary name beside its place and moved there at once when it is
//! whole: whatever instant the machine stops at, the final name holds the old content or the new.

mod beneath;
mod name;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use uftp_proto::BlockMap;
use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_session::files::{FileStore, IncomingFile, Offer, SessionFiles, SessionInfo};

use crate::exit::Failure;
use crate::log::{self, Tag};
use beneath::{Dir, Entry};
use name::Target;

/// What senders of protocol 4 take for "unknown" (behaviour §5.5).
const UNKNOWN_SPACE: u64 = i64::MAX as u64;

/// The destination directories of a receiver.
pub struct DiskStore {
    roots: Arc<[Root]>,
}

struct Root {
    path: PathBuf,
    dir: Dir,
}

impl DiskStore {
    /// Opens the destination directories; the first takes all relative names, the others only
    /// absolute names that lie in them.
    ///
    /// # Errors
    /// A directory that is not absolute, not there or not writable.
    pub fn open(paths: &[PathBuf]) -> Result<DiskStore, Failure> {
        let open = |path: &PathBuf| {
            if !path.is_absolute() {
                return Err(Failure::command_line(format!(
                    "must specify absolute pathname for dest directory, not {}",
                    path.display()
                )));
            }
            Dir::open(path)
                .and_then(|dir| dir.is_writable().map(|()| dir))
                .map(|dir| Root {
                    path: path.clone(),
                    dir,
                })
                .map_err(|error| {
                    Failure::command_line(format!(
                        "couldn't write to dest directory: {}: {error}",
                        path.display()
                    ))
                })
        };
        let roots = paths.iter().map(open).collect::<Result<_, _>>()?;
        Ok(DiskStore { roots })
    }
}

impl FileStore for DiskStore {
    type Session = DiskSession;

    fn open_session(&mut self, session: &SessionInfo) -> DiskSession {
        DiskSession {
            roots: Arc::clone(&self.roots),
            info: session.clone(),
            open: None,
        }
    }
}

/// The disk side of one session.
pub struct DiskSession {
    roots: Arc<[Root]>,
    info: SessionInfo,
    open: Option<Arriving>,
}

/// A regular file on its way in.
struct Arriving {
    file: File,
    parent: Dir,
    temporary: OsString,
    entry: OsString,
    mtime: i64,
}

/// An answer, or why the file is rejected.
type Answer = Result<Offer, Rejection>;

/// Why a file is rejected.
#[derive(Debug, thiserror::Error)]
enum Rejection {
    #[error(transparent)]
    Name(#[from] name::NameError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a directory that is not empty has its name")]
    DirectoryInPlace,
    #[error("the link text is empty")]
    EmptyLink,
}

impl DiskSession {
    fn consider(&mut self, file: &IncomingFile) -> Answer {
        self.drop_open();
        if file.file_type == FileType::FREESPACE {
            return Ok(self.free_space());
        }
        let paths: Vec<&Path> = self.roots.iter().map(|r| r.path.as_path()).collect();
        let target = name::resolve(&file.name, &paths)?;
        match file.file_type {
            FileType::REGULAR => self.regular(file, target),
            FileType::DIRECTORY => self.directory(&target),
            FileType::SYMLINK => self.link(file, &target),
            FileType::DELETE => self.delete(&target),
            _ => Ok(Offer::Abort("Invalid file type".into())),
        }
    }

    fn regular(&mut self, file: &IncomingFile, target: Target) -> Answer {
        let root = self.root(&target)?;
        let there = match root.descend(&target.parents)? {
            Some(parent) => parent.look(&target.entry)?,
            None => Entry::Absent,
        };
        let status = if self.info.sync {
            compare(there, file)
        } else {
            CompleteStatus::NORMAL
        };
        if status == CompleteStatus::SKIPPED || self.info.preview {
            return Ok(done(status));
        }
        if root.free_space().is_ok_and(|free| file.size > free) {
            return Ok(Offer::Abort("Not enough disk space".into()));
        }
        let parent = root.descend_making(&target.parents)?;
        refuse_full_directory(&parent, &target.entry, there)?;
        let temporary = self.temporary(file, &target.entry);
        parent.remove_file(&temporary)?;
        self.open = Some(Arriving {
            file: parent.create(&temporary)?,
            parent,
            temporary,
            entry: target.entry,
            mtime: file.mtime,
        });
        Ok(Offer::Accept {
            status,
            missing: None,
        })
    }

    fn directory(&self, target: &Target) -> Answer {
        let root = self.root(target)?;
        if self.info.preview {
            let parent = root.descend(&target.parents)?;
            let there = parent.map(|p| p.look(&target.entry)).transpose()?;
            return Ok(done(match there {
                Some(Entry::Directory) => CompleteStatus::SKIPPED,
                _ => CompleteStatus::NORMAL,
            }));
        }
        let parent = root.descend_making(&target.parents)?;
        match parent.look(&target.entry)? {
            Entry::Directory => return Ok(done(CompleteStatus::SKIPPED)),
            Entry::Absent => {}
            Entry::Regular { .. } | Entry::Other => parent.remove_file(&target.entry)?,
        }
        parent.make(&target.entry).map_err(io::Error::from)?;
        Ok(done(CompleteStatus::NORMAL))
    }

    fn link(&self, file: &IncomingFile, target: &Target) -> Answer {
        if file.link.is_empty() {
            return Err(Rejection::EmptyLink);
        }
        if file.link.contains(&0) {
            return Err(name::NameError::Nul.into());
        }
        let root = self.root(target)?;
        if !self.info.preview {
            let parent = root.descend_making(&target.parents)?;
            let there = parent.look(&target.entry)?;
            refuse_full_directory(&parent, &target.entry, there)?;
            let temporary = self.temporary(file, &target.entry);
            parent.remove_file(&temporary)?;
            parent.link(&temporary, OsStr::from_bytes(&file.link))?;
            put(&parent, &temporary, &target.entry)?;
        }
        Ok(done(CompleteStatus::NORMAL))
    }

    fn delete(&self, target: &Target) -> Answer {
        if !self.info.preview
            && let Some(parent) = self.root(target)?.descend(&target.parents)?
        {
            parent.remove_tree(&target.entry)?;
        }
        Ok(done(CompleteStatus::NORMAL))
    }

    fn free_space(&self) -> Offer {
        let free = self.roots.first().map(|root| root.dir.free_space());
        Offer::Done {
            status: CompleteStatus::NORMAL,
            free_space: Some(free.and_then(Result::ok).unwrap_or(UNKNOWN_SPACE)),
            note: None,
        }
    }

    fn root(&self, target: &Target) -> io::Result<&Dir> {
        let root = self.roots.get(target.root).map(|r| &r.dir);
        root.ok_or_else(|| io::Error::other("there is no destination directory"))
    }

    /// `NAME.~uftp-GROUPID-FILEID`, as deployed receivers name it.
    fn temporary(&self, file: &IncomingFile, entry: &OsStr) -> OsString {
        let tag = format!(".~uftp-{}-{:04X}", self.info.group, file.file.0);
        name::temporary(entry, &tag)
    }

    /// Removes what arrived of a file that did not arrive whole.
    fn drop_open(&mut self) {
        let Some(arriving) = self.open.take() else {
            return;
        };
        if let Err(error) = arriving.parent.remove_file(&arriving.temporary) {
            let name = log::printable(arriving.temporary.as_bytes());
            log::line(
                0,
                Some(self.tag()),
                format_args!("Couldn't remove {name}: {error}"),
            );
        }
    }

    fn tag(&self) -> Tag {
        Tag {
            group: self.info.group,
            instance: self.info.instance,
            file: uftp_proto::FileId::SESSION,
        }
    }
}

impl SessionFiles for DiskSession {
    fn offer(&mut self, file: &IncomingFile) -> Offer {
        self.consider(file).unwrap_or_else(|why| Offer::Done {
            status: CompleteStatus::REJECTED,
            free_space: None,
            note: Some(why.to_string()),
        })
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let arriving = self.open.as_ref().ok_or_else(nothing_open)?;
        arriving.file.write_all_at(data, offset)
    }

    fn finish(&mut self) -> io::Result<()> {
        let arriving = self.open.as_ref().ok_or_else(nothing_open)?;
        if arriving.mtime != 0 {
            let time = TimeSpec::new(arriving.mtime, 0);
            futimens(&arriving.file, &time, &time)?;
        }
        put(&arriving.parent, &arriving.temporary, &arriving.entry)?;
        self.open = None;
        Ok(())
    }

    fn discard(&mut self, _missing: &BlockMap) {
        self.drop_open();
    }

    fn end(&mut self, _complete: bool) {
        self.drop_open();
    }
}

impl Drop for DiskSession {
    fn drop(&mut self) {
        self.drop_open();
    }
}

/// Moves a finished entry to its place, where a file, a link or an empty directory may be.
fn put(parent: &Dir, temporary: &OsStr, entry: &OsStr) -> io::Result<()> {
    if parent.look(entry)? == Entry::Directory {
        parent.remove_empty(entry)?;
    }
    parent.rename(temporary, entry)
}

/// A file never takes the place of a tree: what is in it would be lost without a word.
fn refuse_full_directory(parent: &Dir, entry: &OsStr, there: Entry) -> Result<(), Rejection> {
    match there {
        Entry::Directory if !parent.is_empty(entry)? => Err(Rejection::DirectoryInPlace),
        _ => Ok(()),
    }
}

/// What a file in sync mode is to what is there (behaviour §5.5.1).
fn compare(there: Entry, offered: &IncomingFile) -> CompleteStatus {
    match there {
        Entry::Absent => CompleteStatus::NORMAL,
        Entry::Regular { mtime, .. } if mtime > offered.mtime => CompleteStatus::SKIPPED,
        Entry::Regular { size, mtime } if mtime == offered.mtime && size == offered.size => {
            CompleteStatus::SKIPPED
        }
        _ => CompleteStatus::OVERWRITE,
    }
}

fn done(status: CompleteStatus) -> Offer {
    Offer::Done {
        status,
        free_space: None,
        note: None,
    }
}

fn nothing_open() -> io::Error {
    io::Error::other("no file is open")
}

#[cfg(test)]
mod tests;
