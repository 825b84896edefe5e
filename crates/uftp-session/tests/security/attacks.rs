//! What an attacker on the network can do to an encrypted session: nothing but be counted.

use uftp_proto::crypto::{
    Cipher, Curve, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_proto::quant::RateCode;
use uftp_proto::wire::{
    Abort, CcAck, CcFlags, Complete, CompleteStatus, CongCtrl, Done, DoneConf, FileInfo,
    FileInfoAck, FileSeg, FileType, Function, KeyInfoAck, Message, Register, Status, TfmccAckInfo,
};
use uftp_proto::{FileId, Seq, Uid, WireTime};
use uftp_session::Refusal;
use uftp_session::receiver::{EndReason, ReceiverEvent, ReceiverEventKind as K};
use uftp_session::sender::SenderEvent as E;
use uftp_sim::scenario::receiver_uid;
use uftp_sim::source::file;

use super::pair::{Pair, Side, function};
use super::scene::suite;

/// One suite for each way packets are protected.
fn suites() -> [Suite; 4] {
    [
        suite(Cipher::Aes256Gcm, Hash::Sha256, KeyExchange::EcdhEcdsa),
        suite(Cipher::Aes128Cbc, Hash::Sha1, KeyExchange::EcdhEcdsa),
        Suite {
            signature: SignatureType::Keyex,
            client_auth: true,
            ..suite(Cipher::Aes128Cbc, Hash::Sha256, KeyExchange::EcdhEcdsa)
        },
        Suite {
            client_auth: true,
            ..suite(Cipher::Aes128Ccm, Hash::Sha384, KeyExchange::Ecdh)
        },
    ]
}

/// What becomes of a packet that is not as it was sent.
const DAMAGED: &[Refusal] = &[
    Refusal::Malformed,
    Refusal::OtherVersion,
    Refusal::OtherSession,
    Refusal::UnknownSource,
    Refusal::OutOfPlace,
    Refusal::Unauthentic,
    Refusal::Uncovered,
];

#[test]
fn no_byte_of_an_encrypted_packet_can_be_changed() {
    for suite in suites() {
        let mut pair = Pair::new(suite, vec![file("file", 3000)]);
        let mut tried = 0;
        pair.play(|pair, to, datagram| {
            if function(datagram) == Function::Encrypted {
                for at in 0..datagram.len() {
                    let mut damaged = datagram.to_vec();
                    damaged[at] ^= 1 << (at % 8);
                    pair.assert_refused(to, damaged, DAMAGED);
                    tried += 1;
                }
                for len in 0..datagram.len() {
                    pair.assert_refused(to, datagram[..len].to_vec(), DAMAGED);
                }
                let mut longer = datagram.to_vec();
                longer.push(0);
                pair.assert_refused(to, longer, DAMAGED);
            }
            true
        });
        pair.assert_whole();
        assert!(tried > 500, "{tried}");
    }
}

#[test]
fn a_damaged_keyinfo_costs_nothing_but_time() {
    let mut pair = Pair::new(suites()[0], vec![file("file", 3000)]);
    let mut damaged = 0;
    pair.play(|pair, to, datagram| {
        if function(datagram) == Function::KeyInfo && damaged == 0 {
            // Everything but what the receiver can make no use of.
            for at in (0..16).chain(20..datagram.len()) {
                let mut copy = datagram.to_vec();
                copy[at] ^= 0x10;
                pair.deliver(to, copy);
                damaged += 1;
            }
        }
        true
    });
    assert!(damaged > 60);
    pair.assert_whole();
}

#[test]
fn the_ids_of_two_members_cannot_be_swapped() {
    for suite in suites() {
        let mut pair = Pair::new(suite, vec![file("file", 3000)]);
        let (server, client) = (pair.config.uid, receiver_uid(0));
        let mut tried = 0;
        pair.play(|pair, to, datagram| {
            if function(datagram) == Function::Encrypted {
                let (other, back) = match to {
                    Side::Sender => (server, Side::Receiver),
                    Side::Receiver => (client, Side::Sender),
                };
                let mut swapped = datagram.to_vec();
                swapped[4..8].copy_from_slice(&other.0.to_be_bytes());
                // Back to its author, and on its way under a wrong name.
                let known = matches!(back, Side::Receiver) || !pair.sender_events.is_empty();
                assert!(known);
                pair.assert_refused(back, swapped.clone(), DAMAGED);
                pair.assert_refused(to, swapped, DAMAGED);
                pair.assert_refused(back, datagram.to_vec(), DAMAGED);
                tried += 1;
            }
            true
        });
        pair.assert_whole();
        assert!(tried > 10);
    }
}

#[test]
fn a_thousand_recorded_datagrams_replayed() {
    // Once a receiver is in, the keys its CLIENT_KEY was sealed with are out of use.
    let replayed = &[Refusal::Replayed, Refusal::Stale, Refusal::Unauthentic];
    for suite in suites() {
        let mut pair = Pair::new(suite, vec![file("file", 1_400_000)]);
        let mut heard = Vec::new();
        let mut again = 0;
        pair.play(|pair, to, datagram| {
            if function(datagram) == Function::Encrypted {
                let nearly_done = heard.len() >= 1000 && again == 0;
                if nearly_done || to == Side::Sender {
                    for (to, old) in &heard {
                        pair.assert_refused(*to, Vec::clone(old), replayed);
                        again += 1;
                    }
                }
                heard.push((to, datagram.to_vec()));
            }
            true
        });
        assert!(again >= 1000, "{again}");
        pair.assert_whole();
        let counted = pair.refused(Side::Receiver, replayed) + pair.refused(Side::Sender, replayed);
        assert_eq!(counted, again);
    }
}

fn downstream() -> Vec<Message<'static>> {
    let clients = vec![receiver_uid(0)];
    vec![
        Message::FileInfo(FileInfo {
            file: FileId(7),
            file_type: FileType::REGULAR,
            size: 10,
            mtime: 0,
            stated_geometry: None,
            timestamp: WireTime(1),
            name: b"forged".to_vec(),
            link: Vec::new(),
            clients: clients.clone(),
        }),
        Message::FileSeg(FileSeg {
            file: FileId(1),
            at: uftp_proto::wire::BlockRef::InSection {
                section: 0,
                block: 0,
            },
            tfmcc: None,
            data: &[0xee; 1300],
        }),
        Message::Done(Done {
            file: FileId::SESSION,
            pass: 0,
            section: 0,
            clients: clients.clone(),
        }),
        Message::DoneConf(DoneConf { clients }),
        Message::CongCtrl(CongCtrl {
            cc_seq: 1,
            cc_rate: RateCode(0x19a0),
            timestamp: WireTime(1),
            items: Vec::new(),
        }),
    ]
}

