//! A proxy as a node of the world.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use uftp_proto::Ecn;
use uftp_session::Batch;
use uftp_session::proxy::{Proxy, ProxyEvent, ProxyEventKind};

use crate::node::{Membership, Node};

/// A proxy and all it told.
pub struct ProxyNode {
    /// The machine.
    pub machine: Proxy,
    /// Its events so far.
    pub events: Vec<(Instant, ProxyEvent)>,
    /// Groups joined for sessions and not left.
    pub joined: Vec<IpAddr>,
}

impl ProxyNode {
    /// Wraps a machine.
    pub fn new(machine: Proxy) -> Self {
        ProxyNode {
            machine,
            events: Vec::new(),
            joined: Vec::new(),
        }
    }

    /// What happened, without times and places.
    pub fn kinds(&self) -> impl DoubleEndedIterator<Item = &ProxyEventKind> {
        self.events.iter().map(|(_, event)| &event.kind)
    }
}

impl Node for ProxyNode {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]) {
        self.machine.handle_datagram(now, from, ecn, datagram);
    }

    fn held_up(&mut self, now: Instant) {
        self.machine.held_up(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn poll_membership(&mut self, now: Instant) -> Option<Membership> {
        while let Some(event) = self.machine.poll_event() {
            let kind = event.kind.clone();
            self.events.push((now, event));
            match kind {
                ProxyEventKind::Join(group) | ProxyEventKind::JoinFrom { group, .. } => {
                    return Some(Membership::join(&mut self.joined, group));
                }
                ProxyEventKind::Leave(group) => {
                    return Some(Membership::leave(&mut self.joined, group));
                }
                _ => {}
            }
        }
        None
    }

    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        self.machine.poll_transmit(now, batch);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}
