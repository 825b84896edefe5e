//! The part of a proxy that speaks for clients: client and response proxies (behaviour-proxies
//! §5, §7, §8, §13). What becomes of packets: of the server's in `downstream`, of those of clients
//! in `upstream`.

mod downstream;
mod upstream;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use uftp_proto::Uid;
use uftp_proto::wire::Header;

use super::announce::Terms;
use super::config::{ProxyConfig, Role};
use super::event::ProxyEventKind;
use super::gather::Gather;
use super::keys::Keys;
use super::pen::Pen;
use super::session::{Surroundings, estimate};
use crate::batch::Batch;
use crate::link::{GroupEstimate, Link};
use crate::policy::Policy;

/// Nothing is held for less, whatever round trip time a header claims.
const SHORTEST_HOLD: Duration = Duration::from_millis(1);

/// No client is given up sooner, however short the round trips (behaviour-proxies §3).
const SHORTEST_REGISTRATION: Duration = Duration::from_secs(1);

/// Clients of a session, what they say, and the keys they are handed.
pub(super) struct Assembly {
    server: Uid,
    robust: u8,
    /// As the last packet of the server that is to be believed says.
    estimate: GroupEstimate,
    /// Each with the proxy that speaks for it, if that is below us.
    clients: HashMap<Uid, Option<Uid>>,
    /// Those told to the server.
    registered: HashSet<Uid>,
    /// Those named in announcements; empty if anybody may come.
    invited: HashSet<Uid>,
    /// The server has done with announcing. It repeats no REG_CONF then that was lost: whoever was
    /// invited and has registered is as good as confirmed.
    flowing: bool,
    gather: Gather,
    up: Link,
    /// Of an encrypted session.
    keys: Option<Box<Keys>>,
    /// Where clients hear ANNOUNCE, and where all else; `None` where nothing is forwarded.
    forward: Option<(SocketAddr, SocketAddr)>,
    /// Where our own words to clients go.
    to_clients: Option<SocketAddr>,
    /// Where we introduce ourselves; `None` where we pass for the server.
    public: Option<SocketAddr>,
    /// The server has ended the session: only its ABORTs still pass.
    over: bool,
}

impl Assembly {
    /// For a session announced by `header` and accepted on `terms`; `None` in a server proxy.
    pub(super) fn new(
        now: Instant,
        header: &Header,
        terms: &Terms,
        config: &ProxyConfig,
        keys: Option<Keys>,
    ) -> Option<Self> {
        let (forward, public, to_clients) = match &config.role {
            Role::Server { .. } => return None,
            Role::Client { port, group } => {
                let place = |ip: IpAddr| match ip.is_unspecified() {
                    true => SocketAddr::new(*group, *port),
                    false => SocketAddr::new(ip, *port),
                };
                let private = place(terms.private.unwrap_or(terms.public));
                let public = place(terms.public);
                (Some((public, private)), Some(public), Some(private))
            }
            Role::Response { .. } => {
                let group = |ip| SocketAddr::new(ip, config.port);
                let public = Some(terms.public).filter(IpAddr::is_multicast);
                (None, public.map(group), terms.private.map(group))
            }
        };
        let mut up = Link::new(header.version, config.uid, header.group, header.instance);
        if let Some(keys) = &keys
            && let Some(sealer) = keys.handshake_sealer()
        {
            up.secure_handshake(sealer, keys.counter());
        }
        let introduces = !Policy::of(header.version).standing_proxy;
        Some(Assembly {
            server: header.src,
            robust: terms.robust,
            estimate: estimate(header),
            clients: HashMap::new(),
            registered: HashSet::new(),
            invited: HashSet::new(),
            flowing: false,
            gather: Gather::new(terms.block_size, terms.stamp, now),
            up,
            keys: keys.map(Box::new),
            forward,
            to_clients,
            public: public.filter(|_| introduces),
            over: false,
        })
    }

    /// What the server says about the group.
    pub(super) fn estimate(&self) -> GroupEstimate {
        self.estimate
    }

    /// In whose name clients are spoken to, and where; `None` if there are none to be told.
    pub(super) fn voice(&self) -> Option<(Uid, SocketAddr)> {
        let to = self.to_clients.filter(|_| !self.clients.is_empty());
        Some((self.server, to?))
    }

    /// Numbers and seals what we say upstream.
    pub(super) fn into_link(self) -> Link {
        self.up
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` if nothing is pending.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let keys = self.keys.as_ref().and_then(|k| k.deadline());
        self.gather.due().into_iter().chain(keys).min()
    }

    /// Whether nothing is held or waited for.
    pub(super) fn is_idle(&self) -> bool {
        self.gather.is_empty() && self.keys.as_ref().is_none_or(|k| k.deadline().is_none())
    }

    /// Does what is due. Whether that was anything.
    pub(super) fn handle_timeout(&mut self, now: Instant, around: &mut Surroundings<'_>) -> bool {
        let mut busy = false;
        if self.gather.due().is_some_and(|due| due <= now) {
            self.gather.flush();
            busy = true;
        }
        let grtt = self.hold();
        let keys = self.keys.as_mut();
        if let Some(keys) = keys.filter(|k| k.deadline().is_some_and(|due| due <= now)) {
            for client in keys.expired(now, grtt) {
                let words = "Client not fully registered at proxy".to_owned();
                self.gather.expel(client, words.clone());
                self.gather.left(client, words);
                around.tell(ProxyEventKind::Unregistered { client });
            }
            self.gather.hand_out(&keys.due_clients(now, grtt));
            busy = true;
        }
        busy
    }

    /// Appends what is to be said, as far as the batch has room.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        upstream: SocketAddr,
        batch: &mut Batch,
        around: &mut Surroundings<'_>,
    ) {
        let mut pen = Pen {
            up: &mut self.up,
            upstream,
            server: self.server,
            public: self.public,
            clients: self.to_clients,
            estimate: self.estimate,
            keys: self.keys.as_deref(),
            batch,
            around,
        };
        self.gather.write(now, &mut pen);
    }

    fn hold(&self) -> Duration {
        self.estimate.grtt.duration().max(SHORTEST_HOLD)
    }

    /// When a client that registers now is given up.
    fn registration_ends(&self, now: Instant) -> Instant {
        let limit = self.estimate.grtt.duration() * u32::from(self.robust);
        now + limit.max(SHORTEST_REGISTRATION)
    }
}

fn invites(named: &HashSet<Uid>, client: Uid) -> bool {
    named.is_empty() || named.contains(&client)
}
