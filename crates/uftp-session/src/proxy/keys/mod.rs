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

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uftp_proto::Uid;
use uftp_proto::crypto::{
    Curve, IvCounter, KeyExchange, KeyKind, PrivateKey, PublicKey, Sealer, SignatureType, Suite,
    resign,
};
use uftp_proto::wire::{self, Announce, Header, KeyInfo, Message};

pub(super) use clients::Held;

use clients::Waiting;

use super::config::{ProxyConfig, Role};
use crate::clock::Clock;
use crate::counters::Refusal;
use crate::limit::Limit;
use crate::objection::Objection;
use crate::security::{
    Client, Declined, Invitation, Keyring, NoKey, Own, Secrets, SenderSecurity, Server,
    SessionName, gate, same_type,
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
    /// From one KEYINFO to a client to the next.
    interval: Duration,
    /// Those who are handed the keys again, and when the others are if they are too many.
    reminders: Limit,
    held_back: Option<Instant>,
    /// Where our packets begin to count.
    counter: IvCounter,
    /// Packets to be looked into without harm.
    scratch: Vec<u8>,
}

/// What the packets of the server that are in the clear may still say.
pub(super) struct News {
    /// What it said, if it was an ABORT.
    pub(super) abort: Option<wire::Abort>,
    /// The group's keys are other than thought: our packets are sealed with this from now on.
    pub(super) sealer: Option<Sealer>,
}

