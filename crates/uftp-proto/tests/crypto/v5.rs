//! Protocol 5: every recorded schedule is made again from its private keys, every recorded packet
//! opened, and sealed to the same bytes; and the two worked examples of wire-v5 §17.

use std::collections::HashMap;

use serde::Deserialize;
use uftp_proto::crypto::v5::{
    ClientContext1, ClientContext2, GroupMaster, HandshakeKeys, Premaster, ProxyContext,
    ServerContext, key_info_context, proxy_key_input,
};
use uftp_proto::crypto::{Opener, PrivateKey, PublicKey, Sealer, SelfSigned, SignatureForm, Suite};
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{self, Announce, ClientKey, EncInfo, Function, Header, Message, ProxyKey};
use uftp_proto::wire::{KeyInfoAck, Version};
use uftp_proto::{GroupId, Instance, Seq, Uid};

use super::vectors::{Hex, Packet, Vector, private_key, unhex};

/// The recorded schedule.
#[derive(Deserialize)]
struct Schedule {
    premaster: Hex,
    server_context: Hex,
    server_hs_key: Hex,
    server_hs_iv: Hex,
    client_hs_key: Hex,
    client_hs_iv: Hex,
    client_context1: Hex,
    keyinfo_encrypted: Hex,
    group_master: Hex,
    server_app_key: Hex,
    server_app_iv: Hex,
    client_app_key: Hex,
    client_app_iv: Hex,
    client_key_plaintext: Option<Hex>,
    client_key_signature: Option<Hex>,
    verify_data: Hex,
}

const V5: Version = Version::V5;

fn decode(packet: &[u8]) -> (Header, Message<'_>) {
    let header = wire::decode_header(packet).unwrap();
    let message = wire::decode(V5, header.function, &packet[Header::LEN..]).unwrap();
    (header, message)
}

fn check(v: &Vector<Schedule>) {
    let (id, s) = (&v.id, &v.schedule);
    let server = private_key(&v.server_key);
    let client = private_key(&v.client_key);
    let (header, message) = decode(&v.handshake.announce);
    let Message::Announce(announce) = &message else {
        panic!("{id}")
    };
    let info = announce.encryption.as_ref().unwrap();
    let suite = Suite::from_wire(V5, info).unwrap();
    assert_eq!(suite.cipher.name(), v.cipher);
    assert_eq!(suite.hash.name(), v.hash);
    assert_eq!(suite.signature.name(), v.signature);
    let public = PublicKey::from_blob(&info.key).unwrap();
    assert_eq!(&public, server.public(), "{id}");
    let signed = SelfSigned::new(V5, suite.hash, &message);
    let verify = |packet: &[u8]| signed.verify(&public, packet);
    assert!(verify(&v.handshake.announce), "{id}: ANNOUNCE");
    let mut bad = v.handshake.announce.to_vec();
    bad[20] ^= 1;
    assert!(!verify(&bad), "{id}");

    let (_, Message::Register(register)) = decode(&v.handshake.register) else {
        panic!("{id}")
    };
    let uid = wire::decode_header(&v.handshake.register).unwrap().src;
    let sc = ServerContext::new(&header, announce, &v.handshake.announce[Header::LEN..]).unwrap();
    assert_eq!(sc.as_bytes(), &s.server_context[..], "{id}: SC");
    let pc = ProxyContext::default();
    let cc1 = ClientContext1::new(&sc, &pc, uid, &register.key, &register.random);
    assert_eq!(cc1.client_key_input()[1], &s.client_context1[..], "{id}");

    let ecdh = v.ecdh.as_ref().unwrap();
    let own = ecdh.own();
    assert_eq!(own.public().blob(), &ecdh.own_blob[..], "{id}");
    let premaster =
        Premaster::agree(&own, &PublicKey::from_blob(&ecdh.peer_blob).unwrap()).unwrap();
    assert_eq!(premaster.expose(), &s.premaster[..], "{id}");
    let hs = premaster.handshake_keys(&suite, &cc1);
    assert_eq!(
        hs.expose(),
        [
            &s.server_hs_key[..],
            &s.server_hs_iv,
            &s.client_hs_key,
            &s.client_hs_iv
        ],
        "{id}"
    );
    let cc2 = client_key(v, &suite, &client, cc1);
    let master = key_info(v, &suite, &server, &sc, &hs, &cc2);

    let down = master.server_keys(&suite, &sc);
    assert_eq!(down.expose(), (&s.server_app_key[..], &s.server_app_iv[..]));
    let up = master.client_keys(&suite, &cc2);
    assert_eq!(
        up.keys.expose(),
        (&s.client_app_key[..], &s.client_app_iv[..])
    );
    assert_eq!(up.verify_data(), &s.verify_data[..], "{id}");
    assert!(up.check_verify_data(&s.verify_data));
    assert!(!up.check_verify_data(&s.verify_data[1..]));

    for p in &v.packets {
        let (sealer, opener) = match p.key_ref.as_str() {
            "client_hs_key" => (hs.client_sealer(), hs.client_opener()),
            "server_app_key" => (down.sealer(), down.opener()),
            "client_app_key" => (up.keys.sealer(), up.keys.opener()),
            other => panic!("{id}: {other}"),
        };
        check_packet(id, p, sealer.unwrap(), opener.unwrap());
    }
}

