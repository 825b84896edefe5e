//! Lets datagrams gather that come one by one, so that a wake-up fetches many.

use std::time::{Duration, Instant};

use uftp_net::RecvBatch;

/// How densely datagrams come, and so how long to sleep before looking for more.
///
/// A sender that makes a system call for each datagram wakes a receiver that sleeps on its socket
/// for each, which costs more than all that is done with it. Network cards moderate their
/// interrupts for the same reason. Runs of many datagrams are worth a wake-up each.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Bytes that may gather in the kernel.
    most: usize,
    /// The last look.
    looked: Option<Instant>,
    /// Looks in a row that found datagrams densely.
    dense: u32,
    /// Bytes per second as of the last look.
    rate: f64,
}

/// What a look found.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Found {
    /// Datagrams, and runs of datagrams that came as one.
    pub(super) arrivals: usize,
    pub(super) datagrams: usize,
    pub(super) bytes: usize,
}

impl Found {
    pub(super) fn add(&mut self, batch: &RecvBatch) {
        self.arrivals += batch.arrivals();
        self.datagrams += batch.datagram_count();
        self.bytes += batch.bytes();
    }
}

impl Gathering {
    /// The longest a datagram waits.
    const LONGEST: Duration = Duration::from_millis(2);
    /// Datagrams that come more slowly than this one after the other are fetched at once.
    const SPARSE: Duration = Duration::from_micros(100);
    /// Datagrams that come at once, as one run, need not gather.
    const RUN: usize = 8;
    /// So many looks must find datagrams densely: a few in a row are a conversation.
    const STREAK: u32 = 16;
    /// The part of the kernel's buffer that may fill: what it takes for a datagram may be more than
    /// twice the datagram, and the wake-up may be late.
    const PART: usize = 16;

    /// Nothing gathers yet, in a buffer of `buffer` bytes.
    pub(super) fn new(buffer: usize) -> Self {
        Gathering {
            most: buffer / Self::PART,
            looked: None,
            dense: 0,
            rate: 0.0,
        }
    }

    /// A look at `now` found so much, and then nothing more.
    pub(super) fn note(&mut self, now: Instant, found: Found) {
        let before = self.looked.replace(now).unwrap_or(now);
        let time = now.saturating_duration_since(before);
        let dense = u128::try_from(found.datagrams).unwrap_or(u128::MAX) * Self::SPARSE.as_nanos();
        let one_by_one = found.datagrams < Self::RUN * found.arrivals;
        self.dense = match one_by_one && dense > time.as_nanos() {
            true => self.dense.saturating_add(1),
            false => 0,
        };
        self.rate = found.bytes as f64 / time.as_secs_f64().max(1e-6);
    }

    /// There may be more than was looked at.
    pub(super) fn note_more(&mut self) {
        self.dense = 0;
    }

    /// How long to let datagrams gather before the next look, if at all.
    pub(super) fn pause(&self) -> Option<Duration> {
        let room = Duration::from_secs_f64(self.most as f64 / self.rate.max(1.0));
        let pause = room.min(Self::LONGEST);
        // A shorter sleep costs as much as it saves.
        (self.dense >= Self::STREAK && pause >= Self::SPARSE).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROS: fn(u64) -> Duration = Duration::from_micros;

    /// Datagrams of 1300 bytes that came one by one.
    fn single(datagrams: usize) -> Found {
        Found {
            arrivals: datagrams,
            datagrams,
            bytes: datagrams * 1300,
        }
    }

    /// `looks` looks, each `every` after the last, that find `datagrams` of 1300 bytes.
    fn after(buffer: usize, looks: u32, every: Duration, datagrams: usize) -> Option<Duration> {
        let mut gathering = Gathering::new(buffer);
        let start = Instant::now();
        for look in 0..looks {
            gathering.note(start + every * look, single(datagrams));
        }
        gathering.pause()
    }

    #[test]
    fn what_comes_densely_gathers() {
        assert_eq!(after(16 << 20, 100, MICROS(10), 1), Some(MICROS(2000)));
        assert_eq!(after(16 << 20, 100, MICROS(2050), 200), Some(MICROS(2000)));
    }

    #[test]
    fn runs_need_not_gather() {
        let mut gathering = Gathering::new(16 << 20);
        let start = Instant::now();
        for look in 0..100 {
            let run = Found {
                arrivals: 1,
                ..single(48)
            };
            gathering.note(start + MICROS(50) * look, run);
        }
        assert_eq!(gathering.pause(), None);
    }

    #[test]
    fn conversations_are_not_held_up() {
        assert_eq!(after(16 << 20, 100, MICROS(150), 1), None);
        assert_eq!(after(16 << 20, 10, MICROS(10), 1), None);
        assert_eq!(after(16 << 20, 0, MICROS(10), 1), None);
        let mut gathering = Gathering::new(16 << 20);
        let start = Instant::now();
        for look in 0..100 {
            gathering.note(start + MICROS(10) * look, single(1));
        }
        gathering.note(start + MICROS(4000), single(1));
        assert_eq!(gathering.pause(), None, "it is over");
    }

    #[test]
    fn what_has_gathered_is_fetched_first() {
        let mut gathering = Gathering::new(16 << 20);
        let start = Instant::now();
        for look in 0..100 {
            gathering.note(start + MICROS(10) * look, single(1));
        }
        assert!(gathering.pause().is_some());
        gathering.note_more();
        assert_eq!(gathering.pause(), None);
    }

    #[test]
    fn no_more_gathers_than_there_is_room_for() {
        // 130 MB/s.
        let pause = after(512 << 10, 100, MICROS(10), 1).unwrap();
        assert!((MICROS(240)..MICROS(260)).contains(&pause), "{pause:?}");
        assert_eq!(after(128 << 10, 100, MICROS(10), 1), None);
    }
}
