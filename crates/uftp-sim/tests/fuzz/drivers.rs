//! Sloppy drivers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use uftp_proto::Ecn;
use uftp_session::Batch;
use uftp_session::receiver::{EndReason, ReceiverEventKind};
use uftp_session::sender::Outcome;
use uftp_sim::scenario::{self, receiver_addr};
use uftp_sim::{MemStore, Membership, Node, ReceiverNode, Scenario, SenderNode, World, seeds};

use crate::{items, lossy, ms, secs};

/// A driver that hands in runs of datagrams late, wakes early and late, asks twice and has little
/// room.
struct Sloppy<N> {
    inner: N,
    rng: StdRng,
    inbox: Vec<(SocketAddr, Ecn, Vec<u8>)>,
    /// When it next looks at its inbox and alarm, if it is not asleep without an alarm.
    looks_at: Option<Instant>,
    due: bool,
}

impl<N: Node> Sloppy<N> {
    fn new(inner: N, rng: StdRng) -> Self {
        Sloppy {
            inner,
            rng,
            inbox: Vec::new(),
            looks_at: None,
            due: true,
        }
    }

    fn lag(&mut self) -> Duration {
        Duration::from_micros(match self.rng.random_range(0..10) {
            0 => self.rng.random_range(0..20_000),
            1..=4 => self.rng.random_range(0..500),
            _ => 0,
        })
    }
}

impl<N: Node> Node for Sloppy<N> {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]) {
        self.inbox.push((from, ecn, datagram.to_vec()));
        if self.looks_at.is_none_or(|t| t > now) && self.inbox.len() == 1 {
            self.looks_at = Some(now + self.lag());
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.due = true;
        for (from, ecn, mut datagram) in self.inbox.drain(..) {
            self.inner.handle_datagram(now, from, ecn, &mut datagram);
            if self.rng.random_bool(0.1) {
                self.inner.handle_timeout(now);
            }
        }
        // Once for its alarm, or for nothing at all.
        let rung = self.inner.poll_timeout().is_some_and(|t| t <= now);
        if rung || self.rng.random_bool(0.2) {
            self.inner.handle_timeout(now);
        }
        self.looks_at = None;
    }

    fn poll_membership(&mut self, now: Instant) -> Option<Membership> {
        self.inner.poll_membership(now)
    }

    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        if !self.due {
            return;
        }
        let mut small = Batch::new(self.rng.random_range(3_000..10_000));
        self.inner.poll_transmit(now, &mut small);
        for (to, ecn, datagram) in small.datagrams() {
            let copy = |room: &mut [u8]| {
                room[..datagram.len()].copy_from_slice(datagram);
                Ok::<_, ()>(datagram.len())
            };
            batch.push(to, ecn, copy).unwrap();
        }
        if small.is_empty() {
            // Drained: sleeps until its alarm, or a bit longer.
            self.due = false;
            let alarm = self.inner.poll_timeout().map(|t| t.max(now) + self.lag());
            self.looks_at = match (self.looks_at, alarm) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.looks_at
    }
}

#[test]
fn sloppy_drivers_cost_time_but_no_bytes() {
    seeds::each(60, |seed| {
        let mut world = World::new(seed);
        let config = scenario::sender_config(0);
        let rng = world.rng(70);
        let machine = scenario::sender_node(&world, config, uftp_sim::MemSource::new(items()));
        let addr = SocketAddr::from(([10, 0, 0, 1], 40_000));
        let sender = world.add(addr, Box::new(Sloppy::new(machine, rng)));
        let receivers: Vec<_> = (0..4)
            .map(|i| {
                let rng = world.rng(71 + i as u64);
                let node = scenario::receiver_node(&world, i, MemStore::default());
                let id = world.add(receiver_addr(i), Box::new(Sloppy::new(node, rng)));
                world.join(id, scenario::PUBLIC);
                world.set_paths(id, lossy(0.05), lossy(0.05));
                id
            })
            .collect();
        world.run(secs(300));
        let node: &Sloppy<SenderNode> = world.get(sender);
        assert_eq!(node.inner.outcome(), Some(Outcome::Success));
        assert!(node.inner.machine.is_finished());
        for id in receivers {
            let node = &world.get::<Sloppy<ReceiverNode>>(id).inner;
            node.store.assert_holds(&items());
            assert!(node.machine.is_idle());
            let ends = node.ends();
            assert!(
                matches!(ends[..], [EndReason::Confirmed | EndReason::Unconfirmed]),
                "{ends:?}"
            );
            let twice =
                |k: &&ReceiverEventKind| matches!(k, ReceiverEventKind::FileFinished { .. });
            assert_eq!(node.kinds().filter(twice).count(), items().len());
        }
    });
}

/// Waking a machine that did not ask for it changes nothing it does.
#[test]
fn wakeups_nobody_asked_for_change_nothing() {
    seeds::each(20, |seed| {
        let play = |disturb: bool| {
            let scenario = Scenario::new(seed, 3, items()).paths(lossy(0.1), lossy(0.1));
            let mut stage = scenario.stage();
            for at in 0..400 {
                let (sender, receivers) = (stage.sender, stage.receivers.clone());
                stage.world.after(ms(at), move |world| {
                    if !disturb {
                        return;
                    }
                    world.with(sender, |n: &mut SenderNode, now| {
                        n.machine.handle_timeout(now)
                    });
                    for id in receivers {
                        world.with(id, |n: &mut ReceiverNode, now| {
                            n.machine.handle_timeout(now)
                        });
                    }
                });
            }
            let stage = stage.play(secs(100));
            stage.assert_all_whole();
            let sent = stage.world.sent(stage.sender).total();
            (sent, stage.sender().passes())
        };
        assert_eq!(play(false), play(true));
    });
}
