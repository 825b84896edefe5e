//! Directories held open, in which every step down is one component and follows no link.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use nix::dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, open, openat, renameat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, fsync, linkat, symlinkat, syncfs, unlinkat};

use super::name;

/// Directories in one another beyond which a tree is not walked.
const MAX_DEPTH: usize = 200;

/// An open directory. Copies are one handle.
#[derive(Clone, Debug)]
pub(super) struct Dir(Arc<OwnedFd>);

/// Where a way down leads.
#[derive(Debug)]
pub(super) enum Way {
    /// To a directory.
    Down(Dir),
    /// Nowhere: what comes behind this directory is not there.
    Nowhere(Dir),
    /// To a regular file that stands where a directory should be.
    Blocked {
        /// The directory that the file lies in.
        dir: Dir,
        /// Steps to that directory.
        depth: usize,
    },
}

impl Way {
    /// The last directory on it.
    pub(super) fn reached(&self) -> &Dir {
        match self {
            Way::Down(dir) | Way::Nowhere(dir) | Way::Blocked { dir, .. } => dir,
        }
    }
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    Absent,
    Regular {
        size: u64,
        mtime: i64,
    },
    Directory {
        mtime: i64,
    },
    /// A link, device, pipe or socket: never opened, only replaced.
    Other {
        mtime: i64,
    },
}

