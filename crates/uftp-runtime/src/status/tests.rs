use std::time::Duration;

use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_proto::{FileId, GroupId, Instance, Uid};
use uftp_session::SessionId;
use uftp_session::files::SendItem;
use uftp_session::receiver::{EndReason, ReceiverEvent, ReceiverEventKind};
use uftp_session::sender::{FileOutcome, FileReport, Outcome, SenderEvent, Volume};

use super::*;

fn name(uid: Uid) -> String {
    match uid {
        Uid(2) => "host\n2".to_owned(),
        uid => uid.to_string(),
    }
}

fn item(name: &str, size: u64) -> SendItem {
    SendItem {
        source: name.to_owned(),
        name: name.as_bytes().to_vec(),
        file_type: FileType::REGULAR,
        size,
        mtime: 0,
        link: Vec::new(),
    }
}

fn report(client: u32, outcome: FileOutcome, millis: u64) -> FileReport {
    FileReport {
        client: Uid(client),
        outcome,
        elapsed: Duration::from_millis(millis),
        free_space: None,
    }
}

fn finished(item: SendItem, results: Vec<FileReport>) -> SenderEvent {
    SenderEvent::FileFinished {
        file: FileId(1),
        item,
        elapsed: Duration::ZERO,
        volume: Volume::default(),
        results,
    }
}

fn completed(status: CompleteStatus) -> FileOutcome {
    FileOutcome::Completed(status)
}

#[test]
fn a_sender_writes_the_lines_scripts_know() {
    let (sink, written) = Sink::memory();
    let mut status = SenderStatus::new(StatusOut::Log(sink));
    let mut free = report(1, completed(CompleteStatus::NORMAL), 0);
    free.free_space = Some(12345);
    for event in [
        SenderEvent::AnnounceSent {
            attempt: 1,
            part: None,
        },
        SenderEvent::Connect {
            client: Uid(1),
            proxy: false,
            connected: true,
        },
        SenderEvent::Connect {
            client: Uid(2),
            proxy: false,
            connected: false,
        },
        SenderEvent::Connect {
            client: Uid(7),
            proxy: true,
            connected: true,
        },
        SenderEvent::Connect {
            client: Uid(8),
            proxy: false,
            connected: true,
        },
        finished(
            item("a;b\nc", 100_000),
            vec![
                report(1, completed(CompleteStatus::NORMAL), 10),
                report(2, FileOutcome::Mute, 0),
                report(3, completed(CompleteStatus::REJECTED), 0),
            ],
        ),
        finished(
            item("big", 3 << 20),
            vec![
                report(1, completed(CompleteStatus::OVERWRITE), 2000),
                report(2, FileOutcome::Lost, 0),
                report(3, completed(CompleteStatus::SKIPPED), 0),
                report(4, FileOutcome::Aborted, 0),
                report(5, completed(CompleteStatus(9)), 0),
            ],
        ),
        finished(item(".", 0), vec![free]),
        SenderEvent::Finishing,
        SenderEvent::Finished(Outcome::Success),
    ] {
        status.event(&event, name);
    }
    assert_eq!(
        written(),
        "CONNECT;success;0x00000001\n\
         CONNECT;failed;host?2\n\
         CONNECT;success;0x00000007\n\
         CONNECT;success;0x00000008\n\
         RESULT;0x00000001;a;b?c;97KB;copy;9765.62KB/s\n\
         RESULT;host?2;a;b?c;97KB;mute;\n\
         RESULT;0x00000003;a;b?c;97KB;rejected;\n\
         RESULT;0x00000001;big;3072KB;overwritten;1536.00KB/s\n\
         RESULT;host?2;big;3072KB;lost;\n\
         RESULT;0x00000003;big;3072KB;skipped;\n\
         RESULT;0x00000004;big;3072KB;aborted;\n\
         RESULT;0x00000005;big;3072KB;Unknown;\n\
         RESULT;0x00000001;.;0KB;copy;0.00KB/s\n\
         FREESPACE;.;12345\n\
         HSTATS;target;copy;overwrite;skip;totalMB;time;speedKB/s\n\
         STATS;0x00000001;2;1;0;3MB;2.010;1576.94KB/s\n\
         STATS;host?2;0;0;0;0MB;0.000;0.00KB/s\n\
         STATS;0x00000008;0;0;0;0MB;0.000;0.00KB/s\n\
         STATS;0x00000003;0;0;1;0MB;0.000;0.00KB/s\n\
         STATS;0x00000004;0;0;0;0MB;0.000;0.00KB/s\n\
         STATS;0x00000005;0;0;0;0MB;0.000;0.00KB/s\n"
    );
}

