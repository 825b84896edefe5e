//! How often, and for how long, a message is repeated until it is answered.

use std::time::{Duration, Instant};

use uftp_proto::wire::FixedPace;

use super::is_due;
use super::session::Session;
use crate::limit::SHORTEST_PATIENCE;
use crate::policy::Clockwork;

/// What is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repeated {
    /// Every message of the announce phase.
    Announce,
    /// FILEINFO.
    FileInfo,
    /// DONE, of a file or of the session.
    Done,
}

impl Repeated {
    /// From one repetition to the next, where times are fixed.
    fn interval(self, pace: &FixedPace) -> Duration {
        Duration::from_millis(u64::from(match self {
            Repeated::Announce | Repeated::FileInfo => pace.announce_interval,
            Repeated::Done => pace.status_interval,
        }))
    }

    /// From the first repetition until it is given up, where times are fixed.
    fn time(self, pace: &FixedPace) -> Duration {
        Duration::from_secs(u64::from(match self {
            Repeated::Announce | Repeated::FileInfo => pace.announce_time,
            Repeated::Done => pace.status_time,
        }))
    }

    /// Silence that ends the wait for late duplicates, where times are fixed: one and a half of
    /// the intervals at which receivers repeat themselves (wire-v3 §6.3, §6.6).
    fn linger(self, pace: &FixedPace) -> Duration {
        let interval = Duration::from_millis(u64::from(match self {
            Repeated::Announce | Repeated::FileInfo => pace.register_interval,
            Repeated::Done => pace.done_interval,
        }));
        interval + interval / 2
    }
}

/// The repetitions of one message.
#[derive(Clone, Debug)]
pub(super) struct Course {
    what: Repeated,
    /// Repetitions so far.
    attempt: u32,
    /// When the last repetition is judged; `None` while it goes out.
    timer: Option<Instant>,
    /// How long it is repeated once its first repetition is out, where times are fixed; else it is so
    /// many times.
    time: Option<Duration>,
    /// When the message is given up.
    end: Option<Instant>,
    /// When the first repetition was out.
    begun: Option<Instant>,
}

impl Course {
    /// Before the first repetition.
    pub(super) fn new(s: &Session, what: Repeated) -> Self {
        Course {
            what,
            attempt: 0,
            timer: None,
            time: s.fixed().map(|pace| what.time(pace)),
            end: None,
            begun: None,
        }
    }

    /// Begins the next repetition. Returns its number, from 1.
    pub(super) fn repeat(&mut self) -> u32 {
        self.attempt += 1;
        self.timer = None;
        self.attempt
    }

    /// The message is given up at this time, if that was not settled before.
    pub(super) fn end_by(&mut self, end: Instant) {
        self.end.get_or_insert(end);
    }

    /// A repetition, or what goes with it, is out: the time to wait for answers begins.
    pub(super) fn wait(&mut self, s: &Session, now: Instant) {
        self.begun.get_or_insert(now);
        if let Some(time) = self.time {
            self.end_by(now + time);
        }
        let due = now + s.interval(self.what);
        self.timer = Some(self.end.map_or(due, |end| end.min(due)));
    }

    /// When [`is_due`](Self::is_due).
    pub(super) fn timer(&self) -> Option<Instant> {
        self.timer
    }

    /// Whether there were no answers for long enough.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        is_due(self.timer, now)
    }

    /// Whether there are no repetitions after this one.
    pub(super) fn is_last(&self, s: &Session, now: Instant) -> bool {
        match (self.end, self.time) {
            (Some(end), _) => end <= now,
            (None, Some(_)) => false,
            // Who has completed waits a second for the others at the end.
            (None, None) => match (self.what, self.begun) {
                (Repeated::FileInfo, Some(begun)) => {
                    s.has_asked_enough(self.attempt, now.saturating_duration_since(begun))
                }
                _ => self.attempt >= s.robust(),
            },
        }
    }

    /// Repetitions so far.
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }
}

impl Session {
    /// The times of the session, where they are fixed.
    pub(super) fn fixed(&self) -> Option<&FixedPace> {
        match self.policy.clockwork {
            Clockwork::RoundTrips => None,
            Clockwork::Fixed => Some(&self.config.fixed),
        }
    }

    /// Whether who still has not answered a question is given up, which was asked `attempts` times in
    /// `time`.
    pub(super) fn has_asked_enough(&self, attempts: u32, time: Duration) -> bool {
        attempts >= self.robust() && time >= SHORTEST_PATIENCE
    }

    /// From one repetition to the next.
    fn interval(&self, what: Repeated) -> Duration {
        self.fixed()
            .map_or_else(|| self.cycle(), |pace| what.interval(pace))
    }

    /// Silence that ends the wait for late duplicates.
    pub(super) fn linger(&self, what: Repeated) -> Duration {
        self.fixed()
            .map_or_else(|| self.advertised_grtt(), |pace| what.linger(pace))
    }

    /// Whether there are no late duplicates to wait for: all have answered a question that was asked
    /// once. Receivers repeat themselves after four round trip times, and the question would have been
    /// asked again after three (behaviour-sender-receiver §1.2); proxies do as they like.
    pub(super) fn nobody_repeats(&self, asked: u32) -> bool {
        asked == 1
            && self.policy.clockwork == Clockwork::RoundTrips
            && self.config.instance.0 == 0
            && !self.clients.any_proxy()
    }

    /// The longest wait for late duplicates.
    pub(super) fn longest_linger(&self, what: Repeated) -> Duration {
        let least = self.linger(what);
        let most = self
            .fixed()
            .map_or_else(|| self.cycle() * self.robust(), |pace| what.time(pace));
        most.max(least)
    }
}
