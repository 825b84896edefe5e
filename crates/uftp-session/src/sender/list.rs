//! Messages with a list of receivers, dealt out over as many datagrams as it takes
//! (behaviour-sender-receiver §3.2).
//!
//! A list is not made up when its message is queued but as each datagram goes out, from those
//! whom the message still concerns then.

use std::time::Instant;

use uftp_proto::wire::{
    Announce, AnnounceFlags, Done, DoneConf, FileInfo, KeyInfo, Message, RegConf,
};
use uftp_proto::{FileId, Uid, WireTime};

use super::clients::{Client, State};
use super::config::SyncMode;
use super::event::SenderEvent;
use super::security::Security;
use super::session::Session;
use crate::batch::Batch;
use crate::link::Cover;
use crate::policy::Runs;

/// Fewest ids worth a datagram, however long the rest of the message.
const FEWEST_IDS: usize = 16;
/// Bytes of one entry of a KEYINFO.
const KEY_ENTRY: usize = 52;
/// What a list datagram may exceed the block size by, like a data packet.
const OVERHEAD: usize = 28;

/// A message with a list.
#[derive(Clone, Debug)]
pub(super) enum ListMessage {
    /// To the destinations not heard of.
    Announce,
    /// To those who have registered but do not have the group's keys yet.
    KeyInfo,
    /// To those who take part and were not told yet that they are known.
    RegConf,
    /// The same to those behind proxies who owe an answer: their proxy hands them no keys before
    /// it hears that they are known, and may have lost it.
    RegConfAgain,
    /// To those expected to answer it. Stamp and list are filled in.
    FileInfo(Box<FileInfo>),
    /// To those who have neither finished nor reported NAKs, if data went ahead of their answers also
    /// to those who owe one. Sent also when there are none.
    Done {
        file: FileId,
        pass: u8,
        section: u16,
    },
    /// To those who have finished the session and were not told yet that it is known.
    DoneConf,
}

/// What sets one copy of a message apart from the next.
#[derive(Clone, Copy, Default)]
struct Marks {
    timestamp: WireTime,
    /// Of a KEYINFO.
    iv_counter: u64,
}

/// A message with a list on its way out.
#[derive(Debug)]
pub(super) struct ListRun {
    message: ListMessage,
    /// Repetition, from 1.
    attempt: u32,
    /// Datagrams sent.
    part: u32,
    /// First destination not yet considered.
    next: usize,
}

impl ListRun {
    pub(super) fn new(message: ListMessage, attempt: u32) -> Self {
        ListRun {
            message,
            attempt,
            part: 0,
            next: 0,
        }
    }

    /// Whether it has not begun, and will tell all whom `message` would: they are chosen as it goes.
    pub(super) fn will_confirm_like(&self, message: &ListMessage) -> bool {
        let same = matches!(
            (&self.message, message),
            (ListMessage::RegConf, ListMessage::RegConf)
                | (ListMessage::RegConfAgain, ListMessage::RegConfAgain)
                | (ListMessage::DoneConf, ListMessage::DoneConf)
        );
        same && self.next == 0
    }

    pub(super) fn is_file_info(&self) -> bool {
        matches!(self.message, ListMessage::FileInfo(_))
    }
}

/// Sends one datagram of the first list in the queue, or drops that list if it is through.
/// Whether there was room.
pub(super) fn transmit(session: &mut Session, now: Instant, batch: &mut Batch) -> bool {
    let Some(run) = session.lists.pop_front() else {
        return true;
    };
    let most = ids_per_datagram(session, &run.message);
    let (chosen, next) = choose(session, &run, most);
    if chosen.is_empty() && (run.part > 0 || !run.message.goes_empty(session)) {
        return true;
    }
    let ids = chosen.iter().filter_map(|at| session.clients.get(*at));
    let ids = ids.map(|c| c.uid).collect();
    let marks = Marks {
        timestamp: session.clock.stamp(now),
        iv_counter: match run.message {
            ListMessage::KeyInfo => session.link.next_iv_counter().unwrap_or_default(),
            _ => 0,
        },
    };
    let message = run.message.with(session, marks, ids);
    let (to, cover) = match run.message {
        ListMessage::Announce => (session.config.public, Cover::Clear),
        ListMessage::RegConf | ListMessage::RegConfAgain | ListMessage::KeyInfo => {
            (session.config.private, Cover::Clear)
        }
        _ => (session.config.private, Cover::Session),
    };
    if !session.send(now, batch, to, &message, cover) {
        session.lists.push_front(run);
        return false;
    }
    if run.message.confirms() {
        for at in chosen {
            if let Some(client) = session.clients.get_mut(at) {
                client.confirmed = true;
            }
        }
    }
    let run = ListRun {
        part: run.part + 1,
        next,
        ..run
    };
    let event = run.message.event(session, run.attempt, run.part);
    session.events.push_back(event);
    if choose(session, &run, 1).0.is_empty() {
        return true;
    }
    session.lists.push_front(run);
    true
}

