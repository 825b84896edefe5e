//! Control messages on their way out.

use std::net::SocketAddr;
use std::time::Instant;

use uftp_proto::Ecn;
use uftp_proto::wire::{Abort, Message};

use super::Session;
use super::aborts::OutgoingAbort;
use crate::batch::Batch;
use crate::link::{Cover, Envelope};
use crate::sender::list::{self, ListMessage, ListRun};

/// Whether file data could go out if nothing else did.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::sender) enum Data {
    /// It waits for its turn.
    Waits,
    /// There is none, or it is too early.
    None,
}

impl Session {
    /// Queues a message with a list, behind those already queued. What confirms stands there once: else
    /// those who repeat themselves faster than we may speak would keep the session where it is.
    pub(in crate::sender) fn send_list(&mut self, message: ListMessage, attempt: u32) {
        let waits = |run: &ListRun| run.will_confirm_like(&message);
        if self.lists.iter().any(waits) {
            return;
        }
        self.lists.push_back(ListRun::new(message, attempt));
    }

    /// Whether control messages wait to go out.
    pub(in crate::sender) fn has_control(&self) -> bool {
        !self.aborts.is_empty() || !self.lists.is_empty()
    }

    /// Earliest time for the next control message.
    pub(in crate::sender) fn control_ready_at(&self) -> Instant {
        if self.aborts.front().is_some_and(|a| a.at_once) {
            return self.now;
        }
        self.pacer.ready_at(self.now)
    }

    /// Appends the control messages that may go now, ABORTs in turn with lists or with data that
    /// waits. Whether no list is left and data may follow.
    pub(in crate::sender) fn transmit_control(
        &mut self,
        now: Instant,
        batch: &mut Batch,
        data: Data,
    ) -> bool {
        loop {
            let others = data == Data::Waits || !self.lists.is_empty();
            let aborts = |a: &&OutgoingAbort| a.at_once || !(others && self.aborted_last);
            let may_go = self.pacer.allowance(now, self.rate.charged(), 1) > 0;
            if let Some(abort) = self.aborts.front().filter(aborts) {
                if !abort.at_once && !may_go {
                    return self.lists.is_empty();
                }
                let message = Message::Abort(Abort {
                    current_file: abort.current_file,
                    host: abort.host,
                    reason: abort.reason.clone().into_owned(),
                });
                let (to, cover) = (abort.to, abort.cover);
                if !self.send(now, batch, to, &message, cover) {
                    return self.lists.is_empty();
                }
                self.aborts.pop_front();
                self.aborted_last = true;
            } else if self.lists.is_empty() {
                return true;
            } else {
                if !may_go || !list::transmit(self, now, batch) {
                    return false;
                }
                self.aborted_last = false;
            }
        }
    }

    /// Data went out: it is the turn of the next ABORT.
    pub(in crate::sender) fn data_sent(&mut self) {
        self.aborted_last = false;
    }

    /// Appends one control message and charges it like a data packet. Whether there was room; a
    /// message that can never be sent is logged and counts as sent.
    pub(in crate::sender) fn send(
        &mut self,
        now: Instant,
        batch: &mut Batch,
        to: SocketAddr,
        message: &Message<'_>,
        cover: Cover,
    ) -> bool {
        let envelope = self.envelope(to);
        let sent = match (&self.security, cover) {
            (Some(security), Cover::Clear) => {
                let sign = |packet: &mut [u8]| security.server().sign(message, packet);
                self.link.send_signed(batch, envelope, message, sign)
            }
            _ => self.link.send(batch, envelope, message, cover),
        };
        match sent {
            Ok(_) => {
                self.pacer.charge(now, self.rate.charged());
                self.counters.sent += 1;
            }
            Err(error) if error.is_no_room() && !batch.is_empty() => return false,
            Err(error) => {
                tracing::error!(function = ?message.function(), %error, "message cannot be sent");
            }
        }
        true
    }

    /// What goes around a message to `to`.
    pub(in crate::sender) fn envelope(&self, to: SocketAddr) -> Envelope {
        Envelope {
            to,
            ecn: self.ecn(),
            estimate: self.estimate(),
        }
    }

    /// The congestion mark of our packets.
    pub(in crate::sender) fn ecn(&self) -> Ecn {
        match self.rate.tfmcc() {
            Some(_) => Ecn::Ect0,
            None => Ecn::NotEct,
        }
    }
}
