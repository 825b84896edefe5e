//! What a file takes over from the one whose place it takes, and ways to write over one that nothing
//! else can take the place of.
//!
//! The deployed programs write over a file as it lies there, unless they are asked for `-t` or `-T` or
//! synchronise. So its owner stays, no right to change the directory is needed, and a mounted file can
//! be written to. Here a new file takes its place where that can be had, with the same owner.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use super::DiskSession;
use crate::log::{self, printable};
use crate::store::beneath::{Dir, Entry};
use crate::store::durability::Fsync;
use crate::store::name::Target;

impl DiskSession {
    /// A file to fill for `target`, where `there` is, and its name in `parent`: a new one named
    /// `temporary`. Where none may be made, the one that is there, emptied.
    ///
    /// # Errors
    /// Neither can be had.
    pub(super) fn begin(
        &self,
        parent: &Dir,
        target: &Target,
        there: Entry,
        temporary: OsString,
    ) -> io::Result<(File, OsString)> {
        let replaces = matches!(there, Entry::Regular { .. });
        match parent.create_anew(&temporary) {
            Ok(new) => {
                if replaces && self.place.old_may_go && !self.info.sync {
                    parent.give_to_owner_of(&target.entry, &new);
                }
                Ok((new, temporary))
            }
            Err(error) if replaces && is_refused(&error) && self.old_may_go(target)? => {
                let Ok(old) = parent.open_regular(&target.entry) else {
                    return Err(error);
                };
                old.set_len(0)?;
                self.say_written_over(target, "nothing may be made beside it");
                Ok((old, target.entry.clone()))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes what `temporary` has over what is at `target`, which cannot be replaced because
    /// something is mounted there, as it is in containers. `busy` is how it was refused.
    ///
    /// # Errors
    /// `busy`, if what is there is no file or is to be kept; or writing fails.
    pub(super) fn pour(
        &self,
        from: &Dir,
        temporary: &OsStr,
        parent: &Dir,
        target: &Target,
        busy: io::Error,
    ) -> io::Result<()> {
        if !self.old_may_go(target)? {
            return Err(busy);
        }
        let (Ok(mut new), Ok(mut old)) = (from.read(temporary), parent.open_regular(&target.entry))
        else {
            return Err(busy);
        };
        self.say_written_over(target, "it is mounted");
        old.set_len(0)?;
        io::copy(&mut new, &mut old)?;
        self.set_time(&old, new.metadata()?.mtime())?;
        if self.place.fsync == Fsync::File {
            old.sync_data()?;
        }
        from.remove_file(temporary)
    }

    /// Gives a file its time, in seconds since 1970. One that is written over may be somebody else's,
    /// and then keeps the time of its arrival.
    pub(super) fn set_time(&self, file: &File, mtime: i64) -> io::Result<()> {
        let time = TimeSpec::new(mtime, 0);
        match futimens(file, &time, &time) {
            Err(Errno::EPERM) => {
                let text = format_args!("Couldn't set its time: it is another user's");
                log::line(1, Some(self.tag()), text);
                Ok(())
            }
            set => Ok(set?),
        }
    }

    fn say_written_over(&self, target: &Target, why: &str) {
        let name = printable(target.path().as_os_str().as_encoded_bytes());
        let text = format_args!("Writing over {name} as it lies there: {why}");
        log::line(1, Some(self.tag()), text);
    }
}

/// Whether a directory takes no new files from this process.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}
