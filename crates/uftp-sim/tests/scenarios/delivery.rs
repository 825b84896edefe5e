//! Clean networks: everything arrives, once.

use uftp_proto::wire::{CompleteStatus, FileType, Function};
use uftp_proto::{FileId, Uid};
use uftp_session::receiver::{EndReason, ReceiverEventKind};
use uftp_session::sender::{FileOutcome, Outcome, SenderEvent};
use uftp_sim::scenario::{receiver_addr, receiver_uid};
use uftp_sim::store::Faults;
use uftp_sim::{MemStore, Scenario, Stage, scenario, source};

use super::{ms, secs, two_files};

fn assert_nothing_repeated(stage: &Stage) {
    assert_eq!(stage.blocks_sent_ratio(), 1.0);
}

#[test]
fn one_to_one() {
    let stage = Scenario::new(1, 1, [source::file("f", 100_000)]).stage();
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
    assert_nothing_repeated(&stage);
    assert_eq!(stage.receiver(0).ends(), [EndReason::Confirmed]);
    assert!(
        stage.world.elapsed() < ms(500),
        "{:?}",
        stage.world.elapsed()
    );
}

#[test]
fn one_to_many() {
    let stage = Scenario::new(1, 40, two_files(60_000))
        .stage()
        .play(secs(60));
    stage.assert_all_whole();
    assert_nothing_repeated(&stage);
}

#[test]
fn sizes_about_the_block_size() {
    let sizes = [0, 1, 1299, 1300, 1301, 2600, 13_000, 13_001];
    let items = sizes.map(|size| source::file(&format!("of{size}"), size));
    let stage = Scenario::new(1, 3, items).stage().play(secs(60));
    stage.assert_all_whole();
    assert_nothing_repeated(&stage);
}

#[test]
fn many_files() {
    let items = (0..70).map(|i| source::file(&format!("tree/{i}"), i * 211));
    let stage = Scenario::new(1, 5, items).stage().play(secs(60));
    stage.assert_all_whole();
    assert_nothing_repeated(&stage);
}

#[test]
fn directories_links_and_empty_files() {
    let items = [
        source::directory("empty"),
        source::file("empty file", 0),
        source::link("link", "../elsewhere"),
        source::file("f", 5000),
        source::directory("deep/er"),
    ];
    let stage = Scenario::new(1, 3, items).stage().play(secs(60));
    stage.assert_all_whole();
    assert_nothing_repeated(&stage);
}

#[test]
fn only_directories() {
    let stage = Scenario::new(1, 3, [source::directory("empty")]);
    stage.stage().play(secs(60)).assert_all_whole();
}

#[test]
fn free_space_is_asked_for() {
    let items = [source::item(".", FileType::FREESPACE)];
    let stage = Scenario::new(1, 2, items).stage().play(secs(60));
    let reports = stage.sender().reports(FileId(1));
    let spaces: Vec<_> = reports.iter().map(|r| r.free_space).collect();
    assert_eq!(spaces, [Some(1 << 40); 2]);
}

#[test]
fn open_group() {
    let stage = Scenario::new(1, 5, two_files(60_000)).open().stage();
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
    assert_nothing_repeated(&stage);
}

#[test]
fn open_group_goes_on_when_enough_have_come() {
    let scenario = Scenario::new(1, 5, two_files(60_000)).open();
    let stage = scenario.configure(|c| c.min_clients = Some(5)).stage();
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
    assert!(
        stage.world.elapsed() < ms(700),
        "{:?}",
        stage.world.elapsed()
    );
}

#[test]
fn unicast_session() {
    let to = receiver_addr(0);
    let scenario = Scenario::new(1, 1, two_files(60_000));
    let stage = scenario
        .configure(|c| (c.public, c.private) = (to, to))
        .stage();
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
    assert_nothing_repeated(&stage);
    let joins = stage.receiver(0).kinds();
    let joins = joins.filter(|k| matches!(k, ReceiverEventKind::Join(_)));
    assert_eq!(joins.count(), 0);
}

#[test]
fn many_sections() {
    // 64 * 8 blocks of 64 bytes make a section.
    let items = [source::file("f", 200_003), source::file("g", 64 * 512 * 2)];
    let scenario = Scenario::new(1, 4, items).configure(|c| c.block_size = 64);
    let stage = scenario.stage().play(secs(60));
    stage.assert_all_whole();
    assert_nothing_repeated(&stage);
    let sections = stage.sender().events().find_map(|e| match e {
        SenderEvent::FileStarted { sections, .. } => Some(*sections),
        _ => None,
    });
    assert_eq!(sections, Some(7));
}

