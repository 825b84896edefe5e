//! Protocol 3: fixed times, and passes in lock-step (wire-v3 §6, §7, §9).

use std::time::Duration;

use uftp_proto::wire::{CompleteStatus, FileType, Function, Version};
use uftp_proto::{FileId, Uid};
use uftp_session::files::SendItem;
use uftp_session::receiver::{EndReason, ReceiverConfig, ReceiverEventKind};
use uftp_session::sender::{ClientEntry, FileOutcome, Outcome, Rate, SenderEvent};
use uftp_sim::scenario::{self, PUBLIC, receiver_addr, receiver_uid};
use uftp_sim::{Bottleneck, MemStore, PathConfig, Scenario, Stage, source};

use super::{lossy, ms, secs, two_files};

fn scenario(receivers: usize, items: impl IntoIterator<Item = SendItem>) -> Scenario {
    let items = items.into_iter().map(undated);
    Scenario::new(3, receivers, items).configure(|c| c.version = Version::V3)
}

/// Wire id 0x30 does not tell the times of files.
fn undated(item: SendItem) -> SendItem {
    SendItem { mtime: 0, ..item }
}

/// Datagrams of so many bytes.
fn in_datagrams_of(scenario: Scenario, mtu: u16) -> Scenario {
    scenario.configure(|c| c.fixed.mtu = mtu)
}

fn passes(stage: &Stage) -> u32 {
    let passes = stage.sender().events().filter_map(|event| match event {
        SenderEvent::PassStarted { pass } => Some(*pass),
        _ => None,
    });
    passes.max().unwrap_or(0)
}

#[test]
fn one_to_many() {
    let stage = scenario(40, two_files(60_000)).stage().play(secs(60));
    stage.assert_all_whole();
    assert_eq!(stage.blocks_sent_ratio(), 1.0);
    assert_eq!(stage.sender().block_size, 1444);
    // 1.5 register intervals, then 1.5 done intervals of silence.
    let elapsed = stage.world.elapsed();
    assert!(elapsed > secs(12) && elapsed < ms(12_500), "{elapsed:?}");
}

/// From the first block to the end of the file.
fn took(stage: &Stage) -> Duration {
    let at = |what: fn(&SenderEvent) -> bool| {
        let mut events = stage.sender().events.iter();
        events.find(|(_, event)| what(event)).map(|(at, _)| *at)
    };
    let began = at(|event| matches!(event, SenderEvent::PassStarted { .. }));
    let ended = at(|event| matches!(event, SenderEvent::FileFinished { .. }));
    ended.unwrap() - began.unwrap()
}

#[test]
fn the_self_clocked_rate_follows_the_rounds() {
    for (rate, size, longest) in [
        (25_000_000, 50_000_000, ms(2600)),
        (1_000_000_000, 200_000_000, ms(800)),
    ] {
        let scenario = scenario(2, [source::file("f", size)]);
        let mut stage = scenario.configure(|c| c.rate = Rate::SelfClocked).stage();
        stage.world.down(stage.receivers[0]).config = PathConfig {
            bottleneck: Some(Bottleneck {
                rate,
                queue: 256_000,
                mark_above: None,
            }),
            ..PathConfig::default()
        };
        let stage = stage.play(secs(60));
        stage.assert_all_whole();
        let (took, ratio) = (took(&stage), stage.blocks_sent_ratio());
        println!("{rate}: {took:?}, {ratio:.3} sent for each");
        assert!(took < longest, "{took:?}");
        assert!(ratio < 1.4, "{ratio}");
    }
}

#[test]
fn everything_there_is() {
    let sizes = [0, 1, 3, 1443, 1444, 1445, 2888, 14_441];
    let files = sizes.map(|size| source::file(&format!("of{size}"), size));
    let others = [
        source::directory("empty"),
        source::link("link", "../elsewhere"),
        source::directory("deep/er"),
    ];
    let stage = scenario(3, files.into_iter().chain(others)).stage();
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
    assert_eq!(stage.blocks_sent_ratio(), 1.0);
}

