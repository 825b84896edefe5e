//! The group round trip time: what a sender derives from the round trips of its receivers
//! (behaviour-sender-receiver §3.11).

use std::time::Duration;

/// How far below the previous value a measurement may pull the group round trip time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decay {
    /// To 0.9 of it, but the very first measurement at once: while receivers register.
    FirstFree,
    /// To 0.9 of it.
    Gradual,
}

/// The group round trip time and its bounds.
#[derive(Clone, Debug)]
pub(crate) struct Grtt {
    value: Duration,
    min: Duration,
    max: Duration,
    computed: bool,
}

impl Grtt {
    /// No round trip of a receiver counts as shorter.
    pub(crate) const SHORTEST: Duration = Duration::from_millis(1);

    /// Starts at `initial`.
    pub(crate) fn new(initial: Duration, min: Duration, max: Duration) -> Self {
        Grtt {
            value: initial.max(Self::SHORTEST),
            min: min.max(Self::SHORTEST),
            max: max.max(min),
            computed: false,
        }
    }

    /// The time now.
    pub(crate) fn value(&self) -> Duration {
        self.value
    }

    /// Whether a round trip was measured.
    pub(crate) fn is_measured(&self) -> bool {
        self.computed
    }

    /// Takes in one round trip at once if it is longer.
    pub(crate) fn raise(&mut self, rtt: Duration) {
        self.value = self.value.max(rtt.min(self.max));
    }

    /// Takes in the longest round trip measured since measurements were last cleared.
    pub(crate) fn update(&mut self, longest: Option<Duration>, decay: Decay) {
        let Some(longest) = longest else { return };
        let candidate = longest.clamp(self.min, self.max.max(self.min));
        let lowest = match decay {
            Decay::FirstFree if !self.computed => Duration::ZERO,
            _ => self.value.mul_f64(0.9),
        };
        self.value = candidate.max(lowest);
        self.computed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn first_measurement_drops_at_once_later_ones_by_a_tenth() {
        let mut g = Grtt::new(MS(500), MS(10), MS(15_000));
        g.update(None, Decay::FirstFree);
        assert_eq!(g.value(), MS(500));
        g.update(Some(MS(200)), Decay::FirstFree);
        assert_eq!(g.value(), MS(200));
        g.update(Some(MS(1)), Decay::FirstFree);
        assert_eq!(g.value(), MS(180));
        g.update(Some(MS(1)), Decay::Gradual);
        assert_eq!(g.value(), MS(162));
        g.update(Some(MS(170)), Decay::Gradual);
        assert_eq!(g.value(), MS(170), "it rises at once");
    }

    #[test]
    fn stays_within_its_bounds() {
        let mut g = Grtt::new(MS(500), MS(10), MS(15_000));
        g.update(Some(Duration::from_micros(3)), Decay::FirstFree);
        assert_eq!(g.value(), MS(10));
        g.update(Some(MS(60_000)), Decay::Gradual);
        assert_eq!(g.value(), MS(15_000));
    }

    #[test]
    fn one_longer_round_trip_raises_it_within_bounds() {
        let mut g = Grtt::new(MS(500), MS(10), MS(15_000));
        g.raise(MS(400));
        assert_eq!(g.value(), MS(500));
        g.raise(MS(700));
        assert_eq!(g.value(), MS(700));
        g.raise(MS(20_000));
        assert_eq!(g.value(), MS(15_000));
    }
}
