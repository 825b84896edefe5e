//! Where a session's files are in the temp directory (`-T`): whole ones under their names in
//! `_group_GROUPID`, parts in `_group_GROUPID_partial`, and after an interruption what is known of
//! the parts in `_group_GROUPID_restart`.
//!
//! Encrypted sessions have a shelf of their own, `_group_GROUPID_encrypted…`. Anybody can announce a
//! session in the clear under the number of an encrypted one; the two must neither go on from what
//! the other left, nor remove it, nor keep the other from being received.

use std::ffi::OsString;
use std::io;
use std::slice;

use nix::errno::Errno;
use uftp_proto::GroupId;
use uftp_session::files::SessionInfo;

use super::beneath::{Dir, Entry};
use super::restart::Restart;
use crate::log::{self, Tag};

/// The names of a session's entries.
pub(super) struct Shelf {
    /// Whole files.
    pub(super) tree: OsString,
    /// Files on their way in, and what is on its way out.
    pub(super) parts: OsString,
    /// What an interrupted run tells a later one.
    pub(super) restart: OsString,
}

impl Shelf {
    /// That of a session.
    pub(super) fn of(info: &SessionInfo) -> Shelf {
        match info.encrypted {
            true => Shelf::of_encrypted(info.group),
            false => Shelf::of_plain(info.group),
        }
    }

    /// That of a session of the same number which is encrypted if this one is not.
    pub(super) fn of_other(info: &SessionInfo) -> Shelf {
        match info.encrypted {
            true => Shelf::of_plain(info.group),
            false => Shelf::of_encrypted(info.group),
        }
    }

    fn of_plain(group: GroupId) -> Shelf {
        Shelf::named(format!("_group_{group}"))
    }

    fn of_encrypted(group: GroupId) -> Shelf {
        Shelf::named(format!("_group_{group}_encrypted"))
    }

    fn named(tree: String) -> Shelf {
        Shelf {
            parts: format!("{tree}_partial").into(),
            restart: format!("{tree}_restart").into(),
            tree: tree.into(),
        }
    }

    /// Whether what is there is our own; what is not can be anything.
    pub(super) fn is_own(&self, temp: &Dir, info: &SessionInfo) -> bool {
        let own = |name: &OsString| match temp.child(name) {
            Ok(dir) => dir.is_own().unwrap_or(false),
            Err(error) => error == Errno::ENOENT,
        };
        let strange = [&self.tree, &self.parts]
            .into_iter()
            .find(|name| !own(name));
        if let Some(name) = strange {
            let name = log::printable(name.as_encoded_bytes());
            let tag = Tag::of_session(info.group, info.instance);
            let text = format_args!("{name} is not used: it belongs to somebody else");
            log::line(1, Some(tag), text);
        }
        strange.is_none()
    }

    /// The directories for whole files and for parts, made where they are not there.
    ///
    /// # Errors
    /// They belong to somebody else, or the system's.
    pub(super) fn make(&self, temp: &Dir) -> io::Result<[Dir; 2]> {
        let make = |name: &OsString| {
            let dir = temp.descend_making(slice::from_ref(name))?;
            match dir.is_own()? {
                true => Ok(dir),
                false => Err(io::Error::other(format!(
                    "{} in the temp directory belongs to somebody else",
                    log::printable(name.as_encoded_bytes())
                ))),
            }
        };
        Ok([make(&self.tree)?, make(&self.parts)?])
    }

    /// Removes all there is.
    pub(super) fn clear(&self, temp: &Dir) -> io::Result<()> {
        temp.remove_file(&self.restart)?;
        temp.remove_tree(&self.tree)?;
        temp.remove_tree(&self.parts)
    }
}

/// Earlier versions kept encrypted sessions on the shelf of plain ones: what one has left there is
/// moved to where it belongs.
///
/// # Errors
/// There is something already, or the system's.
pub(super) fn sort_out(temp: &Dir, group: GroupId) -> io::Result<()> {
    let (plain, encrypted) = (Shelf::of_plain(group), Shelf::of_encrypted(group));
    let found = Restart::load(temp, &plain.restart);
    if !matches!(found, Ok(Some(restart)) if restart.encrypted) {
        return Ok(());
    }
    if temp.look(&encrypted.restart)? != Entry::Absent {
        return Err(io::Error::other(format!(
            "{} and {} in the temp directory are both of encrypted sessions: remove the older",
            log::printable(plain.restart.as_encoded_bytes()),
            log::printable(encrypted.restart.as_encoded_bytes()),
        )));
    }
    // The file that says what the others are comes last: whatever interrupts this, the next session
    // goes on with it.
    for (from, to) in [
        (&plain.tree, &encrypted.tree),
        (&plain.parts, &encrypted.parts),
        (&plain.restart, &encrypted.restart),
    ] {
        if temp.look(from)? != Entry::Absent {
            temp.remove_tree(to)?;
            temp.move_to(from, temp, to)?;
        }
    }
    Ok(())
}
