//! The network and its clock.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::Ecn;
use uftp_proto::wire::{self, Function};
use uftp_session::Batch;

use crate::node::{Membership, Node, NodeId};
use crate::path::{Arrivals, Path, PathConfig};
use crate::seeds;
use crate::traffic::Traffic;

/// With this environment variable set, all that is sent is written to standard error.
const TRACE: &str = "UFTP_SIM_TRACE";

/// More wakeups of a node than this without time passing is a livelock.
const STUCK: u32 = 1_000;

/// Room for outgoing datagrams.
const BATCH: usize = 64 * 1024;

/// A network with its nodes, at a moment of virtual time.
pub struct World {
    seed: u64,
    base: Instant,
    now: Instant,
    nodes: Vec<Slot>,
    by_address: BTreeMap<IpAddr, NodeId>,
    /// Who joined a group, in order of id, and how often.
    groups: BTreeMap<IpAddr, Vec<(NodeId, usize)>>,
    queue: BinaryHeap<Reverse<Event>>,
    events: u64,
    rng: StdRng,
    filter: Option<Filter>,
    traced: bool,
    batch: Batch,
    scratch: Vec<u8>,
    /// Datagrams for an address or port where nobody listens.
    pub astray: u64,
}

type Filter = Box<dyn FnMut(&Passing<'_>) -> Verdict>;
type Script = Box<dyn FnOnce(&mut World)>;

/// A node and its surroundings.
struct Slot {
    node: Box<dyn Node>,
    addr: SocketAddr,
    /// Path to the core.
    up: Path,
    /// Path from the core.
    down: Path,
    alive: bool,
    /// Part of the network it is in; datagrams do not cross.
    part: u32,
    /// Network it is on; multicast does not leave it.
    network: u32,
    /// When the next event of [`What::Wake`] for it is due; later ones are stale.
    wake: Option<Instant>,
    sent: Traffic,
    wakeups: Wakeups,
    /// Datagrams in and out.
    busyness: PerSecond,
}

/// How often a node was woken.
#[derive(Clone, Copy, Debug, Default)]
struct Wakeups {
    total: u64,
    last: Option<Instant>,
    /// Since time last passed.
    in_a_row: u32,
    rate: PerSecond,
}

/// Most events in one virtual second.
#[derive(Clone, Copy, Debug, Default)]
struct PerSecond {
    second: u64,
    count: u64,
    most: u64,
}

impl PerSecond {
    fn note(&mut self, time: Duration) {
        let second = time.as_secs();
        if self.second != second {
            (self.second, self.count) = (second, 0);
        }
        self.count += 1;
        self.most = self.most.max(self.count);
    }
}

struct Event {
    at: Instant,
    /// Events of one instant happen in the order they were made.
    order: u64,
    what: What,
}

enum What {
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
struct Flight {
    from: NodeId,
    source: SocketAddr,
    to: SocketAddr,
    ecn: Ecn,
    datagram: Rc<[u8]>,
}

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

impl World {
    /// An empty world that will unfold from `seed`.
    pub fn new(seed: u64) -> Self {
        // The only look at a clock: an opaque origin no result depends on.
        let base = Instant::now() + Duration::from_secs(1000);
        World {
            seed,
            base,
            now: base,
            nodes: Vec::new(),
            by_address: BTreeMap::new(),
            groups: BTreeMap::new(),
            queue: BinaryHeap::new(),
            events: 0,
            rng: StdRng::seed_from_u64(seeds::derive(seed, 0)),
            filter: None,
            traced: std::env::var_os(TRACE).is_some(),
            batch: Batch::new(BATCH),
            scratch: Vec::new(),
            astray: 0,
        }
    }

    /// What it unfolds from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A random source for part `part` of the test (from 1), independent of all others.
    pub fn rng(&self, part: u64) -> StdRng {
        StdRng::seed_from_u64(seeds::derive(self.seed, part))
    }

    /// The virtual present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Virtual time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now - self.base
    }

    /// Adds a node at a free address, with perfect paths and no memberships, and lets it speak.
    pub fn add(&mut self, addr: SocketAddr, node: Box<dyn Node>) -> NodeId {
        let id = NodeId(self.nodes.len());
        let taken = self.by_address.insert(addr.ip(), id);
        assert!(taken.is_none(), "{addr} is taken");
        self.nodes.push(Slot {
            node,
            addr,
            up: Path::default(),
            down: Path::default(),
            alive: true,
            part: 0,
            network: 0,
            wake: None,
            sent: Traffic::default(),
            wakeups: Wakeups::default(),
            busyness: PerSecond::default(),
        });
        // Its first words come after the test has set up its paths.
        self.after(Duration::ZERO, move |world| world.settle(id));
        id
    }

    /// The machine of a node, which must be a `T`.
    pub fn get<T: Node>(&self, id: NodeId) -> &T {
        let node: &dyn Any = self.nodes[id.0].node.as_ref();
        node.downcast_ref().expect("a node of this type")
    }

    /// Gives the machine of a node an input of its own, then drains its outputs.
    pub fn with<T: Node, R>(&mut self, id: NodeId, f: impl FnOnce(&mut T, Instant) -> R) -> R {
        let node: &mut dyn Any = self.nodes[id.0].node.as_mut();
        let result = f(node.downcast_mut().expect("a node of this type"), self.now);
        self.settle(id);
        result
    }

    /// Address of a node.
    pub fn addr(&self, id: NodeId) -> SocketAddr {
        self.nodes[id.0].addr
    }

    /// A node's path to the core.
    pub fn up(&mut self, id: NodeId) -> &mut Path {
        &mut self.nodes[id.0].up
    }

    /// A node's path from the core.
    pub fn down(&mut self, id: NodeId) -> &mut Path {
        &mut self.nodes[id.0].down
    }

    /// Sets both paths of a node.
    pub fn set_paths(&mut self, id: NodeId, up: PathConfig, down: PathConfig) {
        self.up(id).config = up;
        self.down(id).config = down;
    }

    /// What a node put on the network.
    pub fn sent(&self, id: NodeId) -> &Traffic {
        &self.nodes[id.0].sent
    }

    /// How often a node was woken in all, and most often within one virtual second.
    pub fn wakeups(&self, id: NodeId) -> (u64, u64) {
        let w = self.nodes[id.0].wakeups;
        (w.total, w.rate.most)
    }

    /// Most datagrams a node heard and sent within one virtual second.
    pub fn busiest_second(&self, id: NodeId) -> u64 {
        self.nodes[id.0].busyness.most
    }

    /// Whether a node was not killed.
    pub fn is_alive(&self, id: NodeId) -> bool {
        self.nodes[id.0].alive
    }

    /// Every datagram on its way down to a node passes `filter` from now on.
    pub fn set_filter(&mut self, filter: impl FnMut(&Passing<'_>) -> Verdict + 'static) {
        self.filter = Some(Box::new(filter));
    }

    /// Adds a node to a group for good, as an operator does.
    pub fn join(&mut self, id: NodeId, group: IpAddr) {
        self.apply(id, Membership::Join(group));
    }

    /// Whether a node is in a group.
    pub fn is_member(&self, id: NodeId, group: IpAddr) -> bool {
        let members = self.groups.get(&group);
        members.is_some_and(|m| m.binary_search_by_key(&id, |(id, _)| *id).is_ok())
    }

    /// Moves a node to a network of its own or of others: multicast stays within a network,
    /// unicast does not. All begin on network 0.
    pub fn set_network(&mut self, id: NodeId, network: u32) {
        self.nodes[id.0].network = network;
    }

    /// Cuts `nodes` off from all others; among themselves they go on.
    pub fn cut_off(&mut self, nodes: &[NodeId]) {
        let part = 1 + self.nodes.iter().map(|n| n.part).max().unwrap_or(0);
        for id in nodes {
            self.nodes[id.0].part = part;
        }
    }

    /// Makes the network whole again.
    pub fn heal(&mut self) {
        for slot in &mut self.nodes {
            slot.part = 0;
        }
    }

    /// A node vanishes without a word.
    pub fn kill(&mut self, id: NodeId) {
        self.nodes[id.0].alive = false;
        for members in self.groups.values_mut() {
            members.retain(|(member, _)| *member != id);
        }
    }

    /// A new machine takes the place of a dead one. Memberships are to be made again.
    pub fn revive(&mut self, id: NodeId, node: Box<dyn Node>) {
        let slot = &mut self.nodes[id.0];
        assert!(!slot.alive, "{id:?} lives");
        slot.node = node;
        slot.alive = true;
        slot.wake = None;
        self.after(Duration::ZERO, move |world| world.settle(id));
    }

    /// Has `script` run when `time` has passed from now.
    pub fn after(&mut self, time: Duration, script: impl FnOnce(&mut World) + 'static) {
        self.schedule(self.now + time, What::Script(Box::new(script)));
    }

    /// A datagram from anywhere reaches a node now, past all paths and filters.
    pub fn inject(&mut self, to: NodeId, from: SocketAddr, ecn: Ecn, datagram: &[u8]) {
        self.hand_over(to, from, ecn, datagram);
    }

    /// Runs until nothing is left to happen. Panics if that takes longer than `limit`.
    pub fn run(&mut self, limit: Duration) {
        assert!(
            !self.run_until(limit, |_| false),
            "unreachable: the condition never holds"
        );
        assert!(
            self.queue.is_empty(),
            "still busy after {limit:?}: {} events due",
            self.queue.len()
        );
    }

    /// Lets `time` pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(time, |_| false);
        self.now = end;
    }

    /// Runs until `done` holds after an event; false if nothing is left to happen or `limit` has
    /// passed first.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + limit;
        while self.queue.peek().is_some_and(|event| event.0.at <= end) {
            if self.step() && done(self) {
                return true;
            }
        }
        false
    }

    /// Makes the next event happen. False if it was of no consequence.
    fn step(&mut self) -> bool {
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
        match event.what {
            What::Core(flight) => self.fan_out(&flight),
            What::Deliver(flight, targets) => {
                for id in targets {
                    self.hand_over(id, flight.source, flight.ecn, &flight.datagram);
                }
            }
            What::Wake(id) => self.wake(id),
            What::Script(script) => script(self),
        }
        true
    }

    fn schedule(&mut self, at: Instant, what: What) {
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
    fn fan_out(&mut self, flight: &Flight) {
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
    fn hand_over(&mut self, id: NodeId, from: SocketAddr, ecn: Ecn, datagram: &[u8]) {
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
    fn settle(&mut self, id: NodeId) {
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

    fn apply(&mut self, id: NodeId, change: Membership) {
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

impl Wakeups {
    fn note(&mut self, id: NodeId, now: Instant, base: Instant) {
        self.total += 1;
        self.in_a_row = if self.last == Some(now) {
            self.in_a_row + 1
        } else {
            0
        };
        assert!(
            self.in_a_row < STUCK,
            "{id:?} wakes without end at {:?}",
            now - base
        );
        self.last = Some(now);
        self.rate.note(now - base);
    }
}

/// Tells how to see it again.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the world of seed {seed} broke at {time:?}; replay it with {var}={seed}",
                seed = self.seed,
                time = self.elapsed(),
                var = seeds::VARIABLE,
            );
        }
    }
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

#[cfg(test)]
mod tests;
