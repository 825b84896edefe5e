//! Proxies as nodes, and the networks of the manual's figures.

mod figure;
mod node;
mod places;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uftp_proto::FileId;
use uftp_proto::crypto::{Curve, KeySpec, PrivateKey};
use uftp_proto::wire::CompleteStatus;
use uftp_session::Heartbeats;
use uftp_session::proxy::{Downstream, Proxy, ProxyConfig, Role};
use uftp_session::receiver::{EndReason, ResponseProxy};
use uftp_session::security::ReceiverSecurity;
use uftp_session::sender::{FileOutcome, Outcome};

pub use figure::{Figure, Reach};
pub use node::ProxyNode;
pub use places::{proxy_addr, relay_addr, server_proxy_addr, uid, upper_addr};

use places::{halfway, network};

use crate::node::NodeId;
use crate::peers::{ReceiverNode, SenderNode};
use crate::scenario::{
    IDLE_WAKEUPS, PORT, PUBLIC, clock, proxied_receiver_node, receiver_addr, receiver_uid,
    sender_node,
};
use crate::secrets::{SECRETS, Seeded};
use crate::source::MemSource;
use crate::store::MemStore;
use crate::world::World;

/// A figure at work.
pub struct Networks {
    /// All networks, the sender's being number 0.
    pub world: World,
    /// The sender.
    pub sender: NodeId,
    /// The receivers: local ones first, those halfway last.
    pub receivers: Vec<NodeId>,
    /// The server proxies, if any.
    pub server_proxies: Vec<NodeId>,
    /// The second server proxies of chains and of nested proxies, if any.
    pub relays: Vec<NodeId>,
    /// The first client proxies where proxies are nested.
    pub uppers: Vec<NodeId>,
    /// The client or response proxies, the second ones where they are nested.
    pub proxies: Vec<NodeId>,
    figure: Figure,
    keys: Vec<Arc<PrivateKey>>,
}

impl Networks {
    fn wait_for_sender(&mut self) {
        if self.figure.head_start.is_zero() {
            return;
        }
        self.world.kill(self.sender);
        self.world.run_for(self.figure.head_start);
        let source = MemSource::new(self.figure.items.iter().cloned());
        let node = sender_node(&self.world, self.figure.config.clone(), source);
        self.world.revive(self.sender, Box::new(node));
    }

    fn add_site(&mut self, k: usize) {
        if self.figure.reach != Reach::Response {
            let node = self.server_proxy_node(k);
            let id = self.world.add(server_proxy_addr(k), Box::new(node));
            self.world.join(id, PUBLIC);
            self.world.down(id).config = self.figure.between;
            self.server_proxies.push(id);
        }
        if self.figure.reach == Reach::Chain {
            let node = self.relay_node(k);
            let id = self.world.add(relay_addr(k), Box::new(node));
            // Alone on a network: what comes, comes by unicast.
            self.world.set_network(id, u32::MAX);
            self.world.down(id).config = self.figure.between;
            self.relays.push(id);
        }
        if self.figure.reach == Reach::Nested {
            let node = self.upper_node(k);
            let upper = self.world.add(upper_addr(k), Box::new(node));
            let node = self.passing_node(relay_addr(k), Downstream::Fixed(proxy_addr(k)));
            let relay = self.world.add(relay_addr(k), Box::new(node));
            self.world.join(relay, PUBLIC);
            for id in [upper, relay] {
                self.world.set_network(id, halfway(k));
                self.world.down(id).config = self.figure.between;
            }
            self.uppers.push(upper);
            self.relays.push(relay);
        }
        let node = self.proxy_node(k);
        let id = self.world.add(proxy_addr(k), Box::new(node));
        self.world.down(id).config = self.figure.between;
        match self.figure.reach {
            Reach::Response => self.world.join(id, PUBLIC),
            _ => self.world.set_network(id, network(k)),
        }
        self.proxies.push(id);
        let (place, through) = match self.figure.reach {
            Reach::Response => (None, Some(k)),
            _ => (Some(network(k)), None),
        };
        for _ in 0..self.figure.remote[k] {
            self.add_receiver(place, through);
        }
    }

    /// Adds a receiver on a network, or on the sender's, that answers `through` a response proxy.
    fn add_receiver(&mut self, place: Option<u32>, through: Option<usize>) {
        let i = self.receivers.len();
        let through = through.map(|k| ResponseProxy {
            addr: proxy_addr(k),
            fingerprint: None,
        });
        let security = self.figure.securities.get(i).cloned().unwrap_or_default();
        let store = MemStore::default();
        let node = proxied_receiver_node(&self.world, i, store, security, through);
        let id = self.world.add(receiver_addr(i), Box::new(node));
        if let Some(place) = place {
            self.world.set_network(id, place);
        }
        self.world.join(id, PUBLIC);
        self.world.set_paths(id, self.figure.up, self.figure.down);
        self.receivers.push(id);
    }

