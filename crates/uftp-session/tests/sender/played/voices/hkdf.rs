//! The proxy that speaks for all receivers of a session of protocol 5.

use uftp_proto::Uid;
use uftp_proto::crypto::v5::{
    ClientContext1, ClientContext2, GroupMaster, HandshakeKeys, Premaster, ProxyContext,
    ServerContext, key_info_context,
};
use uftp_proto::crypto::{
    KeyKind, Opener, PrivateKey, PublicKey, Sealer, SelfSigned, SignatureForm, Suite,
};
use uftp_proto::wire::{
    self, Announce, ClientKey, EncInfo, Function, Header, KeyInfo, KeyInfoAck, Message, Register,
};

use super::Voices;
use crate::played::case::unhex;

/// The keys with which such proxies proved themselves.
const P384: &str = "804d3ef2e4664573b30be7171f939450a8ff82f03ce5ccf002c0d4c4cc6501ff\
                    816fa22e011780fcd64c899f4c128be0";
const RSA: &[u8] = include_bytes!("../../../vectors/rsa2048b.pem");

/// A proxy of which all secrets are known.
pub(in super::super) struct Proxy {
    suite: Suite,
    scalar: Vec<u8>,
    group: GroupMaster,
    registered: Option<(Uid, Register)>,
    /// What it has to do with the recorded sender, and with ours.
    recorded: End,
    ours: Option<End>,
}

/// One sender's session, and how far the proxy is in it.
struct End {
    context: ServerContext,
    info: EncInfo,
    proved: Option<ClientContext2>,
}

impl End {
    fn new(header: &Header, announce: &Announce, body: &[u8]) -> End {
        End {
            context: ServerContext::new(header, announce, body).unwrap(),
            info: announce.encryption.clone().unwrap(),
            proved: None,
        }
    }
}

impl Proxy {
    /// That of a recorded session with this ANNOUNCE.
    pub(in super::super) fn new(
        header: &Header,
        announce: &Announce,
        body: &[u8],
        (scalar, group): (&str, GroupMaster),
    ) -> Proxy {
        let recorded = End::new(header, announce, body);
        Proxy {
            suite: Suite::from_wire(header.version, &recorded.info).unwrap(),
            scalar: unhex(scalar),
            group,
            registered: None,
            recorded,
            ours: None,
        }
    }

    /// What REGISTER makes with a sender.
    fn agree(&self, end: &End) -> (HandshakeKeys, ClientContext1) {
        let (uid, register) = self.registered.as_ref().unwrap();
        let theirs = PublicKey::from_blob(&end.info.dh_key).unwrap();
        let KeyKind::Ec(curve) = theirs.kind() else {
            panic!("no key on a curve");
        };
        let own = PrivateKey::from_ec_scalar(curve, &self.scalar).unwrap();
        assert_eq!(own.public().blob(), register.key);
        let premaster = Premaster::agree(&own, &theirs).unwrap();
        let alone = ProxyContext::default();
        let context =
            ClientContext1::new(&end.context, &alone, *uid, &register.key, &register.random);
        (premaster.handshake_keys(&self.suite, &context), context)
    }

    /// CLIENT_KEY, which is signed and sealed anew.
    fn prove(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let header = wire::decode_header(packet).unwrap();
        let (keys, context) = self.agree(&self.recorded);
        let mut copy = packet.to_vec();
        let opened = keys.client_opener().unwrap().open(&mut copy, None).ok()?;
        let decoded = wire::decode(header.version, Function::ClientKey, opened.message);
        let Ok(Message::ClientKey(recorded)) = decoded else {
            panic!("no CLIENT_KEY");
        };
        self.recorded.proved = context.with_client_key(&recorded, opened.message);
        let identity = match PublicKey::from_blob(&recorded.key).unwrap().kind() {
            KeyKind::Ec(curve) => PrivateKey::from_ec_scalar(curve, &unhex(P384)).unwrap(),
            KeyKind::Rsa { .. } => PrivateKey::from_pem(RSA).unwrap(),
        };
        assert_eq!(recorded.key, identity.public().blob());

        let (keys, context) = self.agree(self.ours.as_ref().unwrap());
        let form = SignatureForm::of(header.version);
        let signature = identity.sign(self.suite.hash, form, &context.client_key_input());
        let claim = ClientKey {
            key: recorded.key,
            signature: signature.unwrap(),
        };
        let message = Message::ClientKey(claim.clone());
        let mut bytes = vec![0; packet.len()];
        let len = wire::encode_message(header.version, &message, &mut bytes).unwrap();
        self.ours.as_mut().unwrap().proved = context.with_client_key(&claim, &bytes[..len]);
        let sealer = keys.client_sealer().unwrap();
        Some(sealed(
            sealer,
            &header,
            opened.counter,
            &message,
            packet.len(),
        ))
    }

