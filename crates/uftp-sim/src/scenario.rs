//! A sender, its receivers and what is sent: the start of most tests.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use uftp_proto::wire::{CompleteStatus, Function, Version};
use uftp_proto::{FileId, GroupId, Uid, WireTime};
use uftp_session::Clock;
use uftp_session::files::SendItem;
use uftp_session::receiver::{EndReason, Receiver, ReceiverConfig, ResponseProxy};
use uftp_session::security::ReceiverSecurity;
use uftp_session::sender::{ClientEntry, FileOutcome, Outcome, Rate, Sender, SenderConfig};

use crate::node::NodeId;
use crate::path::PathConfig;
use crate::peers::{ReceiverNode, SenderNode};
use crate::secrets::{SECRETS, Seeded};
use crate::source::MemSource;
use crate::store::MemStore;
use crate::world::World;

/// Port of receivers.
pub const PORT: u16 = 1044;

/// Where sessions are announced.
pub const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(230, 4, 4, 1));

/// Most wakeups of a machine in a virtual second beyond one for each datagram in or out.
pub const IDLE_WAKEUPS: u64 = 400;

/// What shall be tried.
#[derive(Clone)]
pub struct Scenario {
    /// What it unfolds from.
    pub seed: u64,
    /// How many receivers listen.
    pub receivers: usize,
    /// Whether the sender names its receivers.
    pub closed: bool,
    /// What is sent.
    pub items: Vec<SendItem>,
    /// From each receiver to the core.
    pub up: PathConfig,
    /// From the core to each receiver.
    pub down: PathConfig,
    /// All else about the sender; `clients` is filled in.
    pub config: SenderConfig,
    /// Keys and trust of the receivers, first to last; the others have none.
    pub securities: Vec<ReceiverSecurity>,
}

/// A scenario on stage.
pub struct Stage {
    /// The network.
    pub world: World,
    /// The first sender.
    pub sender: NodeId,
    /// The receivers.
    pub receivers: Vec<NodeId>,
    /// What is sent.
    pub items: Vec<SendItem>,
    config: SenderConfig,
}

impl Scenario {
    /// One sender, `receivers` receivers in a closed group on perfect paths, 2 MB/s.
    pub fn new(seed: u64, receivers: usize, items: impl IntoIterator<Item = SendItem>) -> Self {
        Scenario {
            seed,
            receivers,
            closed: true,
            items: items.into_iter().collect(),
            up: PathConfig::default(),
            down: PathConfig::default(),
            config: sender_config(0),
            securities: Vec::new(),
        }
    }

    /// Changes the sender's settings.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut SenderConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Lets anybody register.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.closed = false;
        self
    }

    /// Sets the paths of all receivers.
    #[must_use]
    pub fn paths(mut self, up: PathConfig, down: PathConfig) -> Self {
        (self.up, self.down) = (up, down);
        self
    }

    /// Makes the world.
    pub fn stage(mut self) -> Stage {
        let mut world = World::new(self.seed);
        if self.closed && self.config.clients.is_none() {
            self.config.clients = Some((0..self.receivers).map(receiver_entry).collect());
        }
        let sender = add_sender(&mut world, self.config.clone(), &self.items);
        let receivers = (0..self.receivers)
            .map(|i| {
                let security = self.securities.get(i).cloned().unwrap_or_default();
                let store = MemStore::default();
                let node = secure_receiver_node(&world, i, store, security);
                let id = world.add(receiver_addr(i), Box::new(node));
                world.join(id, PUBLIC);
                world.set_paths(id, self.up, self.down);
                id
            })
            .collect();
        Stage {
            world,
            sender,
            receivers,
            items: self.items,
            config: self.config,
        }
    }
}

impl Stage {
    /// The sender's node.
    pub fn sender(&self) -> &SenderNode {
        self.world.get(self.sender)
    }

    /// Where the first sender's session goes.
    pub fn private(&self) -> SocketAddr {
        self.config.private
    }