fn upstream() -> Vec<Message<'static>> {
    vec![
        Message::KeyInfoAck(KeyInfoAck {
            verify_data: vec![0; 12],
        }),
        Message::FileInfoAck(FileInfoAck {
            file: FileId(1),
            partial: true,
            echo: WireTime(1),
            clients: Vec::new(),
        }),
        Message::Status(Status {
            file: FileId(1),
            pass: 0,
            proxy_seq: 0,
            section: 0,
            tfmcc: None,
            naks: &[0xff],
        }),
        Message::Complete(Complete {
            file: FileId(1),
            status: CompleteStatus::NORMAL,
            free_space: None,
            clients: Vec::new(),
        }),
        Message::Complete(Complete {
            file: FileId::SESSION,
            status: CompleteStatus::NORMAL,
            free_space: None,
            clients: Vec::new(),
        }),
        Message::CcAck(CcAck {
            info: TfmccAckInfo {
                flags: CcFlags::empty(),
                cc_seq: 1,
                cc_rate: RateCode(0x19a0),
                client: receiver_uid(0),
                echo: WireTime(1),
            },
        }),
    ]
}

#[test]
fn who_has_proved_itself_is_not_spoken_for_by_strangers() {
    let stranger = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
    for suite in suites() {
        let mut pair = Pair::new(suite, vec![file("file", 3000)]);
        let mut claimed = false;
        pair.play(|pair, _, _| {
            let acked = |e: &E| matches!(e, E::KeyInfoAcked { .. });
            if !claimed && pair.sender_events.iter().any(acked) {
                claimed = true;
                let register = Message::Register(Register {
                    echo: WireTime(1),
                    random: [7; 32],
                    key: stranger.public().blob().to_vec(),
                    clients: vec![receiver_uid(0)],
                });
                let mut packet = pair.forge(Side::Sender, Seq(0), &register);
                packet[4..8].copy_from_slice(&77_u32.to_be_bytes());
                pair.deliver(Side::Sender, packet);
            }
            true
        });
        assert!(claimed);
        pair.assert_whole();
    }
}

