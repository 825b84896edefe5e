//! The announcing end (wire-v5 §7, §8, §10.2).

use std::sync::Arc;

use uftp_proto::Uid;
use uftp_proto::crypto::v5::{
    ClientAppKeys, ClientContext1, ClientContext2, GroupMaster, HandshakeKeys, Premaster,
    ProxyContext, ServerContext, key_info_context, proxy_key_input,
};
use uftp_proto::crypto::{
    CipherError, Fingerprint, KeyKind, Opener, PrivateKey, PublicKey, Sealer, SelfSignError,
    SelfSigned, SignatureForm, Suite,
};
use uftp_proto::wire::{
    self, ClientKey, EncInfo, Function, KeyInfoAck, Message, ProxyKey, Register,
};

use super::Client;
use crate::counters::Refusal;
use crate::security::config::{SecurityError, SenderSecurity};
use crate::security::peers::{Claim, Peer, Schedule};
use crate::security::replay::ReplayWindow;
use crate::security::secrets::Secrets;
use crate::security::server::{SessionName, StandIn};

/// The secrets of the announcing end.
pub(in crate::security) struct Announcer {
    session: SessionName,
    suite: Suite,
    identity: Arc<PrivateKey>,
    ephemeral: PrivateKey,
    enc_info: EncInfo,
    sc: ServerContext,
    /// Empty, but at a proxy.
    pc: ProxyContext,
    /// How a proxy introduces itself to its clients.
    proxy_key: Option<ProxyKey>,
    /// The secret of the group; nobody is handed keys before it is known.
    master: Option<GroupMaster>,
}

impl Announcer {
    pub(in crate::security) fn new(
        session: &SessionName,
        security: &SenderSecurity,
        secrets: &mut dyn Secrets,
    ) -> Result<Self, SecurityError> {
        let ephemeral = secrets.ephemeral(security.curve())?;
        let dh_key = ephemeral.public().blob().to_vec();
        let enc_info = security.enc_info(secrets.random(), dh_key);
        Ok(Announcer {
            session: *session,
            suite: *security.suite(),
            identity: security.identity().clone(),
            ephemeral,
            sc: security.server_context(session, &enc_info)?,
            enc_info,
            pc: ProxyContext::default(),
            proxy_key: None,
            master: Some(secrets.master()?),
        })
    }

    /// The end of a proxy towards its clients, in the session that `client` was invited to; without
    /// the group's secret, which [`adopt`](Self::adopt) brings.
    pub(in crate::security) fn standing_in(
        proxy: &StandIn<'_>,
        client: &Client,
        secrets: &mut dyn Secrets,
    ) -> Result<Self, SecurityError> {
        let (session, security) = (proxy.session, proxy.security);
        let ephemeral = secrets.ephemeral(security.curve())?;
        let (suite, identity) = (*security.suite(), security.identity().clone());
        let dh_key = ephemeral.public().blob().to_vec();
        let mut proxy_key = ProxyKey {
            nonce: 0,
            key: identity.public().blob().to_vec(),
            dh_key: dh_key.clone(),
            signature: vec![0; identity.public().signature_len()],
        };
        let mut bytes = [0; 1100];
        let message = Message::ProxyKey(proxy_key.clone());
        let len = wire::encode_message(session.version, &message, &mut bytes);
        let context = len.ok().and_then(|len| {
            let bytes = bytes.get(..len)?;
            ProxyContext::new(proxy.uid, &proxy_key, bytes)
        });
        let pc = context.ok_or(SecurityError::TooLarge(identity.kind()))?;
        let sc = client.context().clone();
        let form = SignatureForm::of(session.version);
        proxy_key.signature = identity.sign(suite.hash, form, &proxy_key_input(&sc, &pc))?;
        Ok(Announcer {
            session: *session,
            suite,
            enc_info: security.enc_info(proxy.random, dh_key),
            identity,
            ephemeral,
            sc,
            pc,
            proxy_key: Some(proxy_key),
            master: None,
        })
    }

