//! The sender's rate under congestion control, and who limits it
//! (behaviour-sender-receiver §4).
//!
//! Receivers are known by their place in the sender's list. The controller holds times and rates
//! only; who is alive and how far away is told to it.

use std::time::{Duration, Instant};

use uftp_proto::quant::{RateCode, UNLIMITED_RATE};
use uftp_proto::wire::{CcFlags, TfmccDataInfo};

use super::reporter::ROUND;

/// Bounds of the rate, bytes per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Never faster.
    pub max: Option<u64>,
    /// Never slower.
    pub min: Option<u64>,
    /// At the beginning; else one packet a round trip.
    pub init: Option<u64>,
}

/// What a receiver reports.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Report {
    /// Its place in the sender's list.
    pub from: usize,
    /// Its state.
    pub flags: CcFlags,
    /// The rate it asks for, bytes per second.
    pub rate: u64,
    /// Its round trip time.
    pub rtt: Duration,
}

/// What a receiver asks for, weighed.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// The rate, bytes per second.
    rate: f64,
    /// As it was reported: perhaps with the round trip of the group in place of the receiver's own.
    reported: f64,
    /// Too little was sent for it to know what the network takes.
    starved: bool,
}

/// Round trip times of the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Times {
    /// To the farthest receiver.
    pub grtt: Duration,
    /// What receivers are told of it: at least the gap between packets.
    pub advertised: Duration,
}

/// What the passing of time calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Due {
    /// A CONG_CTRL is to be sent.
    pub ctrl: bool,
    /// A round is over: round trip times are to be taken stock of.
    pub round: bool,
    /// Nobody has answered for so long that the file is to be given up.
    pub abandon: bool,
}

/// The rate of a session, after RFC 4654.
#[derive(Debug)]
pub(crate) struct Controller {
    limits: Limits,
    /// Bytes a data packet counts for.
    packet: f64,
    /// Robustness factor of the session.
    robust: u32,
    /// Bytes per second.
    rate: f64,
    slow_start: bool,
    /// The current limiting receiver, and when it last reported.
    clr: Option<usize>,
    heard: Instant,
    /// The silence since this instant was [held up](Self::held_up) once already.
    excused: Option<Instant>,
    /// The limiting receiver fell silent; what others ask for counts at the end of the round.
    clr_silent: bool,
    pending: Option<f64>,
    /// The feedback round. Counts through the whole session: deployed receivers answer only to
    /// higher numbers than they know.
    round: u16,
    round_ends: Instant,
    /// Lowest rate reported in the round, scaled down.
    lowest: u64,
    next_ctrl: Instant,
    /// When the rate was last raised by a step.
    raised: Option<Instant>,
    /// Data flows since then; `None` while the sender waits for answers.
    flowing: Option<Instant>,
    /// What each receiver last asked for.
    asked: Vec<Option<u64>>,
    /// The time of the last file.
    ended: Option<Instant>,
}

impl Controller {
    /// Rounds trips of advertised length without a report of the limiting receiver after which
    /// the rate is halved with every CONG_CTRL.
    const PATIENCE: u32 = 4;
    /// A file is not given up before this much silence.
    const SHORTEST_SILENCE: Duration = Duration::from_secs(5);
    /// The lowest rate of a round is passed on at this part, so that nearly equal ones are not
    /// reported as well.
    const MARGIN: f64 = 0.9;
    /// Round trips over which receivers measure what arrives, and then some.
    const MEASURED: u32 = 5;

    /// A controller before the first file. Data packets count for `packet` bytes.
    pub(crate) fn new(limits: Limits, packet: u64, robust: u8, now: Instant) -> Self {
        Controller {
            limits,
            packet: packet as f64,
            robust: u32::from(robust.max(1)),
            rate: opening_rate(limits),
            slow_start: true,
            clr: None,
            heard: now,
            excused: None,
            clr_silent: false,
            pending: None,
            round: 0,
            round_ends: now,
            lowest: UNLIMITED_RATE,
            next_ctrl: now,
            raised: None,
            flowing: None,
            asked: Vec::new(),
            ended: None,
        }
    }

