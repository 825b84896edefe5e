//! Loss, and receivers that fail in every way.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uftp_proto::wire::{CompleteStatus, FileType, Function, Message};
use uftp_proto::{FileId, Uid};
use uftp_session::sender::{FileOutcome, NakLimit, Outcome, Rate, SenderEvent, Volume};

use crate::lab::*;

const NORMAL: FileOutcome = FileOutcome::Completed(CompleteStatus::NORMAL);

/// Loses this part of all data packets.
fn lossy(uid: u32, part: f64) -> Peer {
    let mut rng = StdRng::seed_from_u64(uid.into());
    Peer::new(uid).hearing(move |p| {
        p.header().function != Function::FileSeg
            || f64::from(rng.next_u32()) / f64::from(u32::MAX) >= part
    })
}

/// Never hears the first block of [`noise`].
fn without_first_block(uid: u32) -> Peer {
    Peer::new(uid)
        .hearing(|p| !matches!(p.message(), Message::FileSeg(m) if m.data[0] == noise(1300)[0]))
}

/// Falls silent for good at the first packet of this kind.
fn dying_at(uid: u32, word: &'static str) -> Peer {
    let mut dead = false;
    Peer::new(uid).hearing(move |p| {
        dead |= p.word().starts_with(word);
        !dead
    })
}

fn fast(clients: &[u32]) -> uftp_session::sender::SenderConfig {
    let mut config = config(Some(clients));
    config.rate = Rate::Fixed(100_000_000);
    config
}

#[test]
fn losses_are_repaired_in_passes() {
    let blocks = 23_000;
    let data = noise(1300 * blocks);
    let source = Memory::default().file("f", data.clone());
    let peers = (1..=3).map(|uid| lossy(uid, 0.05)).collect();
    let mut lab = Lab::new(fast(&[1, 2, 3]), source, peers);
    assert_eq!(lab.run(), Outcome::Success);
    for peer in &lab.peers {
        assert!(peer.complete[&FileId(1)] == data);
    }
    let sent = lab.of("FILESEG").len();
    let volume = lab.events.iter().find_map(|e| match e {
        SenderEvent::FileFinished { volume, .. } => Some(*volume),
        _ => None,
    });
    let told = Volume {
        sent: data.len() as u64,
        repaired: 1300 * (sent - blocks) as u64,
    };
    assert_eq!(volume, Some(told));
    assert!(
        (blocks * 11 / 10..blocks * 13 / 10).contains(&sent),
        "{sent} for {blocks}"
    );
    let passes: Vec<u32> = lab
        .events
        .iter()
        .filter_map(|e| match e {
            SenderEvent::PassStarted { pass } => Some(*pass),
            _ => None,
        })
        .collect();
    assert!((3..8).contains(&passes.len()), "{passes:?}");
    // Nobody is listed in a DONE after its NAKs, until the next pass.
    assert!(lab.of("DONE(1)").iter().any(|p| p.word() == "DONE(1)"));
}

#[test]
fn a_status_about_the_section_being_sent_counts() {
    let source = Memory::default().file("f", noise(1300 * 1000));
    let mut lab = Lab::new(config(Some(&[1])), source, vec![Peer::new(1)]);
    lab.run_until(|lab| lab.of("FILESEG").len() >= 500);
    // Block 10 is behind and waits for the next pass, block 990 is ahead and comes anyway.
    let mut naks = vec![0u8; 126];
    naks[10 / 8] |= 1 << (10 % 8);
    naks[990 / 8] |= 1 << (990 % 8);
    lab.say(0, &status(FileId(1), 0, &naks));
    // Its COMPLETE gets lost until then.
    lab.run_until(|lab| lab.of("FILESEG").len() >= 1000);
    assert!(lab.has(|e| matches!(
        e,
        SenderEvent::Naks {
            count: 2,
            section: 0,
            ..
        }
    )));
    assert_eq!(lab.run(), Outcome::Success);
}

