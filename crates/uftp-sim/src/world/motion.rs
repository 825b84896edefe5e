//! How datagrams get about, and what nodes do when they come.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use uftp_proto::Ecn;
use uftp_proto::wire;
use uftp_session::Batch;

use super::World;
use super::passing::{Passing, Verdict};
use super::queue::{Event, Flight, What};
use crate::node::{Membership, NodeId};
use crate::path::Arrivals;

impl World {
    /// Makes the next event happen. False if it was of no consequence.
    pub(super) fn step(&mut self) -> bool {
        let Some(Reverse(event)) = self.queue.pop() else {
            return false;
        };
        debug_assert!(event.at >= self.now);
        if let What::Wake(id) = event.what
            && !self.is_due(id, event.at)
        {
            return false; // time has not passed for anybody
        }
        self.now = event.at;
        self.happen(event.what);
        true
    }

    /// An event takes place now.
    pub(super) fn happen(&mut self, what: What) {
        match what {
            What::Core(flight) => self.fan_out(&flight),
            What::Deliver(flight, targets) => {
                for id in targets {
                    self.hand_over(id, flight.source, flight.ecn, &flight.datagram);
                }
            }
            What::Wake(id) => self.wake(id),
            What::Script(script) => script(self),
        }
    }

    pub(super) fn schedule(&mut self, at: Instant, what: What) {
        let order = self.events;
        self.events += 1;
        self.queue.push(Reverse(Event { at, order, what }));
    }

    /// A node sends.
    fn send(&mut self, from: NodeId, to: SocketAddr, ecn: Ecn, datagram: &[u8]) {
        if self.traced {
            self.trace(from, to, datagram);
        }
        let slot = &mut self.nodes[from.0];
        slot.sent.note(datagram);
        slot.busyness.note(self.now - self.base);
        let source = slot.addr;
        let arrivals = slot.up.pass(self.now, datagram.len(), ecn, &mut self.rng);
        let datagram: Rc<[u8]> = datagram.into();
        for (at, ecn) in arrivals.into_iter().flatten() {
            let flight = Flight {
                from,
                source,
                to,
                ecn,
                datagram: Rc::clone(&datagram),
            };
            if at == self.now {
                self.fan_out(&flight);
            } else {
                self.schedule(at, What::Core(flight));
            }
        }
    }

    fn trace(&self, from: NodeId, to: SocketAddr, datagram: &[u8]) {
        let time = self.elapsed();
        let Ok(header) = wire::decode_header(datagram) else {
            eprintln!("{time:?} {from:?} to {to}: {datagram:02x?}");
            return;
        };
        let body = datagram.get(wire::Header::LEN..).unwrap_or_default();
        let message = format!("{:?}", wire::decode(header.version, header.function, body));
        eprintln!("{time:?} {from:?} to {to}: {:?} {message:.200}", header.seq);
    }

    /// A datagram is at the core: it enters the paths of all it is meant for.
    pub(super) fn fan_out(&mut self, flight: &Flight) {
        let ip = flight.to.ip();
        if !ip.is_multicast() {
            match self.by_address.get(&ip).copied() {
                Some(id) => {
                    for (at, ecn) in self.enter(flight, id).into_iter().flatten() {
                        let flight = Flight {
                            ecn,
                            ..flight.clone()
                        };
                        self.schedule(at, What::Deliver(flight, vec![id]));
                    }
                }
                None => self.astray += 1,
            }
            return;
        }
        let Some(members) = self.groups.remove(&ip) else {
            self.astray += 1;
            return;
        };
        let network = self.nodes[flight.from.0].network;
        // Neighbours with equal paths share an event.
        let mut open: Option<(Instant, Ecn, Vec<NodeId>)> = None;
        for (id, _) in &members {
            if *id == flight.from || self.nodes[id.0].network != network {
                continue;
            }
            for (at, ecn) in self.enter(flight, *id).into_iter().flatten() {
                match &mut open {
                    Some((when, mark, targets)) if (*when, *mark) == (at, ecn) => targets.push(*id),
                    _ => {
                        let full = open.replace((at, ecn, vec![*id]));
                        self.deliver_later(flight, full);
                    }
                }
            }
        }
        self.deliver_later(flight, open);
        self.groups.insert(ip, members);
    }

