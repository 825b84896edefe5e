//! Backups: what a received item takes the place of is kept under its full name in a directory
//! that tells the time of the session (behaviour-sender-receiver §5.8).

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::beneath::{Dir, Entry};
use super::name::{self, Target};

/// `YYYYMMDD/HHMMSS`: local time of the announcement.
pub(super) type Stamp = [OsString; 2];

/// Now, as a place for backups.
pub(super) fn stamp() -> Stamp {
    let now = chrono::Local::now();
    ["%Y%m%d", "%H%M%S"].map(|format| now.format(format).to_string().into())
}

/// Keeps what is at `target` beneath `root`, if anything is, in `<dir>/<stamp>/<root>/<target>`.
/// Files and links are in both places afterwards, so that the name never stands for nothing;
/// where the file system cannot do that, and for directories, they have moved.
///
/// # Errors
/// It could not be kept; then it is where it was.
pub(super) fn keep(
    dir: &Dir,
    stamp: &Stamp,
    root: &Path,
    parent: &Dir,
    target: &Target,
) -> io::Result<()> {
    let (entry, there) = (target.entry.as_os_str(), parent.look(&target.entry)?);
    if there == Entry::Absent {
        return Ok(());
    }
    let names: Vec<OsString> = stamp
        .iter()
        .map(OsString::as_os_str)
        .chain(name::named(root))
        .chain(target.parents.iter().map(OsString::as_os_str))
        .map(OsStr::to_owned)
        .collect();
    let place = dir.descend_making(&names)?;
    if there.is_directory() || place.look(entry)?.is_directory() {
        place.remove_tree(entry)?;
    }
    if there.is_directory() {
        return parent.move_to(entry, &place, entry);
    }
    let temporary = name::temporary(entry, ".~uftp-backup");
    place.remove_file(&temporary)?;
    if parent.second_name(entry, &place, &temporary).is_err() {
        return parent.move_to(entry, &place, entry);
    }
    place.move_to(&temporary, &place, entry)?;
    // Left over if the entry was kept before: moving a name onto another of the same file does
    // nothing.
    place.remove_file(&temporary)
}
