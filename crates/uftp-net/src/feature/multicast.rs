//! Multicast: where it leaves, how far it goes, and which groups come in.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::libc;
use socket2::{InterfaceIndexOrAddress, SockAddr, SockAddrStorage, Socket};

use crate::interface::Interface;
use crate::sys;

/// One group on one interface, from one sender or from all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Membership {
    group: IpAddr,
    sender: Option<IpAddr>,
    interface: u32,
}

impl Membership {
    pub(crate) fn new(group: IpAddr, sender: Option<IpAddr>, on: &Interface) -> Self {
        Membership {
            group,
            sender,
            interface: on.index,
        }
    }
}

/// What a socket has joined, and how often.
#[derive(Default, Debug)]
pub(crate) struct Memberships(Mutex<Vec<(Membership, usize)>>);

impl Memberships {
    /// Joins, or counts if that was done before.
    pub(crate) fn join(&self, socket: &Socket, membership: Membership) -> io::Result<()> {
        let mut joined = self.lock();
        if let Some((_, times)) = joined.iter_mut().find(|(m, _)| *m == membership) {
            *times += 1;
            return Ok(());
        }
        join(socket, &membership)?;
        joined.push((membership, 1));
        Ok(())
    }

    /// Takes back one join, if there is one; with the last one it leaves.
    pub(crate) fn leave(&self, socket: &Socket, membership: Membership) -> io::Result<()> {
        let mut joined = self.lock();
        let Some(at) = joined.iter().position(|(m, _)| *m == membership) else {
            return Ok(());
        };
        if let Some((_, times)) = joined.get_mut(at)
            && *times > 1
        {
            *times -= 1;
            return Ok(());
        }
        joined.swap_remove(at);
        leave(socket, &membership)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Membership, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets interface and range of IPv4 multicast; own datagrams are heard on this host too, those of
/// groups that only other programs have joined are not.
pub(crate) fn setup_v4(socket: &Socket, ttl: u8, interface: Option<&Interface>) -> io::Result<()> {
    socket.set_multicast_ttl_v4(ttl.into())?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_multicast_all_v4(false)?;
    let Some(interface) = interface else {
        return Ok(());
    };
    let source = interface.first_v4().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let choice = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr {
            s_addr: u32::from_ne_bytes(source.octets()),
        },
        imr_ifindex: interface.index as libc::c_int,
    };
    sys::set_option(
        socket.as_fd(),
        libc::IPPROTO_IP,
        libc::IP_MULTICAST_IF,
        &choice,
    )
}

/// The same for IPv6.
pub(crate) fn setup_v6(socket: &Socket, ttl: u8, interface: Option<&Interface>) -> io::Result<()> {
    socket.set_multicast_hops_v6(ttl.into())?;
    socket.set_multicast_loop_v6(true)?;
    socket.set_multicast_all_v6(false)?;
    match interface {
        Some(interface) => socket.set_multicast_if_v6(interface.index),
        None => Ok(()),
    }
}

fn join(socket: &Socket, membership: &Membership) -> io::Result<()> {
    let interface = membership.interface;
    match (membership.group, membership.sender) {
        (_, Some(sender)) => set_source(socket, libc::MCAST_JOIN_SOURCE_GROUP, membership, sender),
        (IpAddr::V4(group), None) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface))
        }
        (IpAddr::V6(group), None) => socket.join_multicast_v6(&group, interface),
    }
}

fn leave(socket: &Socket, membership: &Membership) -> io::Result<()> {
    let interface = membership.interface;
    match (membership.group, membership.sender) {
        (_, Some(sender)) => set_source(socket, libc::MCAST_LEAVE_SOURCE_GROUP, membership, sender),
        (IpAddr::V4(group), None) => {
            socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface))
        }
        (IpAddr::V6(group), None) => socket.leave_multicast_v6(&group, interface),
    }
}

/// Joins or leaves, as `option` says, for datagrams of `sender` only.
fn set_source(
    socket: &Socket,
    option: libc::c_int,
    membership: &Membership,
    sender: IpAddr,
) -> io::Result<()> {
    let storage = |addr| SockAddr::from(SocketAddr::new(addr, 0)).as_storage();
    let request = SourceRequest {
        interface: membership.interface,
        group: storage(membership.group),
        sender: storage(sender),
    };
    let level = match membership.group {
        IpAddr::V4(_) => libc::IPPROTO_IP,
        IpAddr::V6(_) => libc::IPPROTO_IPV6,
    };
    sys::set_option(socket.as_fd(), level, option, &request)
}

/// `struct group_source_req` (RFC 3678 §5.1.2). Takes an interface index also for IPv4, where the older request
/// takes an address only.
#[repr(C)]
struct SourceRequest {
    interface: u32,
    group: SockAddrStorage,
    sender: SockAddrStorage,
}
