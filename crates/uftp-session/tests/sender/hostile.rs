//! Datagrams nobody honest sends.

use std::net::SocketAddr;
use std::time::Duration;

use uftp_proto::wire::{CompleteStatus, FileInfoAck, Header, Message};
use uftp_proto::{FileId, Uid, WireTime};
use uftp_session::Refusal;
use uftp_session::sender::{Outcome, Rate, SenderEvent};

use crate::lab::*;

/// A session in the middle of its data, with one receiver.
fn sending() -> Lab {
    let source = Memory::default().file("f", noise(1300 * 1000));
    let mut lab = Lab::new(config(Some(&[1])), source, vec![Peer::new(1)]);
    lab.run_until(|lab| lab.of("FILESEG").len() >= 500);
    lab
}

/// What a session shows of its state.
fn state(lab: &Lab) -> (usize, String) {
    (lab.events.len(), format!("{:?}", lab.sender.progress()))
}

/// Hands the sender a datagram that must change nothing, and says how it was counted.
#[track_caller]
fn refused(lab: &mut Lab, mut bytes: Vec<u8>) -> Refusal {
    let before = lab.sender.counters().clone();
    let shown = state(lab);
    let from = lab.peers[0].addr;
    let now = lab.now;
    lab.sender
        .handle_datagram(now, from, Default::default(), &mut bytes);
    assert!(lab.sender.poll_event().is_none());
    assert_eq!(state(lab), shown);
    let after = lab.sender.counters();
    assert_eq!(after.refused_in_all(), before.refused_in_all() + 1);
    let counted = |why: &Refusal| after.refused(*why) > before.refused(*why);
    Refusal::ALL.into_iter().find(counted).unwrap()
}

#[test]
fn reports_that_do_not_fit_the_file_change_nothing() {
    let mut lab = sending();
    for (file, section, bytes, why) in [
        (2, 0, vec![1; 126], Refusal::OutOfRange),
        (0, 0, vec![1; 126], Refusal::OutOfRange),
        (1, 1, vec![1; 126], Refusal::OutOfRange),
        (1, 65535, vec![1; 126], Refusal::OutOfRange),
        (1, 0, vec![1; 125], Refusal::Malformed),
        (1, 0, vec![], Refusal::Malformed),
        (1, 0, vec![0; 126], Refusal::OutOfRange),
    ] {
        let message = status(FileId(file), section, &bytes);
        let packet = lab.peers[0].packet(&message);
        assert_eq!(refused(&mut lab, packet), why, "{message:?}");
    }
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("FILESEG").len(), 1000);
}

#[test]
fn bits_past_the_end_of_a_section_are_ignored() {
    let mut lab = sending();
    lab.say(0, &status(FileId(1), 0, &[0xff; 1400]));
    lab.run_until(|lab| lab.has(|e| matches!(e, SenderEvent::Naks { .. })));
    assert!(lab.has(|e| matches!(e, SenderEvent::Naks { count: 1000, .. })));
    assert_eq!(lab.run(), Outcome::Success);
}

#[test]
fn a_proxy_may_leave_out_the_spare_byte_of_the_largest_section() {
    let source = Memory::default().file("f", noise(512 * 4096));
    let mut config = config(Some(&[1]));
    config.block_size = 512;
    let mut lab = Lab::new(config, source, vec![Peer::new(1)]);
    lab.run_until(|lab| lab.of("FILESEG").len() >= 500);
    lab.say(0, &status(FileId(1), 0, &[1; 512]));
    lab.run_until(|lab| lab.of("FILESEG").len() >= 600);
    assert!(lab.has(|e| matches!(e, SenderEvent::Naks { count: 512, .. })));
    let packet = lab.peers[0].packet(&status(FileId(1), 0, &[1; 511]));
    assert_eq!(refused(&mut lab, packet), Refusal::Malformed);
}

#[test]
fn foreign_and_broken_datagrams_change_nothing() {
    let mut lab = sending();
    let good = lab.peers[0].packet(&complete(FileId(1), CompleteStatus::NORMAL));
    for len in 0..good.len() {
        assert_eq!(
            refused(&mut lab, good[..len].to_vec()),
            Refusal::Malformed,
            "{len} bytes"
        );
    }
    for (at, value, why) in [
        (0, 0x50, Refusal::OtherVersion),
        (0, 0x99, Refusal::Malformed),
        (1, 18, Refusal::Unauthentic),
        (1, 99, Refusal::Malformed),
        (8, 0xff, Refusal::OtherSession),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(refused(&mut lab, bytes), why, "byte {at} = {value:#x}");
    }
    let mut nobody = good.clone();
    nobody[4..8].fill(0);
    assert_eq!(refused(&mut lab, nobody), Refusal::UnknownSource);
    let mut ourselves = good.clone();
    ourselves[4..8].copy_from_slice(&SERVER.0.to_be_bytes());
    assert_eq!(refused(&mut lab, ourselves), Refusal::UnknownSource);
    // What we send ourselves comes back.
    let echo = lab.packets[3].bytes.clone();
    assert_eq!(refused(&mut lab, echo), Refusal::UnknownSource);
    assert_eq!(lab.run(), Outcome::Success);
}

