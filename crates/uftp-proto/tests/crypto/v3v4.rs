//! Protocols 3 and 4: every recorded schedule is made again from its private keys, every recorded
//! packet opened, and sealed to the same bytes.

use std::sync::Arc;

use uftp_proto::crypto::{
    Binding, GroupMaster, KeyKind, KeySpec, OpenError, Premaster, PrivateKey, PublicKey,
    SelfSigned, SignatureForm, SignatureType, Suite,
};
use uftp_proto::wire::{self, Announce, Header, Message, Version};

use super::vectors::{Packet, PrfSchedule, Vector, private_key};

type V = Vector<PrfSchedule>;

/// Decodes a handshake packet as the variant asked for.
macro_rules! message {
    ($bytes:expr, $variant:ident) => {{
        let header = wire::decode_header(&$bytes).unwrap();
        let decoded =
            wire::decode(header.version, header.function, &$bytes[Header::LEN..]).unwrap();
        match decoded {
            Message::$variant(m) => (header, m),
            other => panic!("{other:?}"),
        }
    }};
}

struct Party {
    key: Arc<PrivateKey>,
}

impl Party {
    fn of(id: &str) -> Party {
        Party {
            key: Arc::new(private_key(id)),
        }
    }
}

fn check(v: &V) {
    let id = &v.id;
    let (header, announce) = message!(v.handshake.announce, Announce);
    let version = header.version;
    let (_, register) = message!(v.handshake.register, Register);
    let (keyinfo_header, keyinfo) = message!(v.handshake.keyinfo, KeyInfo);
    let server = Party::of(&v.server_key);
    let client = Party::of(&v.client_key);

    let info = announce.encryption.as_ref().unwrap();
    let suite = Suite::from_wire(version, info).unwrap();
    check_names(v, &suite);
    let server_public = PublicKey::from_blob(&info.key).unwrap();
    assert_eq!(&server_public, server.key.public(), "{id}");
    check_announce(v, version, &announce, &server_public);

    let binding = Binding {
        version,
        suite,
        group: header.group,
        private: announce.private,
        server_random: info.random,
        client_random: register.random,
    };
    let s = &v.schedule;
    let premaster = match &v.ecdh {
        None => Premaster::decrypt(&server.key, &register.key).unwrap(),
        Some(ecdh) => {
            let own = ecdh.own();
            assert_eq!(own.public().blob(), &ecdh.own_blob[..], "{id}");
            let peer = PublicKey::from_blob(&ecdh.peer_blob).unwrap();
            Premaster::agree(&own, &peer).unwrap()
        }
    };
    let input = premaster.client_key_input(&binding);
    assert!(input.expose().ends_with(&s.premaster), "{id}: premaster");

    let master = premaster.master_secret(&binding).unwrap();
    assert_eq!(master.expose(), &s.master_secret[..], "{id}: master secret");
    let client_keys = master.client_keys(&binding).unwrap();
    let (key, salt) = client_keys.expose();
    assert_eq!(key, &s.client_key[..], "{id}: client key");
    assert_eq!(salt, &s.client_salt[..], "{id}: client salt");

    let wrapped = keyinfo
        .keys
        .iter()
        .map(|(_, k)| k)
        .find(|k| k[..] == s.keyinfo_encrypted[..])
        .unwrap();
    let group_master = client_keys
        .unwrap(wrapped, keyinfo_header.src, keyinfo.iv_counter)
        .unwrap();
    assert_eq!(group_master.expose(), &s.group_master[..], "{id}");
    let again = client_keys
        .wrap(&group_master, keyinfo_header.src, keyinfo.iv_counter)
        .unwrap();
    assert_eq!(&again, wrapped, "{id}: wrap");

    let client_public = v.handshake.client_key.as_ref().map(|packet| {
        let (_, m) = message!(packet, ClientKey);
        let public = PublicKey::from_blob(&m.key).unwrap();
        assert_eq!(&public, client.key.public(), "{id}");
        let signed = s.client_key_signed_data.as_ref().unwrap();
        assert_eq!(input.expose(), &signed[..], "{id}: CLIENT_KEY input");
        assert!(public.verify(suite.hash, &[input.expose()], &m.signature));
        let form = SignatureForm::of(version);
        let own = client.key.sign(suite.hash, form, &[signed]).unwrap();
        assert!(public.verify(suite.hash, &[signed], &own), "{id}");
        if v.client_key.starts_with("rsa") {
            assert_eq!(own, m.signature, "{id}: CLIENT_KEY signature");
        }
        public
    });
    assert_eq!(client_public.is_some(), v.client_auth, "{id}");

    let proof = group_master
        .verify_data(&binding, &premaster, client_public.as_ref())
        .unwrap();
    assert_eq!(proof[..], s.verify_data[..], "{id}: verify data");
    assert!(
        group_master
            .check_verify_data(&binding, &premaster, client_public.as_ref(), &proof)
            .unwrap()
    );
    check_packets(v, &binding, &group_master, &server, &client);
}

