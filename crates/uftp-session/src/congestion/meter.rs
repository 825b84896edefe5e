//! How much arrives per time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes and packets received, remembered for a few round trips in a bounded number of buckets.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceiveMeter {
    buckets: VecDeque<Bucket>,
}

/// What arrived from `from` until the next bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    from: Instant,
    sum: Received,
}

/// A sum of arrivals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Received {
    /// Bytes of IP packets.
    pub bytes: u64,
    /// How many there were.
    pub packets: u64,
}

impl ReceiveMeter {
    /// Buckets in a round trip.
    const FINENESS: u32 = 16;
    /// Round trips remembered, a little more than the longest window.
    const REMEMBERED: u32 = 6;
    /// Most buckets, when the round trip grows.
    const MOST: usize = 2 * (Self::FINENESS * Self::REMEMBERED) as usize;

    /// A packet of `bytes` arrived; `round_trip` sets the grain.
    pub(crate) fn note(&mut self, now: Instant, bytes: u64, round_trip: Duration) {
        let width = round_trip / Self::FINENESS;
        match self.buckets.back_mut() {
            Some(last) if now < last.from + width => last.sum.add(bytes),
            _ => {
                let mut sum = Received::default();
                sum.add(bytes);
                self.buckets.push_back(Bucket { from: now, sum });
            }
        }
        let too_old = |b: &Bucket| b.from + round_trip * Self::REMEMBERED < now;
        while self.buckets.len() > Self::MOST || self.buckets.front().is_some_and(too_old) {
            self.buckets.pop_front();
        }
    }

    /// What arrived after `until - window`, up to `until`.
    pub(crate) fn within(&self, until: Instant, window: Duration) -> Received {
        let inside = |b: &&Bucket| b.from + window > until && b.from <= until;
        let sums = self.buckets.iter().filter(inside).map(|b| b.sum);
        sums.fold(Received::default(), |all, one| Received {
            bytes: all.bytes + one.bytes,
            packets: all.packets + one.packets,
        })
    }
}

impl Received {
    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.packets += 1;
    }

    /// Bytes per second when `self` arrived within `window`.
    pub(crate) fn rate(self, window: Duration) -> f64 {
        self.bytes as f64 / window.as_secs_f64().max(1e-6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: Duration = Duration::from_millis(16);

    #[test]
    fn measures_the_last_window_in_bounded_memory() {
        let start = Instant::now();
        let mut meter = ReceiveMeter::default();
        let gap = Duration::from_micros(10);
        for i in 0..100_000 {
            meter.note(start + gap * i, 1000, G);
        }
        let now = start + gap * 100_000;
        let rate = meter.within(now, G * 4).rate(G * 4);
        assert!((0.95e8..1.05e8).contains(&rate), "{rate}");
        assert!(meter.buckets.len() <= ReceiveMeter::MOST);
        let sum = meter.within(now + G * 4, G);
        assert_eq!(sum, Received::default(), "silence");
    }

    #[test]
    fn a_round_trip_that_grows_does_not_grow_the_memory() {
        let start = Instant::now();
        let mut meter = ReceiveMeter::default();
        for i in 0..10_000u32 {
            let g = Duration::from_millis(if i < 5_000 { 10 } else { 15_000 });
            meter.note(start + Duration::from_millis(u64::from(i)), 1, g);
        }
        assert!(meter.buckets.len() <= ReceiveMeter::MOST);
    }
}
