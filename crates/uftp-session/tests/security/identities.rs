//! Who may take part: keys, fingerprints, lists.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uftp_proto::crypto::{
    Cipher, Curve, Fingerprint, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_proto::wire::{Function, KeyInfo, Message, Version};
use uftp_proto::{Seq, Uid};
use uftp_session::Refusal;
use uftp_session::receiver::{EndReason, ReceiverEvent, ReceiverEventKind as K};
use uftp_session::security::{ReceiverSecurity, SecurityError, SenderSecurity, ServerEntry};
use uftp_session::sender::{FileOutcome, Outcome, SenderEvent as E};
use uftp_sim::Stage;
use uftp_sim::scenario::{receiver_uid, sender_config};
use uftp_sim::source::file;

use super::pair::{Pair, Side, function};
use super::scene::{EC, LIMIT, RSA, keys_for, known_by, scene, suite};

fn with_auth(cipher: Cipher, exchange: KeyExchange) -> Suite {
    Suite {
        client_auth: true,
        ..suite(cipher, Hash::Sha256, exchange)
    }
}

fn prints(exchange: KeyExchange) -> Vec<Fingerprint> {
    let keys = keys_for(exchange).clients.iter();
    keys.map(|k| k.public().fingerprint()).collect()
}

/// Why receivers would not come, as the sender was told.
fn aborts(stage: &Stage) -> Vec<&str> {
    fn declined(event: &E) -> Option<&str> {
        match event {
            E::Declined { reason, .. } => Some(reason),
            _ => None,
        }
    }
    stage.sender().events().filter_map(declined).collect()
}

#[test]
fn three_receivers_prove_who_they_are() {
    for exchange in [KeyExchange::Rsa, KeyExchange::EcdhEcdsa] {
        let scenario = scene(1, 3, with_auth(Cipher::Aes256Gcm, exchange));
        let stage = known_by(scenario, &prints(exchange)).stage().play(LIMIT);
        stage.assert_all_whole();
    }
}

#[test]
fn a_receiver_with_another_key_than_expected_gets_nothing() {
    let exchange = KeyExchange::EcdhRsa;
    let mut prints = prints(exchange);
    prints[1] = prints[2];
    let scenario = scene(1, 3, with_auth(Cipher::Aes128Gcm, exchange));
    let stage = known_by(scenario, &prints).stage().play(LIMIT);
    stage.assert_whole(0);
    stage.assert_whole(2);
    assert_eq!(stage.sender().outcome(), Some(Outcome::Success));
    assert!(stage.receiver(1).store.look().stored.is_empty());
    assert!(stage.receiver(1).kinds().all(|k| *k != K::KeyInfoReceived));
    let verdict = stage
        .sender()
        .verdict(uftp_proto::FileId(1), receiver_uid(1));
    assert_eq!(verdict, Some(FileOutcome::Mute));
    let told = stage.sender().events();
    let rejected =
        |e: &&E| matches!(e, E::ClientKeyRejected { client } if *client == receiver_uid(1));
    assert_eq!(
        told.filter(rejected).count(),
        1,
        "told once, however often it comes"
    );
    let counters = stage.sender().machine.counters();
    assert!(counters.refused(Refusal::Unauthentic) > 1);
}

#[test]
fn a_server_with_another_key_than_expected_is_refused() {
    let suite = suite(Cipher::Aes128Gcm, Hash::Sha256, KeyExchange::EcdhEcdsa);
    let server = sender_config(0).uid;
    let trusting = |uid, fingerprint| ReceiverSecurity {
        servers: Some(vec![ServerEntry {
            uid,
            addresses: Vec::new(),
            proxy: None,
            fingerprint,
        }]),
        ..ReceiverSecurity::default()
    };
    let right = EC.server.public().fingerprint();
    let wrong = EC.clients[0].public().fingerprint();
    let mut scenario = scene(1, 4, suite);
    scenario.securities = vec![
        trusting(server, Some(right)),
        trusting(server, None),
        trusting(server, Some(wrong)),
        trusting(Uid(9), Some(right)),
    ];
    let stage = scenario.stage().play(LIMIT);
    stage.assert_whole(0);
    stage.assert_whole(1);
    assert_eq!(
        aborts(&stage),
        [
            "Failed to verify server key fingerprint",
            "Server not in server list"
        ]
    );
}

