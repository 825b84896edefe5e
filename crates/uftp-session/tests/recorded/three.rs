//! Recorded sessions of protocol 3, with their encrypted packets opened.

use std::sync::Arc;

use uftp_proto::crypto::{
    BackendError, Binding, ClientKeys, Curve, GroupMaster, KeyError, Opener, Premaster, PrivateKey,
    Suite,
};
use uftp_proto::wire::{self, Announce, EncInfo, Function, Header, Message, Register};
use uftp_session::security::{Secrets, SenderSecurity};

use super::pcap::Recorded;

/// The key of all recorded senders, of 1024 bits, made for these recordings.
const MODULUS: &str = "aaa644746475237d62a39e1ee9856eb289122b3bdfa85a9b6496d22aa79d900a\
                       ebd70a8233ab54225045c0177bb9330a318d2729c03e086575f1aecece242b5c\
                       0acea7310a1b85946de384ec4d1764743d888c3cb3658a4888f75662f0dc42e2\
                       14b2c2403c6cc4d33ed265f4e5afa81fd8e2e05eae4cff0e1797cbbb5e4b44eb";
const PRIVATE: &str = "7a85078efd7530b6dc3416d9a0d5c12583ce3ca62f2d43685feefd13cce60e3e\
                       19177a9f0293d6c310191412882cee9d39f85b0ed9cc6fe0d0ae65d06b2682cd\
                       d57a278937aa4f93fb7105919eec1d708a40cb2030c51b5dac5d50e91cc05a1d\
                       1e90e74be08507dedae575056dd5717faeda022010db96202d465d2d346b3081";

/// The key of all recorded response proxies that have one of 1024 bits.
const PROXY: &[u8] = include_bytes!("../vectors/rsa1024b.pem");

/// The key with which recorded senders proved themselves, where it is RSA.
pub(crate) fn sender_key() -> PrivateKey {
    PrivateKey::from_rsa_numbers(&unhex(MODULUS), 65537, &unhex(PRIVATE)).unwrap()
}

/// A packet in the clear.
pub(crate) fn decode(packet: &[u8]) -> (Header, Message<'_>) {
    let header = wire::decode_header(packet).unwrap();
    let message = wire::decode(header.version, header.function, &packet[Header::LEN..]);
    (header, message.unwrap())
}

/// The first ANNOUNCE, and what carried it.
pub(crate) fn announced(recorded: &[Recorded]) -> (&Recorded, Header, Announce) {
    let announce = recorded.iter().find_map(|packet| {
        let header = wire::decode_header(&packet.bytes).unwrap();
        match (header.function == Function::Announce).then(|| decode(&packet.bytes)) {
            Some((header, Message::Announce(announce))) => Some((packet, header, announce)),
            _ => None,
        }
    });
    announce.unwrap()
}

/// The secrets of a recorded session, found with the sender's key.
pub(crate) struct Keyed {
    suite: Suite,
    info: EncInfo,
    key: Arc<PrivateKey>,
    /// What those who registered made, with the sender or with a response proxy.
    handshakes: Vec<Handshake>,
    master: GroupMaster,
    opener: Opener,
}

/// The secrets of a recorded sender.
pub(crate) struct SenderSecrets {
    random: [u8; 32],
    master: GroupMaster,
}

impl Secrets for SenderSecrets {
    fn random(&mut self) -> [u8; 32] {
        self.random
    }

    fn ephemeral(&mut self, _: Curve) -> Result<PrivateKey, KeyError> {
        panic!("protocol 3 has no ephemeral keys")
    }

    fn group_master(&mut self, _: wire::Version) -> Result<GroupMaster, BackendError> {
        Ok(self.master.clone())
    }
}

struct Handshake {
    /// Whose the premaster was encrypted for.
    key: Arc<PrivateKey>,
    random: [u8; 32],
    premaster: Premaster,
    keys: ClientKeys,
}

