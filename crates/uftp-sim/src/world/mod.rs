//! The network and its clock.

mod motion;
mod passing;
mod queue;
mod standstill;
mod wakeups;

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::Ecn;
use uftp_session::Batch;

pub use passing::{Passing, Verdict};

use queue::{Event, What};
use wakeups::{PerSecond, Wakeups};

use crate::node::{Membership, Node, NodeId};
use crate::path::{Path, PathConfig};
use crate::seeds;
use crate::traffic::Traffic;

/// With this environment variable set, all that is sent is written to standard error.
const TRACE: &str = "UFTP_SIM_TRACE";

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

#[cfg(test)]
mod tests;
