//! What the network knows of the machines it runs.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use uftp_proto::Ecn;
use uftp_session::Batch;

/// A node of a [`World`](crate::World): its index, in the order of adding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub usize);

/// A change of multicast membership a node asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Membership {
    /// Datagrams to this group shall reach it.
    Join(IpAddr),
    /// No longer.
    Leave(IpAddr),
}

impl Membership {
    /// A machine that has `joined` these groups asks for `group`. Panics if it is one of them.
    pub(crate) fn join(joined: &mut Vec<IpAddr>, group: IpAddr) -> Self {
        assert!(!joined.contains(&group), "joins {group} again");
        joined.push(group);
        Membership::Join(group)
    }

    /// A machine that has `joined` these groups is done with `group`. Panics if it is none of them.
    pub(crate) fn leave(joined: &mut Vec<IpAddr>, group: IpAddr) -> Self {
        let at = joined.iter().position(|g| *g == group);
        joined.swap_remove(at.unwrap_or_else(|| panic!("leaves {group}, which it has not joined")));
        Membership::Leave(group)
    }
}

/// A machine without I/O: one input, then its outputs are drained.
pub trait Node: Any {
    /// A datagram arrived. It may be changed in place.
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]);

    /// The time it asked for has passed while it did not run; it has been given what came meanwhile.
    fn held_up(&mut self, _now: Instant) {}

    /// The time it asked for has come.
    fn handle_timeout(&mut self, now: Instant);

    /// Takes note of all events and returns the next that concerns the network; `None` when
    /// there are no more events.
    fn poll_membership(&mut self, now: Instant) -> Option<Membership>;

    /// Appends what may go now.
    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch);

    /// When it wants to be woken.
    fn poll_timeout(&self) -> Option<Instant>;
}
