//! The user ends the session.

use uftp_proto::wire::Message;
use uftp_session::sender::{FileOutcome, Outcome, SenderEvent};

use crate::lab::*;

fn stopped_when(until: impl Fn(&SenderEvent) -> bool + Copy) {
    let source = Memory::default().file("f", noise(200_000));
    let mut lab = Lab::new(
        config(Some(&[1, 2])),
        source,
        vec![Peer::new(1), Peer::new(2)],
    );
    lab.run_until(|lab| lab.has(until));
    let now = lab.now;
    lab.sender.stop(now);
    assert!(!lab.sender.is_finished(), "the ABORT is still to be sent");
    assert_eq!(lab.run(), Outcome::Interrupted);
    let last = lab.packets.last().unwrap();
    assert_eq!(last.word(), "ABORT(0) Server quit, aborting all");
    assert_eq!(last.at, now - lab.start, "not held up by the rate");
    assert_eq!(lab.of("ABORT").len(), 1);
    assert_eq!(lab.sender.poll_timeout(), None);
    lab.sender.stop(now);
    assert!(lab.sender.is_finished(), "it ends once");
}

#[test]
fn while_announcing() {
    stopped_when(|e| matches!(e, SenderEvent::AnnounceSent { .. }));
}

#[test]
fn once_all_have_registered() {
    stopped_when(|e| matches!(e, SenderEvent::RegConfSent { .. }));
}

#[test]
fn during_file_info() {
    stopped_when(|e| matches!(e, SenderEvent::FileInfoSent { .. }));
}

#[test]
fn in_the_middle_of_the_data() {
    stopped_when(|e| matches!(e, SenderEvent::SectionStarted { .. }));
}

#[test]
fn while_asking_for_reports() {
    stopped_when(|e| matches!(e, SenderEvent::DoneSent { .. }));
}

#[test]
fn while_closing() {
    stopped_when(|e| matches!(e, SenderEvent::Finishing));
}

#[test]
fn before_anything_was_sent() {
    let mut lab = Lab::new(config(None), Memory::default(), vec![Peer::new(1)]);
    let now = lab.now;
    lab.sender.stop(now);
    assert_eq!(lab.run(), Outcome::Interrupted);
    assert!(matches!(lab.packets[0].message(), Message::Abort(_)));
    assert_eq!(lab.packets.len(), 1);
}

/// What a stop tells besides that the session was interrupted.
fn told_by_a_stop_when(until: impl Fn(&SenderEvent) -> bool) -> Vec<SenderEvent> {
    let source = Memory::default().file("f", noise(200_000));
    let peers = vec![Peer::new(1), Peer::new(2)];
    let mut lab = Lab::new(config(Some(&[1, 2, 3])), source, peers);
    lab.run_until(|lab| lab.has(&until));
    let before = lab.events.len();
    let now = lab.now;
    lab.sender.stop(now);
    assert_eq!(lab.run(), Outcome::Interrupted);
    let mut told: Vec<_> = lab.events[before..].to_vec();
    assert!(matches!(told.pop(), Some(SenderEvent::Finished(_))));
    told
}

#[test]
fn who_has_come_is_told_while_announcing() {
    let told = told_by_a_stop_when(|e| matches!(e, SenderEvent::RegConfSent { .. }));
    let connected: Vec<_> = told
        .iter()
        .map(|event| match event {
            SenderEvent::Connect {
                client, connected, ..
            } => (client.0, *connected),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(connected, [(1, true), (2, true), (3, false)]);
}

#[test]
fn how_a_file_ends_is_told_once_its_data_flow() {
    let told = told_by_a_stop_when(|e| matches!(e, SenderEvent::FileInfoSent { .. }));
    assert_eq!(told, []);
    let told = told_by_a_stop_when(|e| matches!(e, SenderEvent::SectionStarted { .. }));
    let [SenderEvent::FileFinished { results, .. }] = told.as_slice() else {
        panic!("{told:?}");
    };
    let outcomes: Vec<_> = results.iter().map(|r| (r.client.0, r.outcome)).collect();
    let gone = FileOutcome::Aborted;
    assert_eq!(outcomes, [(1, gone), (2, gone), (3, FileOutcome::Mute)]);
}

/// Ids of those who have to be invited again.
fn unfinished(lab: &Lab) -> Vec<u32> {
    lab.sender.unfinished().iter().map(|c| c.uid.0).collect()
}

#[test]
fn nobody_has_finished_a_session_stopped_halfway() {
    let files = Memory::default().file("f", noise(2000));
    let source = files.file("g", noise(200_000));
    let peers = vec![Peer::new(1), Peer::new(2)];
    let mut lab = Lab::new(config(Some(&[1, 2])), source, peers);
    lab.run_until(|lab| lab.of("FILEINFO(2)").len() == 1);
    let now = lab.now;
    lab.sender.stop(now);
    assert_eq!(lab.run(), Outcome::Interrupted);
    assert_eq!(unfinished(&lab), [1, 2], "the first file is not all");
}

#[test]
fn all_have_finished_a_session_stopped_while_closing_but_the_absent() {
    let source = Memory::default().file("f", noise(2000));
    let peers = vec![Peer::new(1), Peer::new(2)];
    let mut lab = Lab::new(config(Some(&[1, 2, 3])), source, peers);
    lab.run_until(|lab| lab.has(|e| matches!(e, SenderEvent::Finishing)));
    let now = lab.now;
    lab.sender.stop(now);
    assert_eq!(lab.run(), Outcome::Interrupted);
    assert_eq!(unfinished(&lab), [3]);
}

#[test]
fn proxies_are_needed_by_those_behind_them_and_by_the_absent() {
    let clients = |ids: &[u32]| {
        let mut config = config(Some(ids));
        for entry in config.clients.iter_mut().flatten() {
            entry.proxy = entry.uid.0 >= 100;
        }
        config
    };
    let source = || Memory::default().file("f", noise(2000));
    let mut lab = Lab::new(clients(&[1, 100]), source(), vec![Peer::new(1)]);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(unfinished(&lab), [0; 0], "a proxy alone lacks nothing");
    let mut lab = Lab::new(clients(&[1, 2, 100]), source(), vec![Peer::new(1)]);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(unfinished(&lab), [2, 100]);
    assert!(lab.sender.unfinished()[1].proxy);
}
