//! The end of the handshake that announces a session and hands out its keys (wire-v4 §8.4, §9.1).

use std::net::IpAddr;
use std::sync::Arc;

use uftp_proto::crypto::{
    self, BackendError, Binding, CipherError, ClientKeys, Fingerprint, GroupMaster, KeyError,
    KeySpec, Opener, Premaster, PrivateKey, PublicKey, Sealer, SelfSignError, SignatureType, Suite,
};
use uftp_proto::wire::{self, ClientKey, EncInfo, KeyInfoAck, Message, Register, Version};
use uftp_proto::{GroupId, Uid};

use super::config::{SecurityError, SenderSecurity};
use super::replay::ReplayWindow;
use crate::counters::Refusal;

/// The announcing end of one session.
pub struct Server {
    version: Version,
    suite: Suite,
    identity: Arc<PrivateKey>,
    /// Our ephemeral key, where the key exchange uses one.
    ephemeral: Option<PrivateKey>,
    enc_info: EncInfo,
    group: GroupId,
    private: IpAddr,
    random: [u8; 32],
    master: GroupMaster,
    opener: Opener,
}

impl Server {
    /// Draws all secrets of a session anew. `private` is the group as ANNOUNCE states it.
    ///
    /// # Errors
    /// [`SecurityError`] if OpenSSL fails: all else was checked by [`SenderSecurity::new`].
    pub fn new(
        version: Version,
        security: &SenderSecurity,
        group: GroupId,
        private: IpAddr,
        random: [u8; 32],
    ) -> Result<Self, SecurityError> {
        let suite = *security.suite();
        let ephemeral = match suite.key_exchange.is_ecdh() {
            true => Some(PrivateKey::generate(KeySpec::Ec(security.curve()))?),
            false => None,
        };
        let dh_key = ephemeral.as_ref().map(|key| key.public().blob().to_vec());
        let master = GroupMaster::generate(version)?;
        let opener = master.group_keys(version, &suite, &random)?.opener()?;
        Ok(Server {
            version,
            suite,
            identity: security.identity().clone(),
            enc_info: security.enc_info(random, dh_key.unwrap_or_default()),
            ephemeral,
            group,
            private,
            random,
            master,
            opener,
        })
    }

    /// Seals what we send to the group.
    ///
    /// # Errors
    /// [`SecurityError`] if OpenSSL fails.
    pub fn sealer(&self) -> Result<Sealer, SecurityError> {
        let keys = self
            .master
            .group_keys(self.version, &self.suite, &self.random)?;
        Ok(keys.sealer(Some(self.identity.clone()))?)
    }

    /// What every ANNOUNCE says, its signature still zeros.
    pub fn enc_info(&self) -> &EncInfo {
        &self.enc_info
    }

    /// Signs an encoded packet that carries a signature of ours; leaves others alone.
    ///
    /// # Errors
    /// [`SelfSignError`] if OpenSSL fails.
    pub fn sign(&self, message: &Message<'_>, packet: &mut [u8]) -> Result<(), SelfSignError> {
        match wire::signature_range(self.version, message) {
            None => Ok(()),
            Some(_) => crypto::sign_packet(
                &self.identity,
                self.suite.hash,
                self.version,
                message,
                &[],
                packet,
            ),
        }
    }

    /// A receiver registers, perhaps again.
    ///
    /// A repeated REGISTER changes nothing. One with other secrets, from a receiver that began
    /// anew or from somebody else, takes the place of the first until the receiver has proved
    /// that the secrets are its own: by its CLIENT_KEY if that is asked for, else by KEYINFO_ACK.
    ///
    /// # Errors
    /// [`Refusal`] if its key field makes no secret, or it has proved other secrets before.
    pub fn register(&self, peer: &mut Peer, register: &Register) -> Result<Admission, Refusal> {
        let known = peer.keyed.as_ref().map(|keyed| &keyed.handshake);
        if peer.proven {
            let same = |h: &Handshake| h.binding.client_random == register.random;
            return match known.is_some_and(same) {
                true => Ok(Admission::Ready),
                false => Err(Refusal::OutOfPlace),
            };
        }
        let handshake = self.handshake(register).map_err(|_| Refusal::Unauthentic)?;
        if known.is_some_and(|known| known.is(&handshake)) {
            return Ok(Admission::Ready);
        }
        if peer
            .pending
            .as_ref()
            .is_some_and(|known| known.is(&handshake))
        {
            return Ok(Admission::AwaitsKey);
        }
        if !self.suite.client_auth {
            peer.keyed = Some(
                self.key(handshake, None)
                    .map_err(|_| Refusal::Unauthentic)?,
            );
            return Ok(Admission::Ready);
        }
        peer.pending = Some(handshake);
        // Its CLIENT_KEY may have overtaken it.
        match peer.held.take() {
            Some(early) => self.identify(peer, &early).or(Ok(Admission::AwaitsKey)),
            None => Ok(Admission::AwaitsKey),
        }
    }