/// Hears nothing for two and a half seconds, from the first packet of this kind on.
fn held_up_at(uid: u32, word: &'static str) -> Peer {
    let mut since = None;
    Peer::new(uid).hearing(move |p| {
        if p.word().starts_with(word) {
            since.get_or_insert(p.ms());
        }
        since.is_none_or(|since| p.ms() > since + 2500.0)
    })
}

#[test]
fn one_that_is_held_up_for_longer_than_messages_are_repeated_is_not_lost() {
    for word in ["FILEINFO", "FILESEG", "DONE(1)"] {
        let data = noise(200_000);
        let source = Memory::default().file("f", data.clone());
        let peers = vec![Peer::new(1), held_up_at(2, word)];
        let mut lab = Lab::new(config(Some(&[1, 2])), source, peers);
        assert_eq!(lab.run(), Outcome::Success, "{word}");
        assert!(lab.peers[1].complete[&FileId(1)] == data, "{word}");
        let asked = lab.of(&word.replace("FILESEG", "DONE(1)")).len();
        assert!(asked > 20, "{word}: {asked} times is as often as usual");
    }
}

#[test]
fn one_that_dies_never_stalls_the_rest() {
    for word in ["REG_CONF", "FILEINFO", "FILESEG", "DONE(1)", "DONE(0)"] {
        let data = noise(200_000);
        let source = Memory::default().file("f", data.clone()).file("g", vec![1]);
        let peers = vec![Peer::new(1), dying_at(2, word), lossy(3, 0.05)];
        let mut lab = Lab::new(config(Some(&[1, 2, 3])), source, peers);
        assert_eq!(lab.run(), Outcome::Success, "{word}");
        for i in [0, 2] {
            assert!(lab.peers[i].complete[&FileId(1)] == data, "{word}");
            assert_eq!(lab.peers[i].complete[&FileId(2)], [1], "{word}");
            assert!(lab.peers[i].done_conf, "{word}");
        }
        // Whoever is silent in the middle of the session is waited for three seconds, once.
        assert!(lab.packets.last().unwrap().ms() < 5000.0, "{word}");
        assert!(
            lab.has(|e| matches!(e, SenderEvent::ClientLost { client: Uid(2), .. })),
            "{word}"
        );
        // At the end of the session it may be through; before, it must not take the end of the
        // session for the end of its file.
        let told = lab.of("ABORT(2)").len();
        assert_eq!(told, usize::from(word != "DONE(0)"), "{word}");
        let next = lab.of("FILEINFO(2)");
        assert!(
            !next.iter().any(|p| p.word().ends_with(" 2")) || word == "DONE(0)",
            "{word}"
        );
    }
}

#[test]
fn the_last_done_is_waited_for() {
    let source = Memory::default().file("f", noise(2000));
    let mut config = config(Some(&[1]));
    config.robust = 10;
    let mut count = 0;
    // Only the tenth DONE gets through.
    let peer = Peer::new(1).hearing(move |p| {
        count += usize::from(p.word().starts_with("DONE(1)"));
        !p.word().starts_with("DONE(1)") || count == 10
    });
    let mut lab = Lab::new(config, source, vec![peer]);
    assert_eq!(lab.run(), Outcome::Success);
    let done = lab.of("DONE(1)");
    assert_eq!(done.len(), 10);
    for pair in done.windows(2) {
        let gap = pair[1].ms() - pair[0].ms();
        assert!((28.0..34.0).contains(&gap), "{gap} ms");
    }
    assert_eq!(lab.of("ABORT").len(), 0);
}

#[test]
fn a_receiver_given_up_that_talks_on_is_told_again() {
    let source = Memory::default()
        .file("f", noise(2000))
        .file("g", noise(2_000_000));
    let peers = vec![
        Peer::new(1),
        Peer::new(2).speaking(|m| !matches!(m, Message::Complete(_))),
    ];
    let mut lab = Lab::new(config(Some(&[1, 2])), source, peers);
    lab.run_until(|lab| lab.of("ABORT(2)").len() == 1);
    lab.run_until(|lab| lab.of("FILESEG").len() > 300);
    for _ in 0..10 {
        lab.say(1, &complete(FileId(1), CompleteStatus::NORMAL));
    }
    lab.run_until(|lab| lab.of("FILESEG").len() > 310);
    assert_eq!(
        lab.of("ABORT(2)").len(),
        2,
        "again, but not for each packet"
    );
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.results(1), [NORMAL, FileOutcome::Lost]);
    assert_eq!(lab.results(2), [NORMAL, FileOutcome::Lost]);
}

