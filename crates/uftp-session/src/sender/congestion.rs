//! The sender's part in congestion control: what the [`Controller`] is told and what its
//! decisions come to (behaviour-sender-receiver §4).

use std::time::Instant;

use uftp_proto::quant::RttCode;
use uftp_proto::wire::{CcFlags, CongCtrl, CongCtrlItem, Message, TfmccAckInfo};

use super::clients::Client;
use super::event::SenderEvent;
use super::session::Session;
use crate::batch::Batch;
use crate::congestion::control::Times;
use crate::congestion::{Controller, Report, ip_udp_len};
use crate::counters::Refusal;
use crate::grtt::{Decay, Grtt};
use crate::link::Cover;

/// Destinations looked at for one CONG_CTRL, for each that could be listed.
const LOOKED_AT: usize = 4;

/// Whom CONG_CTRL tells its round trip time next.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    next: usize,
    /// A CONG_CTRL is to go out.
    due: bool,
    /// The operator was told of a proxy whose clients' reports cannot be read.
    unreadable: bool,
}

impl Session {
    fn times(&self) -> Times {
        Times {
            grtt: self.grtt.value(),
            advertised: self.advertised_grtt(),
        }
    }

    /// The data of a file begins to flow.
    pub(super) fn start_congestion_control(&mut self, now: Instant) {
        let times = self.times();
        let clr = self.likely_clr();
        if let Some(controller) = self.rate.tfmcc_mut() {
            controller.start_file(now, clr, times);
            self.obey_rate();
        }
    }

    /// The file is over.
    pub(super) fn end_congestion_control(&mut self) {
        self.rotation.due = false;
        if let Some(controller) = self.rate.tfmcc_mut() {
            controller.end_file(self.now);
        }
    }

    /// Data flows.
    pub(super) fn data_flows(&mut self) {
        let now = self.now;
        if let Some(controller) = self.rate.tfmcc_mut() {
            controller.flows(now);
        }
    }

    /// The sender waits for answers.
    pub(super) fn data_ceases(&mut self) {
        if let Some(controller) = self.rate.tfmcc_mut() {
            controller.ceases();
        }
    }

    /// We did not run for a while: that nobody reported meanwhile says nothing of the network.
    pub(super) fn held_up(&mut self, now: Instant) {
        let times = self.times();
        if let Some(controller) = self.rate.tfmcc_mut() {
            controller.held_up(now, times);
        }
    }

    /// Takes in what a receiver reports of itself.
    pub(super) fn congestion_report(&mut self, now: Instant, at: usize, info: &TfmccAckInfo) {
        let author = self.clients.get(at).map(|c| c.uid);
        // A proxy says in its own name what it was told: what its clients seal, no sender of
        // protocol 4 could open before us (behaviour-proxies §14.3).
        let subject = self.clients.find(info.client).filter(|subject| {
            let via = self.clients.get(*subject).and_then(Client::via);
            author == Some(info.client) || via == Some(at)
        });
        let Some(at) = subject.filter(|subject| self.clients.is_receiving(*subject)) else {
            self.counters.refuse(Refusal::OutOfPlace);
            return;
        };
        self.measure(at, now, info.echo);
        let rtt = self.clients.rtt(at).unwrap_or(Grtt::SHORTEST);
        self.grtt.raise(rtt);
        let times = self.times();
        let report = Report {
            from: at,
            flags: info.flags,
            rate: info.cc_rate.rate(),
            rtt,
        };
        if let Some(controller) = self.rate.tfmcc_mut() {
            controller.report(now, report, times);
            let limiting = controller.clr() == Some(at);
            self.obey_rate();
            self.events.push_back(SenderEvent::RateReported {
                client: info.client,
                rate: report.rate,
                limiting,
            });
        }
    }

    /// Does what is due. Whether nobody answers any more.
    pub(super) fn control_congestion(&mut self, now: Instant) -> bool {
        self.replace_clr(now);
        let times = self.times();
        let Some(controller) = self.rate.tfmcc_mut() else {
            return false;
        };
        if now < controller.deadline() {
            return false;
        }
        let due = controller.poll(now, times);
        self.rotation.due |= due.ctrl;
        if due.round {
            self.update_grtt(Decay::Gradual);
            self.clients.clear_measured();
        }
        self.obey_rate();
        due.abandon
    }

