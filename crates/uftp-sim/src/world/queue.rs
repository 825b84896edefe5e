//! What is to happen, in order.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use uftp_proto::Ecn;

use super::World;
use crate::node::NodeId;

pub(super) type Script = Box<dyn FnOnce(&mut World)>;

pub(super) struct Event {
    pub(super) at: Instant,
    /// Events of one instant happen in the order they were made.
    pub(super) order: u64,
    pub(super) what: What,
}

pub(super) enum What {
    /// A datagram reaches the core.
    Core(Flight),
    /// A datagram reaches nodes.
    Deliver(Flight, Vec<NodeId>),
    /// A node asked to be woken.
    Wake(NodeId),
    /// The test wants something done.
    Script(Script),
}

#[derive(Clone)]
pub(super) struct Flight {
    pub(super) from: NodeId,
    pub(super) source: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) ecn: Ecn,
    pub(super) datagram: Rc<[u8]>,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
