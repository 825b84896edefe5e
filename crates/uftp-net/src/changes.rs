//! Word from the kernel that interfaces or their addresses have changed.

use std::collections::BTreeSet;
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
        self.wait_for(PollTimeout::NONE)
    }

    fn wait_for(&self, timeout: PollTimeout) -> io::Result<()> {
        let mut fds = [PollFd::new(self.io.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until nothing more has happened for the time `quiet`, but no longer than `most`, and
    /// forgets what did: what happens to an interface comes in bursts, its state, then its addresses.
    /// Returns which have gone, if only for a moment: all that had to do with them went along.
    ///
    /// # Errors
    /// The kernel's.
    pub fn settle(&self, quiet: Duration, most: Duration) -> io::Result<Gone> {
        let mut gone = Gone::default();
        self.drain_into(&mut gone)?;
        outlast(quiet, most, Instant::now, |within| {
            // Never less than asked for, which would end in a busy loop.
            let within = within.as_millis().saturating_add(1);
            self.wait_for(PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX))?;
            self.drain_into(&mut gone)
        })?;
        Ok(gone)
    }

    /// Takes what has happened so far into `gone`. Whether anything had.
    fn drain_into(&self, gone: &mut Gone) -> io::Result<bool> {
        let mut message = [0; 8192];
        let mut any = false;
        loop {
            match recv(self.io.as_raw_fd(), &mut message, MsgFlags::empty()) {
                Ok(len) => {
                    gone.note(message.get(..len).unwrap_or_default());
                    any = true;
                }
                // More than the kernel could keep.
                Err(Errno::ENOBUFS) => (gone.unknown, any) = (true, true),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(any),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Interfaces that have gone.
#[derive(Default, Debug)]
pub struct Gone {
    indexes: BTreeSet<u32>,
    /// The kernel had more to tell than it could keep.
    unknown: bool,
}

impl Gone {
    /// Whether the interface with this index may be one of them.
    pub fn may_include(&self, index: u32) -> bool {
        self.unknown || self.indexes.contains(&index)
    }

    /// Takes in messages of the kernel, one behind the other (rtnetlink).
    fn note(&mut self, mut messages: &[u8]) {
        while let Some((message, rest)) = next_message(messages) {
            messages = rest;
            // struct nlmsghdr, then struct ifinfomsg (rtnetlink(7)): nlmsg_type, ifi_family, ifi_index.
            let kind = message.get(4..6).and_then(|b| b.try_into().ok());
            let family = message.get(HEADER).copied().map(libc::c_int::from);
            let index = message.get(HEADER + 4..HEADER + 8);
            let index = index.and_then(|b| b.try_into().ok());
            let unlinked = kind.map(u16::from_ne_bytes) == Some(libc::RTM_DELLINK);
            // A bridge that loses a port says so, too, of the port.
            if let (true, Some(libc::AF_UNSPEC), Some(index)) = (unlinked, family, index) {
                self.indexes.insert(u32::from_ne_bytes(index));
            }
        }
    }
}

/// The first message, with its header, and those behind it.
fn next_message(messages: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = messages.first_chunk().map(|len| u32::from_ne_bytes(*len))?;
    let len = usize::try_from(len).ok().filter(|len| *len >= HEADER)?;
    let message = messages.get(..len)?;
    let rest = messages.get(len.next_multiple_of(4)..);
    Some((message, rest.unwrap_or_default()))
}

/// Bytes of the header of a message (`struct nlmsghdr`).
const HEADER: usize = 16;

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

    /// Forgets what has happened so far. Whether anything had.
    fn drain(changes: &InterfaceChanges) -> bool {
        changes.drain_into(&mut Gone::default()).unwrap()
    }

    #[test]
    fn a_change_is_told_and_forgotten() {
        let test = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let changes = InterfaceChanges::watch().unwrap();
            assert!(!drain(&changes));
            for args in ["link set lo up", "address add 10.9.9.9/32 dev lo"] {
                let ran = Command::new("ip").args(args.split(' ')).status();
                assert!(ran.unwrap().success(), "ip {args}");
                // The kernel tells before the command ends.
                changes.wait().unwrap();
                assert!(drain(&changes), "{args}");
                assert!(!drain(&changes));
            }
            let run = "for n in 1 2 3 4 5; do ip address add 10.9.9.1$n/32 dev lo; done";
            let mut ran = Command::new("sh").args(["-c", run]).spawn().unwrap();
            changes.wait().unwrap();
            assert!(ran.wait().unwrap().success());
            changes
                .settle(Duration::from_millis(1), Duration::from_secs(60))
                .unwrap();
            assert!(!drain(&changes));
        };
        thread::spawn(test).join().unwrap();
    }

    /// One that is back before it is looked up looks as if it had never gone.
    #[test]
    fn interfaces_that_have_gone_are_named() {
        let test = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let changes = InterfaceChanges::watch().unwrap();
            let run = "ip link add name v1 index 71 type veth && ip link add name v3 index 73 type veth \
                       && ip link set v3 up && ip link del v1 \
                       && ip link add name v1 index 71 type veth";
            let ran = Command::new("sh").args(["-c", run]).status().unwrap();
            assert!(ran.success());
            let ms = Duration::from_millis;
            let gone = changes.settle(ms(1), ms(60_000)).unwrap();
            assert_eq!([71, 73].map(|i| gone.may_include(i)), [true, false]);
            let gone = changes.settle(ms(1), ms(60_000)).unwrap();
            assert!(!gone.may_include(71), "it is forgotten");
        };
        thread::spawn(test).join().unwrap();
    }

    #[test]
    fn damaged_messages_name_nothing() {
        let mut gone = Gone::default();
        let mut message = vec![0; 32];
        message[..4].copy_from_slice(&32_u32.to_ne_bytes());
        message[4..6].copy_from_slice(&libc::RTM_DELLINK.to_ne_bytes());
        message[20] = 7;
        for len in 0..32 {
            gone.note(&message[..len]);
        }
        for len in [0, 1, 15, u32::MAX] {
            message[..4].copy_from_slice(&len.to_ne_bytes());
            gone.note(&message);
        }
        assert!(gone.indexes.is_empty());
        let mut two = vec![0; 20];
        two[..4].copy_from_slice(&17_u32.to_ne_bytes());
        message[..4].copy_from_slice(&32_u32.to_ne_bytes());
        two.extend(&message);
        gone.note(&two);
        let seven = u32::from_ne_bytes([7, 0, 0, 0]);
        assert!(gone.may_include(seven) && !gone.may_include(8));
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