fn check_names(v: &V, suite: &Suite) {
    let id = &v.id;
    // Protocol 3's recordings use short names.
    let cipher = suite.cipher.name();
    assert_eq!(cipher.strip_suffix(v.cipher_suffix()).unwrap(), v.cipher);
    assert_eq!(suite.hash.name(), v.hash, "{id}");
    let signature = match v.signature.as_str() {
        "rsa" => "keyex",
        other => other,
    };
    assert_eq!(suite.signature.name(), signature, "{id}");
    assert_eq!(suite.client_auth, v.client_auth, "{id}");
}

impl V {
    fn cipher_suffix(&self) -> &'static str {
        if self.id.starts_with("v3") && self.cipher.starts_with("aes") {
            "-cbc"
        } else {
            ""
        }
    }
}

fn check_announce(v: &V, version: Version, announce: &Announce, key: &PublicKey) {
    let info = announce.encryption.as_ref().unwrap();
    let suite = Suite::from_wire(version, info).unwrap();
    if !suite.key_exchange.is_ecdh() {
        assert!(info.signature.is_empty(), "{}", v.id);
        return;
    }
    let message = Message::Announce(announce.clone());
    let signed = SelfSigned::new(version, suite.hash, &message);
    let verify = |packet: &[u8]| signed.verify(key, packet);
    let packet = &v.handshake.announce;
    assert!(verify(packet), "{}: ANNOUNCE signature", v.id);
    for at in (0..packet.len()).step_by(29) {
        let mut bad = packet.to_vec();
        bad[at] ^= 0x10;
        assert!(!verify(&bad), "{}: ANNOUNCE byte {at}", v.id);
    }
}

fn check_packets(v: &V, b: &Binding, master: &GroupMaster, server: &Party, client: &Party) {
    let keys = master
        .group_keys(b.version, &b.suite, &b.server_random)
        .unwrap();
    let s = &v.schedule;
    let (hmac_key, key, salt) = keys.expose();
    assert_eq!(hmac_key, &s.group_hmac_key[..], "{}", v.id);
    assert_eq!(key, &s.group_key[..], "{}", v.id);
    assert_eq!(salt, &s.group_salt[..], "{}", v.id);

    let mut opener = keys.opener().unwrap();
    for p in &v.packets {
        let id = format!("{} {} from {}", v.id, p.kind, p.sender);
        assert_eq!(p.key_ref, "group_key", "{id}");
        let signer = if p.sender == "server" { server } else { client };
        let public = Some(signer.key.public());

        let mut packet = p.packet.to_vec();
        let opened = opener.open(&mut packet, public).expect(&id);
        assert_eq!(*opened.message, p.plaintext[..], "{id}");

        let mut sealer = keys.sealer(Some(signer.key.clone())).unwrap();
        let header = wire::decode_header(&p.packet).unwrap();
        let at = Header::LEN + sealer.overhead().prefix;
        let mut sealed = vec![0xee; at + p.plaintext.len() + sealer.overhead().suffix];
        sealed[at..at + p.plaintext.len()].copy_from_slice(&p.plaintext);
        let n = sealer
            .seal(&header, opened.counter, &mut sealed, p.plaintext.len())
            .expect(&id);
        sealed.truncate(n);
        if p.sig_kind.as_deref() == Some("public-key") && v.server_key.starts_with("ec") {
            // ECDSA is random: ours must open, and have the lengths of theirs.
            assert_eq!(sealed.len(), p.packet.len(), "{id}");
            let opened = opener.open(&mut sealed, public).expect(&id);
            assert_eq!(*opened.message, p.plaintext[..], "{id}");
        } else {
            assert_eq!(sealed, p.packet[..], "{id}: sealing");
        }
        tamper(v, &id, p, |bytes| {
            opener.open(bytes, public).map(|_| ()).err()
        });
        refuse_strangers(&b.suite, p, signer.key.kind(), |bytes, signer| {
            opener.open(bytes, signer).map(|_| ()).err()
        });
    }
}

