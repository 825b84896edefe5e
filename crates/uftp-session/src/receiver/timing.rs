use std::time::Duration;

use uftp_proto::quant::RttCode;

use crate::policy::Policy;

/// The clockwork of one session at a receiver (behaviour-sender-receiver §1.2). Every time is a
/// multiple of the round trip time that the sender states in its headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// REGISTER interval in round trips.
    register_interval: u32,
    /// How often the sender repeats a message before it gives up.
    robust: u8,
    /// Round trip time to the farthest receiver, as the sender says, and what that means.
    code: RttCode,
    grtt: Duration,
}

/// COMPLETE of the session is repeated after this many round trips.
const COMPLETE_INTERVAL: u32 = 4;

/// No wait for the sender is shorter than this, however short its round trips.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);

/// Nothing is repeated faster than this, whatever round trip time a header claims.
const SHORTEST_REPEAT: Duration = Duration::from_millis(1);

impl Timing {
    pub(super) fn new(policy: Policy, robust: u8, grtt: RttCode) -> Self {
        Timing {
            register_interval: policy.register_interval,
            robust,
            code: grtt,
            grtt: grtt.duration(),
        }
    }

    /// Whether a header says another round trip time.
    pub(super) fn differs(&self, grtt: RttCode) -> bool {
        self.code != grtt
    }

    /// Takes over the round trip time of a header; running timers follow.
    pub(super) fn set_grtt(&mut self, grtt: RttCode) {
        if self.differs(grtt) {
            self.code = grtt;
            self.grtt = grtt.duration();
        }
    }

    /// Round trip time to the farthest receiver, as the sender says.
    pub(super) fn grtt(&self) -> Duration {
        self.grtt
    }

    /// From the end of a section, or from a DONE, to the STATUS.
    pub(super) fn nak_delay(&self) -> Duration {
        self.grtt
    }

    /// From one REGISTER to the next.
    pub(super) fn register_repeat(&self) -> Duration {
        (self.grtt * self.register_interval).max(SHORTEST_REPEAT)
    }

    /// From the ANNOUNCE until an unconfirmed registration is given up.
    pub(super) fn registration(&self) -> Duration {
        self.patience(self.register_interval)
    }

    /// Silence of the sender after which the session is given up.
    pub(super) fn silence(&self) -> Duration {
        self.patience(1)
    }

    /// From one COMPLETE of the session to the next.
    pub(super) fn complete_repeat(&self) -> Duration {
        (self.grtt * COMPLETE_INTERVAL).max(SHORTEST_REPEAT)
    }

    /// From the first DONE of the session until a missing DONE_CONF is no longer waited for.
    pub(super) fn confirmation(&self) -> Duration {
        self.patience(COMPLETE_INTERVAL)
    }

    fn patience(&self, round_trips: u32) -> Duration {
        (self.grtt * (round_trips * u32::from(self.robust))).max(SHORTEST_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uftp_proto::wire::Version;

    #[test]
    fn numbers_of_the_specification() {
        let code = RttCode(127);
        let g = code.duration();
        let v4 = Timing::new(Policy::of(Version::V4), 10, code);
        let v5 = Timing::new(Policy::of(Version::V5), 10, code);
        assert_eq!(v4.registration().as_millis(), 2118);
        assert_eq!(v5.registration().as_millis(), 2647);
        assert_eq!(v4.silence(), Duration::from_secs(1));
        assert_eq!(v4.register_repeat(), g * 4);
        assert_eq!(v5.register_repeat(), g * 5);
        assert_eq!(v5.complete_repeat(), g * 4);
        let slow = Timing::new(Policy::of(Version::V4), 20, RttCode(157));
        assert_eq!(slow.silence().as_millis(), 10_644);
        assert_eq!(slow.confirmation().as_millis(), 42_577);
    }

    #[test]
    fn a_header_that_claims_no_round_trip_causes_no_flood() {
        let timing = Timing::new(Policy::of(Version::V4), 255, RttCode(0));
        assert_eq!(timing.register_repeat(), Duration::from_millis(1));
        assert_eq!(timing.complete_repeat(), Duration::from_millis(1));
        let longest = Timing::new(Policy::of(Version::V4), 255, RttCode(255));
        assert_eq!(longest.registration(), Duration::from_secs(1_020_000));
    }
}