#[test]
fn registrations_are_looked_into_within_limits() {
    let stranger = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
    let suite = suite(Cipher::Aes128Gcm, Hash::Sha256, KeyExchange::EcdhEcdsa);
    let mut pair = Pair::new(suite, vec![file("file", 3000)]);
    let mut forged = false;
    pair.play(|pair, _, _| {
        if !forged {
            forged = true;
            for n in 0..2100_u16 {
                let mut random = [7; 32];
                random[..2].copy_from_slice(&n.to_be_bytes());
                let register = Message::Register(Register {
                    echo: WireTime(1),
                    random,
                    key: stranger.public().blob().to_vec(),
                    clients: Vec::new(),
                });
                let packet = pair.forge(Side::Sender, Seq(n), &register);
                pair.deliver(Side::Sender, packet);
            }
            assert_eq!(pair.refused(Side::Sender, &[Refusal::Limit]), 100);
        }
        true
    });
    pair.assert_whole();
}

/// In the names of as many hosts, none of which ever proves anything. They take the places that there
/// are; what they are told is within the bounds of what announcing says anyway, and nobody else misses
/// anything.
#[test]
fn floods_of_registrations_are_answered_with_few_words() {
    const FORGED: u32 = 2100;
    let stranger = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
    for exchange in [KeyExchange::Ecdh, KeyExchange::EcdhEcdsa] {
        let suite = suite(Cipher::Aes128Gcm, Hash::Sha256, exchange);
        let mut pair = Pair::new(suite, vec![file("file", 3000)]);
        let (mut heard, mut said) = (0, 0);
        pair.play(|pair, to, datagram| {
            if to == Side::Receiver {
                said += datagram.len();
            }
            if heard == 0 {
                for n in 0..FORGED {
                    let register = Message::Register(Register {
                        echo: WireTime(1),
                        random: [7; 32],
                        key: stranger.public().blob().to_vec(),
                        clients: Vec::new(),
                    });
                    let mut packet = pair.forge(Side::Sender, Seq(0), &register);
                    packet[4..8].copy_from_slice(&(0x7700_0000 + n).to_be_bytes());
                    heard += packet.len();
                    pair.deliver(Side::Sender, packet);
                }
                assert_eq!(pair.refused(Side::Sender, &[Refusal::Limit]), 100);
            }
            true
        });
        pair.assert_whole();
        // An entry of 52 bytes in each KEYINFO, which come as often as the group is called.
        assert!(said < 8 * heard, "{said} bytes for {heard}");
    }
}

