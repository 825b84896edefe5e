//! The file info phase: who is ready for an item (behaviour-sender-receiver §3.4).

use std::time::Instant;

use uftp_proto::wire::{FileInfo, FileType, Message};
use uftp_proto::{BlockMap, FileId, Geometry, WireTime};

use super::Next;
use super::clients::State;
use super::config::SyncMode;
use super::course::{Course, Repeated};
use super::event::{Outcome, SenderEvent};
use super::list::ListMessage;
use super::session::Session;
use super::transfer::Transfer;
use crate::counters::Refusal;
use crate::files::SendItem;
use crate::grtt::Decay;
use crate::policy::FileTimes;

/// Longest name and longest link target that receivers take, bytes (wire-v4 §2.3).
const LONGEST_NAME: usize = 300;
/// File sizes are 48 bits on the wire (wire-v4 §4.8).
const LARGEST_FILE: u64 = (1 << 48) - 1;

/// The file info phase of one item.
#[derive(Clone, Debug)]
pub(super) struct Informing {
    file: FileId,
    item: SendItem,
    geometry: Geometry,
    message: ListMessage,
    /// The FILEINFO cycles.
    course: Course,
    /// FILEINFO_ACKs: in all, and with the partial flag.
    acks: u32,
    partial: u32,
    /// Data does not wait for them.
    ahead: bool,
}

impl Informing {
    /// Begins with an item, or says why it cannot be sent.
    pub(super) fn start(
        s: &mut Session,
        file: FileId,
        item: SendItem,
    ) -> Result<Self, (SendItem, String)> {
        let geometry = match check(s, &item) {
            Ok(geometry) => geometry,
            Err(reason) => return Err((item, reason)),
        };
        let info = describe(s, file, &item, &geometry);
        if let Err(error) = s.link.plain_len(&Message::FileInfo(info.clone())) {
            return Err((item, format!("it cannot be announced: {error}")));
        }
        s.clients.clear_item();
        s.clients
            .set_states(|c| match (c.state().is_error(), c.proxy) {
                (true, _) => None,
                (false, false) => Some(State::Registered),
                (false, true) => Some(State::Active),
            });
        s.events.push_back(SenderEvent::FileStarted {
            file,
            item: item.clone(),
            blocks: geometry.blocks(),
            sections: geometry.sections(),
        });
        let ahead = s.runs_ahead(&item, &geometry);
        let message = ListMessage::FileInfo(Box::new(info));
        let mut phase = Informing {
            file,
            item,
            geometry,
            message,
            course: Course::new(s, Repeated::FileInfo),
            acks: 0,
            partial: 0,
            ahead,
        };
        phase.inform(s);
        Ok(phase)
    }

    pub(super) fn file(&self) -> FileId {
        self.file
    }

