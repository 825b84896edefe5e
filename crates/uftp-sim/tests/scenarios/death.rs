//! Machines that vanish, networks that break.

use std::time::Duration;

use uftp_proto::FileId;
use uftp_proto::wire::Function;
use uftp_session::receiver::{EndReason, ReceiverEventKind};
use uftp_session::sender::{FileOutcome, Outcome, SenderEvent};
use uftp_sim::scenario::{self, receiver_uid};
use uftp_sim::{MemStore, ReceiverNode, Scenario, SenderNode, Stage, seeds, source};

use super::{lossy, ms, secs, two_files};

/// A moment in the life of a session, seen from one receiver and the sender.
type Moment = fn(&ReceiverNode, &SenderNode) -> bool;

fn happened(node: &ReceiverNode, kind: fn(&ReceiverEventKind) -> bool) -> bool {
    node.kinds().any(kind)
}

fn in_pass(sender: &SenderNode, wanted: u32) -> bool {
    sender
        .events()
        .any(|e| matches!(e, SenderEvent::PassStarted { pass } if *pass >= wanted))
}

const MOMENTS: [(&str, Moment); 15] = [
    ("before all", |_, _| true),
    ("registering", |r, _| {
        happened(r, |k| matches!(k, ReceiverEventKind::RegisterSent))
    }),
    ("confirmed", |r, _| {
        happened(r, |k| matches!(k, ReceiverEventKind::Confirmed))
    }),
    ("at file info", |_, s| {
        s.events()
            .any(|e| matches!(e, SenderEvent::FileInfoSent { .. }))
    }),
    ("file info answered", |r, _| {
        happened(r, |k| matches!(k, ReceiverEventKind::FileInfoAckSent))
    }),
    ("first pass", |_, s| in_pass(s, 1)),
    ("second pass", |_, s| in_pass(s, 2)),
    ("third pass", |_, s| in_pass(s, 3)),
    ("losses reported", |r, _| {
        happened(r, |k| matches!(k, ReceiverEventKind::NaksSent { .. }))
    }),
    ("asked for its state", |r, _| {
        happened(r, |k| matches!(k, ReceiverEventKind::DoneReceived { .. }))
    }),
    ("first file stored", |r, _| {
        happened(r, |k| matches!(k, ReceiverEventKind::FileFinished { .. }))
    }),
    ("second file begun", |_, s| {
        s.events()
            .any(|e| matches!(e, SenderEvent::FileStarted { file, .. } if *file == FileId(2)))
    }),
    ("second file stored", |r, _| {
        let finished = |k: &&ReceiverEventKind| matches!(k, ReceiverEventKind::FileFinished { .. });
        r.kinds().filter(finished).count() == 2
    }),
    ("asked to end", |r, _| {
        happened(r, |k| matches!(k, ReceiverEventKind::GroupDone))
    }),
    ("session over at the sender", |_, s| s.outcome().is_some()),
];

/// Plays until `moment` as seen from the last receiver.
fn until(stage: &mut Stage, name: &str, moment: Moment) {
    let (victim, sender) = (stage.receivers[stage.receivers.len() - 1], stage.sender);
    let came = stage.world.run_until(secs(100), |world| {
        moment(world.get(victim), world.get(sender))
    });
    assert!(came, "{name} never came");
}

#[test]
fn a_receiver_that_dies_stalls_nobody() {
    seeds::each(6, |seed| {
        for (name, moment) in MOMENTS {
            for open in [false, true] {
                let mut scenario =
                    Scenario::new(seed, 6, two_files(60_000)).paths(lossy(0.1), lossy(0.15));
                scenario.closed = !open;
                let mut stage = scenario.stage();
                let victim = stage.receivers[5];
                until(&mut stage, name, moment);
                stage.world.kill(victim);
                let died = stage.world.elapsed();
                let stage = stage.play(secs(100));
                for i in 0..5 {
                    stage.assert_whole(i);
                }
                let took = stage.world.elapsed() - died;
                assert!(took < secs(15), "{name}: {took:?} after the death");
                check_victim(&stage, name);
            }
        }
    });
}

/// What is said of the dead is true.
fn check_victim(stage: &Stage, name: &str) {
    let node = stage.receiver(5);
    let stored = node.store.look().stored.len();
    for file in [1, 2] {
        match stage.sender().verdict(FileId(file), receiver_uid(5)) {
            Some(FileOutcome::Completed(_)) => {
                assert!(
                    stored >= usize::from(file),
                    "{name}: file {file} is not there"
                );
            }
            Some(FileOutcome::Lost | FileOutcome::Mute) => {
                let late = node
                    .kinds()
                    .any(|k| matches!(k, ReceiverEventKind::GroupDone));
                assert!(!late, "{name}: file {file} was there");
            }
            None => assert_eq!(stored, 0, "{name}: file {file} is not reported on"),
            verdict => panic!("{name}: {verdict:?}"),
        }
    }
    assert_eq!(node.store.look().violations, [""; 0]);
}

