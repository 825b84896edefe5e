//! The way back up.

use std::time::Duration;

/// The way back up after a drop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Climb {
    /// The rate after the drop, bytes per second.
    from: f64,
    /// The rate that was too much.
    to: f64,
    /// How long it takes to get there.
    takes: Duration,
    /// Time without trouble since.
    passed: Duration,
}

impl Climb {
    const SHORTEST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(1);
    /// Beyond the rate that was too much: the first step, as a part of it, and the time in which
    /// steps grow e-fold.
    const STEP: f64 = 0.01;
    /// Where a rate that was too much again is flat, as a part of what was taken of it.
    const NEAR: f64 = 1.02;
    /// Who takes less than this part of a rate, much of which it took before, is not behind a bottleneck
    /// that was met again.
    const STUTTER: f64 = 0.6;
    const SWELLING: Duration = Duration::from_millis(250);

    /// Down to `from` because `to` was too much and `taken` was not, after another climb if
    /// there was one.
    pub(super) fn new(from: f64, to: f64, taken: f64, before: Option<Climb>) -> Self {
        let once = Climb {
            from: from.min(to),
            to,
            takes: Self::SHORTEST,
            passed: Duration::ZERO,
        };
        let again = |before: &Climb| (0.75..1.15).contains(&(to / before.to));
        match before {
            Some(before) if again(&before) && taken > Self::STUTTER * to => Climb {
                to: to.min(taken * Self::NEAR).max(once.from),
                takes: (before.takes * 2).min(Self::LONGEST),
                ..once
            },
            // A stutter may be to blame, or the receiver has become slower.
            _ => once,
        }
    }

    /// The same way from further down.
    pub(super) fn from(self, from: f64) -> Self {
        Climb { from, ..self }
    }

    /// Time without trouble goes by.
    pub(super) fn pass(&mut self, time: Duration) {
        self.passed += time;
    }

    /// The rate to be at: a cubic curve up to the rate that was too much, flat there, and an
    /// exponential one beyond.
    pub(super) fn rate(&self) -> f64 {
        if let Some(beyond) = self.passed.checked_sub(self.takes) {
            let steps = beyond.as_secs_f64() / Self::SWELLING.as_secs_f64();
            return self.to * (1.0 + Self::STEP * steps.exp());
        }
        let left = 1.0 - self.passed.as_secs_f64() / self.takes.as_secs_f64();
        // Even if the drop was small, there is something to climb.
        let height = (self.to - self.from).max(0.02 * self.to);
        self.to - height * left.powi(3)
    }
}
