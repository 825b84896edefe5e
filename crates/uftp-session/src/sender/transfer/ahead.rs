//! What becomes of data that went before the answers to FILEINFO were in.

use std::time::Instant;

use uftp_proto::wire::CompleteStatus;

use super::{Stage, Transfer};
use crate::sender::clients::State;
use crate::sender::event::Outcome;
use crate::sender::fileinfo::Informing;
use crate::sender::session::Session;
use crate::sender::{Next, is_due};

impl Transfer {
    /// The same, with FILEINFO still to be answered.
    pub(in crate::sender) fn ahead_of(mut self, informing: Informing) -> Self {
        self.informing = Some(Box::new(informing));
        self
    }

    /// Notes that everybody has answered, or goes back to asking when DONE should have been answered
    /// and somebody has said nothing at all.
    pub(super) fn settle_ahead(&mut self, s: &mut Session, now: Instant) -> Option<Next> {
        let mut taken = self.informing.as_ref()?.is_taken();
        if s.clients.receivers_in(&[State::Registered]) == 0 {
            // Who was through before it could answer has said all by that.
            taken |= s.clients.iter().filter_map(|c| c.result).any(|result| {
                matches!(
                    result.status,
                    CompleteStatus::NORMAL | CompleteStatus::OVERWRITE
                )
            });
            match taken {
                true => s.ahead.succeeded(),
                false => s.ahead.failed(),
            }
            if s.clients.any_receiving() || s.clients.receivers_in(&[State::Done]) > 0 {
                self.informing = None;
            }
            Informing::settle(s);
            return None;
        }
        let Stage::Asking { again, rewind, .. } = self.stage else {
            return None;
        };
        if !is_due(again, now) && !is_due(rewind, now) {
            return None;
        }
        s.ahead.failed();
        s.lists.clear();
        s.clients
            .set_states(|c| (c.state() == State::ActiveNak).then_some(State::Active));
        self.informing.take().map(Next::Inform)
    }

    /// What it means that nobody has got the file.
    pub(super) fn failure(&self) -> Outcome {
        match self.informing {
            Some(_) => Outcome::NobodyReady,
            None => Outcome::AllDropped,
        }
    }
}
