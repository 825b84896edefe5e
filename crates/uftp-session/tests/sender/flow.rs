//! Sessions that go well, against the reference traces (behaviour-sender-receiver §6).

use std::time::Duration;

use uftp_proto::wire::{CompleteStatus, FileType, FixedPace, Message, Pace, Version};
use uftp_proto::{FileId, Uid};
use uftp_session::sender::{FileOutcome, Outcome, Rate, SenderConfig, SenderEvent, SyncMode};

use crate::lab::*;

#[track_caller]
fn near(got: f64, want: f64) {
    assert!((got - want).abs() < 12.0, "{got} ms instead of {want}");
}

#[test]
fn open_group_announces_all_cycles_like_the_reference() {
    let data = noise(20_000);
    let source = Memory::default().file("f", data.clone());
    let mut lab = Lab::new(config(None), source, vec![Peer::new(7)]);
    assert_eq!(lab.run(), Outcome::Success);
    let announces = lab.of("ANNOUNCE");
    assert_eq!(announces.len(), 20);
    near(announces[1].ms(), 1502.0);
    near(announces[19].ms(), 2044.0);
    near(lab.of("REG_CONF 7")[0].ms(), 1502.0);
    near(lab.of("FILEINFO(1) 7")[0].ms(), 2075.0);
    assert_eq!(lab.of("FILESEG").len(), 16);
    assert_eq!(announces[0].header().group_size.0, 0);
    let tail = lab.words();
    assert_eq!(
        tail[tail.len() - 5..],
        [
            "FILEINFO(1) 7",
            "FILESEG",
            "DONE(1) 7",
            "DONE(0) 7",
            "DONE_CONF 7"
        ]
    );
    assert_eq!(lab.peers[0].complete[&FileId(1)], data);
    for (i, packet) in lab.packets.iter().enumerate() {
        assert_eq!(usize::from(packet.header().seq.0), i, "one counter for all");
    }
}

#[test]
fn who_comes_in_during_the_last_cycle_is_confirmed_before_the_first_file() {
    let source = Memory::default().file("f", noise(20_000));
    let mut announces = 0;
    let late = Peer::new(7).hearing(move |packet| {
        announces += u32::from(packet.word() == "ANNOUNCE");
        announces >= 20
    });
    let mut lab = Lab::new(config(None), source, vec![late]);
    assert_eq!(lab.run(), Outcome::Success);
    let words = lab.words();
    let confirmed = words.iter().position(|word| word == "REG_CONF 7").unwrap();
    assert_eq!(words[confirmed + 1], "FILEINFO(1) 7");
}

#[test]
fn closed_group_goes_on_as_soon_as_all_are_there() {
    let source = Memory::default().file("f", noise(20_000));
    let peers = [1, 2, 3].map(Peer::new).into();
    let mut lab = Lab::new(config(Some(&[1, 2, 3])), source, peers);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(
        lab.words(),
        [
            "ANNOUNCE 1 2 3",
            "REG_CONF 1 2 3",
            "FILEINFO(1) 1 2 3",
            "FILESEG",
            "DONE(1) 1 2 3",
            "DONE(0) 1 2 3",
            "DONE_CONF 1 2 3"
        ]
    );
    near(lab.of("REG_CONF")[0].ms(), 1.2);
    // The reference waits 10 ms before this, and 10 ms more after the last packet.
    let informed = lab.of("FILEINFO")[0].ms();
    assert!(informed < 5.0, "{informed} ms");
    near(lab.packets.last().unwrap().ms(), 29.0 - 10.0);
    let waited = lab.now - lab.start - lab.packets.last().unwrap().at;
    assert!(waited < Duration::from_millis(5), "{waited:?}");
    let first = &lab.packets[0];
    assert_eq!(first.to, config(None).public);
    assert!(
        lab.packets[1..]
            .iter()
            .all(|p| p.to == config(None).private)
    );
    let Message::Announce(announce) = first.message() else {
        panic!("{:?}", first.message())
    };
    assert_eq!(announce.public, config(None).public.ip());
    assert_eq!(announce.private, config(None).private.ip());
    assert!(matches!(
        announce.pace,
        Pace::Adaptive {
            robust: 20,
            block_size: 1300,
            ..
        }
    ));
}

