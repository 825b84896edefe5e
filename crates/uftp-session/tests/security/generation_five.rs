//! What is particular to protocol 5: everybody has keys of its own, CLIENT_KEY is sealed, KEYINFO
//! is signed (wire-v5 §7 to §10). The traps of wire-v5 §15 have a test each.

use std::sync::Arc;

use uftp_proto::crypto::{Cipher, Curve, Hash, KeyExchange, KeySpec, PrivateKey, Suite};
use uftp_proto::wire::{self, ClientKey, Encrypted, Function, Message, Version};
use uftp_proto::{FileId, Seq};
use uftp_session::Refusal;
use uftp_session::congestion::Limits;
use uftp_session::receiver::ReceiverEventKind as K;
use uftp_session::security::{ReceiverSecurity, SecurityError, SenderSecurity};
use uftp_session::sender::{FileOutcome, Rate, SenderEvent as E, SyncMode};
use uftp_sim::peers::ReceiverNode;
use uftp_sim::scenario::receiver_uid;
use uftp_sim::source::file;
use uftp_sim::{Loss, PathConfig, Scenario, Stage};

use super::pair::{Pair, Side, function};
use super::scene::{EC, LIMIT, RSA, known_by, scene, suite};
use super::suites::assert_covered;

const CIPHERS: [Cipher; 4] = [
    Cipher::Aes128Gcm,
    Cipher::Aes256Gcm,
    Cipher::Aes128Ccm,
    Cipher::Aes256Ccm,
];
const HASHES: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

fn curves() -> [Curve; 3] {
    ["secp256r1", "secp384r1", "secp521r1"].map(|name| name.parse().unwrap())
}

fn five(client_auth: bool) -> Suite {
    Suite {
        client_auth,
        ..suite(Cipher::Aes256Gcm, Hash::Sha256, KeyExchange::Ecdh)
    }
}

/// A session under the key `server`, with ephemeral keys on `curve`.
fn under(suite: Suite, server: &Arc<PrivateKey>, curve: Curve) -> Scenario {
    let security = SenderSecurity::new(Version::V5, suite, server.clone(), curve).unwrap();
    scene(1, 2, suite).configure(|c| c.security = Some(security))
}

fn made(spec: &str) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::generate(spec.parse::<KeySpec>().unwrap()).unwrap())
}

/// The counter of a packet that is sealed, or carries keys that are.
fn counter(datagram: &[u8]) -> Option<u64> {
    let header = wire::decode_header(datagram).unwrap();
    match wire::decode(header.version, header.function, &datagram[16..]) {
        Ok(Message::KeyInfo(keys)) => Some(keys.iv_counter),
        _ if header.function == Function::Encrypted => {
            let parts = Encrypted::decode(header.version, datagram).unwrap();
            assert!(parts.signature.is_empty(), "nothing is signed");
            Some(parts.iv_counter)
        }
        _ => None,
    }
}

#[test]
fn every_cipher_with_every_hash_and_curve() {
    let mut played = 0;
    for cipher in CIPHERS {
        for hash in HASHES {
            for curve in curves() {
                for client_auth in [false, true] {
                    let suite = Suite {
                        client_auth,
                        ..suite(cipher, hash, KeyExchange::Ecdh)
                    };
                    assert_covered(&under(suite, &EC.server, curve).stage().play(LIMIT));
                    played += 1;
                }
            }
        }
    }
    assert_eq!(played, 72);
}

#[test]
fn identities_of_every_kind_on_either_side() {
    let keys = [
        "rsa:2048",
        "rsa:3072",
        "ec:secp256r1",
        "ec:secp384r1",
        "ec:secp521r1",
    ]
    .map(made);
    for (at, server) in keys.iter().enumerate() {
        for curve in curves() {
            let mut scenario = under(five(true), server, curve);
            // Nobody's key need be like anybody else's.
            let clients = [&keys[(at + 1) % keys.len()], &keys[(at + 3) % keys.len()]];
            for (security, key) in scenario.securities.iter_mut().zip(clients) {
                security.keys = vec![key.clone()];
            }
            assert_covered(&scenario.stage().play(LIMIT));
        }
    }
}

