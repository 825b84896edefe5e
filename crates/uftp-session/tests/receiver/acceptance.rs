//! Which announcements are answered, and how; which datagrams are dropped.

use std::net::IpAddr;

use uftp_proto::wire::{
    Announce, AnnounceFlags, EncInfo, Header, Message, Pace, Register, Version,
};
use uftp_proto::{GroupId, Instance, Uid, WireTime};
use uftp_session::Refusal;
use uftp_session::receiver::{EndReason, ReceiverConfig, ReceiverEventKind as Kind, ResponseProxy};
use uftp_session::security::{ProxyEntry, ReceiverSecurity, ServerEntry};

use super::support::{Bench, ME, Script, config};

/// What a fresh receiver says to a changed announcement.
fn answer(change: impl FnOnce(&mut Announce)) -> Vec<String> {
    let mut script = Script::default();
    let mut announce = script.announcement(&[ME]);
    change(&mut announce);
    let mut bench = Bench::new();
    bench.hear(&mut script, |s| s.packet(&Message::Announce(announce)));
    if bench.receiver.poll_timeout().is_none() {
        assert!(bench.receiver.is_idle());
        assert_eq!(bench.happened(), []);
    }
    bench.said()
}

/// What a fresh receiver says to an announcement with changed bytes.
fn answer_to_bytes(clients: &[Uid], change: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
    let mut script = Script::default();
    let mut packet = script.announce(clients);
    change(&mut packet);
    let mut bench = Bench::new();
    bench.feed(script.addr, &mut packet);
    bench.said()
}

#[test]
fn open_and_closed_groups() {
    assert_eq!(answer(|a| a.clients = vec![]), ["REGISTER"]);
    assert_eq!(answer(|a| a.clients = vec![Uid(9), ME]), ["REGISTER"]);
    assert_eq!(answer(|a| a.clients = vec![Uid(9)]), [""; 0]);
}

#[test]
fn a_list_may_be_split_over_datagrams() {
    let mut script = Script::default();
    let mut bench = Bench::new();
    bench.hear(&mut script, |s| s.announce(&[Uid(1), Uid(2)]));
    assert_eq!(bench.said(), [""; 0]);
    bench.hear(&mut script, |s| s.announce(&[Uid(3), ME]));
    assert_eq!(bench.said(), ["REGISTER"]);
    assert_eq!(bench.refused_only(Refusal::OtherSession), 1);
}

#[test]
fn a_null_id_ends_a_list() {
    let ids = Header::LEN + 24;
    let list = [Uid(1), Uid(2), ME];
    assert_eq!(answer_to_bytes(&list, |_| {}), ["REGISTER"]);
    let cut = answer_to_bytes(&list, |p| p[ids + 4..ids + 8].fill(0));
    assert_eq!(cut, [""; 0]);
    let empty = answer_to_bytes(&list, |p| p[ids..ids + 4].fill(0));
    assert_eq!(empty, [""; 0], "no invitation of everybody");
}

#[test]
fn private_groups() {
    let bad = answer(|a| a.private = IpAddr::from([10, 1, 2, 3]));
    assert_eq!(bad, ["ABORT Invalid multicast address"]);
    let v6 = |a: &mut Announce| {
        a.public = "ff12::4".parse().unwrap();
        a.private = "ff12::5".parse().unwrap();
    };
    assert_eq!(answer(v6), ["REGISTER"]);
}

#[test]
fn a_block_size_of_zero_is_refused() {
    let zero = answer(|a| {
        if let Pace::Adaptive { block_size, .. } = &mut a.pace {
            *block_size = 0;
        }
    });
    assert_eq!(zero, ["ABORT Invalid block size"]);
}

#[test]
fn broken_lengths_are_answered_only_by_the_invited() {
    let hlen = Header::LEN + 1;
    // The header ends between the addresses.
    let short = |p: &mut Vec<u8>| p[hlen] = 5;
    let broken = ["ABORT Invalid header size"];
    assert_eq!(answer_to_bytes(&[ME], short), broken);
    assert_eq!(answer_to_bytes(&[Uid(9)], short), [""; 0]);
    // An encryption extension of one word.
    let extension = |p: &mut Vec<u8>| {
        p[hlen] = 7;
        let at = Header::LEN + 24;
        p.splice(at..at, [1, 1, 0, 0]);
    };
    let broken = ["ABORT Invalid extension size"];
    assert_eq!(answer_to_bytes(&[ME], extension), broken);
    assert_eq!(answer_to_bytes(&[Uid(9)], extension), [""; 0]);
    // An unknown one is skipped.
    let unknown = |p: &mut Vec<u8>| {
        extension(p);
        p[Header::LEN + 24] = 200;
    };
    assert_eq!(answer_to_bytes(&[ME], unknown), ["REGISTER"]);
    // Damaged, nobody knows of what it is.
    for words in [0, 2, 255] {
        let damaged = |p: &mut Vec<u8>| {
            unknown(p);
            p[Header::LEN + 25] = words;
        };
        assert_eq!(answer_to_bytes(&[ME], damaged), [""; 0], "{words} words");
    }
}

