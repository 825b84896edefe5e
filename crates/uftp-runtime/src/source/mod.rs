//! The files of a sender on disk.

mod names;
mod restart;
mod walk;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::sys::uio::preadv;
use uftp_proto::wire::FileType;
use uftp_session::files::{FileSource, SendItem};

pub(crate) use names::Naming;
pub(crate) use restart::Restart;

use crate::log::{self, Tag, printable};
use names::Named;
pub(crate) use names::without_slashes;
use walk::{Kind, Unreadable, Walk};

/// Longest name and link text that every deployed receiver takes (cli §1.3).
pub(crate) const MAX_NAME: usize = 299;

/// Asks receivers for their free disk space.
const FREESPACE: &[u8] = b"@FREESPACE";
/// Deletes at the receivers what follows.
const DELETE: &[u8] = b"@DELETE:";

/// Sends files, trees, links and requests in the order of its arguments.
///
/// Directories are read when their turn comes, one open handle a level, so that a tree of any
/// size needs little memory. What cannot be sent is logged and left out.
pub(crate) struct DiskSource {
    args: std::vec::IntoIter<OsString>,
    naming: Naming,
    follow_links: bool,
    exclude: HashSet<OsString>,
    walk: Option<Walk>,
    open: Option<File>,
    tag: Option<Tag>,
    skipped: Skipped,
}

/// How many things a source has left out, each told in the log.
#[derive(Clone, Default)]
pub(crate) struct Skipped(Arc<AtomicU64>);

impl Skipped {
    /// So many.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How arguments are turned into items.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SourceOptions {
    /// `-D`, `-o`, `-E`.
    pub naming: Naming,
    /// `-l`: send what links point to.
    pub follow_links: bool,
    /// `-X`: paths below an argument's parent that are left out, with all below them.
    pub exclude: Vec<OsString>,
}

/// Whether an argument asks receivers for something and is no file.
pub(crate) fn is_request(arg: &OsStr) -> bool {
    let bytes = arg.as_bytes();
    bytes == FREESPACE || bytes.starts_with(DELETE)
}

impl DiskSource {
    /// Sends `args`; log lines carry `tag`.
    pub(crate) fn new(args: Vec<OsString>, options: SourceOptions, tag: Option<Tag>) -> Self {
        let mut naming = options.naming;
        naming.count_arguments(args.len());
        DiskSource {
            args: args.into_iter(),
            naming,
            follow_links: options.follow_links,
            exclude: options.exclude.into_iter().collect(),
            walk: None,
            open: None,
            tag,
            skipped: Skipped::default(),
        }
    }

    /// Starts on the next argument: the item that it is, unless it is to be walked or left out. `None`
    /// after the last.
    fn next_argument(&mut self) -> Option<Option<SendItem>> {
        let arg = self.args.next()?;
        let bytes = arg.as_bytes();
        if bytes.is_empty() {
            self.skip(0, &arg, "an empty word names no file");
            return Some(None);
        }
        if bytes == FREESPACE {
            return Some(Some(request(&arg, FileType::FREESPACE, b".".to_vec())));
        }
        if let Some(target) = bytes.strip_prefix(DELETE) {
            let name = self.naming.name(target);
            return Some(match name.filter(|n| names::may_be_deleted(n)) {
                Some(name) => Some(request(&arg, FileType::DELETE, name)),
                None => {
                    self.skip(
                        0,
                        &arg,
                        "a deletion must name a file or directory below the destination",
                    );
                    None
                }
            });
        }
        match self.naming.name(bytes) {
            None => self.skip(1, &arg, "doesn't match any base directory"),
            Some(name) => {
                let relative = names::last(bytes).to_owned();
                self.walk = Some(Walk::new(
                    Named {
                        // A link is a link with a slash behind it, too.
                        path: names::without_slashes(&arg).into(),
                        name,
                        relative,
                    },
                    self.follow_links,
                ));
            }
        }
        Some(None)
    }