#[test]
fn everybody_lost_ends_the_session() {
    for (word, outcome) in [
        ("ANNOUNCE", Outcome::NobodyRegistered),
        ("FILEINFO", Outcome::NobodyReady),
        ("FILESEG", Outcome::AllDropped),
    ] {
        let source = Memory::default()
            .file("f", noise(200_000))
            .file("g", vec![1]);
        let mut lab = Lab::new(config(Some(&[1])), source, vec![dying_at(1, word)]);
        assert_eq!(lab.run(), outcome);
        assert_eq!(lab.of("FILEINFO(2)").len(), 0, "later items are not tried");
        assert_eq!(lab.of("DONE(0)").len(), 0);
        let told = usize::from(word != "ANNOUNCE");
        assert_eq!(lab.of("ABORT(1)").len(), told, "{word}");
    }
}

#[test]
fn a_receiver_that_loses_too_much_is_aborted() {
    let source = Memory::default().file("f", noise(40_000_000));
    let mut config = fast(&[1, 2]);
    config.nak_limit = NakLimit {
        percent: 5,
        strikes: 2,
    };
    let mut lab = Lab::new(config, source, vec![lossy(1, 0.01), lossy(2, 0.2)]);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("ABORT(2) Excessive NAKs received").len(), 1);
    assert_eq!(lab.results(1), [NORMAL, FileOutcome::Aborted]);
    let naks = |uid| {
        let by =
            |e: &&SenderEvent| matches!(e, SenderEvent::Naks { client: Uid(u), .. } if *u == uid);
        lab.events.iter().filter(by).count()
    };
    assert_eq!(
        naks(2),
        1,
        "the first strike was served, the second was not"
    );
}

#[test]
fn passes_are_limited() {
    let source = Memory::default().file("f", noise(400_000));
    let mut config = fast(&[1, 2]);
    config.max_passes = 3;
    let deaf = without_first_block(2);
    let mut lab = Lab::new(config, source, vec![lossy(1, 0.001), deaf]);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("ABORT(2) Max passes exceeded").len(), 1);
    assert_eq!(lab.of("ABORT").len(), 1);
    assert!(lab.has(|e| matches!(e, SenderEvent::PassStarted { pass: 3 })));
    assert!(!lab.has(|e| matches!(e, SenderEvent::PassStarted { pass: 4 })));
}

/// The ABORT may have been lost, and deployed receivers take the end of a session for that of the file.
#[test]
fn who_was_given_up_with_the_last_file_is_told_again() {
    let source = Memory::default().file("f", noise(400_000));
    let mut config = fast(&[1, 2]);
    config.max_passes = 3;
    let deaf = without_first_block(2);
    let mut lab = Lab::new(config, source, vec![Peer::new(1), deaf]);
    lab.run_until(|lab| !lab.of("DONE_CONF").is_empty());
    let words = lab.peers[1].packet(&complete(FileId(1), CompleteStatus::NORMAL));
    let from = lab.peers[1].addr;
    lab.post(Duration::from_micros(9_800), from, words);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("ABORT(2)").len(), 2);
}