#[test]
fn what_protocol_3_has_no_word_for_is_left_out() {
    let long = "n".repeat(150);
    let items = [
        source::item(".", FileType::FREESPACE),
        source::item("gone", FileType::DELETE),
        source::link(&long, &long),
        source::file("f", 100),
    ];
    let stage = scenario(1, items).stage().play(secs(60));
    let skipped = |e: &&SenderEvent| matches!(e, SenderEvent::FileSkipped { .. });
    assert_eq!(stage.sender().events().filter(skipped).count(), 3);
    assert_eq!(stage.sender().outcome(), Some(Outcome::Success));
    assert_eq!(stage.receiver(0).finished(CompleteStatus::NORMAL), 1);
}

#[test]
fn loss_over_several_sections_and_passes() {
    let items = [source::file("f", 5_000_003)];
    let scenario = in_datagrams_of(scenario(3, items), 576)
        .configure(|c| c.max_time_percent = Some(10_000))
        .paths(lossy(0.05), lossy(0.05));
    let stage = scenario.stage().play(secs(600));
    stage.assert_all_whole();
    assert_eq!(stage.sender().block_size, 520);
    assert!(passes(&stage) >= 3);
    let ratio = stage.blocks_sent_ratio();
    assert!((1.1..1.3).contains(&ratio), "{ratio}");
}

#[test]
fn open_group_waits_its_full_time() {
    let stage = scenario(5, two_files(60_000)).open().stage();
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
    let elapsed = stage.world.elapsed();
    assert!(elapsed > secs(16) && elapsed < ms(16_500), "{elapsed:?}");
}

/// Registrations as often as announcements keep nothing from going out on time.
#[test]
fn timers_do_not_wait_for_silence() {
    let mut stage = scenario(20, two_files(1000))
        .open()
        .configure(|c| {
            c.fixed.announce_interval = 500;
            c.fixed.register_interval = 500;
        })
        .stage();
    stage.world.run_for(ms(600));
    let confirmations = stage.world.sent(stage.sender).of(Function::RegConf);
    assert_eq!(confirmations.datagrams, 1);
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
}

#[test]
fn a_closed_group_knows_receivers_by_their_addresses_too() {
    let addresses = [0, 1].map(|i| Uid::from_addr(receiver_addr(i).ip()));
    let mut closed = scenario(0, two_files(1000));
    closed.closed = false;
    let mut stage = closed
        .configure(|c| {
            c.clients = Some(addresses.map(ClientEntry::receiver).to_vec());
        })
        .stage();
    for i in 0..2 {
        // Ids of 24 bits stand beside addresses.
        add_called(&mut stage, i, Uid(0x01_0203 + i as u32));
    }
    let stage = stage.play(secs(60));
    for uid in addresses {
        let verdict = stage.sender().verdict(FileId(1), uid);
        let whole = FileOutcome::Completed(CompleteStatus::NORMAL);
        assert_eq!(verdict, Some(whole), "{uid}");
    }
}

/// Adds a receiver that has this id, if that is one.
fn add_called(stage: &mut Stage, i: usize, uid: Uid) {
    let store = MemStore::default();
    let config = ReceiverConfig {
        uid,
        ..scenario::receiver_config(i)
    };
    let node = scenario::configured_receiver_node(&stage.world, i, store, config);
    let id = stage.world.add(receiver_addr(i), Box::new(node));
    stage.world.join(id, PUBLIC);
    stage.receivers.push(id);
}

#[test]
fn who_does_not_know_its_name_learns_it() {
    let mut stage = scenario(0, two_files(60_000)).open().stage();
    for i in 0..2 {
        add_called(&mut stage, i, Uid::NONE);
    }
    let stage = stage.play(secs(60));
    assert_eq!(stage.sender().outcome(), Some(Outcome::Success));
    for i in 0..2 {
        let uid = Uid::from_addr(receiver_addr(i).ip());
        let verdict = stage.sender().verdict(FileId(2), uid);
        let whole = FileOutcome::Completed(CompleteStatus::NORMAL);
        assert_eq!(verdict, Some(whole), "{uid}");
        assert_eq!(stage.receiver(i).ends(), [EndReason::Confirmed]);
    }
}

