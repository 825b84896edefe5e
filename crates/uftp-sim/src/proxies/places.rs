//! Who is where.

use std::net::{Ipv4Addr, SocketAddr};

use uftp_proto::Uid;

use crate::scenario::PORT;

/// Address of server proxy number `k`.
pub fn server_proxy_addr(k: usize) -> SocketAddr {
    (Ipv4Addr::new(10, 2, number(k), 1), PORT).into()
}

/// Address of the second server proxy of chain, or of nested proxies, number `k`.
pub fn relay_addr(k: usize) -> SocketAddr {
    (Ipv4Addr::new(10, 4, number(k), 1), PORT).into()
}

/// Address of client or response proxy number `k`.
pub fn proxy_addr(k: usize) -> SocketAddr {
    (Ipv4Addr::new(10, 3, number(k), 1), PORT).into()
}

/// Address of the first client proxy of those nested at number `k`.
pub fn upper_addr(k: usize) -> SocketAddr {
    (Ipv4Addr::new(10, 5, number(k), 1), PORT).into()
}

/// Id of the host at `addr`.
pub fn uid(addr: SocketAddr) -> Uid {
    Uid::from_addr(addr.ip())
}

pub(super) fn network(k: usize) -> u32 {
    u32::from(number(k)) + 1
}

/// The network between nested proxies.
pub(super) fn halfway(k: usize) -> u32 {
    0x100 + network(k)
}

fn number(k: usize) -> u8 {
    u8::try_from(k).expect("few proxies")
}
