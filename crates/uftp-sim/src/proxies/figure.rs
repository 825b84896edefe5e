//! What a world with proxies is made of, and how it is made.

use std::sync::Arc;
use std::time::Duration;

use uftp_proto::crypto::PrivateKey;
use uftp_session::files::SendItem;
use uftp_session::proxy::ProxyConfig;
use uftp_session::security::ReceiverSecurity;
use uftp_session::sender::{ClientEntry, SenderConfig};

use super::places::{halfway, proxy_addr, uid, upper_addr};
use super::{Networks, key};
use crate::path::PathConfig;
use crate::scenario::{add_sender, receiver_entry, sender_config};
use crate::world::World;

/// How receivers away from the sender are reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Figure 1: by a server proxy on the sender's network and a client proxy on theirs.
    Tunnel,
    /// As figure 1, but the server proxy learns by heartbeat where the client proxy is.
    LearnedTunnel,
    /// As the learned tunnel, with a second server proxy before the one that learns.
    Chain,
    /// As figure 1, and behind the client proxy the same again: what that multicasts a second server
    /// proxy passes on to a second client proxy, which multicasts it to the receivers.
    Nested,
    /// Figures 2 to 4: they hear the sender, and answer through a response proxy.
    Response,
}

/// What shall be tried.
#[derive(Clone)]
pub struct Figure {
    /// What it unfolds from.
    pub seed: u64,
    /// How those below are reached.
    pub reach: Reach,
    /// Receivers beside the sender.
    pub local: usize,
    /// Receivers behind each proxy or pair of proxies.
    pub remote: Vec<usize>,
    /// Receivers halfway to each of these where proxies are nested: behind the first client proxy,
    /// beside the second server proxy.
    pub halfway: usize,
    /// Whether the sender names its receivers and proxies.
    pub closed: bool,
    /// What is sent.
    pub items: Vec<SendItem>,
    /// From each receiver.
    pub up: PathConfig,
    /// To each receiver.
    pub down: PathConfig,
    /// To each proxy.
    pub between: PathConfig,
    /// Most clients of a proxy.
    pub max_clients: usize,
    /// How long all others are there before the sender.
    pub head_start: Duration,
    /// Keys and trust of the receivers, first to last; the others have none.
    pub securities: Vec<ReceiverSecurity>,
    /// Keys and trust of the client or response proxies, first to last; the others have none.
    pub proxy_securities: Vec<ReceiverSecurity>,
    /// What response proxies agree upon keys with.
    pub dh_key: Option<Arc<PrivateKey>>,
    /// All else about the sender; `clients` is filled in.
    pub config: SenderConfig,
}

impl Figure {
    /// A closed group on perfect paths, 2 MB/s.
    pub fn new(
        seed: u64,
        reach: Reach,
        local: usize,
        remote: &[usize],
        items: impl IntoIterator<Item = SendItem>,
    ) -> Self {
        Figure {
            seed,
            reach,
            local,
            remote: remote.to_vec(),
            halfway: 0,
            closed: true,
            items: items.into_iter().collect(),
            up: PathConfig::default(),
            down: PathConfig::default(),
            between: PathConfig::default(),
            max_clients: ProxyConfig::DEFAULT_MAX_CLIENTS,
            head_start: Duration::ZERO,
            securities: Vec::new(),
            proxy_securities: Vec::new(),
            dh_key: None,
            config: sender_config(0),
        }
    }

    /// Changes anything.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Makes the world.
    pub fn stage(mut self) -> Networks {
        let mut world = World::new(self.seed);
        let sites = self.remote.len();
        let nested = self.reach == Reach::Nested;
        let count = self.local + self.remote.iter().sum::<usize>() + sites * self.halfway;
        if self.closed {
            // The sender hears of the first proxy alone.
            let heard = if nested { upper_addr } else { proxy_addr };
            let proxies = (0..sites).map(|k| ClientEntry::proxy(uid(heard(k))));
            self.config.clients = Some((0..count).map(receiver_entry).chain(proxies).collect());
        }
        let keys = match self.reach {
            Reach::LearnedTunnel | Reach::Chain => self.remote.iter().map(|_| key()).collect(),
            _ => Vec::new(),
        };
        let sender = add_sender(&mut world, self.config.clone(), &self.items);
        let mut networks = Networks {
            world,
            sender,
            receivers: Vec::new(),
            server_proxies: Vec::new(),
            relays: Vec::new(),
            uppers: Vec::new(),
            proxies: Vec::new(),
            figure: self,
            keys,
        };
        for _ in 0..networks.figure.local {
            networks.add_receiver(None, None);
        }
        for k in 0..sites {
            networks.add_site(k);
        }
        for k in 0..sites {
            for _ in 0..networks.figure.halfway {
                networks.add_receiver(Some(halfway(k)), None);
            }
        }
        networks.wait_for_sender();
        networks
    }
}
