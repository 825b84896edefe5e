//! How sessions end, and files that do not.

use std::time::Duration;

use uftp_proto::wire::{FileType, Header, Message};
use uftp_proto::{Instance, Uid};
use uftp_session::Refusal;
use uftp_session::files::{Offer, SessionEnd};
use uftp_session::receiver::{EndReason, ReceiverEventKind as Kind};

use super::support::{Bench, ME, Script, g};

fn aborted(words: &str) -> Kind {
    Kind::Ended(EndReason::Aborted(words.to_owned()))
}

/// Checks that the session ended by our own abort, and that nothing is left of it.
fn assert_aborted(bench: &mut Bench, words: &str) {
    assert_eq!(bench.said(), [format!("ABORT {words}")]);
    assert_eq!(bench.happened().last(), Some(&aborted(words)));
    assert_eq!(bench.store.look().ended, [SessionEnd::BrokenOff]);
    assert!(bench.receiver.is_idle());
}

fn failures(events: &[Kind]) -> Vec<&str> {
    let mut reasons = Vec::new();
    for kind in events {
        if let Kind::FileFailed { reason, .. } = kind {
            reasons.push(reason.as_str());
        }
    }
    reasons
}

#[test]
fn an_unconfirmed_registration_is_given_up() {
    let mut script = Script {
        robust: 50,
        ..Script::default()
    };
    let mut bench = Bench::new();
    bench.hear(&mut script, |s| s.announce(&[]));
    // Further announcements prolong nothing.
    bench.pass(g() * 100);
    bench.hear(&mut script, |s| s.announce(&[]));
    bench.pass(g() * 100 - Duration::from_nanos(1));
    assert_eq!(bench.said().len(), 50);
    bench.pass(Duration::from_nanos(1));
    assert_aborted(&mut bench, "Registration unconfirmed");
}

#[test]
fn patience_is_at_least_a_second() {
    let mut script = Script::default(); // 4 * 10 * g is 421 ms
    let mut bench = Bench::new();
    bench.hear(&mut script, |s| s.announce(&[]));
    bench.pass(Duration::from_millis(999));
    assert_eq!(bench.said().len(), 24);
    bench.pass(Duration::from_millis(1));
    assert_aborted(&mut bench, "Registration unconfirmed");
}

#[test]
fn the_first_measurement_of_the_sender_cuts_nobody_off() {
    let mut script = Script {
        grtt: uftp_proto::quant::RttCode(157),
        ..Script::default()
    };
    let slow = script.grtt.duration();
    let mut bench = Bench::new();
    bench.hear(&mut script, |s| s.announce(&[]));
    bench.pass(Duration::from_millis(1500));
    // The first confirmation after this is lost.
    script.grtt = Script::default().grtt;
    bench.hear(&mut script, |s| s.announce(&[]));
    bench.pass(g() * 3);
    assert_eq!(bench.said().len(), 2, "but REGISTER is repeated faster");
    bench.pass(slow * 40 - Duration::from_millis(1501) - g() * 3);
    assert!(!bench.receiver.is_idle());
    bench.pass(Duration::from_millis(1));
    assert!(bench.receiver.is_idle());
}

#[test]
fn silence_between_files() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    // Whatever the sender says keeps the session alive.
    let signs: [fn(&mut Script) -> Vec<u8>; 5] = [
        |s| s.announce(&[]),
        |s| s.reg_conf(&[Uid(9)]),
        |s| s.file_info(&[Uid(9)]),
        |s| s.done(&[Uid(9)]),
        |s| s.group_done(&[Uid(9)]),
    ];
    script.next_file(10);
    for sign in signs {
        bench.pass(Duration::from_millis(900));
        bench.hear(&mut script, sign);
    }
    bench.pass(Duration::from_millis(999));
    assert_eq!(bench.said(), [""; 0]);
    bench.pass(Duration::from_millis(1));
    assert_aborted(&mut bench, "Transfer timed out");
}

#[test]
fn silence_during_a_file() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 100);
    for block in 0..3 {
        bench.pass(Duration::from_millis(900));
        bench.hear(&mut script, |s| s.seg(block));
    }
    bench.pass(Duration::from_millis(900));
    bench.hear(&mut script, |s| s.done(&[Uid(9)]));
    bench.pass(Duration::from_millis(900));
    bench.said();
    bench.hear(&mut script, |s| s.file_info(&[Uid(9)]));
    bench.pass(Duration::from_millis(500));
    // This alone is no sign of life.
    bench.hear(&mut script, |s| s.announce(&[]));
    bench.pass(Duration::from_millis(500));
    assert_eq!(bench.store.look().discarded, [(b"file1".to_vec(), 7)]);
    assert_eq!(failures(&bench.happened()), ["Transfer timed out"]);
    assert_eq!(bench.said(), ["ABORT Transfer timed out"]);
}

