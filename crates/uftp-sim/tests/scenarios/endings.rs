//! Sessions that are ended: by a user, a full disk, a limit.

use uftp_proto::FileId;
use uftp_proto::wire::Function;
use uftp_session::receiver::EndReason;
use uftp_session::sender::{FileOutcome, NakLimit, Outcome, SenderEvent};
use uftp_sim::scenario::{self, receiver_uid};
use uftp_sim::store::Faults;
use uftp_sim::{
    MemSource, MemStore, ReceiverNode, Scenario, SenderNode, Stage, Verdict, seeds, source,
};

use super::{lossy, ms, secs, two_files};

#[test]
fn a_stopped_sender_ends_all_receivers() {
    // All of it takes about 100 ms.
    for at in [0, 1, 5, 12, 20, 40, 60] {
        let mut stage = Scenario::new(at, 5, two_files(90_000)).stage();
        stage.world.run_for(ms(at));
        assert_eq!(stage.sender().outcome(), None, "over before {at} ms");
        let sender = stage.sender;
        stage
            .world
            .with(sender, |s: &mut SenderNode, now| s.machine.stop(now));
        let stage = stage.play(secs(60));
        assert_eq!(stage.sender().outcome(), Some(Outcome::Interrupted));
        assert!(
            stage.world.elapsed() < secs(1),
            "{:?}",
            stage.world.elapsed()
        );
        for node in stage.receiver_nodes() {
            node.store.assert_sound(&stage.items);
            let ends = node.ends();
            assert!(
                matches!(ends[..], [] | [EndReason::AbortedByServer(_)]),
                "at {at} ms: {ends:?}"
            );
            // Who has registered is told.
            assert_eq!(ends.is_empty(), node.events.is_empty(), "at {at} ms");
        }
    }
}

#[test]
fn a_stopped_receiver_says_so() {
    let mut stage = Scenario::new(1, 3, two_files(60_000)).stage();
    stage.world.run_for(ms(50));
    let victim = stage.receivers[2];
    stage
        .world
        .with(victim, |r: &mut ReceiverNode, now| r.machine.shutdown(now));
    let stage = stage.play(secs(60));
    stage.assert_whole(0);
    stage.assert_whole(1);
    stage.receiver(2).store.assert_sound(&stage.items);
    assert!(matches!(
        stage.receiver(2).ends()[..],
        [EndReason::Aborted(_)]
    ));
    let verdict = stage.sender().verdict(FileId(2), receiver_uid(2));
    assert_eq!(verdict, Some(FileOutcome::Aborted));
    let told = stage.sender().events().any(|e| {
        matches!(e, SenderEvent::ClientAborted { client, by_client: true, .. } if *client == receiver_uid(2))
    });
    assert!(told);
}

/// Two good receivers and one whose disk has faults.
fn with_faults(faults: Faults) -> Stage {
    let mut stage = Scenario::new(1, 2, two_files(60_000)).open().stage();
    let store = MemStore::with_faults(faults);
    let id = scenario::add_receiver(&mut stage.world, 2, store);
    stage.receivers.push(id);
    let stage = stage.play(secs(60));
    stage.assert_whole(0);
    stage.assert_whole(1);
    stage
}

#[test]
fn a_full_disk_ends_the_receiver_and_never_reports_complete() {
    let stage = with_faults(Faults {
        full_after: Some(30_000),
        ..Faults::default()
    });
    stage.receiver(2).store.assert_sound(&[]);
    assert!(matches!(
        stage.receiver(2).ends()[..],
        [EndReason::Aborted(_)]
    ));
    for file in [1, 2] {
        let verdict = stage.sender().verdict(FileId(file), receiver_uid(2));
        assert_eq!(verdict, Some(FileOutcome::Aborted));
    }
}

#[test]
fn a_file_that_cannot_be_put_in_its_place_is_not_complete() {
    let stage = with_faults(Faults {
        unfinishable: Some(b"first".to_vec()),
        ..Faults::default()
    });
    stage.receiver(2).store.assert_sound(&stage.items[1..]);
    let verdict = stage.sender().verdict(FileId(1), receiver_uid(2));
    assert!(matches!(verdict, Some(FileOutcome::Aborted)), "{verdict:?}");
}

