//! When a receiver repeats itself and when it gives up.

use std::time::Duration;

use uftp_proto::quant::RttCode;
use uftp_proto::wire::{FixedPace, Pace};

use crate::limit::LONGEST_PATIENCE;
use crate::policy::Policy;

/// The clockwork of one session at a receiver.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timing {
    /// Every time is a multiple of the round trip time that the sender states in its headers
    /// (behaviour-sender-receiver §1.2).
    RoundTrips(RoundTrips),
    /// The sender has fixed every time in its ANNOUNCE (wire-v3 §7.1).
    Fixed(FixedPace),
}

/// A clockwork that follows the round trip time.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrips {
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

/// Longest wait for the disk in one go.
const LONGEST_DISK_WAIT: Duration = Duration::from_millis(100);

impl Timing {
    pub(super) fn new(policy: Policy, pace: &Pace, grtt: RttCode) -> Self {
        match *pace {
            Pace::Adaptive { robust, .. } => Timing::RoundTrips(RoundTrips {
                register_interval: policy.register_interval,
                robust,
                code: grtt,
                grtt: grtt.duration(),
            }),
            Pace::Fixed(pace) => Timing::Fixed(pace),
        }
    }

    /// Whether a header says another round trip time.
    pub(super) fn differs(&self, grtt: RttCode) -> bool {
        match self {
            Timing::RoundTrips(trips) => trips.code != grtt,
            Timing::Fixed(_) => false,
        }
    }

    /// Takes over the round trip time of a header; running timers follow.
    pub(super) fn set_grtt(&mut self, grtt: RttCode) {
        if let Timing::RoundTrips(trips) = self
            && trips.code != grtt
        {
            trips.code = grtt;
            trips.grtt = grtt.duration();
        }
    }

    /// How long a slow disk is waited for before the sender is told something: no longer than other
    /// sessions may be kept waiting, whatever the sender says.
    pub(super) fn disk_patience(&self) -> Duration {
        match self {
            Timing::RoundTrips(trips) => trips.grtt.min(LONGEST_DISK_WAIT),
            // spec: the sender asks again a status interval later, at least half a second.
            Timing::Fixed(_) => LONGEST_DISK_WAIT,
        }
    }

    /// Round trip time to the farthest receiver, as the sender says; nothing if it does not.
    pub(super) fn grtt(&self) -> Duration {
        match self {
            Timing::RoundTrips(trips) => trips.grtt,
            Timing::Fixed(_) => Duration::ZERO,
        }
    }

    /// From the end of a section, or from a DONE, to the STATUS.
    pub(super) fn nak_delay(&self) -> Duration {
        self.grtt()
    }

    /// From one REGISTER to the next.
    pub(super) fn register_repeat(&self) -> Duration {
        self.repeat(
            |trips| trips.register_interval,
            |pace| pace.register_interval,
        )
    }

    /// From keys that nothing has proved yet to the next REGISTER. Deployed senders of protocol 3 go on
    /// to the first file, which proves them, one and a half register intervals after the last word
    /// of all who register (wire-v3 §6.3), so none must come before.
    pub(super) fn doubt(&self) -> Duration {
        match self {
            Timing::RoundTrips(_) => self.register_repeat(),
            Timing::Fixed(_) => self.register_repeat() * 2,
        }
    }

    /// From the ANNOUNCE until an unconfirmed registration is given up.
    pub(super) fn registration(&self) -> Duration {
        let announcing = |pace: &FixedPace| (pace.announce_time, pace.announce_interval);
        self.patience(|trips| trips.register_interval, announcing)
    }

    /// Silence of the sender after which the session is given up.
    pub(super) fn silence(&self) -> Duration {
        self.patience(|_| 1, |pace| (pace.status_time, pace.status_interval))
    }

    /// Silence of the sender between files after which the session is given up: as long as a
    /// registration may take. Others may be waited for meanwhile with one message every three
    /// round trips, and of those a third of the robustness factor lost in a row must not cost us
    /// the session. Deployed receivers wait for [`silence`](Self::silence).
    pub(super) fn between_files(&self) -> Duration {
        self.registration().max(self.silence())
    }

    /// From one COMPLETE of the session to the next.
    pub(super) fn complete_repeat(&self) -> Duration {
        self.repeat(|_| COMPLETE_INTERVAL, |pace| pace.done_interval)
    }

    /// From the first DONE of the session until a missing DONE_CONF is no longer waited for.
    pub(super) fn confirmation(&self) -> Duration {
        self.patience(|_| COMPLETE_INTERVAL, |pace| (pace.status_time, 0))
    }

