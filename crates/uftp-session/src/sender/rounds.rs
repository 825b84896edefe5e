//! Passes in lock-step: after each section its receivers are asked what they miss of it, and the
//! sender waits for them all (wire-v3 §6.5, §6.7).

use std::time::Instant;

use uftp_proto::FileId;
use uftp_proto::wire::{PrStatus, Status};

use super::clients::State;
use super::course::{Course, Repeated};
use super::event::SenderEvent;
use super::list::ListMessage;
use super::session::Session;
use super::transfer::{Stage, Transfer};
use crate::counters::Refusal;
use crate::halves::Halves;

/// Most passes over a file: the wire has 8 bits for their number.
const MOST_PASSES: u32 = 255;

/// Where a pass stands.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The section in work.
    section: u16,
    /// Blocks of it sent in this pass.
    sent: u32,
    /// Every section is asked about, sent or not: in the first pass, and when nobody said what is
    /// missing of a file that not everybody has.
    thorough: bool,
    /// Reports of proxies in this round.
    halves: Halves<usize, usize>,
}

impl Rounds {
    /// A pass begins, in which only sections are asked about that something was sent of.
    pub(super) fn begin_pass(&mut self) {
        *self = Rounds::default();
    }

    /// A pass begins, in which every section is asked about.
    pub(super) fn begin_thorough_pass(&mut self) {
        *self = Rounds {
            thorough: true,
            ..Rounds::default()
        };
    }

    /// A block of the section in work goes out.
    pub(super) fn note_sent(&mut self) {
        self.sent += 1;
    }

    pub(super) fn section(&self) -> u16 {
        self.section
    }
}

impl Transfer {
    /// The block that is not sent before the receivers have been asked about those before it.
    pub(super) fn horizon(&self) -> u32 {
        let Some(rounds) = &self.rounds else {
            return self.geometry.blocks();
        };
        let section = self.geometry.section(rounds.section);
        section.map_or(0, |blocks| blocks.end)
    }

    /// The section in work is sent: asks about it, if there is anything to ask.
    pub(super) fn end_section(&mut self, s: &mut Session) {
        s.data_ceases();
        s.rate.pause(s.now);
        match &mut self.rounds {
            Some(rounds) if rounds.thorough || rounds.sent > 0 => {
                rounds.halves.clear();
                s.await_answers();
                let mut course = Course::new(s, Repeated::Done);
                self.ask_about_section(s, &mut course);
                self.stage = Stage::Polling(course);
            }
            _ => self.next_section(s),
        }
    }

    /// The rate may follow from what is missing of what was sent.
    fn judge_section(&self, s: &mut Session) {
        let Some(rounds) = &self.rounds else {
            return;
        };
        if let Some(blocks) = self.geometry.section(rounds.section) {
            s.step_rate(self.wanted.missing_in(blocks), rounds.sent);
        }
    }

    fn ask_about_section(&self, s: &mut Session, course: &mut Course) {
        let attempt = course.repeat();
        let done = ListMessage::Done {
            file: self.file,
            pass: s.policy.passes.stated(self.pass),
            section: self.rounds.as_ref().map_or(0, Rounds::section),
        };
        s.send_list(done, attempt);
    }

    /// Goes on to the next section of the pass, or to the next pass.
    fn next_section(&mut self, s: &mut Session) {
        let behind = self.horizon();
        let next = match &self.rounds {
            Some(rounds) if rounds.thorough => self.geometry.locate(behind),
            _ => {
                let ahead = behind..self.geometry.blocks();
                let wanted = self.wanted.next_missing(ahead);
                wanted.and_then(|block| self.geometry.locate(block))
            }
        };
        match (next, &mut self.rounds) {
            (Some((section, _)), Some(rounds)) => {
                rounds.section = section;
                rounds.sent = 0;
                let first = self.geometry.section(section).unwrap_or_default().start;
                self.stage = Stage::Sending(first);
            }
            _ if self.pass >= MOST_PASSES.min(s.config.max_passes.into()) => {
                s.abort_unfinished("Max passes exceeded");
            }
            _ => {
                s.lists.clear();
                self.begin_pass(s);
            }
        }
    }

