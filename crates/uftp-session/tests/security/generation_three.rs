//! Protocol 3 under encryption: RSA key exchange, CBC, and stamps instead of counters (wire-v3 §5).

use std::sync::Arc;

use uftp_proto::crypto::{
    Cipher, Curve, Fingerprint, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_proto::wire::{Function, Version};
use uftp_session::receiver::EndReason;
use uftp_session::security::{ReceiverSecurity, SenderSecurity, ServerEntry};
use uftp_sim::path::lossy;
use uftp_sim::source::file;
use uftp_sim::{Scenario, Stage};

use super::scene::LIMIT;

fn suite(cipher: Cipher, hash: Hash, signature: SignatureType, client_auth: bool) -> Suite {
    Suite {
        cipher,
        hash,
        key_exchange: KeyExchange::Rsa,
        signature,
        client_auth,
    }
}

fn key(bits: u32) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::generate(KeySpec::Rsa(bits)).unwrap())
}

/// Two receivers, all keys of so many bits.
fn scene(version: Version, suite: Suite, bits: u32) -> Scenario {
    let mut item = file("file", 5000);
    item.mtime = 0;
    let security = SenderSecurity::new(version, suite, key(bits), Curve::DEFAULT).unwrap();
    let mut scenario = Scenario::new(3, 2, [item]).configure(|c| {
        c.version = version;
        c.security = Some(security);
    });
    scenario.securities = (0..2)
        .map(|_| ReceiverSecurity {
            keys: vec![key(bits)],
            ..ReceiverSecurity::default()
        })
        .collect();
    scenario
}

fn play(scenario: Scenario) -> Stage {
    let stage = scenario.stage().play(LIMIT);
    super::suites::assert_covered(&stage);
    stage
}

#[test]
fn every_cipher_with_every_hash_and_signature() {
    let ciphers = [
        Cipher::Des,
        Cipher::TripleDes,
        Cipher::Aes128Cbc,
        Cipher::Aes256Cbc,
    ];
    let ciphers = ciphers.into_iter().filter(|c| c.ensure_available().is_ok());
    let mut played = 0;
    for cipher in ciphers {
        for hash in [Hash::Sha1, Hash::Sha256] {
            for (signature, auth) in [
                (SignatureType::Hmac, false),
                (SignatureType::Hmac, true),
                (SignatureType::Keyex, true),
            ] {
                play(scene(
                    Version::V3,
                    suite(cipher, hash, signature, auth),
                    512,
                ));
                played += 1;
            }
        }
    }
    assert!(played >= 18, "{played} combinations");
}

#[test]
fn both_paddings_of_the_premaster_and_both_wire_ids() {
    for bits in [1024, 2048] {
        for version in [Version::V3, Version::V3Sync] {
            for signature in [SignatureType::Hmac, SignatureType::Keyex] {
                let suite = suite(Cipher::Aes256Cbc, Hash::Sha256, signature, true);
                play(scene(version, suite, bits));
            }
        }
    }
}

#[test]
fn block_sizes_leave_room_for_signatures() {
    for (signature, bits, expected) in [
        (SignatureType::Hmac, 512, 1396),
        (SignatureType::Keyex, 512, 1352),
        (SignatureType::Keyex, 1024, 1288),
    ] {
        let suite = suite(Cipher::Aes128Cbc, Hash::Sha1, signature, false);
        let stage = play(scene(Version::V3, suite, bits));
        assert_eq!(stage.sender().block_size, expected);
    }
}

#[test]
fn open_groups_and_loss() {
    let suite = suite(Cipher::Aes128Cbc, Hash::Sha1, SignatureType::Keyex, true);
    let lossy = lossy(0.1);
    let scenario = scene(Version::V3, suite, 512).open().paths(lossy, lossy);
    let stage = scenario.stage().play(LIMIT);
    stage.assert_all_whole();
    let clear = stage.world.sent(stage.sender).of(Function::FileSeg);
    assert_eq!(clear.datagrams, 0);
}

#[test]
fn a_sender_is_known_by_exponent_and_modulus() {
    let suite = suite(Cipher::Aes128Cbc, Hash::Sha1, SignatureType::Hmac, false);
    let server = key(512);
    let security = |key: &Arc<PrivateKey>| {
        SenderSecurity::new(Version::V3, suite, key.clone(), Curve::DEFAULT)
    };
    for (shown, heard) in [(server.clone(), true), (key(512), false)] {
        let mut scenario = scene(Version::V3, suite, 512);
        scenario.config.security = Some(security(&shown).unwrap());
        let expected = Fingerprint::of_key(Version::V3, server.public().blob());
        for trust in &mut scenario.securities {
            trust.servers = Some(vec![ServerEntry {
                uid: scenario.config.uid,
                addresses: Vec::new(),
                proxy: None,
                fingerprint: Some(expected),
            }]);
        }
        let stage = scenario.stage().play(LIMIT);
        let ends = stage.receiver(0).ends();
        match heard {
            true => assert_eq!(ends, [EndReason::Confirmed]),
            false => assert_eq!(ends, []),
        }
    }
}
