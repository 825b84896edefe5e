//! More sessions of protocol 3, recorded apart: every cipher, hash and signature, RSA keys of
//! several sizes, and one session of the later wire id.

use serde::Deserialize;
use uftp_proto::crypto::{Binding, Premaster, PrivateKey, PublicKey, Suite};
use uftp_proto::wire::{self, Header, Message};

use super::vectors::Hex;

#[derive(Deserialize)]
struct File {
    encrypted_sessions: Vec<Session>,
}

#[derive(Deserialize)]
struct Session {
    server_key: ServerKey,
    announce_packet: Hex,
    register_packet: Hex,
    client_key_packet: Option<Hex>,
    keyinfo_packet: Hex,
    master: Hex,
    client_key: Hex,
    client_salt: Hex,
    group_master: Hex,
    group_hmac_key: Hex,
    group_key: Hex,
    group_salt: Hex,
    encrypted: Vec<Packet>,
}

#[derive(Deserialize)]
struct ServerKey {
    n: Hex,
    e: u32,
    d: Hex,
}

#[derive(Deserialize)]
struct Packet {
    message: String,
    packet: Hex,
    plaintext: Hex,
}

fn decode(packet: &[u8]) -> (Header, Message<'_>) {
    let header = wire::decode_header(packet).unwrap();
    let body = &packet[Header::LEN..];
    let message = wire::decode(header.version, header.function, body).unwrap();
    (header, message)
}

fn check(s: &Session) {
    let (header, Message::Announce(announce)) = decode(&s.announce_packet) else {
        panic!("no ANNOUNCE")
    };
    let (_, Message::Register(register)) = decode(&s.register_packet) else {
        panic!("no REGISTER")
    };
    let (keyinfo_header, Message::KeyInfo(keyinfo)) = decode(&s.keyinfo_packet) else {
        panic!("no KEYINFO")
    };
    let register_header = wire::decode_header(&s.register_packet).unwrap();
    let info = announce.encryption.as_ref().unwrap();
    let key = &s.server_key;
    let server = PrivateKey::from_rsa_numbers(&key.n, key.e, &key.d).unwrap();
    let server_public = PublicKey::from_blob(&info.key).unwrap();
    assert_eq!(&server_public, server.public());
    let binding = Binding {
        version: header.version,
        suite: Suite::from_wire(header.version, info).unwrap(),
        group: header.group,
        private: announce.private,
        server_random: info.random,
        client_random: register.random,
    };
    let premaster = Premaster::decrypt(&server, &register.key).unwrap();
    let master = premaster.master_secret(&binding).unwrap();
    assert_eq!(master.expose(), &s.master[..]);
    let client_keys = master.client_keys(&binding).unwrap();
    assert_eq!(
        client_keys.expose(),
        (&s.client_key[..], &s.client_salt[..])
    );
    let (_, wrapped) = keyinfo
        .keys
        .iter()
        .find(|(uid, _)| *uid == register_header.src)
        .unwrap();
    let master = client_keys
        .unwrap(wrapped, keyinfo_header.src, keyinfo.iv_counter)
        .unwrap();
    assert_eq!(master.expose(), &s.group_master[..]);

    let client = s.client_key_packet.as_ref().map(|packet| {
        let (_, Message::ClientKey(m)) = decode(packet) else {
            panic!("no CLIENT_KEY")
        };
        let public = PublicKey::from_blob(&m.key).unwrap();
        let input = premaster.client_key_input(&binding);
        assert!(public.verify(binding.suite.hash, &[input.expose()], &m.signature));
        public
    });
    let proof = master
        .verify_data(&binding, &premaster, client.as_ref())
        .unwrap();

    let keys = master
        .group_keys(binding.version, &binding.suite, &binding.server_random)
        .unwrap();
    assert_eq!(
        keys.expose(),
        (&s.group_hmac_key[..], &s.group_key[..], &s.group_salt[..])
    );
    let mut opener = keys.opener().unwrap();
    for p in &s.encrypted {
        let from_server = wire::decode_header(&p.packet).unwrap().src == header.src;
        let signer = if from_server {
            Some(&server_public)
        } else {
            client.as_ref()
        };
        let mut packet = p.packet.to_vec();
        let opened = opener.open(&mut packet, signer).unwrap();
        assert_eq!(*opened.message, p.plaintext[..]);
        // The answer to KEYINFO is an INFO_ACK for file 0, and carries the proof.
        if p.message == "INFO_ACK" && p.plaintext[2..4] == [0, 0] {
            assert_eq!(p.plaintext[8..20], proof);
        }
    }
}

#[test]
fn recorded_sessions() {
    let file: File = serde_json::from_str(include_str!("../vectors/wire-v3.json")).unwrap();
    assert_eq!(file.encrypted_sessions.len(), 19);
    file.encrypted_sessions.iter().for_each(check);
}