    /// Whether it says nothing about a receiver that nobody has heard it report: one behind a deployed proxy,
    /// which passes on what it seals although we have no keys for that, or leaves it out
    /// (behaviour-proxies §14.3). It is asked at the end of each pass like any other.
    pub(super) fn goes_without_reports(&mut self, at: usize) -> bool {
        let via = self.clients.get(at).and_then(Client::via);
        let heard = self.rate.tfmcc().is_some_and(|c| c.asked(at).is_some());
        let (Some(via), true, false) = (via, self.security.is_some(), heard) else {
            return false;
        };
        if !std::mem::replace(&mut self.rotation.unreadable, true) {
            let proxy = self.clients.uid(via);
            self.events
                .push_back(SenderEvent::ReportsUnreadable { proxy });
        }
        true
    }

    /// Appends the CONG_CTRL that is due, if any. It is small and does not wait for its turn.
    pub(super) fn transmit_cong_ctrl(&mut self, now: Instant, batch: &mut Batch) {
        if !self.rotation.due {
            return;
        }
        let start = self.rotation.next;
        let Some(message) = self.cong_ctrl(now) else {
            return;
        };
        let to = self.config.private;
        let envelope = self.envelope(to);
        let sent = self.link.send(batch, envelope, &message, Cover::Session);
        match sent {
            Ok(len) => {
                let bytes = len as u64 + ip_udp_len(to.ip());
                self.pacer.charge(now, bytes);
                self.counters.sent += 1;
                self.note_cong_ctrl();
            }
            Err(_) if !batch.is_empty() => {
                self.rotation.next = start;
                return;
            }
            Err(error) => tracing::error!(%error, "CONG_CTRL cannot be sent"),
        }
        self.rotation.due = false;
    }

    fn note_cong_ctrl(&mut self) {
        let Some(controller) = self.rate.tfmcc() else {
            return;
        };
        let limiting = controller.clr().and_then(|at| self.clients.get(at));
        self.events.push_back(SenderEvent::CongCtrlSent {
            round: controller.round().0,
            rate: controller.rate(),
            limiting: limiting.map(|c| c.uid),
        });
    }

    /// The state of congestion control. Lists the limiting receiver, then others in turn.
    fn cong_ctrl(&mut self, now: Instant) -> Option<Message<'static>> {
        let controller = self.rate.tfmcc()?;
        let (cc_seq, cc_rate) = controller.round();
        let state = match controller.in_slow_start() {
            true => CcFlags::START,
            false => CcFlags::empty(),
        };
        let clr = controller.clr();
        let most = usize::from(self.block_size / 8).max(1);
        let item = |at: usize, flags: CcFlags| {
            let client = self.clients.get(at).map(|c| c.uid)?;
            let rtt = RttCode::from_duration(self.clients.rtt(at)?);
            let flags = flags | state | CcFlags::RTT;
            Some(CongCtrlItem { client, flags, rtt })
        };
        let clr_item = clr.and_then(|at| item(at, CcFlags::CLR));
        let mut items: Vec<_> = clr_item.into_iter().collect();
        let mut next = self.rotation.next;
        let everybody = self.clients.len();
        for _ in 0..everybody.min(most * LOOKED_AT) {
            if items.len() >= most {
                break;
            }
            let at = if next < everybody { next } else { 0 };
            next = at + 1;
            if Some(at) != clr && self.clients.is_receiving(at) {
                items.extend(item(at, CcFlags::empty()));
            }
        }
        self.rotation.next = next;
        Some(Message::CongCtrl(CongCtrl {
            cc_seq,
            cc_rate,
            timestamp: self.clock.stamp(now),
            items,
        }))
    }

    /// Puts another in the place of a limiting receiver that has finished or gone.
    fn replace_clr(&mut self, now: Instant) {
        let clr = self.rate.tfmcc().and_then(Controller::clr);
        if clr.is_none_or(|at| self.clients.is_receiving(at)) {
            return;
        }
        let next = self.likely_clr();
        if let Some(controller) = self.rate.tfmcc_mut() {
            controller.replace_clr(now, next);
        }
    }

    /// The receiver that most likely limits the rate: the one that asked for the lowest, else
    /// the one farthest away.
    fn likely_clr(&self) -> Option<usize> {
        let controller = self.rate.tfmcc()?;
        let receiving = || (0..self.clients.len()).filter(|at| self.clients.is_receiving(*at));
        let slowest = receiving()
            .filter_map(|at| Some((controller.asked(at)?, at)))
            .min();
        let farthest = || {
            let rtt = |at: &usize| self.clients.rtt(*at);
            receiving().rev().max_by_key(rtt)
        };
        slowest.map(|(_, at)| at).or_else(farthest)
    }
}
