//! Arithmetic of TCP-friendly multicast congestion control (RFC 4654, after RFC 5348).
//!
//! Rates are bytes per second, times seconds, lengths bytes of IP packets. Nothing here knows
//! the time of day: who measures is `uftp-session`.

/// Loss intervals that count, the open one included or not.
const COUNTED: usize = 8;

/// How much an interval counts, newest first (RFC 5348 §5.4).
const WEIGHTS: [f64; COUNTED] = [1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2];

/// Rate of a TCP connection with this round trip time that loses the part `p` of its packets,
/// of `packet` bytes each (RFC 5348 §3.1, one packet per acknowledgement, time-out of four round
/// trips). `p` must be more than 0.
pub fn throughput(packet: f64, rtt: f64, p: f64) -> f64 {
    let p = p.clamp(f64::MIN_POSITIVE, 1.0);
    let fast = (2.0 * p / 3.0).sqrt();
    let slow = 12.0 * (3.0 * p / 8.0).sqrt() * p * (1.0 + 32.0 * p * p);
    packet / (rtt.max(1e-6) * (fast + slow))
}

/// Length in packets of the loss interval that stands for the time before the first loss: the
/// one at which a connection would run at `rate`, which is what got through (RFC 5348 §6.3.1,
/// by the equation without time-outs). At least 1.
pub fn first_interval(rate: f64, rtt: f64, packet: f64) -> f64 {
    let per_round_trip = rate * rtt / packet.max(1.0);
    (per_round_trip * per_round_trip / 1.5).floor().max(1.0)
}

/// The part of the longest feedback delay that a receiver waits, from `u`, uniform in (0, 1], and
/// the number of receivers (RFC 4654 §2.5): few answer early, most would answer late and hear
/// first that they need not. A receiver alone does not wait; one that knows of none waits longest.
pub fn back_off(u: f64, receivers: u32) -> f64 {
    match receivers {
        0 => 1.0,
        1 => 0.0,
        n => (1.0 + u.clamp(f64::MIN_POSITIVE, 1.0).ln() / f64::from(n).ln()).clamp(0.0, 1.0),
    }
}

/// What is past is never discounted below this part (RFC 5348 §5.5).
const DISCOUNT_MOST: f64 = 0.25;

/// The closed loss intervals of a receiver, in packets: from the beginning of one loss event to
/// that of the next.
///
/// When the open interval has become more than twice as long as those before it were on average,
/// the network has changed for the better, and they count for less (RFC 5348 §5.5).
#[derive(Clone, Debug, Default)]
pub struct LossIntervals {
    /// Newest first.
    closed: [Interval; COUNTED],
    /// How many were closed, ever.
    count: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    packets: f64,
    /// The part of its weight that was left when the next one was closed.
    kept: f64,
}

/// A weighted sum of intervals.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    packets: f64,
    weight: f64,
}

impl Sum {
    fn add(&mut self, packets: f64, weight: f64) {
        self.packets += packets * weight;
        self.weight += weight;
    }

    fn mean(self) -> f64 {
        self.packets / self.weight.max(f64::MIN_POSITIVE)
    }
}

impl LossIntervals {
    /// A loss event ends an interval.
    pub fn close(&mut self, packets: f64) {
        let discount = self.discount(packets);
        for interval in &mut self.closed {
            interval.kept *= discount;
        }
        self.closed.rotate_right(1);
        if let Some(newest) = self.closed.first_mut() {
            *newest = Interval {
                packets: packets.max(1.0),
                kept: 1.0,
            };
        }
        self.count = self.count.saturating_add(1);
    }

    /// Multiplies the very first interval, if it still counts: it was made up for another round
    /// trip time.
    pub fn scale_first(&mut self, factor: f64) {
        if let Some(at) = self.count.checked_sub(1)
            && let Some(first) = self.closed.get_mut(at)
        {
            first.packets = (first.packets * factor).max(1.0);
        }
    }

