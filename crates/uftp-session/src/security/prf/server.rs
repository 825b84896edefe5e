//! The announcing end (wire-v4 §8.4, §9.1).

use std::sync::Arc;

use uftp_proto::Uid;
use uftp_proto::crypto::{
    Binding, CipherError, ClientKeys, Fingerprint, GroupMaster, KeyError, KeySpec, Opener,
    Premaster, PrivateKey, PublicKey, Sealer, SelfSignError, SelfSigned, SignatureType, Suite,
};
use uftp_proto::wire::{self, ClientKey, EncInfo, KeyInfoAck, Message, Register};

use super::Client;
use crate::counters::Refusal;
use crate::policy::Policy;
use crate::security::config::{SecurityError, SenderSecurity};
use crate::security::peers::{Claim, Peer, Schedule};
use crate::security::replay::Past;
use crate::security::secrets::Secrets;
use crate::security::server::{SessionName, StandIn};

/// The secrets of the announcing end.
pub(in crate::security) struct Announcer {
    session: SessionName,
    suite: Suite,
    identity: Arc<PrivateKey>,
    /// Our ephemeral key, where the key exchange uses one.
    ephemeral: Option<Arc<PrivateKey>>,
    enc_info: EncInfo,
    random: [u8; 32],
    /// The group's secret; a proxy waits for its server's.
    secret: Option<Held>,
}

/// The group's secret, and what opens packets with it.
struct Held {
    master: GroupMaster,
    opener: Opener,
}

impl Announcer {
    pub(in crate::security) fn new(
        session: &SessionName,
        security: &SenderSecurity,
        secrets: &mut dyn Secrets,
    ) -> Result<Self, SecurityError> {
        let random = secrets.random();
        let mut announcer = Announcer::without_secret(session, security, random, None)?;
        announcer.hold(secrets.group_master(session.version)?)?;
        Ok(announcer)
    }

    /// The end of a proxy towards its clients; without the group's secret, which
    /// [`adopt`](Self::adopt) brings.
    pub(in crate::security) fn standing_in(proxy: &StandIn<'_>) -> Result<Self, SecurityError> {
        let dh_key = proxy.dh_key.clone();
        Announcer::without_secret(proxy.session, proxy.security, proxy.random, dh_key)
    }

    /// `dh_key` takes the place of an ephemeral key.
    fn without_secret(
        session: &SessionName,
        security: &SenderSecurity,
        random: [u8; 32],
        dh_key: Option<Arc<PrivateKey>>,
    ) -> Result<Self, SecurityError> {
        let suite = *security.suite();
        let ephemeral = match (suite.key_exchange.is_ecdh(), dh_key) {
            (false, _) => None,
            (true, Some(known)) => Some(known),
            (true, None) => {
                let spec = KeySpec::Ec(security.curve());
                Some(Arc::new(PrivateKey::generate(spec)?))
            }
        };
        let dh_key = ephemeral.as_ref().map(|key| key.public().blob().to_vec());
        Ok(Announcer {
            session: *session,
            suite,
            identity: security.identity().clone(),
            enc_info: security.enc_info(random, dh_key.unwrap_or_default()),
            ephemeral,
            random,
            secret: None,
        })
    }

    /// Takes over the secret our other end was handed. Whether it is another one than before.
    pub(in crate::security) fn adopt(&mut self, client: &Client) -> Result<bool, SecurityError> {
        let Some(master) = client.master() else {
            return Ok(false);
        };
        if self
            .secret
            .as_ref()
            .is_some_and(|held| held.master.is(master))
        {
            return Ok(false);
        }
        self.hold(master.clone())?;
        Ok(true)
    }

    fn hold(&mut self, master: GroupMaster) -> Result<(), SecurityError> {
        let keys = master.group_keys(self.session.version, &self.suite, &self.random)?;
        let opener = keys.opener()?;
        self.secret = Some(Held { master, opener });
        Ok(())
    }

    pub(in crate::security) fn sealer(&self) -> Result<Sealer, SecurityError> {
        let held = self.secret.as_ref().ok_or(SecurityError::NoMaster)?;
        let keys = held
            .master
            .group_keys(self.session.version, &self.suite, &self.random)?;
        Ok(keys.sealer(Some(self.identity.clone()))?)
    }

    pub(in crate::security) fn enc_info(&self) -> &EncInfo {
        &self.enc_info
    }

    /// Signs an ANNOUNCE, where it has a place for that.
    pub(in crate::security) fn sign(
        &self,
        message: &Message<'_>,
        packet: &mut [u8],
    ) -> Result<(), SelfSignError> {
        let version = self.session.version;
        match wire::signature_range(version, message) {
            None => Ok(()),
            Some(_) => {
                let signed = SelfSigned::new(version, self.suite.hash, message);
                signed.sign(&self.identity, packet)
            }
        }
    }