#[test]
fn waits_all_cycles_for_one_that_is_missing() {
    let source = Memory::default().file("f", noise(2000));
    let mut config = config(Some(&[1, 2, 3]));
    config.robust = 10;
    let mut lab = Lab::new(config, source, vec![Peer::new(1), Peer::new(3)]);
    assert_eq!(lab.run(), Outcome::Success);
    let announces = lab.of("ANNOUNCE");
    assert_eq!(announces.len(), 10);
    assert!(announces[1..].iter().all(|p| p.word() == "ANNOUNCE 2"));
    near(announces[1].ms(), 1502.0);
    near(announces[2].ms(), 1532.0);
    assert_eq!(lab.of("REG_CONF").len(), 1);
    near(lab.of("REG_CONF 1 3")[0].ms(), 1502.0);
    near(lab.of("FILEINFO(1) 1 3")[0].ms(), 1773.0);
    let connects: Vec<_> = lab
        .events
        .iter()
        .filter_map(|event| match event {
            SenderEvent::Connect {
                client, connected, ..
            } => Some((client.0, *connected)),
            _ => None,
        })
        .collect();
    assert_eq!(connects, [(1, true), (2, false), (3, true)]);
    assert_eq!(
        lab.results(1),
        [
            FileOutcome::Completed(CompleteStatus::NORMAL),
            FileOutcome::Mute,
            FileOutcome::Completed(CompleteStatus::NORMAL),
        ]
    );
}

#[test]
fn open_group_may_go_on_with_enough_receivers() {
    let source = Memory::default().file("f", noise(2000));
    let mut config = config(None);
    config.min_clients = Some(2);
    let mut lab = Lab::new(config, source, vec![Peer::new(1), Peer::new(2)]);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("ANNOUNCE").len(), 1);
    assert!(lab.packets.last().unwrap().ms() < 60.0);
}

#[test]
fn items_without_data_are_done_with_their_file_info() {
    let source = Memory::default()
        .other("empty", FileType::DIRECTORY, "")
        .other("link", FileType::SYMLINK, "target")
        .other("gone", FileType::DELETE, "")
        .other(".", FileType::FREESPACE, "")
        .file("zero", Vec::new())
        .file("one", vec![9]);
    let mut lab = Lab::new(config(Some(&[1])), source, vec![Peer::new(1)]);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(
        lab.words()[2..],
        [
            "FILEINFO(1) 1",
            "FILEINFO(2) 1",
            "FILEINFO(3) 1",
            "FILEINFO(4) 1",
            "FILEINFO(5) 1",
            "DONE(5) 1",
            "FILEINFO(6) 1",
            "FILESEG",
            "DONE(6) 1",
            "DONE(0) 1",
            "DONE_CONF 1"
        ]
    );
    let infos = lab.of("FILEINFO(2)");
    let Message::FileInfo(link) = infos[0].message() else {
        panic!()
    };
    assert_eq!(
        (link.file_type, &link.link[..]),
        (FileType::SYMLINK, &b"target"[..])
    );
    assert_eq!(lab.peers[0].complete[&FileId(6)], [9]);
}

#[test]
fn many_files_and_all_lengths_arrive_whole() {
    let lengths = [0, 1, 1299, 1300, 1301, 2600, 62_400, 13_520_001];
    let mut source = Memory::default();
    for len in lengths {
        source = source.file(&format!("f{len}"), noise(len));
    }
    let reads = source.reads.clone();
    let mut config = config(Some(&[1]));
    config.rate = Rate::Fixed(1_000_000_000);
    let mut lab = Lab::new(config, source, vec![Peer::new(1)]);
    assert_eq!(lab.run(), Outcome::Success);
    for (i, len) in lengths.into_iter().enumerate() {
        assert!(
            lab.peers[0].complete[&FileId(i as u16 + 1)] == noise(len),
            "{len}"
        );
    }
    let packets = lab.of("FILESEG").len();
    assert!(
        reads.get() * 20 < packets,
        "{} reads for {packets}",
        reads.get()
    );
}