impl Keys {
    /// Judges an announced session, and draws our secrets for both sides of it.
    pub(super) fn accept(
        now: Instant,
        invitation: &Invitation<'_>,
        means: &mut Means<'_>,
    ) -> Result<Self, Objection> {
        let Invitation {
            header,
            announce,
            info,
            ..
        } = invitation;
        let security = &means.config.security;
        if !security.admits(header.src) {
            return Err(Objection::Abort("Failed to verify server key fingerprint"));
        }
        let suite = Suite::from_wire(header.version, info)
            .and_then(|suite| match security.refuse_weak {
                true => suite.check_modern().map(|()| suite),
                false => Ok(suite),
            })
            .map_err(|e| Objection::Abort(e.abort_reason()))?;
        let theirs = PublicKey::from_blob(&info.key)
            .map_err(|_| Objection::Abort("Failed to load server public key"))?;
        let ephemeral = match suite.key_exchange.is_ecdh() {
            false => None,
            true => Some(curve_of(&info.dh_key).ok_or(Objection::Abort(BAD_DH_KEY))?),
        };
        let (identity, dh_key) = stand_in(now, header.version, &suite, &theirs, ephemeral, means)?;
        let own = Own {
            uid: means.config.uid,
            keyring: means.keyring,
            secrets: means.secrets,
        };
        let client = Client::accept(invitation, own, now)?;
        let curve = ephemeral.unwrap_or(Curve::DEFAULT);
        let session = SessionName {
            version: header.version,
            server: header.src,
            group: header.group,
            instance: header.instance,
            private: announce.private,
        };
        let server = SenderSecurity::new(header.version, suite, identity.clone(), curve)
            .and_then(|security| {
                Server::standing_in(
                    means.config.uid,
                    &client,
                    &session,
                    &security,
                    info.random,
                    dh_key,
                    means.secrets,
                )
            })
            .map_err(|error| {
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
            interval: Duration::ZERO,
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

    /// Keys come from the server. Returns what to answer; `None` if they are not for us. Clients
    /// that were handed other keys before are given up at `until`.
    pub(super) fn key_info(
        &mut self,
        src: Uid,
        uid: Uid,
        message: &KeyInfo,
        packet: &[u8],
        now: Instant,
        until: Instant,
    ) -> Result<Option<crate::security::Answer>, Refusal> {
        let answer = self.client.key_info(src, uid, message, packet)?;
        self.adopt(now, until);
        Ok(answer)
    }

    /// Looks into a packet of the server, which stays as it is; `until` as in
    /// [`key_info`](Self::key_info).
    pub(super) fn look(
        &mut self,
        version: wire::Version,
        packet: &[u8],
        now: Instant,
        until: Instant,
    ) -> Result<News, Refusal> {
        self.scratch.clear();
        self.scratch.extend_from_slice(packet);
        let (body, sealer) = self.client.open(&mut self.scratch)?;
        let function = wire::inner_function(version, body).map_err(|_| Refusal::Malformed)?;
        let abort = match function {
            wire::Function::Abort => match wire::decode(version, function, body) {
                Ok(Message::Abort(abort)) => Some(abort),
                _ => return Err(Refusal::Malformed),
            },
            _ => None,
        };
        self.adopt(now, until);
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
    fn adopt(&mut self, now: Instant, until: Instant) {
        let doubted = match self.server.adopt(&self.client) {
            Ok(None) => return,
            Ok(Some(doubted)) => doubted,
            Err(error) => return tracing::error!(%error, "cannot use the group's keys"),
        };
        self.waiting.values_mut().for_each(|w| w.told = None);
        self.waiting.extend(doubted.into_iter().map(|uid| {
            let again = Waiting {
                confirmed: true,
                ..Waiting::new(now, until, 0)
            };
            (uid, again)
        }));
    }
}

const NO_OWN_KEY: &str = "No proxy key compatible with server key";
const BAD_DH_KEY: &str = "Failed to load server public ECDH key";
const OTHER_CURVE: &str = "Proxy ECDH key not compatible with server key";

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

/// What our clients know us by, and what they agree upon premasters with if they know that from
/// PROXY_KEY.
fn stand_in(
    now: Instant,
    version: wire::Version,
    suite: &Suite,
    theirs: &PublicKey,
    ephemeral: Option<Curve>,
    means: &mut Means<'_>,
) -> Result<(Arc<PrivateKey>, Option<Arc<PrivateKey>>), Objection> {
    let own = means.config.identity(version);
    if suite.key_exchange == KeyExchange::Ecdh
        && let Some(own) = own
    {
        // Keys are everybody's own choice; clients know us by the first.
        return Ok((own.clone(), None));
    }
    let Role::Response { dh_key, .. } = &means.config.role else {
        return match means.keyring.standing_in(now, suite, theirs.kind()) {
            Ok(key) => Ok((key, None)),
            Err(NoKey::None) => Err(Objection::Abort(NO_OWN_KEY)),
            Err(NoKey::Later) => Err(Objection::Ignore(Refusal::Limit)),
        };
    };
    let strict = suite.signature == SignatureType::Keyex;
    let alike = |key: &&Arc<PrivateKey>| key.kind() == theirs.kind();
    let akin = |key: &&Arc<PrivateKey>| !strict && same_type(key.kind(), theirs.kind());
    let on_curve = |key: &&Arc<PrivateKey>| Some(key.kind()) == ephemeral.map(KeyKind::Ec);
    if suite.key_exchange == KeyExchange::Rsa {
        // Premasters come under the key that PROXY_KEY shows, whatever others there are.
        let own = own.filter(|key| alike(key) || akin(key));
        let own = own.ok_or(Objection::Abort(NO_OWN_KEY))?;
        return Ok((own.clone(), None));
    }
    // Clients agree with the other key that it shows; the server wants one like its own.
    let keys = || means.config.security.keys.iter();
    let own = keys().find(alike).or_else(|| keys().find(akin));
    let own = own.ok_or(Objection::Abort(NO_OWN_KEY))?;
    let fitting = dh_key.as_ref().filter(on_curve);
    let fitting = fitting.ok_or(Objection::Abort(OTHER_CURVE))?;
    Ok((own.clone(), Some(fitting.clone())))
}

fn curve_of(blob: &[u8]) -> Option<Curve> {
    match PublicKey::from_blob(blob).ok()?.kind() {
        KeyKind::Ec(curve) => Some(curve),
        KeyKind::Rsa { .. } => None,
    }
}
