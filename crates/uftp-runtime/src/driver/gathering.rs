//! Lets datagrams gather, so that a wake-up fetches many.

use std::time::{Duration, Instant};

use uftp_net::RecvBatch;

/// How densely datagrams come, and so how long to sleep before looking for more.
///
/// A sender that makes a system call for each datagram wakes a receiver that sleeps on its socket
/// for each, which costs more than all that is done with it. Network cards moderate their
/// interrupts for the same reason. Runs of many datagrams are nearly worth a wake-up each: they
/// gather only where they come steadily and nobody waits.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Bytes that may gather in the kernel.
    most: usize,
    /// The last look that left nothing.
    looked: Option<Instant>,
    /// What looks since then have found that left something.
    so_far: Found,
    /// Looks in a row that found datagrams densely and one by one.
    single: u32,
    /// Looks in a row that found them densely, but never more than may gather in the longest pause: a
    /// fast sender that halts for a moment is not slow.
    steady: u32,
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
        self.join(Found {
            arrivals: batch.arrivals(),
            datagrams: batch.datagram_count(),
            bytes: batch.bytes(),
        });
    }

    fn join(&mut self, other: Found) {
        self.arrivals += other.arrivals;
        self.datagrams += other.datagrams;
        self.bytes += other.bytes;
    }
}

impl Gathering {
    /// The longest a datagram waits.
    const LONGEST: Duration = Duration::from_millis(2);
    /// Datagrams that come more slowly than this one after the other are fetched at once.
    const SPARSE: Duration = Duration::from_micros(100);
    /// Datagrams that come at once, as one run.
    const RUN: usize = 8;
    /// So many looks must find datagrams densely: a few in a row are a conversation.
    const STREAK: u32 = 16;
    /// The same for runs: a sender that is still finding its rate must not be held up.
    const STREAK_OF_RUNS: u32 = 64;
    /// The part of the kernel's buffer that may fill: what it takes for a datagram may be more than
    /// twice the datagram, and the wake-up may be late.
    const PART: usize = 16;

    /// Nothing gathers yet, in a buffer of `buffer` bytes.
    pub(super) fn new(buffer: usize) -> Self {
        Gathering {
            most: buffer / Self::PART,
            looked: None,
            so_far: Found::default(),
            single: 0,
            steady: 0,
            rate: 0.0,
        }
    }

    /// A look at `now` found so much, and then nothing more.
    pub(super) fn note(&mut self, now: Instant, mut found: Found) {
        found.join(std::mem::take(&mut self.so_far));
        let before = self.looked.replace(now).unwrap_or(now);
        let time = now.saturating_duration_since(before);
        let dense = u128::try_from(found.datagrams).unwrap_or(u128::MAX) * Self::SPARSE.as_nanos();
        let dense = dense > time.as_nanos();
        let single = found.datagrams < Self::RUN * found.arrivals;
        let longer = |streak: u32, goes_on: bool| match goes_on {
            true => streak.saturating_add(1),
            false => 0,
        };
        self.rate = found.bytes as f64 / time.as_secs_f64().max(1e-6);
        self.single = longer(self.single, dense && single);
        self.steady = longer(self.steady, dense && self.room() >= Self::LONGEST);
    }

    /// A look found so much, and there may be more.
    pub(super) fn note_more(&mut self, found: Found) {
        self.so_far.join(found);
    }

    /// Something was answered, and what comes now may be meant for us to answer again.
    pub(super) fn note_answer(&mut self) {
        (self.single, self.steady) = (0, 0);
    }

    /// How long to let datagrams gather before the next look, if at all. Runs gather where that is
    /// `patient`.
    pub(super) fn pause(&self, patient: bool) -> Option<Duration> {
        if self.so_far.datagrams > 0 {
            return None;
        }
        let pause = self.room().min(Self::LONGEST);
        let gathers = if self.single >= Self::STREAK {
            // A shorter sleep costs as much as it saves.
            pause >= Self::SPARSE
        } else {
            patient && self.steady >= Self::STREAK_OF_RUNS
        };
        gathers.then_some(pause)
    }

    /// How long as many may gather as there is room for.
    fn room(&self) -> Duration {
        Duration::from_secs_f64(self.most as f64 / self.rate.max(1.0))
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
        gathering.pause(false)
    }

    /// `looks` looks, each `every` after the last, that find a run of 48 datagrams.
    fn runs(looks: u32, every: Duration) -> Gathering {
        let mut gathering = Gathering::new(8 << 20);
        let start = Instant::now();
        for look in 0..looks {
            let run = Found {
                arrivals: 1,
                ..single(48)
            };
            gathering.note(start + every * look, run);
        }
        gathering
    }

    #[test]
    fn what_comes_densely_gathers() {
        assert_eq!(after(16 << 20, 100, MICROS(10), 1), Some(MICROS(2000)));
        assert_eq!(after(16 << 20, 100, MICROS(2050), 200), Some(MICROS(2000)));
    }

    #[test]
    fn runs_gather_where_they_come_steadily_and_nobody_waits() {
        let steady = runs(100, MICROS(500));
        assert_eq!(steady.pause(false), None);
        assert_eq!(steady.pause(true), Some(MICROS(2000)));
        assert_eq!(runs(50, MICROS(500)).pause(true), None, "not for long yet");
        assert_eq!(runs(100, MICROS(5000)).pause(true), None, "a few");
        let mut fast = runs(100, MICROS(50));
        assert_eq!(fast.pause(true), None, "1.2 GB/s");
        let later = fast.looked.unwrap() + MICROS(1000);
        fast.note(later, single(48));
        assert_eq!(fast.pause(true), None, "nor after a moment's halt");
    }

    #[test]
    fn what_follows_an_answer_is_not_held_up() {
        let mut gathering = runs(100, MICROS(500));
        gathering.note_answer();
        assert_eq!(gathering.pause(true), None);
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
        assert_eq!(gathering.pause(false), None, "it is over");
    }

    #[test]
    fn what_has_gathered_is_fetched_first() {
        let mut gathering = Gathering::new(16 << 20);
        let start = Instant::now();
        for look in 0..100 {
            gathering.note(start + MICROS(10) * look, single(1));
        }
        assert!(gathering.pause(false).is_some());
        gathering.note_more(single(256));
        assert_eq!(gathering.pause(false), None);
        gathering.note(start + MICROS(3000), single(1));
        assert!(gathering.pause(false).is_some(), "it came no less densely");
    }

    #[test]
    fn no_more_gathers_than_there_is_room_for() {
        // 130 MB/s.
        let pause = after(512 << 10, 100, MICROS(10), 1).unwrap();
        assert!((MICROS(240)..MICROS(260)).contains(&pause), "{pause:?}");
        assert_eq!(after(128 << 10, 100, MICROS(10), 1), None);
    }
}