    /// The contexts it proved itself in, with the recorded sender and with ours.
    fn proved(&self) -> Option<[&ClientContext2; 2]> {
        let ours = self.ours.as_ref()?;
        Some([self.recorded.proved.as_ref()?, ours.proved.as_ref()?])
    }

    /// What is sealed with the group's secret, with KEYINFO_ACK proving what was agreed upon.
    fn seal_anew(&self, packet: &[u8]) -> Vec<u8> {
        let header = wire::decode_header(packet).unwrap();
        let [recorded, ours] = self.proved().unwrap();
        let [recorded, ours] = [recorded, ours].map(|cc| self.group.client_keys(&self.suite, cc));
        let mut copy = packet.to_vec();
        let mut opener: Opener = recorded.keys.opener().unwrap();
        let opened = opener.open(&mut copy, None).unwrap();
        let function = wire::inner_function(header.version, opened.message).unwrap();
        let mut message = wire::decode(header.version, function, opened.message).unwrap();
        if let Message::KeyInfoAck(ack) = &message {
            assert!(recorded.check_verify_data(&ack.verify_data));
            let verify_data = ours.verify_data().to_vec();
            message = Message::KeyInfoAck(KeyInfoAck { verify_data });
        }
        let sealer = ours.keys.sealer().unwrap();
        sealed(sealer, &header, opened.counter, &message, packet.len())
    }

    fn take(&self, keyinfo: &KeyInfo, packet: &[u8]) {
        let ours = self.ours.as_ref().unwrap();
        let alone = ProxyContext::default();
        let context = key_info_context(&ours.context, &alone);
        let message = Message::KeyInfo(keyinfo.clone());
        let signed = SelfSigned::new(wire::Version::V5, self.suite.hash, &message).after(&context);
        let key = PublicKey::from_blob(&ours.info.key).unwrap();
        assert!(signed.verify(&key, packet), "signed by another");
        let (keys, _) = self.agree(ours);
        let [_, proved] = self.proved().unwrap();
        for (_, wrapped) in &keyinfo.keys {
            let handed = keys.unwrap(wrapped, proved, keyinfo.iv_counter).unwrap();
            assert_eq!(handed.expose(), self.group.expose(), "the group's secret");
        }
    }
}

fn sealed(
    mut sealer: Sealer,
    header: &Header,
    counter: u64,
    message: &Message<'_>,
    len: usize,
) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let sealed = sealer.seal_message(header, counter, message, &mut bytes);
    assert_eq!(sealed.unwrap(), len);
    bytes
}

impl Voices for Proxy {
    fn hear(&mut self, packet: &[u8]) {
        let header = wire::decode_header(packet).unwrap();
        if header.function == Function::Encrypted {
            return;
        }
        let body = &packet[Header::LEN..];
        let message = wire::decode(header.version, header.function, body).unwrap();
        match &message {
            Message::Announce(announce) => {
                let signed = SelfSigned::new(header.version, self.suite.hash, &message);
                let ours = End::new(&header, announce, body);
                let key = PublicKey::from_blob(&ours.info.key).unwrap();
                assert!(signed.verify(&key, packet), "signed by another");
                self.ours.get_or_insert(ours);
            }
            Message::KeyInfo(keyinfo) => self.take(keyinfo, packet),
            _ => {}
        }
    }

    fn say(&mut self, packet: &[u8]) -> Vec<u8> {
        let header = wire::decode_header(packet).unwrap();
        let body = &packet[Header::LEN..];
        match header.function {
            Function::Register => {
                let decoded = wire::decode(header.version, header.function, body);
                let Ok(Message::Register(register)) = decoded else {
                    panic!("no REGISTER");
                };
                self.registered = Some((header.src, register));
                packet.to_vec()
            }
            Function::Encrypted => match self.prove(packet) {
                Some(proof) => proof,
                None => self.seal_anew(packet),
            },
            other => panic!("{other:?} in the clear"),
        }
    }
}