/// What holds us up may hold up the sender, too.
#[test]
fn a_silence_in_which_we_stood_still_is_forgiven_once() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 100);
    for block in 0..2 {
        bench.stand_still(Duration::from_secs(30));
        bench.pass(Duration::from_millis(999));
        assert_eq!(bench.said(), [""; 0]);
        // Whoever speaks again is silent anew.
        bench.hear(&mut script, |s| s.seg(block));
    }
    bench.stand_still(Duration::from_millis(1000));
    bench.pass(Duration::from_millis(900));
    assert_eq!(bench.said(), [""; 0]);
    bench.stand_still(Duration::from_millis(100));
    assert_eq!(bench.said(), ["ABORT Transfer timed out"]);
}

/// So is that between files, before a registration is confirmed, and before the end is.
#[test]
fn whatever_is_waited_for_is_waited_for_again_after_standing_still() {
    let still = Duration::from_secs(30);
    let mut script = Script::default();
    let mut bench = Bench::new();
    bench.hear(&mut script, |s| s.announce(&[]));
    bench.stand_still(still);
    bench.hear(&mut script, |s| s.reg_conf(&[ME]));
    bench.stand_still(still);
    bench.pass(g());
    bench.hear(&mut script, |s| s.group_done(&[ME]));
    bench.said();
    bench.stand_still(still);
    assert_eq!(bench.said(), ["COMPLETE session"]);
    bench.hear(&mut script, |s| s.done_conf(&[ME]));
    let ended = bench.happened().into_iter().filter_map(|kind| match kind {
        Kind::Ended(reason) => Some(reason),
        _ => None,
    });
    assert_eq!(ended.collect::<Vec<_>>(), [EndReason::Confirmed]);
}

#[test]
fn waiting_times_follow_the_round_trip_time_of_the_headers() {
    let mut script = Script {
        robust: 100,
        ..Script::default()
    };
    let mut bench = Bench::receiving(&mut script, 100);
    let before = bench.receiver.poll_timeout().unwrap();
    assert_eq!(before - bench.now, g() * 100);
    script.grtt = uftp_proto::quant::RttCode(127);
    bench.hear(&mut script, |s| s.seg(0));
    let after = bench.receiver.poll_timeout().unwrap();
    assert_eq!(after - bench.now, script.grtt.duration() * 100);
}

#[test]
fn a_refused_packet_does_not_touch_the_clockwork() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 100);
    let deadline = bench.receiver.poll_timeout();
    bench.pass(g());
    let (grtt, seq) = (script.grtt, script.seq);
    script.grtt = uftp_proto::quant::RttCode(255);
    script.seq = uftp_proto::Seq(seq.0 + 1000);
    bench.hear(&mut script, |s| s.seg_at(9, 9, &[0; 10]));
    assert_eq!(bench.refused_only(Refusal::OutOfRange), 1);
    assert_eq!(bench.receiver.poll_timeout(), deadline);
    (script.grtt, script.seq) = (grtt, seq);
    bench.hear(&mut script, |s| s.seg(0));
    assert_eq!(bench.receiver.counters().refused_in_all(), 1);
}

#[test]
fn completion_is_repeated_and_at_last_presumed() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    bench.hear(&mut script, |s| s.group_done(&[ME]));
    // Repeated questions and confirmations of others change nothing.
    bench.pass(g());
    bench.hear(&mut script, |s| s.group_done(&[ME]));
    bench.hear(&mut script, |s| s.done_conf(&[Uid(9)]));
    bench.pass(Duration::from_secs(2));
    let said = bench.said_at();
    assert_eq!(said.len(), 24);
    for (n, (at, words)) in said.iter().enumerate() {
        assert_eq!(
            (*at, words.as_str()),
            (g() * 4 * n as u32, "COMPLETE session")
        );
    }
    let unconfirmed = Kind::Ended(EndReason::Unconfirmed);
    assert_eq!(bench.happened().last(), Some(&unconfirmed));
    assert_eq!(bench.store.look().ended, [SessionEnd::Complete]);
    assert!(bench.receiver.is_idle());
}