#[test]
fn time_is_limited_for_the_unfinished_only() {
    let source = Memory::default()
        .file("f", noise(5_000_000))
        .file("g", vec![7]);
    let mut config = config(Some(&[1, 2]));
    config.max_time_percent = Some(110);
    // 5 MB at 2.56 MB/s take 2.03 s with headers, the limit is 2 s.
    let mut lab = Lab::new(config, source, vec![Peer::new(1), lossy(2, 0.5)]);
    lab.peers[0].has = Some(noise(5_000_000));
    lab.peers[0].at_once = Some(CompleteStatus::SKIPPED);
    lab.run();
    assert_eq!(lab.of("ABORT(2) Max file transfer time exceeded").len(), 1);
    assert_eq!(lab.of("ABORT").len(), 1);
    assert_eq!(lab.results(2).len(), 2);
    let transfer = lab.events.iter().find_map(|e| match e {
        SenderEvent::TransferStarted { max_time } => *max_time,
        _ => None,
    });
    assert_eq!(transfer, Some(Duration::from_secs(2)));
}

#[test]
fn whole_seconds_are_counted() {
    // 197 KiB at 62.5 KiB/s take 3.25 s with headers, and 110 % of 3.125 s are 3 whole seconds.
    let source = Memory::default().file("f", noise(200_000));
    let mut config = config(Some(&[1]));
    (config.max_time_percent, config.rate) = (Some(110), Rate::Fixed(64_000));
    let mut lab = Lab::new(config, source, vec![Peer::new(1)]);
    assert_eq!(lab.run(), Outcome::Success);
    assert!(lab.of("ABORT").is_empty());
}

#[test]
fn all_or_nothing() {
    // Who is lost or missing at which point, and what comes of it.
    for (word, outcome) in [
        ("ANNOUNCE", Outcome::NobodyRegistered),
        ("FILEINFO", Outcome::NobodyReady),
        ("FILESEG", Outcome::AllDropped),
    ] {
        let source = Memory::default()
            .file("f", noise(200_000))
            .file("g", vec![1]);
        let mut config = config(Some(&[1, 2]));
        config.quit_on_error = true;
        let mut lab = Lab::new(config, source, vec![Peer::new(1), dying_at(2, word)]);
        assert_eq!(lab.run(), outcome);
        let last = lab.packets.last().unwrap().word();
        assert_eq!(last, "ABORT(0) A client dropped out, aborting all");
        assert_eq!(lab.of("FILEINFO(2)").len(), 0);
        assert_eq!(
            lab.peers[0].ended.as_deref(),
            Some("A client dropped out, aborting all")
        );
        if word == "ANNOUNCE" {
            assert!(lab.has(|e| matches!(
                e,
                SenderEvent::Connect {
                    connected: false,
                    ..
                }
            )));
            assert!(!lab.has(|e| matches!(
                e,
                SenderEvent::Connect {
                    connected: true,
                    ..
                }
            )));
        }
    }
}

/// One leaves and takes the other along, which was well: it is not lost but sent away.
#[test]
fn who_is_sent_away_for_another_is_told_as_aborted() {
    let source = Memory::default().file("f", noise(200_000));
    let mut config = config(Some(&[1, 2]));
    config.quit_on_error = true;
    let mut lab = Lab::new(config, source, vec![Peer::new(1), Peer::new(2)]);
    lab.run_until(|lab| !lab.of("FILESEG").is_empty());
    lab.say(1, &abort("Client shutting down"));
    assert_eq!(lab.run(), Outcome::AllDropped);
    let outcomes = lab.events.iter().find_map(|event| match event {
        SenderEvent::FileFinished { results, .. } => {
            Some(results.iter().map(|r| r.outcome).collect::<Vec<_>>())
        }
        _ => None,
    });
    assert_eq!(outcomes, Some(vec![FileOutcome::Aborted; 2]));
}