    /// Takes over the secret our other end was handed. Whether it is another one than before.
    pub(in crate::security) fn adopt(&mut self, client: &Client) -> bool {
        // It was signed and sealed: the first is right.
        let fresh = self.master.is_none() && client.master().is_some();
        if fresh {
            self.master = client.master().cloned();
        }
        fresh
    }

    /// How a proxy introduces itself to its clients.
    pub(in crate::security) fn proxy_key(&self) -> Option<&ProxyKey> {
        self.proxy_key.as_ref()
    }

    pub(in crate::security) fn sealer(&self) -> Result<Sealer, SecurityError> {
        let master = self.master.as_ref().ok_or(SecurityError::NoMaster)?;
        Ok(master.server_keys(&self.suite, &self.sc).sealer()?)
    }

    pub(in crate::security) fn enc_info(&self) -> &EncInfo {
        &self.enc_info
    }

    /// Bytes of a signature of ours.
    pub(in crate::security) fn signature_len(&self) -> usize {
        self.identity.public().signature_len()
    }

    /// Signs an ANNOUNCE or a KEYINFO (wire-v5 §8.2, §8.4).
    pub(in crate::security) fn sign(
        &self,
        message: &Message<'_>,
        packet: &mut [u8],
    ) -> Result<(), SelfSignError> {
        let context = key_info_context(&self.sc, &self.pc);
        let context: &[&[u8]] = match message {
            Message::Announce(_) => &[],
            Message::KeyInfo(_) => &context,
            _ => return Ok(()),
        };
        let (hash, version) = (self.suite.hash, self.session.version);
        let signed = SelfSigned::new(version, hash, message).after(context);
        signed.sign(&self.identity, packet)
    }
}

/// What a REGISTER made.
pub(in crate::security) struct Handshake {
    random: [u8; 32],
    cc1: ClientContext1,
    keys: HandshakeKeys,
    /// Opens the receiver's CLIENT_KEY, where one is asked for.
    opener: Option<Opener>,
    /// How long the packet was that brought it.
    client_key_len: Option<usize>,
    /// The receiver counts all its packets in one row, under whichever of its keys they are.
    replay: ReplayWindow,
}

/// A handshake and what its receiver proves itself with.
pub(in crate::security) struct Keyed {
    handshake: Handshake,
    cc2: ClientContext2,
    /// Made with the first packet that needs it.
    app: Option<App>,
}

/// What a receiver seals its packets with once it has the group's secret.
struct App {
    keys: ClientAppKeys,
    opener: Opener,
}

impl Keyed {
    fn app(&mut self, suite: &Suite, master: &GroupMaster) -> Result<&mut App, Refusal> {
        if self.app.is_none() {
            let keys = master.client_keys(suite, &self.cc2);
            let opener = keys.keys.opener().map_err(|_| Refusal::Unauthentic)?;
            self.app = Some(App { keys, opener });
        }
        self.app.as_mut().ok_or(Refusal::Unauthentic)
    }
}

impl Schedule for Announcer {
    type Handshake = Handshake;
    type Keyed = Keyed;
    /// Keys are those of one handshake, and so is what was here before.
    type History = ();

    fn history(&self) {}

    fn is_blank((): &()) -> bool {
        true
    }

    fn name(&self, key: &PublicKey) -> Fingerprint {
        key.fingerprint()
    }

    fn client_auth(&self) -> bool {
        self.suite.client_auth
    }

    fn takes(&self, key: &PublicKey) -> bool {
        match key.kind() {
            KeyKind::Rsa { .. } => true,
            KeyKind::Ec(curve) => curve.is_in(self.session.version),
        }
    }

    fn handshake(&self, uid: Uid, register: &Register) -> Result<Handshake, Refusal> {
        let premaster = PublicKey::from_blob(&register.key)
            .and_then(|theirs| Premaster::agree(&self.ephemeral, &theirs))
            .map_err(|_| Refusal::Unauthentic)?;
        let cc1 = ClientContext1::new(&self.sc, &self.pc, uid, &register.key, &register.random);
        let keys = premaster.handshake_keys(&self.suite, &cc1);
        let opener = self.suite.client_auth.then(|| keys.client_opener());
        Ok(Handshake {
            random: register.random,
            cc1,
            opener: opener.transpose().map_err(|_| Refusal::Unauthentic)?,
            client_key_len: None,
            keys,
            replay: ReplayWindow::default(),
        })
    }