    fn deliver_later(&mut self, flight: &Flight, to: Option<(Instant, Ecn, Vec<NodeId>)>) {
        if let Some((at, ecn, targets)) = to {
            let flight = Flight {
                ecn,
                ..flight.clone()
            };
            self.schedule(at, What::Deliver(flight, targets));
        }
    }

    /// A datagram enters the path down to `id`.
    fn enter(&mut self, flight: &Flight, id: NodeId) -> Arrivals {
        let part = self.nodes[flight.from.0].part;
        let slot = &mut self.nodes[id.0];
        if slot.part != part || !slot.alive {
            return [None; 2];
        }
        if slot.addr.port() != flight.to.port() {
            self.astray += 1;
            return [None; 2];
        }
        if let Some(filter) = &mut self.filter {
            let verdict = filter(&Passing {
                time: self.now - self.base,
                from: flight.from,
                to: id,
                destination: flight.to,
                datagram: &flight.datagram,
            });
            if verdict == Verdict::Drop {
                return [None; 2];
            }
        }
        let len = flight.datagram.len();
        slot.down.pass(self.now, len, flight.ecn, &mut self.rng)
    }

    /// A datagram arrives at a node.
    pub(super) fn hand_over(&mut self, id: NodeId, from: SocketAddr, ecn: Ecn, datagram: &[u8]) {
        let slot = &mut self.nodes[id.0];
        if !slot.alive {
            return;
        }
        slot.busyness.note(self.now - self.base);
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        slot.node
            .handle_datagram(self.now, from, ecn, &mut self.scratch);
        self.settle(id);
    }

    /// Whether the alarm of a node that was set for `at` still means something. If the node has
    /// changed its mind it is set anew.
    fn is_due(&mut self, id: NodeId, at: Instant) -> bool {
        let slot = &mut self.nodes[id.0];
        if !slot.alive || slot.wake != Some(at) {
            return false;
        }
        slot.wake = None;
        let due = slot.node.poll_timeout().is_some_and(|t| t <= at);
        if !due {
            self.set_alarm(id);
        }
        due
    }

    /// The alarm of a node rings.
    fn wake(&mut self, id: NodeId) {
        let slot = &mut self.nodes[id.0];
        slot.wakeups.note(id, self.now, self.base);
        slot.node.handle_timeout(self.now);
        self.settle(id);
    }

    /// Drains the outputs of a node.
    pub(super) fn settle(&mut self, id: NodeId) {
        if !self.nodes[id.0].alive {
            return;
        }
        let mut batch = std::mem::replace(&mut self.batch, Batch::new(0));
        loop {
            let mut quiet = true;
            while let Some(change) = self.nodes[id.0].node.poll_membership(self.now) {
                self.apply(id, change);
                quiet = false;
            }
            batch.clear();
            self.nodes[id.0].node.poll_transmit(self.now, &mut batch);
            for (to, ecn, datagram) in batch.datagrams() {
                self.send(id, to, ecn, datagram);
                quiet = false;
            }
            if quiet {
                break;
            }
        }
        self.batch = batch;
        self.set_alarm(id);
    }

    fn set_alarm(&mut self, id: NodeId) {
        let slot = &mut self.nodes[id.0];
        let Some(at) = slot.node.poll_timeout() else {
            return; // an alarm already set will find nothing due
        };
        let at = at.max(self.now);
        if slot.wake.is_none_or(|wake| at < wake) {
            slot.wake = Some(at);
            self.schedule(at, What::Wake(id));
        }
    }

    pub(super) fn apply(&mut self, id: NodeId, change: Membership) {
        match change {
            Membership::Join(group) => {
                assert!(group.is_multicast(), "{id:?} joins {group}");
                let members = self.groups.entry(group).or_default();
                match members.binary_search_by_key(&id, |(id, _)| *id) {
                    Ok(at) => members[at].1 += 1,
                    Err(at) => members.insert(at, (id, 1)),
                }
            }
            Membership::Leave(group) => {
                let members = self.groups.entry(group).or_default();
                let Ok(at) = members.binary_search_by_key(&id, |(id, _)| *id) else {
                    panic!("{id:?} leaves {group}, where it is not");
                };
                members[at].1 -= 1;
                if members[at].1 == 0 {
                    members.remove(at);
                }
            }
        }
    }
}
