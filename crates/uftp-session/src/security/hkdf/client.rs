//! The registering end (wire-v5 §7, §8, §10.1).

use std::sync::Arc;

use uftp_proto::crypto::v5::{
    ClientContext1, ClientContext2, GroupMaster, HandshakeKeys, Premaster, ProxyContext,
    ServerContext, key_info_context, proxy_key_input,
};
use uftp_proto::crypto::{
    Fingerprint, IvCounter, KeyKind, Opener, PrivateKey, PublicKey, Sealer, SelfSigned,
    SignatureForm, Suite,
};
use uftp_proto::wire::{self, Announce, ClientKey, EncInfo, Header, KeyInfo, Message, Version};
use uftp_proto::{Uid, WireTime};

use crate::counters::Refusal;
use crate::security::client::{
    Answer, BAD_DH_KEY, BAD_SIGNATURE, Declined, Introduction, Invitation, NO_OWN_KEY, Own, Terms,
};
use crate::security::gate;
use crate::security::replay::ReplayWindow;
use crate::security::secrets::Secrets;

const VERSION: Version = Version::V5;

/// The registering end of one session.
pub(in crate::security) struct Client {
    suite: Suite,
    server: PublicKey,
    server_random: [u8; 32],
    sc: ServerContext,
    identity: Option<Arc<PrivateKey>>,
    random: [u8; 32],
    /// The handshake; `None` before the proxy we are to register with has said its key.
    joining: Option<Joining>,
    proxy: Option<Uid>,
}

/// Whom we register with: the sender, or a proxy.
struct Registrar {
    /// Whose KEYINFO we take.
    uid: Uid,
    /// What it is signed with.
    key: PublicKey,
    /// Its ECDH key.
    dh_key: PublicKey,
    /// Empty, but if it is a proxy.
    pc: ProxyContext,
}

/// A handshake.
struct Joining {
    registrar: Registrar,
    /// Our ephemeral key.
    ephemeral: PublicKey,
    client_key: Option<ClientKey>,
    keys: HandshakeKeys,
    cc2: ClientContext2,
    /// What the group's secret made, once it is here. Before, nothing opens.
    group: Option<Group>,
}

