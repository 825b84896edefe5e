//! Lines of one kind of which very many may come at once: anybody can make them.

use std::time::{Duration, Instant};

/// Lines in a second; the others are counted.
const MOST: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// Those of one kind.
#[derive(Default)]
pub(super) struct Crowd {
    /// When the second being counted began, and the lines in it.
    begun: Option<Instant>,
    lines: u32,
    /// Events without a line.
    untold: u64,
}

impl Crowd {
    /// Whether an event of `now` gets a line of its own.
    pub(super) fn has_line(&mut self, now: Instant) -> bool {
        if self.is_over(now) {
            (self.begun, self.lines) = (Some(now), 0);
        }
        let told = self.lines < MOST;
        match told {
            true => self.lines += 1,
            false => self.untold += 1,
        }
        told
    }

    /// How many had no line, when it is time to say so: once a second.
    pub(super) fn untold(&mut self, now: Instant) -> Option<u64> {
        if self.untold == 0 || !(self.is_over(now) || self.lines == MOST) {
            return None;
        }
        // One more, so that this is not said again before the second is over.
        self.lines = MOST + 1;
        Some(std::mem::take(&mut self.untold))
    }

    fn is_over(&self, now: Instant) -> bool {
        let over = |begun| now.saturating_duration_since(begun) >= SECOND;
        self.begun.is_none_or(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_lines_a_second_and_one_for_the_others() {
        let now = Instant::now();
        let mut crowd = Crowd::default();
        let lines = |crowd: &mut Crowd, at, events: usize| {
            (0..events).filter(|_| crowd.has_line(at)).count()
        };
        assert_eq!(lines(&mut crowd, now, 99), 99);
        assert_eq!(crowd.untold(now), None);
        assert_eq!(lines(&mut crowd, now, 901), 1);
        assert_eq!(crowd.untold(now), Some(900));
        assert_eq!(lines(&mut crowd, now, 50), 0);
        assert_eq!(crowd.untold(now), None, "not twice in a second");
        let later = now + SECOND;
        assert_eq!(crowd.untold(later), Some(50));
        assert_eq!(crowd.untold(later), None);
        assert_eq!(lines(&mut crowd, later, 5), 5);
    }
}
