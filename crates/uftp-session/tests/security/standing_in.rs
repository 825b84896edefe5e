//! A proxy of protocol 5 between a server and a receiver, hand to hand: both ends of both
//! handshakes, and one secret in the end (wire-v5 §7, §9.3).

use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::crypto::{Cipher, Curve, Hash, KeyExchange, PrivateKey, Suite};
use uftp_proto::wire::{
    self, Announce, AnnounceFlags, CcType, DoneConf, Header, KeyInfo, KeyInfoAck, Message, Pace,
    Register, Version,
};
use uftp_proto::{GroupId, Instance, Seq, Uid, WireTime};
use uftp_session::security::gate::Keys;
use uftp_session::security::{
    Admission, Claim, Client, Fresh, Introduction, Invitation, Keyring, Own, SenderSecurity,
    Server, SessionName, StandIn,
};

use super::scene::{EC, RSA, suite};

const SERVER: Uid = Uid(1);
const PROXY: Uid = Uid(2);
const RECEIVER: Uid = Uid(3);
const RANDOM: [u8; 32] = [7; 32];

fn name() -> SessionName {
    SessionName {
        version: Version::V5,
        server: SERVER,
        group: GroupId(0x1234),
        instance: Instance(0),
        private: [230, 5, 5, 1].into(),
    }
}

fn header(src: Uid, message: &Message<'_>) -> Header {
    Header {
        version: Version::V5,
        function: message.function(),
        seq: Seq(0),
        src,
        group: name().group,
        instance: name().instance,
        grtt: Default::default(),
        group_size: Default::default(),
        dest: Uid::NONE,
    }
}

/// A packet of `src` in the clear, signed by `server` where it has a signature.
fn packet(src: Uid, message: &Message<'_>, server: &Server) -> Vec<u8> {
    let mut packet = vec![0; 4096];
    let len = wire::encode(&header(src, message), message, &mut packet).unwrap();
    packet.truncate(len);
    server.sign(message, &mut packet).unwrap();
    packet
}

/// One that takes part, and what it brings.
struct Host {
    uid: Uid,
    keyring: Keyring,
    secrets: Fresh,
}

impl Host {
    fn new(uid: Uid, key: &Arc<PrivateKey>) -> Self {
        Host {
            uid,
            keyring: Keyring::new(vec![key.clone()]),
            secrets: Fresh(StdRng::seed_from_u64(uid.0.into())),
        }
    }

    fn own(&mut self) -> Own<'_> {
        Own {
            uid: self.uid,
            keyring: &mut self.keyring,
            secrets: &mut self.secrets,
        }
    }
}

/// Registers `client` with `server`, and proves who it is if that is asked for.
fn register(uid: Uid, client: &Client, server: &mut Server, client_auth: bool) {
    let register = Register {
        echo: WireTime(0),
        random: client.random(),
        key: client.register_key().unwrap(),
        clients: Vec::new(),
    };
    let admitted = server.register(uid, &register).unwrap();
    if !client_auth {
        return assert_eq!(admitted, Admission::Ready);
    }
    assert_eq!(admitted, Admission::AwaitsKey);
    let message = Message::ClientKey(client.client_key().unwrap().clone());
    let mut sealed = vec![0; 4096];
    let mut sealer = client.handshake_sealer().unwrap();
    let len = sealer.seal_message(&header(uid, &message), 1, &message, &mut sealed);
    sealed.truncate(len.unwrap());
    let bytes = server.open(uid, &mut sealed).unwrap().to_vec();
    let function = message.function();
    let Ok(Message::ClientKey(key)) = wire::decode(Version::V5, function, &bytes) else {
        panic!("no CLIENT_KEY");
    };
    let told = server
        .client_key(uid, Claim::new(&key, &bytes), None)
        .unwrap();
    assert_eq!(told, Admission::Ready);
}

/// Hands the secret of `server`, known as `src`, to `client`, and has it say so.
fn hand_over(src: Uid, uid: Uid, server: &mut Server, client: &mut Client) {
    let entry = server.key_entry(uid, src, 9).unwrap().unwrap();
    let message = KeyInfo {
        iv_counter: 9,
        signature: vec![0; server.key_info_signature_len()],
        keys: vec![(uid, entry)],
    };
    let packet = packet(src, &Message::KeyInfo(message), server);
    let body = &packet[Header::LEN..];
    let Ok(Message::KeyInfo(message)) = wire::decode(Version::V5, wire::Function::KeyInfo, body)
    else {
        panic!("no KEYINFO");
    };
    let answer = client.key_info(src, uid, &message, &packet).unwrap();
    let answer = answer.unwrap();
    let ack = Message::KeyInfoAck(KeyInfoAck {
        verify_data: answer.proof,
    });
    let mut sealed = vec![0; 4096];
    let mut sealer = answer.sealer.unwrap();
    let len = sealer.seal_message(&header(uid, &ack), 2, &ack, &mut sealed);
    sealed.truncate(len.unwrap());
    let bytes = server.open(uid, &mut sealed).unwrap().to_vec();
    let Ok(Message::KeyInfoAck(ack)) = wire::decode(Version::V5, ack.function(), &bytes) else {
        panic!("no KEYINFO_ACK");
    };
    server.acknowledge(uid, &ack).unwrap();
    assert_eq!(server.keys(uid), Keys::Ready);
}

