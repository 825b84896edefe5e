//! Wall-clock stamps as they travel in messages.

use std::time::Duration;

/// Microseconds since 1970-01-01 UTC on the clock of the host that sent the message.
///
/// Protocol 4 splits it into seconds and microseconds, protocol 5 sends it whole, protocol 3
/// has no such stamp. It is only ever echoed and subtracted by its author.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct WireTime(pub u64);

impl WireTime {
    /// This stamp moved on by `held`: what a host echoes after keeping it that long.
    #[must_use]
    pub fn plus(self, held: Duration) -> WireTime {
        WireTime(
            self.0
                .saturating_add(u64::try_from(held.as_micros()).unwrap_or(u64::MAX)),
        )
    }

    /// Time since `earlier`, or zero if `earlier` lies in the future.
    pub fn since(self, earlier: WireTime) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Seconds and microseconds, the form of protocol 4.
    pub fn to_parts(self) -> (u32, u32) {
        // Both casts keep their value until 2106 and by the modulus.
        ((self.0 / 1_000_000) as u32, (self.0 % 1_000_000) as u32)
    }

    /// From seconds and microseconds; microseconds of a million and more are carried over, behind the
    /// last second to the first.
    pub fn from_parts(seconds: u32, micros: u32) -> WireTime {
        let seconds = seconds.wrapping_add(micros / 1_000_000);
        WireTime(u64::from(seconds) * 1_000_000 + u64::from(micros % 1_000_000))
    }
}