#[test]
fn unicast_session() {
    let to = receiver_addr(0);
    let scenario = scenario(1, two_files(60_000));
    let stage = scenario
        .configure(|c| (c.public, c.private) = (to, to))
        .stage();
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
    let joins = stage.receiver(0).kinds();
    let joins = joins.filter(|k| matches!(k, ReceiverEventKind::Join(_)));
    assert_eq!(joins.count(), 0);
}

#[test]
fn one_who_falls_silent_is_given_up_and_the_others_go_on() {
    let items = [source::file("f", 400_000), source::file("g", 1000)];
    let mut stage = scenario(3, items).stage();
    stage.world.run_for(ms(6_100));
    stage.world.kill(stage.receivers[1]);
    let stage = stage.play(secs(120));
    for i in [0, 2] {
        stage.assert_whole(i);
    }
    let lost = stage.sender().verdict(FileId(1), receiver_uid(1));
    assert_eq!(lost, Some(FileOutcome::Lost));
}

#[test]
fn a_file_that_takes_too_long_is_given_up_but_not_those_who_have_it() {
    let items = [source::file("f", 2_000_000), source::file("g", 1000)];
    // 300 % of a second, at least 10 s.
    let mut stage = in_datagrams_of(scenario(2, items), 576).stage();
    let deaf = lossy(0.97);
    stage
        .world
        .set_paths(stage.receivers[1], PathConfig::default(), deaf);
    let stage = stage.play(secs(300));
    stage.assert_whole(0);
    let told = stage.sender().verdict(FileId(1), receiver_uid(1));
    assert!(
        matches!(
            told,
            Some(FileOutcome::Aborted | FileOutcome::Lost | FileOutcome::Mute)
        ),
        "{told:?}"
    );
}

#[test]
fn passes_have_an_end() {
    let items = [source::file("f", 300_000)];
    let stage = scenario(2, items)
        .configure(|c| c.max_passes = 2)
        .paths(PathConfig::default(), lossy(0.3))
        .stage();
    let stage = stage.play(secs(300));
    assert_eq!(passes(&stage), 2);
    let told = stage.sender().verdict(FileId(1), receiver_uid(0));
    assert_eq!(told, Some(FileOutcome::Aborted));
    let aborts = stage.world.sent(stage.sender).of(Function::Abort).datagrams;
    assert_eq!(aborts, 1, "one for all");
}

#[test]
fn synchronized_with_wire_id_31() {
    let items = [source::file("f", 60_000), source::file("g", 10)];
    let config = |c: &mut uftp_session::sender::SenderConfig| {
        c.version = Version::V3Sync;
        c.sync = uftp_session::sender::SyncMode::Sync;
    };
    let stage = Scenario::new(3, 2, items).configure(config).stage();
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
}

#[test]
fn one_receiver_serves_all_three_protocols_at_once() {
    let file = |name: &str| source::file(name, 300_000);
    let mut stage = scenario(2, [file("three")]).open().stage();
    for (k, version, name) in [(1, Version::V4, "four"), (2, Version::V5, "five")] {
        let mut config = scenario::sender_config(k);
        config.version = version;
        scenario::add_sender(&mut stage.world, config, &[file(name)]);
    }
    let stage = stage.play(secs(60));
    for i in 0..2 {
        let node = stage.receiver(i);
        node.store
            .assert_holds(&[file("four"), file("five"), undated(file("three"))]);
        assert_eq!(
            node.ends(),
            [
                EndReason::Confirmed,
                EndReason::Confirmed,
                EndReason::Confirmed
            ]
        );
    }
}
