//! Datagrams larger than a link's MTU travel in IP fragments, as the other implementation's do:
//! path MTU discovery is off and no datagram carries "don't fragment".

use std::io;
use std::os::fd::AsFd;

use nix::libc;
use socket2::Socket;

use crate::sys;

/// Allows fragments of IPv4 packets.
pub(crate) fn allow_v4(socket: &Socket) -> io::Result<()> {
    sys::set_option(
        socket.as_fd(),
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        &libc::IP_PMTUDISC_DONT,
    )
}

/// Allows fragments of IPv6 packets.
pub(crate) fn allow_v6(socket: &Socket) -> io::Result<()> {
    sys::set_option(
        socket.as_fd(),
        libc::IPPROTO_IPV6,
        libc::IPV6_MTU_DISCOVER,
        &libc::IPV6_PMTUDISC_DONT,
    )
}