#[test]
fn a_key_too_large_for_its_messages_is_refused_before_the_session() {
    let large = made("rsa:4096");
    let told = SenderSecurity::new(Version::V5, five(false), large.clone(), Curve::DEFAULT);
    let told = told.unwrap_err();
    assert!(matches!(told, SecurityError::TooLarge(_)), "{told}");
    let mut scenario = under(five(true), &EC.server, Curve::DEFAULT);
    scenario.securities[0].keys = vec![large];
    let stage = scenario.stage().play(LIMIT);
    stage.assert_whole(1);
    assert!(stage.sender().events().any(|e| matches!(
        e,
        E::Declined { reason, .. }
            if reason == "No client key compatible with server key"
    )));
}

#[test]
fn curves_and_algorithms_of_protocol_4_are_refused() {
    let make = |suite, key: &Arc<PrivateKey>, curve: &str| {
        SenderSecurity::new(Version::V5, suite, key.clone(), curve.parse().unwrap())
    };
    let odd = made("ec:secp256k1");
    let five = five(false);
    for told in [
        make(five, &EC.server, "secp256k1"),
        make(five, &odd, "secp256r1"),
    ] {
        assert!(matches!(told, Err(SecurityError::Curve(_))), "{told:?}");
    }
    for suite in [
        suite(Cipher::Aes256Cbc, Hash::Sha256, KeyExchange::Ecdh),
        suite(Cipher::Aes256Gcm, Hash::Sha1, KeyExchange::Ecdh),
        suite(Cipher::Aes256Gcm, Hash::Sha256, KeyExchange::Rsa),
    ] {
        let told = make(suite, &RSA.server, "secp256r1");
        assert!(matches!(told, Err(SecurityError::Suite(_))), "{told:?}");
    }
}

#[test]
fn a_closed_group_of_receivers_known_by_their_keys() {
    let keys = EC.clients.iter();
    let mut prints: Vec<_> = keys.map(|k| k.public().fingerprint()).collect();
    let stage = known_by(scene(1, 3, five(true)), &prints).stage();
    stage.play(LIMIT).assert_all_whole();
    prints[1] = prints[2];
    let stage = known_by(scene(1, 3, five(true)), &prints).stage();
    let stage = stage.play(LIMIT);
    stage.assert_whole(0);
    stage.assert_whole(2);
    let verdict = stage.sender().verdict(FileId(1), receiver_uid(1));
    assert_eq!(verdict, Some(FileOutcome::Mute));
    let rejected =
        |e: &&E| matches!(e, E::ClientKeyRejected { client } if *client == receiver_uid(1));
    assert_eq!(stage.sender().events().filter(rejected).count(), 1);
}

#[test]
fn receivers_without_keys_make_one() {
    let mut scenario = scene(1, 3, five(true));
    scenario.securities = vec![ReceiverSecurity::default(); 3];
    assert_covered(&scenario.stage().play(LIMIT));
}

#[test]
fn losses_reordering_and_copies_delay_but_do_not_prevent() {
    let path = PathConfig {
        loss: Loss::Random(0.1),
        duplicate: 0.05,
        jitter: std::time::Duration::from_millis(3),
        ..PathConfig::default()
    };
    for seed in 1..4 {
        let mut scenario = scene(seed, 3, five(seed % 2 == 0)).paths(path, path);
        scenario.items = vec![file("large", 300_000), file("small", 10)];
        scenario.stage().play(LIMIT).assert_all_whole();
    }
}

#[test]
fn congestion_is_controlled_under_cover() {
    let path = PathConfig {
        delay: std::time::Duration::from_millis(10),
        loss: Loss::Random(0.02),
        ..PathConfig::default()
    };
    let mut scenario = scene(1, 3, five(false)).paths(path, path);
    scenario.items = vec![file("one", 400_000), file("two", 400_000)];
    let scenario = scenario.configure(|c| c.rate = Rate::Tfmcc(Limits::default()));
    let stage = scenario.stage().play(LIMIT);
    stage.assert_all_whole();
    let reports = |e: &&E| matches!(e, E::RateReported { .. });
    assert!(stage.sender().events().filter(reports).count() > 20);
}

#[test]
fn open_groups_and_synchronized_trees() {
    let stage = scene(1, 3, five(true)).open().stage().play(LIMIT);
    stage.assert_all_whole();
    let synced = scene(1, 2, five(false)).configure(|c| c.sync = SyncMode::Sync);
    let stage = synced.stage().play(LIMIT);
    stage.assert_all_whole();
}

