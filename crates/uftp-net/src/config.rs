//! What a socket is made from.

use std::net::SocketAddr;

use crate::error::NetError;
use crate::interface::Interface;

/// How a socket is to be made. [`SocketConfig::new`] gives the defaults.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketConfig {
    /// Local address and port. An IPv6 wildcard also takes IPv4 traffic.
    pub bind: SocketAddr,
    /// Where multicast leaves; the system's choice if `None`. The first IPv4 address of the
    /// interface becomes the source address of IPv4 multicast.
    pub multicast_interface: Option<Interface>,
    /// Time to live or hop limit of multicast, 1 to 255.
    pub ttl: u8,
    /// Differentiated services code point of everything sent, 0 to 63.
    pub dscp: u8,
    /// Bytes wanted for the kernel's receive and send buffers; 0 keeps the system's.
    pub buffer_size: usize,
    /// Which of the kernel's short cuts may be used.
    pub offload: Offload,
}

impl SocketConfig {
    /// A socket at `bind` with TTL 1, DSCP 0, the system's buffers and interface and all offload
    /// the kernel has.
    pub fn new(bind: SocketAddr) -> Self {
        SocketConfig {
            bind,
            multicast_interface: None,
            ttl: 1,
            dscp: 0,
            buffer_size: 0,
            offload: Offload::Auto,
        }
    }

    pub(crate) fn check(&self) -> Result<(), NetError> {
        if self.ttl == 0 {
            return Err(NetError::Value {
                what: "TTL",
                value: self.ttl.into(),
                expected: "1 to 255",
            });
        }
        if self.dscp > 63 {
            return Err(NetError::Value {
                what: "DSCP",
                value: self.dscp.into(),
                expected: "0 to 63",
            });
        }
        Ok(())
    }
}

/// How many datagrams may cross the border to the kernel at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Offload {
    /// One datagram a call: `sendmsg` and `recvmsg`.
    Plain,
    /// Many datagrams a call: `sendmmsg` and `recvmmsg`.
    Batched,
    /// Whole runs as one: `UDP_SEGMENT` and `UDP_GRO` where the kernel has them.
    #[default]
    Auto,
}

impl Offload {
    /// For people: how datagrams go.
    pub(crate) fn manner(self) -> &'static str {
        match self {
            Offload::Plain => "one datagram a call",
            Offload::Batched => "many datagrams a call",
            Offload::Auto => "whole runs of datagrams as one",
        }
    }
}