#[test]
fn aborts_of_the_sender() {
    type Phase = fn(&mut Script) -> Bench;
    let registering: Phase = |script| {
        let mut bench = Bench::new();
        bench.hear(script, |s| s.announce(&[]));
        bench
    };
    let mid_group: Phase = |script| Bench::confirmed(script);
    let receiving: Phase = |script| Bench::receiving(script, 100);
    let completing: Phase = |script| {
        let mut bench = Bench::confirmed(script);
        bench.hear(script, |s| s.group_done(&[ME]));
        bench
    };
    for (phase, spared) in [
        (registering, false),
        (mid_group, true),
        (receiving, false),
        (completing, true),
    ] {
        for (host, current_file, ends) in [
            (Uid::NONE, false, true),
            (ME, false, true),
            (ME, true, true),
            (Uid::NONE, true, !spared),
            (Uid(9), false, false),
        ] {
            let mut script = Script::default();
            let mut bench = phase(&mut script);
            // Proxies number their aborts as they like.
            script.seq = uftp_proto::Seq(40_000);
            bench.hear(&mut script, |s| s.abort(host, current_file));
            let over = Kind::Ended(EndReason::AbortedByServer("enough".to_owned()));
            assert_eq!(bench.happened().contains(&over), ends);
            assert_eq!(bench.receiver.is_idle(), ends);
            let said = bench.said();
            assert!(!said.iter().any(|words| words.starts_with("ABORT")));
        }
    }
}

#[test]
fn shutdown_takes_leave_of_everybody() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 100);
    let mut other = Script {
        instance: Instance(1),
        ..Script::default()
    };
    bench.hear(&mut other, |s| s.announce(&[]));
    bench.said();
    bench.receiver.shutdown(bench.now);
    assert!(!bench.receiver.is_idle(), "there is something to say");
    bench.drain();
    assert_eq!(bench.said(), ["ABORT Client shutting down"; 2]);
    assert!(bench.receiver.is_idle());
    assert_eq!(bench.store.look().ended, [SessionEnd::BrokenOff; 2]);
    assert_eq!(bench.store.look().discarded, [(b"file1".to_vec(), 10)]);
}

#[test]
fn what_cannot_be_put_in_its_final_place_is_not_reported_complete() {
    for fails in [false, true] {
        let mut script = Script::default();
        let mut bench = Bench::receiving(&mut script, 10);
        bench.store.change(|store| store.commit_fails = fails);
        bench.hear(&mut script, |s| s.seg(0));
        bench.hear(&mut script, |s| s.done(&[ME]));
        bench.said();
        assert_eq!(bench.store.look().commits, 0);
        for _ in 0..2 {
            bench.hear(&mut script, |s| s.group_done(&[ME]));
        }
        let said = bench.said();
        match fails {
            true => assert!(said[0].starts_with("ABORT Error writing file"), "{said:?}"),
            false => assert_eq!(said[0], "COMPLETE session"),
        }
        assert_eq!(bench.receiver.is_idle(), fails);
        assert_eq!(bench.store.look().commits, 1);
    }
}

#[test]
fn a_full_disk_ends_the_session() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 100);
    bench.store.change(|store| store.room = 50);
    for block in 0..10 {
        bench.hear(&mut script, |s| s.seg(block));
    }
    assert_eq!(bench.said(), [""; 0], "not known before it is written");
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.store.look().discarded, [(b"file1".to_vec(), 10)]);
    assert_aborted(&mut bench, "Not enough disk space");
}

#[test]
fn a_disk_that_fills_up_before_a_report_ends_the_session() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 1600);
    bench.store.change(|store| store.room = 50);
    for block in 0..81 {
        bench.hear(&mut script, |s| s.seg(block));
    }
    bench.pass(g());
    assert_aborted(&mut bench, "Not enough disk space");
}

#[test]
fn a_file_that_cannot_be_put_in_place_is_not_complete() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 10);
    bench.store.change(|store| store.finish_fails = true);
    bench.hear(&mut script, |s| s.seg(0));
    bench.hear(&mut script, |s| s.done(&[ME]));
    let happened: Vec<_> = bench.events.iter().map(|e| e.kind.clone()).collect();
    assert_eq!(failures(&happened), ["the disk is on fire"]);
    let finished = |kind: &Kind| matches!(kind, Kind::FileFinished { .. });
    assert!(!happened.iter().any(finished));
    assert_eq!(bench.store.look().discarded, [(b"file1".to_vec(), 0)]);
    assert_aborted(&mut bench, "Error writing file: the disk is on fire");
}

#[test]
fn the_end_of_the_session_never_finishes_an_incomplete_file() {
    for (asked, timer_runs) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut script = Script::default();
        let mut bench = Bench::receiving(&mut script, 100);
        for block in 0..9 {
            bench.hear(&mut script, |s| s.seg(block));
        }
        if timer_runs {
            bench.hear(&mut script, |s| s.done(&[ME]));
        }
        let list: &[Uid] = if asked { &[ME] } else { &[Uid(9)] };
        bench.hear(&mut script, |s| s.group_done(list));
        bench.pass(g() * 10);
        assert_eq!(bench.store.look().files.len(), 0);
        assert_eq!(bench.store.look().discarded, [(b"file1".to_vec(), 1)]);
        assert_aborted(&mut bench, "Session ended before the file was complete");
    }
}

