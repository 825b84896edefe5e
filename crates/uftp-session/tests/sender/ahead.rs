//! Small files, whose data does not wait for the answers to FILEINFO.

use uftp_proto::wire::{CompleteStatus, Function, Message};
use uftp_proto::{FileId, Instance};
use uftp_session::sender::{FileOutcome, Outcome, Rate, SenderConfig, SyncMode};

use super::lab::{self, DELAY, Lab, Memory, Packet, Peer, abort, noise};

/// A rate at which the files here are out at once.
fn config(clients: Option<&[u32]>) -> SenderConfig {
    SenderConfig {
        rate: Rate::Fixed(100_000_000),
        ..lab::config(clients)
    }
}

/// What a sender of `files` says from the first FILEINFO on.
fn said(lab: &Lab) -> Vec<String> {
    let words = lab.words().into_iter();
    words.skip_while(|w| !w.starts_with("FILEINFO")).collect()
}

fn is(function: Function) -> impl Fn(&Packet) -> bool {
    move |packet| packet.header().function == function
}

/// Files of 3000 bytes, called by their numbers.
fn small_files(count: u16) -> Memory {
    (1..=count).fold(Memory::default(), |files, i| {
        files.file(&i.to_string(), noise(3000))
    })
}

/// Whether the data of file `number` left before anybody could have answered its FILEINFO, if any
/// left at all.
fn goes_ahead(lab: &Lab, number: u16) -> bool {
    let info = lab.of(&format!("FILEINFO({number})"))[0].at;
    let data = lab.packets.iter().find(
        |packet| matches!(packet.message(), Message::FileSeg(seg) if seg.file == FileId(number)),
    );
    data.is_some_and(|data| data.at - info < 2 * DELAY)
}

#[test]
fn a_small_file_takes_one_round_trip() {
    let peers = [1, 2].map(Peer::new).into();
    let mut lab = Lab::new(config(Some(&[1, 2])), small_files(3), peers);
    assert_eq!(lab.run(), Outcome::Success);
    for number in 1..=3 {
        assert!(goes_ahead(&lab, number));
        assert_eq!(lab.peers[1].complete[&FileId(number)], noise(3000));
    }
    let infos: Vec<_> = lab.of("FILEINFO").iter().map(|p| p.ms()).collect();
    let trip = 2e3 * DELAY.as_secs_f64();
    assert!(infos[2] - infos[1] < 1.5 * trip, "{infos:?}");
    assert_eq!(lab.of("FILESEG").len(), 9);
}

#[test]
fn who_lost_fileinfo_is_asked_again_and_gets_the_data_again() {
    let mut lost = false;
    let deaf = Peer::new(2).hearing(move |packet| {
        let drop = is(Function::FileInfo)(packet) && !lost;
        lost |= drop;
        !drop
    });
    let mut lab = Lab::new(
        config(Some(&[1, 2])),
        small_files(3),
        vec![Peer::new(1), deaf],
    );
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(
        said(&lab)[..8],
        [
            "FILEINFO(1) 1 2",
            "FILESEG",
            "DONE(1) 1 2",
            "FILEINFO(1) 2",
            "FILESEG",
            "DONE(1) 2",
            "FILEINFO(2) 1 2",
            "FILESEG",
        ]
    );
    assert!(lab.peers.iter().all(|p| p.complete.len() == 3));
    assert!(goes_ahead(&lab, 1));
    assert!(!goes_ahead(&lab, 2), "the next file waits");
    assert!(goes_ahead(&lab, 3));
}

#[test]
fn lost_answers_and_lost_data_are_made_up_for() {
    for drop in [Function::FileInfoAck, Function::Complete] {
        let mut dropped = false;
        let mute = Peer::new(1).speaking(move |message| {
            let this = message.function() == drop && !dropped;
            dropped |= this;
            !this
        });
        let mut lab = Lab::new(config(Some(&[1])), small_files(1), vec![mute]);
        assert_eq!(lab.run(), Outcome::Success, "{drop:?}");
        assert_eq!(lab.peers[0].complete[&FileId(1)], noise(3000));
    }
    for drop in [Function::FileSeg, Function::Done] {
        let mut dropped = false;
        let deaf = Peer::new(1).hearing(move |packet| {
            let this = is(drop)(packet) && !dropped;
            dropped |= this;
            !this
        });
        let mut lab = Lab::new(config(Some(&[1])), small_files(1), vec![deaf]);
        assert_eq!(lab.run(), Outcome::Success, "{drop:?}");
        assert_eq!(lab.peers[0].complete[&FileId(1)], noise(3000));
        assert_eq!(lab.of("FILEINFO").len(), 1, "its FILEINFO had arrived");
    }
}

