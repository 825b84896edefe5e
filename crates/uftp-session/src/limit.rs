//! Bounds on what anybody can make us do: for how long, and how often a second.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// No session is kept longer in silence: headers may claim round trips of 1000 s and more
/// repetitions than anybody waits for, and the places for sessions are few.
pub(crate) const LONGEST_PATIENCE: Duration = Duration::from_secs(3600);

/// Messages of the handshake looked into in a second. Who is refused comes again.
pub(crate) const HANDSHAKES_PER_SECOND: u32 = 1000;

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