impl Dir {
    /// Opens a directory of the operator's choice; links on the way are his business.
    pub(super) fn open(path: &Path) -> io::Result<Dir> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Dir::from(open(path, flags, Mode::empty())?))
    }

    /// The directory `name` in this one.
    pub(super) fn child(&self, name: &OsStr) -> Result<Dir, Errno> {
        self.open_child(name).map(Dir::from)
    }

    fn open_child(&self, name: &OsStr) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        openat(self, name, flags, Mode::empty())
    }

    /// Where `names` lead.
    pub(super) fn way(&self, names: &[OsString]) -> io::Result<Way> {
        let mut dir = self.clone();
        for (depth, name) in names.iter().enumerate() {
            dir = match dir.child(name) {
                Ok(child) => child,
                Err(Errno::ENOENT) => return Ok(Way::Nowhere(dir)),
                Err(Errno::ENOTDIR) if matches!(dir.look(name)?, Entry::Regular { .. }) => {
                    return Ok(Way::Blocked { dir, depth });
                }
                Err(error) => return Err(in_the_way(name, error)),
            };
        }
        Ok(Way::Down(dir))
    }

    /// The directory at the end of `names`. `None` if there is none.
    pub(super) fn descend(&self, names: &[OsString]) -> io::Result<Option<Dir>> {
        match self.way(names)? {
            Way::Down(dir) => Ok(Some(dir)),
            Way::Nowhere(_) => Ok(None),
            Way::Blocked { depth, .. } => {
                let name = names.get(depth).map(OsString::as_os_str);
                Err(in_the_way(name.unwrap_or_default(), Errno::ENOTDIR))
            }
        }
    }

    /// The directory at the end of `names`, made where it is not there yet.
    pub(super) fn descend_making(&self, names: &[OsString]) -> io::Result<Dir> {
        let mut dir = self.clone();
        for name in names {
            dir = match dir.child(name) {
                Ok(child) => child,
                Err(Errno::ENOENT) => {
                    match dir.make(name) {
                        // Another session was faster.
                        Ok(()) | Err(Errno::EEXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    dir.child(name).map_err(|e| in_the_way(name, e))?
                }
                Err(error) => return Err(in_the_way(name, error)),
            };
        }
        Ok(dir)
    }

    /// Makes a directory, mode 0755.
    pub(super) fn make(&self, name: &OsStr) -> Result<(), Errno> {
        mkdirat(self, name, Mode::from_bits_truncate(0o755))
    }

    /// What `name` is, not following a link.
    pub(super) fn look(&self, name: &OsStr) -> io::Result<Entry> {
        match fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Entry::from_stat(&stat)),
            Err(Errno::ENOENT) => Ok(Entry::Absent),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a new file, mode 0644, for writing.
    pub(super) fn create(&self, name: &OsStr) -> io::Result<File> {
        self.open_file(name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL)
    }

    /// Makes a new file as [`create`](Self::create) does, in the place of what is there.
    pub(super) fn create_anew(&self, name: &OsStr) -> io::Result<File> {
        match self.create(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.remove_file(name)?;
                self.create(name)
            }
            created => created,
        }
    }

    /// Opens what is there for writing, if it is a regular file.
    pub(super) fn open_regular(&self, name: &OsStr) -> io::Result<File> {
        let file = self.open_file(name, OFlag::O_WRONLY)?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("not a regular file")),
        }
    }

    /// Opens a file that is there, for reading.
    pub(super) fn read(&self, name: &OsStr) -> io::Result<File> {
        self.open_file(name, OFlag::O_RDONLY)
    }

    /// Opens `name` and no link, without waiting for what may stand there: a pipe without a reader.
    fn open_file(&self, name: &OsStr, how: OFlag) -> io::Result<File> {
        let flags = how | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        Ok(openat(self, name, flags, Mode::from_bits_truncate(0o644))?.into())
    }

    /// Makes a symbolic link.
    pub(super) fn link(&self, name: &OsStr, text: &OsStr) -> io::Result<()> {
        Ok(symlinkat(text, self, name)?)
    }

    /// Moves an entry to another directory, at once in the place of what is there.
    pub(super) fn move_to(&self, from: &OsStr, other: &Dir, to: &OsStr) -> io::Result<()> {
        Ok(renameat(self, from, other, to)?)
    }

    /// Lets two entries that are there change places: at once where the file system can.
    pub(super) fn swap_with(&self, from: &OsStr, other: &Dir, to: &OsStr) -> io::Result<()> {
        match renameat2(self, from, other, to, RenameFlags::RENAME_EXCHANGE) {
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                self.swap_in_steps(from, other, to)
            }
            result => Ok(result?),
        }
    }

    /// As [`swap_with`](Self::swap_with); for an instant nothing has the name `to`.
    fn swap_in_steps(&self, from: &OsStr, other: &Dir, to: &OsStr) -> io::Result<()> {
        let aside = name::temporary(to, ".~uftp-old");
        self.remove_tree(&aside)?;
        other.move_to(to, self, &aside)?;
        if let Err(why) = self.move_to(from, other, to) {
            // Whoever calls must find what was there where it was: here it would be removed.
            self.move_to(&aside, other, to)?;
            return Err(why);
        }
        self.move_to(&aside, self, from)
    }

    /// Gives a file or link a second name in another directory, where it must not be taken.
    pub(super) fn second_name(&self, from: &OsStr, other: &Dir, to: &OsStr) -> io::Result<()> {
        Ok(linkat(self, from, other, to, AtFlags::empty())?)
    }

    /// Removes anything but a directory; nothing there is fine.
    pub(super) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        absent_is_fine(unlinkat(self, name, UnlinkatFlags::NoRemoveDir))
    }

    /// Removes an empty directory; nothing there is fine.
    pub(super) fn remove_empty(&self, name: &OsStr) -> io::Result<()> {
        absent_is_fine(unlinkat(self, name, UnlinkatFlags::RemoveDir))
    }

    /// Whether the directory `name` has no entries.
    pub(super) fn is_empty(&self, name: &OsStr) -> io::Result<bool> {
        let mut entries = dir::Dir::from_fd(self.open_child(name)?)?;
        for entry in entries.iter() {
            if !is_dots(entry?.file_name()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The names of the entries, as the system lists them.
    pub(super) fn entries(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in dir::Dir::from_fd(self.open_child(OsStr::new("."))?)?.iter() {
            let entry = entry?;
            if !is_dots(entry.file_name()) {
                names.push(os_str(entry.file_name()).to_owned());
            }
        }
        Ok(names)
    }

    /// Removes `name` with all below it; nothing there is fine.
    pub(super) fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        self.remove_below(name, MAX_DEPTH)
    }

    fn remove_below(&self, name: &OsStr, depth: usize) -> io::Result<()> {
        match self.look(name)? {
            Entry::Directory { .. } if depth == 0 => Err(io::Error::other(format!(
                "more than {MAX_DEPTH} directories in one another"
            ))),
            Entry::Directory { .. } => {
                let dir = self.child(name)?;
                let mut entries = dir::Dir::from_fd(dir.0.try_clone()?)?;
                for entry in entries.iter() {
                    let entry = entry?;
                    if !is_dots(entry.file_name()) {
                        dir.remove_below(os_str(entry.file_name()), depth - 1)?;
                    }
                }
                self.remove_empty(name)
            }
            _ => self.remove_file(name),
        }
    }

    /// Bytes an unprivileged user may still write to this file system.
    pub(super) fn free_space(&self) -> io::Result<u64> {
        let stat = fstatvfs(self)?;
        // The types differ between systems.
        #[allow(clippy::useless_conversion)]
        let (blocks, size) = (
            u64::from(stat.blocks_available()),
            u64::from(stat.fragment_size()),
        );
        Ok(blocks.saturating_mul(size))
    }

    /// Whether there is no disk beneath: what is written stays in memory.
    pub(super) fn is_in_memory(&self) -> bool {
        fstatfs(self).is_ok_and(|system| system.filesystem_type() == TMPFS_MAGIC)
    }

    /// Bytes on the disk that become free when the file `name` is removed; none if it has another name.
    pub(super) fn freed_without(&self, name: &OsStr) -> io::Result<u64> {
        let stat = fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let blocks = u64::try_from(stat.st_blocks).unwrap_or_default();
        Ok(match stat.st_nlink {
            1 => blocks.saturating_mul(512),
            _ => 0,
        })
    }

    /// Whether both are one directory.
    pub(super) fn is(&self, other: &Dir) -> io::Result<bool> {
        let (a, b) = (fstat(self)?, fstat(other)?);
        Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    /// Waits until the names in this directory are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fsync(self)?)
    }

    /// Waits until everything written to this file system is on the disk.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        Ok(syncfs(self)?)
    }
}

