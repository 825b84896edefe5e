//! The registering end (wire-v4 §8, §9.1, §10.1).

use std::sync::Arc;

use uftp_proto::crypto::{
    Binding, CipherError, ClientKeys, GroupMaster, Hash, IvCounter, KeyKind, Opener, Premaster,
    PrivateKey, PublicKey, Sealer, SelfSigned, SetupError, SignatureForm,
};
use uftp_proto::wire::{Announce, ClientKey, EncInfo, Message, Version};
use uftp_proto::{Uid, WireTime};

use crate::counters::Refusal;
use crate::policy::Policy;
use crate::security::client::{
    Answer, BAD_DH_KEY, BAD_SERVER_KEY, BAD_SIGNATURE, Declined, Invitation, NO_OWN_KEY, Own, Terms,
};
use crate::security::gate;
use crate::security::replay::Past;
use crate::security::secrets::Secrets;

/// Most group secrets held at once while it is not known which is right.
const MOST_OFFERS: usize = 4;

/// The registering end of one session.
pub(in crate::security) struct Client {
    server: PublicKey,
    /// Whose key a premaster is encrypted to: the sender's, or its proxy's.
    registrar: PublicKey,
    binding: Binding,
    identity: Option<Arc<PrivateKey>>,
    premaster: Premaster,
    /// Our ephemeral key, where the key exchange uses one.
    ephemeral: Option<PublicKey>,
    client_key: Option<ClientKey>,
    keys: ClientKeys,
    stage: Stage,
    replay: Past,
}

/// How sure we are of the group's keys. KEYINFO proves nothing about its author: what comes out
/// of it may be nonsense, until a packet of the sender opens with it.
enum Stage {
    /// There may be none, one, or several.
    Offered(Vec<Offer>),
    /// This one is right.
    Proven(Offer),
}

/// What came out of a KEYINFO.
struct Offer {
    master: GroupMaster,
    opener: Opener,
    /// What KEYINFO_ACK is to say.
    proof: [u8; 12],
}

impl Client {
    pub(in crate::security) fn accept(
        invitation: &Invitation<'_>,
        terms: Terms,
        own: Own<'_>,
    ) -> Result<Self, Declined> {
        let Invitation {
            header,
            announce,
            info,
            through,
            ..
        } = invitation;
        let Terms {
            suite,
            server,
            identity,
        } = terms;
        let version = header.version;
        let client_random = own.secrets.random();
        let (premaster, ephemeral) = match suite.key_exchange.is_ecdh() {
            false => {
                let premaster = own.secrets.premaster(version);
                (premaster.map_err(|_| BAD_SERVER_KEY)?, None)
            }
            true => {
                let (shared, ours) = agree(invitation, suite.hash, &server, own.secrets)?;
                (shared, Some(ours))
            }
        };
        let binding = Binding {
            version,
            suite,
            group: header.group,
            private: announce.private,
            server_random: info.random,
            client_random,
        };
        let client_key = match &identity {
            None => None,
            Some(key) => Some(prove(key, &binding, &premaster).ok_or(NO_OWN_KEY)?),
        };
        let keys = premaster
            .master_secret(&binding)
            .and_then(|master| master.client_keys(&binding))
            .map_err(|_| BAD_SERVER_KEY)?;
        let registrar = match through {
            Some(proxy) if !suite.key_exchange.is_ecdh() => match proxy.key().kind() {
                KeyKind::Rsa { .. } => proxy.key().clone(),
                KeyKind::Ec(_) => return Err(BAD_PROXY_KEY.into()),
            },
            _ => server.clone(),
        };
        let client = Client {
            server,
            registrar,
            binding,
            identity,
            premaster,
            ephemeral,
            client_key,
            keys,
            stage: Stage::Offered(Vec::new()),
            replay: Past::new(Policy::of(version).numbering),
        };
        match client.register_key() {
            Some(_) => Ok(client),
            None => Err(BAD_SERVER_KEY.into()),
        }
    }

