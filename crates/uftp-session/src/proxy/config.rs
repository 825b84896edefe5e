//! What steers a proxy.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use uftp_proto::Uid;
use uftp_proto::crypto::{Fingerprint, PrivateKey};
use uftp_proto::wire::Version;

use crate::heartbeat::Heartbeats;
use crate::security::ReceiverSecurity;

/// All that steers a proxy.
#[derive(Clone)]
pub struct ProxyConfig {
    /// The proxy's own id.
    pub uid: Uid,
    /// What it does.
    pub role: Role,
    /// The one port it hears and speaks from.
    pub port: u16,
    /// Where its own packets come from: each of its addresses, link-local ones with their link, and
    /// its [`port`](Self::port).
    pub addresses: Vec<SocketAddr>,
    /// Most sessions at once; further announcements are refused and counted.
    pub max_sessions: usize,
    /// Most clients of one session; further registrations are refused and counted.
    pub max_clients: usize,
    /// Answers are held for this part of the time from one question of the server to the next, in
    /// percent, where the server fixes that (protocol 3).
    pub hold_percent: u8,
    /// Its keys, and the servers whose encrypted sessions it carries. The first key that a
    /// protocol can carry signs its heartbeats and PROXY_KEY.
    pub security: ReceiverSecurity,
    /// Clients it takes where clients must prove themselves, and their keys where they are
    /// known; `None` for all.
    pub clients: Option<HashMap<Uid, Option<Fingerprint>>>,
    /// The lists hold in every session: those of other servers, encrypted or not, are refused, and
    /// so are clients that are not listed, whether they prove themselves or not.
    pub strict: bool,
    /// Sessions that are not encrypted are refused.
    pub require_encryption: bool,
    /// Proxies told where we are, and how often.
    pub heartbeats: Heartbeats,
}

impl ProxyConfig {
    /// Clients of one session, unless the operator says otherwise.
    pub const DEFAULT_MAX_CLIENTS: usize = 10_000;
    /// Sessions at once, unless the operator says otherwise.
    pub const DEFAULT_MAX_SESSIONS: usize = 100;

    /// Part of the time between questions, in percent, unless the operator says otherwise
    /// (wire-v3 §8.4).
    pub const DEFAULT_HOLD_PERCENT: u8 = 50;

    /// A proxy without keys and lists, with the defaults of the command line for all that is not
    /// given here.
    pub fn new(uid: Uid, role: Role, port: u16) -> Self {
        ProxyConfig {
            uid,
            role,
            port,
            addresses: Vec::new(),
            max_sessions: Self::DEFAULT_MAX_SESSIONS,
            max_clients: Self::DEFAULT_MAX_CLIENTS,
            hold_percent: Self::DEFAULT_HOLD_PERCENT,
            security: ReceiverSecurity::default(),
            clients: None,
            strict: false,
            require_encryption: false,
            heartbeats: Heartbeats::default(),
        }
    }

    /// The key it is known by where a protocol has clients know it by one: the first that its
    /// messages can carry.
    pub(super) fn identity(&self, version: Version) -> Option<&Arc<PrivateKey>> {
        let keys = &self.security.keys;
        keys.iter().find(|key| key.kind().is_in(version))
    }
}

/// What a proxy does (behaviour-proxies §1).
#[derive(Clone)]
pub enum Role {
    /// Passes everything on between servers and one downstream address.
    Server {
        /// Where to.
        downstream: Downstream,
        /// Takes packets for servers from anybody, not from the downstream host alone.
        admit_anybody: bool,
    },
    /// Multicasts what comes from upstream to clients, and gathers their answers.
    Client {
        /// Port of the clients.
        port: u16,
        /// Group the clients hear, for sessions that name none.
        group: IpAddr,
    },
    /// Gathers answers of clients that hear the server themselves.
    Response {
        /// Groups the clients hear, for PROXY_KEY.
        publics: Vec<IpAddr>,
        /// Its long-lived key for key agreement with clients.
        dh_key: Option<Arc<PrivateKey>>,
    },
}

impl Role {
    /// Whether it speaks for clients and gathers their answers. A server proxy passes on what is said.
    pub fn gathers(&self) -> bool {
        !matches!(self, Role::Server { .. })
    }

    /// Whether sessions reach it by multicast. A client proxy is sent to.
    pub(super) fn joins(&self) -> bool {
        !matches!(self, Role::Client { .. })
    }
}

/// Where a server proxy passes things on to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Downstream {
    /// Always here.
    Fixed(SocketAddr),
    /// To whoever proves by heartbeat that it has this key.
    Learned(Fingerprint),
}