#[test]
fn announcements_are_looked_into_within_limits() {
    // Nobody signs these.
    let suite = suite(Cipher::Aes128Gcm, Hash::Sha256, KeyExchange::Rsa);
    let mut pair = Pair::new(suite, vec![file("file", 3000)]);
    let mut forged = false;
    pair.play(|pair, _, datagram| {
        if !forged && function(datagram) == Function::Announce {
            forged = true;
            let abort = Message::Abort(Abort {
                current_file: false,
                host: Uid::NONE,
                reason: "forged".into(),
            });
            for group in 1_000..1_500_u32 {
                let farewell = pair.forge(Side::Receiver, Seq(9), &abort);
                for mut packet in [datagram.to_vec(), farewell] {
                    packet[8..12].copy_from_slice(&group.to_be_bytes());
                    pair.deliver(Side::Receiver, packet);
                }
            }
            let opened = |e: &&ReceiverEvent| matches!(e.kind, K::Announced { .. });
            assert_eq!(pair.receiver_events.iter().filter(opened).count(), 100);
            assert_eq!(pair.refused(Side::Receiver, &[Refusal::Limit]), 400);
        }
        true
    });
    assert!(forged);
    pair.assert_whole();
}

#[test]
fn control_messages_in_the_clear_are_refused_in_every_phase() {
    let abort = Message::Abort(Abort {
        current_file: false,
        host: Uid::NONE,
        reason: "forged".into(),
    });
    let uncovered = &[Refusal::Uncovered];
    for suite in suites() {
        let mut pair = Pair::new(suite, vec![file("file", 3000)]);
        let mut injected = 0;
        pair.play(|pair, _, _| {
            let at = |pair: &Pair, kind: &K| pair.receiver_events.iter().any(|e| e.kind == *kind);
            let open = pair.receiver_events.len() > 1 && !pair.receiver.is_idle();
            if open {
                let seq = Seq(40_000 + injected);
                for message in downstream() {
                    let forged = pair.forge(Side::Receiver, seq, &message);
                    pair.assert_refused(Side::Receiver, forged, uncovered);
                }
                if at(pair, &K::Confirmed) {
                    let forged = pair.forge(Side::Receiver, seq, &abort);
                    pair.assert_refused(Side::Receiver, forged, uncovered);
                }
                injected += 1;
            }
            if !pair.sender.is_finished() {
                for message in upstream() {
                    let forged = pair.forge(Side::Sender, Seq(9), &message);
                    pair.assert_refused(Side::Sender, forged, uncovered);
                }
                let acked = |e: &E| matches!(e, E::KeyInfoAcked { .. });
                if pair.sender_events.iter().any(acked) {
                    let forged = pair.forge(Side::Sender, Seq(9), &abort);
                    pair.assert_refused(Side::Sender, forged, uncovered);
                }
            }
            true
        });
        assert!(injected > 10);
        pair.assert_whole();
    }
}

/// Whoever has no keys yet cannot tell who sends it away. It waits for them as long as it would have
/// anyway, and takes part if they come.
#[test]
fn an_abort_in_the_clear_counts_if_no_keys_come() {
    let abort = |host| {
        Message::Abort(Abort {
            current_file: false,
            host,
            reason: "go".into(),
        })
    };
    for suite in suites() {
        for (host, keys_come) in [
            (Uid::NONE, true),
            (receiver_uid(0), true),
            (Uid::NONE, false),
            (receiver_uid(0), false),
        ] {
            let mut pair = Pair::new(suite, vec![file("file", 3000)]);
            let mut forged = 0;
            pair.play(|pair, to, datagram| {
                let registers = function(datagram) == Function::Register;
                if registers && to == Side::Sender && forged < 3 {
                    forged += 1;
                    let packet = pair.forge(Side::Receiver, Seq(9), &abort(host));
                    pair.deliver(Side::Receiver, packet);
                }
                keys_come || !registers
            });
            let told = |kind: &K| {
                let events = pair.receiver_events.iter();
                events.filter(|e| e.kind == *kind).count()
            };
            assert_eq!(told(&K::Dismissed("go".into())), 1);
            let over = K::Ended(EndReason::AbortedByServer("go".into()));
            assert_eq!(told(&over), usize::from(!keys_come));
            if keys_come {
                pair.assert_whole();
            }
        }
    }
}
