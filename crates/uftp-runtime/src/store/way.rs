//! The way down to what is received, where a file may stand.

use std::io;

use super::beneath::{Dir, Entry, Way};
use super::name::Target;
use super::session::DiskSession;

/// What is at `target`, at the end of `way`; nothing is below a file.
pub(super) fn entry(way: &Way, target: &Target) -> io::Result<Entry> {
    match way {
        Way::Down(parent) => parent.look(&target.entry),
        Way::Nowhere(_) | Way::Blocked { .. } => Ok(Entry::Absent),
    }
}

impl DiskSession {
    /// The directory that `target` is to lie in, at the end of `way` beneath `base`, made where it is
    /// not there yet. A file that has the name of one on the way makes room, as it does for a directory
    /// that is sent, and as it does in 4.10.2; links and all else do not.
    pub(super) fn parent(&self, base: &Dir, way: Way, target: &Target) -> io::Result<Dir> {
        match way {
            Way::Down(parent) => return Ok(parent),
            Way::Nowhere(_) => {}
            Way::Blocked { dir, depth } => {
                if let Some((above, [name, ..])) = target.parents.split_at_checked(depth) {
                    let file = Target {
                        root: target.root,
                        parents: above.to_vec(),
                        entry: name.clone(),
                    };
                    self.back_up(&dir, &file)?;
                    dir.remove_file(name)?;
                }
            }
        }
        base.descend_making(&target.parents)
    }
}
