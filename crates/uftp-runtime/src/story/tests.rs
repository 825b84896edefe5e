mod silence;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tracing_subscriber::layer::SubscriberExt;
use uftp_proto::wire::{CompleteStatus, FileType, Version};
use uftp_proto::{FileId, GroupId, Instance, Uid};
use uftp_session::SessionId;
use uftp_session::files::SendItem;
use uftp_session::proxy::{ProxyEvent, ProxyEventKind};
use uftp_session::receiver::{EndReason, ReceiverEvent, ReceiverEventKind};
use uftp_session::sender::{FileOutcome, FileReport, Outcome, SenderConfig, SenderEvent, Volume};

use super::*;
use crate::log::{ClassicLayer, Look, Sink, Verbosity};

fn logged(verbosity: Verbosity, f: impl FnOnce()) -> String {
    let (sink, written) = Sink::memory();
    let plain = Look::Text {
        timestamps: false,
        color: false,
    };
    let layer = ClassicLayer::new(sink, verbosity, plain);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), f);
    written()
}

fn sender(verbosity: Verbosity, events: Vec<SenderEvent>) -> String {
    sender_of(Version::V4, verbosity, events)
}

fn sender_config(version: Version) -> SenderConfig {
    let nowhere = SocketAddr::from(([0; 4], 0));
    SenderConfig::new(version, Uid(9), GroupId(1), nowhere, nowhere)
}

fn sender_of(version: Version, verbosity: Verbosity, events: Vec<SenderEvent>) -> String {
    logged(verbosity, || {
        let mut story = SenderStory::new(&sender_config(version), verbosity);
        for event in &events {
            story.event(event, |uid| match uid {
                Uid(1) => "127.0.0.1".to_owned(),
                uid => uid.to_string(),
            });
        }
    })
}

fn receiver(verbosity: Verbosity, kinds: Vec<ReceiverEventKind>) -> String {
    logged(verbosity, || {
        for kind in kinds {
            ReceiverStory.event(
                &ReceiverEvent {
                    session: Some(SessionId {
                        group: GroupId(1),
                        instance: Instance(0),
                    }),
                    file: FileId(1),
                    kind,
                },
                "10.0.0.1",
            );
        }
    })
}

fn item(source: &str, name: &str, file_type: FileType, size: u64) -> SendItem {
    SendItem {
        source: source.to_owned(),
        name: name.as_bytes().to_vec(),
        file_type,
        size,
        mtime: 0,
        link: b"to\there".to_vec(),
    }
}

fn report(client: u32, outcome: FileOutcome) -> FileReport {
    FileReport {
        client: Uid(client),
        outcome,
        elapsed: Duration::from_micros(1592),
        free_space: None,
    }
}

