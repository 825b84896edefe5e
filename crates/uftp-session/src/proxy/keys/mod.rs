//! The keys of an encrypted session that passes through a proxy (behaviour-proxies §8).
//!
//! ```text
//! server ◀── REGISTER, ours ── proxy ◀── REGISTER ── client
//!        ─── KEYINFO ────────▶       ─── KEYINFO ──▶          same secret, wrapped anew
//!        ◀── KEYINFO_ACK ─────       ◀── KEYINFO_ACK ─
//! ```
//!
//! A client is handed the group's secret when it has registered here, the server has confirmed
//! it, and the secret is here. It is told again until it proves that it has it, or its time is up
//! and its place free.

mod clients;
mod own;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uftp_proto::Uid;
use uftp_proto::crypto::{Curve, IvCounter, PrivateKey, Sealer, SignatureType, Suite, resign};
use uftp_proto::wire::{self, Announce, Header, KeyInfo, Message};

pub(super) use clients::Registration;

use clients::Waiting;
use own::{NO_OWN_KEY, OwnKeys, ServerKeys};

use super::config::ProxyConfig;
use crate::clock::Clock;
use crate::counters::Refusal;
use crate::incoming::Incoming;
use crate::limit::Limit;
use crate::objection::Objection;
use crate::security::{
    Answer, Client, Declined, Invitation, Keyring, Own, Secrets, SenderSecurity, Server,
    SessionName, StandIn, gate,
};

/// What the machine lends to judge an announcement with.
pub(super) struct Means<'a> {
    pub(super) config: &'a ProxyConfig,
    pub(super) keyring: &'a mut Keyring,
    pub(super) clock: Clock,
    pub(super) secrets: &'a mut dyn Secrets,
}

/// Both ends of the handshakes of a session.
pub(super) struct Keys {
    client: Client,
    server: Server,
    /// What our clients know us by.
    identity: Arc<PrivateKey>,
    waiting: HashMap<Uid, Waiting>,
    /// How many have come.
    arrivals: u64,
    /// When one of those waiting is due.
    due: Option<Instant>,
    times: Times,
    /// Those who are handed the keys again, and when the others are if they are too many.
    reminders: Limit,
    held_back: Option<Instant>,
    /// Where our packets begin to count.
    counter: IvCounter,
    /// Packets to be looked into without harm.
    scratch: Vec<u8>,
}

/// The clockwork of those on their way to the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Times {
    /// From one KEYINFO to a client to the next.
    pub(super) repeat: Duration,
    /// How long a client may wait for keys.
    pub(super) registration: Duration,
}

/// What a sealed packet of the server tells.
pub(super) struct News {
    /// What it said, if it was an ABORT.
    pub(super) abort: Option<wire::Abort>,
    /// The group's keys are other than thought: our packets are sealed with this from now on.
    pub(super) sealer: Option<Box<Sealer>>,
}

impl Keys {
    /// Judges an announced session, and draws our secrets for both sides of it.
    pub(super) fn accept(
        now: Instant,
        invitation: &Invitation<'_>,
        means: &mut Means<'_>,
    ) -> Result<Self, Objection> {
        let (header, info) = (invitation.header, invitation.info);
        let version = header.version;
        if !means.config.security.admits(header.src) {
            return Err(Objection::Abort("Failed to verify server key fingerprint"));
        }
        let suite = invitation.suite().map_err(Objection::Abort)?;
        let theirs = ServerKeys::read(&suite, info)?;
        let ours = OwnKeys::choose(now, version, &suite, &theirs, means)?;
        let own = Own {
            uid: means.config.uid,
            keyring: means.keyring,
            secrets: means.secrets,
        };
        let client = Client::accept(invitation, own, now)?;
        let identity = ours.identity.clone();
        let curve = theirs.curve.unwrap_or(Curve::DEFAULT);
        let security = SenderSecurity::new(version, suite, identity.clone(), curve);
        let server = security.and_then(|security| {
            let stand_in = StandIn {
                uid: means.config.uid,
                session: &session_name(invitation),
                security: &security,
                random: info.random,
                dh_key: ours.dh_key,
            };
            Server::standing_in(&stand_in, &client, means.secrets)
        });
        let server = server.map_err(|error| {
            tracing::warn!(%error, "cannot stand in for the server");
            Objection::Abort(NO_OWN_KEY)
        })?;
        Ok(Keys {
            counter: client.counter(means.clock.stamp(now)),
            client,
            server,
            identity,
            waiting: HashMap::new(),
            arrivals: 0,
            due: None,
            times: Times::default(),
            reminders: clients::reminders(),
            held_back: None,
            scratch: Vec::new(),
        })
    }

