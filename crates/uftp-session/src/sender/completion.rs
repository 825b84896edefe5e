//! The completion phase: everybody learns that the session is over
//! (behaviour-sender-receiver §3.9).

use std::time::Instant;

use uftp_proto::FileId;
use uftp_proto::wire::Message;

use super::clients::State;
use super::course::{Course, Repeated};
use super::event::{Outcome, SenderEvent};
use super::list::ListMessage;
use super::session::Session;
use super::{Next, is_due};
use crate::counters::Refusal;
use crate::grtt::Decay;

/// The completion phase.
#[derive(Debug)]
pub(super) struct Closing {
    stage: Stage,
    /// The DONE cycles.
    course: Course,
    /// Ends the silence of those who might complete once more.
    silence: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    /// Asking for completions; the timer ends a cycle.
    Asking,
    /// Everybody has answered; the timer ends the wait for late duplicates, which lasts no
    /// longer than to the given instant.
    Lingering(Instant),
    /// The last confirmations are on their way.
    Leaving,
}

impl Closing {
    pub(super) fn start(s: &mut Session) -> Self {
        s.events.push_back(SenderEvent::Finishing);
        s.clients.clear_item();
        s.clients
            .set_states(|c| (!c.state().is_error()).then_some(State::Active));
        s.await_answers();
        let mut phase = Closing {
            stage: Stage::Asking,
            course: Course::new(s, Repeated::Done),
            silence: None,
        };
        phase.ask(s);
        phase
    }

    pub(super) fn timer(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asking => self.course.timer(),
            Stage::Lingering(_) | Stage::Leaving => self.silence,
        }
    }

    pub(super) fn lists_sent(&mut self, s: &Session, now: Instant) {
        match self.stage {
            Stage::Asking => self.course.wait(s, now),
            Stage::Lingering(limit) => {
                self.silence = Some((now + s.linger(Repeated::Done)).min(limit));
            }
            Stage::Leaving => self.silence = Some(now),
        }
    }

    pub(super) fn handle(
        &mut self,
        s: &mut Session,
        now: Instant,
        at: usize,
        message: &Message<'_>,
    ) {
        let Message::Complete(complete) = message else {
            s.counters.refuse(Refusal::OutOfPlace);
            return;
        };
        if complete.file != FileId::SESSION {
            // The answer to the last file's DONE, repeated.
            return;
        }
        let Some(speakers) = s.speakers(at, &complete.clients) else {
            s.counters.refuse(Refusal::OutOfPlace);
            return;
        };
        for at in speakers {
            match s.clients.state(at) {
                Some(State::Active) => {
                    s.complete(at, now, FileId::SESSION, complete.status, None);
                }
                Some(State::Done) => {
                    if let Some(client) = s.clients.get_mut(at) {
                        client.confirmed = false;
                    }
                }
                _ => s.counters.refuse(Refusal::OutOfPlace),
            }
        }
        if let Stage::Lingering(_) = self.stage {
            self.confirm(s);
        }
    }

    pub(super) fn advance(&mut self, s: &mut Session, now: Instant) -> Next {
        match self.stage {
            Stage::Asking if !s.clients.any_receiving() => {
                s.update_grtt(Decay::Gradual);
                s.lists.clear();
                // Who was given up may still talk, and is told again.
                let given_up = s.clients.receivers_in(&[State::Lost, State::Aborted]);
                self.stage = match s.nobody_repeats(self.course.attempt()) && given_up == 0 {
                    true => Stage::Leaving,
                    false => Stage::Lingering(now + s.longest_linger(Repeated::Done)),
                };
                s.events.push_back(SenderEvent::LateCompletions);
                self.confirm(s);
            }
            Stage::Asking if self.course.is_due(now) => {
                s.update_grtt(Decay::Gradual);
                if !self.course.is_last(s, now) {
                    self.ask(s);
                } else {
                    // No ABORT: those who have finished by themselves are to keep what they have.
                    for at in s.clients.places(|c| !c.proxy && c.state() == State::Active) {
                        s.forget(at, "DONE");
                    }
                    self.stage = Stage::Leaving;
                    self.confirm(s);
                }
            }
            Stage::Lingering(_) | Stage::Leaving if is_due(self.silence, now) => {
                return Next::Over(if s.accepted {
                    Outcome::Success
                } else {
                    Outcome::NothingAccepted
                });
            }
            _ => {}
        }
        Next::Stay
    }

    /// Begins a cycle.
    fn ask(&mut self, s: &mut Session) {
        let attempt = self.course.repeat();
        if attempt > 1 {
            self.confirm(s);
        }
        let done = ListMessage::Done {
            file: FileId::SESSION,
            pass: s.policy.passes.stated(1),
            section: 0,
        };
        s.send_list(done, attempt);
    }

    /// Tells those who have finished that it is known. What is sent when nobody is asked any more
    /// counts for the cycle after the last.
    fn confirm(&mut self, s: &mut Session) {
        let attempt = match self.stage {
            Stage::Asking => self.course.attempt(),
            Stage::Lingering(_) | Stage::Leaving => self.course.attempt() + 1,
        };
        self.silence = None;
        s.send_list(ListMessage::DoneConf, attempt);
    }
}
