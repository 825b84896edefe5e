//! Sessions that go as they should.

use std::net::IpAddr;
use std::time::Duration;

use uftp_proto::wire::{CcType, CompleteStatus, FileInfo, FileType, Message, Version};
use uftp_proto::{Ecn, FileId, Uid};
use uftp_session::Batch;
use uftp_session::files::{Offer, SessionEnd};
use uftp_session::receiver::{EndReason, ReceiverEventKind as Kind};

use super::support::{Bench, ME, OfferFn, Script, g};

#[test]
fn one_file_from_announce_to_confirmation() {
    let mut script = Script::default();
    let mut bench = Bench::new();
    bench.hear(&mut script, |s| s.announce(&[]));
    let group = script.private;
    assert_eq!(
        bench.happened(),
        [
            Kind::Announced {
                server: Uid(0xAA),
                from: script.addr,
                private: Some(group),
            },
            Kind::Join(group),
            Kind::RegisterSent,
        ]
    );
    assert_eq!(
        bench.sent[0].1, script.addr,
        "answers go where it came from"
    );
    assert_eq!(bench.said(), ["REGISTER"]);

    bench.hear(&mut script, |s| s.reg_conf(&[Uid(1), ME]));
    script.next_file(95);
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    for block in 0..10 {
        bench.hear(&mut script, |s| s.seg(block));
    }
    assert_eq!(bench.store.look().writes, 0, "held until needed");
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["FILEINFO_ACK 1", "COMPLETE 1"]);
    assert_eq!(bench.store.look().writes, 1);
    bench.hear(&mut script, |s| s.group_done(&[ME]));
    bench.hear(&mut script, |s| s.done_conf(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE session"]);

    let name = b"file1".to_vec();
    assert_eq!(bench.store.look().files[&name], script.content);
    assert_eq!(bench.store.look().ended, [SessionEnd::Complete]);
    assert!(bench.receiver.is_idle());
    assert_eq!(bench.receiver.poll_timeout(), None);
    assert_eq!(
        bench.happened(),
        [
            Kind::Confirmed,
            Kind::FileStarted {
                name: name.clone(),
                file_type: FileType::REGULAR,
                size: 95,
                blocks: 10,
                sections: 1,
            },
            Kind::FileInfoAckSent,
            Kind::DoneReceived { section: 0 },
            Kind::FileFinished {
                name,
                file_type: FileType::REGULAR,
                size: 95,
                status: CompleteStatus::NORMAL,
                note: None,
            },
            Kind::CompleteSent,
            Kind::GroupDone,
            Kind::CompleteSent,
            Kind::Leave(group),
            Kind::Ended(EndReason::Confirmed),
        ]
    );
    assert_eq!(bench.receiver.counters().refused_in_all(), 0);
    assert_eq!(bench.receiver.counters().sent, 4);
}

#[test]
fn registration_is_repeated_until_confirmed_and_echoes_the_time_held() {
    let mut script = Script::default();
    let mut bench = Bench::new();
    bench.hear(&mut script, |s| s.announce(&[ME, Uid(9)]));
    bench.pass(g() * 9);
    let expected: Vec<_> = [0, 4, 8]
        .map(|n| match (g() * n).as_micros() {
            0 => (g() * n, "REGISTER".to_owned()),
            held => (g() * n, format!("REGISTER after {held} us")),
        })
        .into();
    assert_eq!(bench.said_at(), expected);
    // A confirmation for others only, then ours.
    bench.hear(&mut script, |s| s.reg_conf(&[Uid(9)]));
    bench.pass(g() * 4);
    assert_eq!(bench.said().len(), 1);
    bench.hear(&mut script, |s| s.reg_conf(&[Uid(9), ME]));
    bench.pass(g() * 20);
    assert_eq!(bench.said(), [""; 0]);
}

#[test]
fn file_info_confirms_a_registration_whose_confirmation_was_lost() {
    let mut script = Script::default();
    let mut bench = Bench::new();
    bench.hear(&mut script, |s| s.announce(&[]));
    script.next_file(10);
    bench.hear(&mut script, |s| s.file_info(&[Uid(9)]));
    assert_eq!(bench.said(), ["REGISTER"], "it does not name us");
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    assert_eq!(bench.said(), ["FILEINFO_ACK 1"]);
    assert!(bench.happened().contains(&Kind::Confirmed));
}

#[test]
fn repeated_requests_get_repeated_answers() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 10);
    bench.pass(g());
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    assert_eq!(bench.said(), ["FILEINFO_ACK 1"]);
    bench.hear(&mut script, |s| s.seg(0));
    for _ in 0..3 {
        bench.hear(&mut script, |s| s.done(&[ME]));
        assert_eq!(bench.said(), ["COMPLETE 1"]);
    }
    // The receiver is between files now.
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE 1"]);
    bench.hear(&mut script, |s| s.done(&[Uid(9)]));
    bench.hear(&mut script, |s| s.done_for(FileId(7), 0, &[ME]));
    bench.hear(&mut script, |s| s.file_info(&[Uid(9)]));
    assert_eq!(bench.said(), [""; 0]);
    assert_eq!(bench.store.look().offered.len(), 1, "offered once");
}