fn client_key(
    v: &Vector<Schedule>,
    suite: &Suite,
    client: &PrivateKey,
    cc1: ClientContext1,
) -> ClientContext2 {
    assert_eq!(suite.client_auth, v.client_auth, "{}", v.id);
    let Some(plain) = &v.schedule.client_key_plaintext else {
        assert!(!suite.client_auth, "{}", v.id);
        return cc1.without_client_key();
    };
    let Message::ClientKey(m) = wire::decode(V5, Function::ClientKey, plain).unwrap() else {
        panic!("{}", v.id)
    };
    assert_eq!(m.key, client.public().blob(), "{}", v.id);
    assert_eq!(
        m.signature[..],
        v.schedule.client_key_signature.as_ref().unwrap()[..]
    );
    let input = cc1.client_key_input();
    assert!(
        client.public().verify(suite.hash, &input, &m.signature),
        "{}",
        v.id
    );
    let own = client
        .sign(suite.hash, SignatureForm::of(V5), &input)
        .unwrap();
    assert_eq!(own.len(), m.signature.len(), "{}", v.id);
    assert!(client.public().verify(suite.hash, &input, &own), "{}", v.id);
    cc1.with_client_key(&m, plain).unwrap()
}

fn key_info(
    v: &Vector<Schedule>,
    suite: &Suite,
    server: &PrivateKey,
    sc: &ServerContext,
    hs: &HandshakeKeys,
    cc2: &ClientContext2,
) -> GroupMaster {
    let id = &v.id;
    let packet = &v.handshake.keyinfo;
    let (_, message) = decode(packet);
    let Message::KeyInfo(m) = &message else {
        panic!("{id}")
    };
    let pc = ProxyContext::default();
    let context = key_info_context(sc, &pc);
    let signed = SelfSigned::new(V5, suite.hash, &message).after(&context);
    let verify = |packet: &[u8]| signed.verify(server.public(), packet);
    assert!(verify(packet), "{id}: KEYINFO signature");
    let mut resigned = packet.to_vec();
    signed.sign(server, &mut resigned).unwrap();
    assert!(verify(&resigned), "{id}");
    if v.server_key.starts_with("rsa") {
        assert_eq!(resigned, packet[..], "{id}");
    }
    *resigned.last_mut().unwrap() ^= 1;
    assert!(!verify(&resigned), "{id}");

    let wrapped = m
        .keys
        .iter()
        .map(|(_, k)| k)
        .find(|k| k[..] == v.schedule.keyinfo_encrypted[..])
        .unwrap();
    let master = hs.unwrap(wrapped, cc2, m.iv_counter).unwrap();
    assert_eq!(master.expose(), &v.schedule.group_master[..], "{id}");
    assert_eq!(&hs.wrap(&master, cc2, m.iv_counter).unwrap(), wrapped);
    for at in 0..wrapped.len() {
        let mut bad = *wrapped;
        bad[at] ^= 4;
        assert!(hs.unwrap(&bad, cc2, m.iv_counter).is_err(), "{id}: {at}");
    }
    assert!(hs.unwrap(wrapped, cc2, m.iv_counter + 1).is_err(), "{id}");
    master
}

