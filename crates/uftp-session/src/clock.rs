//! Wall time derived from monotonic time.

use std::time::{Duration, Instant};

use uftp_proto::WireTime;

/// Turns the driver's monotonic `now` into the stamps of messages.
///
/// The wall clock is read once, by the driver, when the session machine is made; stepping it
/// afterwards disturbs no session.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    wall: WireTime,
}

impl Clock {
    /// At `origin` the wall clock says `wall`.
    pub fn new(origin: Instant, wall: WireTime) -> Self {
        Clock { origin, wall }
    }

    /// The stamp for `now`.
    pub fn stamp(&self, now: Instant) -> WireTime {
        self.wall.plus(now.saturating_duration_since(self.origin))
    }

    /// Round trip time of a stamp of ours that came back at `now`; zero if it is from the future.
    pub(crate) fn round_trip(&self, now: Instant, echo: WireTime) -> Duration {
        self.stamp(now).since(echo)
    }
}