/// Line for line what `uftp` 4.10.2 said of such a session.
#[test]
fn a_transfer_is_told_in_the_words_that_wrappers_know() {
    let client = Uid(1);
    let file = FileId(1);
    let item = item("t/f", "new", FileType::REGULAR, 3000);
    let status = CompleteStatus::NORMAL;
    let (attempt, part) = (1, 1);
    let told = sender(
        2,
        vec![
            SenderEvent::AnnounceSent {
                attempt,
                part: Some(part),
            },
            SenderEvent::Registered {
                client,
                proxy: None,
                again: false,
            },
            SenderEvent::LateRegisters,
            SenderEvent::RegConfSent { attempt: 2, part },
            SenderEvent::FileStarted {
                file,
                item: item.clone(),
                blocks: 3,
                sections: 1,
            },
            SenderEvent::FileInfoSent { attempt, part },
            SenderEvent::FileInfoAcked {
                client,
                partial: false,
            },
            SenderEvent::TransferStarted {
                max_time: Some(Duration::from_secs(9)),
            },
            SenderEvent::PassStarted { pass: 1 },
            SenderEvent::SectionStarted { section: 0 },
            SenderEvent::Naks {
                client,
                section: 0,
                count: 2,
            },
            SenderEvent::DoneSent {
                file,
                attempt,
                part,
            },
            SenderEvent::Completed {
                client,
                file,
                status,
            },
            SenderEvent::FileFinished {
                file,
                item,
                elapsed: Duration::from_micros(1592),
                volume: Volume::default(),
                results: vec![
                    report(1, FileOutcome::Completed(status)),
                    report(9, FileOutcome::Mute),
                    report(3, FileOutcome::Completed(CompleteStatus::OVERWRITE)),
                    report(4, FileOutcome::Completed(CompleteStatus::SKIPPED)),
                    report(5, FileOutcome::Completed(CompleteStatus::REJECTED)),
                    report(6, FileOutcome::Lost),
                    report(7, FileOutcome::Aborted),
                ],
            },
            SenderEvent::Finishing,
            SenderEvent::LateCompletions,
            SenderEvent::DoneConfSent { attempt: 2, part },
            SenderEvent::Finished(Outcome::Success),
        ],
    );
    let want = "\
Sending ANNOUNCE 1.1
Received REGISTER from client 127.0.0.1
Late registers:
Sending REG_CONF 2.1
----- t/f -----
File ID: 0001  Name: t/f
  sending as: new
Bytes: 3000  Blocks: 3  Sections: 1
Sending FILEINFO 1.1
Received FILEINFO_ACK from client 127.0.0.1
Maximum file transfer time: 9 seconds
Sending file
Starting pass 1
Sending section 0
Got 2 NAKs for section 0 from client 127.0.0.1
Sending DONE 1.1
Got COMPLETE from client 127.0.0.1
Transfer status:
Host: 127.0.0.1        Status: Completed   time:   0.002 seconds
Host: 0x00000009       Status: Mute
Host: 0x00000003       Status: Completed(overwritten)   time:   0.002 seconds
Host: 0x00000004       Status: Skipped
Host: 0x00000005       Status: Rejected
Host: 0x00000006       Status: Lost connection
Host: 0x00000007       Status: Aborted
Total elapsed time: 0.002 seconds
Overall throughput: 1840.26 KB/s
-----------------------------
Finishing group
Late completions:
Sending DONE_CONF 2.1
Group complete
";
    assert_eq!(told, want);
}

/// Below the level of the story it ends with those who failed.
#[test]
fn a_silent_log_names_who_failed() {
    let file = FileId(1);
    let events = vec![
        SenderEvent::FileFinished {
            file,
            item: item("f", "f", FileType::REGULAR, 1),
            elapsed: Duration::ZERO,
            volume: Volume::default(),
            results: vec![
                report(1, FileOutcome::Completed(CompleteStatus::NORMAL)),
                report(9, FileOutcome::Mute),
                report(6, FileOutcome::Lost),
                report(7, FileOutcome::Aborted),
            ],
        },
        SenderEvent::Finished(Outcome::Success),
    ];
    let failed = "0x00000006      Lost connection\n0x00000007      Aborted\n0x00000009      Mute\n";
    assert_eq!(sender(0, events.clone()), failed);
    assert_eq!(sender(1, events.clone()), failed);
    assert!(!sender(2, events).contains(failed));
}

#[test]
fn what_went_out_again_is_told() {
    let told = |sent, repaired| {
        let event = SenderEvent::FileFinished {
            file: FileId(1),
            item: item("f", "f", FileType::REGULAR, 8192),
            elapsed: Duration::from_secs(1),
            volume: Volume { sent, repaired },
            results: vec![report(1, FileOutcome::Completed(CompleteStatus::NORMAL))],
        };
        sender(2, vec![event])
    };
    let (clean, lossy) = (told(8192, 0), told(8192, 1300));
    let again = lossy.strip_prefix(&clean);
    assert_eq!(again, Some("Sent again: 2 KB (15.87 %)\n"), "{lossy}");
    assert_eq!(
        told(0, 1300),
        clean,
        "what is sent at last in a resumed session"
    );
}

#[test]
fn every_kind_of_item_says_what_it_is() {
    for (file_type, words) in [
        (FileType::DIRECTORY, "Empty directory"),
        (FileType::SYMLINK, "Symbolic link to to?here"),
        (FileType::DELETE, "Delete file/directory with this name"),
        (FileType::FREESPACE, "Free disk space query"),
    ] {
        let started = SenderEvent::FileStarted {
            file: FileId(2),
            item: item("s", "n\n", file_type, 0),
            blocks: 0,
            sections: 0,
        };
        assert_eq!(
            sender(2, vec![started]),
            format!("----- s -----\nFile ID: 0002  Name: s\n  sending as: n?\n{words}\n")
        );
    }
}