fn check_packet(id: &str, p: &Packet, mut sealer: Sealer, mut opener: Opener) {
    let id = format!("{id} {} from {}", p.kind, p.sender);
    let mut packet = p.packet.to_vec();
    let opened = opener.open(&mut packet, None).expect(&id);
    assert_eq!(*opened.message, p.plaintext[..], "{id}");
    let header = wire::decode_header(&p.packet).unwrap();
    let mut sealed = vec![0; p.packet.len()];
    let at = Header::LEN + sealer.overhead().prefix;
    sealed[at..at + p.plaintext.len()].copy_from_slice(&p.plaintext);
    let n = sealer
        .seal(&header, opened.counter, &mut sealed, p.plaintext.len())
        .expect(&id);
    assert_eq!(sealed[..n], p.packet[..], "{id}");
    for at in 0..p.packet.len() {
        let mut bad = p.packet.to_vec();
        bad[at] ^= 1 << (at % 8);
        assert!(opener.open(&mut bad, None).is_err(), "{id}: byte {at}");
    }
}

#[test]
fn recorded_sessions() {
    let all: Vec<Vector<Schedule>> =
        serde_json::from_str(include_str!("../vectors/keysched/v5.json")).unwrap();
    assert_eq!(all.len(), 28);
    all.iter().for_each(check);
}

/// A worked example: `name = hex` lines.
struct Example(HashMap<&'static str, &'static str>);