struct Group {
    master: GroupMaster,
    opener: Opener,
    replay: ReplayWindow,
    /// What KEYINFO_ACK says.
    proof: Vec<u8>,
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
            packet,
            proxy,
            ..
        } = invitation;
        let message = Message::Announce((*announce).clone());
        let hash = terms.suite.hash;
        if !SelfSigned::new(VERSION, hash, &message).verify(&terms.server, packet) {
            return Err(BAD_SIGNATURE.into());
        }
        let bytes = packet.get(Header::LEN..).unwrap_or_default();
        let sc = ServerContext::new(header, announce, bytes).ok_or(BAD_SIGNATURE)?;
        let mut client = Client {
            suite: terms.suite,
            server: terms.server.clone(),
            server_random: info.random,
            sc,
            identity: terms.identity,
            random: own.secrets.random(),
            joining: None,
            proxy: *proxy,
        };
        let dh_key = PublicKey::from_blob(&info.dh_key).map_err(|_| BAD_DH_KEY)?;
        if proxy.is_none() {
            let sender = Registrar {
                uid: header.src,
                key: terms.server,
                dh_key,
                pc: ProxyContext::default(),
            };
            client.join(sender, own.uid, own.secrets)?;
        }
        Ok(client)
    }

    /// Begins the handshake, as `uid`.
    fn join(
        &mut self,
        registrar: Registrar,
        uid: Uid,
        secrets: &mut dyn Secrets,
    ) -> Result<(), &'static str> {
        let (theirs, pc) = (&registrar.dh_key, &registrar.pc);
        let curve = match theirs.kind() {
            KeyKind::Ec(curve) if curve.is_in(VERSION) => curve,
            _ => return Err(BAD_DH_KEY),
        };
        let ours = secrets.ephemeral(curve).map_err(|_| BAD_DH_KEY)?;
        let premaster = Premaster::agree(&ours, theirs).map_err(|_| BAD_DH_KEY)?;
        let ephemeral = ours.public().clone();
        let cc1 = ClientContext1::new(&self.sc, pc, uid, ephemeral.blob(), &self.random);
        let keys = premaster.handshake_keys(&self.suite, &cc1);
        let (client_key, cc2) = match &self.identity {
            None => (None, cc1.without_client_key()),
            Some(key) => {
                let (message, cc2) = prove(key, &self.suite, cc1).ok_or(NO_OWN_KEY)?;
                (Some(message), cc2)
            }
        };
        self.joining = Some(Joining {
            registrar,
            ephemeral,
            client_key,
            keys,
            cc2,
            group: None,
        });
        Ok(())
    }

    pub(in crate::security) fn proxy_key(
        &mut self,
        introduction: &Introduction<'_>,
        uid: Uid,
        secrets: &mut dyn Secrets,
    ) -> Result<(), &'static str> {
        let &Introduction {
            src,
            message,
            packet,
            expected,
        } = introduction;
        if self.proxy != Some(src) {
            return Err("PROXY_KEY sent by wrong proxy");
        }
        if self.joining.is_some() {
            // It follows every ANNOUNCE.
            return Ok(());
        }
        if expected.is_some_and(|expected| Fingerprint::of(&message.key) != expected) {
            return Err("Failed to verify proxy key fingerprint");
        }
        let key = PublicKey::from_blob(&message.key).map_err(|_| BAD_PROXY_KEY)?;
        let dh_key = PublicKey::from_blob(&message.dh_key).map_err(|_| BAD_PROXY_KEY)?;
        let bytes = packet.get(Header::LEN..).unwrap_or_default();
        let pc = ProxyContext::new(src, message, bytes).ok_or(BAD_PROXY_KEY)?;
        let signed = proxy_key_input(&self.sc, &pc);
        if !key.verify(self.suite.hash, &signed, &message.signature) {
            return Err(BAD_SIGNATURE);
        }
        let proxy = Registrar {
            uid: src,
            key,
            dh_key,
            pc,
        };
        self.join(proxy, uid, secrets)
    }

    /// Our keys are those of one handshake: nobody has used them before.
    pub(in crate::security) fn counter(&self, now: WireTime) -> IvCounter {
        IvCounter::under_new_keys(VERSION, now)
    }

    pub(in crate::security) fn random(&self) -> [u8; 32] {
        self.random
    }

    pub(in crate::security) fn register_key(&self) -> Option<Vec<u8>> {
        let joining = self.joining.as_ref()?;
        Some(joining.ephemeral.blob().to_vec())
    }

    pub(in crate::security) fn client_key(&self) -> Option<&ClientKey> {
        self.joining.as_ref()?.client_key.as_ref()
    }

    /// The context of the session.
    pub(in crate::security) fn context(&self) -> &ServerContext {
        &self.sc
    }

    /// The group's secret, once it is here.
    pub(in crate::security) fn master(&self) -> Option<&GroupMaster> {
        let group = self.joining.as_ref()?.group.as_ref()?;
        Some(&group.master)
    }

    /// What seals our CLIENT_KEY.
    pub(in crate::security) fn handshake_sealer(&self) -> Option<Sealer> {
        let joining = self.joining.as_ref()?;
        joining.client_key.as_ref()?;
        joining.keys.client_sealer().ok()
    }

    pub(in crate::security) fn recognizes(&self, announce: &Announce, packet: &[u8]) -> bool {
        let same =
            |info: &EncInfo| info.random == self.server_random && info.key == self.server.blob();
        let message = Message::Announce(announce.clone());
        announce.encryption.as_ref().is_some_and(same)
            && SelfSigned::new(VERSION, self.suite.hash, &message).verify(&self.server, packet)
    }

    pub(in crate::security) fn keys(&self) -> gate::Keys {
        match self.joining.as_ref().is_some_and(|j| j.group.is_some()) {
            false => gate::Keys::Pending,
            true => gate::Keys::Ready,
        }
    }

    /// Takes the group's secret out of our entry in a KEYINFO of `src`. It is signed, and what it
    /// carries sealed: the first that opens is right.
    pub(in crate::security) fn key_info(
        &mut self,
        src: Uid,
        wrapped: &[u8; 48],
        message: &KeyInfo,
        packet: &[u8],
    ) -> Result<Answer, Refusal> {
        let joining = self.joining.as_mut().ok_or(Refusal::OutOfPlace)?;
        let registrar = &joining.registrar;
        if registrar.uid != src {
            return Err(Refusal::UnknownSource);
        }
        let counter = message.iv_counter;
        let message = Message::KeyInfo(message.clone());
        let context = key_info_context(&self.sc, &registrar.pc);
        let signed = SelfSigned::new(VERSION, self.suite.hash, &message).after(&context);
        if !signed.verify(&registrar.key, packet) {
            return Err(Refusal::Unauthentic);
        }
        if let Some(group) = &joining.group {
            // Our answer was lost.
            return Ok(Answer {
                sealer: None,
                proof: group.proof.clone(),
            });
        }
        let unwrapped = joining.keys.unwrap(wrapped, &joining.cc2, counter);
        let master = unwrapped.map_err(|_| Refusal::Unauthentic)?;
        let ours = master.client_keys(&self.suite, &joining.cc2);
        let opener = master.server_keys(&self.suite, &self.sc).opener();
        let proof = ours.verify_data().to_vec();
        joining.group = Some(Group {
            master,
            opener: opener.map_err(|_| Refusal::Unauthentic)?,
            replay: ReplayWindow::default(),
            proof: proof.clone(),
        });
        let sealer = ours.keys.sealer().map_err(|_| Refusal::Unauthentic)?;
        Ok(Answer {
            sealer: Some(sealer),
            proof,
        })
    }

    /// Opens a packet of the sender in place. Without the group's secret none is tried.
    pub(in crate::security) fn open<'a>(
        &mut self,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        let group = self.joining.as_mut().and_then(|j| j.group.as_mut());
        let group = group.ok_or(Refusal::Unauthentic)?;
        let opened = group.opener.open(packet, None);
        let opened = opened.map_err(|_| Refusal::Unauthentic)?;
        group.replay.admit(opened.counter)?;
        Ok(opened.message)
    }
}

const BAD_PROXY_KEY: &str = "Failed to load proxy public key";

/// CLIENT_KEY and the context it makes; `None` if the key cannot sign or does not fit a message.
fn prove(
    key: &PrivateKey,
    suite: &Suite,
    cc1: ClientContext1,
) -> Option<(ClientKey, ClientContext2)> {
    let form = SignatureForm::of(VERSION);
    let signature = key.sign(suite.hash, form, &cc1.client_key_input()).ok()?;
    let message = ClientKey {
        key: key.public().blob().to_vec(),
        signature,
    };
    let mut bytes = [0; 1100];
    let whole = Message::ClientKey(message.clone());
    let len = wire::encode_message(VERSION, &whole, &mut bytes).ok()?;
    let cc2 = cc1.with_client_key(&message, bytes.get(..len)?)?;
    Some((message, cc2))
}
