//! The sender's rate under congestion control, and who limits it
//! (behaviour-sender-receiver §4).
//!
//! Receivers are known by their place in the sender's list. The controller holds times and rates
//! only; who is alive and how far away is told to it.

use std::time::{Duration, Instant};

use uftp_proto::quant::RateCode;
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
pub struct Report {
    /// Its place in the sender's list.
    pub from: usize,
    /// Its state.
    pub flags: CcFlags,
    /// The rate it asks for, bytes per second.
    pub rate: u64,
    /// Its round trip time.
    pub rtt: Duration,
}

/// Round trip times of the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// To the farthest receiver.
    pub grtt: Duration,
    /// What receivers are told of it: at least the gap between packets.
    pub advertised: Duration,
}

/// What the passing of time calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Due {
    /// A CONG_CTRL is to be sent.
    pub ctrl: bool,
    /// A round is over: round trip times are to be taken stock of.
    pub round: bool,
    /// Nobody has answered for so long that the file is to be given up.
    pub abandon: bool,
}

/// The rate of a session, after RFC 4654.
#[derive(Debug)]
pub struct Controller {
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
    pub fn new(limits: Limits, packet: u64, robust: u8, now: Instant) -> Self {
        Controller {
            limits,
            packet: packet as f64,
            robust: u32::from(robust.max(1)),
            rate: opening_rate(limits),
            slow_start: true,
            clr: None,
            heard: now,
            clr_silent: false,
            pending: None,
            round: 0,
            round_ends: now,
            lowest: RateCode::UNLIMITED,
            next_ctrl: now,
            raised: None,
            flowing: None,
            asked: Vec::new(),
            ended: None,
        }
    }

    /// The rate, bytes per second.
    pub fn rate(&self) -> u64 {
        (self.rate as u64).max(1)
    }

    /// The limiting receiver.
    pub fn clr(&self) -> Option<usize> {
        self.clr
    }

    /// Whether the rate still grows with what receivers take in.
    pub fn in_slow_start(&self) -> bool {
        self.slow_start
    }

    /// The feedback round and the lowest rate asked for in it.
    pub fn round(&self) -> (u16, RateCode) {
        (self.round, RateCode::from_rate(self.lowest))
    }

    /// What every block says.
    pub fn data_info(&self) -> TfmccDataInfo {
        TfmccDataInfo {
            send_rate: RateCode::from_rate(self.rate()),
            cc_seq: self.round,
            cc_rate: RateCode::from_rate(self.lowest),
        }
    }

