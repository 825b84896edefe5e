//! The traffic class byte of IP packets: differentiated services code point in the upper six
//! bits, congestion mark in the lower two.

use std::io;

use nix::libc;
use socket2::Socket;
use uftp_proto::Ecn;

use super::cmsg::{Control, ControlBuf};

/// Sets the code point of all IPv4 packets sent, and asks for the byte of those received.
pub(crate) fn setup_v4(socket: &Socket, dscp: u8) -> io::Result<()> {
    socket.set_tos_v4(byte(dscp, Ecn::NotEct).into())?;
    socket.set_recv_tos_v4(true)
}

/// Sets the code point of all IPv6 packets sent, and asks for the byte of those received.
pub(crate) fn setup_v6(socket: &Socket, dscp: u8) -> io::Result<()> {
    socket.set_tclass_v6(byte(dscp, Ecn::NotEct).into())?;
    socket.set_recv_tclass_v6(true)
}

/// Marks one IPv4 message, keeping the code point, which the socket's own value would not do.
pub(crate) fn put_v4(control: &mut ControlBuf, used: usize, dscp: u8, ecn: Ecn) -> usize {
    let value = i32::from(byte(dscp, ecn));
    control.put(used, libc::IPPROTO_IP, libc::IP_TOS, value.to_ne_bytes())
}

/// Marks one IPv6 message, keeping the code point.
pub(crate) fn put_v6(control: &mut ControlBuf, used: usize, dscp: u8, ecn: Ecn) -> usize {
    let value = i32::from(byte(dscp, ecn));
    control.put(
        used,
        libc::IPPROTO_IPV6,
        libc::IPV6_TCLASS,
        value.to_ne_bytes(),
    )
}

/// The byte of a received packet, if that is what the entry tells.
pub(crate) fn received(control: &Control<'_>) -> Option<u8> {
    match (control.level, control.kind) {
        (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
            control.number().map(|value| value as u8)
        }
        _ => None,
    }
}

fn byte(dscp: u8, ecn: Ecn) -> u8 {
    dscp << 2 | ecn.bits()
}