#[test]
fn messages_for_others_to_send_are_out_of_place() {
    let mut lab = sending();
    let announce = lab.packets[0].clone();
    let done = Message::KeyReq;
    for message in [announce.message(), done] {
        let packet = lab.peers[0].packet(&message);
        assert_eq!(
            refused(&mut lab, packet),
            Refusal::OutOfPlace,
            "{message:?}"
        );
    }
    // It is no proxy and cannot speak for anybody.
    let mut forged = complete(FileId(1), CompleteStatus::NORMAL);
    if let Message::Complete(complete) = &mut forged {
        complete.clients = vec![Uid(1)];
    }
    let packet = lab.peers[0].packet(&forged);
    assert_eq!(refused(&mut lab, packet), Refusal::OutOfPlace);
    let mut forged = abort("get out");
    if let Message::Abort(abort) = &mut forged {
        abort.host = Uid(55);
    }
    let packet = lab.peers[0].packet(&forged);
    assert_eq!(refused(&mut lab, packet), Refusal::OutOfRange);
}

#[test]
fn a_stranger_in_a_closed_group_is_sent_away_within_a_limit() {
    let source = Memory::default().file("f", noise(200_000));
    let mut lab = Lab::new(config(Some(&[1])), source, vec![Peer::new(1)]);
    lab.run_until(|lab| !lab.of("FILESEG").is_empty());
    let mut stranger = Peer::new(66);
    for _ in 0..1000 {
        let packet = stranger.packet(&register(WireTime(0)));
        lab.post(Duration::ZERO, stranger.addr, packet);
    }
    assert_eq!(lab.run(), Outcome::Success);
    let told = lab.of("ABORT(66) Not in host list");
    assert_eq!(told.len(), 8);
    assert!(told.iter().all(|p| p.to == stranger.addr), "unicast");
    let client = Uid(66);
    let reason = "Not in host list";
    let turned_away = SenderEvent::TurnedAway { client, reason };
    let noted = lab.events.iter().filter(|e| **e == turned_away);
    assert_eq!(noted.count(), 1, "the operator hears of it once");
    assert!(!lab.has(|e| matches!(
        e,
        SenderEvent::Registered {
            client: Uid(66),
            ..
        }
    )));
    let group: SocketAddr = lab.packets[0].to;
    assert!(group.ip().is_multicast());
}

/// Words to strangers take turns with data. What waits for its turn wakes nobody up before that.
#[test]
fn words_that_wait_for_data_do_not_keep_the_sender_awake() {
    let source = Memory::default().file("f", noise(5_000_000));
    let mut config = config(Some(&[1]));
    // Many packets are worth one wake-up.
    config.rate = Rate::Fixed(100_000_000);
    let mut lab = Lab::new(config, source, vec![Peer::new(1)]);
    let mut stranger = Peer::new(66);
    for n in 1..=20 {
        lab.run_until(|lab| lab.of("FILESEG").len() >= 100 * n);
        const ASKED: usize = 4;
        for _ in 0..ASKED {
            let packet = stranger.packet(&register(WireTime(0)));
            lab.post(Duration::ZERO, stranger.addr, packet);
        }
        let (mut idle, mut last) = (0, (lab.now, lab.packets.len()));
        lab.run_until(|lab| {
            let here = (lab.now, lab.packets.len());
            idle += usize::from(here == last);
            last = here;
            // Each of theirs is a step in which nothing need happen, and a timer may ring early.
            assert!(idle <= 2 * ASKED, "awake {idle} times for nothing");
            lab.of("FILESEG").len() >= 100 * n + 50
        });
    }
    assert_eq!(lab.run(), Outcome::Success);
    let told = lab.of("ABORT(66) Not in host list").len();
    assert!(told > 4, "{told}");
}

#[test]
fn an_open_group_takes_strangers_only_while_it_is_announced() {
    let source = Memory::default().file("f", noise(200_000));
    let mut lab = Lab::new(config(None), source, vec![Peer::new(1)]);
    let mut stranger = Peer::new(66);
    let ack = Message::FileInfoAck(FileInfoAck {
        file: FileId(1),
        partial: false,
        echo: WireTime(0),
        clients: vec![],
    });
    lab.run_until(|lab| lab.of("ANNOUNCE").len() == 2);
    let packet = stranger.packet(&ack);
    assert_eq!(refused(&mut lab, packet), Refusal::UnknownSource);
    lab.run_until(|lab| !lab.of("FILESEG").is_empty());
    let packet = stranger.packet(&register(WireTime(0)));
    assert_eq!(refused(&mut lab, packet), Refusal::UnknownSource);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("ABORT").len(), 0);
}

