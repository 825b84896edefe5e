//! Machines under hostile datagrams and sloppy drivers, in the middle of sessions.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // these are tests

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use uftp_proto::wire::{self, BlockRef, Function, Header, Message};
use uftp_proto::{Ecn, FileId, GroupId, Instance, Uid};
use uftp_session::Batch;
use uftp_session::files::SendItem;
use uftp_session::receiver::{EndReason, ReceiverEventKind};
use uftp_session::sender::{Outcome, SenderEvent};
use uftp_sim::scenario::{self, PORT, receiver_addr};
use uftp_sim::{
    Loss, MemStore, Membership, Node, NodeId, PathConfig, ReceiverNode, Scenario, SenderNode,
    Stage, Verdict, World, seeds, source,
};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn lossy(p: f64) -> PathConfig {
    PathConfig {
        loss: Loss::Random(p),
        ..PathConfig::default()
    }
}

fn items() -> Vec<SendItem> {
    vec![
        source::file("first", 60_007),
        source::directory("empty"),
        source::file("dir/second", 20_001),
        source::file("none", 0),
    ]
}

/// A datagram that was on the network.
#[derive(Clone)]
struct Seen {
    from: NodeId,
    to: NodeId,
    bytes: Vec<u8>,
}

impl Seen {
    fn is(&self, function: Function) -> bool {
        wire::decode_header(&self.bytes).is_ok_and(|h| h.function == function)
    }
}

type Tape = Rc<RefCell<Vec<Seen>>>;

/// Keeps what goes over the network from now on.
fn record(world: &mut World) -> Tape {
    let tape = Tape::default();
    let writer = Rc::clone(&tape);
    world.set_filter(move |p| {
        writer.borrow_mut().push(Seen {
            from: p.from,
            to: p.to,
            bytes: p.datagram.to_vec(),
        });
        Verdict::Pass
    });
    tape
}

/// All datagrams of a whole session with losses.
fn recording(seed: u64) -> Vec<Seen> {
    let scenario = Scenario::new(seed, 3, items()).paths(lossy(0.1), lossy(0.1));
    let mut stage = scenario.stage();
    let tape = record(&mut stage.world);
    stage.play(secs(100)).assert_all_whole();
    tape.take()
}

/// Makes datagrams that must not matter out of `seen`, one that did.
fn harmless(seen: &Seen, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seen.bytes.clone();
    // A forged announcement opens a session, as it should.
    let announce = seen.is(Function::Announce);
    match rng.random_range(0..8) {
        0 => random_bytes(rng),
        1 => {
            bytes.truncate(rng.random_range(0..bytes.len()));
            bytes
        }
        2 if !announce => with_header(bytes, |h| h.group = GroupId(rng.next_u32())),
        3 if !announce => with_header(bytes, |h| h.instance = Instance(rng.random_range(1..=255))),
        4 if !announce => with_header(bytes, |h| h.src = Uid(rng.next_u32() | 0x8000_0000)),
        5 if !announce => {
            bytes[0] = rng.random();
            if bytes[0] == seen.bytes[0] {
                vec![]
            } else {
                bytes
            }
        }
        6 => {
            bytes[1] = *[0, 22, 23, 77, 128, 255].choose(rng).unwrap();
            bytes
        }
        _ => out_of_range(&bytes, rng).unwrap_or(bytes),
    }
}

fn random_bytes(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..200)];
    rng.fill_bytes(&mut bytes);
    if rng.random() && bytes.len() > 2 {
        bytes[0] = 0x40;
        bytes[1] = rng.random_range(2..22);
    }
    bytes
}

fn with_header(mut bytes: Vec<u8>, change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = wire::decode_header(&bytes).unwrap();
    let mut out = vec![0; bytes.len() + 64];
    let message = wire::decode(header.version, header.function, &bytes[Header::LEN..]).unwrap();
    change(&mut header);
    let len = wire::encode(&header, &message, &mut out).unwrap();
    out.truncate(len);
    std::mem::swap(&mut bytes, &mut out);
    bytes
}

