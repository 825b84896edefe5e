//! Receivers and proxies of protocol 4.

use std::collections::BTreeMap;
use std::sync::Arc;

use uftp_proto::Uid;
use uftp_proto::crypto::{
    Binding, Curve, GroupMaster, KeyKind, KeySpec, Opener, Premaster, PrivateKey, PublicKey,
    Sealer, SelfSigned, SignatureForm, Suite,
};
use uftp_proto::wire::{
    self, Announce, ClientKey, Function, Header, KeyInfoAck, Message, Register,
};

use super::Voices;
use crate::played::case::unhex;

/// The keys with which all recorded receivers and proxies of protocol 4 proved themselves, where they
/// are on curves and RSA.
const EC: &str = "c0a0aaf012e1f90a854c9a9adb683f2ccff83402d7a52dd970275e2167102681";
const RSA: &[u8] = include_bytes!("../../../vectors/rsa1024b.pem");

/// They make other ephemeral keys, too, as theirs are not known of all. With the group's secret, which
/// is, all that follows KEYINFO_ACK is as it was.
pub(in super::super) struct Receivers {
    suite: Suite,
    header: Header,
    announce: Announce,
    identity: Arc<PrivateKey>,
    group: GroupMaster,
    opener: Opener,
    sealer: Sealer,
    /// The sender's.
    dh_key: Option<PublicKey>,
    /// What they agreed upon: the last each.
    agreed: BTreeMap<Uid, Agreement>,
}

struct Agreement {
    ephemeral: PrivateKey,
    premaster: Premaster,
    binding: Binding,
}

impl Receivers {
    /// Those of a session that is announced so.
    pub(in super::super) fn new(
        header: Header,
        announce: Announce,
        group: GroupMaster,
    ) -> Receivers {
        let info = announce.encryption.as_ref().unwrap();
        let suite = Suite::from_wire(header.version, info).unwrap();
        let identity = match PublicKey::from_blob(&info.key).unwrap().kind() {
            KeyKind::Ec(_) => PrivateKey::from_ec_scalar(Curve::DEFAULT, &unhex(EC)).unwrap(),
            KeyKind::Rsa { .. } => PrivateKey::from_pem(RSA).unwrap(),
        };
        let identity = Arc::new(identity);
        let keys = group.group_keys(header.version, &suite, &info.random);
        let keys = keys.unwrap();
        Receivers {
            opener: keys.opener().unwrap(),
            sealer: keys.sealer(Some(identity.clone())).unwrap(),
            suite,
            header,
            announce,
            identity,
            group,
            dh_key: None,
            agreed: BTreeMap::new(),
        }
    }

    fn register(&mut self, uid: Uid, recorded: Register) -> Register {
        let info = self.announce.encryption.as_ref().unwrap();
        let binding = Binding {
            version: self.header.version,
            suite: self.suite,
            group: self.header.group,
            private: self.announce.private,
            server_random: info.random,
            client_random: recorded.random,
        };
        let known = self.agreed.get(&uid).filter(|a| a.binding == binding);
        if known.is_none() {
            let KeyKind::Ec(curve) = PublicKey::from_blob(&recorded.key).unwrap().kind() else {
                panic!("no key on a curve");
            };
            let ephemeral = PrivateKey::generate(KeySpec::Ec(curve)).unwrap();
            let premaster = Premaster::agree(&ephemeral, self.dh_key.as_ref().unwrap());
            let agreement = Agreement {
                ephemeral,
                premaster: premaster.unwrap(),
                binding,
            };
            self.agreed.insert(uid, agreement);
        }
        let key = self.agreed[&uid].ephemeral.public().blob().to_vec();
        Register { key, ..recorded }
    }

    fn client_key(&self, uid: Uid, recorded: ClientKey) -> ClientKey {
        assert_eq!(recorded.key, self.identity.public().blob());
        let Agreement {
            premaster, binding, ..
        } = &self.agreed[&uid];
        let signed = premaster.client_key_input(binding);
        let form = SignatureForm::of(self.header.version);
        let signature = self
            .identity
            .sign(self.suite.hash, form, &[signed.expose()]);
        ClientKey {
            signature: signature.unwrap(),
            ..recorded
        }
    }

    /// KEYINFO_ACK proves what was agreed upon, in the same place; all else is as it was.
    fn sealed(&mut self, header: Header, packet: &[u8]) -> Vec<u8> {
        let mut copy = packet.to_vec();
        let signer = Some(self.identity.public());
        let opened = self.opener.open(&mut copy, signer).unwrap();
        let function = wire::inner_function(header.version, opened.message).unwrap();
        if function != Function::KeyInfoAck {
            return packet.to_vec();
        }
        let Agreement {
            premaster, binding, ..
        } = &self.agreed[&header.src];
        let key = self.suite.client_auth.then(|| self.identity.public());
        let proof = self.group.verify_data(binding, premaster, key).unwrap();
        let ack = Message::KeyInfoAck(KeyInfoAck {
            verify_data: proof.to_vec(),
        });
        let mut bytes = vec![0; packet.len()];
        let len = self
            .sealer
            .seal_message(&header, opened.counter, &ack, &mut bytes);
        assert_eq!(len.unwrap(), packet.len());
        bytes
    }
}

impl Voices for Receivers {
    fn hear(&mut self, packet: &[u8]) {
        let header = wire::decode_header(packet).unwrap();
        if header.function == Function::Encrypted {
            return;
        }
        let message =
            wire::decode(header.version, header.function, &packet[Header::LEN..]).unwrap();
        match &message {
            Message::Announce(announce) => {
                let info = announce.encryption.as_ref().unwrap();
                let key = PublicKey::from_blob(&info.key).unwrap();
                let signed = SelfSigned::new(header.version, self.suite.hash, &message);
                assert!(signed.verify(&key, packet), "signed by another");
                self.dh_key = Some(PublicKey::from_blob(&info.dh_key).unwrap());
            }
            Message::KeyInfo(keyinfo) => {
                for (uid, wrapped) in &keyinfo.keys {
                    let Agreement {
                        premaster, binding, ..
                    } = &self.agreed[uid];
                    let master = premaster.master_secret(binding).unwrap();
                    let keys = master.client_keys(binding).unwrap();
                    let handed = keys.unwrap(wrapped, header.src, keyinfo.iv_counter);
                    assert!(handed.unwrap().is(&self.group), "the group's secret");
                }
            }
            _ => {}
        }
    }

    fn say(&mut self, packet: &[u8]) -> Vec<u8> {
        let header = wire::decode_header(packet).unwrap();
        let body = &packet[Header::LEN..];
        let decoded = || wire::decode(header.version, header.function, body).unwrap();
        match header.function {
            Function::Register | Function::ClientKey => {
                let message = match decoded() {
                    Message::Register(m) => Message::Register(self.register(header.src, m)),
                    Message::ClientKey(m) => Message::ClientKey(self.client_key(header.src, m)),
                    _ => unreachable!(),
                };
                let mut bytes = vec![0; packet.len()];
                let len = wire::encode(&header, &message, &mut bytes).unwrap();
                assert_eq!(len, packet.len());
                bytes
            }
            Function::Encrypted => self.sealed(header, packet),
            _ => packet.to_vec(),
        }
    }
}