impl Keyed {
    /// `None` if the session is not encrypted.
    pub(crate) fn of(recorded: &[Recorded]) -> Option<Keyed> {
        let (_, header, announce) = announced(recorded);
        let info = announce.encryption?;
        let suite = Suite::from_wire(header.version, &info).unwrap();
        let key = sender_key();
        assert_eq!(key.public().blob(), info.key);
        let key = Arc::new(key);
        let proxy = Arc::new(PrivateKey::from_pem(PROXY).unwrap());
        let mut handshakes = Vec::new();
        let mut master = None;
        for packet in recorded {
            let own = wire::decode_header(&packet.bytes).unwrap();
            match own.function {
                Function::Register => {
                    let (_, Message::Register(register)) = decode(&packet.bytes) else {
                        unreachable!()
                    };
                    let binding = Binding {
                        version: header.version,
                        suite,
                        group: header.group,
                        private: announce.private,
                        server_random: info.random,
                        client_random: register.random,
                    };
                    // What goes to a proxy is under the proxy's key.
                    let to_sender = packet.to.ip() == std::net::Ipv4Addr::from(header.src.0);
                    let key = if to_sender { &key } else { &proxy };
                    let premaster = Premaster::decrypt(key, &register.key).unwrap();
                    let keys = premaster.master_secret(&binding).unwrap();
                    handshakes.push(Handshake {
                        key: key.clone(),
                        random: register.random,
                        premaster,
                        keys: keys.client_keys(&binding).unwrap(),
                    });
                }
                Function::KeyInfo if own.src == header.src => {
                    let (_, Message::KeyInfo(keyinfo)) = decode(&packet.bytes) else {
                        unreachable!()
                    };
                    for (_, wrapped) in &keyinfo.keys {
                        let unwrap =
                            |h: &Handshake| h.keys.unwrap(wrapped, own.src, keyinfo.iv_counter);
                        let found = handshakes.iter().find_map(|h| unwrap(h).ok());
                        let found = found.unwrap();
                        master.get_or_insert(found);
                    }
                }
                _ => {}
            }
        }
        let master = master.unwrap();
        let keys = master.group_keys(header.version, &suite, &info.random);
        Some(Keyed {
            suite,
            info,
            key,
            handshakes,
            master,
            opener: keys.unwrap().opener().unwrap(),
        })
    }

    /// What a sender needs to play the session again.
    pub(crate) fn security(&self, version: wire::Version) -> SenderSecurity {
        let security = SenderSecurity::new(version, self.suite, self.key.clone(), Curve::DEFAULT);
        security.unwrap()
    }

    /// What the recorded sender drew.
    pub(crate) fn secrets(&self) -> SenderSecrets {
        SenderSecrets {
            random: self.info.random,
            master: self.master.clone(),
        }
    }

    fn handshake(&self, random: &[u8; 32]) -> &Handshake {
        let same = |h: &&Handshake| h.random == *random;
        self.handshakes.iter().find(same).unwrap()
    }

    /// The premaster secret that was registered with this random number.
    pub(crate) fn premaster(&self, random: &[u8; 32]) -> &Premaster {
        &self.handshake(random).premaster
    }

    /// Whether a REGISTER has the premaster secret that was recorded with its random number, for
    /// the same reader.
    pub(crate) fn is_right(&self, register: &Register) -> bool {
        let recorded = self.handshake(&register.random);
        let premaster = Premaster::decrypt(&recorded.key, &register.key).unwrap();
        premaster.is(&recorded.premaster)
    }

    /// Bytes of a packet's signature.
    pub(crate) fn signature_len(&self) -> usize {
        self.suite.signature_len(self.key.kind())
    }

    /// Whether a KEYINFO has this session's secret for somebody who registered, in each entry.
    pub(crate) fn hands_over(&self, packet: &[u8]) -> bool {
        let (header, Message::KeyInfo(keyinfo)) = decode(packet) else {
            return false;
        };
        let right = |wrapped: &[u8; 48]| {
            self.handshakes.iter().any(|h| {
                let master = h.keys.unwrap(wrapped, header.src, keyinfo.iv_counter);
                master.is_ok_and(|master| master.is(&self.master))
            })
        };
        !keyinfo.keys.is_empty() && keyinfo.keys.iter().all(|(_, wrapped)| right(wrapped))
    }

    /// An encrypted packet as it would be in the clear; others as they are.
    fn open(&mut self, packet: &[u8]) -> Vec<u8> {
        if wire::decode_header(packet).unwrap().function != Function::Encrypted {
            return packet.to_vec();
        }
        let mut sealed = packet.to_vec();
        let opened = self.opener.open(&mut sealed, None).unwrap();
        let mut clear = packet[..Header::LEN].to_vec();
        clear[1] = opened.message[0];
        let len = u16::try_from(opened.message.len()).unwrap();
        clear[2..4].copy_from_slice(&len.to_be_bytes());
        clear.extend_from_slice(opened.message);
        clear
    }
}

/// As [`Keyed::open`], where sessions in the clear have no keys.
pub(crate) fn open(keyed: &mut Option<Keyed>, packet: &[u8]) -> Vec<u8> {
    match keyed {
        None => packet.to_vec(),
        Some(keyed) => keyed.open(packet),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}
