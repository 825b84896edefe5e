//! Clients behind proxies, in plain sessions.

use uftp_proto::wire::{Complete, CompleteStatus, FileInfoAck, Message, Register};
use uftp_proto::{FileId, Uid};
use uftp_session::sender::{ClientEntry, FileOutcome, Outcome, SenderConfig, SenderEvent};

use crate::lab::*;

const PROXY: u32 = 100;

fn closed() -> SenderConfig {
    let mut config = config(Some(&[1, 2]));
    let proxy = ClientEntry::proxy(Uid(PROXY));
    config.clients.as_mut().unwrap().push(proxy);
    config
}

/// The proxy speaks for clients 1 and 2 all through a session.
fn play(lab: &mut Lab) -> Outcome {
    let both = vec![Uid(1), Uid(2)];
    let echo = lab.stamp();
    lab.run_until(|lab| !lab.of("ANNOUNCE").is_empty());
    lab.say(
        0,
        &Message::Register(Register {
            echo,
            random: [0; 32],
            key: Vec::new(),
            clients: both.clone(),
        }),
    );
    lab.run_until(|lab| !lab.of("FILEINFO(1)").is_empty());
    let echo = lab.stamp();
    lab.say(
        0,
        &Message::FileInfoAck(FileInfoAck {
            file: FileId(1),
            partial: false,
            echo,
            clients: both.clone(),
        }),
    );
    lab.run_until(|lab| !lab.of("DONE(1)").is_empty());
    // Eight blocks of ten are missing somewhere.
    lab.say(0, &status(FileId(1), 0, &[0xff, 0]));
    lab.run_until(|lab| lab.of("FILESEG").len() == 18 && lab.of("DONE(1)").len() > 2);
    let done = |file| {
        Message::Complete(Complete {
            file,
            status: CompleteStatus::NORMAL,
            free_space: None,
            clients: both.clone(),
        })
    };
    lab.say(0, &done(FileId(1)));
    lab.run_until(|lab| !lab.of("DONE(0)").is_empty());
    lab.say(0, &done(FileId::SESSION));
    lab.run()
}

/// What a proxy has no newer stamp for it says with the last one, which tells nothing of the way to
/// those it names for the first time.
#[test]
fn a_stamp_that_a_proxy_echoes_again_is_no_round_trip() {
    let source = Memory::default().file("f", noise(13_000));
    let proxy = Peer::new(PROXY).speaking(|_| false);
    let mut lab = Lab::new(closed(), source, vec![proxy]);
    lab.run_until(|lab| !lab.of("ANNOUNCE").is_empty());
    let echo = lab.stamp();
    for (cycles, client) in [(1, 1), (3, 2)] {
        lab.run_until(|lab| lab.of("ANNOUNCE").len() >= cycles);
        lab.say(
            0,
            &Message::Register(Register {
                echo,
                random: [0; 32],
                key: Vec::new(),
                clients: vec![Uid(client)],
            }),
        );
    }
    lab.run_until(|lab| !lab.of("FILEINFO(1)").is_empty());
    let last = lab.packets.last().unwrap();
    assert!(last.ms() > 1000.0, "{last:?}");
    assert!(last.header().grtt.secs() < 0.011, "{last:?}");
}

#[test]
fn a_listed_proxy_speaks_for_its_clients() {
    let source = Memory::default().file("f", noise(13_000));
    let proxy = Peer::new(PROXY).speaking(|_| false);
    let mut lab = Lab::new(closed(), source, vec![proxy]);
    assert_eq!(play(&mut lab), Outcome::Success);
    assert_eq!(lab.words()[1], "REG_CONF 1 2 100");
    assert!(lab.has(|e| matches!(
        e,
        SenderEvent::Registered {
            client: Uid(2),
            proxy: Some(Uid(PROXY)),
            ..
        }
    )));
    assert_eq!(
        lab.results(1),
        [FileOutcome::Completed(CompleteStatus::NORMAL); 2]
    );
    assert_eq!(lab.of("ANNOUNCE").len(), 1);
    assert!(lab.packets.last().unwrap().ms() < 400.0);
}

#[test]
fn in_an_open_group_a_list_makes_a_proxy() {
    let source = Memory::default().file("f", noise(13_000));
    let proxy = Peer::new(PROXY).speaking(|_| false);
    let mut lab = Lab::new(config(None), source, vec![proxy]);
    assert_eq!(play(&mut lab), Outcome::Success);
    assert_eq!(
        lab.results(1),
        [FileOutcome::Completed(CompleteStatus::NORMAL); 2]
    );
}

#[test]
fn who_is_no_proxy_may_not_register_others() {
    let source = Memory::default().file("f", noise(13_000));
    let mut lab = Lab::new(
        config(Some(&[1, 2])),
        source,
        vec![Peer::new(1).speaking(|_| false)],
    );
    lab.run_until(|lab| !lab.of("ANNOUNCE").is_empty());
    let echo = lab.stamp();
    lab.say(
        0,
        &Message::Register(Register {
            echo,
            random: [0; 32],
            key: Vec::new(),
            clients: vec![Uid(2)],
        }),
    );
    assert_eq!(lab.run(), Outcome::NobodyRegistered);
    assert_eq!(lab.of("ABORT(1) Specified multiple clients").len(), 1);
    assert!(!lab.has(|e| matches!(e, SenderEvent::Registered { .. })));
}

#[test]
fn a_proxy_reports_that_its_client_left() {
    let source = Memory::default().file("f", noise(13_000));
    let proxy = Peer::new(PROXY).speaking(|_| false);
    let mut lab = Lab::new(closed(), source, vec![proxy, Peer::new(1)]);
    lab.run_until(|lab| !lab.of("ANNOUNCE").is_empty());
    let echo = lab.stamp();
    lab.say(
        0,
        &Message::Register(Register {
            echo,
            random: [0; 32],
            key: Vec::new(),
            clients: vec![Uid(2)],
        }),
    );
    lab.run_until(|lab| !lab.of("FILEINFO").is_empty());
    let mut left = abort("no space");
    if let Message::Abort(abort) = &mut left {
        abort.host = Uid(2);
    }
    // Client 1 is not behind the proxy and cannot be aborted by it.
    lab.say(0, &left);
    if let Message::Abort(abort) = &mut left {
        abort.host = Uid(1);
    }
    lab.say(0, &left);
    assert_eq!(lab.run(), Outcome::Success);
    assert_eq!(
        lab.results(1),
        [
            FileOutcome::Completed(CompleteStatus::NORMAL),
            FileOutcome::Aborted,
        ]
    );
}
