//! The encrypted session of a sender: its keys, and how far each receiver's are.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use rand::Rng;
use rand::rngs::StdRng;
use uftp_proto::Uid;
use uftp_proto::crypto::{Fingerprint, IvCounter};
use uftp_proto::wire::{ClientKey, EncInfo, KeyInfoAck, Register};

use super::config::SenderConfig;
use crate::clock::Clock;
use crate::counters::Refusal;
use crate::link::Link;
use crate::security::gate::Keys;
use crate::security::{Admission, Peer, Rejection, SecurityError, Server};

/// Keys and what became of them.
pub(super) struct Security {
    server: Server,
    peers: HashMap<Uid, Peer>,
    /// The keys the operator knows receivers by.
    expected: HashMap<Uid, Fingerprint>,
    /// Receivers told of as having another key.
    rejected: HashSet<Uid>,
}

impl Security {
    /// Draws the secrets of a session, if it is to be encrypted, and secures `link` with them.
    /// `private` is the group as ANNOUNCE states it.
    pub(super) fn start(
        config: &SenderConfig,
        private: IpAddr,
        link: &mut Link,
        clock: Clock,
        rng: &mut StdRng,
        now: std::time::Instant,
    ) -> Result<Option<Self>, SecurityError> {
        let Some(security) = &config.security else {
            return Ok(None);
        };
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        let server = Server::new(config.version, security, config.group, private, random)?;
        let counter = IvCounter::under_new_keys(config.version, clock.stamp(now));
        link.secure(server.sealer()?, counter);
        let listed = config.clients.iter().flatten();
        Ok(Some(Security {
            server,
            peers: HashMap::new(),
            expected: listed
                .filter_map(|c| Some((c.uid, c.fingerprint?)))
                .collect(),
            rejected: HashSet::new(),
        }))
    }

    /// What every ANNOUNCE says.
    pub(super) fn enc_info(&self) -> EncInfo {
        self.server.enc_info().clone()
    }

    /// What signs our packets.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// How far a receiver is.
    pub(super) fn keys(&self, uid: Uid) -> Keys {
        match self.peers.get(&uid) {
            Some(peer) if peer.is_proven() => Keys::Ready,
            _ => Keys::Pending,
        }
    }

    /// Whether a receiver can be handed keys, or has them.
    pub(super) fn is_keyed(&self, uid: Uid) -> bool {
        self.peers.get(&uid).is_some_and(Peer::is_keyed)
    }

    pub(super) fn register(&mut self, uid: Uid, register: &Register) -> Result<Admission, Refusal> {
        let peer = self.peers.entry(uid).or_default();
        self.server.register(peer, register)
    }

    /// As [`Server::client_key`]; the flag says whether a key other than expected is the first
    /// of this receiver.
    pub(super) fn client_key(
        &mut self,
        uid: Uid,
        message: &ClientKey,
    ) -> Result<Admission, (Refusal, bool)> {
        let peer = self.peers.entry(uid).or_default();
        let expected = self.expected.get(&uid).copied();
        match self.server.client_key(peer, message, expected) {
            Ok(admission) => Ok(admission),
            Err(Rejection::Refused(refusal)) => Err((refusal, false)),
            Err(Rejection::Fingerprint) => Err((Refusal::Unauthentic, self.rejected.insert(uid))),
        }
    }

    pub(super) fn acknowledge(&mut self, uid: Uid, ack: &KeyInfoAck) -> Result<(), Refusal> {
        let peer = self.peers.get_mut(&uid).ok_or(Refusal::OutOfPlace)?;
        self.server.acknowledge(peer, ack)
    }

    /// Opens a packet of `uid` in place.
    pub(super) fn open<'a>(
        &mut self,
        uid: Uid,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        let peer = self.peers.get_mut(&uid).ok_or(Refusal::Unauthentic)?;
        self.server.open(peer, packet)
    }

    /// What a KEYINFO of `own` under `counter` says to these receivers.
    pub(super) fn key_entries(
        &self,
        own: Uid,
        counter: u64,
        clients: Vec<Uid>,
    ) -> Vec<(Uid, [u8; 48])> {
        let entry = |uid: Uid| {
            let peer = self.peers.get(&uid)?;
            match self.server.key_entry(peer, own, counter) {
                Ok(wrapped) => Some((uid, wrapped?)),
                Err(error) => {
                    tracing::error!(client = %uid, %error, "cannot wrap keys");
                    None
                }
            }
        };
        clients.into_iter().filter_map(entry).collect()
    }
}