#[test]
fn encryption_without_keys() {
    let encrypted = answer(|a| {
        a.encryption = Some(EncInfo {
            client_auth: false,
            key_exchange: 99 % 16,
            signature_type: 3,
            cipher: 200,
            hash: 200,
            random: [1; 32],
            key: vec![0; 8],
            dh_key: Vec::new(),
            signature: Vec::new(),
        });
    });
    assert_eq!(encrypted, ["ABORT Keytype invalid or not supported here"]);
}

#[test]
fn protocols_that_are_not_named_are_not_heard() {
    let mut script = Script::default();
    for (protocols, answers) in [
        (vec![Version::V3, Version::V5], &[][..]),
        (vec![Version::V4], &["REGISTER"]),
    ] {
        let mut bench = Bench::with(ReceiverConfig {
            protocols: Some(protocols),
            ..config()
        });
        bench.hear(&mut script, |s| s.announce(&[]));
        assert_eq!(bench.said(), answers);
    }
}

#[test]
fn source_specific_groups_are_joined_for_the_response_proxy_too() {
    let address = |last: u8| IpAddr::from([10, 0, 0, last]);
    let config = ReceiverConfig {
        security: ReceiverSecurity {
            servers: Some(vec![ServerEntry {
                uid: Uid(0xAA),
                addresses: vec![address(1)],
                proxy: None,
                fingerprint: None,
            }]),
            proxies: vec![ProxyEntry {
                uid: Uid(0xB2),
                addresses: vec![address(2)],
                fingerprint: None,
            }],
            source_specific: true,
            ..ReceiverSecurity::default()
        },
        response_proxy: Some(ResponseProxy {
            addr: (address(3), 1044).into(),
            fingerprint: None,
        }),
        ..config()
    };
    assert_eq!(config.sources(), Some([1, 2, 3].map(address).to_vec()));
    let any = ReceiverConfig {
        security: ReceiverSecurity::default(),
        ..config
    };
    assert_eq!(any.sources(), None);
}

#[test]
fn plain_sessions_may_be_forbidden() {
    let mut script = Script::default();
    let mut bench = Bench::with(ReceiverConfig {
        require_encryption: true,
        ..config()
    });
    // The sender hears it as often as it announces.
    for _ in 0..2 {
        bench.hear(&mut script, |s| s.announce(&[]));
        assert_eq!(bench.sent[0].1, script.addr);
        assert_eq!(bench.said(), ["ABORT No unencrypted transfers allowed"]);
    }
    bench.hear(&mut script, |s| s.announce(&[Uid(9)]));
    assert_eq!(bench.said(), [""; 0], "not our business");
    assert!(bench.receiver.is_idle());
}

/// What an earlier run left in the temp directory is nothing to synchronise with.
#[test]
fn a_resumed_session_does_not_synchronise() {
    let refused = "ABORT Sync mode and restart mode incompatible";
    for (resumes, instance, answer) in [
        (true, 1, refused),
        (true, 0, "REGISTER"),
        (false, 1, "REGISTER"),
    ] {
        let mut bench = Bench::new();
        bench.store.change(|store| store.resumes = resumes);
        let mut script = Script {
            instance: Instance(instance),
            ..Script::default()
        };
        let mut announce = script.announcement(&[ME]);
        announce.flags |= AnnounceFlags::SYNC;
        bench.hear(&mut script, |s| s.packet(&Message::Announce(announce)));
        assert_eq!(bench.said(), [answer]);
    }
}

#[test]
fn refusals_do_not_flood() {
    let mut script = Script::default();
    let mut bench = Bench::with(ReceiverConfig {
        require_encryption: true,
        ..config()
    });
    for _ in 0..500 {
        bench.hear(&mut script, |s| s.announce(&[]));
    }
    assert_eq!(bench.said().len(), 100);
    assert_eq!(bench.refused_only(Refusal::Limit), 400);
    bench.pass(std::time::Duration::from_secs(1));
    bench.hear(&mut script, |s| s.announce(&[]));
    assert_eq!(bench.said().len(), 1);
}

