//! How long a file may take (behaviour-sender-receiver §3.7; wire-v3 §6.5).

use std::time::Duration;

use super::config::Rate;
use super::session::Session;
use crate::policy::TimeLimit;

/// Beyond a century it is no limit.
const LONGEST: u64 = 100 * 365 * 86_400;

impl Session {
    /// The time limit of a file of `size` bytes: whole seconds, none if that makes 0.
    pub(super) fn max_time(&self, size: u64) -> Option<Duration> {
        let config = &self.config;
        let asked = (config.max_time_percent, config.shortest_max_time);
        max_time(size, config.rate, asked, &self.policy.time_limit)
    }
}

/// As the operator `asked`, in percent and at least so much, or else as is `usual`.
fn max_time(
    size: u64,
    rate: Rate,
    asked: (Option<u32>, Option<Duration>),
    usual: &TimeLimit,
) -> Option<Duration> {
    let (percent, shortest) = asked;
    let (percent, rate) = match rate {
        Rate::Fixed(rate) => (percent.or(usual.percent)?, rate),
        // How fast it will go nobody knows, so there is a limit for those who ask for it only.
        Rate::SelfClocked => (percent?, usual.unbounded?),
        Rate::Tfmcc(_) => return None,
    };
    let seconds = u128::from(size) * u128::from(percent) / 100 / u128::from(rate.max(1));
    let seconds = u64::try_from(seconds).ok().filter(|s| *s < LONGEST)?;
    let time = Duration::from_secs(seconds).max(shortest.unwrap_or(usual.shortest));
    (!time.is_zero()).then_some(time)
}

#[cfg(test)]
mod tests {
    use uftp_proto::wire::Version;

    use super::*;
    use crate::policy::Policy;

    fn seconds(
        version: Version,
        size: u64,
        rate: Rate,
        asked: (Option<u32>, Option<u64>),
    ) -> Option<u64> {
        let (percent, shortest) = asked;
        let asked = (percent, shortest.map(Duration::from_secs));
        let time = max_time(size, rate, asked, &Policy::of(version).time_limit);
        time.map(|time| time.as_secs())
    }

    #[test]
    fn limits_are_those_of_the_protocol() {
        let rate = Rate::Fixed(128_000);
        let three = |size, asked| seconds(Version::V3, size, rate, asked);
        assert_eq!(three(12_800_000, (None, None)), Some(300));
        assert_eq!(three(1000, (None, None)), Some(10));
        assert_eq!(three(1000, (None, Some(1))), Some(1));
        assert_eq!(three(1_000_000, (None, Some(1))), Some(23));
        assert_eq!(three(12_800_000, (Some(110), None)), Some(110));
        assert_eq!(three(u64::MAX, (None, None)), None);
        let four = |size, asked| seconds(Version::V4, size, rate, asked);
        assert_eq!(four(12_800_000, (None, None)), None);
        assert_eq!(four(12_800_000, (Some(110), None)), Some(110));
        assert_eq!(four(1000, (Some(110), None)), None);
    }

    #[test]
    fn a_rate_that_is_not_fixed_has_a_limit_in_protocol_3_only_if_asked_for() {
        let own = |version, asked| seconds(version, 1_280_000_000, Rate::SelfClocked, asked);
        assert_eq!(own(Version::V3, (None, None)), None);
        assert_eq!(own(Version::V3, (Some(300), None)), Some(300));
        assert_eq!(own(Version::V4, (Some(300), None)), None);
    }
}
