//! TCP-friendly multicast congestion control (RFC 4654), both sides, without messages.
//!
//! ```text
//!   receiver                                     sender
//!   meter   what arrives per time                control   the rate; who limits it (the CLR);
//!   history which packets are missing                      rounds of feedback
//!   reporter  the rate TCP would have, and
//!             when to say so
//! ```
//!
//! The limiting receiver answers every CONG_CTRL. The others answer once a round at most, after a
//! random wait, and not at all when the sender already goes slower than they ask for. The
//! arithmetic is in [`uftp_proto::tfmcc`].

pub(crate) mod control;
mod history;
mod meter;
pub(crate) mod reporter;

use std::net::IpAddr;

use uftp_proto::wire::{self, CcType, Header};

use crate::link::Link;

pub use control::Limits;
pub(crate) use control::{Controller, Report};
pub(crate) use history::Packet;
pub(crate) use reporter::{Group, Reporter};

/// Bytes of the IP and UDP headers of a datagram to or from `ip`.
pub(crate) fn ip_udp_len(ip: IpAddr) -> u64 {
    const UDP: u64 = 8;
    UDP + if ip.is_ipv6() { 40 } else { 20 }
}

/// Bytes a data packet counts for, down to the IP header and whatever its real length
/// (behaviour-sender-receiver §3.10). It carries the state of its congestion control.
pub(crate) fn charged_size(link: &Link, block_size: u16, ip: IpAddr, cc: CcType) -> u64 {
    let head = wire::fileseg_head_len(link.version(), cc == CcType::TFMCC);
    let message = usize::from(block_size) + head;
    let cover = link.prefix() + link.suffix(message);
    (Header::LEN + message + cover) as u64 + ip_udp_len(ip)
}