    /// All of the group seal under one key, also after they began anew.
    pub(in crate::security) fn counter(&self, now: WireTime) -> IvCounter {
        // The first four bytes are the time; the others no earlier life has had.
        let [.., a, b, c, d] = self.binding.client_random;
        IvCounter::starting_at(self.binding.version, now, u32::from_be_bytes([a, b, c, d]))
    }

    pub(in crate::security) fn random(&self) -> [u8; 32] {
        self.binding.client_random
    }

    /// Our ephemeral key, or the premaster encrypted anew.
    pub(in crate::security) fn register_key(&self) -> Option<Vec<u8>> {
        match &self.ephemeral {
            Some(key) => Some(key.blob().to_vec()),
            None => self.premaster.encrypt_to(&self.registrar).ok(),
        }
    }

    pub(in crate::security) fn client_key(&self) -> Option<&ClientKey> {
        self.client_key.as_ref()
    }

    /// Whether `packet`, decoded to `announce`, repeats the ANNOUNCE that invited us. Without
    /// ECDH nothing in it is signed, and nobody can tell.
    pub(in crate::security) fn recognizes(&self, announce: &Announce, packet: &[u8]) -> bool {
        let Binding {
            version,
            suite,
            server_random,
            ..
        } = &self.binding;
        let same = |info: &EncInfo| info.random == *server_random && info.key == self.server.blob();
        if !announce.encryption.as_ref().is_some_and(same) {
            return false;
        }
        let message = Message::Announce(announce.clone());
        !suite.key_exchange.is_ecdh()
            || SelfSigned::new(*version, suite.hash, &message).verify(&self.server, packet)
    }

    /// How far the keys are.
    pub(in crate::security) fn keys(&self) -> gate::Keys {
        match &self.stage {
            Stage::Offered(offers) if offers.is_empty() => gate::Keys::Pending,
            _ => gate::Keys::Ready,
        }
    }

    /// Whether a packet of the sender has shown which keys are the group's.
    pub(in crate::security) fn is_proven(&self) -> bool {
        matches!(self.stage, Stage::Proven(_))
    }

    /// The group's secret as far as it is known: of several the one that came last.
    pub(in crate::security) fn master(&self) -> Option<&GroupMaster> {
        match &self.stage {
            Stage::Offered(offers) => offers.last().map(|offer| &offer.master),
            Stage::Proven(offer) => Some(&offer.master),
        }
    }

    /// Takes the group's secret out of our entry in a KEYINFO of `src` under `counter`.
    ///
    /// A KEYINFO is neither signed nor is what it carries protected against change. So one that
    /// makes no sense is passed over rather than ends the session, and of those that do the
    /// right one is found when the sender's packets open.
    pub(in crate::security) fn key_info(
        &mut self,
        src: Uid,
        wrapped: &[u8; 48],
        counter: u64,
    ) -> Result<Answer, Refusal> {
        let master = self
            .keys
            .unwrap(wrapped, src, counter)
            .map_err(|_| Refusal::Unauthentic)?;
        let key = self.identity.as_ref().map(|k| k.public());
        let proof = master
            .verify_data(&self.binding, &self.premaster, key)
            .map_err(|_| Refusal::Unauthentic)?;
        let offers = match &mut self.stage {
            Stage::Proven(known) if known.proof == proof => {
                return Ok(Answer {
                    sealer: None,
                    proof: proof.to_vec(),
                });
            }
            Stage::Proven(_) => return Err(Refusal::Unauthentic),
            Stage::Offered(offers) => offers,
        };
        let (sealer, opener) =
            put_to_use(&self.binding, &master, &self.identity).map_err(|_| Refusal::Unauthentic)?;
        if offers.iter().all(|known| known.proof != proof) {
            if offers.len() >= MOST_OFFERS {
                offers.pop();
            }
            offers.push(Offer {
                master,
                opener,
                proof,
            });
        }
        Ok(Answer {
            sealer: Some(sealer),
            proof: proof.to_vec(),
        })
    }

