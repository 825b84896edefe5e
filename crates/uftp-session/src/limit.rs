//! Bounds on what anybody can make us do: for how long, and how often a second.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// No session is kept longer in silence: headers may claim round trips of 1000 s and more
/// repetitions than anybody waits for, and the places for sessions are few.
pub(crate) const LONGEST_PATIENCE: Duration = Duration::from_secs(3600);

/// However short round trips are, nobody is given up sooner in the middle of a session: a disk, a host without
/// memory or a core, or a network that reorders itself may hold somebody up for so long.
pub(crate) const SHORTEST_PATIENCE: Duration = Duration::from_secs(3);

/// Messages of the handshake looked into at once: those of a thousand receivers, that have all been
/// switched on in this instant, of as many as are named where that is more, but not of any number.
const FEW_HANDSHAKES: u32 = 2000;
const MOST_HANDSHAKES: u32 = 10_000;

/// How often there is one more. Who is refused comes again; who only repeats itself is not counted.
const HANDSHAKE_PAUSE: Duration = Duration::from_millis(1);

/// Hosts that are sent away in one burst, and when there is one more: ten thousand take a second.
const FAREWELLS_AT_ONCE: u32 = 100;
const FAREWELL_PAUSE: Duration = Duration::from_micros(100);

/// So many in a span of time, mostly a second, and no more.
#[derive(Debug)]
pub(crate) struct Limit {
    most: u32,
    span: Duration,
    /// When the span being counted began, and what was used of it.
    begun: Option<Instant>,
    used: u32,
}

impl Limit {
    pub(crate) fn per_second(most: u32) -> Self {
        Limit::per(Duration::from_secs(1), most)
    }

    pub(crate) fn per(span: Duration, most: u32) -> Self {
        Limit {
            most,
            span,
            begun: None,
            used: 0,
        }
    }

    /// One more in each span from now on.
    pub(crate) fn raise(&mut self) {
        self.most = self.most.saturating_add(1);
    }

    /// Whether there is one more for now; takes it.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let allowed = self.has_more(now);
        self.used += u32::from(allowed);
        allowed
    }

    /// Whether there is one more for now.
    pub(crate) fn has_more(&mut self, now: Instant) -> bool {
        let over = |begun| now.saturating_duration_since(begun) >= self.span;
        if self.begun.is_none_or(over) {
            (self.begun, self.used) = (Some(now), 0);
        }
        self.used < self.most
    }
}

/// So many at once, and one more after each pause.
#[derive(Debug)]
pub(crate) struct Bucket {
    most: u32,
    pause: Duration,
    left: u32,
    /// When the last one came that was not there from the start.
    filled: Option<Instant>,
}

impl Bucket {
    pub(crate) fn new(most: u32, pause: Duration) -> Self {
        Bucket {
            most,
            pause,
            left: most,
            filled: None,
        }
    }

    /// Messages of the handshake that are to be looked into.
    pub(crate) fn of_handshakes() -> Self {
        Bucket::new(FEW_HANDSHAKES, HANDSHAKE_PAUSE)
    }

    /// Words to those who are sent away, a packet to each.
    pub(crate) fn of_farewells() -> Self {
        Bucket::new(FAREWELLS_AT_ONCE, FAREWELL_PAUSE)
    }

    /// So many receivers are named, with two messages each.
    pub(crate) fn expect(&mut self, receivers: usize) {
        let two = u32::try_from(receivers.saturating_mul(2)).unwrap_or(u32::MAX);
        let most = two.min(MOST_HANDSHAKES).max(self.most);
        self.left += most - self.most;
        self.most = most;
    }

    /// Whether there is one more for now; takes it.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let allowed = self.has_more(now);
        self.left -= u32::from(allowed);
        allowed
    }

    /// When there is one more, after there was none.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.filled.map(|filled| filled + self.pause)
    }

    /// Whether there is one more for now.
    pub(crate) fn has_more(&mut self, now: Instant) -> bool {
        let filled = *self.filled.get_or_insert(now);
        let gone = now.saturating_duration_since(filled).as_nanos();
        let more = gone / self.pause.as_nanos().max(1);
        match u32::try_from(more) {
            Ok(more) if more < self.most - self.left => {
                self.left += more;
                self.filled = Some(filled + self.pause * more);
            }
            _ => (self.left, self.filled) = (self.most, Some(now)),
        }
        self.left > 0
    }
}

/// So many a second from each of a number of parts of the network: who speaks from another part leaves
/// to everybody what is theirs.
#[derive(Debug)]
pub(crate) struct Shares([Limit; SHARES]);

/// Parts of the network.
const SHARES: usize = 16;

impl Shares {
    pub(crate) fn per_second(most: u32) -> Self {
        Shares(std::array::from_fn(|_| Limit::per_second(most)))
    }

    /// Whether there is one more for now for this host; takes it.
    pub(crate) fn allow(&mut self, now: Instant, from: IpAddr) -> bool {
        let last = match from {
            IpAddr::V4(ip) => ip.octets().last().copied(),
            IpAddr::V6(ip) => ip.octets().last().copied(),
        };
        let share = usize::from(last.unwrap_or_default()) % SHARES;
        self.0.get_mut(share).is_some_and(|limit| limit.allow(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_apart() {
        let mut shares = Shares::per_second(1);
        let now = Instant::now();
        let hosts = ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.17", "fd66::3"];
        let allowed = hosts.map(|host| shares.allow(now, host.parse().unwrap()));
        assert_eq!(allowed, [true, false, true, false, true]);
    }

    #[test]
    fn a_bucket_fills_up_little_by_little() {
        let now = Instant::now();
        let mut bucket = Bucket::new(3, Duration::from_millis(10));
        let mut allowed = |ms, asked: usize| {
            let at = now + Duration::from_millis(ms);
            (0..asked).filter(|_| bucket.allow(at)).count()
        };
        let times = [
            (0, 5),
            (9, 1),
            (10, 2),
            (35, 9),
            (39, 1),
            (40, 9),
            (1000, 9),
        ];
        let counts = times.map(|(ms, asked)| allowed(ms, asked));
        assert_eq!(counts, [3, 0, 1, 2, 0, 1, 3]);
    }

    #[test]
    fn a_bucket_is_as_large_as_those_expected_are_many() {
        let now = Instant::now();
        for (named, most) in [(0, 2000), (10, 2000), (3000, 6000), (1_000_000, 10_000)] {
            let mut bucket = Bucket::of_handshakes();
            bucket.expect(named);
            bucket.expect(named);
            assert_eq!((0..20_000).filter(|_| bucket.allow(now)).count(), most);
        }
    }

    #[test]
    fn a_second_later_there_is_more() {
        let mut limit = Limit::per_second(2);
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        assert_eq!(
            [now, now, now, later].map(|at| limit.allow(at)),
            [true, true, false, true]
        );
    }
}