#[test]
fn who_is_through_at_once_need_not_answer_fileinfo() {
    let brief = Peer::new(1).speaking(|message| message.function() != Function::FileInfoAck);
    let mut lab = Lab::new(config(Some(&[1])), small_files(5), vec![brief]);
    assert_eq!(lab.run(), Outcome::Success);
    assert!((1..=5).all(|number| goes_ahead(&lab, number)));
    assert_eq!(lab.of("FILEINFO").len(), 5);
}

#[test]
fn who_never_answers_is_lost_at_fileinfo() {
    let silent = Peer::new(2).speaking(|message| matches!(message, Message::Register(_)));
    let peers = vec![Peer::new(1), silent];
    let mut lab = Lab::new(config(Some(&[1, 2])), small_files(2), peers);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(lab.of("FILEINFO(1)").len(), 20, "as often as any is asked");
    let done = FileOutcome::Completed(CompleteStatus::NORMAL);
    assert_eq!(lab.results(1), [done, FileOutcome::Lost]);
    assert_eq!(lab.peers[0].complete.len(), 2);

    let silent = Peer::new(2).speaking(|message| matches!(message, Message::Register(_)));
    let mut lab = Lab::new(config(Some(&[2])), small_files(2), vec![silent]);
    assert_eq!(lab.run(), Outcome::NobodyReady);
}

#[test]
fn refusals_mean_what_they_mean_to_a_sender_that_waits() {
    let mut full = Lab::new(config(Some(&[1])), small_files(1), vec![Peer::new(1)]);
    full.run_until(|lab| !lab.of("FILEINFO").is_empty());
    full.say(0, &abort("Not enough disk space"));
    assert_eq!(full.run(), Outcome::NobodyReady);

    let mut config = config(Some(&[1, 2]));
    config.quit_on_error = true;
    let peers = [1, 2].map(Peer::new).into();
    let mut full = Lab::new(config, small_files(1), peers);
    full.run_until(|lab| !lab.of("FILEINFO").is_empty());
    full.say(0, &abort("Not enough disk space"));
    assert_eq!(full.run(), Outcome::NobodyReady);
}

#[test]
fn data_that_nobody_takes_does_not_go_ahead_again() {
    let mut picky = Peer::new(1);
    picky.at_once = Some(CompleteStatus::SKIPPED);
    let mut lab = Lab::new(config(Some(&[1])), small_files(10), vec![picky]);
    assert_eq!(lab.run(), Outcome::Success);
    let ahead: Vec<_> = (1..=10)
        .filter(|&number| goes_ahead(&lab, number))
        .collect();
    assert_eq!(ahead, [1, 3, 7]);
}

#[test]
fn data_waits_where_answers_may_change_what_is_sent_or_where_it_takes_long() {
    let with = |change: fn(&mut SenderConfig)| {
        let mut config = config(Some(&[1]));
        change(&mut config);
        config
    };
    let cases = [
        ("sync", with(|c| c.sync = SyncMode::Sync), 3000),
        ("restart", with(|c| c.instance = Instance(1)), 3000),
        ("slow", with(|c| c.rate = Rate::Fixed(300_000)), 3000),
        ("large", with(|_| {}), 65_537),
    ];
    for (what, config, size) in cases {
        let source = Memory::default().file("f", noise(size));
        let silent = Peer::new(1).speaking(|message| matches!(message, Message::Register(_)));
        let mut lab = Lab::new(config, source, vec![silent]);
        assert_eq!(lab.run(), Outcome::NobodyReady, "{what}");
        assert!(lab.of("FILESEG").is_empty(), "{what}");
    }
}
