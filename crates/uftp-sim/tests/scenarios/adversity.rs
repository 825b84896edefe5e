//! Networks that delay, reorder, double and lose; messages that never come.

use uftp_proto::wire::Function;
use uftp_session::receiver::EndReason;
use uftp_session::sender::Outcome;
use uftp_sim::scenario::{self, sender_config};
use uftp_sim::{PathConfig, Scenario, SenderNode, Stage, Verdict, seeds, source};

use super::{delayed, lossy, ms, secs, two_files};

#[test]
fn three_hundred_milliseconds_each_way() {
    seeds::each(5, |seed| {
        let path = delayed(ms(300));
        let stage = Scenario::new(seed, 5, two_files(100_000)).paths(path, path);
        let stage = stage.stage().play(secs(100));
        stage.assert_all_whole();
        assert_eq!(stage.blocks_sent_ratio(), 1.0);
    });
}

#[test]
fn small_files_take_a_round_trip_each() {
    let items = |count| (0..count).map(|i| source::file(&format!("{i}"), 4096));
    let path = delayed(ms(300));
    let time = |count| {
        let stage = Scenario::new(1, 5, items(count)).paths(path, path).stage();
        let stage = stage.play(secs(100));
        stage.assert_all_whole();
        assert_eq!(stage.blocks_sent_ratio(), 1.0);
        stage.world.elapsed()
    };
    let (few, many) = (time(10), time(50));
    assert!(many - few < 40 * ms(620), "{few:?}, {many:?}");
}

#[test]
fn small_files_through_loss() {
    seeds::each(20, |seed| {
        let items = (0..20).map(|i| source::file(&format!("{i}"), i * 400));
        let path = PathConfig {
            jitter: ms(5),
            ..lossy(0.2)
        };
        let stage = Scenario::new(seed, 6, items).paths(path, path).stage();
        stage.play(secs(200)).assert_all_whole();
    });
}

#[test]
fn receivers_near_and_far() {
    seeds::each(5, |seed| {
        let mut stage = Scenario::new(seed, 6, two_files(100_000)).stage();
        for (i, id) in stage.receivers.clone().into_iter().enumerate() {
            let path = PathConfig {
                delay: ms(i as u64 * 80),
                ..lossy(0.05)
            };
            stage.world.set_paths(id, path, path);
        }
        stage.play(secs(100)).assert_all_whole();
    });
}

#[test]
fn reordering() {
    seeds::each(20, |seed| {
        let path = PathConfig {
            delay: ms(5),
            jitter: ms(20),
            ..PathConfig::default()
        };
        let stage = Scenario::new(seed, 5, two_files(100_000)).paths(path, path);
        stage.stage().play(secs(100)).assert_all_whole();
    });
}

#[test]
fn every_datagram_doubled() {
    seeds::each(10, |seed| {
        let path = PathConfig {
            jitter: ms(3),
            duplicate: 1.0,
            ..PathConfig::default()
        };
        let stage = Scenario::new(seed, 5, two_files(100_000)).paths(path, path);
        stage.stage().play(secs(100)).assert_all_whole();
    });
}

#[test]
fn late_copies_of_one_file_do_not_touch_the_next() {
    seeds::each(20, |seed| {
        let path = PathConfig {
            jitter: ms(10),
            duplicate: 1.0,
            ..PathConfig::default()
        };
        // Answered at once, the next comes while copies of the one before are under way.
        let items = (0..40).map(|i| match i % 4 {
            0 => source::file(&format!("{i}"), i * 50),
            _ => source::directory(&format!("{i}")),
        });
        let stage = Scenario::new(seed, 1, items).paths(path, path).stage();
        stage.play(secs(100)).assert_all_whole();
    });
}

#[test]
fn a_fifth_lost() {
    seeds::each(20, |seed| {
        let stage = Scenario::new(seed, 5, two_files(100_000)).paths(lossy(0.2), lossy(0.2));
        stage.stage().play(secs(200)).assert_all_whole();
    });
}

