//! The transfer phase: passes over a file until nobody misses a block
//! (behaviour-sender-receiver §3.5 to §3.8).

use std::borrow::Cow;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::time::Instant;

use uftp_proto::nak::{clear_naks, count_naks};
use uftp_proto::wire::{BlockRef, Done, FileSeg, Message, Status};
use uftp_proto::{BlockMap, FileId, Geometry};

use super::clients::State;
use super::course::Course;
use super::event::{Outcome, SenderEvent};
use super::list::ListMessage;
use super::rounds::Rounds;
use super::self_clock::Horizon;
use super::session::Session;
use super::{DROPPED_OUT, Next, until};
use crate::batch::Batch;
use crate::congestion::Controller;
use crate::counters::Refusal;
use crate::files::{FileSource, SendItem};
use crate::link::Cover;
use crate::policy::PassStyle;

/// Most data packets laid out at once.
const RUN: usize = 48;
/// Most bytes laid out at once: what the kernel takes in one call.
const RUN_BYTES: usize = 65_000;
/// Most runs per call, so that the driver sends while the next ones are made.
const RUNS_PER_CALL: usize = 4;

/// The transfer phase of one item.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) file: FileId,
    item: SendItem,
    pub(super) geometry: Geometry,
    /// Blocks to be sent. Those behind the position wait for the next pass.
    pub(super) wanted: BlockMap,
    pub(super) stage: Stage,
    /// From 1.
    pub(super) pass: u32,
    /// NAKs were accepted since the pass began.
    pub(super) naks: bool,
    /// Where a pass in lock-step stands.
    pub(super) rounds: Option<Rounds>,
    started: Instant,
    /// Receivers that are not through by then are given up.
    limit: Option<Instant>,
    /// The section last announced in an event.
    section: Option<u16>,
    /// Bytes sent in the first pass and in later ones.
    sent: u64,
    repaired: u64,
    /// The file cannot be read.
    broken: bool,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Sending wanted blocks from this one on.
    Sending(u32),
    /// The pass is over: asking for reports.
    Asking {
        /// DONE messages since the last data, from 1.
        attempt: u32,
        /// When the next DONE is due, or its silence is judged; `None` while DONE goes out.
        again: Option<Instant>,
        /// When the next pass begins.
        rewind: Option<Instant>,
    },
    /// In lock-step: a section is sent, asking for reports on it.
    Polling(Course),
}

impl Transfer {
    /// Begins to send a file; `partial` if every receiver has part of it and shall say what it
    /// misses before anything is sent.
    pub(super) fn start(
        s: &mut Session,
        now: Instant,
        file: FileId,
        item: SendItem,
        geometry: Geometry,
        partial: bool,
    ) -> Self {
        let max_time = s.max_time(item.size);
        s.events
            .push_back(SenderEvent::TransferStarted { max_time });
        s.start_congestion_control(now);
        let mut phase = Transfer {
            file,
            item,
            geometry,
            wanted: if partial {
                BlockMap::none_missing(geometry.blocks())
            } else {
                BlockMap::all_missing(geometry.blocks())
            },
            stage: Stage::Sending(0),
            pass: 0,
            naks: false,
            rounds: match s.policy.passes {
                PassStyle::Streaming => None,
                PassStyle::LockStep => Some(Rounds::default()),
            },
            started: now,
            limit: max_time.map(|time| now + time),
            section: None,
            sent: 0,
            repaired: 0,
            broken: false,
        };
        phase.begin_pass(s);
        phase
    }

    pub(super) fn file(&self) -> FileId {
        self.file
    }

    pub(super) fn item(&self) -> &SendItem {
        &self.item
    }

    pub(super) fn pass(&self) -> u32 {
        self.pass
    }

    /// Bytes sent in the first pass, and in later ones.
    pub(super) fn bytes_sent(&self) -> (u64, u64) {
        (self.sent, self.repaired)
    }

    /// When to go on sending data, if there is any.
    pub(super) fn data_ready_at(&self, s: &Session) -> Option<Instant> {
        let sending = matches!(self.stage, Stage::Sending(_));
        // Waiting for more than there is gains nothing.
        let most = self.wanted.missing().min(RUN as u32);
        sending.then(|| s.pacer.worthwhile_at(s.now, s.rate.charged(), most))
    }