#[test]
fn sessions_are_limited() {
    let mut bench = Bench::new();
    for n in 1..=5 {
        let mut script = Script {
            group: GroupId(n),
            ..Script::default()
        };
        bench.hear(&mut script, |s| s.announce(&[]));
    }
    assert_eq!(bench.said(), ["REGISTER"; 3]);
    assert_eq!(bench.refused_only(Refusal::Limit), 2);
}

#[test]
fn a_group_that_cannot_be_joined_ends_its_sessions_only() {
    let mut bench = Bench::new();
    let scripts = [(1, 7), (2, 8), (3, 7)].map(|(id, last)| Script {
        group: GroupId(id),
        private: IpAddr::from([230, 5, 5, last]),
        ..Script::default()
    });
    for mut script in scripts.clone() {
        let mut packet = script.announce(&[]);
        let ecn = uftp_proto::Ecn::NotEct;
        bench
            .receiver
            .handle_datagram(bench.now, script.addr, ecn, &mut packet);
    }
    let group = scripts[0].private;
    bench
        .receiver
        .join_failed(bench.now, group, "no such device");
    bench.drain();
    let mut said = bench.said();
    said.sort();
    let refused = "ABORT Error joining multicast group";
    assert_eq!(said, [refused, refused, "REGISTER"]);
    let happened = bench.happened();
    assert!(
        !happened.contains(&Kind::Leave(group)),
        "it was never joined"
    );
    let ended = Kind::Ended(EndReason::Aborted(refused[6..].to_owned()));
    assert_eq!(happened.iter().filter(|kind| **kind == ended).count(), 2);
    // The next attempt joins anew.
    let mut script = scripts[0].clone();
    bench.hear(&mut script, |s| s.announce(&[]));
    assert!(bench.happened().contains(&Kind::Join(group)));
}

#[test]
fn what_is_not_for_us_is_counted_and_changes_nothing() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    let deadline = bench.receiver.poll_timeout();
    let events = bench.events.len();
    bench.pass(std::time::Duration::from_millis(10));
    let strange = [
        Script {
            uid: Uid(0xBB),
            ..script.clone()
        },
        Script {
            group: GroupId(5),
            ..script.clone()
        },
        Script {
            instance: Instance(1),
            ..script.clone()
        },
        Script {
            group: GroupId(0),
            ..script.clone()
        },
    ];
    for mut script in strange {
        bench.hear(&mut script, |s| s.abort(ME, false));
        bench.hear(&mut script, |s| s.group_done(&[ME]));
    }
    bench.hear(&mut script, |s| {
        s.packet(&Message::Register(Register {
            echo: WireTime(0),
            random: [0; 32],
            key: Vec::new(),
            clients: Vec::new(),
        }))
    });
    let mut encrypted = script.group_done(&[ME]);
    encrypted[1] = 18;
    bench.feed(script.addr, &mut encrypted);
    let packet = script.group_done(&[ME]);
    for len in 0..packet.len() - 4 {
        bench.feed(script.addr, &mut packet.clone()[..len]);
    }
    for version in [0, 1, 0x20, 0x60, 0xFF] {
        let mut packet = packet.clone();
        packet[0] = version;
        bench.feed(script.addr, &mut packet);
    }
    let mut packet = packet.clone();
    packet[0] = 0x50;
    bench.feed(script.addr, &mut packet);

    let counters = bench.receiver.counters();
    assert_eq!(counters.refused(Refusal::UnknownSource), 2);
    assert_eq!(counters.refused(Refusal::OtherSession), 6);
    assert_eq!(counters.refused(Refusal::OutOfPlace), 1);
    assert_eq!(counters.refused(Refusal::OtherVersion), 6);
    assert_eq!(counters.refused(Refusal::Unauthentic), 1);
    assert_eq!(counters.refused(Refusal::Malformed), 24);
    assert_eq!(bench.receiver.poll_timeout(), deadline);
    assert_eq!((bench.events.len(), bench.said().len()), (events, 0));
}

#[test]
fn the_address_of_the_sender_may_change() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    let announced_from = script.addr;
    script.addr = "10.9.9.9:9".parse().unwrap();
    script.next_file(10);
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    assert_eq!(bench.sent[0].1, announced_from);
    assert_eq!(bench.said(), ["FILEINFO_ACK 1"]);
}