#[test]
fn a_receiver_that_leaves_says_so_under_its_own_key() {
    let mut scenario = scene(1, 2, five(false));
    scenario.items = vec![file("large", 3_000_000)];
    let mut stage = scenario.stage();
    stage.world.run_for(std::time::Duration::from_millis(900));
    assert!(stage.receiver(1).kinds().any(|k| *k == K::Confirmed));
    let leaver = stage.receivers[1];
    stage.world.with(leaver, |node: &mut ReceiverNode, now| {
        node.machine.shutdown(now)
    });
    let stage = stage.play(LIMIT);
    stage.assert_whole(0);
    let left = |e: &&E| {
        matches!(
            e,
            E::ClientAborted {
                by_client: true,
                ..
            }
        )
    };
    assert_eq!(stage.sender().events().filter(left).count(), 1);
    assert_eq!(words_in_the_clear(&stage), 0);
}

fn words_in_the_clear(stage: &Stage) -> u64 {
    let aborts = |id| stage.world.sent(id).of(Function::Abort).datagrams;
    stage.receivers.iter().map(|id| aborts(*id)).sum()
}

#[test]
fn each_end_counts_all_it_seals_in_one_row() {
    let mut pair = Pair::new(five(true), vec![file("file", 30_000)]);
    let mut seen: [Vec<u64>; 2] = Default::default();
    pair.play(|_, to, datagram| {
        seen[usize::from(to == Side::Sender)].extend(counter(datagram));
        true
    });
    pair.assert_whole();
    // Keys in KEYINFO, CLIENT_KEY and all else: no value is left out or used twice.
    for row in seen {
        let count = row.len() as u64;
        assert_eq!(row, (1..=count).collect::<Vec<_>>());
        assert!(count > 4);
    }
}

#[test]
fn client_key_is_never_in_the_clear_nor_taken_from_there() {
    let mut pair = Pair::new(five(true), vec![file("file", 3000)]);
    let clear = Message::ClientKey(ClientKey {
        key: EC.clients[0].public().blob().to_vec(),
        signature: vec![0; 68],
    });
    let mut forged = 0;
    pair.play(|pair, to, datagram| {
        assert_ne!(function(datagram), Function::ClientKey);
        if to == Side::Sender && !pair.sender.is_finished() {
            let message = pair.forge(Side::Sender, Seq(9), &clear);
            pair.assert_refused(Side::Sender, message, &[Refusal::Uncovered]);
            forged += 1;
        }
        true
    });
    assert!(forged > 3);
    pair.assert_whole();
}

#[test]
fn no_byte_of_a_keyinfo_can_be_changed() {
    let mut pair = Pair::new(five(false), vec![file("file", 3000)]);
    let mut tried = 0;
    let why = &[
        Refusal::Unauthentic,
        Refusal::Malformed,
        Refusal::OtherSession,
        Refusal::OtherVersion,
        Refusal::UnknownSource,
        Refusal::OutOfPlace,
        Refusal::Uncovered,
    ];
    pair.play(|pair, to, datagram| {
        if function(datagram) == Function::KeyInfo {
            // Everything but what makes the receiver's entry another's: its id, and the length
            // that says where it lies.
            let entry = datagram.len() - 52..datagram.len() - 48;
            for at in (0..datagram.len()).filter(|at| *at != 17 && !entry.contains(at)) {
                let mut damaged = datagram.to_vec();
                damaged[at] ^= 1 << (at % 8);
                pair.assert_refused(to, damaged, why);
                tried += 1;
            }
        }
        true
    });
    pair.assert_whole();
    assert!(tried > 100, "{tried}");
}