/// It refuses each time it is called, and is told of once. The session goes on without it, or not at
/// all if the operator wants all or nothing.
#[test]
fn who_refuses_to_the_end_has_aborted() {
    let suite = suite(Cipher::Aes128Gcm, Hash::Sha256, KeyExchange::EcdhEcdsa);
    for (quit, receivers, outcome) in [
        (false, 2, Outcome::Success),
        (true, 2, Outcome::NobodyRegistered),
        (false, 1, Outcome::NobodyRegistered),
    ] {
        let all: Vec<_> = EC
            .clients
            .iter()
            .map(|k| k.public().fingerprint())
            .collect();
        let scenario = known_by(scene(1, receivers, suite), &all[..receivers]);
        let mut scenario = scenario.configure(move |c| c.quit_on_error = quit);
        scenario.securities[0].servers = Some(Vec::new());
        let stage = scenario.stage().play(LIMIT);
        assert_eq!(stage.sender().outcome(), Some(outcome));
        assert_eq!(aborts(&stage), ["Server not in server list"]);
        let refusals = stage.world.sent(stage.receivers[0]).of(Function::Abort);
        assert!(refusals.datagrams > 10, "it was called to the end");
        let verdict = |i| {
            let file = uftp_proto::FileId(1);
            stage.sender().verdict(file, receiver_uid(i))
        };
        match outcome {
            Outcome::Success => {
                stage.assert_whole(1);
                assert_eq!(verdict(0), Some(FileOutcome::Aborted));
            }
            _ if quit => {
                let words = "A client aborted, aborting all".to_owned();
                let ends = stage.receiver(1).ends();
                assert!(
                    ends.contains(&EndReason::AbortedByServer(words)),
                    "{ends:?}"
                );
            }
            _ => assert_eq!(verdict(0), None),
        }
    }
}

#[test]
fn packets_signed_one_by_one_need_keys_of_one_kind() {
    let suite = Suite {
        signature: SignatureType::Keyex,
        ..suite(Cipher::Aes128Cbc, Hash::Sha256, KeyExchange::EcdhEcdsa)
    };
    let mut scenario = scene(1, 2, suite);
    // The first has no key of the kind; the second none at all, and makes one.
    scenario.securities[0].keys = vec![RSA.clients[0].clone()];
    scenario.securities[1].keys.clear();
    let stage = scenario.stage().play(LIMIT);
    stage.assert_whole(1);
    assert_eq!(aborts(&stage), ["No client key compatible with server key"]);
}

#[test]
fn a_key_of_another_kind_will_do_for_client_authentication() {
    let mut scenario = scene(1, 1, with_auth(Cipher::Aes128Gcm, KeyExchange::EcdhRsa));
    scenario.securities[0].keys = vec![EC.clients[0].clone()];
    scenario.stage().play(LIMIT).assert_all_whole();
}

#[test]
fn an_impostor_does_not_keep_the_real_one_out() {
    for suite in [
        with_auth(Cipher::Aes256Gcm, KeyExchange::EcdhEcdsa),
        suite(Cipher::Aes256Gcm, Hash::Sha256, KeyExchange::Rsa),
        suite(Cipher::Aes256Gcm, Hash::Sha256, KeyExchange::Ecdh),
    ] {
        // What an impostor says in another world is good REGISTER and CLIENT_KEY, but for other
        // secrets.
        let mut foreign = Vec::new();
        let mut other = Pair::new(suite, vec![file("file", 100)]);
        other.play(|_, _, datagram| {
            if matches!(function(datagram), Function::Register | Function::ClientKey) {
                foreign.push(datagram.to_vec());
            }
            true
        });
        let mut pair = Pair::new(suite, vec![file("file", 3000)]);
        let mut waves = 0;
        pair.play(|pair, to, datagram| {
            let last = match suite.client_auth {
                true => Function::ClientKey,
                false => Function::Register,
            };
            // Before the real one, and after it.
            if waves < 2 && [Function::Register, last].contains(&function(datagram)) {
                let after = waves > 0 || last == Function::Register;
                waves += 1;
                if after {
                    pair.deliver(to, datagram.to_vec());
                }
                for forged in foreign.clone() {
                    pair.deliver(to, forged);
                }
                return !after;
            }
            true
        });
        assert!(waves > 0);
        pair.assert_whole();
    }
}

#[test]
fn keys_that_make_sense_by_chance_do_not_end_the_registration() {
    for suite in [
        with_auth(Cipher::Aes256Gcm, KeyExchange::EcdhEcdsa),
        suite(Cipher::Aes128Cbc, Hash::Sha256, KeyExchange::Rsa),
        suite(Cipher::Aes256Gcm, Hash::Sha256, KeyExchange::EcdhRsa),
    ] {
        let mut pair = Pair::new(suite, vec![file("file", 3000)]);
        let mut rng = StdRng::seed_from_u64(1);
        let mut lost = 0;
        pair.play(|pair, to, datagram| {
            if lost > 0 || function(datagram) != Function::Register {
                return true;
            }
            // The sender does not hear of the receiver, but somebody hands it keys until it takes
            // what comes out of them.
            assert_eq!(to, Side::Sender);
            lost += 1;
            let taken = |e: &ReceiverEvent| e.kind == K::KeyInfoReceived;
            let mut tries = 0;
            while !pair.receiver_events.iter().any(taken) {
                tries += 1;
                assert!(tries < 20_000, "one in 256 makes sense");
                let mut wrapped = [0; 48];
                rng.fill_bytes(&mut wrapped);
                let message = Message::KeyInfo(KeyInfo {
                    iv_counter: tries,
                    signature: Vec::new(),
                    keys: vec![(receiver_uid(0), wrapped)],
                });
                let forged = pair.forge(Side::Receiver, Seq(0), &message);
                pair.deliver(Side::Receiver, forged);
            }
            false
        });
        assert_eq!(lost, 1);
        pair.assert_whole();
    }
}