    /// The rate, bytes per second.
    pub(crate) fn rate(&self) -> u64 {
        (self.rate as u64).max(1)
    }

    /// The limiting receiver.
    pub(crate) fn clr(&self) -> Option<usize> {
        self.clr
    }

    /// Whether the rate still grows with what receivers take in.
    pub(crate) fn in_slow_start(&self) -> bool {
        self.slow_start
    }

    /// The feedback round and the lowest rate asked for in it.
    pub(crate) fn round(&self) -> (u16, RateCode) {
        (self.round, RateCode::from_rate(self.lowest))
    }

    /// What every block says.
    pub(crate) fn data_info(&self) -> TfmccDataInfo {
        TfmccDataInfo {
            send_rate: RateCode::from_rate(self.rate()),
            cc_seq: self.round,
            cc_rate: RateCode::from_rate(self.lowest),
        }
    }

    /// A file begins; `clr` is the receiver farthest away. The first begins at one packet a round
    /// trip. Later ones begin at the rate of the one before, halved for every
    /// four round trips of pause, as without reports.
    pub(crate) fn start_file(&mut self, now: Instant, clr: Option<usize>, times: Times) {
        let opening = match self.limits.init {
            Some(init) => init as f64,
            None => self.floor(times),
        };
        match self.ended.take() {
            Some(ended) => {
                let pause = now.saturating_duration_since(ended).as_secs_f64();
                let halvings = pause / (times.advertised * Self::PATIENCE).as_secs_f64();
                self.rate = (self.rate * 0.5_f64.powf(halvings)).max(opening);
            }
            None => self.rate = opening,
        }
        self.choose(now, clr);
        self.pending = None;
        self.next_ctrl = now;
        self.new_round(now, times);
        self.clamp(times);
    }

    /// The file is over.
    pub(crate) fn end_file(&mut self, now: Instant) {
        self.ended = Some(now);
        self.flowing = None;
    }

    /// Data flows.
    pub(crate) fn flows(&mut self, now: Instant) {
        self.flowing.get_or_insert(now);
    }

    /// Data has ceased to flow. Little arrives, and what receivers report of that says nothing of
    /// the network.
    pub(crate) fn ceases(&mut self) {
        self.flowing = None;
    }

    /// The limiting receiver is out of the file; `next` takes its place.
    pub(crate) fn replace_clr(&mut self, now: Instant, next: Option<usize>) {
        self.choose(now, next);
    }

    /// The rate a receiver last asked for.
    pub(crate) fn asked(&self, at: usize) -> Option<u64> {
        self.asked.get(at).copied().flatten()
    }

    /// When to call [`poll`](Self::poll).
    pub(crate) fn deadline(&self) -> Instant {
        self.next_ctrl.min(self.round_ends)
    }

    /// What is due at `now`.
    pub(crate) fn poll(&mut self, now: Instant, times: Times) -> Due {
        let round = now >= self.round_ends;
        if round {
            if let Some(rate) = self.pending.take() {
                self.rate = rate;
            }
            self.round = self.round.wrapping_add(1);
            self.new_round(now, times);
            self.clamp(times);
        }
        let ctrl = now >= self.next_ctrl;
        if ctrl {
            self.next_ctrl = now + times.advertised;
            self.judge_silence(now, times);
        }
        let silence = now.saturating_duration_since(self.heard);
        let longest = times.advertised * (2 * self.robust);
        Due {
            ctrl,
            round,
            abandon: silence > longest.max(Self::SHORTEST_SILENCE),
        }
    }

    /// The sender did not run for a while: a silence of which that was a part begins anew, once.
    pub(crate) fn held_up(&mut self, now: Instant, times: Times) {
        let silence = now.saturating_duration_since(self.heard);
        if silence > times.advertised * Self::PATIENCE && self.excused != Some(self.heard) {
            self.heard = now;
            self.excused = Some(now);
        }
    }