    /// Puts a fresh machine that sends from `source` in the sender's place.
    pub fn replace_sender(&mut self, source: MemSource) {
        self.world.kill(self.sender);
        let node = sender_node(&self.world, self.config.clone(), source);
        self.world.revive(self.sender, Box::new(node));
    }

    /// The node of receiver number `i`.
    pub fn receiver(&self, i: usize) -> &ReceiverNode {
        self.world.get(self.receivers[i])
    }

    /// The nodes of all receivers.
    pub fn receiver_nodes(&self) -> impl Iterator<Item = &ReceiverNode> {
        self.receivers.iter().map(|id| self.world.get(*id))
    }

    /// Plays to the end, which must come within `limit` of virtual time.
    #[must_use]
    pub fn play(mut self, limit: Duration) -> Self {
        self.world.run(limit);
        self.assert_quiet();
        self
    }

    /// Panics unless all machines are at rest, and were never busier than they had to.
    pub fn assert_quiet(&self) {
        assert!(self.sender().machine.is_finished());
        self.assert_calm(self.sender);
        for (i, id) in self.receivers.iter().enumerate() {
            let node = self.receiver(i);
            if !self.world.is_alive(*id) {
                continue;
            }
            assert!(node.machine.is_idle(), "receiver {i} is not idle");
            assert!(
                node.joined.is_empty(),
                "receiver {i} is in {:?}",
                node.joined
            );
            self.assert_calm(*id);
        }
    }

    fn assert_calm(&self, id: NodeId) {
        let (_, most) = self.world.wakeups(id);
        let busiest = self.world.busiest_second(id);
        assert!(
            most <= busiest + IDLE_WAKEUPS,
            "{id:?} woke {most} times in a second with at most {busiest} datagrams"
        );
    }

    /// Panics unless every item is whole at receiver `i` and both ends say so.
    pub fn assert_whole(&self, i: usize) {
        let node = self.receiver(i);
        node.store.assert_holds(&self.items);
        assert_eq!(node.finished(CompleteStatus::NORMAL), self.items.len());
        let ends = node.ends();
        assert!(
            matches!(ends[..], [EndReason::Confirmed | EndReason::Unconfirmed]),
            "receiver {i} ended {ends:?}"
        );
        for number in 1..=self.items.len() {
            assert_eq!(
                self.sender()
                    .verdict(FileId(number as u16), receiver_uid(i)),
                Some(FileOutcome::Completed(CompleteStatus::NORMAL)),
                "file {number} at receiver {i}"
            );
        }
    }

    /// Panics unless every item is whole everywhere and both ends say so.
    pub fn assert_all_whole(&self) {
        assert_eq!(self.sender().outcome(), Some(Outcome::Success));
        for i in 0..self.receivers.len() {
            self.assert_whole(i);
        }
    }

    /// Blocks of data sent for each block there is; 1.0 when nothing was repeated.
    pub fn blocks_sent_ratio(&self) -> f64 {
        let sent = self.world.sent(self.sender).of(Function::FileSeg).datagrams;
        let block = self.block_size();
        let there: u64 = self.items.iter().map(|i| i.size.div_ceil(block)).sum();
        sent as f64 / there as f64
    }

    fn block_size(&self) -> u64 {
        self.sender().block_size.into()
    }
}

/// Id of receiver number `i`.
pub fn receiver_uid(i: usize) -> Uid {
    Uid::from_addr(receiver_addr(i).ip())
}

/// Receiver number `i` in the host list of a sender.
pub fn receiver_entry(i: usize) -> ClientEntry {
    ClientEntry {
        name: format!("host{i}"),
        ..ClientEntry::receiver(receiver_uid(i))
    }
}

/// Address of receiver number `i`.
pub fn receiver_addr(i: usize) -> SocketAddr {
    let host = u32::from(Ipv4Addr::new(10, 1, 0, 1)) + u32::try_from(i).expect("few receivers");
    (Ipv4Addr::from(host), PORT).into()
}

