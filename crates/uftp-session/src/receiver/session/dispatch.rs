//! What a message means in the phase the session is in.

use std::time::Instant;

use uftp_proto::FileId;
use uftp_proto::wire::{Abort, CongCtrl, Message};

use super::{EndReason, Handled, Joining, Order, Phase, Session, Stop, Surroundings};
use crate::counters::Refusal;
use crate::files::SessionFiles;
use crate::policy::PassStyle;
use crate::receiver::event::ReceiverEventKind;
use crate::receiver::outbox::{Answer, Outgoing};

impl<S: SessionFiles> Session<S> {
    pub(super) fn dispatch(
        &mut self,
        now: Instant,
        order: Order,
        message: &Message<'_>,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        if let Message::Abort(abort) = message {
            return self.aborted(now, abort);
        }
        if let Message::FileInfo(info) = message
            && info.file == FileId::SESSION
        {
            return Err(Refusal::OutOfRange.into());
        }
        match (&mut self.phase, message) {
            (Phase::Receiving(_), Message::FileSeg(seg)) => self.file_seg(now, order, seg),
            (Phase::Receiving(_) | Phase::MidGroup, Message::FileInfo(info)) => {
                self.file_info(now, order, info, around)
            }
            (Phase::Receiving(_) | Phase::MidGroup, Message::Done(done)) => {
                self.done(now, done, around)
            }
            (Phase::Receiving(_), Message::CongCtrl(ctrl)) => {
                self.cong_ctrl(now, order, ctrl);
                Ok(())
            }
            // The others may be served while we wait for our turn, or lag behind.
            (Phase::MidGroup, _) => {
                self.alive = now;
                Ok(())
            }
            (Phase::Receiving(_), _) => Ok(()),
            (Phase::Registering { .. }, Message::RegConf(conf)) => {
                if self.is_listed(&conf.clients) {
                    self.confirmed(now, around);
                }
                Ok(())
            }
            (Phase::Registering { .. }, Message::FileInfo(info)) => {
                if self.is_listed(&info.clients) {
                    // The confirmation was lost, but we are counted in.
                    self.confirmed(now, around);
                    return self.file_info(now, order, info, around);
                }
                Ok(())
            }
            (Phase::AwaitingProxy { .. } | Phase::Registering { .. }, Message::Announce(_)) => {
                Ok(())
            }
            (Phase::AwaitingProxy { .. } | Phase::Registering { .. }, _) => {
                Err(Refusal::OutOfPlace.into())
            }
            (Phase::Completing { .. }, Message::DoneConf(conf)) => {
                if self.is_listed(&conf.clients) {
                    return Err(EndReason::Confirmed.into());
                }
                Ok(())
            }
            // spec: the sender gives up who does not answer in its time, and our next COMPLETE may come
            // later (wire-v3 §7.2, §12.1).
            (Phase::Completing { .. }, Message::Done(done))
                if self.policy.passes == PassStyle::LockStep && done.file == FileId::SESSION =>
            {
                if self.is_listed(&done.clients)
                    && let Phase::Completing { sent, .. } = &mut self.phase
                {
                    *sent = now;
                    self.outbox.push(Outgoing::Complete(Answer::SESSION));
                }
                Ok(())
            }
            (Phase::Completing { .. }, _) => Ok(()),
        }
    }

    pub(super) fn confirmed(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        self.phase = Phase::MidGroup;
        self.alive = now;
        self.outbox.forget(&Outgoing::Register);
        self.outbox.forget(&Outgoing::ClientKey);
        around.tell(self.id, FileId::SESSION, ReceiverEventKind::Confirmed);
    }

    pub(super) fn aborted(&mut self, now: Instant, abort: &Abort) -> Handled {
        let everybody = abort.host.is_none();
        if !everybody && abort.host != self.uid {
            // The sender sends away others, perhaps very many.
            self.alive = now;
            return Ok(());
        }
        let done_with_file = matches!(self.phase, Phase::MidGroup | Phase::Completing { .. });
        if everybody && abort.current_file && done_with_file {
            return Ok(());
        }
        Err(EndReason::AbortedByServer(abort.reason.clone()).into())
    }

    /// Somebody who may be anybody sends us away while we have no keys. If it was the sender none will
    /// come, so we wait for them on as if nothing had been said; then it counts.
    pub(super) fn dismissed(
        &mut self,
        now: Instant,
        abort: &Abort,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let told = self.aborted(now, abort);
        let (Err(Stop::End(_)), Some(Joining { dismissal, .. })) = (&told, &mut self.security)
        else {
            return told;
        };
        if dismissal.is_none() {
            let words = &abort.reason;
            *dismissal = Some(words.clone());
            let dismissed = ReceiverEventKind::Dismissed(words.clone());
            around.tell(self.id, FileId::SESSION, dismissed);
        }
        Ok(())
    }

    /// The limiting receiver answers at once, the others when their time comes.
    fn cong_ctrl(&mut self, now: Instant, order: Order, ctrl: &CongCtrl) {
        let group = self.group();
        let Some(congestion) = &mut self.congestion else {
            return;
        };
        if order == Order::Newest {
            self.stamp = (ctrl.timestamp, now);
        }
        if congestion.cong_ctrl(now, self.uid, ctrl, group) {
            self.alive = now;
            self.outbox.push(Outgoing::CcAck);
        }
    }
}