#[test]
fn a_receiver_that_aborts_is_out_at_once() {
    for word in ["REG_CONF", "FILEINFO(1)", "FILESEG", "DONE(1)", "DONE(0)"] {
        let source = Memory::default().file("f", noise(200_000));
        let mut lab = Lab::new(
            config(Some(&[1, 2])),
            source,
            vec![Peer::new(1), Peer::new(2)],
        );
        lab.run_until(|lab| !lab.of(word).is_empty());
        lab.say(1, &abort("Not enough disk space"));
        lab.peers[1].ended = Some("by itself".into());
        assert_eq!(lab.run(), Outcome::Success, "{word}");
        assert!(lab.has(|e| matches!(
            e,
            SenderEvent::ClientAborted { client: Uid(2), by_client: true, reason }
                if reason == "Not enough disk space"
        )));
        assert_eq!(lab.of("ABORT").len(), 0, "{word}");
        assert!(lab.packets.last().unwrap().ms() < 200.0, "{word}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_given_up_loudly() {
    let mut source = Memory::default()
        .file("f", noise(200_000))
        .file("g", vec![1]);
    source.broken_at = Some(100_000);
    let mut skipping = Peer::new(1);
    skipping.at_once = Some(CompleteStatus::SKIPPED);
    let mut lab = Lab::new(config(Some(&[1, 2])), source, vec![skipping, Peer::new(2)]);
    assert_eq!(lab.run(), Outcome::Success);
    assert!(lab.has(|e| matches!(
        e,
        SenderEvent::FileSkipped { reason, item } if reason.contains("bad sector") && item.name == b"f"
    )));
    assert_eq!(lab.of("ABORT(2) The file cannot be read").len(), 1);
    assert_eq!(lab.of("FILESEG").len(), 77, "all blocks that can be read");
    assert_eq!(lab.results(1)[1], FileOutcome::Aborted);
    assert_eq!(
        lab.results(2)[0],
        FileOutcome::Completed(CompleteStatus::SKIPPED)
    );
}

#[test]
fn what_receivers_cannot_take_is_skipped_before_it_is_announced() {
    let long = "n".repeat(301);
    let mut source = Memory::default()
        .other(&long, FileType::DIRECTORY, "")
        .other("link", FileType::SYMLINK, &long)
        .other("broken", FileType::SYMLINK, "")
        .other("", FileType::DIRECTORY, "")
        .file("huge", vec![])
        .file("vast", vec![])
        .file("good", vec![1]);
    source.items[4].0.size = 1 << 47;
    source.items[5].0.size = 1 << 48;
    let mut lab = Lab::new(config(Some(&[1])), source, vec![Peer::new(1)]);
    assert_eq!(lab.run(), Outcome::Success);
    let skipped: Vec<&str> = lab
        .events
        .iter()
        .filter_map(|e| match e {
            SenderEvent::FileSkipped { reason, .. } => Some(reason.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(skipped.len(), 6, "{skipped:?}");
    for (reason, part) in skipped.iter().zip([
        "name at the receivers is 301 bytes",
        "link target is 301 bytes",
        "without a target",
        "empty",
        "sections",
        "limit",
    ]) {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(lab.of("FILEINFO(1)").len(), 1);
    assert_eq!(lab.peers[0].complete[&FileId(1)], [1]);
}

#[test]
fn the_next_pass_begins_when_all_have_said_what_they_miss() {
    let loses_one = |uid: u32| {
        let mut lost = false;
        Peer::new(uid).hearing(move |packet| {
            let drop = packet.word() == "FILESEG" && !lost;
            lost |= drop;
            !drop
        })
    };
    // From the end of the first pass to the beginning of the second, milliseconds.
    let pause = |peers: Vec<Peer>| {
        let source = Memory::default().file("f", noise(100_000));
        let mut lab = Lab::new(config(Some(&[1, 2])), source, peers);
        assert_eq!(lab.run(), Outcome::Success);
        let done = lab.of("DONE(1) 1 2")[0].ms();
        let again = lab.of("FILESEG").into_iter().find(|p| p.ms() > done);
        again.unwrap().ms() - done
    };
    let grtt = 10.0;
    let all = pause(vec![loses_one(1), loses_one(2)]);
    assert!((grtt..1.5 * grtt).contains(&all), "{all}");
    let silent = loses_one(2).speaking(|message| !matches!(message, Message::Status(_)));
    let some = pause(vec![loses_one(1), silent]);
    assert!(some >= 3.0 * grtt, "one may have more to say: {some}");
}
