//! How long a proxy holds answers, repeats itself, and waits.

use std::time::Duration;

use uftp_proto::wire::{FixedPace, Pace};

use super::aggregation::Kind;
use crate::limit::LONGEST_PATIENCE;
use crate::link::GroupEstimate;

/// The clockwork of one session at a proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timing {
    /// Every time is a multiple of the round trip time that the server states in its headers
    /// (behaviour-proxies §3).
    RoundTrips {
        /// How often the server repeats a message before it gives up.
        robust: u8,
    },
    /// The server has fixed every time in its ANNOUNCE (wire-v3 §8.3, §8.4).
    Fixed {
        /// The times.
        pace: FixedPace,
        /// Answers are held for this part of the time in which the server repeats its question, in
        /// hundredths.
        hold_percent: u8,
    },
}

/// Nothing is held or repeated for less, whatever times a header claims.
const SHORTEST_HOLD: Duration = Duration::from_millis(1);

/// No client is given up sooner, however short the round trips (behaviour-proxies §3).
const SHORTEST_REGISTRATION: Duration = Duration::from_secs(1);

/// No session is forgotten sooner.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);

/// From one KEYINFO to a client to the next, in round trip times (behaviour-proxies §3).
const KEY_INFO_INTERVAL: u32 = 2;

/// Silence in round trips times the robustness factor after which a session is forgotten.
const PATIENCE: u32 = 4;

impl Timing {
    pub(super) fn new(pace: &Pace, hold_percent: u8) -> Self {
        match *pace {
            Pace::Adaptive { robust, .. } => Timing::RoundTrips { robust },
            Pace::Fixed(pace) => Timing::Fixed { pace, hold_percent },
        }
    }

    /// From the first answer held to when all that are go.
    pub(super) fn hold(&self, group: GroupEstimate, kind: Kind) -> Duration {
        let hold = match (self, kind) {
            (Timing::RoundTrips { .. }, _) => group.grtt.duration(),
            (Timing::Fixed { pace, hold_percent }, kind) => {
                let interval = match kind {
                    Kind::Register | Kind::FileInfoAck(_) => pace.announce_interval,
                    Kind::Status(_) | Kind::Complete(..) => pace.status_interval,
                };
                Duration::from_millis(interval.into()) * u32::from(*hold_percent) / 100
            }
        };
        hold.max(SHORTEST_HOLD)
    }

    /// From one KEYINFO to a client to the next.
    pub(super) fn key_info_repeat(&self, group: GroupEstimate) -> Duration {
        let repeat = match self {
            Timing::RoundTrips { .. } => group.grtt.duration() * KEY_INFO_INTERVAL,
            Timing::Fixed { pace, .. } => Duration::from_millis(pace.announce_interval.into()),
        };
        repeat.max(SHORTEST_HOLD)
    }

    /// From the registration of a client until it is given up if it has no keys.
    pub(super) fn registration(&self, group: GroupEstimate) -> Duration {
        let limit = match self {
            Timing::RoundTrips { robust } => group.grtt.duration() * u32::from(*robust),
            Timing::Fixed { pace, .. } => seconds(pace.announce_time),
        };
        limit.clamp(SHORTEST_REGISTRATION, LONGEST_PATIENCE)
    }

    /// A server that takes part is not silent for longer.
    pub(super) fn lull(&self, group: GroupEstimate) -> Duration {
        match self {
            Timing::RoundTrips { .. } => self.silence(group) / 2,
            Timing::Fixed { pace, .. } => {
                let longest = pace.announce_interval.max(pace.status_interval);
                Duration::from_millis(longest.into())
            }
        }
    }

    /// Silence after which the session is forgotten. Deployed proxies of protocol 3 do not wait
    /// for as long as a server may be busy with receivers elsewhere (wire-v3 §11).
    pub(super) fn silence(&self, group: GroupEstimate) -> Duration {
        let silence = match self {
            Timing::RoundTrips { robust } => {
                group.grtt.duration() * (PATIENCE * u32::from(*robust))
            }
            Timing::Fixed { pace, .. } => seconds(pace.announce_time) + seconds(pace.status_time),
        };
        silence.clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE)
    }
}

fn seconds(seconds: u8) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uftp_proto::quant::{GroupSizeCode, RttCode};

    #[test]
    fn no_header_keeps_a_client_or_a_session_for_ever() {
        let timing = Timing::RoundTrips { robust: 255 };
        let group = |grtt| GroupEstimate {
            grtt: RttCode(grtt),
            size: GroupSizeCode(0),
        };
        assert_eq!(timing.registration(group(255)), LONGEST_PATIENCE);
        assert_eq!(timing.silence(group(255)), LONGEST_PATIENCE);
        assert_eq!(timing.registration(group(0)), SHORTEST_REGISTRATION);
        assert_eq!(timing.silence(group(0)), SHORTEST_PATIENCE);
    }
}