#[test]
fn all_skipped_is_nothing_accepted_but_a_good_session() {
    for (status, outcome) in [
        (CompleteStatus::SKIPPED, Outcome::Success),
        (CompleteStatus::OVERWRITE, Outcome::Success),
        (CompleteStatus::REJECTED, Outcome::NothingAccepted),
    ] {
        let source = Memory::default().file("f", noise(2000));
        let mut peer = Peer::new(1);
        peer.at_once = Some(status);
        let mut config = config(Some(&[1]));
        config.sync = SyncMode::Preview;
        let mut lab = Lab::new(config, source, vec![peer]);
        assert_eq!(lab.run(), outcome);
        assert_eq!(lab.of("FILESEG").len(), 0);
        assert_eq!(lab.of("DONE(1)").len(), 0);
        assert!(lab.peers[0].done_conf);
        assert_eq!(lab.results(1), [FileOutcome::Completed(status)]);
    }
}

/// As the reference has it in its log: once, whether there is anything to send or not.
#[test]
fn the_pass_over_an_empty_file_is_told_of() {
    let source = Memory::default().file("e", Vec::new());
    let mut lab = Lab::new(config(Some(&[1])), source, vec![Peer::new(1)]);
    assert_eq!(lab.run(), Outcome::Success);
    let mut passes = Vec::new();
    for event in &lab.events {
        if let SenderEvent::PassStarted { pass } = event {
            passes.push(*pass);
        }
    }
    assert_eq!(passes, [1]);
}

#[test]
fn unicast_session_states_no_addresses() {
    for (addr, none) in [("10.0.0.1:1044", "0.0.0.0"), ("[fd00::1]:1044", "::")] {
        let source = Memory::default().file("f", noise(2000));
        let mut config = config(None);
        config.public = addr.parse().unwrap();
        config.private = config.public;
        let mut peer = Peer::new(1);
        peer.addr = config.public;
        let mut lab = Lab::new(config, source, vec![peer]);
        assert_eq!(lab.run(), Outcome::Success);
        let Message::Announce(announce) = lab.packets[0].message() else {
            panic!()
        };
        assert_eq!(announce.public.to_string(), none);
        assert_eq!(announce.private.to_string(), none);
    }
}

#[test]
fn gaps_between_packets_are_those_of_the_reference() {
    let source = Memory::default().file("f", noise(1300 * 400));
    let mut lab = Lab::new(config(Some(&[1])), source, vec![Peer::new(1)]);
    lab.run();
    let data = lab.of("FILESEG");
    // The time before the first block is good for a burst of a millisecond.
    let gap = (data[399].ms() - data[19].ms()) / 380.0;
    assert!((gap - 0.528_125).abs() < 0.001, "{gap} ms");
}

#[test]
fn a_very_slow_session_advertises_its_gap_and_ends_well() {
    let source = Memory::default().file("f", noise(5000));
    let mut config = config(Some(&[1]));
    config.rate = Rate::Fixed(1024);
    let mut lab = Lab::new(config, source, vec![Peer::new(1)]);
    assert_eq!(lab.run(), Outcome::Success);
    for packet in &lab.packets {
        assert!(packet.header().grtt.secs() >= 1.32, "{packet:?}");
    }
    let times: Vec<_> = lab.packets.iter().map(|p| p.at).collect();
    let longest = times.windows(2).map(|w| w[1] - w[0]).max().unwrap();
    assert!(longest < Duration::from_secs(5), "{longest:?} of silence");
}

#[test]
fn round_trips_are_measured_on_arrival() {
    // Even when the next packet may only go a second later.
    let source = Memory::default().file("f", noise(5000));
    let mut config = config(Some(&[1]));
    config.rate = Rate::Fixed(40_000);
    let mut lab = Lab::new(config, source, vec![Peer::new(1)]);
    lab.run();
    let last = lab.packets.last().unwrap().header();
    assert!(last.grtt.secs() < 0.04, "{} s", last.grtt.secs());
}

#[test]
fn self_clocked_session_is_paced_and_fast() {
    let data = noise(30_000_000);
    let source = Memory::default().file("f", data.clone());
    let mut config = config(Some(&[1]));
    config.rate = Rate::SelfClocked;
    let mut lab = Lab::new(config, source, vec![Peer::new(1)]);
    assert_eq!(lab.run(), Outcome::Success);
    assert!(lab.peers[0].complete[&FileId(1)] == data);
    let took = lab.packets.last().unwrap().ms();
    // 30 MB/s at first, twice as much whenever receivers had time to complain.
    assert!((100.0..600.0).contains(&took), "{took} ms");
}

