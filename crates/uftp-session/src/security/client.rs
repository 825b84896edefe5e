//! The end of the handshake that registers and is handed the keys (wire-v4 §10.1, wire-v5 §10.1).

use std::sync::Arc;
use std::time::Instant;

use uftp_proto::crypto::{
    Fingerprint, IvCounter, KeyExchange, KeyKind, PrivateKey, PublicKey, Sealer, SignatureType,
    Suite,
};
use uftp_proto::wire::{Announce, ClientKey, EncInfo, Header, KeyInfo, ProxyKey, Version};
use uftp_proto::{Uid, WireTime};

use super::keyring::{Keyring, NoKey};
use super::proxy_keys::ProxyKeys;
use super::secrets::Secrets;
use super::{gate, hkdf, prf};
use crate::counters::Refusal;

/// An ANNOUNCE of an encrypted session.
pub struct Invitation<'a> {
    /// Its packet header.
    pub header: &'a Header,
    /// The message.
    pub announce: &'a Announce,
    /// Its part about encryption.
    pub info: &'a EncInfo,
    /// The whole packet, which may be signed.
    pub packet: &'a [u8],
    /// The key the operator knows the sender by; `None` for any.
    pub expected: Option<Fingerprint>,
    /// Keys of the response proxy to register with instead, where such a proxy has one for all
    /// sessions.
    pub through: Option<&'a ProxyKeys>,
    /// Whether algorithms that protocol 5 left behind are no good.
    pub refuse_weak: bool,
    /// The proxy we are to register with, where that brings keys of its own to each session.
    pub proxy: Option<Uid>,
}

impl Invitation<'_> {
    /// The algorithms of the session, or the reason of the ABORT if it cannot have them here. Which of
    /// them is the matter, and with what, the words of deployed receivers do not say: the log does.
    pub(crate) fn suite(&self) -> Result<Suite, &'static str> {
        let group = self.header.group;
        let suite = Suite::from_wire(self.header.version, self.info).map_err(|error| {
            tracing::info!(%group, "cannot take part: {error}");
            error.abort_reason()
        })?;
        if self.refuse_weak {
            suite.check_modern().map_err(|error| error.abort_reason())?;
        }
        Ok(suite)
    }
}

/// A PROXY_KEY by which the proxy we are to register with says its keys for a session.
pub struct Introduction<'a> {
    /// Who its packet header says it comes from.
    pub src: Uid,
    /// The message.
    pub message: &'a ProxyKey,
    /// The whole packet, which is signed.
    pub packet: &'a [u8],
    /// The key the operator knows the proxy by; `None` for any.
    pub expected: Option<Fingerprint>,
}

/// What we bring to a handshake.
pub struct Own<'a> {
    /// Our id.
    pub uid: Uid,
    /// What we prove ourselves with.
    pub keyring: &'a mut Keyring,
    /// Where the secrets of the session come from.
    pub secrets: &'a mut dyn Secrets,
}

/// What is known of a session whatever its key schedule: its algorithms are ours too, its sender
/// is who it should be.
pub(super) struct Terms {
    pub(super) suite: Suite,
    pub(super) server: PublicKey,
    /// What we prove ourselves with, where that is asked for.
    pub(super) identity: Option<Arc<PrivateKey>>,
}

/// The registering end of one session.
pub struct Client {
    suite: Suite,
    signature_len: usize,
    /// The sender's key.
    server: PublicKey,
    pub(super) body: Body,
}

/// The key schedules.
pub(super) enum Body {
    /// Protocols 3 and 4.
    Prf(Box<prf::Client>),
    /// Protocol 5.
    Hkdf(Box<hkdf::Client>),
}

/// Why an invitation is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Declined {
    /// The sender is told so: the reason of the ABORT, in the words of deployed receivers
    /// (wire-v4 §10.1).
    Refused(&'static str),
    /// It cannot be now; it will come again.
    Later,
}

impl From<&'static str> for Declined {
    fn from(reason: &'static str) -> Self {
        Declined::Refused(reason)
    }
}

/// The answer to a KEYINFO: a KEYINFO_ACK that says `proof`, sealed, as all that follows, by
/// `sealer` if there is one, else as before.
pub struct Answer {
    /// What the group's keys make, if they are not those in use.
    pub sealer: Option<Sealer>,
    /// Proof that we have the group's secret.
    pub proof: Vec<u8>,
}

/// The same words for every key schedule.
macro_rules! each {
    ($client:expr, $body:ident => $words:expr) => {
        match $client {
            Body::Prf($body) => $words,
            Body::Hkdf($body) => $words,
        }
    };
}

impl Client {
    /// Judges an invitation, and draws our own secrets for it.
    ///
    /// # Errors
    /// [`Declined`].
    pub fn accept(
        invitation: &Invitation<'_>,
        own: Own<'_>,
        now: Instant,
    ) -> Result<Self, Declined> {
        let info = invitation.info;
        let version = invitation.header.version;
        let suite = invitation.suite()?;
        let signed_alone = suite.signature == SignatureType::Keyex;
        if signed_alone && !suite.client_auth {
            // Nobody would know our key.
            return Err("Invalid sigtype specified".into());
        }
        let expected = invitation.expected;
        if expected.is_some_and(|expected| Fingerprint::of_key(version, &info.key) != expected) {
            return Err("Failed to verify server key fingerprint".into());
        }
        let least = match invitation.refuse_weak {
            true => Version::V5,
            false => version,
        };
        let server = PublicKey::from_blob(&info.key)
            .ok()
            .filter(|key| suits(least, suite.key_exchange, key.kind()))
            .ok_or(BAD_SERVER_KEY)?;
        let identity = match suite.client_auth {
            false => None,
            true => {
                let fitting = own.keyring.fitting(now, &suite, server.kind());
                Some(fitting.map_err(|why| match why {
                    NoKey::None => Declined::Refused(NO_OWN_KEY),
                    NoKey::Later => Declined::Later,
                })?)
            }
        };
        let signature_len = suite.signature_len(server.kind());
        let terms = Terms {
            suite,
            server: server.clone(),
            identity,
        };
        let body = match suite.key_exchange {
            KeyExchange::Ecdh => {
                Body::Hkdf(Box::new(hkdf::Client::accept(invitation, terms, own)?))
            }
            KeyExchange::Rsa | KeyExchange::EcdhRsa | KeyExchange::EcdhEcdsa => {
                Body::Prf(Box::new(prf::Client::accept(invitation, terms, own)?))
            }
        };
        Ok(Client {
            suite,
            signature_len,
            server,
            body,
        })
    }