#[test]
fn a_sender_that_dies_leaves_nothing_half_written() {
    seeds::each(4, |seed| {
        for (name, moment) in MOMENTS {
            let scenario = Scenario::new(seed, 3, two_files(60_000)).paths(lossy(0.1), lossy(0.15));
            let mut stage = scenario.stage();
            until(&mut stage, name, moment);
            stage.world.kill(stage.sender);
            let died = stage.world.elapsed();
            stage.world.run(secs(200));
            let took = stage.world.elapsed() - died;
            // A round trip time of 0.53 s, as assumed at first, 4 * 20 times.
            assert!(took < secs(45), "{name}: {took:?}");
            for node in stage.receiver_nodes() {
                assert!(node.machine.is_idle(), "{name}");
                node.store.assert_sound(&stage.items);
                assert_eq!(node.store.look().sessions, 0);
                for end in node.ends() {
                    let whole = node.store.look().stored.len() == 2;
                    match end {
                        EndReason::Aborted(_) => {}
                        EndReason::Confirmed | EndReason::Unconfirmed if whole => {}
                        end => panic!("{name}: {end:?}"),
                    }
                }
            }
        }
    });
}

#[test]
fn a_reborn_receiver_does_not_confuse_its_sender() {
    seeds::each(6, |seed| {
        for (name, moment) in MOMENTS {
            let scenario = Scenario::new(seed, 3, two_files(60_000)).paths(lossy(0.1), lossy(0.3));
            let mut stage = scenario.stage();
            let victim = stage.receivers[2];
            until(&mut stage, name, moment);
            stage.world.kill(victim);
            stage.world.run_for(ms(30));
            let node = scenario::receiver_node(&stage.world, 2, MemStore::default());
            stage.world.revive(victim, Box::new(node));
            stage.world.join(victim, scenario::PUBLIC);
            let stage = stage.play(secs(100));
            stage.assert_whole(0);
            stage.assert_whole(1);
            stage.receiver(2).store.assert_sound(&stage.items);
        }
    });
}

/// Cuts two of four receivers off for `time` in the middle of a file.
fn partition(seed: u64, time: Duration) -> Stage {
    let scenario = Scenario::new(seed, 4, two_files(400_000)).paths(lossy(0.02), lossy(0.05));
    let mut stage = scenario.stage();
    until(&mut stage, "first pass", |_, s| in_pass(s, 1));
    stage.world.run_for(ms(50));
    let away = [stage.receivers[2], stage.receivers[3]];
    stage.world.cut_off(&away);
    stage.world.after(time, |world| world.heal());
    stage.play(secs(200))
}

#[test]
fn a_short_partition_is_repaired() {
    seeds::each(20, |seed| partition(seed, ms(400)).assert_all_whole());
}

#[test]
fn a_long_partition_costs_those_cut_off_and_nobody_else() {
    seeds::each(20, |seed| {
        let stage = partition(seed, secs(10));
        stage.assert_whole(0);
        stage.assert_whole(1);
        for i in [2, 3] {
            let node = stage.receiver(i);
            node.store.assert_sound(&stage.items);
            assert_eq!(node.store.look().stored, []);
            assert!(
                matches!(node.ends()[..], [EndReason::Aborted(_)]),
                "{:?}",
                node.ends()
            );
            let verdict = stage.sender().verdict(FileId(1), receiver_uid(i));
            assert_eq!(verdict, Some(FileOutcome::Lost));
        }
    });
}

#[test]
fn all_receivers_dead_end_the_session() {
    let mut stage = Scenario::new(1, 3, two_files(60_000)).stage();
    until(&mut stage, "first pass", |_, s| in_pass(s, 1));
    for id in stage.receivers.clone() {
        stage.world.kill(id);
    }
    let stage = stage.play(secs(60));
    assert_eq!(stage.sender().outcome(), Some(Outcome::AllDropped));
}

#[test]
fn one_lost_receiver_ends_all_if_the_user_says_so() {
    let scenario = Scenario::new(1, 3, two_files(60_000));
    let mut stage = scenario.configure(|c| c.quit_on_error = true).stage();
    until(&mut stage, "first pass", |_, s| in_pass(s, 1));
    stage.world.kill(stage.receivers[2]);
    let stage = stage.play(secs(60));
    assert_eq!(stage.sender().outcome(), Some(Outcome::AllDropped));
    for i in [0, 1] {
        let ends = stage.receiver(i).ends();
        assert!(
            matches!(ends[..], [EndReason::AbortedByServer(_)]),
            "{ends:?}"
        );
    }
}

#[test]
fn a_receiver_given_up_is_told_so() {
    // It hears everything, but nothing it says gets through any more.
    let mut stage = Scenario::new(2, 2, [source::file("f", 200_000)]).stage();
    until(&mut stage, "first pass", |_, s| in_pass(s, 1));
    stage.world.up(stage.receivers[1]).config = lossy(1.0);
    stage.world.down(stage.receivers[1]).config = lossy(0.3);
    let stage = stage.play(secs(60));
    stage.assert_whole(0);
    let node = stage.receiver(1);
    node.store.assert_sound(&[]);
    let ends = node.ends();
    assert!(
        matches!(ends[..], [EndReason::AbortedByServer(_)]),
        "{ends:?}"
    );
    let verdict = stage.sender().verdict(FileId(1), receiver_uid(1));
    assert_eq!(verdict, Some(FileOutcome::Lost));
    assert!(stage.world.sent(stage.sender).of(Function::Abort).datagrams >= 1);
}