#[test]
fn the_echo_counts_from_the_last_file_info_to_the_sending() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 10);
    bench.pass(g() * 3);
    let mut batch = Batch::new(2000);
    let mut packet = script.file_info(&[ME]);
    bench
        .receiver
        .handle_datagram(bench.now, script.addr, Ecn::NotEct, &mut packet);
    let later = bench.now + Duration::from_micros(250);
    bench.receiver.poll_transmit(later, &mut batch);
    for (to, _, datagram) in batch.datagrams() {
        bench.sent.push((g() * 3, to, datagram.to_vec()));
    }
    assert_eq!(bench.said(), ["FILEINFO_ACK 1 after 250 us"]);
}

#[test]
fn empty_files_and_files_of_whole_blocks() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    for size in [0, 1, 10, 20, 0] {
        script.next_file(size);
        bench.hear(&mut script, |s| s.file_info(&[ME]));
        for block in 0..script.geometry().blocks() {
            bench.hear(&mut script, |s| s.seg(block));
        }
        bench.hear(&mut script, |s| s.done(&[ME]));
        let n = script.file.0;
        assert_eq!(
            bench.said(),
            [format!("FILEINFO_ACK {n}"), format!("COMPLETE {n}")]
        );
        let name = format!("file{n}").into_bytes();
        assert_eq!(bench.store.look().files[&name], script.content);
    }
}

#[test]
fn what_is_no_regular_file_is_done_at_once() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    for (file_type, link, answer) in [
        (FileType::DIRECTORY, "", "COMPLETE 1"),
        (FileType::SYMLINK, "../x", "COMPLETE 2"),
        (FileType::SYMLINK, "", "COMPLETE 3 rejected"),
        (FileType::DELETE, "", "COMPLETE 4"),
        (FileType::FREESPACE, "", "COMPLETE 5 12345 free"),
    ] {
        script.next_file(0);
        bench.hear(&mut script, |s| {
            let info = FileInfo {
                file_type,
                link: link.into(),
                ..s.info(&[ME])
            };
            s.packet(&Message::FileInfo(info))
        });
        assert_eq!(bench.said(), [answer]);
    }
    let names = [b"file1", b"file2", b"file4", b"file5"];
    assert_eq!(bench.store.look().offered, names);
}

#[test]
fn the_store_decides_over_a_file() {
    let reject: OfferFn = Box::new(|_| Offer::Done {
        status: CompleteStatus::REJECTED,
        free_space: None,
        note: Some("outside".to_owned()),
    });
    let skip: OfferFn = Box::new(|_| Offer::Done {
        status: CompleteStatus::SKIPPED,
        free_space: None,
        note: None,
    });
    let overwrite: OfferFn = Box::new(|_| Offer::Accept {
        status: CompleteStatus::OVERWRITE,
        missing: None,
    });
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    for (decide, answers) in [
        (reject, &["COMPLETE 1 rejected"][..]),
        (skip, &["COMPLETE 2 skipped"]),
        (overwrite, &["FILEINFO_ACK 3", "COMPLETE 3 overwrite"]),
    ] {
        bench.store.change(|store| store.decide = decide);
        script.next_file(5);
        bench.hear(&mut script, |s| s.file_info(&[ME]));
        bench.hear(&mut script, |s| s.seg(0));
        if answers.len() > 1 {
            bench.hear(&mut script, |s| s.done(&[ME]));
        }
        assert_eq!(bench.said(), answers);
    }
    let notes: Vec<_> = bench
        .happened()
        .into_iter()
        .filter_map(|kind| match kind {
            Kind::FileFinished { note, .. } => Some(note),
            _ => None,
        })
        .collect();
    assert_eq!(notes, [Some("outside".to_owned()), None, None]);
}

#[test]
fn an_empty_name_is_rejected() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    script.next_file(5);
    bench.hear(&mut script, |s| {
        let info = FileInfo {
            name: Vec::new(),
            ..s.info(&[ME])
        };
        s.packet(&Message::FileInfo(info))
    });
    assert_eq!(bench.said(), ["COMPLETE 1 rejected"]);
}

