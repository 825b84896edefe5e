//! What receivers miss of the file being sent.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Instant;

use uftp_proto::nak::{clear_naks, count_naks};
use uftp_proto::wire::{Done, Message, Status};

use super::{Stage, Transfer, misread};
use crate::batch::Batch;
use crate::counters::Refusal;
use crate::link::Cover;
use crate::policy::PassStyle;
use crate::sender::clients::State;
use crate::sender::event::SenderEvent;
use crate::sender::self_clock::Horizon;
use crate::sender::session::Session;

impl Transfer {
    /// Takes in a report of missing blocks, of any section at any time: those ahead of the
    /// position are served in this pass, those behind it in the next.
    pub(super) fn status(
        &mut self,
        s: &mut Session,
        now: Instant,
        at: usize,
        status: &Status<'_>,
    ) -> Result<(), Refusal> {
        if !s.clients.state(at).is_some_and(State::is_expected) {
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
        let meant = misread::meant(s, at, status, blocks);
        let status = &Status {
            naks: &meant,
            ..*status
        };
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
        s.rate
            .report(now, at, status.section, status.naks, s.pulse());
        s.obey_rate();
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
        self.note_report(s, at);
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

    /// Notes that a receiver has said at the end of a pass what it misses.
    fn note_report(&mut self, s: &mut Session, at: usize) {
        let pass = self.pass;
        if let (Stage::Asking { .. }, Some(client)) = (&self.stage, s.clients.get_mut(at))
            && std::mem::replace(&mut client.reported, pass) != pass
        {
            self.reported += 1;
        }
    }

    /// Whether all who have not finished have said what they miss of the pass that is over, so that
    /// only what they said together with that may still be under way. Through a proxy nobody knows.
    pub(super) fn have_all_reported(&self, s: &Session) -> bool {
        s.clients.receivers_in(&[State::Registered, State::Active]) == 0
            && self.reported >= s.clients.receivers_in(&[State::ActiveNak])
            && !s.clients.any_proxy()
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
    pub(super) fn ask_in_between(&self, s: &mut Session, now: Instant, batch: &mut Batch) {
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
    pub(in crate::sender) fn is_too_lossy(
        &self,
        s: &mut Session,
        at: usize,
        naks: u32,
        blocks: u32,
    ) -> bool {
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
}