#[test]
fn forged_stamps_do_not_slow_the_session_down() {
    let source = Memory::default().file("f", noise(2000));
    let peers = vec![
        Peer::new(1).speaking(|m| !matches!(m, Message::Register(_))),
        Peer::new(2),
    ];
    let mut lab = Lab::new(config(Some(&[1, 2])), source, peers);
    lab.run_until(|lab| !lab.of("ANNOUNCE").is_empty());
    // Fifty years ago, and a time that never was.
    for stamp in [WireTime(1_000_000), WireTime(u64::MAX / 2), WireTime(0)] {
        lab.say(0, &register(stamp));
    }
    assert_eq!(lab.run(), Outcome::Success);
    assert!(lab.packets.last().unwrap().ms() < 100.0);
    assert!(lab.packets.last().unwrap().header().grtt.secs() < 0.011);
}

#[test]
fn two_hosts_with_one_id_are_noticed_once() {
    let mut lab = sending();
    let other: SocketAddr = "10.9.9.9:1044".parse().unwrap();
    for from in [other, lab.peers[0].addr, other] {
        let packet = lab.peers[0].packet(&status(FileId(1), 0, &[1; 126]));
        lab.post(Duration::ZERO, from, packet);
    }
    lab.run();
    let twice = |e: &&SenderEvent| matches!(e, SenderEvent::DuplicateUid { client: Uid(1) });
    assert_eq!(lab.events.iter().filter(twice).count(), 1);
}

#[test]
fn mutations_of_a_receivers_own_packets_never_panic() {
    use rand::{Rng, SeedableRng};
    for seed in 0..20 {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let source = Memory::default()
            .file("f", noise(300_000))
            .file("g", noise(3));
        let uids = [1, 2, 3];
        let mut lab = Lab::new(config(Some(&uids)), source, uids.map(Peer::new).into());
        let mut naks = [0; 126];
        let mut steps = 0;
        while !lab.sender.is_finished() {
            let i = rng.next_u32() as usize % 3;
            naks[rng.next_u32() as usize % 20] = rng.next_u32() as u8;
            let file = FileId(rng.next_u32() as u16 % 3);
            let message = match rng.next_u32() % 5 {
                0 => register(WireTime(rng.next_u64())),
                1 => status(file, rng.next_u32() as u16 % 2, &naks),
                2 => complete(file, CompleteStatus(rng.next_u32() as u8 % 5)),
                3 => Message::FileInfoAck(FileInfoAck {
                    file,
                    partial: rng.next_u32() % 2 == 0,
                    echo: WireTime(rng.next_u64()),
                    clients: uids.map(Uid).into(),
                }),
                _ if steps % 500 == 499 => abort("enough"),
                _ => Message::KeyReq,
            };
            let mut bytes = lab.peers[i].packet(&message);
            for _ in 0..rng.next_u32() % 3 {
                let at = rng.next_u32() as usize % bytes.len();
                bytes[at] = rng.next_u32() as u8;
            }
            let from = lab.peers[i].addr;
            lab.post(Duration::ZERO, from, bytes);
            let seen = lab.packets.len();
            lab.run_until(|lab| lab.packets.len() > seen || lab.sender.is_finished());
            steps += 1;
            if steps == 2000 {
                let now = lab.now;
                lab.sender.stop(now);
            }
        }
        assert!(lab.outcome().is_some(), "seed {seed}");
    }
}

#[test]
fn random_bytes_never_hurt() {
    use rand::{Rng, SeedableRng};
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    let source = Memory::default().file("f", noise(100_000));
    let mut lab = Lab::new(config(Some(&[1])), source, vec![Peer::new(1)]);
    let mut steps = 0;
    let good: Vec<Vec<u8>> = {
        let mut lab = sending();
        let naks = [1; 126];
        vec![
            lab.peers[0].packet(&register(WireTime(0))),
            lab.peers[0].packet(&status(FileId(1), 0, &naks)),
            lab.peers[0].packet(&complete(FileId(1), CompleteStatus::NORMAL)),
        ]
    };
    while !lab.sender.is_finished() && steps < 3000 {
        steps += 1;
        let mut bytes = good[rng.next_u32() as usize % good.len()].clone();
        // A stranger's name, then noise anywhere behind the header.
        bytes[4..8].copy_from_slice(&(0x7700_0000 + rng.next_u32() % 50).to_be_bytes());
        for _ in 0..rng.next_u32() % 4 {
            let at = Header::LEN + rng.next_u32() as usize % (bytes.len() - Header::LEN);
            bytes[at] = rng.next_u32() as u8;
        }
        let len = rng.next_u32() as usize % (bytes.len() + 1);
        bytes.truncate(len.max(1));
        let from = lab.peers[0].addr;
        lab.post(Duration::ZERO, from, bytes);
        let seen = lab.packets.len();
        lab.run_until(|lab| lab.packets.len() > seen || lab.sender.is_finished());
    }
    if !lab.sender.is_finished() {
        lab.run();
    }
    assert_eq!(lab.outcome(), Some(Outcome::Success));
    assert!(lab.peers[0].complete.contains_key(&FileId(1)));
}
