//! Word from the kernel that interfaces or their addresses have changed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

/// Tells when an interface has come, gone, or changed its state or addresses.
#[derive(Debug)]
pub struct InterfaceChanges {
    io: OwnedFd,
}

impl InterfaceChanges {
    /// Listens from now on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn watch() -> io::Result<Self> {
        let io = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        bind(io.as_raw_fd(), &NetlinkAddr::new(0, groups as u32))?;
        Ok(Self { io })
    }

    /// Waits until something has happened.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.io.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets what has happened so far. Whether anything had.
    ///
    /// # Errors
    /// The kernel's.
    pub fn drain(&self) -> io::Result<bool> {
        let mut message = [0; 8192];
        let mut any = false;
        loop {
            match recv(self.io.as_raw_fd(), &mut message, MsgFlags::empty()) {
                // More than the kernel could keep is also a change; what it was is looked up anyway.
                Ok(_) | Err(Errno::ENOBUFS) => any = true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(any),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn a_change_is_told_and_forgotten() {
        let test = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let changes = InterfaceChanges::watch().unwrap();
            assert!(!changes.drain().unwrap());
            for args in ["link set lo up", "address add 10.9.9.9/32 dev lo"] {
                let ran = Command::new("ip").args(args.split(' ')).status();
                assert!(ran.unwrap().success(), "ip {args}");
                // The kernel tells before the command ends.
                changes.wait().unwrap();
                assert!(changes.drain().unwrap(), "{args}");
                assert!(!changes.drain().unwrap());
            }
        };
        thread::spawn(test).join().unwrap();
    }
}