#[test]
fn all_at_once() {
    seeds::each(20, |seed| {
        let path = PathConfig {
            delay: ms(50),
            jitter: ms(100),
            duplicate: 0.3,
            ..lossy(0.15)
        };
        let stage = Scenario::new(seed, 8, two_files(60_000)).paths(path, path);
        stage.stage().play(secs(300)).assert_all_whole();
    });
}

#[test]
fn loss_upstream_only() {
    seeds::each(10, |seed| {
        let stage = Scenario::new(seed, 10, two_files(60_000)).paths(lossy(0.4), lossy(0.0));
        let stage = stage.stage().play(secs(200));
        stage.assert_all_whole();
        assert_eq!(
            stage.blocks_sent_ratio(),
            1.0,
            "nothing was lost on the way down"
        );
    });
}

/// Two receivers that never hear a `function`.
fn without(function: Function) -> Stage {
    let mut stage = Scenario::new(1, 2, two_files(60_000)).stage();
    stage.world.set_filter(move |p| match p.is(function) {
        true => Verdict::Drop,
        false => Verdict::Pass,
    });
    stage.play(secs(60))
}

#[test]
fn registrations_need_no_confirmation() {
    let stage = without(Function::RegConf);
    stage.assert_all_whole();
    assert!(
        stage
            .receiver_nodes()
            .all(|r| r.ends() == [EndReason::Confirmed])
    );
}

#[test]
fn completions_need_no_confirmation() {
    let stage = without(Function::DoneConf);
    stage.assert_all_whole();
    assert!(
        stage
            .receiver_nodes()
            .all(|r| r.ends() == [EndReason::Unconfirmed])
    );
}

#[test]
fn the_first_of_everything_is_lost() {
    // At every place each kind of message is lost three times before one gets through.
    let mut lost = std::collections::HashMap::new();
    let mut stage = Scenario::new(1, 3, two_files(60_000)).stage();
    stage.world.set_filter(move |p| {
        let count = lost.entry((p.function(), p.from, p.to)).or_insert(0);
        *count += 1;
        match *count {
            1..=3 => Verdict::Drop,
            _ => Verdict::Pass,
        }
    });
    let stage = stage.play(secs(60));
    // A confirmation that is lost is not asked for three times.
    stage.assert_all_whole();
}

#[test]
fn two_senders_at_once() {
    seeds::each(10, |seed| {
        let stage = Scenario::new(seed, 6, two_files(100_000)).paths(lossy(0.05), lossy(0.05));
        let mut stage = stage.stage();
        let others = [source::file("other", 80_000), source::file("more", 5)];
        let mut config = sender_config(1);
        config.block_size = 512;
        let other = scenario::add_sender(&mut stage.world, config, &others);
        let stage = stage.play(secs(100));
        for sender in [stage.sender, other] {
            let node: &SenderNode = stage.world.get(sender);
            assert_eq!(node.outcome(), Some(Outcome::Success));
        }
        let all = [stage.items.as_slice(), &others].concat();
        for node in stage.receiver_nodes() {
            node.store.assert_sound(&all);
            assert_eq!(node.store.look().stored.len(), 4);
            assert_eq!(node.ends().len(), 2);
        }
    });
}

#[test]
fn two_sessions_share_a_private_group() {
    let mut stage = Scenario::new(1, 3, two_files(60_000)).stage();
    let private = stage.private();
    let mut config = sender_config(1);
    config.private = private;
    let others = [source::file("long", 400_000)];
    scenario::add_sender(&mut stage.world, config, &others);
    let stage = stage.play(secs(60));
    for (node, id) in stage.receiver_nodes().zip(&stage.receivers) {
        assert_eq!(node.store.look().stored.len(), 3);
        assert!(!stage.world.is_member(*id, private.ip()));
        assert!(node.joined.is_empty());
    }
}
