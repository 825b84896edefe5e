//! The end of the handshake that announces a session and hands out its keys.

use std::net::IpAddr;
use std::sync::Arc;

use uftp_proto::crypto::{
    CipherError, Fingerprint, KeyExchange, PrivateKey, Sealer, SelfSignError,
};
use uftp_proto::wire::{EncInfo, KeyInfoAck, Message, ProxyKey, Register, Version};
use uftp_proto::{GroupId, Instance, Uid};

use super::client::Client;
use super::config::{SecurityError, SenderSecurity};
use super::gate::Keys;
use super::peers::{Claim, Registry};
use super::secrets::Secrets;
use super::{hkdf, prf};
use crate::counters::Refusal;

/// The session that keys are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionName {
    /// Its protocol.
    pub version: Version,
    /// Who announces it.
    pub server: Uid,
    /// Its number.
    pub group: GroupId,
    /// Its run.
    pub instance: Instance,
    /// The group that carries it, as ANNOUNCE states it.
    pub private: IpAddr,
}

/// A proxy that stands in for the server of a session towards clients of its own.
pub struct StandIn<'a> {
    /// What it is called.
    pub uid: Uid,
    /// The session.
    pub session: &'a SessionName,
    /// Its algorithms, and the key that clients know the proxy by.
    pub security: &'a SenderSecurity,
    /// The server's random number.
    pub random: [u8; 32],
    /// Takes the place of an ephemeral key where clients know it already.
    pub dh_key: Option<Arc<PrivateKey>>,
}

/// The announcing end of one session, and how far each of its receivers has come.
pub struct Server(Body);

/// The key schedules.
enum Body {
    /// Protocols 3 and 4.
    Prf(Registry<prf::Announcer>),
    /// Protocol 5.
    Hkdf(Registry<hkdf::Announcer>),
}

/// The same words for every key schedule.
macro_rules! each {
    ($server:expr, $registry:ident => $words:expr) => {
        match $server {
            Body::Prf($registry) => $words,
            Body::Hkdf($registry) => $words,
        }
    };
}

impl Server {
    /// Draws all secrets of a session.
    ///
    /// # Errors
    /// [`SecurityError`] if OpenSSL fails: all else was checked by [`SenderSecurity::new`].
    pub fn new(
        session: &SessionName,
        security: &SenderSecurity,
        secrets: &mut dyn Secrets,
    ) -> Result<Self, SecurityError> {
        Ok(Server(match security.suite().key_exchange {
            KeyExchange::Ecdh => {
                let announcer = hkdf::Announcer::new(session, security, secrets)?;
                Body::Hkdf(Registry::new(announcer))
            }
            KeyExchange::Rsa | KeyExchange::EcdhRsa | KeyExchange::EcdhEcdsa => {
                let announcer = prf::Announcer::new(session, security, secrets)?;
                Body::Prf(Registry::new(announcer))
            }
        }))
    }

    /// The end of a proxy towards its clients, in the session that `client`, its other end, was
    /// invited to. The group's secret comes from there, by [`adopt`](Self::adopt).
    ///
    /// # Errors
    /// [`SecurityError`] if OpenSSL fails.
    pub fn standing_in(
        proxy: &StandIn<'_>,
        client: &Client,
        secrets: &mut dyn Secrets,
    ) -> Result<Self, SecurityError> {
        use super::client::Body as Other;
        Ok(Server(match &client.body {
            Other::Prf(_) => Body::Prf(Registry::new(prf::Announcer::standing_in(proxy)?)),
            Other::Hkdf(client) => {
                let announcer = hkdf::Announcer::standing_in(proxy, client, secrets)?;
                Body::Hkdf(Registry::new(announcer))
            }
        }))
    }

    /// How a proxy introduces itself to the clients of this session, where it does.
    pub fn proxy_key(&self) -> Option<&ProxyKey> {
        match &self.0 {
            Body::Prf(_) => None,
            Body::Hkdf(s) => s.schedule.proxy_key(),
        }
    }

    /// Takes over the group's secret that our other end, `client`, was handed. If it is another
    /// one than before, those are returned whose proof counts no more.
    ///
    /// # Errors
    /// [`SecurityError`] if OpenSSL fails.
    pub fn adopt(&mut self, client: &Client) -> Result<Option<Vec<Uid>>, SecurityError> {
        use super::client::Body as Other;
        let changed = match (&mut self.0, &client.body) {
            (Body::Prf(s), Other::Prf(client)) => s.schedule.adopt(client)?,
            (Body::Hkdf(s), Other::Hkdf(client)) => s.schedule.adopt(client),
            _ => false,
        };
        Ok(changed.then(|| each!(&mut self.0, s => s.doubt())))
    }

    /// Seals what we send to the group.
    ///
    /// # Errors
    /// [`SecurityError`] if OpenSSL fails.
    pub fn sealer(&self) -> Result<Sealer, SecurityError> {
        each!(&self.0, s => s.schedule.sealer())
    }

    /// What every ANNOUNCE says, its signature still zeros.
    pub fn enc_info(&self) -> &EncInfo {
        each!(&self.0, s => s.schedule.enc_info())
    }

    /// Bytes of the signature in a KEYINFO; 0 where it has none.
    pub fn key_info_signature_len(&self) -> usize {
        match &self.0 {
            Body::Prf(_) => 0,
            Body::Hkdf(s) => s.schedule.signature_len(),
        }
    }