#[test]
fn the_end_of_the_session_finishes_a_complete_file() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 10);
    bench.hear(&mut script, |s| s.seg(0));
    bench.hear(&mut script, |s| s.group_done(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE 1", "COMPLETE session"]);
    assert_eq!(bench.store.look().files.len(), 1);
}

#[test]
fn the_next_file_replaces_an_unfinished_one() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 100);
    bench.hear(&mut script, |s| s.seg(0));
    script.next_file(10);
    bench.hear(&mut script, |s| s.file_info(&[Uid(9)]));
    assert_eq!(bench.store.look().discarded, [], "it may list us yet");
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    assert_eq!(bench.store.look().discarded, [(b"file1".to_vec(), 9)]);
    assert_eq!(failures(&bench.happened()).len(), 1);
    bench.hear(&mut script, |s| s.seg(0));
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["FILEINFO_ACK 2", "COMPLETE 2"]);
}

#[test]
fn a_late_copy_of_an_earlier_file_info_is_not_a_new_file() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    script.next_file(0);
    let mut late = script.file_info(&[ME]);
    bench.feed(script.addr, &mut late.clone());
    bench.hear(&mut script, |s| s.done(&[ME]));
    script.next_file(0);
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    bench.said();
    // While the second is being received: the answer to the first may have been lost.
    bench.feed(script.addr, &mut late);
    assert_eq!(bench.said(), ["COMPLETE 1"]);
    bench.hear(&mut script, |s| s.done(&[ME]));
    bench.said();
    bench.feed(script.addr, &mut late);
    assert_eq!(bench.said(), [""; 0]);
    assert_eq!(bench.refused_only(Refusal::Stale), 1);
    let store = bench.store.look();
    assert_eq!((store.offered.len(), store.discarded.len()), (2, 0));
}

#[test]
fn unknown_types_end_the_session() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    script.next_file(10);
    let mut info = script.info(&[ME]);
    info.file_type = FileType(5);
    bench.hear(&mut script, |s| s.packet(&Message::FileInfo(info)));
    assert_aborted(&mut bench, "Invalid file type");
}

#[test]
fn the_store_may_end_the_session() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    bench.store.change(|store| {
        store.decide = Box::new(|_| Offer::Abort("Not enough disk space".to_owned()));
    });
    script.next_file(10);
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    let happened: Vec<_> = bench.events.iter().map(|e| e.kind.clone()).collect();
    assert_eq!(failures(&happened), ["Not enough disk space"]);
    assert_aborted(&mut bench, "Not enough disk space");
}

#[test]
fn file_infos_with_wrong_lengths_end_the_session() {
    let changes: [fn(&mut Vec<u8>); 2] = [|p| p[Header::LEN + 1] -= 1, |p| p[Header::LEN + 8] += 1];
    for change in changes {
        let mut script = Script::default();
        let mut bench = Bench::confirmed(&mut script);
        script.next_file(10);
        let mut packet = script.file_info(&[ME]);
        change(&mut packet);
        bench.feed(script.addr, &mut packet);
        assert_aborted(&mut bench, "Rejecting FILEINFO: invalid message size");
    }
}

#[test]
fn names_longer_than_their_buffers_end_the_session() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    script.next_file(10);
    let mut info = script.info(&[ME]);
    info.name = vec![b'x'; 300];
    let mut packet = script.packet(&Message::FileInfo(info));
    packet[Header::LEN + 1] += 1;
    packet[Header::LEN + 8] += 1;
    let at = Header::LEN + 28 + 300;
    packet.splice(at..at, *b"more");
    bench.feed(script.addr, &mut packet);
    assert_aborted(&mut bench, "Rejecting FILEINFO: invalid message size");
}

#[test]
fn file_infos_cut_short_are_waited_for_again() {
    let changes: [fn(&mut Vec<u8>); 2] = [
        |p| p[Header::LEN + 1] = 255,
        |p| p.truncate(Header::LEN + 30),
    ];
    for change in changes {
        let mut script = Script::default();
        let mut bench = Bench::confirmed(&mut script);
        script.next_file(10);
        let mut packet = script.file_info(&[ME]);
        change(&mut packet);
        bench.said();
        bench.feed(script.addr, &mut packet);
        assert!(bench.said().is_empty());
        bench.hear(&mut script, |s| s.file_info(&[ME]));
        assert_eq!(bench.said(), ["FILEINFO_ACK 1"]);
    }
}

#[test]
fn number_zero_is_no_file() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    assert_eq!(bench.refused_only(Refusal::OutOfRange), 1);
    assert_eq!(bench.said(), [""; 0]);
}