impl Example {
    fn read(text: &'static str) -> Example {
        Example(
            text.lines()
                .filter_map(|line| line.split_once(" = "))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Vec<u8> {
        unhex(self.0[name])
    }

    fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.get(name).try_into().unwrap()
    }

    fn key(&self, curve: &str, name: &str) -> PrivateKey {
        PrivateKey::from_ec_scalar(curve.parse().unwrap(), &self.get(name)).unwrap()
    }
}

#[test]
fn example_without_proxy() {
    let x = Example::read(include_str!("../vectors/v5-example-a.txt"));
    x.check("prime256v1", Way::Direct);
}

#[test]
fn example_behind_a_proxy() {
    let x = Example::read(include_str!("../vectors/v5-example-b.txt"));
    x.check("secp384r1", Way::Proxied);
}

/// Whether the client registers with the server or with a proxy.
enum Way {
    Direct,
    Proxied,
}

const SERVER: Uid = Uid(0x51);
const PROXY: Uid = Uid(0xb0);
const CLIENT: Uid = Uid(0xc1);

/// The message that a context is made of.
fn encoded(message: Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 2000];
    let len = wire::encode_message(V5, &message, &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

fn header(function: Function, seq: u16, src: Uid) -> Header {
    Header {
        version: V5,
        function,
        seq: Seq(seq),
        src,
        group: GroupId(0x1122_3344),
        instance: Instance(0),
        grtt: RttCode(0),
        group_size: GroupSizeCode(0),
        dest: Uid::NONE,
    }
}

impl Example {
    /// Makes everything again, in the order of the handshake.
    fn check(&self, curve: &str, way: Way) {
        let server_dh = self.key(curve, "server ECDH scalar");
        let client_dh = self.key(curve, "client ECDH scalar");
        assert_eq!(server_dh.public().blob(), self.get("server ECDH blob"));
        assert_eq!(client_dh.public().blob(), self.get("client ECDH blob"));
        let (suite, sc) = self.server_context(curve, &server_dh);
        let (pc, upstream) = match way {
            Way::Direct => (ProxyContext::default(), server_dh),
            Way::Proxied => self.proxy_context(curve, &sc),
        };
        let random = self.array("client random");
        let cc1 = ClientContext1::new(&sc, &pc, CLIENT, client_dh.public().blob(), &random);
        assert_eq!(
            cc1.client_key_input()[1].len().to_string(),
            self.0["len(CC1)"]
        );
        let premaster = Premaster::agree(&upstream, client_dh.public()).unwrap();
        assert_eq!(premaster.expose(), self.get("premaster"));
        let other_side = Premaster::agree(&client_dh, upstream.public()).unwrap();
        assert_eq!(other_side.expose(), self.get("premaster"));
        let hs = premaster.handshake_keys(&suite, &cc1);
        assert_eq!(
            hs.expose().map(<[u8]>::to_vec),
            ["s_hs_key", "s_hs_iv", "c_hs_key", "c_hs_iv"].map(|name| self.get(name))
        );
        let cc2 = match suite.client_auth {
            true => self.client_context(curve, cc1),
            false => cc1.without_client_key(),
        };
        self.check_group_keys(&suite, &sc, &hs, &cc2);
    }

    /// What is announced, and what becomes of it.
    fn server_context(&self, curve: &str, dh: &PrivateKey) -> (Suite, ServerContext) {
        let server = self.key(curve, "server signature scalar");
        let start = self.get("EXT_ENC_INFO bytes 0-11");
        let info = EncInfo {
            client_auth: start[2] == 1,
            key_exchange: 0,
            signature_type: 0,
            cipher: start[4],
            hash: start[5],
            random: self.array("server random"),
            key: server.public().blob().to_vec(),
            dh_key: dh.public().blob().to_vec(),
            signature: vec![0xff; server.public().signature_len()],
        };
        let suite = Suite::from_wire(V5, &info).unwrap();
        let announce = Announce {
            flags: wire::AnnounceFlags::empty(),
            pace: wire::Pace::Adaptive {
                robust: 20,
                cc: wire::CcType::NONE,
                block_size: 1300,
            },
            timestamp: uftp_proto::WireTime(7),
            public: "230.4.4.1".parse().unwrap(),
            private: "230.5.5.1".parse().unwrap(),
            encryption: Some(info),
            clients: vec![CLIENT],
        };
        let bytes = encoded(Message::Announce(announce.clone()));
        let header = header(Function::Announce, 0, SERVER);
        let sc = ServerContext::new(&header, &announce, &bytes).unwrap();
        assert_eq!(sc.as_bytes().len().to_string(), self.0["len(SC)"]);
        assert_eq!(sc.as_bytes()[9..21], start, "ENC_INFO");
        (suite, sc)
    }

    /// What the proxy says of itself, and its end of the key agreement.
    fn proxy_context(&self, curve: &str, sc: &ServerContext) -> (ProxyContext, PrivateKey) {
        let proxy = self.key(curve, "proxy signature scalar");
        let dh = self.key(curve, "proxy ECDH scalar");
        assert_eq!(dh.public().blob(), self.get("proxy ECDH blob"));
        let message = ProxyKey {
            nonce: 0,
            key: proxy.public().blob().to_vec(),
            dh_key: dh.public().blob().to_vec(),
            signature: vec![0xff; proxy.public().signature_len()],
        };
        let bytes = encoded(Message::ProxyKey(message.clone()));
        assert_eq!(bytes[..8], self.get("PROXY_KEY bytes 0-7"));
        let pc = ProxyContext::new(PROXY, &message, &bytes).unwrap();
        assert_eq!(pc.as_bytes().len().to_string(), self.0["len(PC)"]);
        assert_eq!(proxy_key_input(sc, &pc)[2], pc.as_bytes());
        (pc, dh)
    }

    /// A client that says who it is.
    fn client_context(&self, curve: &str, cc1: ClientContext1) -> ClientContext2 {
        let key = self.key(curve, "client signature scalar");
        let message = ClientKey {
            key: key.public().blob().to_vec(),
            signature: vec![0xff; key.public().signature_len()],
        };
        let bytes = encoded(Message::ClientKey(message.clone()));
        assert_eq!(bytes[..8], self.get("CLIENT_KEY bytes 0-7"));
        cc1.with_client_key(&message, &bytes).unwrap()
    }

    /// The group's keys, and the client's proof that it has them.
    fn check_group_keys(
        &self,
        suite: &Suite,
        sc: &ServerContext,
        hs: &HandshakeKeys,
        cc2: &ClientContext2,
    ) {
        let master = GroupMaster::from_bytes(&self.array("group master"));
        let wrapped = hs.wrap(&master, cc2, 1).unwrap();
        assert_eq!(wrapped.to_vec(), self.get("encrypted group master"));
        let down = master.server_keys(suite, sc);
        assert_eq!(down.expose().0, self.get("s_app_key"));
        assert_eq!(down.expose().1, self.get("s_app_iv"));
        let up = master.client_keys(suite, cc2);
        assert_eq!(up.keys.expose().0, self.get("c_app_key"));
        assert_eq!(up.keys.expose().1, self.get("c_app_iv"));
        assert_eq!(up.verify_data(), self.get("verify_data"));

        let ack = Message::KeyInfoAck(KeyInfoAck {
            verify_data: up.verify_data().to_vec(),
        });
        let header = header(Function::KeyInfoAck, 2, CLIENT);
        let mut packet = vec![0; 200];
        let mut sealer = up.keys.sealer().unwrap();
        let n = sealer.seal_message(&header, 1, &ack, &mut packet).unwrap();
        assert_eq!(
            packet[..n],
            self.get("KEYINFO_ACK packet (client counter 1, seq 2)")
        );
    }
}