    /// Signs an encoded packet that carries a signature of ours; leaves others alone.
    ///
    /// # Errors
    /// [`SelfSignError`] if OpenSSL fails.
    pub fn sign(&self, message: &Message<'_>, packet: &mut [u8]) -> Result<(), SelfSignError> {
        each!(&self.0, s => s.schedule.sign(message, packet))
    }

    /// How far a receiver is.
    pub fn keys(&self, uid: Uid) -> Keys {
        each!(&self.0, s => s.keys(uid))
    }

    /// Whether a receiver can be handed keys, or has them.
    pub(crate) fn is_keyed(&self, uid: Uid) -> bool {
        each!(&self.0, s => s.is_keyed(uid))
    }

    /// A receiver registers, perhaps again.
    ///
    /// A repeated REGISTER changes nothing. One with other secrets, from a receiver that began
    /// anew or from somebody else, takes the place of the first until the receiver has proved
    /// that the secrets are its own: by its CLIENT_KEY if that is asked for, else by KEYINFO_ACK.
    ///
    /// # Errors
    /// [`Refusal`] if its key field makes no secret, or it has proved other secrets before.
    pub fn register(&mut self, uid: Uid, register: &Register) -> Result<Admission, Refusal> {
        each!(&mut self.0, s => s.register(uid, register))
    }

    /// What is known of a REGISTER that says nothing new; `None` if it is to be looked into, which
    /// is dear.
    pub fn recall(&self, uid: Uid, register: &Register) -> Option<Admission> {
        each!(&self.0, s => s.recall(uid, register))
    }

    /// Whether a CLIENT_KEY of this receiver would say nothing new; else it is to be looked into.
    pub fn recalls_key(&self, uid: Uid) -> bool {
        each!(&self.0, s => s.recalls_key(uid))
    }

    /// A receiver says who it is; `expected` is the key the operator knows it by.
    ///
    /// # Errors
    /// [`Rejection`] if that is not proved, or not who is expected.
    pub fn client_key(
        &mut self,
        uid: Uid,
        claim: Claim,
        expected: Option<Fingerprint>,
    ) -> Result<Admission, Rejection> {
        each!(&mut self.0, s => s.client_key(uid, claim, expected))
    }

    /// A receiver is given up that has proved nothing: nothing is kept of it but what must not come
    /// again.
    pub(crate) fn forget(&mut self, uid: Uid) {
        each!(&mut self.0, s => s.forget(uid));
    }

    /// The entry of a KEYINFO with `counter`, sent by `src`, for a receiver; `None` if it has no
    /// keys.
    ///
    /// # Errors
    /// [`CipherError`] if OpenSSL fails.
    pub fn key_entry(
        &self,
        uid: Uid,
        src: Uid,
        counter: u64,
    ) -> Result<Option<[u8; 48]>, CipherError> {
        each!(&self.0, s => s.key_entry(uid, src, counter))
    }

    /// The entries of a KEYINFO as in [`key_entry`](Self::key_entry), of those receivers that have keys.
    pub(crate) fn key_entries(&self, uids: &[Uid], src: Uid, counter: u64) -> Vec<(Uid, [u8; 48])> {
        let entry = |uid: &Uid| match self.key_entry(*uid, src, counter) {
            Ok(wrapped) => Some((*uid, wrapped?)),
            Err(error) => {
                tracing::error!(client = %uid, %error, "cannot wrap keys");
                None
            }
        };
        uids.iter().filter_map(entry).collect()
    }

    /// A receiver proves that it has the group's keys, and so that those it registered with are
    /// its own.
    ///
    /// # Errors
    /// [`Refusal`] if it does not.
    pub fn acknowledge(&mut self, uid: Uid, ack: &KeyInfoAck) -> Result<(), Refusal> {
        each!(&mut self.0, s => s.acknowledge(uid, ack))
    }

    /// A packet of a receiver that has not acknowledged the group's keys has opened under them:
    /// its KEYINFO_ACK was lost. Returns whether that is news.
    pub(crate) fn prove_by_use(&mut self, uid: Uid) -> bool {
        each!(&mut self.0, s => s.prove_by_use(uid))
    }

    /// Opens a packet of a receiver in place. Returns its message.
    ///
    /// # Errors
    /// [`Refusal`] if there are no keys for it, it is not authentic or was here before.
    pub fn open<'a>(&mut self, uid: Uid, packet: &'a mut [u8]) -> Result<&'a mut [u8], Refusal> {
        each!(&mut self.0, s => s.open(uid, packet))
    }

    /// Opens a packet of a receiver that has registered with a proxy of ours, in place: where one
    /// key is the whole group's that can be read here too.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_through<'a>(
        &mut self,
        proxy: Uid,
        uid: Uid,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        each!(&mut self.0, s => s.open_through(proxy, uid, packet))
    }
}

/// How far a receiver has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// The other one of REGISTER and CLIENT_KEY is missing.
    AwaitsKey,
    /// It can be handed the group's keys.
    Ready,
}

/// Why a CLIENT_KEY is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// It is not the key the operator has in the list.
    Fingerprint,
    /// It is no good.
    Refused(Refusal),
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Rejection::Refused(refusal)
    }
}
