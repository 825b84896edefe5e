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
        assert_eq!(goes_ahead(&lab, number), number > 1);
        assert_eq!(lab.peers[1].complete[&FileId(number)], noise(3000));
    }
    let infos: Vec<_> = lab.of("FILEINFO").iter().map(|p| p.ms()).collect();
    let trip = 2e3 * DELAY.as_secs_f64();
    assert!(infos[2] - infos[1] < 1.5 * trip, "{infos:?}");
    assert_eq!(lab.of("FILESEG").len(), 9);
}

/// What a file's number is at a receiver that has heard of none is the number of the whole session: a
/// deployed one that is asked by DONE then answers for that, and takes nothing any more.
#[test]
fn nobody_is_asked_by_done_before_its_first_fileinfo() {
    let mut heard = 0;
    let deaf = Peer::new(2).hearing(move |packet| {
        heard += u32::from(is(Function::FileInfo)(packet));
        !is(Function::FileInfo)(packet) || heard > 3
    });
    let mut lab = Lab::new(
        config(Some(&[1, 2])),
        small_files(2),
        vec![Peer::new(1), deaf],
    );
    assert_eq!(lab.run(), Outcome::Success);
    let done = |packet: &&Packet| matches!(packet.message(), Message::Done(_));
    let first = lab.packets.iter().find(done).unwrap().at;
    let told = lab.of("FILEINFO(1)");
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|info| info.at < first));
    assert!(lab.peers.iter().all(|p| p.complete.len() == 2));
}

#[test]
fn who_lost_fileinfo_is_asked_again_and_gets_the_data_again() {
    let mut infos = 0;
    let deaf = Peer::new(2).hearing(move |packet| {
        infos += u32::from(is(Function::FileInfo)(packet));
        !is(Function::FileInfo)(packet) || infos != 2
    });
    let mut lab = Lab::new(
        config(Some(&[1, 2])),
        small_files(4),
        vec![Peer::new(1), deaf],
    );
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(
        said(&lab)[3..11],
        [
            "FILEINFO(2) 1 2",
            "FILESEG",
            "DONE(2) 1 2",
            "FILEINFO(2) 2",
            "FILESEG",
            "DONE(2) 2",
            "FILEINFO(3) 1 2",
            "FILESEG",
        ]
    );
    assert!(lab.peers.iter().all(|p| p.complete.len() == 4));
    assert!(goes_ahead(&lab, 2));
    assert!(!goes_ahead(&lab, 3), "the next file waits");
    assert!(goes_ahead(&lab, 4));
}

/// The file that a message is about.
fn file_of(message: &Message<'_>) -> Option<FileId> {
    match message {
        Message::FileInfo(m) => Some(m.file),
        Message::FileInfoAck(m) => Some(m.file),
        Message::FileSeg(m) => Some(m.file),
        Message::Done(m) => Some(m.file),
        Message::Complete(m) => Some(m.file),
        _ => None,
    }
}

/// The first file waits for answers: what is told of is the second.
const SECOND: FileId = FileId(2);

/// Registers, and answers for the first file alone.
fn falls_silent(uid: u32) -> Peer {
    Peer::new(uid).speaking(|message| {
        matches!(message, Message::Register(_)) || file_of(message) == Some(FileId(1))
    })
}

#[test]
fn lost_answers_and_lost_data_are_made_up_for() {
    let mut dropped = false;
    let first_of = move |drop: Function, message: &Message<'_>| {
        let this = message.function() == drop && file_of(message) == Some(SECOND);
        this && !std::mem::replace(&mut dropped, true)
    };
    for drop in [Function::FileInfoAck, Function::Complete] {
        let mut lost = first_of;
        let mute = Peer::new(1).speaking(move |message| !lost(drop, message));
        let mut lab = Lab::new(config(Some(&[1])), small_files(2), vec![mute]);
        assert_eq!(lab.run(), Outcome::Success, "{drop:?}");
        assert_eq!(lab.peers[0].complete[&SECOND], noise(3000));
    }
    for drop in [Function::FileSeg, Function::Done] {
        let mut lost = first_of;
        let deaf = Peer::new(1).hearing(move |packet| !lost(drop, &packet.message()));
        let mut lab = Lab::new(config(Some(&[1])), small_files(2), vec![deaf]);
        assert_eq!(lab.run(), Outcome::Success, "{drop:?}");
        assert_eq!(lab.peers[0].complete[&SECOND], noise(3000));
        assert_eq!(lab.of("FILEINFO").len(), 2, "its FILEINFO had arrived");
    }
}

#[test]
fn who_is_through_at_once_need_not_answer_fileinfo() {
    let brief = Peer::new(1).speaking(|message| {
        message.function() != Function::FileInfoAck || file_of(message) == Some(FileId(1))
    });
    let mut lab = Lab::new(config(Some(&[1])), small_files(5), vec![brief]);
    assert_eq!(lab.run(), Outcome::Success);
    assert!((2..=5).all(|number| goes_ahead(&lab, number)));
    assert_eq!(lab.of("FILEINFO").len(), 5);
}

#[test]
fn who_never_answers_is_lost_at_fileinfo() {
    let peers = vec![Peer::new(1), falls_silent(2)];
    let mut lab = Lab::new(config(Some(&[1, 2])), small_files(3), peers);
    assert_eq!(lab.run(), Outcome::Success);
    let asked = lab.of("FILEINFO(2)");
    let time = asked[asked.len() - 1].ms() - asked[0].ms();
    assert!(
        asked.len() >= 20 && (2900.0..3200.0).contains(&time),
        "as long as any is asked, {time} ms"
    );
    let done = FileOutcome::Completed(CompleteStatus::NORMAL);
    assert_eq!(lab.results(2), [done, FileOutcome::Lost]);
    assert_eq!(lab.peers[0].complete.len(), 3);

    let mut lab = Lab::new(config(Some(&[2])), small_files(3), vec![falls_silent(2)]);
    assert_eq!(lab.run(), Outcome::NobodyReady);
    assert!(lab.of("FILEINFO(3)").is_empty());
}

#[test]
fn refusals_mean_what_they_mean_to_a_sender_that_waits() {
    let mut full = Lab::new(config(Some(&[1])), small_files(2), vec![Peer::new(1)]);
    full.run_until(|lab| !lab.of("FILEINFO(2)").is_empty());
    full.say(0, &abort("Not enough disk space"));
    assert_eq!(full.run(), Outcome::NobodyReady);

    let mut config = config(Some(&[1, 2]));
    config.quit_on_error = true;
    let peers = [1, 2].map(Peer::new).into();
    let mut full = Lab::new(config, small_files(2), peers);
    full.run_until(|lab| !lab.of("FILEINFO(2)").is_empty());
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
    assert_eq!(ahead, [2, 4, 8]);
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
        let source = small_files(1).file("f", noise(size));
        let mut lab = Lab::new(config, source, vec![falls_silent(1)]);
        assert_eq!(lab.run(), Outcome::NobodyReady, "{what}");
        let second = |p: &&Packet| file_of(&p.message()) == Some(SECOND);
        let data = |p: &&Packet| is(Function::FileSeg)(p);
        assert!(lab.packets.iter().any(|p| second(&p)), "{what}");
        assert_eq!(
            lab.packets.iter().filter(second).filter(data).count(),
            0,
            "{what}"
        );
    }
}