    pub(super) fn item(&self) -> &SendItem {
        &self.item
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(super) fn timer(&self) -> Option<Instant> {
        self.course.timer()
    }

    pub(super) fn lists_sent(&mut self, s: &Session, now: Instant) {
        self.course.wait(s, now);
    }

    pub(super) fn handle(
        &mut self,
        s: &mut Session,
        now: Instant,
        at: usize,
        message: &Message<'_>,
    ) {
        match message {
            Message::FileInfoAck(ack) if ack.file == self.file => {
                s.vouch(at, &ack.clients);
                let Some(speakers) = s.speakers(at, &ack.clients) else {
                    s.counters.refuse(Refusal::OutOfPlace);
                    return;
                };
                s.measure(at, now, ack.echo);
                for speaker in speakers {
                    if s.clients.state(speaker) == Some(State::Registered) {
                        s.clients.share_rtt(at, speaker);
                        self.ready(s, speaker, ack.partial);
                    }
                }
            }
            Message::Complete(complete) if complete.file == self.file => {
                s.vouch(at, &complete.clients);
                let Some(speakers) = s.speakers(at, &complete.clients) else {
                    s.counters.refuse(Refusal::OutOfPlace);
                    return;
                };
                for at in speakers {
                    if matches!(s.clients.state(at), Some(State::Registered | State::Active)) {
                        s.complete(at, now, self.file, complete.status, complete.free_space);
                    }
                }
            }
            // A lost REG_CONF: FILEINFO, repeated, tells the receiver as well, and its proxy is told again.
            Message::Register(_) => {}
            Message::FileInfoAck(_) | Message::Complete(_) | Message::Status(_) => {
                s.counters.refuse(Refusal::OutOfRange);
            }
            _ => s.counters.refuse(Refusal::OutOfPlace),
        }
    }

    pub(super) fn advance(&mut self, s: &mut Session, now: Instant) -> Next {
        if let Some(why) = s.all_or_nothing() {
            s.abort_all(why);
            s.finish_item(self.file, self.item.clone(), None);
            return Next::Over(Outcome::NobodyReady);
        }
        if s.clients.destinations_in(&[State::Registered]) == 0 {
            return self.end(s, now);
        }
        if self.ahead && self.course.timer().is_some() {
            self.ahead = false;
            let transfer = Transfer::start(s, now, self).ahead_of(self.clone());
            return Next::Transfer(Box::new(transfer));
        }
        if self.course.is_due(now) {
            if self.course.is_last(s, now) {
                for at in s.clients.places(|c| c.state() == State::Registered) {
                    s.lose(at, "FILEINFO");
                }
                return self.advance(s, now);
            }
            s.update_grtt(Decay::Gradual);
            self.inform(s);
        }
        Next::Stay
    }

    /// Begins a cycle.
    fn inform(&mut self, s: &mut Session) {
        let attempt = self.course.repeat();
        if attempt > 1 && s.security.is_some() {
            s.send_list(ListMessage::RegConfAgain, attempt);
        }
        s.send_list(self.message.clone(), attempt);
    }

    fn ready(&mut self, s: &mut Session, at: usize, partial: bool) {
        s.clients.set_state(at, State::Active);
        self.acks += 1;
        self.partial += u32::from(partial);
        if let Some(client) = s.clients.get(at) {
            let client = client.uid;
            s.events
                .push_back(SenderEvent::FileInfoAcked { client, partial });
        }
    }

    /// The blocks to send in the first pass: all, or none if every receiver has part of the file and
    /// shall say what it misses before anything is sent.
    pub(super) fn wanted(&self) -> BlockMap {
        let blocks = self.geometry.blocks();
        match self.acks > 0 && self.partial == self.acks {
            true => BlockMap::none_missing(blocks),
            false => BlockMap::all_missing(blocks),
        }
    }

    /// Whether somebody has part of the file already.
    pub(super) fn is_resumed(&self) -> bool {
        self.partial > 0
    }

    /// Whether somebody is ready for the data.
    pub(super) fn is_taken(&self) -> bool {
        self.acks > 0
    }

    /// Everybody has answered.
    pub(super) fn settle(s: &mut Session) {
        s.update_grtt(Decay::Gradual);
        s.clients.clear_measured();
        s.ahead.begin();
    }

    fn end(&mut self, s: &mut Session, now: Instant) -> Next {
        Self::settle(s);
        // What was still queued of FILEINFO concerns nobody any more.
        s.lists.retain(|run| !run.is_file_info());
        if s.clients.any_receiving() {
            return Next::Transfer(Box::new(Transfer::start(s, now, self)));
        }
        s.finish_item(self.file, self.item.clone(), None);
        if s.clients.receivers_in(&[State::Done]) == 0 {
            return Next::Over(Outcome::NobodyReady);
        }
        Next::Item
    }
}

/// What receivers are told of an item.
fn describe(s: &Session, file: FileId, item: &SendItem, geometry: &Geometry) -> FileInfo {
    let compared = s.config.sync != SyncMode::Off;
    FileInfo {
        file,
        file_type: item.file_type,
        size: item.size,
        mtime: match s.policy.file_times {
            FileTimes::InSyncMode if !compared => 0,
            _ => item.mtime,
        },
        stated_geometry: Some((geometry.blocks(), geometry.sections())),
        timestamp: WireTime::default(),
        name: item.name.clone(),
        link: item.link.clone(),
        clients: Vec::new(),
    }
}

/// Lays out an item, or says why receivers could not take it.
fn check(s: &Session, item: &SendItem) -> Result<Geometry, String> {
    let padded = |bytes: &[u8]| bytes.len().next_multiple_of(4);
    if item.name.is_empty() {
        return Err("its name at the receivers is empty".into());
    }
    for (what, bytes) in [
        ("name at the receivers", &item.name),
        ("link target", &item.link),
    ] {
        if padded(bytes) > LONGEST_NAME {
            let len = bytes.len();
            return Err(format!(
                "its {what} is {len} bytes long, receivers take at most {LONGEST_NAME}"
            ));
        }
    }
    if item.file_type == FileType::SYMLINK && item.link.is_empty() {
        return Err("it is a symbolic link without a target".into());
    }
    if item.size > LARGEST_FILE {
        return Err(format!(
            "its size of {} bytes exceeds the protocol's limit of {LARGEST_FILE}",
            item.size
        ));
    }
    Geometry::new(item.size, s.block_size, s.policy.sectioning).map_err(|e| e.to_string())
}