#[test]
fn keys_that_were_never_set_open_nothing() {
    // A packet under a key and salt of zeros, as it would come from somebody who counts on
    // buffers that nobody filled.
    let zero_sealed = |clear: &[u8], counter: u64| {
        let mut packet = clear[..16].to_vec();
        packet[1] = 18;
        packet.extend(counter.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(u16::try_from(clear.len()).unwrap().to_be_bytes());
        let mut iv = [0; 12];
        iv[4..].copy_from_slice(&counter.to_be_bytes());
        let mut tag = [0; 16];
        let sealed = openssl::symm::encrypt_aead(
            openssl::symm::Cipher::aes_256_gcm(),
            &[0; 32],
            Some(&iv),
            &packet,
            &clear[16..],
            &mut tag,
        );
        packet.extend(sealed.unwrap());
        packet.extend(tag);
        packet
    };
    for client_auth in [false, true] {
        let mut pair = Pair::new(five(client_auth), vec![file("file", 3000)]);
        let abort = Message::Abort(uftp_proto::wire::Abort {
            current_file: false,
            host: uftp_proto::Uid::NONE,
            reason: "forged".into(),
        });
        let mut tried = 0;
        pair.play(|pair, _, _| {
            for side in [Side::Sender, Side::Receiver] {
                let idle = match side {
                    Side::Sender => pair.sender.is_finished(),
                    Side::Receiver => pair.receiver.is_idle(),
                };
                if !idle {
                    let clear = pair.forge(side, Seq(3), &abort);
                    let forged = zero_sealed(&clear, 500 + tried);
                    pair.assert_refused(side, forged, &[Refusal::Unauthentic]);
                    tried += 1;
                }
            }
            true
        });
        assert!(tried > 10);
        pair.assert_whole();
    }
}

#[test]
fn copies_of_an_announcement_are_one_session() {
    // Every copy has a number, a time and a signature of its own; none of them takes part in the
    // keys (wire-v5 §7.1).
    let mut pair = Pair::new(five(true), vec![file("file", 3000)]);
    let mut announced = 0;
    let mut registered = Vec::new();
    pair.play(|_, to, datagram| {
        match function(datagram) {
            Function::Announce => announced += 1,
            Function::Register => registered.push(datagram[16..].to_vec()),
            Function::KeyInfo if announced < 4 => return false,
            // The receiver registers at the second, again before the fourth, and is handed keys
            // then.
            _ => {}
        }
        !(to == Side::Receiver && function(datagram) == Function::Announce && announced == 1)
    });
    pair.assert_whole();
    assert!(announced >= 4 && registered.len() >= 2);
    let same = |r: &Vec<u8>| r[12..] == registered[0][12..];
    assert!(registered.iter().all(same), "one random number, one key");
}

#[test]
fn a_lost_acknowledgement_is_repeated_not_taken_for_an_attack() {
    let mut pair = Pair::new(five(false), vec![file("file", 3000)]);
    let mut key_infos = 0;
    let mut dropped = 0;
    pair.play(|_, to, datagram| {
        key_infos += u32::from(function(datagram) == Function::KeyInfo);
        let acknowledges = to == Side::Sender && function(datagram) == Function::Encrypted;
        if acknowledges && dropped < 2 {
            dropped += 1;
            return false;
        }
        true
    });
    pair.assert_whole();
    assert!(key_infos >= 3);
    assert_eq!(pair.refused(Side::Receiver, &[Refusal::Replayed]), 0);
}

/// As a proxy of 5.0.1 does when more receivers come, or one whose repeated CLIENT_KEY is late.
#[test]
fn who_has_proved_itself_may_say_again_who_it_is() {
    let mut pair = Pair::new(five(true), vec![file("file", 3000)]);
    let mut sealed = 0;
    let mut late = None;
    pair.play(|pair, to, datagram| {
        match function(datagram) {
            // Until it has said twice who it is.
            Function::KeyInfo => return late.is_some(),
            Function::Encrypted if to == Side::Sender => sealed += 1,
            _ => return true,
        }
        match sealed {
            2 => late = Some(datagram.to_vec()),
            3 => {
                pair.deliver(to, datagram.to_vec());
                pair.deliver(to, late.clone().unwrap());
                let acknowledged = |e: &E| matches!(e, E::KeyInfoAcked { .. });
                assert!(pair.sender_events.iter().any(acknowledged));
                let again = |e: &E| matches!(e, E::ClientKeyReceived { again: true, .. });
                assert!(pair.sender_events.iter().any(again));
            }
            _ => return true,
        }
        false
    });
    pair.assert_whole();
    assert!(late.is_some());
    assert_eq!(pair.refused(Side::Sender, &[Refusal::Unauthentic]), 0);
}
