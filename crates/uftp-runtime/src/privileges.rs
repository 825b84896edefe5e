//! Going on as a user without privileges (`--user`).

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::unistd::{Uid, User, getegid, geteuid, initgroups, setresgid, setresuid};

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

    /// Becomes this user for good: all threads, with the groups that are the user's and no other.
    ///
    /// # Errors
    /// The system does not allow it.
    pub(crate) fn assume(&self) -> Result<(), Failure> {
        let Identity(user) = self;
        if (geteuid(), getegid()) == (user.uid, user.gid) {
            return Ok(());
        }
        self.switch().map_err(|error| {
            let why = match error {
                Errno::EPERM => "that takes the privileges of root".to_owned(),
                other => other.to_string(),
            };
            Failure::command_line(format!("can't become {}: {why} (--user)", user.name))
        })
    }

    fn switch(&self) -> Result<(), Errno> {
        let Identity(user) = self;
        let name = CString::new(OsStr::new(&user.name).as_bytes()).map_err(|_| Errno::EINVAL)?;
        // The user last: the others need the privileges.
        initgroups(&name, user.gid)?;
        setresgid(user.gid, user.gid, user.gid)?;
        setresuid(user.uid, user.uid, user.uid)?;
        let root = Uid::from_raw(0);
        match user.uid.is_root() || setresuid(root, root, root).is_err() {
            true => Ok(()),
            // The way back must be shut.
            false => Err(Errno::ENOTRECOVERABLE),
        }
    }
}

#[cfg(test)]
mod tests {
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