#[test]
fn a_lost_reg_conf_is_repeated_for_a_repeated_register() {
    let (mut called, mut lost) = (false, false);
    let deaf = Peer::new(1).hearing(move |p| {
        let gone = match p.word() {
            word if word.starts_with("REG_CONF") => &mut lost,
            _ => &mut called,
        };
        std::mem::replace(gone, true)
    });
    let source = Memory::default().file("f", noise(2000));
    let mut lab = Lab::new(config(Some(&[1, 2])), source, vec![deaf, Peer::new(2)]);
    lab.run_until(|lab| !lab.of("REG_CONF 1").is_empty());
    let echo = lab.stamp();
    lab.say(0, &register(echo));
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("REG_CONF 1").len(), 2);
    assert!(lab.has(|e| matches!(
        e,
        SenderEvent::Registered {
            client: Uid(1),
            again: true,
            ..
        }
    )));
}

#[test]
fn fileinfo_stands_in_for_a_lost_reg_conf_if_all_came_at_once() {
    let deaf = Peer::new(1).hearing(|p| !p.word().starts_with("REG_CONF"));
    let source = Memory::default().file("f", noise(2000));
    let mut lab = Lab::new(config(Some(&[1, 2])), source, vec![deaf, Peer::new(2)]);
    lab.run_until(|lab| !lab.of("REG_CONF 1 2").is_empty());
    let echo = lab.stamp();
    lab.say(0, &register(echo));
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("REG_CONF").len(), 1);
    assert_eq!(lab.peers[0].complete[&FileId(1)], noise(2000));
}

#[test]
fn a_repeated_completion_is_confirmed_again() {
    let mut asked = false;
    let peer = Peer::new(1).hearing(move |p| {
        let first = p.word().starts_with("DONE(0)") && !asked;
        asked |= first;
        !first
    });
    let source = Memory::default().file("f", noise(2000));
    let mut lab = Lab::new(config(Some(&[1])), source, vec![peer]);
    lab.run_until(|lab| !lab.of("DONE_CONF 1").is_empty());
    lab.say(0, &complete(FileId::SESSION, CompleteStatus::NORMAL));
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("DONE_CONF 1").len(), 2);
}

#[test]
fn receivers_with_part_of_the_file_are_asked_first() {
    let data = noise(130_000);
    let source = Memory::default().file("f", data.clone());
    let mut peer = Peer::new(1);
    peer.has = Some(data.clone());
    peer.lacks = vec![3, 50, 99];
    let mut lab = Lab::new(config(Some(&[1])), source, vec![peer]);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("FILESEG").len(), 3);
    let words = lab.words();
    let info = words.iter().position(|w| w == "FILEINFO(1) 1").unwrap();
    assert_eq!(words[info + 1], "DONE(1) 1");
    assert!(lab.peers[0].complete[&FileId(1)] == data);
}

#[test]
fn a_receiver_on_the_senders_own_host_has_its_id_and_is_served() {
    for clients in [None, Some([SERVER.0])] {
        let source = Memory::default().file("f", noise(20_000));
        let config = config(clients.as_ref().map(|c| c.as_slice()));
        let mut lab = Lab::new(config, source, vec![Peer::new(SERVER.0)]);
        assert_eq!(lab.run(), Outcome::Success);
        assert_eq!(lab.peers[0].complete[&FileId(1)], noise(20_000));
    }
}

#[test]
fn a_fixed_time_counts_from_the_first_announcement() {
    let config = SenderConfig {
        version: Version::V3,
        fixed: FixedPace {
            announce_time: 1,
            announce_interval: 500,
            ..FixedPace::default()
        },
        ..config(None)
    };
    let mut lab = Lab::new(config, Memory::default().file("f", noise(10)), Vec::new());
    // Its program did something else first.
    lab.now += Duration::from_millis(900);
    assert_eq!(lab.run(), Outcome::NobodyRegistered);
    assert_eq!(lab.of("ANNOUNCE").len(), 2);
    assert_eq!(lab.now - lab.start, Duration::from_millis(1900));
}