/// The same message about a file, section or block that does not exist; `None` if it is about
/// none.
fn out_of_range(bytes: &[u8], rng: &mut StdRng) -> Option<Vec<u8>> {
    let header = wire::decode_header(bytes).ok()?;
    let mut message = wire::decode(header.version, header.function, &bytes[Header::LEN..]).ok()?;
    let nowhere = FileId(rng.random_range(1000..=u16::MAX));
    match &mut message {
        Message::FileSeg(m) if rng.random() => m.file = nowhere,
        Message::FileSeg(m) => {
            let section = if rng.random() {
                0
            } else {
                rng.random_range(1..=u16::MAX)
            };
            let block = rng.random_range(1000..=u16::MAX);
            m.at = BlockRef::InSection { section, block };
        }
        Message::Status(m) if rng.random() => m.file = nowhere,
        Message::Status(m) => m.section = rng.random_range(1..=u16::MAX),
        Message::FileInfoAck(m) => m.file = nowhere,
        Message::Complete(m) => m.file = nowhere,
        Message::Done(m) => m.file = nowhere,
        _ => return None,
    }
    let mut out = vec![0; bytes.len() + 64];
    let len = wire::encode(&header, &message, &mut out).ok()?;
    out.truncate(len);
    Some(out)
}

fn flipped(seen: &Seen, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seen.bytes.clone();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8);
    }
    if rng.random_bool(0.2) {
        bytes.truncate(rng.random_range(0..bytes.len()));
    }
    bytes
}

/// Until the sender closes the session, makes datagrams out of what was seen and throws them at
/// whoever got the original.
fn storm(
    world: &mut World,
    sender: NodeId,
    tape: Tape,
    mut rng: StdRng,
    make: fn(&Seen, &mut StdRng) -> Vec<u8>,
) {
    let closing = |e: &SenderEvent| matches!(e, SenderEvent::Finishing | SenderEvent::Finished(_));
    if world.get::<SenderNode>(sender).events().any(closing) {
        return;
    }
    for _ in 0..rng.random_range(0..10) {
        let seen = tape.borrow().choose(&mut rng).cloned();
        let Some(seen) = seen else { continue };
        let bytes = make(&seen, &mut rng);
        let from = world.addr(seen.from);
        world.inject(seen.to, from, Ecn::NotEct, &bytes);
        // A host that never took part, too.
        if rng.random_bool(0.1) {
            let stranger = SocketAddr::from(([10, 9, 9, 9], 5));
            world.inject(seen.to, stranger, Ecn::Ce, &random_bytes(&mut rng));
        }
    }
    let pause = Duration::from_micros(rng.random_range(0..2000));
    world.after(pause, move |world| storm(world, sender, tape, rng, make));
}

fn stormy(seed: u64, make: fn(&Seen, &mut StdRng) -> Vec<u8>) -> Stage {
    let scenario = Scenario::new(seed, 4, items()).paths(lossy(0.1), lossy(0.1));
    let mut stage = scenario.stage();
    let tape = record(&mut stage.world);
    let (sender, rng) = (stage.sender, stage.world.rng(9));
    stage
        .world
        .after(ms(0), move |world| storm(world, sender, tape, rng, make));
    stage
}

#[test]
fn garbage_in_a_session_changes_nothing() {
    seeds::each(60, |seed| {
        let stage = stormy(seed, harmless).play(secs(60));
        stage.assert_all_whole();
    });
}

#[test]
fn replays_in_a_session_change_nothing() {
    seeds::each(60, |seed| {
        let stage = stormy(seed, |seen, _| seen.bytes.clone()).play(secs(60));
        stage.assert_all_whole();
    });
}

/// Without authentication a flipped bit can mean anything, also "I have it all". What it can not
/// do is break a machine, keep it busy or make it break its own rules.
#[test]
fn flipped_bits_in_a_session_break_no_machine() {
    seeds::each(100, |seed| {
        let mut stage = stormy(seed, flipped);
        // A header may claim a round trip of 1000 s, which the receiver will wait 4 * 255 times.
        stage.world.run(secs(2_000_000));
        stage.assert_quiet();
        for node in stage.receiver_nodes() {
            let seen = node.store.look();
            let broken = seen
                .violations
                .iter()
                .find(|v| !v.starts_with("wrong bytes"));
            assert_eq!(broken, None);
            assert_eq!((seen.open, seen.sessions), (0, 0));
        }
    });
}