impl From<OwnedFd> for Dir {
    fn from(handle: OwnedFd) -> Self {
        Dir(Arc::new(handle))
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Entry {
    pub(super) fn is_directory(self) -> bool {
        matches!(self, Entry::Directory { .. })
    }

    fn from_stat(stat: &FileStat) -> Entry {
        let mtime = stat.st_mtime;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Entry::Regular {
                size: u64::try_from(stat.st_size).unwrap_or(0),
                mtime,
            },
            SFlag::S_IFDIR => Entry::Directory { mtime },
            _ => Entry::Other { mtime },
        }
    }
}

/// A name no other receiver tries out at the same time.
pub(super) fn scratch() -> OsString {
    format!("_uftptmp_{}", std::process::id()).into()
}

fn in_the_way(name: &OsStr, error: Errno) -> io::Error {
    match error {
        Errno::ELOOP | Errno::ENOTDIR => io::Error::other(format!(
            "{} is in the way: not a directory",
            crate::log::printable(name.as_encoded_bytes())
        )),
        error => error.into(),
    }
}

fn absent_is_fine(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

fn os_str(name: &CStr) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Two directories, with `new` in the first and `name` in the second.
    fn two(name: &str) -> (tempfile::TempDir, [Dir; 2]) {
        let temp = tempfile::tempdir().unwrap();
        for dir in ["parts/new/fresh", "dest"] {
            fs::create_dir_all(temp.path().join(dir)).unwrap();
        }
        fs::write(temp.path().join("dest").join(name), "old").unwrap();
        let dirs = ["parts", "dest"].map(|dir| Dir::open(&temp.path().join(dir)).unwrap());
        (temp, dirs)
    }

    #[test]
    fn the_longest_name_is_swapped_in_steps_too() {
        let long = "n".repeat(255);
        let (temp, [parts, dest]) = two(&long);
        parts
            .swap_in_steps("new".as_ref(), &dest, long.as_ref())
            .unwrap();
        assert!(temp.path().join("dest").join(long).join("fresh").exists());
        let there = fs::read_to_string(temp.path().join("parts/new")).unwrap();
        assert_eq!(there, "old");
        assert_eq!(parts.entries().unwrap(), ["new"]);
    }

    #[test]
    fn what_nothing_takes_the_place_of_stays_where_it_was() {
        let (temp, [parts, dest]) = two("f");
        let swapped = parts.swap_in_steps("missing".as_ref(), &dest, "f".as_ref());
        assert!(swapped.is_err());
        let there = fs::read_to_string(temp.path().join("dest/f")).unwrap();
        assert_eq!(there, "old");
        assert_eq!(parts.entries().unwrap(), ["new"]);
    }
}