    /// The algorithms.
    pub(super) fn suite(&self) -> &Suite {
        self.client.suite()
    }

    /// When [`due_clients`](Self::due_clients) and [`expired`](Self::expired) are.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// What seals our CLIENT_KEY, where it is sealed.
    pub(super) fn handshake_sealer(&self) -> Option<Sealer> {
        self.client.handshake_sealer()
    }

    /// Our end of the handshakes with clients.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// How far our keys are.
    pub(super) fn own(&self) -> gate::Keys {
        self.client.keys()
    }

    /// Whether it is certain that our keys are the group's.
    pub(super) fn are_proven(&self) -> bool {
        self.client.is_proven()
    }

    /// Our end of the handshake.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Where our packets begin to count.
    pub(super) fn counter(&self) -> IvCounter {
        self.counter.clone()
    }

    /// Whether a packet repeats the ANNOUNCE of the session.
    pub(super) fn recognizes(&self, announce: &Announce, packet: &[u8]) -> bool {
        self.client.recognizes(announce, packet)
    }

    /// An ANNOUNCE as our clients are to see it: with our keys, and signed by us
    /// (behaviour-proxies §8.2). `None` if it cannot be made.
    pub(super) fn announcement(&self, header: &Header, announce: &Announce) -> Option<Vec<u8>> {
        let message = Message::Announce(Announce {
            encryption: Some(self.server.enc_info().clone()),
            ..announce.clone()
        });
        let mut packet = vec![0; LONGEST];
        let len = wire::encode(header, &message, &mut packet).ok()?;
        packet.truncate(len);
        self.server.sign(&message, &mut packet).ok()?;
        Some(packet)
    }

    /// Keys come from the server, to us as `uid`. Returns what to answer; `None` if they are not for us.
    pub(super) fn key_info(
        &mut self,
        incoming: &Incoming,
        uid: Uid,
        message: &KeyInfo,
        packet: &[u8],
    ) -> Result<Option<Answer>, Refusal> {
        let src = incoming.header.src;
        let answer = self.client.key_info(src, uid, message, packet)?;
        self.adopt(incoming.now);
        Ok(answer)
    }

    /// Looks into a sealed packet of the server, which stays as it is.
    pub(super) fn look(&mut self, incoming: &Incoming, packet: &[u8]) -> Result<News, Refusal> {
        let version = incoming.header.version;
        self.scratch.clear();
        self.scratch.extend_from_slice(packet);
        let (body, sealer) = self.client.open(&mut self.scratch)?;
        let function = wire::inner_function(version, body)?;
        let abort = match function {
            wire::Function::Abort => match wire::decode(version, function, body) {
                Ok(Message::Abort(abort)) => Some(abort),
                _ => return Err(Refusal::Malformed),
            },
            _ => None,
        };
        self.adopt(incoming.now);
        Ok(News { abort, sealer })
    }

    /// Makes a packet of the server one that our clients believe.
    pub(super) fn pass_on(&self, packet: &mut [u8]) -> Result<(), Refusal> {
        let suite = self.suite();
        if suite.signature != SignatureType::Keyex {
            return Ok(());
        }
        let theirs = self.client.server_key();
        resign(packet, suite.hash, theirs, &self.identity).map_err(|_| Refusal::Unauthentic)
    }

    /// Lets our server end have the secret our client end has.
    fn adopt(&mut self, now: Instant) {
        let doubted = match self.server.adopt(&self.client) {
            Ok(None) => return,
            Ok(Some(doubted)) => doubted,
            Err(error) => return tracing::error!(%error, "cannot use the group's keys"),
        };
        self.await_again(now, doubted);
    }
}

/// Longest packet there is: what fits a datagram.
const LONGEST: usize = 65_507;

impl From<Declined> for Objection {
    fn from(declined: Declined) -> Self {
        match declined {
            Declined::Refused(words) => Objection::Abort(words),
            Declined::Later => Objection::Ignore(Refusal::Limit),
        }
    }
}

/// The session of an ANNOUNCE.
fn session_name(invitation: &Invitation<'_>) -> SessionName {
    let header = invitation.header;
    SessionName {
        version: header.version,
        server: header.src,
        group: header.group,
        instance: header.instance,
        private: invitation.announce.private,
    }
}
