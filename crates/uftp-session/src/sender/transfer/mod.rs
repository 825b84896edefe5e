//! The transfer phase: passes over a file until nobody misses a block
//! (behaviour-sender-receiver §3.5 to §3.8).

mod ahead;
mod data;
mod misread;
mod reports;

use std::time::{Duration, Instant};

use uftp_proto::wire::Message;
use uftp_proto::{BlockMap, FileId, Geometry};

use super::clients::{Client, State};
use super::course::Course;
use super::event::SenderEvent;
use super::fileinfo::Informing;
use super::list::ListMessage;
use super::report::Volume;
use super::rounds::Rounds;
use super::self_clock::Pass;
use super::session::Session;
use super::{Next, is_due};
use crate::congestion::Controller;
use crate::counters::Refusal;
use crate::files::SendItem;
use crate::policy::PassStyle;

/// The transfer phase of one item.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) file: FileId,
    item: SendItem,
    /// Where answers to FILEINFO go, if the data went before they were in.
    informing: Option<Box<Informing>>,
    pub(super) geometry: Geometry,
    /// Blocks to be sent. Those behind the position wait for the next pass.
    pub(super) wanted: BlockMap,
    /// Somebody had part of the file before: what a report does not miss need not have just come.
    resumed: bool,
    pub(super) stage: Stage,
    /// From 1.
    pub(super) pass: u32,
    /// NAKs were accepted since the pass began.
    pub(super) naks: bool,
    /// How many have said what they miss since it ended.
    reported: usize,
    /// Where a pass in lock-step stands.
    pub(super) rounds: Option<Rounds>,
    started: Instant,
    /// Receivers that are not through by then are given up.
    limit: Option<Instant>,
    /// The section last announced in an event.
    section: Option<u16>,
    volume: Volume,
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
        /// When the first of them was sent.
        since: Instant,
        /// When the next DONE is due, or its silence is judged; `None` while DONE goes out.
        again: Option<Instant>,
        /// When the next pass begins.
        rewind: Option<Instant>,
    },
    /// In lock-step: a section is sent, asking for reports on it.
    Polling(Course),
}

/// spec: behaviour-sender-receiver §3.7, wire-v3 §6.5: whole seconds are counted, and have to be more than the
/// limit. Short files would not get through in time otherwise, as headers count for the rate alone.
const WHOLE_SECOND: Duration = Duration::from_secs(1);