#[test]
fn idle_receivers_are_deaf_to_all_but_announcements() {
    let tape = recording(1);
    seeds::each(20, |seed| {
        let mut world = World::new(seed);
        let id = scenario::add_receiver(&mut world, 0, MemStore::default());
        world.run(secs(1));
        let mut rng = world.rng(1);
        let from = SocketAddr::from(([10, 0, 0, 1], 40_000));
        for _ in 0..3000 {
            let seen = tape.choose(&mut rng).unwrap();
            let bytes = match rng.random_range(0..3) {
                0 => random_bytes(&mut rng),
                1 => flipped(seen, &mut rng),
                _ => seen.bytes.clone(),
            };
            let announce =
                wire::decode_header(&bytes).is_ok_and(|h| h.function == Function::Announce);
            if !announce {
                world.inject(id, from, Ecn::NotEct, &bytes);
            }
        }
        assert_eq!(world.sent(id).total().datagrams, 0);
        let node: &ReceiverNode = world.get(id);
        assert!(node.events.is_empty());
        assert!(node.machine.is_idle());
        assert_eq!(node.machine.poll_timeout(), None);
        assert_eq!(node.store.look().ended, [false; 0]);
    });
}

#[test]
fn senders_answer_strangers_with_a_refusal_at_most() {
    let tape = recording(1);
    seeds::each(20, |seed| {
        // Nobody it invites ever answers.
        let mut stage = Scenario::new(seed, 2, items()).stage();
        for id in stage.receivers.clone() {
            stage.world.kill(id);
        }
        stage.world.run_for(ms(10));
        let mut rng = stage.world.rng(1);
        let before = stage.sender().events.len();
        let said = stage.world.sent(stage.sender).total().datagrams;
        let from = SocketAddr::from(([10, 9, 9, 9], PORT));
        let count = 2000;
        for _ in 0..count {
            let seen = tape.choose(&mut rng).unwrap();
            let mut bytes = harmless(seen, &mut rng);
            if let Some(id) = bytes.get_mut(4..8) {
                id.copy_from_slice(&[0xee, 0, 0, rng.random()]);
            }
            stage.world.inject(stage.sender, from, Ecn::NotEct, &bytes);
        }
        assert_eq!(stage.sender().events.len(), before, "garbage made events");
        let sent = stage.world.sent(stage.sender);
        let refusals = sent.of(Function::Abort).datagrams;
        assert_eq!(
            sent.total().datagrams - said,
            refusals,
            "more than refusals"
        );
        assert!(refusals <= count);
        let stage = stage.play(secs(100));
        assert_eq!(stage.sender().outcome(), Some(Outcome::NobodyRegistered));
    });
}

#[test]
fn a_flood_of_announcements_opens_a_bounded_number_of_sessions() {
    let tape = recording(1);
    let announce = tape.iter().find(|s| s.is(Function::Announce)).unwrap();
    seeds::each(4, |seed| {
        let mut stage = Scenario::new(seed, 2, items()).stage();
        stage.world.kill(stage.sender);
        let victim = stage.receivers[0];
        let mut rng = stage.world.rng(1);
        let from = SocketAddr::from(([10, 9, 9, 9], 7));
        for _ in 0..5000 {
            let forged = with_header(announce.bytes.clone(), |h| {
                h.group = GroupId(rng.next_u32() | 1);
                h.src = Uid(rng.next_u32() | 1);
            });
            stage.world.inject(victim, from, Ecn::NotEct, &forged);
            let sessions = stage.receiver(0).store.look().sessions;
            assert!(sessions <= 100, "{sessions} sessions");
        }
        let sessions = stage.receiver(0).store.look().sessions;
        assert_eq!(sessions, 100, "the limit can be reached");
        stage.world.run(secs(200));
        assert!(stage.receiver(0).machine.is_idle());
        assert_eq!(stage.receiver(0).store.look().sessions, 0);
        // It serves again.
        let before = stage.receiver(0).events.len();
        let sender = scenario::add_sender(&mut stage.world, scenario::sender_config(1), &items());
        stage.world.run(secs(200));
        let outcome = stage.world.get::<SenderNode>(sender).outcome();
        assert_eq!(outcome, Some(Outcome::Success));
        stage.receiver(0).store.assert_holds(&items());
        assert!(stage.receiver(0).events.len() > before);
    });
}

#[test]
fn a_flood_of_registrations_delays_but_does_not_harm() {
    let tape = recording(1);
    let register = tape.iter().find(|s| s.is(Function::Register)).unwrap();
    let mut stage = Scenario::new(1, 3, items()).open().stage();
    stage.world.run_for(ms(20));
    let mut rng = stage.world.rng(1);
    for i in 0..3000u32 {
        let forged = with_header(register.bytes.clone(), |h| h.src = Uid(0xee00_0000 + i));
        let from = SocketAddr::from(([10, 9, 9, rng.random()], PORT));
        stage.world.inject(stage.sender, from, Ecn::NotEct, &forged);
    }
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
}

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