    /// Goes on if the round is over, asks again if it is time.
    pub(super) fn advance_round(&mut self, s: &mut Session, now: Instant) {
        let Stage::Polling(course) = &mut self.stage else {
            return;
        };
        if s.clients.receivers_in(&[State::Active]) == 0 {
            s.lists.clear();
            self.judge_section(s);
            s.all_answered(now);
            return self.next_section(s);
        }
        if !course.is_due(now) {
            return;
        }
        if course.is_last(s, now) {
            for at in s.clients.places(|c| !c.proxy && c.state() == State::Active) {
                s.lose(at, "DONE");
            }
            return;
        }
        let mut course = std::mem::replace(course, Course::new(s, Repeated::Done));
        self.ask_about_section(s, &mut course);
        self.stage = Stage::Polling(course);
    }

    /// Takes in an answer to the question of this round.
    pub(super) fn answer(
        &mut self,
        s: &mut Session,
        at: usize,
        status: &Status<'_>,
    ) -> Result<(), Refusal> {
        self.check_round(s, status.file, status.pass, status.section)?;
        let whole = usize::from(self.geometry.block_size());
        if !status.naks.is_empty() && status.naks.len() != whole {
            return Err(Refusal::Malformed);
        }
        if !s.clients.get(at).is_some_and(|c| c.proxy) {
            if !s.clients.is_receiving(at) {
                return Err(Refusal::OutOfPlace);
            }
            self.report(s, at, status.naks);
            return Ok(());
        }
        let halves = self.halves()?;
        let clients = halves.missing(at, status.proxy_seq, status.naks);
        self.report_for(s, clients, status.naks);
        Ok(())
    }

    /// Takes in the names of those for whom a proxy answers.
    pub(super) fn answerers(
        &mut self,
        s: &mut Session,
        at: usize,
        message: &PrStatus,
    ) -> Result<(), Refusal> {
        self.check_round(s, message.file, message.pass, message.section)?;
        if !s.clients.get(at).is_some_and(|c| c.proxy) {
            return Err(Refusal::OutOfPlace);
        }
        let speakers = s.speakers(at, &message.clients).unwrap_or_default();
        let halves = self.halves()?;
        if let Some(naks) = halves.named(at, message.proxy_seq, &speakers) {
            self.report_for(s, speakers, &naks);
        }
        Ok(())
    }

    fn check_round(
        &self,
        s: &Session,
        file: FileId,
        pass: u8,
        section: u16,
    ) -> Result<(), Refusal> {
        let Some(rounds) = &self.rounds else {
            return Err(Refusal::OutOfPlace);
        };
        let asked = matches!(self.stage, Stage::Polling(_));
        let ours = (self.file, s.policy.passes.stated(self.pass), rounds.section);
        match asked && (file, pass, section) == ours {
            true => Ok(()),
            false => Err(Refusal::OutOfRange),
        }
    }

    fn halves(&mut self) -> Result<&mut Halves<usize, usize>, Refusal> {
        let rounds = self.rounds.as_mut().ok_or(Refusal::OutOfPlace)?;
        Ok(&mut rounds.halves)
    }

    /// What those of `clients` miss that are still receiving.
    fn report_for(
        &mut self,
        s: &mut Session,
        clients: impl IntoIterator<Item = usize>,
        naks: &[u8],
    ) {
        for client in clients {
            if s.clients.is_receiving(client) {
                self.report(s, client, naks);
            }
        }
    }

    /// What one receiver misses of the section in work.
    fn report(&mut self, s: &mut Session, at: usize, naks: &[u8]) {
        let section = self.rounds.as_ref().map_or(0, Rounds::section);
        s.clients.set_state(at, State::ActiveNak);
        let Some(blocks) = self.geometry.section(section) else {
            return;
        };
        let all = blocks.end - blocks.start;
        let count = self.wanted.merge_naks(blocks, naks);
        if count == 0 {
            return;
        }
        if self.is_too_lossy(s, at, count, all) {
            s.abort_client(at, "Excessive NAKs received");
            return;
        }
        self.naks = true;
        let client = s.clients.uid(at);
        s.events.push_back(SenderEvent::Naks {
            client,
            section,
            count,
        });
        let (now, pulse) = (s.now, s.pulse());
        s.rate.report(now, at, section, naks, pulse);
        s.obey_rate();
    }
}