    /// Opens a packet of the sender in place. Returns its message, and what to seal with from
    /// now on if that became sure by it.
    ///
    /// # Errors
    /// [`Refusal`] if it is not authentic or was here before.
    pub(in crate::security) fn open<'a>(
        &mut self,
        packet: &'a mut [u8],
    ) -> Result<(&'a mut [u8], Option<Box<Sealer>>), Refusal> {
        let sealer = self.prove_offer(packet);
        let Stage::Proven(Offer { opener, .. }) = &mut self.stage else {
            return Err(Refusal::Unauthentic);
        };
        let opened = opener
            .open(packet, Some(&self.server))
            .map_err(|_| Refusal::Unauthentic)?;
        self.replay.admit(opened.counter)?;
        Ok((opened.message, sealer))
    }

    /// If it is not known yet which secret is the group's, `packet` tells if it is authentic.
    fn prove_offer(&mut self, packet: &[u8]) -> Option<Box<Sealer>> {
        let Stage::Offered(offers) = &mut self.stage else {
            return None;
        };
        let server = &self.server;
        let right = offers.iter_mut().position(|offer| {
            // What does not open is spoilt.
            let mut copy = packet.to_vec();
            offer.opener.open(&mut copy, Some(server)).is_ok()
        })?;
        let offer = offers.swap_remove(right);
        let made = put_to_use(&self.binding, &offer.master, &self.identity);
        self.stage = Stage::Proven(offer);
        made.ok().map(|(sealer, _)| Box::new(sealer))
    }
}

/// The premaster secret agreed on by ECDH with the server, or with the response proxy in its place,
/// and our ephemeral key. The ANNOUNCE is signed by `server`.
fn agree(
    invitation: &Invitation<'_>,
    hash: Hash,
    server: &PublicKey,
    secrets: &mut dyn Secrets,
) -> Result<(Premaster, PublicKey), Declined> {
    let theirs = PublicKey::from_blob(&invitation.info.dh_key).map_err(|_| BAD_DH_KEY)?;
    let theirs = match invitation.through {
        None => theirs,
        Some(proxy) => proxy.standing_in_for(&theirs).ok_or(BAD_PROXY_DH_KEY)?,
    };
    let curve = match theirs.kind() {
        KeyKind::Ec(curve) if !invitation.refuse_weak || curve.is_in(Version::V5) => curve,
        _ => return Err(BAD_DH_KEY.into()),
    };
    let (version, packet) = (invitation.header.version, invitation.packet);
    let message = Message::Announce(invitation.announce.clone());
    if !SelfSigned::new(version, hash, &message).verify(server, packet) {
        return Err(BAD_SIGNATURE.into());
    }
    let ours = secrets.ephemeral(curve).map_err(|_| BAD_DH_KEY)?;
    let shared = Premaster::agree(&ours, &theirs).map_err(|_| BAD_DH_KEY)?;
    Ok((shared, ours.public().clone()))
}

const BAD_PROXY_KEY: &str = "Proxy key not compatible with server key";
const BAD_PROXY_DH_KEY: &str = "Proxy ECDH key not compatible with server key";

/// What seals our packets and opens the sender's under a group secret.
fn put_to_use(
    binding: &Binding,
    master: &GroupMaster,
    identity: &Option<Arc<PrivateKey>>,
) -> Result<(Sealer, Opener), SetupError> {
    let keys = master
        .group_keys(binding.version, &binding.suite, &binding.server_random)
        .map_err(CipherError::from)?;
    Ok((keys.sealer(identity.clone())?, keys.opener()?))
}

/// CLIENT_KEY; `None` if the key cannot sign with the session's hash.
fn prove(key: &PrivateKey, binding: &Binding, premaster: &Premaster) -> Option<ClientKey> {
    let signed = premaster.client_key_input(binding);
    let form = SignatureForm::of(binding.version);
    let signature = key
        .sign(binding.suite.hash, form, &[signed.expose()])
        .ok()?;
    Some(ClientKey {
        key: key.public().blob().to_vec(),
        signature,
    })
}