#[test]
fn bad_news_come_at_their_levels() {
    let lost = |waiting_for| SenderEvent::ClientLost {
        client: Uid(1),
        waiting_for,
    };
    let aborted = |by_client| SenderEvent::ClientAborted {
        client: Uid(1),
        reason: "why\n".to_owned(),
        by_client,
    };
    for (level, event, words) in [
        (
            1,
            lost("FILEINFO"),
            "Couldn't get FILEINFO_ACK from 127.0.0.1",
        ),
        (1, lost("DONE"), "No response from 127.0.0.1"),
        (1, aborted(true), "Transfer aborted by 127.0.0.1: why?"),
        (1, aborted(false), "Aborting 127.0.0.1: why?"),
        (
            1,
            SenderEvent::DuplicateUid { client: Uid(1) },
            "127.0.0.1 answers from two addresses",
        ),
        (
            0,
            SenderEvent::Finished(Outcome::NobodyRegistered),
            "Announce timed out\nNobody registered. Usual causes",
        ),
        (
            0,
            SenderEvent::Finished(Outcome::NobodyReady),
            "Announce timed out\n",
        ),
    ] {
        let told = sender(level, vec![event.clone()]);
        assert!(told.starts_with(words), "{told}");
        if level > 0 {
            assert_eq!(sender(level - 1, vec![event]), "");
        }
    }
}

#[test]
fn a_receiver_tells_its_side() {
    let name = || b"f\x1b".to_vec();
    let finished = |status, file_type, note: Option<&str>| ReceiverEventKind::FileFinished {
        name: name(),
        file_type,
        size: 5,
        status,
        note: note.map(str::to_owned),
    };
    let told = receiver(
        2,
        vec![
            ReceiverEventKind::Announced {
                server: Uid(0x7F00_0001),
                from: "[::ffff:10.0.0.1]:4000".parse().unwrap(),
                private: Some("230.5.5.1".parse().unwrap()),
            },
            ReceiverEventKind::RegisterSent,
            ReceiverEventKind::Confirmed,
            ReceiverEventKind::FileStarted {
                name: name(),
                file_type: FileType::REGULAR,
                size: 5,
                blocks: 1,
                sections: 1,
            },
            ReceiverEventKind::FileInfoAckSent,
            ReceiverEventKind::DoneReceived { section: 0 },
            ReceiverEventKind::NaksSent {
                section: 0,
                count: 1,
            },
            finished(CompleteStatus::NORMAL, FileType::REGULAR, None),
            ReceiverEventKind::CompleteSent,
            finished(CompleteStatus::NORMAL, FileType::DIRECTORY, None),
            finished(
                CompleteStatus::REJECTED,
                FileType::REGULAR,
                Some("it is outside"),
            ),
            ReceiverEventKind::GroupDone,
            ReceiverEventKind::Ended(EndReason::Confirmed),
        ],
    );
    let want = "\
Received request from 7F000001 at 10.0.0.1 (10.0.0.1)
Using private multicast address 230.5.5.1
REGISTER sent
Registration confirmed
Name of file to receive: f?
Bytes: 5, Blocks: 1, Sections: 1
FILEINFO_ACK sent
Got DONE message for section 0
Sent 1 NAKs for section 0
File transfer complete
starting file close
done file close
COMPLETE sent
Name of file to receive: f?
Empty directory
Rejecting f?: it is outside
Got DONE message for group
Group complete
Group file transfer confirmed
";
    assert_eq!(told, want);
    let ended = |reason| receiver(1, vec![ReceiverEventKind::Ended(reason)]);
    assert_eq!(
        ended(EndReason::AbortedByServer("a\nb".into())),
        "Transfer aborted by server: a?b\n"
    );
    assert_eq!(
        ended(EndReason::Aborted("full".into())),
        "Transfer aborted: full\n"
    );
    assert_eq!(
        ended(EndReason::Unconfirmed),
        "Group file transfer unconfirmed\n"
    );
}

#[test]
fn a_proxy_says_once_why_keys_may_not_be_taken() {
    let told = logged(1, || {
        let mut story = ProxyStory::default();
        for client in [Uid(1), Uid(2)] {
            let event = ProxyEvent {
                session: None,
                kind: ProxyEventKind::Unregistered { client },
            };
            story.event(Instant::now(), &event);
        }
    });
    let client = "not fully registered at proxy\n";
    assert_eq!(told.matches(client).count(), 2, "{told}");
    assert_eq!(
        told.matches("does not name this proxy").count(),
        1,
        "{told}"
    );
}