#[test]
fn a_session_that_did_not_end_well_has_no_statistics() {
    for outcome in [
        Outcome::Interrupted,
        Outcome::NobodyRegistered,
        Outcome::NobodyReady,
        Outcome::AllDropped,
    ] {
        let (sink, written) = Sink::memory();
        let mut status = SenderStatus::new(StatusOut::Log(sink));
        status.event(&SenderEvent::Finished(outcome), name);
        assert_eq!(written(), "");
    }
}

#[test]
fn what_nobody_was_ready_for_has_no_results() {
    for (outcome, told) in [
        (Outcome::NobodyReady, ""),
        (Outcome::AllDropped, "RESULT;0x00000001;a;0KB;aborted;\n"),
    ] {
        let (sink, written) = Sink::memory();
        let mut status = SenderStatus::new(StatusOut::Log(sink));
        let dropped = report(1, FileOutcome::Aborted, 0);
        status.event(&finished(item("a", 0), vec![dropped]), name);
        status.event(&SenderEvent::Finished(outcome), name);
        assert_eq!(written(), told);
    }
}

#[test]
fn a_receiver_writes_the_lines_scripts_know() {
    let (sink, written) = Sink::memory();
    let mut status = ReceiverStatus::new(StatusOut::Log(sink));
    let session = SessionId {
        group: GroupId(0xAB),
        instance: Instance(0),
    };
    let file = |name: &[u8], status| ReceiverEventKind::FileFinished {
        name: name.to_vec(),
        file_type: FileType::REGULAR,
        size: 2050,
        status,
        note: None,
    };
    for kind in [
        ReceiverEventKind::Announced {
            server: Uid(0x7F00_0001),
            from: "[::ffff:10.0.0.1]:999".parse().unwrap(),
            private: None,
        },
        file(b"a\rb\xff", CompleteStatus::NORMAL),
        file(b"b", CompleteStatus::OVERWRITE),
        file(b"c", CompleteStatus::SKIPPED),
        file(b"d", CompleteStatus::REJECTED),
        ReceiverEventKind::Ended(EndReason::Confirmed),
    ] {
        status.event(
            &ReceiverEvent {
                session: Some(session),
                file: FileId(1),
                kind,
            },
            "host.example",
        );
    }
    assert!(status.servers.is_empty());
    // The second field is the time, with the shape YYYY/MM/DD-HH:MM:SS.
    let lines: Vec<_> = written()
        .lines()
        .map(|l| {
            let mut fields: Vec<_> = l.split(';').map(str::to_owned).collect();
            let stamp = fields.remove(1);
            let shape: String = stamp
                .chars()
                .map(|c| if c.is_ascii_digit() { '9' } else { c })
                .collect();
            assert_eq!(shape, "9999/99/99-99:99:99");
            fields.join(";")
        })
        .collect();
    assert_eq!(
        lines,
        [
            "CONNECT;7F000001;000000AB;10.0.0.1;host.example",
            "RESULT;7F000001;000000AB;a?b\u{fffd};2KB;copied",
            "RESULT;7F000001;000000AB;b;2KB;overwritten",
            "RESULT;7F000001;000000AB;c;2KB;skipped",
            "RESULT;7F000001;000000AB;d;2KB;rejected",
        ]
    );
}

#[test]
fn files_are_appended_to_and_errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status");
    let (sink, _) = Sink::memory();
    for line in ["one", "two"] {
        let mut out = StatusOut::open(Some(path.as_os_str()), &sink).unwrap();
        out.write_line(line.to_owned());
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");

    let mut out = StatusOut::open(Some(path.as_os_str()), &sink).unwrap();
    let moved = dir.path().join("moved");
    std::fs::rename(&path, &moved).unwrap();
    out.write_line("three".to_owned());
    out.reopen();
    out.write_line("four".to_owned());
    assert_eq!(
        std::fs::read_to_string(&moved).unwrap(),
        "one\ntwo\nthree\n"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "four\n");

    let Err(failure) = StatusOut::open(Some(dir.path().as_os_str()), &sink) else {
        panic!("opened a directory");
    };
    assert!(failure.message.starts_with("Can't open status file: "));
}

#[test]
fn names_are_told_byte_by_byte_but_forge_no_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status");
    let out = StatusOut::open(Some(path.as_os_str()), &Sink::memory().0).unwrap();
    let mut told = item("", 2048);
    told.name = b"caf\xe9;\xc3\xa9\n\x1b\xff".to_vec();
    let results = vec![report(1, FileOutcome::Lost, 0)];
    let mut status = SenderStatus::new(out);
    status.event(&finished(told, results), name);
    status.event(&SenderEvent::Finishing, name);
    assert_eq!(
        std::fs::read(&path).unwrap(),
        b"RESULT;0x00000001;caf\xe9;\xc3\xa9??\xff;2KB;lost;\n"
    );
}
