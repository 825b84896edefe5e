//! Whose directories and files are: only on what is its own does a receiver go on.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::fcntl::AtFlags;
use nix::libc::uid_t;
use nix::sys::stat::{fstat, fstatat};
use nix::unistd::{Gid, Uid, fchown, geteuid};

use super::beneath::{Dir, scratch};

impl Dir {
    /// Lets `file` have the owner and the group of the entry `name`, as far as this process may.
    pub(super) fn give_to_owner_of(&self, name: &OsStr, file: &File) {
        let Ok(there) = fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
            return;
        };
        // The group is the more likely one to be allowed; who may not gives nothing away.
        let _ = fchown(file, None, Some(Gid::from_raw(there.st_gid)));
        let _ = fchown(file, Some(Uid::from_raw(there.st_uid)), None);
    }

    /// Whether it belongs to who this process is: nobody else can put anything in the place of what is
    /// in it.
    pub(super) fn is_own(&self) -> io::Result<bool> {
        self.is_ours(fstat(self)?.st_uid)
    }

    /// Whether a file in this directory is a regular one of who this process is, and has no other
    /// name, by which somebody might have meant another file to be written to or read.
    pub(super) fn owns(&self, file: &File) -> io::Result<bool> {
        let kept = file.metadata()?;
        Ok(kept.is_file() && kept.nlink() == 1 && self.is_ours(kept.uid())?)
    }

    /// Whether this process goes by the id `owner` here. Some file systems say themselves whose
    /// files are: those with an option for it, and servers that let nobody be root.
    fn is_ours(&self, owner: uid_t) -> io::Result<bool> {
        if owner == geteuid().as_raw() {
            return Ok(true);
        }
        let scratch = scratch();
        let made = self.create_anew(&scratch)?;
        self.remove_file(&scratch)?;
        Ok(owner == made.metadata()?.uid())
    }
}
