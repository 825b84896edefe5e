//! The completion phase: everybody learns that the session is over
//! (behaviour-sender-receiver §3.9).

use std::time::Instant;

use uftp_proto::FileId;
use uftp_proto::wire::Message;

use super::clients::State;
use super::event::{Outcome, SenderEvent};
use super::list::ListMessage;
use super::session::Session;
use super::{Next, until};
use crate::counters::Refusal;
use crate::grtt::Decay;

/// The completion phase.
#[derive(Debug)]
pub(super) struct Closing {
    stage: Stage,
    /// DONE cycle, from 1.
    attempt: u32,
    timer: Option<Instant>,
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
        let mut phase = Closing {
            stage: Stage::Asking,
            attempt: 0,
            timer: None,
        };
        phase.ask(s);
        phase
    }

    pub(super) fn timer(&self) -> Option<Instant> {
        self.timer
    }

    pub(super) fn lists_sent(&mut self, s: &Session, now: Instant) {
        self.timer = Some(match self.stage {
            Stage::Asking => now + s.cycle(),
            Stage::Lingering(limit) => (now + s.advertised_grtt()).min(limit),
            Stage::Leaving => now,
        });
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
                self.stage = Stage::Lingering(now + s.cycle() * s.robust());
                s.events.push_back(SenderEvent::LateCompletions);
                self.confirm(s);
            }
            Stage::Asking if until(self.timer, now) => {
                s.update_grtt(Decay::Gradual);
                if self.attempt < s.robust() {
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
            Stage::Lingering(_) | Stage::Leaving if until(self.timer, now) => {
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
        self.attempt += 1;
        if self.attempt > 1 {
            self.confirm(s);
        }
        self.timer = None;
        let done = ListMessage::Done {
            file: FileId::SESSION,
            pass: 0,
            section: 0,
        };
        s.send_list(done, self.attempt);
    }

    /// Tells those who have finished that it is known. What is sent when nobody is asked any more
    /// counts for the cycle after the last.
    fn confirm(&mut self, s: &mut Session) {
        let attempt = match self.stage {
            Stage::Asking => self.attempt,
            Stage::Lingering(_) | Stage::Leaving => self.attempt + 1,
        };
        self.timer = None;
        s.send_list(ListMessage::DoneConf, attempt);
    }
}
