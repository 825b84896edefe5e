//! Tells log, status file and programs what a receiver does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use uftp_session::SessionId;
use uftp_session::receiver::{ReceiverEvent, ReceiverEventKind};

use crate::events::{EventOut, ReceiverEvents};
use crate::names::{Names, shown};
use crate::status::{ReceiverStatus, StatusOut};
use crate::story::ReceiverStory;

/// Most events of a session that wait for the name of its sender's host.
const WAITING: usize = 1000;

/// Renders events in the order in which they happen within a session. Those of a session whose
/// sender's host is still being looked up wait.
pub(crate) struct Narrator {
    story: ReceiverStory,
    status: ReceiverStatus,
    events: ReceiverEvents,
    names: Names,
    waiting: BTreeMap<SessionId, Waiting>,
}

/// A session that cannot be told of yet.
struct Waiting {
    host: IpAddr,
    /// What stands for a name if there is none.
    shown: String,
    events: Vec<ReceiverEvent>,
}

impl Narrator {
    /// Status lines go to `status`, what programs want to know to `events`; hosts are called what
    /// `names` says.
    pub(crate) fn new(status: StatusOut, events: EventOut, names: Names) -> Self {
        Narrator {
            story: ReceiverStory,
            status: ReceiverStatus::new(status),
            events: ReceiverEvents::new(events),
            names,
            waiting: BTreeMap::new(),
        }
    }

    /// Something has happened.
    pub(crate) fn event(&mut self, event: ReceiverEvent) {
        let Some(session) = event.session else {
            return self.tell(&event, "");
        };
        if let Some(waiting) = self.waiting.get_mut(&session) {
            waiting.events.push(event);
            if waiting.events.len() >= WAITING {
                let host = waiting.host.to_string();
                self.release(session, &host);
            }
            return;
        }
        let ReceiverEventKind::Announced { from, .. } = &event.kind else {
            return self.tell(&event, "");
        };
        let waiting = Waiting {
            host: from.ip().to_canonical(),
            shown: shown(*from),
            events: vec![event],
        };
        let name = self.names.of(waiting.host);
        self.waiting.insert(session, waiting);
        if let Some(name) = name {
            self.release(session, &name);
        }
    }

    /// Names may have been found.
    pub(crate) fn turn(&mut self) {
        while !self.waiting.is_empty()
            && let Some((ip, name)) = self.names.answer()
        {
            let found = self.waiting.iter().filter(|(_, w)| w.host == ip);
            let found: Vec<_> = found.map(|(session, _)| *session).collect();
            for session in found {
                self.release(session, &name);
            }
        }
    }

    /// Opens status file and events anew.
    pub(crate) fn reopen(&mut self) {
        self.status.reopen();
        self.events.reopen();
    }

    fn release(&mut self, session: SessionId, host: &str) {
        if let Some(waiting) = self.waiting.remove(&session) {
            let nameless = host == waiting.host.to_string();
            let host = if nameless { &waiting.shown } else { host };
            for event in &waiting.events {
                self.tell(event, host);
            }
        }
    }

    fn tell(&mut self, event: &ReceiverEvent, host: &str) {
        self.story.event(event, host);
        self.status.event(event, host);
        self.events.event(event, host);
    }
}

impl Drop for Narrator {
    fn drop(&mut self) {
        while let Some((session, waiting)) = self.waiting.first_key_value() {
            let (session, host) = (*session, waiting.host);
            self.release(session, &host.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use uftp_proto::wire::{CompleteStatus, FileType};
    use uftp_proto::{FileId, GroupId, Instance, Uid};

    use super::*;
    use crate::driver::Control;
    use crate::log::Sink;

    fn happened(group: u32, kind: ReceiverEventKind) -> ReceiverEvent {
        let session = Some(SessionId {
            group: GroupId(group),
            instance: Instance(0),
        });
        let file = FileId(1);
        ReceiverEvent {
            session,
            file,
            kind,
        }
    }

    fn announced(group: u32) -> ReceiverEvent {
        let from = "127.0.0.1:9".parse().unwrap();
        let kind = ReceiverEventKind::Announced {
            server: Uid(1),
            from,
            private: None,
        };
        happened(group, kind)
    }

    fn finished(group: u32) -> ReceiverEvent {
        let kind = ReceiverEventKind::FileFinished {
            name: b"f".to_vec(),
            file_type: FileType::REGULAR,
            size: 0,
            status: CompleteStatus::NORMAL,
            note: None,
        };
        happened(group, kind)
    }

    /// Kind, group and last field of each line.
    fn told(written: &str) -> Vec<String> {
        let line = |l: &str| {
            let fields: Vec<_> = l.split(';').collect();
            format!("{} {} {}", fields[0], fields[3], fields[fields.len() - 1])
        };
        written.lines().map(line).collect()
    }

    #[tokio::test]
    async fn a_session_waits_for_the_name_of_its_sender_and_others_do_not() {
        let (sink, written) = Sink::memory();
        let (names, resolver) = Names::new();
        let mut narrator = Narrator::new(StatusOut::Log(sink), EventOut::None, names);
        narrator.event(announced(1));
        narrator.event(finished(1));
        narrator.event(finished(2));
        narrator.turn();
        assert_eq!(told(&written()), ["RESULT 00000002 copied"]);
        tokio::spawn(resolver.run(Control::new().unwrap()));
        while written().lines().count() < 3 {
            tokio::task::yield_now().await;
            narrator.turn();
        }
        let lines = told(&written());
        let name = lines[1].strip_prefix("CONNECT 00000001 ").unwrap();
        assert!(!name.is_empty());
        assert_eq!(lines[2], "RESULT 00000001 copied");
        narrator.event(announced(3));
        assert_eq!(
            told(&written())[3],
            format!("CONNECT 00000003 {name}"),
            "the name is known"
        );
    }

    #[test]
    fn a_host_of_one_link_is_shown_with_its_interface() {
        let (sink, written) = Sink::memory();
        let mut narrator = Narrator::new(StatusOut::Log(sink), EventOut::None, Names::none());
        let mut event = announced(1);
        if let ReceiverEventKind::Announced { from, .. } = &mut event.kind {
            *from = "[fe80::7%1]:9".parse().unwrap();
        }
        narrator.event(event);
        let line = written();
        assert!(
            line.trim_end().ends_with(";fe80::7%lo;fe80::7%lo"),
            "{line}"
        );
    }

    #[test]
    fn what_waits_is_told_at_the_end_and_when_it_grows() {
        let (sink, written) = Sink::memory();
        let (names, _resolver) = Names::new();
        let mut narrator = Narrator::new(StatusOut::Log(sink), EventOut::None, names);
        narrator.event(announced(1));
        narrator.event(announced(2));
        for _ in 1..WAITING {
            narrator.event(finished(2));
        }
        assert_eq!(written().lines().count(), WAITING);
        assert_eq!(told(&written())[0], "CONNECT 00000002 127.0.0.1");
        drop(narrator);
        let all = written();
        assert_eq!(told(&all)[WAITING], "CONNECT 00000001 127.0.0.1");
    }
}