    /// A fresh machine for server proxy number `k`, of a chain the one beside the sender.
    pub fn server_proxy_node(&self, k: usize) -> ProxyNode {
        let downstream = match (self.figure.reach, self.keys.get(k)) {
            (Reach::Chain, _) => Downstream::Fixed(relay_addr(k)),
            (Reach::Nested, _) => Downstream::Fixed(upper_addr(k)),
            (_, Some(key)) => Downstream::Learned(key.public().fingerprint()),
            (_, None) => Downstream::Fixed(proxy_addr(k)),
        };
        self.passing_node(server_proxy_addr(k), downstream)
    }

    /// A fresh machine for the second server proxy of chain number `k`.
    fn relay_node(&self, k: usize) -> ProxyNode {
        let wanted = self.keys[k].public().fingerprint();
        self.passing_node(relay_addr(k), Downstream::Learned(wanted))
    }

    /// A fresh machine for the first client proxy of those nested at number `k`, with the keys of
    /// another one.
    fn upper_node(&self, k: usize) -> ProxyNode {
        let securities = self.figure.proxy_securities.iter();
        let security = securities.cycle().nth(k + 1);
        let security = security.cloned().unwrap_or_default();
        self.node(upper_addr(k), CLIENT, Heartbeats::default(), security)
    }

    fn passing_node(&self, addr: SocketAddr, downstream: Downstream) -> ProxyNode {
        let role = Role::Server {
            downstream,
            admit_anybody: false,
        };
        self.node(
            addr,
            role,
            Heartbeats::default(),
            ReceiverSecurity::default(),
        )
    }

    /// A fresh machine for client or response proxy number `k`.
    pub fn proxy_node(&self, k: usize) -> ProxyNode {
        let role = match self.figure.reach {
            Reach::Response => Role::Response {
                publics: vec![PUBLIC],
                dh_key: self.figure.dh_key.clone(),
            },
            _ => CLIENT,
        };
        let mut security = self
            .figure
            .proxy_securities
            .get(k)
            .cloned()
            .unwrap_or_default();
        let proof = self.keys.get(k).cloned();
        let mut heartbeats = Heartbeats::default();
        if proof.is_some() {
            heartbeats.upstreams.push(match self.figure.reach {
                Reach::Chain => relay_addr(k),
                _ => server_proxy_addr(k),
            });
        }
        security.keys.splice(0..0, proof);
        self.node(proxy_addr(k), role, heartbeats, security)
    }

    fn node(
        &self,
        addr: SocketAddr,
        role: Role,
        heartbeats: Heartbeats,
        security: ReceiverSecurity,
    ) -> ProxyNode {
        let config = ProxyConfig {
            addresses: vec![addr],
            max_clients: self.figure.max_clients,
            security,
            heartbeats,
            ..ProxyConfig::new(uid(addr), role, addr.port())
        };
        let rng = self.world.rng(uid(addr).0.into());
        let clock = clock(&self.world, 0);
        let mut machine = Proxy::new(config, clock, rng, self.world.now());
        let secrets = Seeded::new(&self.world, SECRETS | u64::from(uid(addr).0));
        machine.draw_from(Box::new(secrets));
        ProxyNode::new(machine)
    }

    /// The sender's node.
    pub fn sender(&self) -> &SenderNode {
        self.world.get(self.sender)
    }

    /// The node of receiver number `i`.
    pub fn receiver(&self, i: usize) -> &ReceiverNode {
        self.world.get(self.receivers[i])
    }

    /// The node of client or response proxy number `k`.
    pub fn proxy(&self, k: usize) -> &ProxyNode {
        self.world.get(self.proxies[k])
    }

    /// The node of the first client proxy of those nested at number `k`.
    pub fn upper(&self, k: usize) -> &ProxyNode {
        self.world.get(self.uppers[k])
    }

    /// The node of server proxy number `k`.
    pub fn server_proxy(&self, k: usize) -> &ProxyNode {
        self.world.get(self.server_proxies[k])
    }

    /// Numbers of the receivers behind proxy number `k`.
    pub fn behind(&self, k: usize) -> std::ops::Range<usize> {
        let before: usize = self.figure.remote[..k].iter().sum();
        let first = self.figure.local + before;
        first..first + self.figure.remote[k]
    }