#[test]
fn a_file_too_large_for_the_wire_is_rejected() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    script.next_file(5);
    bench.hear(&mut script, |s| {
        let info = FileInfo {
            size: (1 << 48) - 1,
            ..s.info(&[ME])
        };
        s.packet(&Message::FileInfo(info))
    });
    assert_eq!(bench.said(), ["COMPLETE 1 rejected"]);
    assert_eq!(bench.store.look().offered.len(), 0);
}

#[test]
fn unicast_sessions_join_nothing() {
    let mut script = Script {
        private: IpAddr::from([0, 0, 0, 0]),
        ..Script::default()
    };
    let mut bench = Bench::receiving(&mut script, 10);
    bench.hear(&mut script, |s| s.seg(0));
    bench.hear(&mut script, |s| s.done(&[ME]));
    bench.hear(&mut script, |s| s.group_done(&[ME]));
    bench.hear(&mut script, |s| s.done_conf(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE 1", "COMPLETE session"]);
    let about_groups = |kind: &Kind| matches!(kind, Kind::Join(_) | Kind::Leave(_));
    assert!(!bench.happened().iter().any(about_groups));
}

/// Senders of 3.5 and later that announce to all hosts of a network say so where the group would stand.
#[test]
fn sessions_to_all_of_a_network_join_nothing() {
    for (list, answer) in [
        (&[][..], Some("REGISTER")),
        (&[ME], Some("REGISTER")),
        (&[Uid(9)], None),
    ] {
        let mut script = Script {
            version: Version::V3,
            private: IpAddr::from([255; 4]),
            ..Script::default()
        };
        let mut bench = Bench::new();
        bench.hear(&mut script, |s| s.announce(list));
        assert_eq!(bench.said(), Vec::from_iter(answer), "{list:?}");
        let joins = |kind: &Kind| matches!(kind, Kind::Join(_));
        assert!(!bench.happened().iter().any(joins));
    }
}

#[test]
fn protocol_5_differs_in_the_registration_interval() {
    let mut script = Script {
        version: Version::V5,
        private: "ff15::7".parse().unwrap(),
        ..Script::default()
    };
    let mut bench = Bench::new();
    bench.hear(&mut script, |s| s.announce(&[]));
    bench.pass(g() * 9);
    let times: Vec<_> = bench.said_at().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [Duration::ZERO, g() * 5]);
    bench.hear(&mut script, |s| s.reg_conf(&[ME]));
    script.next_file(25);
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    for block in 0..3 {
        bench.hear(&mut script, |s| s.seg(block));
    }
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["FILEINFO_ACK 1", "COMPLETE 1"]);
}

#[test]
fn what_happens_while_transmitting_wakes_the_driver() {
    let mut script = Script::default();
    let mut bench = Bench::new();
    let mut packet = script.announce(&[]);
    bench
        .receiver
        .handle_datagram(bench.now, script.addr, Ecn::NotEct, &mut packet);
    while bench.receiver.poll_event().is_some() {}
    bench
        .receiver
        .poll_transmit(bench.now, &mut Batch::new(2000));
    assert_eq!(bench.receiver.poll_timeout(), Some(bench.now));
    let event = bench.receiver.poll_event().map(|event| event.kind);
    assert_eq!(event, Some(Kind::RegisterSent));
    assert_eq!(bench.receiver.poll_timeout(), Some(bench.now + g() * 4));
}

/// Data may gather before they are handed in, but not what is to be answered or measured.
#[test]
fn a_receiver_is_patient_in_the_middle_of_a_large_file_only() {
    const BLOCKS: u32 = 200_000; // of 10 bytes
    let begun = |mut script: Script| {
        let bench = Bench::receiving(&mut script, BLOCKS as usize * 10);
        (bench, script)
    };
    let (mut bench, mut script) = begun(Script::default());
    assert!(bench.receiver.is_patient());
    bench.hear(&mut script, |s| s.seg(1000));
    assert!(bench.receiver.is_patient());
    bench.hear(&mut script, |s| s.seg(BLOCKS / 2));
    assert!(!bench.receiver.is_patient(), "DONE is near");
    let controlled = Script {
        cc: CcType::TFMCC,
        ..Script::default()
    };
    assert!(!begun(controlled).0.receiver.is_patient());
    let lock_step = Script {
        version: Version::V3,
        ..Script::default()
    };
    assert!(!begun(lock_step).0.receiver.is_patient());
    let bench = Bench::confirmed(&mut Script::default());
    assert!(!bench.receiver.is_patient(), "FILEINFO is to come");
}
