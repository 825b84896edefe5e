//! Tells log, status file and programs what a receiver does.

use std::collections::BTreeMap;
use std::mem;
use std::net::IpAddr;

use chrono::{DateTime, Local};
use uftp_session::SessionId;
use uftp_session::receiver::{ReceiverEvent, ReceiverEventKind};

use crate::events::{EventOut, ReceiverEvents};
use crate::log::time;
use crate::names::{Names, shown};
use crate::status::{ReceiverStatus, StatusOut};
use crate::story::ReceiverStory;

/// Most events of a session that wait for the name of its sender's host.
const WAITING: usize = 1000;

/// Renders events in the order in which they happen. Those of a session whose sender's host is still
/// being looked up wait, and are told as of when they happened.
pub(crate) struct Narrator {
    story: ReceiverStory,
    status: ReceiverStatus,
    events: ReceiverEvents,
    names: Names,
    /// Sessions that cannot be told of yet.
    waiting: BTreeMap<SessionId, Waiting>,
    /// What has happened in them.
    happened: Vec<Happened>,
}

/// A session that cannot be told of yet.
struct Waiting {
    host: IpAddr,
    /// What stands for a name if there is none.
    shown: String,
    events: usize,
}

/// An event that waits.
struct Happened {
    session: SessionId,
    at: DateTime<Local>,
    event: ReceiverEvent,
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
            happened: Vec::new(),
        }
    }

    /// Something has happened.
    pub(crate) fn event(&mut self, event: &ReceiverEvent) {
        let Some(session) = event.session else {
            return self.tell(event, "");
        };
        if !self.waiting.contains_key(&session) {
            let ReceiverEventKind::Announced { from, .. } = &event.kind else {
                return self.tell(event, "");
            };
            let waiting = Waiting {
                host: from.ip().to_canonical(),
                shown: shown(*from),
                events: 0,
            };
            if let Some(name) = self.names.of(waiting.host) {
                return self.tell(event, waiting.name(Some(&name)));
            }
            self.waiting.insert(session, waiting);
        }
        self.happened.push(Happened {
            session,
            at: Local::now(),
            event: event.clone(),
        });
        if let Some(waiting) = self.waiting.get_mut(&session) {
            waiting.events += 1;
            if waiting.events >= WAITING {
                self.release(None, |id, _| id == session);
            }
        }
    }

    /// Names may have been found.
    pub(crate) fn turn(&mut self) {
        while !self.waiting.is_empty()
            && let Some((ip, name)) = self.names.answer()
        {
            self.release(Some(&name), |_, waiting| waiting.host == ip);
        }
    }

    /// Opens status file and events anew.
    pub(crate) fn reopen(&mut self) {
        self.status.reopen();
        self.events.reopen();
    }

    /// Tells of some of the sessions that wait, whose sender's host may have been found to be called this.
    fn release(&mut self, host: Option<&str>, which: impl Fn(SessionId, &Waiting) -> bool) {
        let (free, waiting) = mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(session, waiting)| which(*session, waiting));
        self.waiting = waiting;
        let free: BTreeMap<_, _> = free;
        for happened in mem::take(&mut self.happened) {
            match free.get(&happened.session) {
                Some(session) => {
                    let host = session.name(host);
                    time::as_of(happened.at, || self.tell(&happened.event, host));
                }
                None => self.happened.push(happened),
            }
        }
    }

    fn tell(&mut self, event: &ReceiverEvent, host: &str) {
        self.story.event(event, host);
        self.status.event(event, host);
        self.events.event(event, host);
    }
}

impl Waiting {
    /// What its sender's host is called if it was found to be this.
    fn name<'a>(&'a self, found: Option<&'a str>) -> &'a str {
        let nameless = self.host.to_string();
        found
            .filter(|name| *name != nameless)
            .unwrap_or(&self.shown)
    }
}

impl Drop for Narrator {
    fn drop(&mut self) {
        self.release(None, |_, _| true);
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
        narrator.event(&announced(1));
        narrator.event(&finished(1));
        narrator.event(&finished(2));
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
        narrator.event(&announced(3));
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
        narrator.event(&event);
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
        narrator.event(&announced(1));
        narrator.event(&announced(2));
        for _ in 1..WAITING {
            narrator.event(&finished(2));
        }
        assert_eq!(written().lines().count(), WAITING);
        assert_eq!(told(&written())[0], "CONNECT 00000002 127.0.0.1");
        drop(narrator);
        let all = written();
        assert_eq!(told(&all)[WAITING], "CONNECT 00000001 127.0.0.1");
    }

    #[test]
    fn sessions_that_waited_are_told_in_the_order_and_as_of_when_they_happened() {
        let (sink, written) = Sink::memory();
        let (names, _resolver) = Names::new();
        let mut narrator = Narrator::new(StatusOut::Log(sink), EventOut::None, names);
        for session in [2, 1] {
            narrator.event(&announced(session));
            narrator.event(&finished(session));
        }
        for (hours, happened) in (1..).zip(&mut narrator.happened) {
            happened.at = DateTime::from_timestamp(hours * 3600, 0).unwrap().into();
        }
        drop(narrator);
        let all = written();
        let groups = [2, 2, 1, 1].map(|group| format!("0000000{group}"));
        let groups_told: Vec<_> = all.lines().map(|l| l.split(';').nth(3).unwrap()).collect();
        assert_eq!(groups_told, groups);
        let mut stamps: Vec<_> = all.lines().map(|l| l.split(';').nth(1).unwrap()).collect();
        assert!(stamps[0] < "1970/01/03", "{all}");
        stamps.dedup();
        assert_eq!(stamps.len(), 4, "{all}");
        assert!(stamps.is_sorted(), "{all}");
    }
}
