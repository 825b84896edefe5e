//! Going on as a user without privileges (`--user`).

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::unistd::{
    Gid, Uid, User, getgrouplist, getgroups, getresgid, getresuid, initgroups, seteuid, setresgid,
    setresuid,
};

use crate::exit::Failure;

/// Whom to become.
pub(crate) struct Identity(User);

impl Identity {
    /// The user of this name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn of(name: &OsStr) -> Result<Identity, Failure> {
        let shown = name.to_string_lossy();
        let known = name.to_str().map_or(Ok(None), User::from_name);
        match known {
            Ok(Some(user)) => Ok(Identity(user)),
            Ok(None) => Err(Failure::command_line(format!(
                "there is no user {shown} (--user)"
            ))),
            Err(error) => Err(Failure::command_line(format!(
                "can't look up the user {shown}: {error} (--user)"
            ))),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Becomes this user for good: all threads, with no groups but the user's.
    ///
    /// # Errors
    /// The system does not allow it.
    pub(crate) fn assume(&self) -> Result<(), Failure> {
        let had_ids = self.has_ids().unwrap_or(false);
        self.take_groups()
            .and_then(|()| self.take_ids())
            .map_err(|error| {
                let what = match had_ids {
                    true => "give up groups that are not of",
                    false => "become",
                };
                let why = match error {
                    Errno::EPERM => "that takes the privileges of root".to_owned(),
                    other => other.to_string(),
                };
                Failure::command_line(format!("can't {what} {}: {why} (--user)", self.name()))
            })
    }

    /// Whether all ids, those laid aside included, are this user's.
    fn has_ids(&self) -> Result<bool, Errno> {
        let Identity(user) = self;
        let (uids, gids) = (getresuid()?, getresgid()?);
        Ok([uids.real, uids.effective, uids.saved] == [user.uid; 3]
            && [gids.real, gids.effective, gids.saved] == [user.gid; 3])
    }

    /// Has the user's groups, or at least none that is not.
    fn take_groups(&self) -> Result<(), Errno> {
        let ids = getresuid()?;
        if [ids.real, ids.saved].iter().any(|uid| uid.is_root()) {
            // What was only laid aside is needed once more, and then given up with the rest.
            seteuid(Uid::from_raw(0))?;
        }
        let Identity(user) = self;
        let name = CString::new(OsStr::new(&user.name).as_bytes()).map_err(|_| Errno::EINVAL)?;
        match initgroups(&name, user.gid) {
            Err(Errno::EPERM) => {}
            done => return done,
        }
        let known = getgrouplist(&name, user.gid)?;
        let is_known = |group: &Gid| known.contains(group);
        match getgroups()?.iter().all(is_known) {
            true => Ok(()),
            false => Err(Errno::EPERM),
        }
    }

    /// Takes the user's ids in the place of all others, after which there is no way back.
    fn take_ids(&self) -> Result<(), Errno> {
        let Identity(user) = self;
        // The user last: the group may need the privileges.
        setresgid(user.gid, user.gid, user.gid)?;
        setresuid(user.uid, user.uid, user.uid)?;
        let has_ids = self.has_ids()?;
        let root = Uid::from_raw(0);
        let is_for_good = user.uid.is_root() || setresuid(root, root, root).is_err();
        match has_ids && is_for_good {
            true => Ok(()),
            false => Err(Errno::ENOTRECOVERABLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::geteuid;

    use super::*;

    #[test]
    fn users_are_known_by_name() {
        let us = User::from_uid(geteuid()).unwrap().unwrap();
        let found = Identity::of(OsStr::new(&us.name)).unwrap();
        assert_eq!(found.0.uid, us.uid);
        for name in ["no such user", "", "a\0b"] {
            let failure = Identity::of(OsStr::new(name)).err().unwrap();
            assert!(failure.to_string().contains("--user"), "{failure}");
        }
    }
}