    /// A file begins; `clr` is the receiver farthest away. The first begins at one packet a round
    /// trip. Later ones begin at the rate of the one before, halved for every
    /// four round trips of pause, as without reports.
    pub fn start_file(&mut self, now: Instant, clr: Option<usize>, times: Times) {
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
    pub fn end_file(&mut self, now: Instant) {
        self.ended = Some(now);
        self.flowing = None;
    }

    /// Data begins or ceases to flow. While it does not, little arrives, and what receivers
    /// report of that says nothing of the network.
    pub fn set_flowing(&mut self, now: Instant, flowing: bool) {
        if flowing {
            self.flowing.get_or_insert(now);
        } else {
            self.flowing = None;
        }
    }

    /// The limiting receiver is out of the file; `next` takes its place.
    pub fn replace_clr(&mut self, now: Instant, next: Option<usize>) {
        self.choose(now, next);
    }

    /// The rate a receiver last asked for.
    pub fn asked(&self, at: usize) -> Option<u64> {
        self.asked.get(at).copied().flatten()
    }

    /// When to call [`poll`](Self::poll).
    pub fn deadline(&self) -> Instant {
        self.next_ctrl.min(self.round_ends)
    }

    /// What is due at `now`.
    pub fn poll(&mut self, now: Instant, times: Times) -> Due {
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

    /// Takes in a report of a receiver that is still at the file.
    pub fn report(&mut self, now: Instant, report: Report, times: Times) {
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
            // It reckoned with the round trip of the group in place of its own.
            rate *= times.advertised.as_secs_f64() / rtt.as_secs_f64().max(1e-3);
        }
        let starved = starting && !self.has_flowed(now, rtt, times);
        if self.clr == Some(from) {
            self.heard = now;
            self.clr_silent = false;
            self.follow_clr(now, rate, starved, times);
        } else {
            self.hear_other(now, from, rate, reported, starved);
        }
        self.clamp(times);
    }

    /// Brings the rate to what the limiting receiver asks for: down at once, up by one packet a
    /// round trip.
    fn follow_clr(&mut self, now: Instant, rate: f64, starved: bool, times: Times) {
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

    fn hear_other(&mut self, now: Instant, from: usize, rate: f64, reported: f64, starved: bool) {
        if reported < self.lowest as f64 {
            self.lowest = (reported * Self::MARGIN) as u64;
        }
        let slower = rate < self.rate && !starved;
        if !slower && self.clr.is_some() {
            return;
        }
        let silent = std::mem::take(&mut self.clr_silent);
        self.choose(now, Some(from));
        if silent {
            self.pending = Some(rate);
        } else if slower {
            self.rate = rate;
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
        self.lowest = RateCode::UNLIMITED;
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
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const TIMES: Times = Times {
        grtt: Duration::from_millis(10),
        advertised: Duration::from_millis(10),
    };
    const FLOOR: u64 = 136_000;

    /// A controller with data flowing for long enough, receiver 0 limiting.
    struct Bench {
        c: Controller,
        now: Instant,
    }

    impl Bench {
        fn new(limits: Limits) -> Self {
            let now = Instant::now();
            let mut c = Controller::new(limits, 1360, 20, now);
            c.start_file(now, Some(0), TIMES);
            c.set_flowing(now, true);
            let mut bench = Bench { c, now };
            bench.pass(MS(1));
            bench
        }

        fn pass(&mut self, time: Duration) -> Due {
            self.now += time;
            self.c.poll(self.now, TIMES)
        }

        fn hear(&mut self, from: usize, flags: CcFlags, rate: u64) {
            let report = Report {
                from,
                flags,
                rate,
                rtt: MS(10),
            };
            self.c.report(self.now, report, TIMES);
        }
    }

    const START: CcFlags = CcFlags::START;
    const RTT: CcFlags = CcFlags::RTT;

    #[test]
    fn begins_with_a_packet_a_round_trip() {
        let bench = Bench::new(Limits::default());
        assert_eq!(bench.c.rate(), FLOOR);
        assert!(bench.c.in_slow_start());
        let init = Limits {
            init: Some(500_000),
            ..Limits::default()
        };
        assert_eq!(Bench::new(init).c.rate(), 500_000);
    }

    #[test]
    fn slow_start_follows_the_limiting_receiver() {
        let mut bench = Bench::new(Limits::default());
        for rate in [300_000, 700_000, 2_000_000] {
            bench.hear(0, START, rate);
            assert_eq!(bench.c.rate(), rate);
        }
        bench.hear(0, RTT, 900_000);
        assert_eq!(bench.c.rate(), 900_000);
        assert!(!bench.c.in_slow_start());
    }

    #[test]
    fn rises_by_a_packet_a_round_trip_and_falls_at_once() {
        let mut bench = Bench::new(Limits::default());
        bench.hear(0, START, 600_000);
        bench.hear(0, RTT, 500_000);
        let before = bench.c.rate();
        for _ in 0..3 {
            bench.hear(0, RTT, 5_000_000);
        }
        assert_eq!(bench.c.rate(), before + FLOOR, "reports of one round trip");
        bench.pass(MS(10));
        bench.hear(0, RTT, 5_000_000);
        assert_eq!(bench.c.rate(), before + 2 * FLOOR);
        bench.hear(0, RTT, 200_000);
        assert_eq!(bench.c.rate(), 200_000);
    }

    #[test]
    fn a_slower_receiver_takes_over() {
        let mut bench = Bench::new(Limits::default());
        bench.hear(0, START, 1_000_000);
        bench.hear(1, RTT, 2_000_000);
        assert_eq!(bench.c.clr(), Some(0));
        let (_, lowest) = bench.c.round();
        assert_eq!(lowest, RateCode::from_rate(1_800_000));
        bench.hear(2, RTT, 600_000);
        assert_eq!((bench.c.clr(), bench.c.rate()), (Some(2), 600_000));
        let round = bench.c.round().0;
        assert!(bench.pass(MS(60)).round);
        assert_eq!(
            bench.c.round(),
            (round + 1, RateCode::from_rate(RateCode::UNLIMITED))
        );
    }

    #[test]
    fn a_report_without_own_round_trip_is_scaled() {
        let mut bench = Bench::new(Limits::default());
        bench.c.report(
            bench.now,
            Report {
                from: 0,
                flags: CcFlags::empty(),
                rate: 200_000,
                rtt: MS(5),
            },
            TIMES,
        );
        assert_eq!(bench.c.rate(), 400_000 - 128_000);
    }

    #[test]
    fn silence_halves_then_forgets_then_gives_up() {
        let mut bench = Bench::new(Limits::default());
        bench.hear(0, START, 64_000_000);
        let heard = bench.now;
        while bench.now < heard + MS(40) {
            assert!(!bench.pass(MS(1)).abandon);
        }
        assert_eq!(bench.c.rate(), 64_000_000);
        while bench.now < heard + MS(85) {
            bench.pass(MS(1));
        }
        let rate = bench.c.rate();
        assert!((2_000_000..=8_000_000).contains(&rate), "{rate}");
        assert_eq!(bench.c.clr(), Some(0));
        while bench.now < heard + MS(215) {
            bench.pass(MS(1));
        }
        assert_eq!((bench.c.clr(), bench.c.rate()), (None, FLOOR));
        assert!(bench.c.in_slow_start());
        // Somebody else speaks: what it asks for counts at the end of the round.
        bench.hear(4, RTT, 1_000_000);
        assert_eq!((bench.c.clr(), bench.c.rate()), (Some(4), FLOOR));
        while !bench.pass(MS(1)).round {}
        assert_eq!(bench.c.rate(), 1_000_000);
        let heard = bench.now;
        while bench.now < heard + MS(4_900) {
            assert!(!bench.pass(MS(10)).abandon);
        }
        assert!(bench.pass(MS(200)).abandon);
    }

    #[test]
    fn stays_within_its_limits() {
        let limits = Limits {
            max: Some(1_000_000),
            min: Some(400_000),
            init: None,
        };
        let mut bench = Bench::new(limits);
        assert_eq!(bench.c.rate(), 400_000);
        bench.hear(0, START, 9_000_000);
        assert_eq!(bench.c.rate(), 1_000_000);
        assert!(!bench.c.in_slow_start());
        bench.hear(0, RTT, 1);
        assert_eq!(bench.c.rate(), 400_000);
        assert!(bench.c.in_slow_start());
    }

    #[test]
    fn what_is_measured_while_nothing_flows_is_no_reason_to_slow_down() {
        let mut bench = Bench::new(Limits::default());
        bench.hear(0, START, 3_000_000);
        bench.c.set_flowing(bench.now, false);
        bench.pass(MS(30));
        bench.hear(0, START, 10_000);
        bench.hear(1, START, 10_000);
        assert_eq!((bench.c.clr(), bench.c.rate()), (Some(0), 3_000_000));
        bench.c.set_flowing(bench.now, true);
        bench.pass(MS(30));
        bench.hear(0, START, 10_000);
        assert_eq!(bench.c.rate(), 3_000_000);
        bench.pass(MS(31));
        bench.hear(0, START, 1_000_000);
        assert_eq!(bench.c.rate(), 1_000_000);
        bench.c.set_flowing(bench.now, false);
        bench.hear(0, RTT, 500_000);
        assert_eq!(bench.c.rate(), 500_000, "loss counts always");
    }

    #[test]
    fn rounds_and_rate_go_on_with_the_next_file() {
        let mut bench = Bench::new(Limits::default());
        for _ in 0..30 {
            bench.pass(MS(10));
            bench.hear(0, START, 4_000_000);
        }
        let round = bench.c.round().0;
        assert!(round >= 4);
        bench.c.end_file(bench.now);
        bench.now += MS(20);
        bench.c.start_file(bench.now, Some(1), TIMES);
        assert_eq!(bench.c.round().0, round);
        assert_eq!(bench.c.clr(), Some(1));
        let rate = bench.c.rate();
        assert!((2_800_000..2_900_000).contains(&rate), "{rate}");
        bench.c.end_file(bench.now);
        bench.now += MS(10_000);
        bench.c.start_file(bench.now, Some(1), TIMES);
        assert_eq!(bench.c.rate(), FLOOR);
    }
}
