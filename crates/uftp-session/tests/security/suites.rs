//! Every combination of algorithms.

use std::sync::Arc;

use uftp_proto::crypto::{
    Cipher, Curve, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_proto::wire::{Function, Version};
use uftp_session::Refusal;
use uftp_session::receiver::ReceiverEventKind as K;
use uftp_session::security::SenderSecurity;
use uftp_session::sender::SenderEvent as E;
use uftp_sim::Stage;
use uftp_sim::source::file;

use super::scene::{LIMIT, RSA, scene, suite};

const EXCHANGES: [KeyExchange; 3] = [
    KeyExchange::Rsa,
    KeyExchange::EcdhRsa,
    KeyExchange::EcdhEcdsa,
];

/// The ciphers this system has; DES may be missing.
fn ciphers() -> impl Iterator<Item = Cipher> {
    let there = |c: &Cipher| c.ensure_available().is_ok();
    Cipher::ALL.into_iter().filter(there)
}

pub(crate) fn assert_covered(stage: &Stage) {
    stage.assert_all_whole();
    let sent = stage.world.sent(stage.sender);
    for f in [Function::FileInfo, Function::FileSeg, Function::Done] {
        assert_eq!(sent.of(f).datagrams, 0, "{f:?} in the clear");
    }
    assert!(sent.of(Function::Encrypted).datagrams >= 6);
    for id in &stage.receivers {
        let sent = stage.world.sent(*id);
        let known = [Function::Register, Function::ClientKey, Function::Encrypted];
        let accounted: u64 = known.iter().map(|f| sent.of(*f).datagrams).sum();
        assert_eq!(accounted, sent.total().datagrams);
    }
    assert_eq!(stage.sender().machine.counters().refused_in_all(), 0);
    for node in stage.receiver_nodes() {
        assert_eq!(node.machine.counters().refused_in_all(), 0);
    }
}

fn play(suite: Suite) -> Stage {
    let stage = scene(1, 2, suite).stage().play(LIMIT);
    assert_covered(&stage);
    stage
}

/// The curves this system has, each with a key on it.
fn curves() -> Vec<(Curve, Arc<PrivateKey>)> {
    let key = |curve| PrivateKey::generate(KeySpec::Ec(curve)).ok();
    let made = Curve::all().filter_map(|curve| Some((curve, Arc::new(key(curve)?))));
    made.collect()
}

/// Plays every cipher with every hash and these ephemeral curves, with an identity of the sender for
/// each. Returns how many sessions that were.
fn play_all(exchange: KeyExchange, curves: &[(Curve, Arc<PrivateKey>)]) -> usize {
    let mut played = 0;
    for cipher in ciphers() {
        for hash in Hash::ALL {
            for (curve, identity) in curves {
                let (suite, identity) = (suite(cipher, hash, exchange), identity.clone());
                let security = SenderSecurity::new(Version::V4, suite, identity, *curve);
                let security = Some(security.unwrap());
                let scenario = scene(1, 2, suite).configure(|c| c.security = security);
                assert_covered(&scenario.stage().play(LIMIT));
                played += 1;
            }
        }
    }
    played
}

#[test]
fn every_cipher_with_every_hash_and_rsa() {
    let none = [(Curve::DEFAULT, RSA.server.clone())];
    assert!(play_all(KeyExchange::Rsa, &none) >= 7 * 4);
}

#[test]
fn every_cipher_with_every_hash_and_curve_under_an_rsa_key() {
    let mut curves = curves();
    for (_, identity) in &mut curves {
        *identity = RSA.server.clone();
    }
    // All but DES on 25 curves are 800, where the system has them.
    assert!(play_all(KeyExchange::EcdhRsa, &curves) >= 7 * 4 * 5);
}

#[test]
fn every_cipher_with_every_hash_and_curve_under_ec_keys() {
    assert!(play_all(KeyExchange::EcdhEcdsa, &curves()) >= 7 * 4 * 5);
}

#[test]
fn packets_signed_one_by_one() {
    for cipher in ciphers().filter(|c| !c.is_aead()) {
        for exchange in EXCHANGES {
            let stage = play(Suite {
                signature: SignatureType::Keyex,
                ..suite(cipher, Hash::Sha256, exchange)
            });
            // It takes client authentication along.
            let mut kinds = stage.receiver(0).kinds();
            assert!(kinds.any(|k| *k == K::ClientKeySent));
        }
    }
}

#[test]
fn the_story_of_an_encrypted_session() {
    let suite = Suite {
        client_auth: true,
        ..suite(Cipher::Aes256Gcm, Hash::Sha256, KeyExchange::EcdhEcdsa)
    };
    let stage = scene(1, 1, suite).stage().play(LIMIT);
    let word = |event: &E| match event {
        E::AnnounceSent { .. } => "ANNOUNCE",
        E::Registered { .. } => "REGISTER",
        E::ClientKeyReceived { again: false, .. } => "CLIENT_KEY",
        E::KeyInfoSent {
            attempt: 1,
            part: 1,
        } => "KEYINFO",
        E::KeyInfoAcked { .. } => "KEYINFO_ACK",
        E::RegConfSent { .. } => "REG_CONF",
        E::Connect { .. } => "CONNECT",
        _ => "",
    };
    let told: Vec<_> = stage.sender().events().map(word).collect();
    let told: Vec<_> = told.iter().filter(|w| !w.is_empty()).collect();
    assert_eq!(
        told,
        [
            &"ANNOUNCE",
            &"REGISTER",
            &"CLIENT_KEY",
            &"KEYINFO",
            &"KEYINFO_ACK",
            &"CONNECT"
        ]
    );
    let kinds: Vec<_> = stage.receiver(0).kinds().skip(3).take(6).cloned().collect();
    assert_eq!(
        kinds,
        [
            K::RegisterSent,
            K::ClientKeySent,
            K::KeyInfoReceived,
            K::Confirmed,
            K::KeyInfoAckSent,
            kinds[5].clone()
        ]
    );
}

#[test]
fn unicast_enters_the_secrets() {
    let suite = Suite {
        client_auth: true,
        ..suite(Cipher::Aes128Cbc, Hash::Sha384, KeyExchange::Rsa)
    };
    let unicast = scene(1, 1, suite).configure(|c| {
        c.public = uftp_sim::scenario::receiver_addr(0);
        c.private = c.public;
    });
    assert_covered(&unicast.stage().play(LIMIT));
}

#[test]
fn keys_for_many_receivers_take_several_packets() {
    let suite = suite(Cipher::Aes128Gcm, Hash::Sha256, KeyExchange::EcdhEcdsa);
    let stage = scene(1, 60, suite).stage().play(LIMIT);
    stage.assert_all_whole();
    let parts = stage.sender().events().filter_map(|e| match e {
        E::KeyInfoSent { attempt: 1, part } => Some(*part),
        _ => None,
    });
    // 25 of 52 bytes each fit a block of 1300.
    assert_eq!(parts.collect::<Vec<_>>(), [1, 2, 3]);
    let sent = stage.world.sent(stage.sender).of(Function::KeyInfo);
    assert_eq!(sent.datagrams, 3);
}

#[test]
fn an_open_group_hands_out_keys_as_receivers_come() {
    let suite = suite(Cipher::Aes256Ccm, Hash::Sha512, KeyExchange::EcdhRsa);
    let stage = scene(1, 3, suite).open().stage().play(LIMIT);
    stage.assert_all_whole();
    let hurried = scene(1, 3, suite)
        .open()
        .configure(|c| c.min_clients = Some(3))
        .stage()
        .play(LIMIT);
    hurried.assert_all_whole();
    assert!(hurried.world.elapsed() < stage.world.elapsed());
}

#[test]
fn losses_delay_but_do_not_prevent() {
    use uftp_sim::path::lossy;
    let lossy = lossy(0.1);
    for (seed, signature) in [(1, SignatureType::Hmac), (2, SignatureType::Keyex)] {
        let suite = Suite {
            signature,
            client_auth: true,
            ..suite(Cipher::Aes256Cbc, Hash::Sha1, KeyExchange::Rsa)
        };
        let mut scenario = scene(seed, 3, suite).paths(lossy, lossy);
        scenario.items = vec![file("large", 300_000)];
        let stage = scenario.stage().play(LIMIT);
        stage.assert_all_whole();
        assert_eq!(
            stage
                .sender()
                .machine
                .counters()
                .refused(Refusal::Unauthentic),
            0
        );
    }
}

#[test]
fn congestion_is_controlled_under_cover() {
    use std::time::Duration;
    use uftp_session::congestion::Limits;
    use uftp_session::sender::Rate;
    use uftp_sim::PathConfig;
    use uftp_sim::path::lossy;
    for loss in [0.0, 0.02] {
        let path = PathConfig {
            delay: Duration::from_millis(10),
            ..lossy(loss)
        };
        let suite = suite(Cipher::Aes256Gcm, Hash::Sha256, KeyExchange::EcdhEcdsa);
        let mut scenario = scene(1, 3, suite).paths(path, path);
        scenario.items = vec![file("one", 400_000), file("two", 400_000)];
        let scenario = scenario.configure(|c| c.rate = Rate::Tfmcc(Limits::default()));
        let stage = scenario.stage().play(LIMIT);
        stage.assert_all_whole();
        for f in [Function::CongCtrl, Function::FileSeg] {
            let clear = stage.world.sent(stage.sender).of(f).datagrams;
            assert_eq!(clear, 0, "{f:?} in the clear");
        }
        let reports = |e: &&E| matches!(e, E::RateReported { .. });
        assert!(stage.sender().events().filter(reports).count() > 20);
        let lost = |e: &&E| matches!(e, E::ClientLost { .. });
        assert_eq!(stage.sender().events().filter(lost).count(), 0);
    }
}