/// Those of who announces.
fn secrets() -> Fresh {
    Fresh(StdRng::seed_from_u64(7))
}

fn play(suite: Suite, curve: Curve) {
    let key = EC.server.clone();
    let security = SenderSecurity::new(Version::V5, suite, key, curve).unwrap();
    let mut server = Server::new(&name(), &security, &mut secrets()).unwrap();
    let announce = Announce {
        flags: AnnounceFlags::empty(),
        pace: Pace::Adaptive {
            robust: 20,
            cc: CcType::NONE,
            block_size: 1300,
        },
        timestamp: WireTime(5),
        public: [230, 4, 4, 1].into(),
        private: name().private,
        encryption: Some(server.enc_info().clone()),
        clients: Vec::new(),
    };
    let packet_of_server = packet(SERVER, &Message::Announce(announce), &server);
    let body = &packet_of_server[Header::LEN..];
    let Ok(Message::Announce(announce)) = wire::decode(Version::V5, wire::Function::Announce, body)
    else {
        panic!("no ANNOUNCE");
    };
    let head = wire::decode_header(&packet_of_server).unwrap();
    let invite = |host: &mut Host, proxy| {
        let invitation = Invitation {
            header: &head,
            announce: &announce,
            info: announce.encryption.as_ref().unwrap(),
            packet: &packet_of_server,
            expected: Some(EC.server.public().fingerprint()),
            through: None,
            refuse_weak: true,
            proxy,
        };
        Client::accept(&invitation, host.own(), Instant::now()).unwrap_or_else(|e| panic!("{e:?}"))
    };

    // The key of the proxy is its own choice.
    let mut between = Host::new(PROXY, &RSA.clients[0]);
    let mut upstream = invite(&mut between, None);
    let identity = RSA.clients[0].clone();
    let shown = SenderSecurity::new(Version::V5, suite, identity.clone(), curve).unwrap();
    let proxy = StandIn {
        uid: PROXY,
        session: &name(),
        security: &shown,
        random: RANDOM,
        dh_key: None,
    };
    let mut stand_in = Server::standing_in(&proxy, &upstream, &mut secrets()).unwrap();

    let mut host = Host::new(RECEIVER, &EC.clients[1]);
    let mut receiver = invite(&mut host, Some(PROXY));
    assert_eq!(receiver.register_key(), None, "it waits for PROXY_KEY");
    let proxy_key = stand_in.proxy_key().unwrap().clone();
    let introduction = Introduction {
        src: PROXY,
        message: &proxy_key,
        packet: &packet(PROXY, &Message::ProxyKey(proxy_key.clone()), &stand_in),
        expected: Some(identity.public().fingerprint()),
    };
    let told = receiver.proxy_key(&introduction, RECEIVER, &mut host.secrets);
    assert_eq!(told, Ok(()));

    register(RECEIVER, &receiver, &mut stand_in, suite.client_auth);
    register(PROXY, &upstream, &mut server, suite.client_auth);
    let early = stand_in.key_entry(RECEIVER, PROXY, 1).unwrap();
    assert_eq!(early, None, "the proxy has no secret to hand out yet");
    hand_over(SERVER, PROXY, &mut server, &mut upstream);
    assert_eq!(stand_in.adopt(&upstream).unwrap(), Some(Vec::new()));
    assert_eq!(stand_in.adopt(&upstream).unwrap(), None, "it is the same");
    hand_over(PROXY, RECEIVER, &mut stand_in, &mut receiver);

    // What the server seals is read behind the proxy as it is.
    let message = Message::DoneConf(DoneConf {
        clients: vec![RECEIVER],
    });
    let mut sealed = vec![0; 4096];
    let mut sealer = server.sealer().unwrap();
    let len = sealer.seal_message(&header(SERVER, &message), 10, &message, &mut sealed);
    sealed.truncate(len.unwrap());
    let mut copy = sealed.clone();
    assert!(upstream.open(&mut copy).is_ok());
    assert!(receiver.open(&mut sealed).is_ok());
}

#[test]
fn a_proxy_hands_the_servers_secret_on_under_keys_of_its_own() {
    for client_auth in [false, true] {
        for (cipher, hash, curve) in [
            (Cipher::Aes128Gcm, Hash::Sha256, "secp256r1"),
            (Cipher::Aes256Ccm, Hash::Sha512, "secp521r1"),
        ] {
            let suite = Suite {
                client_auth,
                ..suite(cipher, hash, KeyExchange::Ecdh)
            };
            play(suite, curve.parse().unwrap());
        }
    }
}
