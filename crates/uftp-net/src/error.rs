//! What can go wrong before the first datagram.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// A socket could not be made, or an interface not found. One sentence each, naming the thing.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A configured number is out of range.
    #[error("{what} {value} is out of range: expected {expected}")]
    Value {
        /// Which.
        what: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        expected: &'static str,
    },
    /// The system has no such sockets.
    #[error("cannot open a UDP socket for {}: {source}", family(.addr))]
    Open {
        /// The address it was meant for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The address or port cannot be had; usually another program holds it.
    #[error("cannot bind UDP address {} port {}: {source}", .addr.ip(), .addr.port())]
    Bind {
        /// Which.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A socket option was refused.
    #[error("cannot set {option} on the UDP socket at {addr}: {source}")]
    Option {
        /// Which, in the system's or plain words.
        option: &'static str,
        /// The socket's address.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The system would not tell the socket's own address.
    #[error("cannot learn the address of the UDP socket meant for {addr}: {source}")]
    LocalAddr {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A group cannot be joined.
    #[error("cannot join multicast group {group} on {interface}{}: {source}{}", from(.sender), limit(.group, .source))]
    Join {
        /// Which group.
        group: IpAddr,
        /// Where.
        interface: String,
        /// The only sender wanted, if one was named.
        sender: Option<IpAddr>,
        /// The system's reason.
        source: io::Error,
    },
    /// A group cannot be left.
    #[error("cannot leave multicast group {group} on {interface}: {source}")]
    Leave {
        /// Which group.
        group: IpAddr,
        /// Where.
        interface: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The address is no multicast group, or of the wrong family for socket or sender.
    #[error("cannot join {group} on {interface}: {reason}")]
    Group {
        /// The address.
        group: IpAddr,
        /// Where.
        interface: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system's list of interfaces cannot be read.
    #[error("cannot list the network interfaces: {0}")]
    Interfaces(#[source] io::Error),
    /// Neither an interface, nor an address, nor a host name.
    #[error("invalid name/address {text}: {source}")]
    Resolve {
        /// As the operator wrote it.
        text: String,
        /// The resolver's reason.
        source: io::Error,
    },
    /// An address or number that no interface of this host has.
    #[error("interface {text} not found: {reason}")]
    NotFound {
        /// As the operator wrote it.
        text: String,
        /// What was looked for in vain.
        reason: String,
    },
    /// More than one interface answers to it.
    #[error("interface {text} is ambiguous: it may mean {}; name one of them", .candidates.join(" or "))]
    Ambiguous {
        /// As the operator wrote it.
        text: String,
        /// Names of the interfaces.
        candidates: Vec<String>,
    },
    /// No wake-up call can be made.
    #[error("cannot make an event descriptor: {0}")]
    Wake(#[source] io::Error),
}

fn family(addr: &SocketAddr) -> &'static str {
    if addr.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn from(sender: &Option<IpAddr>) -> String {
    sender.map_or_else(String::new, |s| format!(" for sender {s}"))
}

/// The kernel's answer to one group, or one sender of a group, too many is "No buffer space available".
fn limit(group: &IpAddr, reason: &io::Error) -> &'static str {
    match group {
        _ if reason.raw_os_error() != Some(nix::libc::ENOBUFS) => "",
        IpAddr::V4(_) => " (see sysctl net.ipv4.igmp_max_memberships and igmp_max_msf)",
        IpAddr::V6(_) => " (see sysctl net.ipv6.mld_max_msf)",
    }
}
