//! When the next datagram may go: a token bucket in nanoseconds.

use std::time::{Duration, Instant};

/// Lets bytes through at a rate, exactly over time while nothing is [forgiven](Self::forgive), and in
/// bounded bursts.
///
/// What a late wake-up left unsent is made up for, at no more than twice the rate: never more
/// goes out at once than the rate allows for [`BURST`](Self::BURST) (but always one datagram),
/// and what lies further back than [`DEBT`](Self::DEBT) is forgotten, so that after a stall no
/// backlog floods the network. Of the time in which there was nothing to send as much as
/// [`BURST`](Self::BURST) counts: a small file need not wait for what went before it.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    /// Bytes per second.
    rate: u64,
    /// Everything sent so far is paid for at this instant.
    paid_until: Option<Instant>,
    /// The last burst: when it began, and the time that it takes at the rate. What is sent before half
    /// of that has passed belongs to it.
    burst: Option<(Instant, Duration)>,
    /// There was nothing to send since then: nothing to make up for either.
    resting: bool,
}

impl Pacer {
    /// Longest burst, in time at the rate.
    pub(crate) const BURST: Duration = Duration::from_millis(1);

    /// Time between wake-ups at high rates: half a burst, so that a wake-up may be late.
    pub(crate) const QUANTUM: Duration = Duration::from_micros(500);

    /// How far back unsent data is made up for.
    pub(crate) const DEBT: Duration = Duration::from_millis(20);

    /// A pacer for `rate` bytes per second, at least 1.
    pub(crate) fn new(rate: u64) -> Self {
        Pacer {
            rate: rate.max(1),
            paid_until: None,
            burst: None,
            resting: false,
        }
    }

