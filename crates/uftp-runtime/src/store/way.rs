//! The way down to what is received, where a file may stand.

use std::io;

use super::beneath::{Dir, Entry};
use super::name::Target;
use super::session::DiskSession;

/// What is at `target`; nothing is below a file.
pub(super) fn entry(base: &Dir, target: &Target) -> io::Result<Entry> {
    if base.file_in_the_way(&target.parents)?.is_some() {
        return Ok(Entry::Absent);
    }
    match base.descend(&target.parents)? {
        Some(parent) => parent.look(&target.entry),
        None => Ok(Entry::Absent),
    }
}

impl DiskSession {
    /// The directory that `target` is to lie in, made where it is not there yet. A file that has the
    /// name of one on the way makes room, as it does for a directory that is sent, and as it does in
    /// 4.10.2; links and all else do not.
    pub(super) fn parent(&self, base: &Dir, target: &Target) -> io::Result<Dir> {
        if let Some((name, above)) = base.file_in_the_way(&target.parents)?
            && let Some(dir) = base.descend(above)?
        {
            let file = Target {
                root: target.root,
                parents: above.to_vec(),
                entry: name.clone(),
            };
            self.back_up(&dir, &file)?;
            dir.remove_file(name)?;
        }
        base.descend_making(&target.parents)
    }
}