    /// The item for one entry of a walk, if it can be sent.
    fn item(&mut self, entry: &Named, kind: &Kind) -> Option<SendItem> {
        if entry.name.len() > MAX_NAME {
            self.skip(
                1,
                &entry.path,
                &format!("its name at the receivers is longer than {MAX_NAME} bytes"),
            );
            return None;
        }
        if entry.name.is_empty() {
            // The contents of `.` land in the destination itself, which is always there.
            return None;
        }
        let mut item = SendItem {
            source: printable(entry.relative.as_bytes()),
            name: entry.name.clone(),
            file_type: FileType::REGULAR,
            size: 0,
            mtime: 0,
            link: Vec::new(),
        };
        match kind {
            Kind::EmptyDirectory => item.file_type = FileType::DIRECTORY,
            Kind::Link(target) if target.as_bytes().len() > MAX_NAME => {
                self.skip(
                    1,
                    &entry.path,
                    &format!("its link text is longer than {MAX_NAME} bytes"),
                );
                return None;
            }
            Kind::Link(target) => {
                item.file_type = FileType::SYMLINK;
                item.link = target.as_bytes().to_vec();
            }
            Kind::Regular => match open(&entry.path, self.follow_links) {
                Ok((file, size, mtime)) => {
                    item.size = size;
                    item.mtime = mtime;
                    self.open = Some(file);
                }
                Err(why) => {
                    let path = entry.path.clone();
                    self.tell(&Unreadable {
                        failed: "Error reading file",
                        path,
                        why,
                    });
                    return None;
                }
            },
            Kind::Special => {
                self.count();
                let path = printable(entry.path.as_os_str().as_bytes());
                log::line(0, self.tag, format_args!("Skipping special file {path}"));
                return None;
            }
        }
        Some(item)
    }

    /// What was left out so far, also after this is given away.
    pub(crate) fn skipped(&self) -> Skipped {
        self.skipped.clone()
    }

    fn count(&self) {
        self.skipped.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells of what the system refuses, in words that scripts look for.
    fn tell(&self, unreadable: &Unreadable) {
        self.count();
        let Unreadable { failed, path, why } = unreadable;
        let path = printable(path.as_os_str().as_bytes());
        let why = log::cause(why);
        log::line(0, self.tag, format_args!("{failed} {path}: {why}"));
    }

    fn skip(&self, verbosity: log::Verbosity, path: impl AsRef<Path>, why: &str) {
        self.count();
        let path = printable(path.as_ref().as_os_str().as_bytes());
        log::line(verbosity, self.tag, format_args!("Skipping {path}: {why}"));
    }
}

impl FileSource for DiskSource {
    fn next_item(&mut self) -> Option<SendItem> {
        self.open = None;
        loop {
            let Some(walk) = &mut self.walk else {
                match self.next_argument()? {
                    Some(item) => return Some(item),
                    None => continue,
                }
            };
            let (exclude, tag) = (&self.exclude, self.tag);
            let excluded = |path: &OsStr| {
                let excluded = exclude.contains(path);
                if excluded {
                    let path = printable(path.as_bytes());
                    log::line(2, tag, format_args!("Skipping {path}"));
                }
                excluded
            };
            match walk.next(excluded) {
                None => self.walk = None,
                Some(Ok((entry, kind))) => {
                    if let Some(item) = self.item(&entry, &kind) {
                        return Some(item);
                    }
                }
                Some(Err(unreadable)) => self.tell(&unreadable),
            }
        }
    }

    fn read_at(&mut self, offset: u64, bufs: &mut [IoSliceMut<'_>]) -> io::Result<()> {
        let Some(file) = &self.open else {
            return Err(io::Error::other("no file is open"));
        };
        let mut bufs = bufs;
        let mut at = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // A leading empty buffer would read as end of file.
        IoSliceMut::advance_slices(&mut bufs, 0);
        while !bufs.is_empty() {
            match preadv(
                file,
                bufs.get_mut(..bufs.len().min(MOST_BUFFERS))
                    .unwrap_or_default(),
                at,
            ) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    IoSliceMut::advance_slices(&mut bufs, n);
                    at = at.saturating_add(i64::try_from(n).unwrap_or(i64::MAX));
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Most buffers in one call, IOV_MAX of every supported system.
const MOST_BUFFERS: usize = 1024;

fn request(arg: &OsString, file_type: FileType, name: Vec<u8>) -> SendItem {
    SendItem {
        source: printable(arg.as_bytes()),
        name,
        file_type,
        size: 0,
        mtime: 0,
        link: Vec::new(),
    }
}

/// Opens a regular file; its size in bytes and modification time in seconds since 1970.
///
/// What it is may have changed since the walk saw it: never blocks on a pipe, never follows a
/// link unless asked to.
fn open(path: &Path, follow_links: bool) -> io::Result<(File, u64, i64)> {
    let mut flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    if !follow_links {
        flags |= OFlag::O_NOFOLLOW;
    }
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("special file"));
    }
    // Advice only; a file system that cannot take it reads all the same.
    let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
    Ok((file, meta.len(), meta.mtime()))
}

#[cfg(test)]
mod tests;