    /// Takes in a report of a receiver that is still at the file.
    pub(crate) fn report(&mut self, now: Instant, report: Report, times: Times) {
        let Report {
            from, flags, rtt, ..
        } = report;
        if self.asked.len() <= from {
            self.asked.resize(from + 1, None);
        }
        if let Some(asked) = self.asked.get_mut(from) {
            *asked = Some(report.rate);
        }
        let starting = flags.contains(CcFlags::START);
        if !starting {
            self.slow_start = false;
        }
        let reported = report.rate as f64;
        let mut rate = reported;
        if !starting && !flags.contains(CcFlags::RTT) {
            rate *= times.advertised.as_secs_f64() / rtt.as_secs_f64().max(1e-3);
        }
        let request = Request {
            rate,
            reported,
            starved: starting && !self.has_flowed(now, rtt, times),
        };
        if self.clr == Some(from) {
            self.heard = now;
            self.clr_silent = false;
            self.follow_clr(now, request, times);
        } else {
            self.hear_other(now, from, request);
        }
        self.clamp(times);
    }

    /// Brings the rate to what the limiting receiver asks for: down at once, up by one packet a
    /// round trip.
    fn follow_clr(&mut self, now: Instant, request: Request, times: Times) {
        let Request { rate, starved, .. } = request;
        let step = self.floor(times);
        if self.slow_start || rate <= self.rate + step {
            if rate > self.rate || !starved {
                self.rate = rate;
            }
            return;
        }
        // Reports may come more often than once a round trip.
        let pause = times.advertised.mul_f64(0.9);
        let due = |raised| now.saturating_duration_since(raised) >= pause;
        if self.raised.is_none_or(due) {
            self.raised = Some(now);
            self.rate += step;
        }
    }

    /// A receiver that asks for less than there is becomes the limiting one; any does if there is none.
    fn hear_other(&mut self, now: Instant, from: usize, request: Request) {
        if request.reported < self.lowest as f64 {
            self.lowest = (request.reported * Self::MARGIN) as u64;
        }
        let slower = request.rate < self.rate && !request.starved;
        if !slower && self.clr.is_some() {
            return;
        }
        let silent = std::mem::take(&mut self.clr_silent);
        self.choose(now, Some(from));
        if silent {
            self.pending = Some(request.rate);
        } else if slower {
            self.rate = request.rate;
        }
    }

    /// Halves the rate while the limiting receiver is silent, and forgets it in the end.
    fn judge_silence(&mut self, now: Instant, times: Times) {
        let silence = now.saturating_duration_since(self.heard);
        if silence > times.advertised * Self::PATIENCE {
            self.rate /= 2.0;
            self.clamp(times);
        }
        if silence > times.advertised * self.robust && self.clr.take().is_some() {
            self.clr_silent = true;
        }
    }

    fn choose(&mut self, now: Instant, clr: Option<usize>) {
        self.clr = clr;
        self.heard = now;
        self.clr_silent = false;
    }

    fn new_round(&mut self, now: Instant, times: Times) {
        self.round_ends = now + times.advertised * ROUND;
        self.lowest = UNLIMITED_RATE;
    }

    /// Whether data has flowed for as long as receivers measure it.
    fn has_flowed(&self, now: Instant, rtt: Duration, times: Times) -> bool {
        let needed = times.advertised * Self::MEASURED + rtt;
        self.flowing
            .is_some_and(|since| now.saturating_duration_since(since) >= needed)
    }

    /// One packet a round trip: the lowest rate, and the step by which it rises.
    fn floor(&self, times: Times) -> f64 {
        self.packet / times.grtt.as_secs_f64().max(1e-3)
    }

    /// Keeps the rate within its bounds. At the lower one, slow start begins; at the upper one,
    /// it ends.
    fn clamp(&mut self, times: Times) {
        let least = self.floor(times).max(self.limits.min.unwrap_or(1) as f64);
        if self.rate <= least {
            self.rate = least;
            self.slow_start = true;
        }
        if let Some(max) = self.limits.max.map(|max| max as f64)
            && self.rate >= max
        {
            self.rate = max;
            self.slow_start = false;
        }
    }
}

/// The rate before anything is known, while receivers register: 1000 Kbps, or less.
fn opening_rate(limits: Limits) -> f64 {
    let wanted = limits.init.or(limits.max).unwrap_or(u64::MAX);
    wanted.clamp(1, 128_000) as f64
}

#[cfg(test)]
mod tests;