    /// The algorithms of the session.
    pub(crate) fn suite(&self) -> &Suite {
        &self.suite
    }

    /// Bytes of the signature of every packet of the sender.
    pub(crate) fn signature_len(&self) -> usize {
        self.signature_len
    }

    /// The sender's key.
    pub(crate) fn server_key(&self) -> &PublicKey {
        &self.server
    }

    /// Whether it is certain which keys are the group's.
    pub(crate) fn is_proven(&self) -> bool {
        match &self.body {
            Body::Prf(body) => body.is_proven(),
            Body::Hkdf(body) => body.keys() == gate::Keys::Ready,
        }
    }

    /// Where our packets begin to count if it is `now`.
    pub(crate) fn counter(&self, now: WireTime) -> IvCounter {
        each!(&self.body, body => body.counter(now))
    }

    /// The random number of REGISTER, the same every time.
    pub fn random(&self) -> [u8; 32] {
        each!(&self.body, body => body.random())
    }

    /// The key field of REGISTER; `None` if there is nobody yet to register with.
    pub fn register_key(&self) -> Option<Vec<u8>> {
        each!(&self.body, body => body.register_key())
    }

    /// What follows every REGISTER, where it is asked for.
    pub fn client_key(&self) -> Option<&ClientKey> {
        each!(&self.body, body => body.client_key())
    }

    /// What seals that, where it is not in the clear.
    pub fn handshake_sealer(&self) -> Option<Sealer> {
        match &self.body {
            Body::Prf(_) => None,
            Body::Hkdf(body) => body.handshake_sealer(),
        }
    }

    /// The proxy we are to register with as `uid` says which keys it has for the session.
    ///
    /// # Errors
    /// The reason of the ABORT to end the session with.
    pub fn proxy_key(
        &mut self,
        introduction: &Introduction<'_>,
        uid: Uid,
        secrets: &mut dyn Secrets,
    ) -> Result<(), &'static str> {
        match &mut self.body {
            Body::Prf(_) => Ok(()),
            Body::Hkdf(body) => body.proxy_key(introduction, uid, secrets),
        }
    }

    /// Whether `packet`, decoded to `announce`, repeats the ANNOUNCE that invited us. Without
    /// ECDH nothing in it is signed, and nobody can tell.
    pub(crate) fn recognizes(&self, announce: &Announce, packet: &[u8]) -> bool {
        each!(&self.body, body => body.recognizes(announce, packet))
    }

    /// How far the keys are.
    pub(crate) fn keys(&self) -> gate::Keys {
        each!(&self.body, body => body.keys())
    }

    /// Takes the group's secret out of a KEYINFO of `src` that lists us as `uid`: the message
    /// and the packet it came in. `None` if it does not list us.
    ///
    /// # Errors
    /// [`Refusal`] if it, or what it carries, is not for us or not of this session.
    pub fn key_info(
        &mut self,
        src: Uid,
        uid: Uid,
        message: &KeyInfo,
        packet: &[u8],
    ) -> Result<Option<Answer>, Refusal> {
        let Some((_, wrapped)) = message.keys.iter().find(|(to, _)| *to == uid) else {
            return Ok(None);
        };
        match &mut self.body {
            Body::Prf(body) => body.key_info(src, wrapped, message.iv_counter),
            Body::Hkdf(body) => body.key_info(src, wrapped, message, packet),
        }
        .map(Some)
    }

    /// Opens a packet of the sender in place. Returns its message, and what to seal with from
    /// now on if that became sure by it.
    ///
    /// # Errors
    /// [`Refusal`] if it is not authentic or was here before.
    pub fn open<'a>(
        &mut self,
        packet: &'a mut [u8],
    ) -> Result<(&'a mut [u8], Option<Box<Sealer>>), Refusal> {
        match &mut self.body {
            Body::Prf(body) => body.open(packet),
            Body::Hkdf(body) => body.open(packet).map(|message| (message, None)),
        }
    }
}

pub(super) const BAD_SERVER_KEY: &str = "Failed to load server public key";
pub(super) const BAD_DH_KEY: &str = "Failed to load server public ECDH key";
pub(super) const BAD_SIGNATURE: &str = "Signature verification failed";
pub(super) const NO_OWN_KEY: &str = "No client key compatible with server key";

/// Whether a server key of this kind goes with the key exchange.
fn suits(version: Version, exchange: KeyExchange, kind: KeyKind) -> bool {
    match (exchange, kind) {
        (KeyExchange::EcdhEcdsa | KeyExchange::Ecdh, KeyKind::Ec(curve)) => curve.is_in(version),
        (KeyExchange::EcdhEcdsa, KeyKind::Rsa { .. }) => false,
        (_, KeyKind::Rsa { .. }) => true,
        (_, KeyKind::Ec(_)) => false,
    }
}