/// Whatever single byte is changed, and wherever the packet is cut, it does not open.
fn tamper(v: &V, id: &str, p: &Packet, mut open: impl FnMut(&mut [u8]) -> Option<OpenError>) {
    // Checking signatures of the larger binary curves takes milliseconds.
    let step = match (v.signature.as_str(), v.server_key.starts_with("rsa")) {
        ("hmac" | "authenc", _) => 1,
        (_, true) => 7,
        (_, false) => 61,
    };
    for at in (0..p.packet.len()).step_by(step) {
        let mut bad = p.packet.to_vec();
        bad[at] ^= 1 << (at % 8);
        assert!(open(&mut bad).is_some(), "{id}: byte {at}");
    }
    for len in (0..p.packet.len()).step_by(step) {
        let mut bad = p.packet[..len].to_vec();
        assert!(open(&mut bad).is_some(), "{id}: cut to {len}");
    }
    let mut longer = p.packet.to_vec();
    longer.push(0);
    assert!(open(&mut longer).is_some(), "{id}: a byte more");
}

/// Packets signed by their sender are refused under nobody's and under another's key.
fn refuse_strangers(
    suite: &Suite,
    p: &Packet,
    kind: KeyKind,
    mut open: impl FnMut(&mut [u8], Option<&PublicKey>) -> Option<OpenError>,
) {
    // Once is enough: making RSA keys takes its time.
    if suite.signature != SignatureType::Keyex || p.kind != "KEYINFO_ACK" {
        return;
    }
    let mut packet = p.packet.to_vec();
    assert_eq!(open(&mut packet, None), Some(OpenError::NoSigner));
    let stranger = PrivateKey::generate(KeySpec::like(kind)).unwrap();
    let mut packet = p.packet.to_vec();
    assert_eq!(
        open(&mut packet, Some(stranger.public())),
        Some(OpenError::Signature)
    );
}

fn run(json: &str, count: usize) {
    let all: Vec<V> = serde_json::from_str(json).unwrap();
    assert_eq!(all.len(), count);
    all.iter().for_each(check);
}

#[test]
fn v4_rsa() {
    run(include_str!("../vectors/keysched/v4-rsa.json"), 36);
}

#[test]
fn v4_ecdh_rsa() {
    run(include_str!("../vectors/keysched/v4-ecdh_rsa.json"), 38);
}

#[test]
fn v4_ecdh_ecdsa() {
    run(include_str!("../vectors/keysched/v4-ecdh_ecdsa.json"), 39);
}

#[test]
fn v4_curves() {
    run(include_str!("../vectors/keysched/v4-curves.json"), 21);
}

#[test]
fn v4_server_with_v5_client() {
    run(
        include_str!("../vectors/keysched/v4-server-with-v5-client.json"),
        3,
    );
}

#[test]
fn v3() {
    run(include_str!("../vectors/keysched/v3.json"), 21);
}