    fn origin(keyed: &Keyed) -> &Handshake {
        &keyed.handshake
    }

    fn has_random(handshake: &Handshake, random: &[u8; 32]) -> bool {
        handshake.random == *random
    }

    fn is_of(&self, handshake: &Handshake, uid: Uid, register: &Register) -> bool {
        let (key, random) = (&register.key, &register.random);
        handshake.cc1 == ClientContext1::new(&self.sc, &self.pc, uid, key, random)
    }

    fn is_same(one: &Handshake, other: &Handshake) -> bool {
        one.cc1 == other.cc1
    }

    fn is_proved(&self, handshake: &Handshake, key: &PublicKey, claim: &ClientKey) -> bool {
        let signed = handshake.cc1.client_key_input();
        key.verify(self.suite.hash, &signed, &claim.signature)
    }

    fn key(
        &self,
        handshake: Handshake,
        claim: Option<(PublicKey, &Claim)>,
    ) -> Result<Keyed, Refusal> {
        let cc1 = handshake.cc1.clone();
        let cc2 = match claim {
            None => Some(cc1.without_client_key()),
            Some((_, claim)) => cc1.with_client_key(&claim.message, &claim.bytes),
        };
        Ok(Keyed {
            handshake,
            cc2: cc2.ok_or(Refusal::Malformed)?,
            app: None,
        })
    }

    fn wrap(&self, keyed: &Keyed, _: Uid, counter: u64) -> Result<Option<[u8; 48]>, CipherError> {
        let Some(master) = &self.master else {
            return Ok(None);
        };
        let keys = &keyed.handshake.keys;
        keys.wrap(master, &keyed.cc2, counter).map(Some)
    }

    fn is_acknowledged(&self, keyed: &Keyed, ack: &KeyInfoAck) -> bool {
        let app = keyed.app.as_ref();
        app.is_some_and(|app| app.keys.check_verify_data(&ack.verify_data))
    }

    fn open<'a>(
        &mut self,
        peer: &mut Peer<Self>,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        let keyed = peer.keyed.as_mut().map(|keyed| &mut keyed.handshake);
        for handshake in peer.pending.as_mut().into_iter().chain(keyed) {
            // Who has proved itself may say it again, with another REGISTER, in as many bytes: the
            // proxies of 5.0.1 do when more receivers come.
            if peer.proven && handshake.client_key_len != Some(packet.len()) {
                continue;
            }
            if let Some((message, counter)) = open_client_key(handshake, packet) {
                handshake.replay.admit(counter)?;
                handshake.client_key_len = Some(packet.len());
                let place = packet.get_mut(..message.len()).unwrap_or_default();
                place.copy_from_slice(&message);
                return Ok(place);
            }
        }
        // A receiver that was handed no keys has none: not even keys of zeros.
        let master = self.master.as_ref().ok_or(Refusal::Unauthentic)?;
        let keyed = peer.keyed.as_mut().ok_or(Refusal::Unauthentic)?;
        let app = keyed.app(&self.suite, master)?;
        let opened = app.opener.open(packet, None);
        let opened = opened.map_err(|_| Refusal::Unauthentic)?;
        keyed.handshake.replay.admit(opened.counter)?;
        Ok(opened.message)
    }
}

/// The message and counter of a packet under the keys of the handshake, which are good for a
/// CLIENT_KEY and nothing else. What does not open is spoilt, so this works on a copy.
fn open_client_key(handshake: &mut Handshake, packet: &[u8]) -> Option<(Vec<u8>, u64)> {
    let mut copy = packet.to_vec();
    let opened = handshake.opener.as_mut()?.open(&mut copy, None).ok()?;
    let version = uftp_proto::wire::Version::V5;
    let function = wire::inner_function(version, opened.message).ok()?;
    (function == Function::ClientKey).then(|| (opened.message.to_vec(), opened.counter))
}