#[test]
fn a_refusal_of_the_disk_ends_the_receiver_in_the_words_given() {
    let stage = with_faults(Faults {
        abort_at: Some(b"first".to_vec()),
        ..Faults::default()
    });
    let ends = stage.receiver(2).ends();
    assert_eq!(ends, [EndReason::Aborted("Not enough disk space".into())]);
    let reason = stage.sender().events().find_map(|e| match e {
        SenderEvent::ClientAborted { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason.as_deref(), Some("Not enough disk space"));
}

#[test]
fn a_failed_join_is_answered() {
    let mut stage = Scenario::new(1, 3, two_files(60_000)).stage();
    let victim = stage.receivers[2];
    stage.world.with(victim, |r: &mut ReceiverNode, _| {
        r.refuse_joins = Some("no such device");
    });
    let stage = stage.play(secs(60));
    stage.assert_whole(0);
    stage.assert_whole(1);
    assert!(matches!(
        stage.receiver(2).ends()[..],
        [EndReason::Aborted(_)]
    ));
    let verdict = stage.sender().verdict(FileId(1), receiver_uid(2));
    assert_eq!(verdict, Some(FileOutcome::Aborted));
}

#[test]
fn a_source_that_shrinks_is_never_passed_off_as_whole() {
    let mut stage = Scenario::new(1, 2, two_files(60_000)).stage();
    let mut source = MemSource::new(stage.items.clone());
    source.shrunk_to = Some(30_000);
    stage.replace_sender(source);
    stage.world.run(secs(60));
    for node in stage.receiver_nodes() {
        node.store.assert_sound(&stage.items[1..]);
    }
}

#[test]
fn losing_too_much_is_a_reason_to_go() {
    let limit = NakLimit {
        percent: 20,
        strikes: 1,
    };
    let scenario = Scenario::new(1, 3, [source::file("f", 400_000)]);
    let mut stage = scenario.configure(|c| c.nak_limit = limit).stage();
    stage.world.down(stage.receivers[2]).config = lossy(0.4);
    let stage = stage.play(secs(60));
    stage.assert_whole(0);
    stage.assert_whole(1);
    let verdict = stage.sender().verdict(FileId(1), receiver_uid(2));
    assert_eq!(verdict, Some(FileOutcome::Aborted));
    let ends = stage.receiver(2).ends();
    assert_eq!(
        ends,
        [EndReason::AbortedByServer("Excessive NAKs received".into())]
    );
}

#[test]
fn passes_run_out() {
    let scenario = Scenario::new(1, 3, [source::file("f", 400_000)]);
    let mut stage = scenario.configure(|c| c.max_passes = 3).stage();
    stage.world.down(stage.receivers[2]).config = lossy(0.5);
    let stage = stage.play(secs(60));
    stage.assert_whole(0);
    stage.assert_whole(1);
    assert_eq!(stage.sender().passes(), 3);
    let ends = stage.receiver(2).ends();
    assert_eq!(
        ends,
        [EndReason::AbortedByServer("Max passes exceeded".into())]
    );
}

#[test]
fn nobody_answers_file_info() {
    let mut stage = Scenario::new(1, 2, two_files(1000)).stage();
    stage.world.set_filter(|p| match p.is(Function::FileInfo) {
        true => Verdict::Drop,
        false => Verdict::Pass,
    });
    let stage = stage.play(secs(60));
    assert_eq!(stage.sender().outcome(), Some(Outcome::NobodyReady));
}

#[test]
fn sessions_follow_each_other_at_one_receiver() {
    seeds::each(4, |seed| {
        let mut stage = Scenario::new(seed, 3, two_files(30_000)).stage();
        let more = [source::file("third", 12_345)];
        for k in 1..4 {
            stage.world.run(secs(60));
            let config = scenario::sender_config(k);
            let sender = scenario::add_sender(&mut stage.world, config, &more);
            stage.world.run(secs(60));
            let outcome = stage.world.get::<SenderNode>(sender).outcome();
            assert_eq!(outcome, Some(Outcome::Success));
        }
        for node in stage.receiver_nodes() {
            assert_eq!(node.store.look().stored.len(), 2 + 3);
            node.store
                .assert_sound(&[stage.items.as_slice(), &more].concat());
            assert_eq!(node.ends(), vec![EndReason::Confirmed; 4]);
        }
    });
}

#[test]
fn a_receiver_waits_out_a_long_announcement_for_others() {
    // Nobody hears the sender for half of the time in which it announces for the one that is
    // missing: 20 cycles of 0.6 s. Deployed receivers give up after 4.2 s.
    let scenario = Scenario::new(1, 2, two_files(20_000)).configure(|c| {
        c.grtt.min = ms(200);
        c.grtt.initial = ms(200);
    });
    let mut stage = scenario.stage();
    let missing = stage.receivers[1];
    stage.world.kill(missing);
    let other = stage.receivers[0];
    stage
        .world
        .after(ms(1500), move |world| world.cut_off(&[other]));
    stage.world.after(ms(7500), |world| world.heal());
    let stage = stage.play(secs(120));
    stage.assert_whole(0);
}
