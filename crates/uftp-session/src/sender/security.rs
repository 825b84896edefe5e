//! The encrypted session of a sender: its keys, and how far each receiver's are.

use std::collections::{HashMap, HashSet};

use uftp_proto::Uid;
use uftp_proto::crypto::{Fingerprint, IvCounter};
use uftp_proto::wire::{EncInfo, KeyInfoAck, Register};

use super::config::SenderConfig;
use crate::clock::Clock;
use crate::counters::Refusal;
use crate::link::Link;
use crate::security::gate::Keys;
use crate::security::{Admission, Claim, Rejection, Secrets, SecurityError, Server, SessionName};

/// Keys and what became of them.
pub(super) struct Security {
    server: Server,
    /// Receivers say who they are.
    client_auth: bool,
    /// The keys the operator knows receivers by.
    expected: HashMap<Uid, Fingerprint>,
    /// Receivers told of as having another key.
    rejected: HashSet<Uid>,
}

impl Security {
    /// Draws the secrets of a session, if it is to be encrypted, and secures `link` with them.
    pub(super) fn start(
        config: &SenderConfig,
        session: &SessionName,
        link: &mut Link,
        clock: Clock,
        secrets: &mut dyn Secrets,
        now: std::time::Instant,
    ) -> Result<Option<Self>, SecurityError> {
        let Some(security) = &config.security else {
            return Ok(None);
        };
        let server = Server::new(session, security, secrets)?;
        let counter = IvCounter::under_new_keys(config.version, clock.stamp(now));
        link.secure(server.sealer()?, counter);
        let listed = config.clients.iter().flatten();
        Ok(Some(Security {
            server,
            client_auth: security.suite().client_auth,
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
        self.server.keys(uid)
    }

    /// Whether a receiver can be handed keys, or has them.
    pub(super) fn is_keyed(&self, uid: Uid) -> bool {
        self.server.is_keyed(uid)
    }

    /// Whether a receiver has proved by a key of its own who it is.
    pub(super) fn is_identified(&self, uid: Uid) -> bool {
        self.client_auth && self.server.is_keyed(uid)
    }

    /// Whether a REGISTER says nothing new, and so costs nothing.
    pub(super) fn recalls(&self, uid: Uid, register: &Register) -> bool {
        self.server.recall(uid, register).is_some()
    }

    /// Whether a CLIENT_KEY would say nothing new.
    pub(super) fn recalls_key(&self, uid: Uid) -> bool {
        self.server.recalls_key(uid)
    }

    pub(super) fn register(&mut self, uid: Uid, register: &Register) -> Result<Admission, Refusal> {
        self.server.register(uid, register)
    }

    /// As [`Server::client_key`]; the flag says whether a key other than expected is the first
    /// of this receiver.
    pub(super) fn client_key(
        &mut self,
        uid: Uid,
        claim: Claim,
    ) -> Result<Admission, (Refusal, bool)> {
        let expected = self.expected.get(&uid).copied();
        match self.server.client_key(uid, claim, expected) {
            Ok(admission) => Ok(admission),
            Err(Rejection::Refused(refusal)) => Err((refusal, false)),
            Err(Rejection::Fingerprint) => Err((Refusal::Unauthentic, self.rejected.insert(uid))),
        }
    }

    pub(super) fn acknowledge(&mut self, uid: Uid, ack: &KeyInfoAck) -> Result<(), Refusal> {
        self.server.acknowledge(uid, ack)
    }

    /// Opens a packet of `uid` in place.
    pub(super) fn open<'a>(
        &mut self,
        uid: Uid,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        self.server.open(uid, packet)
    }

    /// Opens a packet of `uid`, who is behind `proxy` and has registered there, in place.
    pub(super) fn open_through<'a>(
        &mut self,
        proxy: Uid,
        uid: Uid,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        self.server.open_through(proxy, uid, packet)
    }
}