    /// A receiver says who it is; `expected` is the key the operator knows it by.
    ///
    /// # Errors
    /// [`Rejection`] if that is not proved, or not who is expected.
    pub fn client_key(
        &self,
        peer: &mut Peer,
        message: &ClientKey,
        expected: Option<Fingerprint>,
    ) -> Result<Admission, Rejection> {
        if !self.suite.client_auth {
            return Err(Refusal::OutOfPlace.into());
        }
        let key = PublicKey::from_blob(&message.key).map_err(|_| Refusal::Unauthentic)?;
        if expected.is_some_and(|expected| key.fingerprint() != expected) {
            return Err(Rejection::Fingerprint);
        }
        let signed_alone = self.suite.signature == SignatureType::Keyex;
        if signed_alone && key.kind() != self.identity.kind() {
            return Err(Refusal::Unauthentic.into());
        }
        if peer.pending.is_some() {
            return Ok(self.identify(peer, message)?);
        }
        if peer.keyed.is_some() {
            // It comes with every REGISTER.
            return Ok(Admission::Ready);
        }
        peer.held = Some(message.clone());
        Ok(Admission::AwaitsKey)
    }

    /// The entry of a KEYINFO with `counter`, sent by `src`, for a receiver; `None` if it has no
    /// keys.
    ///
    /// # Errors
    /// [`CipherError`] if OpenSSL fails.
    pub fn key_entry(
        &self,
        peer: &Peer,
        src: Uid,
        counter: u64,
    ) -> Result<Option<[u8; 48]>, CipherError> {
        let Some(keyed) = &peer.keyed else {
            return Ok(None);
        };
        keyed.keys.wrap(&self.master, src, counter).map(Some)
    }

    /// A receiver proves that it has the group's keys, and so that those it registered with are
    /// its own.
    ///
    /// # Errors
    /// [`Refusal`] if it does not.
    pub fn acknowledge(&self, peer: &mut Peer, ack: &KeyInfoAck) -> Result<(), Refusal> {
        let keyed = peer.keyed.as_ref().ok_or(Refusal::OutOfPlace)?;
        let Handshake { binding, premaster } = &keyed.handshake;
        let received = ack.verify_data.as_slice();
        let right = self
            .master
            .check_verify_data(binding, premaster, keyed.key.as_ref(), received);
        if !right.unwrap_or(false) {
            return Err(Refusal::Unauthentic);
        }
        peer.proven = true;
        peer.pending = None;
        peer.held = None;
        Ok(())
    }

    /// Opens a packet of a receiver that has keys, in place. Returns its message.
    ///
    /// # Errors
    /// [`Refusal`] if it is not authentic or was here before.
    pub fn open<'a>(
        &mut self,
        peer: &mut Peer,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        let keyed = peer.keyed.as_ref().ok_or(Refusal::Unauthentic)?;
        let opened = self
            .opener
            .open(packet, keyed.key.as_ref())
            .map_err(|_| Refusal::Unauthentic)?;
        peer.replay.admit(opened.counter)?;
        Ok(opened.message)
    }

    fn handshake(&self, register: &Register) -> Result<Handshake, KeyError> {
        let premaster = match &self.ephemeral {
            None => Premaster::decrypt(&self.identity, &register.key)?,
            Some(ephemeral) => Premaster::agree(ephemeral, &PublicKey::from_blob(&register.key)?)?,
        };
        Ok(Handshake {
            binding: Binding {
                version: self.version,
                suite: self.suite,
                group: self.group,
                private: self.private,
                server_random: self.random,
                client_random: register.random,
            },
            premaster,
        })
    }

    fn key(&self, handshake: Handshake, key: Option<PublicKey>) -> Result<Keyed, BackendError> {
        let Handshake { binding, premaster } = &handshake;
        let keys = premaster.master_secret(binding)?.client_keys(binding)?;
        Ok(Keyed {
            handshake,
            keys,
            key,
        })
    }

    /// Lets the pending handshake become the receiver's own if `message` proves that it made it.
    fn identify(&self, peer: &mut Peer, message: &ClientKey) -> Result<Admission, Refusal> {
        let Some(Handshake { binding, premaster }) = &peer.pending else {
            return Err(Refusal::OutOfPlace);
        };
        let key = PublicKey::from_blob(&message.key).map_err(|_| Refusal::Unauthentic)?;
        let signed = premaster.client_key_input(binding);
        if !key.verify(self.suite.hash, &[signed.expose()], &message.signature) {
            return Err(Refusal::Unauthentic);
        }
        if let Some(handshake) = peer.pending.take() {
            let keyed = self.key(handshake, Some(key));
            peer.keyed = Some(keyed.map_err(|_| Refusal::Unauthentic)?);
        }
        Ok(Admission::Ready)
    }
}

/// One receiver as the server knows it.
#[derive(Default)]
pub struct Peer {
    /// It has registered but not said yet who it is.
    pending: Option<Handshake>,
    /// It has said who it is but its REGISTER is not here yet.
    held: Option<ClientKey>,
    /// It can be handed the group's secret.
    keyed: Option<Keyed>,
    /// It has shown that it has it.
    proven: bool,
    replay: ReplayWindow,
}

impl Peer {
    /// Whether it has proved that it has the group's keys.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether it can be handed them.
    pub fn is_keyed(&self) -> bool {
        self.keyed.is_some()
    }
}

/// What a REGISTER made.
struct Handshake {
    binding: Binding,
    premaster: Premaster,
}

impl Handshake {
    fn is(&self, other: &Handshake) -> bool {
        self.binding == other.binding && self.premaster.is(&other.premaster)
    }
}

/// A handshake whose other side is as sure as the session asks for.
struct Keyed {
    handshake: Handshake,
    keys: ClientKeys,
    /// Its identity, in sessions with client authentication.
    key: Option<PublicKey>,
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