#[test]
fn lists_of_receivers_take_several_datagrams() {
    let scenario = Scenario::new(1, 500, two_files(20_000));
    let stage = scenario.configure(|c| c.block_size = 512).stage();
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
    assert_nothing_repeated(&stage);
    let most = stage.sender().events().filter_map(|e| match e {
        SenderEvent::FileInfoSent { part, .. } => Some(*part),
        _ => None,
    });
    assert!(most.max() >= Some(4), "500 ids do not fit 4 * 512 bytes");
}

#[test]
fn uninvited_receivers_get_nothing() {
    let mut stage = Scenario::new(1, 2, two_files(60_000)).stage();
    let stranger = scenario::add_receiver(&mut stage.world, 2, MemStore::default());
    stage.receivers.push(stranger);
    let stage = stage.play(secs(60));
    stage.assert_whole(0);
    stage.assert_whole(1);
    stage.receiver(2).store.assert_holds(&[]);
    assert_eq!(stage.world.sent(stranger).total().datagrams, 0);
    assert_eq!(stage.sender().verdict(FileId(1), receiver_uid(2)), None);
}

#[test]
fn absent_receivers_are_mute() {
    let mut stage = Scenario::new(1, 3, two_files(60_000)).stage();
    stage.world.kill(stage.receivers[1]);
    let stage = stage.play(secs(60));
    stage.assert_whole(0);
    stage.assert_whole(2);
    let connects = stage.sender().events().filter_map(|e| match e {
        SenderEvent::Connect {
            client, connected, ..
        } => Some((*client, *connected)),
        _ => None,
    });
    let connects: Vec<_> = connects.collect();
    let want = [true, false, true].into_iter().enumerate();
    let want: Vec<(Uid, bool)> = want.map(|(i, c)| (receiver_uid(i), c)).collect();
    assert_eq!(connects, want);
    for file in [1, 2] {
        let verdict = stage.sender().verdict(FileId(file), receiver_uid(1));
        assert_eq!(verdict, Some(FileOutcome::Mute));
    }
}

#[test]
fn nobody_there() {
    for scenario in [
        Scenario::new(1, 2, two_files(1000)),
        Scenario::new(1, 2, two_files(1000)).open(),
    ] {
        let mut stage = scenario.stage();
        for id in stage.receivers.clone() {
            stage.world.kill(id);
        }
        let stage = stage.play(secs(60));
        assert_eq!(stage.sender().outcome(), Some(Outcome::NobodyRegistered));
        assert_eq!(
            stage
                .world
                .sent(stage.sender)
                .of(Function::FileSeg)
                .datagrams,
            0
        );
    }
}

#[test]
fn refused_and_present_files_are_reported_and_hold_up_nobody() {
    let items = two_files(60_000);
    let mut stage = Scenario::new(1, 2, items.clone()).open().stage();
    for faults in [
        Faults {
            reject: Some(items[0].name.clone()),
            ..Faults::default()
        },
        Faults {
            skip: Some(items[0].name.clone()),
            ..Faults::default()
        },
    ] {
        let i = stage.receivers.len();
        let store = MemStore::with_faults(faults);
        let id = scenario::add_receiver(&mut stage.world, i, store);
        stage.receivers.push(id);
    }
    let stage = stage.play(secs(60));
    stage.assert_whole(0);
    stage.assert_whole(1);
    for (i, status) in [(2, CompleteStatus::REJECTED), (3, CompleteStatus::SKIPPED)] {
        stage.receiver(i).store.assert_holds(&items[1..]);
        let verdict = stage.sender().verdict(FileId(1), receiver_uid(i));
        assert_eq!(verdict, Some(FileOutcome::Completed(status)));
        assert_eq!(stage.receiver(i).finished(status), 1);
        assert_eq!(stage.receiver(i).ends(), [EndReason::Confirmed]);
    }
}

#[test]
fn nothing_taken_is_no_success() {
    // Too much to be sent before anybody has answered.
    let item = source::file("f", 100_000);
    let mut stage = Scenario::new(1, 0, [item.clone()]).open().stage();
    let store = MemStore::with_faults(Faults {
        reject: Some(item.name),
        ..Faults::default()
    });
    let id = scenario::add_receiver(&mut stage.world, 0, store);
    stage.receivers.push(id);
    let stage = stage.play(secs(60));
    assert_eq!(stage.sender().outcome(), Some(Outcome::NothingAccepted));
    assert_eq!(
        stage
            .world
            .sent(stage.sender)
            .of(Function::FileSeg)
            .datagrams,
        0
    );
}
