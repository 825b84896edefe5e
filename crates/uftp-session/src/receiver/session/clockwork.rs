//! What is due when no packet comes.

use std::time::{Duration, Instant};

use super::{EndReason, Handled, Phase, Session, Stop, Surroundings};
use crate::files::SessionFiles;
use crate::receiver::outbox::{Answer, Outgoing};

impl<S: SessionFiles> Session<S> {
    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(in crate::receiver) fn deadline(&self) -> Instant {
        let silence = self.alive + self.timing.silence();
        match &self.phase {
            Phase::AwaitingProxy { until } => *until,
            Phase::Registering { sent, until } => {
                (*until).min(*sent + self.timing.register_repeat())
            }
            Phase::MidGroup => {
                let doubt = self.security.as_ref().and_then(|s| s.doubt.as_ref());
                let give_up = self.alive + self.timing.between_files();
                doubt.map_or(give_up, |doubt| give_up.min(doubt.at))
            }
            Phase::Receiving(transfer) => {
                let report = self.congestion.as_ref().and_then(|c| c.deadline());
                let earlier = transfer.deadline().into_iter().chain(report).min();
                earlier.map_or(silence, |earlier| earlier.min(silence))
            }
            Phase::Completing { since, sent } => {
                let give_up = *since + self.timing.confirmation();
                give_up.min(*sent + self.timing.complete_repeat())
            }
        }
    }

    /// This program did not run for a while, and nothing has come meanwhile: whoever would be given up for
    /// his silence may have been held up by the same. He is waited for once more, but once only for
    /// each silence.
    pub(in crate::receiver) fn held_up(&mut self, now: Instant) {
        if self.excused == Some(self.alive) {
            return;
        }
        let timing = self.timing;
        let over = |since: Instant, time: Duration| now >= since + time;
        match &mut self.phase {
            Phase::AwaitingProxy { until } | Phase::Registering { until, .. } if now >= *until => {
                *until = now + timing.registration();
            }
            Phase::Completing { since, .. } if over(*since, timing.confirmation()) => *since = now,
            Phase::MidGroup if over(self.alive, timing.between_files()) => self.alive = now,
            Phase::Receiving(_) if over(self.alive, timing.silence()) => self.alive = now,
            _ => return,
        }
        self.excused = Some(self.alive);
    }

    /// Does what is due.
    pub(in crate::receiver) fn handle_timeout(
        &mut self,
        now: Instant,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let timing = self.timing;
        let over = |since: Instant, time: Duration| now >= since + time;
        match &mut self.phase {
            Phase::AwaitingProxy { until } if now >= *until => {
                return Err(self.unregistered("PROXY_KEY not received"));
            }
            Phase::AwaitingProxy { .. } => {}
            Phase::Registering { until, .. } if now >= *until => {
                return Err(self.unregistered("Registration unconfirmed"));
            }
            Phase::Registering { sent, .. } => {
                if over(*sent, timing.register_repeat()) {
                    *sent = now;
                    self.outbox.push(Outgoing::Register);
                    self.outbox.push(Outgoing::ClientKey);
                }
            }
            Phase::Completing { since, .. } if over(*since, timing.confirmation()) => {
                return Err(EndReason::Unconfirmed.into());
            }
            Phase::Completing { sent, .. } => {
                if over(*sent, timing.complete_repeat()) {
                    *sent = now;
                    self.outbox.push(Outgoing::Complete(Answer::SESSION));
                }
            }
            Phase::MidGroup if over(self.alive, timing.between_files()) => {
                return Err(Stop::abort("Transfer timed out"));
            }
            Phase::Receiving(_) if over(self.alive, timing.silence()) => {
                return Err(Stop::abort("Transfer timed out"));
            }
            Phase::MidGroup => {
                let doubt = self.security.as_mut().and_then(|s| s.doubt.as_mut());
                if let Some(doubt) = doubt.filter(|doubt| now >= doubt.at) {
                    doubt.wait *= 2;
                    doubt.at = now + doubt.wait;
                    self.outbox.push(Outgoing::Register);
                    self.outbox.push(Outgoing::ClientKey);
                }
            }
            Phase::Receiving(transfer) => {
                if self.congestion.as_mut().is_some_and(|c| c.due(now)) {
                    self.outbox.push(Outgoing::CcAck);
                    self.alive = now;
                }
                if let Some(sweep) = transfer.naks_due(now) {
                    let (patience, last) = (timing.disk_patience(), transfer.last_section());
                    if transfer.is_complete(&mut self.files, patience, last)? {
                        return self.finish_file(around);
                    }
                    self.outbox.push(Outgoing::Naks(sweep));
                }
            }
        }
        Ok(())
    }

    /// The time to register is over: because we were sent away, or for the given reason.
    fn unregistered(&mut self, why: &str) -> Stop {
        match self.take_dismissal() {
            Some(words) => EndReason::AbortedByServer(words).into(),
            None => Stop::abort(why),
        }
    }
}