    fn premaster(&self, register: &Register) -> Result<Premaster, KeyError> {
        match &self.ephemeral {
            None => Premaster::decrypt(&self.identity, &register.key),
            Some(ephemeral) => Premaster::agree(ephemeral, &PublicKey::from_blob(&register.key)?),
        }
    }
}

/// What a REGISTER made.
pub(in crate::security) struct Handshake {
    binding: Binding,
    /// Its key field, and what that makes.
    field: Vec<u8>,
    premaster: Premaster,
}

/// A handshake and the keys made of it.
pub(in crate::security) struct Keyed {
    handshake: Handshake,
    keys: ClientKeys,
    /// The receiver's identity, in sessions with client authentication.
    key: Option<PublicKey>,
}

impl Schedule for Announcer {
    type Handshake = Handshake;
    type Keyed = Keyed;
    /// All seal under the group's key, whatever they registered with.
    type History = Past;

    fn history(&self) -> Past {
        Past::new(Policy::of(self.session.version).numbering)
    }

    fn is_blank(history: &Past) -> bool {
        history.is_blank()
    }

    fn name(&self, key: &PublicKey) -> Fingerprint {
        Fingerprint::of_key(self.session.version, key.blob())
    }

    fn client_auth(&self) -> bool {
        self.suite.client_auth
    }

    fn takes(&self, key: &PublicKey) -> bool {
        let signed_alone = self.suite.signature == SignatureType::Keyex;
        !signed_alone || key.kind() == self.identity.kind()
    }

    fn handshake(&self, _: Uid, register: &Register) -> Result<Handshake, Refusal> {
        let premaster = self.premaster(register);
        Ok(Handshake {
            binding: Binding {
                version: self.session.version,
                suite: self.suite,
                group: self.session.group,
                private: self.session.private,
                server_random: self.random,
                client_random: register.random,
            },
            field: register.key.clone(),
            premaster: premaster.map_err(|_| Refusal::Unauthentic)?,
        })
    }

    fn origin(keyed: &Keyed) -> &Handshake {
        &keyed.handshake
    }

    fn has_random(handshake: &Handshake, random: &[u8; 32]) -> bool {
        handshake.binding.client_random == *random
    }

    fn is_of(&self, handshake: &Handshake, _: Uid, register: &Register) -> bool {
        Self::has_random(handshake, &register.random) && handshake.field == register.key
    }

    fn is_same(one: &Handshake, other: &Handshake) -> bool {
        one.binding == other.binding && one.premaster.is(&other.premaster)
    }

    fn is_proved(&self, handshake: &Handshake, key: &PublicKey, claim: &ClientKey) -> bool {
        let signed = handshake.premaster.client_key_input(&handshake.binding);
        key.verify(self.suite.hash, &[signed.expose()], &claim.signature)
    }

    fn key(
        &self,
        handshake: Handshake,
        claim: Option<(PublicKey, &Claim)>,
    ) -> Result<Keyed, Refusal> {
        let Handshake {
            binding, premaster, ..
        } = &handshake;
        let keys = premaster
            .master_secret(binding)
            .and_then(|master| master.client_keys(binding))
            .map_err(|_| Refusal::Unauthentic)?;
        Ok(Keyed {
            handshake,
            keys,
            key: claim.map(|(key, _)| key),
        })
    }

    fn wrap(&self, keyed: &Keyed, src: Uid, counter: u64) -> Result<Option<[u8; 48]>, CipherError> {
        let Some(held) = &self.secret else {
            return Ok(None);
        };
        keyed.keys.wrap(&held.master, src, counter).map(Some)
    }

    fn is_acknowledged(&self, keyed: &Keyed, ack: &KeyInfoAck) -> bool {
        let Handshake {
            binding, premaster, ..
        } = &keyed.handshake;
        let received = ack.verify_data.as_slice();
        let check = |held: &Held| {
            let right =
                held.master
                    .check_verify_data(binding, premaster, keyed.key.as_ref(), received);
            right.unwrap_or(false)
        };
        self.secret.as_ref().is_some_and(check)
    }

    fn open_through<'a>(
        &mut self,
        proxy: &Keyed,
        history: &mut Past,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        let held = self.secret.as_mut().ok_or(Refusal::Unauthentic)?;
        // Where every packet is signed, the proxy has put its own signature to it.
        let opened = held.opener.open(packet, proxy.key.as_ref());
        let opened = opened.map_err(|_| Refusal::Unauthentic)?;
        history.admit(opened.counter)?;
        Ok(opened.message)
    }

    fn open<'a>(
        &mut self,
        peer: &mut Peer<Self>,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        let keyed = peer.keyed.as_ref().ok_or(Refusal::Unauthentic)?;
        let held = self.secret.as_mut().ok_or(Refusal::Unauthentic)?;
        let opened = held
            .opener
            .open(packet, keyed.key.as_ref())
            .map_err(|_| Refusal::Unauthentic)?;
        peer.history.admit(opened.counter)?;
        Ok(opened.message)
    }
}