#[test]
fn client_key_may_overtake_register() {
    let suite = with_auth(Cipher::Aes256Gcm, KeyExchange::EcdhEcdsa);
    let mut pair = Pair::new(suite, vec![file("file", 3000)]);
    pair.config.clients = None;
    let mut held = None;
    let mut swapped = 0;
    pair.play(|pair, to, datagram| {
        match function(datagram) {
            Function::Register if swapped == 0 => {
                held = Some(datagram.to_vec());
                return false;
            }
            Function::ClientKey if swapped == 0 => {
                // In an open group nobody is known before its REGISTER; the second CLIENT_KEY
                // comes after it.
                swapped += 1;
                pair.deliver(to, datagram.to_vec());
                pair.deliver(to, held.take().unwrap());
            }
            _ => {}
        }
        true
    });
    assert_eq!(swapped, 1);
    pair.assert_whole();
    assert_eq!(pair.refused(Side::Sender, &[Refusal::UnknownSource]), 1);
}

#[test]
fn the_algorithms_must_go_with_the_key() {
    let make = |suite, key: &Arc<PrivateKey>| {
        SenderSecurity::new(Version::V4, suite, key.clone(), Curve::DEFAULT)
    };
    let gcm = |exchange| suite(Cipher::Aes256Gcm, Hash::Sha256, exchange);
    assert!(make(gcm(KeyExchange::EcdhRsa), &RSA.server).is_ok());
    for (exchange, key) in [
        (KeyExchange::EcdhRsa, &EC.server),
        (KeyExchange::Rsa, &EC.server),
        (KeyExchange::EcdhEcdsa, &RSA.server),
    ] {
        let told = make(gcm(exchange), key).unwrap_err();
        assert!(matches!(told, SecurityError::Identity { .. }), "{told}");
    }
    let hmac = Suite {
        signature: SignatureType::Hmac,
        ..gcm(KeyExchange::EcdhRsa)
    };
    assert!(matches!(
        make(hmac, &RSA.server),
        Err(SecurityError::Suite(_))
    ));
    // A small key cannot sign with a large hash.
    let small = Arc::new(PrivateKey::generate(KeySpec::Rsa(512)).unwrap());
    let signing = suite(Cipher::Aes256Gcm, Hash::Sha512, KeyExchange::EcdhRsa);
    assert!(matches!(make(signing, &small), Err(SecurityError::Key(_))));
    // 1020 bytes of header hold no two fields of a key of 4096 bits.
    let large = Arc::new(PrivateKey::generate(KeySpec::Rsa(4096)).unwrap());
    let told = make(gcm(KeyExchange::EcdhRsa), &large).unwrap_err();
    assert!(matches!(told, SecurityError::TooLarge(_)), "{told}");
    assert!(make(gcm(KeyExchange::Rsa), &large).is_ok());
}

#[test]
fn source_specific_groups_are_joined_for_the_listed_senders() {
    let suite = suite(Cipher::Aes128Gcm, Hash::Sha256, KeyExchange::EcdhEcdsa);
    let sources = vec!["10.0.0.1".parse().unwrap()];
    let mut scenario = scene(1, 1, suite);
    scenario.securities = vec![ReceiverSecurity {
        servers: Some(vec![ServerEntry {
            uid: sender_config(0).uid,
            addresses: sources.clone(),
            proxy: None,
            fingerprint: None,
        }]),
        source_specific: true,
        ..ReceiverSecurity::default()
    }];
    let refused = scenario.clone().stage().play(LIMIT);
    assert_eq!(
        aborts(&refused),
        ["Invalid source specific multicast address"]
    );
    let group = "232.5.5.1".parse().unwrap();
    let mut stage = scenario.configure(|c| c.private.set_ip(group)).stage();
    stage.world.run_for(std::time::Duration::from_millis(100));
    let joined = K::JoinFrom { group, sources };
    assert!(stage.receiver(0).kinds().any(|k| *k == joined));
}