impl Transfer {
    /// Begins to send the file that receivers have been informed of.
    pub(super) fn start(s: &mut Session, now: Instant, informing: &Informing) -> Self {
        let item = informing.item().clone();
        let max_time = s.max_time(item.size);
        s.events
            .push_back(SenderEvent::TransferStarted { max_time });
        s.start_congestion_control(now);
        let mut phase = Transfer {
            file: informing.file(),
            item,
            informing: None,
            geometry: informing.geometry(),
            wanted: informing.wanted(),
            resumed: informing.is_resumed(),
            stage: Stage::Sending(0),
            pass: 0,
            naks: false,
            reported: 0,
            rounds: match s.policy.passes {
                PassStyle::Streaming => None,
                PassStyle::LockStep => Some(Rounds::default()),
            },
            started: now,
            limit: max_time.map(|time| now + time + WHOLE_SECOND),
            section: None,
            volume: Volume::default(),
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

    /// What has been sent so far.
    pub(super) fn volume(&self) -> Volume {
        self.volume
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
                    if s.clients.state(at).is_some_and(State::is_expected) {
                        s.complete(at, now, self.file, complete.status, complete.free_space);
                    }
                }
            }
            // Else an answer that crossed our data, as those to REG_CONF do.
            Message::FileInfoAck(_) => {
                if let Some(informing) = &mut self.informing {
                    informing.handle(s, now, at, message);
                }
            }
            Message::Register(_) => {}
            Message::Complete(_) => s.counters.refuse(Refusal::OutOfRange),
            _ => s.counters.refuse(Refusal::OutOfPlace),
        }
    }

    pub(super) fn advance(&mut self, s: &mut Session, now: Instant) -> Next {
        if let Some(why) = s.all_or_nothing() {
            return self.quit(s, why);
        }
        if self.broken {
            s.abort_unfinished("The file cannot be read");
        }
        if is_due(self.limit, now) && self.is_timed() {
            s.abort_unfinished("Max file transfer time exceeded");
        }
        if s.control_congestion(now) {
            for at in s.clients.places(|c| !c.proxy && c.state().is_receiving()) {
                if !s.goes_without_reports(at) {
                    s.lose(at, "CONG_CTRL");
                }
            }
        }
        if let Some(next) = self.settle_ahead(s, now) {
            return next;
        }
        if s.clients.any_expected() {
            self.advance_stage(s, now);
            self.advance_round(s, now);
        }
        if s.clients.any_expected() {
            Next::Stay
        } else {
            self.end(s)
        }
    }

    fn advance_stage(&mut self, s: &mut Session, now: Instant) {
        let cycle = s.cycle();
        let rest = match self.have_all_reported(s) {
            true => s.advertised_grtt() / 4,
            false => cycle,
        };
        let Stage::Asking {
            attempt,
            since,
            again,
            rewind,
        } = &mut self.stage
        else {
            return;
        };
        if self.naks {
            let next = now + rest;
            *rewind = Some(rewind.map_or(next, |rewind| rewind.min(next)));
        }
        if is_due(*rewind, now) {
            self.rewind(s);
        } else if is_due(*again, now) {
            if !s.has_asked_enough(*attempt, now.saturating_duration_since(*since)) {
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
        self.reported = 0;
        self.section = None;
        self.stage = Stage::Sending(0);
        s.begin_pass(match self.pass {
            1 if !self.resumed => Pass::First,
            _ => Pass::Repairs,
        });
        let wanted = self.wanted.missing() > 0;
        if let Some(rounds) = &mut self.rounds {
            match self.pass == 1 || !wanted {
                true => rounds.begin_thorough_pass(),
                false => rounds.begin_pass(),
            }
        }
        // One over nothing, of an empty file say, is told of like any other, but once.
        let pass = self.pass;
        if wanted || pass == 1 {
            s.events.push_back(SenderEvent::PassStarted { pass });
        }
        if !wanted {
            self.end_run(s);
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
        s.data_ceases();
        s.rate.pause(s.now);
        self.stage = Stage::Asking {
            attempt: 1,
            since: s.now,
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
            s.abort_unfinished("Max passes exceeded");
            return;
        }
        s.clients
            .set_states(|c| (c.state() == State::ActiveNak).then_some(State::Active));
        s.lists.clear();
        self.begin_pass(s);
    }

    fn quit(&mut self, s: &mut Session, why: &'static str) -> Next {
        s.abort_all(why);
        self.interrupted(s);
        Next::Over(self.failure())
    }

    /// All are sent away: who has not finished never will.
    pub(super) fn interrupted(&self, s: &mut Session) {
        let expected = |c: &Client| c.state().is_expected().then_some(State::Aborted);
        s.clients.set_states(expected);
        self.finish(s);
    }

    fn finish(&self, s: &mut Session) {
        let flowed = Some((self.started, self.volume));
        s.finish_item(self.file, self.item.clone(), flowed);
    }

    fn end(&mut self, s: &mut Session) -> Next {
        if let Some(why) = s.all_or_nothing() {
            return self.quit(s, why);
        }
        s.lists.clear();
        let clean = self.pass == 1 && !self.naks;
        s.rate.pause(s.now);
        if clean {
            s.all_answered(s.now);
        }
        if clean && s.rate.asks() {
            s.pacer.forgive(s.now);
        }
        s.end_congestion_control();
        self.finish(s);
        if s.clients.receivers_in(&[State::Done]) == 0 {
            return Next::Over(self.failure());
        }
        Next::Item
    }
}
