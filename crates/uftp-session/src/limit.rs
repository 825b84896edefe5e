//! Bounds on what anybody can make us do: for how long, and how often a second.

use std::time::{Duration, Instant};

/// No session is kept longer in silence: headers may claim round trips of 1000 s and more
/// repetitions than anybody waits for, and the places for sessions are few.
pub(crate) const LONGEST_PATIENCE: Duration = Duration::from_secs(3600);

/// Messages of the handshake looked into in a second. Who is refused comes again.
pub(crate) const HANDSHAKES_PER_SECOND: u32 = 1000;

/// So many a second, and no more.
#[derive(Debug)]
pub(crate) struct Limit {
    most: u32,
    /// The second being counted, and what was used of it.
    second: Option<Instant>,
    used: u32,
}

impl Limit {
    pub(crate) fn per_second(most: u32) -> Self {
        Limit {
            most,
            second: None,
            used: 0,
        }
    }

    /// One more a second from now on.
    pub(crate) fn raise(&mut self) {
        self.most = self.most.saturating_add(1);
    }

    /// Whether there is one more for now; takes it.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let over = |start| now.saturating_duration_since(start) >= Duration::from_secs(1);
        if self.second.is_none_or(over) {
            (self.second, self.used) = (Some(now), 0);
        }
        let allowed = self.used < self.most;
        self.used += u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