    /// The rate in bytes per second.
    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    /// Changes the rate from `now` on. What was sent is not charged again. Bytes that the old rate
    /// has left unsent are still made up for at a higher one, but not at a lower: whoever cannot
    /// take the old rate must not be given more of it.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: u64) {
        let rate = rate.max(1);
        let debt = self
            .paid_until
            .and_then(|paid| now.checked_duration_since(paid));
        if let Some(debt) = debt.filter(|_| rate != self.rate) {
            let kept = match rate > self.rate {
                true => debt.mul_f64(self.rate as f64 / rate as f64),
                false => Duration::ZERO,
            };
            self.paid_until = now.checked_sub(kept);
        }
        self.rate = rate;
    }

    /// Time that `bytes` take at the rate.
    pub(crate) fn cost(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// When the next datagram may be sent; in the past or `now` if at once.
    pub(crate) fn ready_at(&self, now: Instant) -> Instant {
        self.paid_until.max(self.pause()).unwrap_or(now)
    }

    /// When it is worth waking up to send datagrams of `bytes` charged bytes: when as many are
    /// due as take [`QUANTUM`](Self::QUANTUM), but one at least and `most` at most. Sending each
    /// as soon as it is due would cost a wake-up a datagram at high rates.
    pub(crate) fn worthwhile_at(&self, now: Instant, bytes: u64, most: u32) -> Instant {
        let Some(paid) = self.paid_until else {
            return now;
        };
        let cost = self.cost(bytes);
        let fit = Self::QUANTUM.as_nanos() / cost.as_nanos().max(1);
        let more = u32::try_from(fit).unwrap_or(most).min(most).max(1) - 1;
        let due = paid + cost * more;
        self.pause().map_or(due, |pause| due.max(pause))
    }

    /// How many datagrams of `bytes` charged bytes may go now; at most `most`.
    pub(crate) fn allowance(&self, now: Instant, bytes: u64, most: usize) -> usize {
        let Some(paid) = self.paid_until else {
            return most.min(1);
        };
        if now < self.ready_at(now) {
            return 0;
        }
        let burst = Self::BURST.saturating_sub(self.burst(now).1);
        let late = now.saturating_duration_since(paid).min(burst);
        let cost = self.cost(bytes).as_nanos().max(1);
        let due = match self.resting {
            true => (late.as_nanos() / cost).max(1),
            // One is due at `paid`; each further one a cost later.
            false => late.as_nanos() / cost + 1,
        };
        usize::try_from(due).unwrap_or(most).min(most)
    }

    /// Charges `bytes` sent at `now`.
    pub(crate) fn charge(&mut self, now: Instant, bytes: u64) {
        let cost = self.cost(bytes);
        let debt = match self.resting {
            // A datagram that takes longer than a burst is one.
            true if cost > Self::BURST => Duration::ZERO,
            true => Self::BURST,
            false => Self::DEBT,
        };
        self.resting = false;
        let floor = now.checked_sub(debt).unwrap_or(now);
        let from = self.paid_until.map_or(now, |paid| paid.max(floor));
        self.paid_until = Some(from + cost);
        let (began, spent) = self.burst(now);
        self.burst = Some((began, spent + cost));
    }

    /// When half the time of the last burst will have passed, if that is as long as may be.
    fn pause(&self) -> Option<Instant> {
        let (began, cost) = self.burst?;
        (cost >= Self::BURST).then_some(began + cost / 2)
    }

    /// The burst that goes on at `now`, if only with what is sent then: when it began, and what was sent
    /// in it, in time at the rate.
    fn burst(&self, now: Instant) -> (Instant, Duration) {
        self.burst
            .filter(|(began, cost)| now == *began || now < *began + *cost / 2)
            .unwrap_or((now, Duration::ZERO))
    }

    /// Nobody misses anything that was sent: nothing is left on the way that a burst could add to, and the next one need not wait for the time that the last one takes at the rate.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.paid_until = self.paid_until.min(now.checked_sub(Self::BURST));
        self.burst = None;
    }

    /// There is nothing to send for the moment. The time until there is counts for a burst at
    /// most.
    pub(crate) fn rest(&mut self) {
        self.resting = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends datagrams of `len` as soon as the pacer lets them, waking late by `lag`, now and then
    /// by 3 ms more.
    fn rate_over(mut pacer: Pacer, len: u64, time: Duration, lag: Duration) -> (u64, usize) {
        let start = Instant::now();
        let mut now = start;
        let (mut sent, mut longest) = (0, 0);
        let mut wakes = 0;
        while now < start + time {
            let n = pacer.allowance(now, len, 10_000);
            pacer.charge(now, len * n as u64);
            longest = longest.max(n);
            sent += n as u64 * len;
            wakes += 1;
            let hiccup = Duration::from_millis(if wakes % 20 == 0 { 3 } else { 0 });
            now = pacer.ready_at(now).max(now) + lag + hiccup;
        }
        (sent, longest)
    }

    #[test]
    fn exact_over_time_at_every_rate() {
        for rate in [1_250, 12_500, 1_250_000, 125_000_000, 625_000_000] {
            for lag in [0, 50_000, 300_000] {
                let lag = Duration::from_nanos(lag);
                let seconds = if rate < 100_000 { 20 } else { 1 };
                let (sent, longest) =
                    rate_over(Pacer::new(rate), 1352, Duration::from_secs(seconds), lag);
                let want = rate * seconds;
                let slack = 1352 + rate / 1000;
                assert!(
                    sent.abs_diff(want) <= want / 50 + slack,
                    "{rate}: {sent} for {want}"
                );
                assert!(
                    longest as u64 <= (rate / 1000) / 1352 + 2,
                    "{rate}: burst of {longest}"
                );
            }
        }
    }

    #[test]
    fn what_is_unsent_is_made_up_for_at_a_higher_rate_but_not_at_a_lower() {
        // 10 ms late with 1 MB/s, or 10 kB.
        for (rate, owed) in [(500_000, 0), (1_000_000, 10_000), (10_000_000, 10_000)] {
            let start = Instant::now();
            let mut pacer = Pacer::new(1_000_000);
            pacer.charge(start, 1000);
            let late = start + Duration::from_millis(11);
            pacer.set_rate(late, rate);
            let paid = pacer.paid_until.unwrap();
            let debt = late.saturating_duration_since(paid);
            assert_eq!(debt.as_secs_f64() * rate as f64, f64::from(owed), "{rate}");
        }
    }

    #[test]
    fn any_second_has_its_rate() {
        // 100 Kbps, 10 Mbps, 1 Gbps, 5 Gbps of 1024 bits; woken late, and now and then very late.
        for rate in [12_800, 1_280_000, 128_000_000, 640_000_000_u64] {
            let start = Instant::now();
            let mut pacer = Pacer::new(rate);
            let mut now = start;
            let mut sent: Vec<(Instant, u64)> = Vec::new();
            let mut wakes = 0;
            while now < start + Duration::from_secs(3) {
                let n = pacer.allowance(now, 1352, 1000) as u64;
                if n > 0 {
                    pacer.charge(now, 1352 * n);
                    let burst = 1352 * n;
                    assert!(burst <= (rate / 1000).max(1352) + 1352, "{rate}: {burst}");
                    sent.push((now, burst));
                }
                wakes += 1;
                let late = if wakes % 500 == 0 { 15_000 } else { 60 };
                let wake = pacer.worthwhile_at(now, 1352, 48).max(now);
                now = wake + Duration::from_micros(late);
            }
            let (mut least, mut most) = (u64::MAX, 0);
            let (mut end, mut sum) = (0, 0);
            for (first, &(from, bytes)) in sent.iter().enumerate() {
                while let Some(&(at, bytes)) = sent.get(end)
                    && at < from + Duration::from_secs(1)
                {
                    sum += bytes;
                    end += 1;
                }
                if end == sent.len() {
                    break;
                }
                (least, most) = (least.min(sum), most.max(sum));
                assert!(end > first);
                sum -= bytes;
            }
            let slack = rate / 50 + 1352;
            assert!(least + slack >= rate, "{rate}: {least} in a second");
            assert!(most <= rate + slack, "{rate}: {most} in a second");
        }
    }

    #[test]
    fn wakes_for_one_when_slow_and_for_many_when_fast() {
        let now = Instant::now();
        for (rate, cost_us, packets) in [
            (1_352_000, 1000, 1),
            (13_520_000, 100, 5),
            (135_200_000, 10, 48),
            (1_352_000_000, 1, 48),
        ] {
            let mut pacer = Pacer::new(rate);
            pacer.charge(now, 1352);
            let wake = pacer.worthwhile_at(now, 1352, 48);
            let cost = Duration::from_micros(cost_us);
            assert_eq!(wake, now + cost * packets, "{rate}");
            assert_eq!(pacer.allowance(wake, 1352, 1000), packets as usize);
        }
    }

    #[test]
    fn having_had_nothing_to_send_is_good_for_a_burst() {
        let mut pacer = Pacer::new(1_000_000);
        let start = Instant::now();
        let (ms, us) = (Duration::from_millis, Duration::from_micros);
        pacer.charge(start, 100);
        pacer.rest();
        let now = start + ms(15);
        assert_eq!(pacer.allowance(now, 100, 100), 10);
        pacer.charge(now, 300);
        // Seven are left of the burst, which is over when half the time of the three has passed.
        assert_eq!(pacer.allowance(now, 100, 100), 7 + 1);
        assert_eq!(pacer.allowance(now + us(149), 100, 100), 7 + 1);
        assert_eq!(pacer.allowance(now + us(150), 100, 100), 7 + 1 + 1);
        pacer.charge(now + us(150), 1000);
        assert_eq!(pacer.ready_at(now), now + us(150) + us(500));
        // Resting does not shorten what is still to be paid.
        pacer.charge(now + ms(1), 5000);
        pacer.rest();
        assert_eq!(pacer.allowance(now + ms(2), 100, 100), 0);
    }

    #[test]
    fn what_follows_closely_is_of_the_same_burst() {
        let mut pacer = Pacer::new(1_000_000);
        let start = Instant::now();
        let us = Duration::from_micros;
        pacer.charge(start, 100);
        let now = start + Duration::from_millis(15);
        pacer.charge(now, 500);
        assert_eq!(pacer.allowance(now + us(200), 100, 100), 5 + 1);
        pacer.charge(now + us(200), 500);
        // Twice the rate since it began.
        assert_eq!(pacer.allowance(now + us(499), 100, 100), 0);
        assert_eq!(pacer.ready_at(now + us(499)), now + us(500));
        assert_eq!(pacer.allowance(now + us(500), 100, 100), 10 + 1);
    }

    #[test]
    fn what_has_arrived_is_good_for_one_burst() {
        let mut pacer = Pacer::new(1_000_000);
        let start = Instant::now();
        pacer.charge(start, 5000);
        assert_eq!(pacer.allowance(start, 100, 100), 0);
        pacer.rest();
        pacer.forgive(start);
        assert_eq!(pacer.allowance(start, 100, 100), 10);
        pacer.charge(start, 1000);
        assert_eq!(pacer.allowance(start, 100, 100), 0);
    }

    #[test]
    fn the_first_is_worthwhile_whenever_one_asks() {
        let pacer = Pacer::new(1_000_000);
        let now = Instant::now();
        assert_eq!(pacer.worthwhile_at(now, 100, 48), now);
        assert_eq!(pacer.allowance(now, 100, 48), 1);
    }

    #[test]
    fn a_datagram_that_takes_long_is_a_burst() {
        let mut pacer = Pacer::new(1_000_000);
        let start = Instant::now();
        pacer.charge(start, 1500);
        pacer.rest();
        let now = start + Duration::from_millis(15);
        assert_eq!(pacer.allowance(now, 1500, 100), 1);
        pacer.charge(now, 1500);
        assert_eq!(pacer.ready_at(now), now + Duration::from_micros(1500));
    }

    #[test]
    fn no_flood_after_a_stall() {
        let mut pacer = Pacer::new(1_000_000);
        let start = Instant::now();
        pacer.charge(start, 1000);
        let late = start + Duration::from_secs(10);
        assert!(pacer.allowance(late, 1000, 10_000) <= 2);
        pacer.charge(late, 2000);
        assert!(pacer.ready_at(late) > late);
        let mut sent = 0;
        let mut now = late;
        while now < late + Duration::from_millis(100) {
            now = pacer.ready_at(now).max(now);
            let n = pacer.allowance(now, 1000, 10_000);
            pacer.charge(now, 1000 * n as u64);
            sent += n;
        }
        assert!(sent <= 100 + 20 + 2, "{sent} datagrams in a time for 100");
    }
}