    /// The loss event rate (RFC 5348 §5.4), with `open` packets since the last loss event began.
    /// 0 if there never was one. The open interval counts only where that lowers the rate.
    pub fn loss_event_rate(&self, open: f64) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let mut with = Sum::default();
        let discount = self.discount(open);
        let [first, rest @ ..] = WEIGHTS;
        with.add(open, first);
        // As many intervals as are closed, the open one among them.
        for (interval, weight) in self.counted().zip(rest).take(self.count - 1) {
            with.add(interval.packets, weight * interval.kept * discount);
        }
        1.0 / with.mean().max(self.mean()).max(1.0)
    }

    /// The intervals that count.
    fn counted(&self) -> impl Iterator<Item = &Interval> {
        self.closed.iter().take(self.count)
    }

    /// The mean of the closed intervals, 0 if there are none.
    fn mean(&self) -> f64 {
        let mut sum = Sum::default();
        for (interval, weight) in self.counted().zip(WEIGHTS) {
            sum.add(interval.packets, weight * interval.kept);
        }
        sum.mean()
    }

    /// By how much the past counts less with `open` packets since the last loss event began.
    fn discount(&self, open: f64) -> f64 {
        let usual = 2.0 * self.mean();
        match open > usual {
            true => (usual / open).max(DISCOUNT_MOST),
            false => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_of_the_deployed_programs() {
        // A report of 4.10.2: 1360 byte packets, 10.252 ms, p = 2/9.
        let rate = throughput(1360.0, 0.010_252, 2.0 / 9.0);
        assert!((rate / 55_918.0 - 1.0).abs() < 0.001, "{rate}");
    }

    #[test]
    fn throughput_falls_with_loss_and_round_trip() {
        let at = |rtt, p| throughput(1360.0, rtt, p);
        assert!(at(0.1, 0.01) > at(0.1, 0.02));
        assert!((at(0.1, 0.01) / at(0.2, 0.01) - 2.0).abs() < 1e-9);
        // The well-known 1.22 / sqrt(p) packets a round trip, less a little for time-outs.
        let packets = throughput(1.0, 1.0, 0.0001);
        assert!((119.0..122.5).contains(&packets), "{packets}");
        assert!(at(0.0, 0.0).is_finite());
        assert!(at(0.1, 5.0) > 0.0);
    }

    #[test]
    fn first_interval_stands_for_the_rate_received() {
        for rate in [5e5, 1e6, 1e8] {
            let interval = first_interval(rate, 0.05, 1360.0);
            let back = throughput(1360.0, 0.05, 1.0 / interval);
            assert!((0.5..1.05).contains(&(back / rate)), "{rate}: {back}");
        }
        assert!((first_interval(971_760.0, 0.011_28, 920.0) - 94.0).abs() < 0.5);
        assert!((first_interval(0.0, 0.1, 0.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn back_off_is_short_for_few() {
        assert!(back_off(0.5, 1) <= 0.0);
        assert!(back_off(0.5, 0) >= 1.0);
        assert!(back_off(1.0, 50) >= 1.0);
        assert!(back_off(0.02, 50).abs() < 1e-9, "one in 50 at once");
        assert!(back_off(1e-300, 50) <= 0.0);
        assert!((back_off(0.1, 100) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn loss_event_rate_is_the_weighted_mean() {
        let mut intervals = LossIntervals::default();
        assert!(intervals.loss_event_rate(1e6) <= 0.0);
        intervals.close(100.0);
        assert!((intervals.loss_event_rate(3.0) - 0.01).abs() < 1e-12);
        assert!((intervals.loss_event_rate(200.0) - 0.005).abs() < 1e-12);
        for _ in 0..7 {
            intervals.close(100.0);
        }
        assert!((intervals.loss_event_rate(0.0) - 0.01).abs() < 1e-12);
        // 200 in the open interval: (200 + 100 * 5) / 6, nothing discounted.
        assert!((intervals.loss_event_rate(200.0) - 6.0 / 700.0).abs() < 1e-12);
        // A sudden loss moves it by one part in six only.
        intervals.close(1.0);
        let p = intervals.loss_event_rate(0.0);
        assert!((p - 6.0 / 501.0).abs() < 1e-12, "{p}");
    }

    #[test]
    fn a_long_time_without_loss_makes_the_past_count_less() {
        let mut intervals = LossIntervals::default();
        for _ in 0..8 {
            intervals.close(100.0);
        }
        // Half: (400 + 100 * 5 / 2) / (1 + 5 / 2).
        let p = intervals.loss_event_rate(400.0);
        assert!((p - 3.5 / 650.0).abs() < 1e-12, "{p}");
        // A quarter at least: (8000 + 100 * 5 / 4) / (1 + 5 / 4).
        let p = intervals.loss_event_rate(8000.0);
        assert!((p - 2.25 / 8125.0).abs() < 1e-12, "{p}");
        // What was discounted stays so: (400 + 100 * 5 / 2) / (1 + 5 / 2).
        intervals.close(400.0);
        let p = intervals.loss_event_rate(0.0);
        assert!((p - 3.5 / 650.0).abs() < 1e-12, "{p}");
        // A lower rate never follows from more packets.
        let mut last = 1.0;
        for open in 0..2000 {
            let p = intervals.loss_event_rate(f64::from(open));
            assert!(p <= last + 1e-12, "{open}: {p} {last}");
            last = p;
        }
    }

    #[test]
    fn the_made_up_interval_is_forgotten_after_eight() {
        let mut intervals = LossIntervals::default();
        intervals.close(1000.0);
        intervals.scale_first(0.1);
        assert!((intervals.loss_event_rate(0.0) - 0.01).abs() < 1e-12);
        for _ in 0..8 {
            intervals.close(10.0);
        }
        intervals.scale_first(100.0);
        assert!((intervals.loss_event_rate(0.0) - 0.1).abs() < 1e-12);
    }
}
