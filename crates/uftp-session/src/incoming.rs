//! A packet as it came.

use std::net::SocketAddr;
use std::time::Instant;

use uftp_proto::Ecn;
use uftp_proto::wire::Header;

use crate::table::SessionId;

/// How a packet came, whatever it says. Its bytes go beside this: they may be opened in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    /// When.
    pub(crate) now: Instant,
    /// From where.
    pub(crate) from: SocketAddr,
    /// How the network has marked it.
    pub(crate) ecn: Ecn,
    /// What it begins with, not proved yet.
    pub(crate) header: Header,
}

impl Incoming {
    /// The session it belongs to.
    pub(crate) fn session(&self) -> SessionId {
        SessionId {
            group: self.header.group,
            instance: self.header.instance,
        }
    }
}