    pub(super) fn timer(&self, s: &Session) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Sending(_) => None,
            Stage::Asking { again, rewind, .. } => again.into_iter().chain(rewind).min(),
            Stage::Polling(ref course) => course.timer(),
        };
        let control = s.rate.tfmcc().map(Controller::deadline);
        let limit = self.limit.filter(|_| self.is_timed());
        stage.into_iter().chain(limit).chain(control).min()
    }

    /// Whether the time limit counts. In lock-step it is for those who make data be sent: before
    /// there are more of them, those who are asked have their time to answer (wire-v3 §6.5).
    fn is_timed(&self) -> bool {
        !matches!(self.stage, Stage::Polling(_))
    }

    pub(super) fn lists_sent(&mut self, s: &Session, now: Instant) {
        match &mut self.stage {
            Stage::Sending(_) => {}
            Stage::Asking { again, .. } => *again = Some(now + s.cycle()),
            Stage::Polling(course) => course.wait(s, now),
        }
    }

    pub(super) fn handle(
        &mut self,
        s: &mut Session,
        now: Instant,
        at: usize,
        message: &Message<'_>,
    ) {
        match message {
            Message::Status(status) => {
                if let Some(info) = &status.tfmcc {
                    s.congestion_report(now, at, info);
                }
                if let Err(why) = self.status(s, now, at, status) {
                    s.counters.refuse(why);
                }
            }
            Message::PrStatus(names) => {
                if let Err(why) = self.answerers(s, at, names) {
                    s.counters.refuse(why);
                }
            }
            Message::CcAck(ack) if s.rate.tfmcc().is_some() => {
                s.congestion_report(now, at, &ack.info);
            }
            Message::Complete(complete) if complete.file == self.file => {
                let Some(speakers) = s.speakers(at, &complete.clients) else {
                    s.counters.refuse(Refusal::OutOfPlace);
                    return;
                };
                for at in speakers {
                    if s.clients.state(at).is_some_and(State::is_receiving) {
                        s.complete(at, now, self.file, complete.status, complete.free_space);
                    }
                }
            }
            // Answers to FILEINFO or REG_CONF that crossed our data.
            Message::FileInfoAck(_) | Message::Register(_) => {}
            Message::Complete(_) => s.counters.refuse(Refusal::OutOfRange),
            _ => s.counters.refuse(Refusal::OutOfPlace),
        }
    }

    pub(super) fn advance(&mut self, s: &mut Session, now: Instant) -> Next {
        if s.config.quit_on_error && s.lost_one {
            return self.quit(s);
        }
        if self.broken {
            self.drop_all(s, "The file cannot be read");
        }
        if until(self.limit, now) && self.is_timed() {
            self.drop_all(s, "Max file transfer time exceeded");
        }
        if s.control_congestion(now) {
            for at in s.clients.places(|c| !c.proxy && c.state().is_receiving()) {
                s.lose(at, "CONG_CTRL");
            }
        }
        if s.clients.any_receiving() {
            self.advance_stage(s, now);
            self.advance_round(s, now);
        }
        if s.clients.any_receiving() {
            Next::Stay
        } else {
            self.end(s)
        }
    }

    fn advance_stage(&mut self, s: &mut Session, now: Instant) {
        let cycle = s.cycle();
        let Stage::Asking {
            attempt,
            again,
            rewind,
        } = &mut self.stage
        else {
            return;
        };
        if self.naks && rewind.is_none() {
            *rewind = Some(now + cycle);
        }
        if until(*rewind, now) {
            self.rewind(s);
        } else if until(*again, now) {
            if *attempt < s.robust() {
                *attempt += 1;
                *again = None;
                let attempt = *attempt;
                self.ask(s, attempt);
            } else if rewind.is_none() {
                for at in s.clients.places(|c| !c.proxy && c.state().is_receiving()) {
                    s.lose(at, "DONE");
                }
            } else {
                // Judged after the next pass.
                *again = None;
            }
        }
    }

    pub(super) fn begin_pass(&mut self, s: &mut Session) {
        self.pass += 1;
        self.naks = false;
        self.section = None;
        self.stage = Stage::Sending(0);
        s.rate.begin_pass(self.pass == 1);
        let wanted = self.wanted.missing() > 0;
        if let Some(rounds) = &mut self.rounds {
            rounds.begin_pass(self.pass == 1, wanted);
        }
        if !wanted {
            self.end_run(s);
        } else {
            let pass = self.pass;
            s.events.push_back(SenderEvent::PassStarted { pass });
        }
    }

    /// What may be sent for now is sent.
    fn end_run(&mut self, s: &mut Session) {
        match &self.rounds {
            None => self.end_pass(s),
            Some(_) => self.end_section(s),
        }
    }

    /// Nothing is wanted ahead. The position is gone before DONE is sent, so that the answers
    /// to it are never taken for reports on a section being sent.
    fn end_pass(&mut self, s: &mut Session) {
        s.data_flows(false);
        s.rate.end_pass(s.now);
        self.stage = Stage::Asking {
            attempt: 1,
            again: None,
            rewind: None,
        };
        self.ask(s, 1);
    }

    fn ask(&self, s: &mut Session, attempt: u32) {
        let done = ListMessage::Done {
            file: self.file,
            pass: 0,
            section: self.geometry.last_section(),
        };
        s.send_list(done, attempt);
    }

    fn rewind(&mut self, s: &mut Session) {
        if self.pass >= u32::from(s.config.max_passes) {
            self.drop_all(s, "Max passes exceeded");
            return;
        }
        s.clients
            .set_states(|c| (c.state() == State::ActiveNak).then_some(State::Active));
        s.lists.clear();
        self.begin_pass(s);
    }

    /// Takes in a report of missing blocks, of any section at any time: those ahead of the
    /// position are served in this pass, those behind it in the next.
    fn status(
        &mut self,
        s: &mut Session,
        now: Instant,
        at: usize,
        status: &Status<'_>,
    ) -> Result<(), Refusal> {
        if !s.clients.state(at).is_some_and(State::is_receiving) {
            return Err(Refusal::OutOfPlace);
        }
        if status.file != self.file {
            return Err(Refusal::OutOfRange);
        }
        if self.rounds.is_some() {
            return self.answer(s, at, status);
        }
        let section = self.geometry.section(status.section);
        let section = section.ok_or(Refusal::OutOfRange)?;
        let blocks = section.end - section.start;
        let bytes = status.naks.len();
        // Deployed proxies leave out the spare byte of the largest sections (wire-v4 §13).
        let block_size = u32::from(self.geometry.block_size());
        let largest = blocks == 8 * block_size && bytes == block_size as usize;
        if bytes <= (blocks / 8) as usize && !largest {
            return Err(Refusal::Malformed);
        }
        if count_naks(status.naks, blocks) == 0 {
            return Err(Refusal::OutOfRange);
        }
        if s.rate
            .report(now, at, status.section, status.naks, s.pulse())
        {
            s.pacer.set_rate(s.rate.bytes_per_second());
        }
        let naks = self.believed(s, now, status, &section);
        let count = match &naks {
            Cow::Borrowed(naks) => count_naks(naks, blocks),
            Cow::Owned(naks) => self.news(&section, naks),
        };
        if count == 0 {
            // The answer to a question in the middle of the section: nothing is lost.
            return Ok(());
        }
        let settled = matches!(naks, Cow::Borrowed(_));
        if settled && self.is_too_lossy(s, at, count, blocks) {
            s.abort_client(at, "Excessive NAKs received");
            return Ok(());
        }
        self.wanted.merge_naks(section, &naks);
        self.naks = true;
        s.clients.set_state(at, State::ActiveNak);
        if let Some(client) = s.clients.get(at) {
            let client = client.uid;
            s.events.push_back(SenderEvent::Naks {
                client,
                section: status.section,
                count,
            });
        }
        Ok(())
    }

    /// What a report on `section` can know: without the blocks that may have been under way to
    /// the receiver when it was made. Those not yet sent in this pass are wanted anyway.
    fn believed<'a>(
        &self,
        s: &Session,
        now: Instant,
        status: &Status<'a>,
        section: &Range<u32>,
    ) -> Cow<'a, [u8]> {
        let Horizon::Before(known) = s.rate.horizon(now, status.section, status.naks, s.pulse())
        else {
            return Cow::Borrowed(status.naks);
        };
        let mut naks = status.naks.to_vec();
        let sent = match self.stage {
            Stage::Sending(position) => position.clamp(section.start, section.end),
            Stage::Asking { .. } | Stage::Polling(_) => section.end,
        };
        clear_naks(&mut naks, known..sent - section.start);
        Cow::Owned(naks)
    }

    /// How many blocks of `section` in a NAK bitmap are not yet wanted.
    fn news(&self, section: &Range<u32>, naks: &[u8]) -> u32 {
        let fresh = |block: &u32| !self.wanted.is_missing(*block);
        let offset = |block: u32| block - section.start;
        let lost = |block: &u32| {
            let byte = naks.get((offset(*block) / 8) as usize);
            byte.is_some_and(|byte| byte & (1 << (offset(*block) % 8)) != 0)
        };
        section.clone().filter(lost).filter(fresh).count() as u32 // a section is short
    }

    /// Asks all receivers in the middle of a section what they miss of it: a DONE that names
    /// nobody makes each answer after its usual delay.
    fn ask_in_between(&self, s: &mut Session, now: Instant, batch: &mut Batch) {
        let streaming = s.policy.passes == PassStyle::Streaming;
        let (true, Some(section)) = (streaming && s.rate.asks(), self.section) else {
            return;
        };
        let audience = s.audience();
        if !s.rate.is_curious(now, audience, s.pulse())
            || s.pacer.allowance(now, s.rate.charged(), 1) == 0
        {
            return;
        }
        let done = Message::Done(Done {
            file: self.file,
            pass: 0,
            section,
            clients: Vec::new(),
        });
        let to = s.config.private;
        if s.send(now, batch, to, &done, Cover::Session) {
            s.rate.asked(now, audience);
        }
    }

    /// Whether a receiver loses too much too often (behaviour-sender-receiver §3.8). What a
    /// proxy adds up is nobody's own.
    pub(super) fn is_too_lossy(&self, s: &mut Session, at: usize, naks: u32, blocks: u32) -> bool {
        let limit = s.config.nak_limit;
        let percent = u64::from(naks) * 100 / u64::from(blocks.max(1));
        let Some(client) = s.clients.get_mut(at) else {
            return false;
        };
        if client.proxy || percent <= u64::from(limit.percent) {
            return false;
        }
        client.strikes += 1;
        client.strikes >= limit.strikes.max(1)
    }

    /// Gives up all who have not finished.
    pub(super) fn drop_all(&self, s: &mut Session, reason: &'static str) {
        s.abort_unfinished(reason);
    }

    fn quit(&mut self, s: &mut Session) -> Next {
        s.abort_all(DROPPED_OUT);
        s.finish_item(self.file, self.item.clone(), Some(self.started));
        Next::Over(Outcome::AllDropped)
    }

    fn end(&mut self, s: &mut Session) -> Next {
        if s.config.quit_on_error && s.lost_one {
            return self.quit(s);
        }
        s.lists.clear();
        if s.rate.finish_file(s.now, self.pass == 1 && !self.naks) {
            s.pacer.set_rate(s.rate.bytes_per_second());
        }
        s.end_congestion_control();
        s.finish_item(self.file, self.item.clone(), Some(self.started));
        if s.clients.receivers_in(&[State::Done]) == 0 {
            return Next::Over(Outcome::AllDropped);
        }
        Next::Item
    }

    // ----- data -------------------------------------------------------------------------------

    /// Appends the data packets that may go now.
    pub(super) fn transmit<S: FileSource>(
        &mut self,
        s: &mut Session,
        source: &mut S,
        now: Instant,
        batch: &mut Batch,
    ) {
        if s.rate.settle(now, s.pulse()) {
            s.pacer.set_rate(s.rate.bytes_per_second());
        }
        self.ask_in_between(s, now, batch);
        for _ in 0..RUNS_PER_CALL {
            let Stage::Sending(position) = self.stage else {
                return;
            };
            match self.transmit_run(s, source, now, batch, position) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    s.events.push_back(SenderEvent::FileSkipped {
                        item: self.item.clone(),
                        reason: format!("it cannot be read: {error}"),
                    });
                    self.broken = true;
                    return;
                }
            }
        }
    }

    /// Appends one run of packets. Returns how many.
    fn transmit_run<S: FileSource>(
        &mut self,
        s: &mut Session,
        source: &mut S,
        now: Instant,
        batch: &mut Batch,
        position: u32,
    ) -> io::Result<usize> {
        let charged = s.rate.charged();
        let most = s.pacer.allowance(now, charged, RUN);
        let mut blocks = [0; RUN];
        let (count, len) = self.choose(position, most, &mut blocks);
        let Some(&first) = blocks.get(..count).and_then(<[u32]>::first) else {
            if most > 0 {
                self.end_run(s);
            }
            return Ok(0);
        };
        let frame = s.link.frame(&self.segment(s, first), len);
        let slots = batch.slots(frame.len, count.min(RUN_BYTES / frame.len.max(1)).max(1));
        let count = slots.len() / frame.len.max(1);
        let blocks = blocks.get(..count).unwrap_or_default();
        self.read(
            source,
            blocks,
            slots.chunks_exact_mut(frame.len),
            &frame.data,
        )?;
        let estimate = s.estimate();
        for (&block, slot) in blocks.iter().zip(slots.chunks_exact_mut(frame.len)) {
            let segment = self.segment(s, block);
            s.link
                .finish(slot, &frame, estimate, &segment)
                .map_err(io::Error::other)?;
        }
        batch.commit(s.config.private, s.ecn(), frame.len, count);
        for &block in blocks {
            self.note_sent(s, now, block, len);
        }
        s.pacer.charge(now, charged * count as u64);
        s.counters.sent += count as u64;
        Ok(count)
    }

    /// The next wanted blocks, at most `most`, all of one length: how many, and the length.
    fn choose(&self, position: u32, most: usize, blocks: &mut [u32; RUN]) -> (usize, usize) {
        let horizon = self.horizon();
        let mut at = position;
        let mut count = 0;
        let mut len = 0;
        for slot in blocks.iter_mut().take(most) {
            let Some(block) = self.wanted.next_missing(at..horizon) else {
                break;
            };
            let this = self.geometry.block_len(block);
            if count > 0 && this != len {
                break;
            }
            *slot = block;
            len = this;
            count += 1;
            at = block + 1;
        }
        (count, len)
    }

    /// Reads blocks straight into their packets, neighbours with one call.
    fn read<'a, S: FileSource>(
        &self,
        source: &mut S,
        blocks: &[u32],
        slots: impl Iterator<Item = &'a mut [u8]>,
        data: &std::ops::Range<usize>,
    ) -> io::Result<()> {
        let mut bufs: [IoSliceMut<'a>; RUN] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let mut first = 0;
        let mut count = 0;
        let mut read = |first: u32, bufs: Option<&mut [IoSliceMut<'a>]>| match bufs {
            Some(bufs) if !bufs.is_empty() => source.read_at(self.geometry.offset(first), bufs),
            _ => Ok(()),
        };
        for (&block, slot) in blocks.iter().zip(slots) {
            if count > 0 && block != first + count as u32 {
                read(first, bufs.get_mut(..count))?;
                count = 0;
            }
            if count == 0 {
                first = block;
            }
            let place = slot.get_mut(data.clone()).unwrap_or_default();
            if let Some(buf) = bufs.get_mut(count) {
                *buf = IoSliceMut::new(place);
                count += 1;
            }
        }
        read(first, bufs.get_mut(..count))
    }

    /// The message that carries a block, without the data.
    fn segment(&self, s: &Session, block: u32) -> FileSeg<'static> {
        let (section, offset) = self.geometry.locate(block).unwrap_or_default();
        FileSeg {
            file: self.file,
            at: match s.policy.passes {
                PassStyle::Streaming => BlockRef::InSection {
                    section,
                    block: offset as u16, // at most 65536 blocks in a section
                },
                style @ PassStyle::LockStep => BlockRef::InFile {
                    pass: style.stated(self.pass),
                    section,
                    block,
                },
            },
            tfmcc: s.rate.tfmcc().map(Controller::data_info),
            data: &[],
        }
    }

    fn note_sent(&mut self, s: &mut Session, now: Instant, block: u32, len: usize) {
        self.wanted.clear(block);
        if let Some(rounds) = &mut self.rounds {
            rounds.note_sent();
        }
        self.stage = Stage::Sending(block + 1);
        s.data_sent();
        s.data_flows(true);
        if self.pass == 1 {
            self.sent += len as u64;
        } else {
            self.repaired += len as u64;
        }
        let Some((section, offset)) = self.geometry.locate(block) else {
            return;
        };
        if self.section != Some(section) {
            self.section = Some(section);
            s.events.push_back(SenderEvent::SectionStarted { section });
        }
        s.rate.sent(now, section, offset);
    }
}
