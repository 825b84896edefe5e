//! What tests see of datagrams under way, and may do to them.

use std::net::SocketAddr;
use std::time::Duration;

use uftp_proto::wire::{self, Function};

use crate::node::NodeId;

/// A datagram about to enter the path down to a node.
pub struct Passing<'a> {
    /// Since the beginning of the world.
    pub time: Duration,
    /// Who sent it.
    pub from: NodeId,
    /// Whom it will reach.
    pub to: NodeId,
    /// Address it was sent to.
    pub destination: SocketAddr,
    /// The datagram.
    pub datagram: &'a [u8],
}

impl Passing<'_> {
    /// What it is, if it has a valid header.
    pub fn function(&self) -> Option<Function> {
        wire::decode_header(self.datagram).ok().map(|h| h.function)
    }

    /// Whether it is a `function`.
    pub fn is(&self, function: Function) -> bool {
        self.function() == Some(function)
    }
}

/// What a filter does with a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Lets it go on.
    Pass,
    /// Drops it.
    Drop,
}