    /// A time of so many round trips, or of so many milliseconds.
    fn repeat(
        &self,
        round_trips: impl Fn(&RoundTrips) -> u32,
        millis: impl Fn(&FixedPace) -> u16,
    ) -> Duration {
        let time = match self {
            Timing::RoundTrips(trips) => trips.grtt * round_trips(trips),
            Timing::Fixed(pace) => Duration::from_millis(millis(pace).into()),
        };
        time.max(SHORTEST_REPEAT)
    }

    /// A time of so many round trips as often as messages are repeated; or of so many seconds and, as it is
    /// exactly so long that senders may have nothing to say, an interval more: who would give up the moment
    /// they go on is lost to two or three lost packets. Deployed receivers do.
    fn patience(
        &self,
        round_trips: impl Fn(&RoundTrips) -> u32,
        seconds: impl Fn(&FixedPace) -> (u8, u16),
    ) -> Duration {
        let time = match self {
            Timing::RoundTrips(trips) => {
                trips.grtt * (round_trips(trips) * u32::from(trips.robust))
            }
            Timing::Fixed(pace) => {
                let (seconds, millis) = seconds(pace);
                Duration::from_secs(seconds.into()) + Duration::from_millis(millis.into())
            }
        };
        time.clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uftp_proto::wire::{CcType, Version};

    fn adaptive(version: Version, robust: u8, grtt: RttCode) -> Timing {
        let pace = Pace::Adaptive {
            robust,
            cc: CcType::NONE,
            block_size: 1300,
        };
        Timing::new(Policy::of(version), &pace, grtt)
    }

    #[test]
    fn fixed_times_are_those_of_the_announcement() {
        let pace = FixedPace {
            announce_interval: 2500,
            status_interval: 4000,
            register_interval: 3000,
            done_interval: 5000,
            announce_time: 10,
            status_time: 12,
            mtu: 1500,
        };
        let policy = Policy::of(Version::V3);
        let mut timing = Timing::new(policy, &Pace::Fixed(pace), RttCode(0));
        timing.set_grtt(RttCode(200));
        assert!(!timing.differs(RttCode(200)));
        assert_eq!(timing.register_repeat(), Duration::from_secs(3));
        assert_eq!(timing.doubt(), Duration::from_secs(6));
        assert_eq!(timing.disk_patience(), LONGEST_DISK_WAIT);
        // An interval longer than senders may be silent.
        assert_eq!(timing.registration(), Duration::from_millis(12_500));
        assert_eq!(timing.silence(), Duration::from_secs(16));
        assert_eq!(timing.complete_repeat(), Duration::from_secs(5));
        assert_eq!(timing.confirmation(), Duration::from_secs(12));
        let none = FixedPace {
            register_interval: 0,
            announce_interval: 0,
            announce_time: 0,
            ..pace
        };
        let timing = Timing::new(policy, &Pace::Fixed(none), RttCode(0));
        assert_eq!(timing.register_repeat(), SHORTEST_REPEAT);
        assert_eq!(timing.registration(), SHORTEST_PATIENCE);
    }

    #[test]
    fn numbers_of_the_specification() {
        let code = RttCode(127);
        let g = code.duration();
        let v4 = adaptive(Version::V4, 10, code);
        let v5 = adaptive(Version::V5, 10, code);
        assert_eq!(v4.registration().as_millis(), 2118);
        assert_eq!(v5.registration().as_millis(), 2647);
        assert_eq!(v4.silence(), Duration::from_secs(1));
        assert_eq!(v4.between_files(), v4.registration());
        assert_eq!(v4.register_repeat(), g * 4);
        assert_eq!(v4.doubt(), g * 4);
        assert_eq!(v5.register_repeat(), g * 5);
        assert_eq!(v5.complete_repeat(), g * 4);
        let slow = adaptive(Version::V4, 20, RttCode(157));
        assert_eq!(slow.silence().as_millis(), 10_644);
        assert_eq!(slow.confirmation().as_millis(), 42_577);
    }

    #[test]
    fn a_header_that_claims_no_round_trip_causes_no_flood() {
        let timing = adaptive(Version::V4, 255, RttCode(0));
        assert_eq!(timing.register_repeat(), Duration::from_millis(1));
        assert_eq!(timing.complete_repeat(), Duration::from_millis(1));
        let longest = adaptive(Version::V4, 255, RttCode(255));
        assert_eq!(longest.registration(), LONGEST_PATIENCE);
        assert_eq!(longest.silence(), LONGEST_PATIENCE);
    }
}