/// Settings of sender number `k`: protocol 4 to everybody, 2 MB/s, defaults else.
pub fn sender_config(k: u8) -> SenderConfig {
    let uid = Uid(0x0a00_0001 + u32::from(k));
    let group = GroupId(0x1234_5600 + u32::from(k));
    let public = (PUBLIC, PORT).into();
    let private = (Ipv4Addr::new(230, 5, 5, 1 + k), PORT).into();
    SenderConfig {
        rate: Rate::Fixed(2_000_000),
        ..SenderConfig::new(Version::V4, uid, group, public, private)
    }
}

/// Adds a sender; its address and random source follow from its id.
pub fn add_sender(world: &mut World, config: SenderConfig, items: &[SendItem]) -> NodeId {
    let addr = SocketAddr::from((Ipv4Addr::from(config.uid.0), 40_000));
    let source = MemSource::new(items.iter().cloned());
    let node = sender_node(world, config, source);
    world.add(addr, Box::new(node))
}

/// A fresh machine of a sender.
pub fn sender_node(world: &World, config: SenderConfig, source: MemSource) -> SenderNode {
    let mut secrets = Seeded::new(world, u64::from(config.uid.0));
    let clock = clock(world, 0);
    let machine = Sender::with_secrets(config, source, clock, &mut secrets, world.now());
    let block_size = machine.block_size();
    SenderNode::new(machine, block_size)
}

/// Adds receiver number `i`, listening to announcements.
pub fn add_receiver(world: &mut World, i: usize, store: MemStore) -> NodeId {
    let node = receiver_node(world, i, store);
    let id = world.add(receiver_addr(i), Box::new(node));
    world.join(id, PUBLIC);
    id
}

/// A fresh machine for receiver number `i`.
pub fn receiver_node(world: &World, i: usize, store: MemStore) -> ReceiverNode {
    secure_receiver_node(world, i, store, ReceiverSecurity::default())
}

/// A fresh machine for receiver number `i` with these keys.
pub fn secure_receiver_node(
    world: &World,
    i: usize,
    store: MemStore,
    security: ReceiverSecurity,
) -> ReceiverNode {
    proxied_receiver_node(world, i, store, security, None)
}

/// A fresh machine for receiver number `i` that answers through a proxy, if one is given.
pub fn proxied_receiver_node(
    world: &World,
    i: usize,
    store: MemStore,
    security: ReceiverSecurity,
    response_proxy: Option<ResponseProxy>,
) -> ReceiverNode {
    let config = ReceiverConfig {
        response_proxy,
        security,
        ..receiver_config(i)
    };
    configured_receiver_node(world, i, store, config)
}

/// Settings of receiver number `i`.
pub fn receiver_config(i: usize) -> ReceiverConfig {
    ReceiverConfig {
        addresses: vec![Uid::from_addr(receiver_addr(i).ip())],
        cache_size: 16 * 1024,
        ..ReceiverConfig::new(receiver_uid(i))
    }
}

/// A fresh machine for receiver number `i` with these settings.
pub fn configured_receiver_node(
    world: &World,
    i: usize,
    store: MemStore,
    config: ReceiverConfig,
) -> ReceiverNode {
    let rng = world.rng(u64::from(receiver_uid(i).0));
    // No two clocks agree, which must not matter.
    let clock = clock(world, i as u64 * 7919);
    let mut machine = Receiver::new(config, store.clone(), clock, rng, world.now());
    let secrets = Seeded::new(world, SECRETS | u64::from(receiver_uid(i).0));
    machine.draw_from(Box::new(secrets));
    ReceiverNode::new(machine, store)
}

pub(crate) fn clock(world: &World, ahead: u64) -> Clock {
    Clock::new(
        world.now(),
        WireTime::from_parts(1_700_000_000, 0).plus(Duration::from_secs(ahead)),
    )
}
