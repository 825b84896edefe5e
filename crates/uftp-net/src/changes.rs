//! Word from the kernel that interfaces or their addresses have changed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

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

    /// Waits until nothing more has happened for the time `quiet`, but no longer than `most`, and
    /// forgets what did: what happens to an interface comes in bursts, its state, then its addresses.
    ///
    /// # Errors
    /// The kernel's.
    pub fn settle(&self, quiet: Duration, most: Duration) -> io::Result<()> {
        self.drain()?;
        outlast(quiet, most, Instant::now, |within| {
            // Never less than asked for, which would end in a busy loop.
            let within = within.as_millis().saturating_add(1);
            let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.io.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => self.drain(),
                Err(error) => Err(error.into()),
            }
        })
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

/// Lasts until `happens`, which waits no longer than it is told, has told of nothing for the time
/// `quiet` by the clock `now`, or for `most`.
fn outlast(
    quiet: Duration,
    most: Duration,
    now: impl Fn() -> Instant,
    mut happens: impl FnMut(Duration) -> io::Result<bool>,
) -> io::Result<()> {
    let end = now() + most;
    let mut over = now() + quiet;
    loop {
        let left = over.min(end).saturating_duration_since(now());
        if left.is_zero() {
            return Ok(());
        }
        if happens(left)? {
            over = now() + quiet;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
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
            let run = "for n in 1 2 3 4 5; do ip address add 10.9.9.1$n/32 dev lo; done";
            let mut ran = Command::new("sh").args(["-c", run]).spawn().unwrap();
            changes.wait().unwrap();
            assert!(ran.wait().unwrap().success());
            changes
                .settle(Duration::from_millis(1), Duration::from_secs(60))
                .unwrap();
            assert!(!changes.drain().unwrap());
        };
        thread::spawn(test).join().unwrap();
    }

    #[test]
    fn a_burst_is_outlasted_unless_it_never_ends() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        // What happens when, and how long that lasts.
        let lasts = |times: &[u64], most: u64| {
            let now = Cell::new(start);
            let mut times = times.iter().map(|at| start + ms(*at)).peekable();
            let happens = |within: Duration| {
                let until = now.get() + within;
                let next = times.next_if(|at| *at <= until);
                now.set(next.unwrap_or(until));
                Ok(next.is_some())
            };
            outlast(ms(200), ms(most), || now.get(), happens).unwrap();
            now.get() - start
        };
        assert_eq!(lasts(&[], 1000), ms(200));
        assert_eq!(lasts(&[201], 1000), ms(200));
        assert_eq!(lasts(&[0, 150, 300, 310, 500, 900], 1000), ms(700));
        let endless: Vec<u64> = (0..1000).map(|n| n * 100).collect();
        assert_eq!(lasts(&endless, 1000), ms(1000));
        assert_eq!(lasts(&[100], 0), ms(0));
    }
}