    /// Plays until all sessions are over, which must be within `limit` of virtual time, and
    /// nobody does anything for them any more. Heartbeats may go on.
    #[must_use]
    pub fn play(mut self, limit: Duration) -> Self {
        let mut is_over = self.is_over();
        let over = is_over(&self.world) || self.world.run_until(limit, is_over);
        assert!(over, "still busy after {limit:?}");
        self.assert_quiet();
        self
    }

    fn all_proxies(&self) -> impl Iterator<Item = NodeId> {
        let all = [
            &self.server_proxies,
            &self.uppers,
            &self.relays,
            &self.proxies,
        ];
        all.into_iter().flatten().copied()
    }

    /// Whether every machine has come to rest.
    fn is_over(&self) -> impl FnMut(&World) -> bool + use<> {
        let sender = self.sender;
        let receivers = self.receivers.clone();
        let proxies: Vec<_> = self.all_proxies().collect();
        move |world| {
            world.get::<SenderNode>(sender).machine.is_finished()
                && proxies
                    .iter()
                    .all(|id| !world.is_alive(*id) || world.get::<ProxyNode>(*id).machine.is_idle())
                && receivers.iter().all(|id| {
                    !world.is_alive(*id) || world.get::<ReceiverNode>(*id).machine.is_idle()
                })
        }
    }

    /// Panics unless all have left their groups, and were never busier than they had to.
    pub fn assert_quiet(&self) {
        for id in self.all_proxies() {
            let node: &ProxyNode = self.world.get(id);
            let alive = self.world.is_alive(id);
            assert!(
                !alive || node.joined.is_empty(),
                "{id:?} is in {:?}",
                node.joined
            );
        }
        let all = [
            &[self.sender],
            &self.receivers[..],
            &self.proxies,
            &self.server_proxies,
            &self.uppers,
            &self.relays,
        ];
        for id in all.into_iter().flatten() {
            let (_, most) = self.world.wakeups(*id);
            let busiest = self.world.busiest_second(*id);
            assert!(
                most <= busiest + IDLE_WAKEUPS,
                "{id:?} woke {most} times in a second with at most {busiest} datagrams"
            );
        }
    }

    /// Prints what happened at the sender, at the proxies and at receiver `i`.
    fn tell(&self, i: usize) {
        let start = self.sender().events.first().map(|(at, _)| *at);
        let since = |at: &Instant| start.map_or(0.0, |s| at.duration_since(s).as_secs_f64());
        for (at, event) in &self.sender().events {
            eprintln!("{:8.3} sender: {event:?}", since(at));
        }
        for k in 0..self.uppers.len() {
            for (at, event) in &self.upper(k).events {
                eprintln!("{:8.3} upper proxy {k}: {:?}", since(at), event.kind);
            }
        }
        for k in 0..self.proxies.len() {
            for (at, event) in &self.proxy(k).events {
                eprintln!("{:8.3} proxy {k}: {:?}", since(at), event.kind);
            }
        }
        for (at, event) in &self.receiver(i).events {
            eprintln!("{:8.3} receiver {i}: {:?}", since(at), event.kind);
        }
    }

    /// Whether every item is whole at receiver `i` and both ends say so.
    pub fn is_whole(&self, i: usize) -> bool {
        let ends = self.receiver(i).ends();
        matches!(ends[..], [EndReason::Confirmed | EndReason::Unconfirmed])
            && (1..=self.figure.items.len()).all(|n| self.verdict(n, i) == DONE)
    }

    /// What the sender says about item `number` at receiver `i`.
    pub fn verdict(&self, number: usize, i: usize) -> Option<FileOutcome> {
        self.sender()
            .verdict(FileId(number as u16), receiver_uid(i))
    }

    /// Panics unless every item is whole everywhere and both ends say so; tells then what the
    /// proxies and those concerned saw.
    pub fn assert_all_whole(&self) {
        let unlucky = (0..self.receivers.len()).find(|&i| !self.is_whole(i));
        if let Some(i) = unlucky {
            self.tell(i);
        }
        assert_eq!(self.sender().outcome(), Some(Outcome::Success));
        for i in 0..self.receivers.len() {
            let node = self.receiver(i);
            node.store.assert_holds(&self.figure.items);
            assert!(self.is_whole(i), "receiver {i} ended {:?}", node.ends());
        }
    }
}

const CLIENT: Role = Role::Client {
    port: PORT,
    group: PUBLIC,
};

const DONE: Option<FileOutcome> = Some(FileOutcome::Completed(CompleteStatus::NORMAL));

fn key() -> Arc<PrivateKey> {
    let spec = KeySpec::Ec(Curve::DEFAULT);
    Arc::new(PrivateKey::generate(spec).expect("a key"))
}