/// The next destinations of a list, at most `most`, and where to go on after them.
fn choose(session: &Session, run: &ListRun, most: usize) -> (Vec<usize>, usize) {
    let mut chosen = Vec::new();
    let mut at = run.next;
    while chosen.len() < most {
        let Some(client) = session.clients.get(at) else {
            break;
        };
        if run.message.concerns(session, client) {
            chosen.push(at);
        }
        at += 1;
    }
    (chosen, at)
}

fn ids_per_datagram(session: &Session, message: &ListMessage) -> usize {
    let block = usize::from(session.block_size);
    if let ListMessage::KeyInfo = message {
        return (block / KEY_ENTRY).max(1);
    }
    let bare = message.with(session, Marks::default(), Vec::new());
    let fixed = session.link.plain_len(&bare).unwrap_or(0);
    let room = (block + OVERHEAD).saturating_sub(fixed) / 4;
    (block / 4).min(room).max(FEWEST_IDS)
}

fn announce_flags(session: &Session) -> AnnounceFlags {
    let sync = match session.config.sync {
        SyncMode::Off => AnnounceFlags::empty(),
        SyncMode::Sync => AnnounceFlags::SYNC,
        SyncMode::Preview => AnnounceFlags::SYNC | AnnounceFlags::SYNC_PREVIEW,
    };
    let later = session.config.instance.0 > 0 && session.policy.runs == Runs::Flagged;
    match later {
        true => sync | AnnounceFlags::RESTART,
        false => sync,
    }
}

impl ListMessage {
    /// Whether the message is for this destination.
    pub(super) fn concerns(&self, session: &Session, client: &Client) -> bool {
        match self {
            ListMessage::Announce => client.state() == State::Mute && !session.is_open(),
            // Who is behind a proxy gets its keys there.
            ListMessage::KeyInfo => {
                let security = session.security.as_ref();
                client.state() == State::Registered
                    && security.is_some_and(|s| s.is_keyed(client.uid))
            }
            ListMessage::RegConf => client.state() == State::Active && !client.confirmed,
            ListMessage::RegConfAgain => {
                client.state() == State::Registered && client.behind.is_some()
            }
            ListMessage::FileInfo(_) => client.state() == State::Registered,
            ListMessage::Done { .. } => {
                matches!(client.state(), State::Registered | State::Active)
            }
            ListMessage::DoneConf => client.state() == State::Done && !client.confirmed,
        }
    }

    /// Whether the message is sent even when it lists nobody.
    fn goes_empty(&self, session: &Session) -> bool {
        match self {
            ListMessage::Announce => session.is_open(),
            ListMessage::Done { .. } => true,
            _ => false,
        }
    }

    /// Whether being listed means being told that one's message arrived.
    fn confirms(&self) -> bool {
        matches!(self, ListMessage::RegConf | ListMessage::DoneConf)
    }

    fn with(&self, session: &Session, marks: Marks, clients: Vec<Uid>) -> Message<'static> {
        let timestamp = marks.timestamp;
        match self {
            ListMessage::Announce => Message::Announce(Announce {
                flags: announce_flags(session),
                pace: session.pace(),
                timestamp,
                public: session.stated(session.config.public),
                private: session.stated(session.config.private),
                encryption: session.security.as_ref().map(Security::enc_info),
                clients,
            }),
            ListMessage::KeyInfo => Message::KeyInfo(KeyInfo {
                iv_counter: marks.iv_counter,
                signature: session
                    .security
                    .as_ref()
                    .map_or_else(Vec::new, |s| vec![0; s.server().key_info_signature_len()]),
                keys: session.security.as_ref().map_or_else(Vec::new, |s| {
                    let own = session.config.uid;
                    s.server().key_entries(&clients, own, marks.iv_counter)
                }),
            }),
            ListMessage::RegConf | ListMessage::RegConfAgain => {
                Message::RegConf(RegConf { clients })
            }
            ListMessage::FileInfo(info) => Message::FileInfo(FileInfo {
                timestamp,
                clients,
                ..(**info).clone()
            }),
            ListMessage::Done {
                file,
                pass,
                section,
            } => Message::Done(Done {
                file: *file,
                pass: *pass,
                section: *section,
                clients,
            }),
            ListMessage::DoneConf => Message::DoneConf(DoneConf { clients }),
        }
    }

    fn event(&self, session: &Session, attempt: u32, part: u32) -> SenderEvent {
        match self {
            ListMessage::Announce => SenderEvent::AnnounceSent {
                attempt,
                part: (!session.is_open()).then_some(part),
            },
            ListMessage::KeyInfo => SenderEvent::KeyInfoSent { attempt, part },
            ListMessage::RegConf | ListMessage::RegConfAgain => {
                SenderEvent::RegConfSent { attempt, part }
            }
            ListMessage::FileInfo(_) => SenderEvent::FileInfoSent { attempt, part },
            ListMessage::Done { file, .. } => SenderEvent::DoneSent {
                file: *file,
                attempt,
                part,
            },
            ListMessage::DoneConf => SenderEvent::DoneConfSent { attempt, part },
        }
    }
}
