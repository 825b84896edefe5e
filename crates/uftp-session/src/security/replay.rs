//! What was here before.

use std::collections::VecDeque;

use crate::counters::Refusal;
use crate::policy::Numbering;

/// What one source has sent under the keys of a session.
#[derive(Clone, Debug)]
pub(crate) struct Past(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Counted(ReplayWindow),
    Stamped(Recent),
}

impl Past {
    /// Nothing so far.
    pub(crate) fn new(numbering: Numbering) -> Self {
        Past(match numbering {
            Numbering::Counters => Kind::Counted(ReplayWindow::default()),
            Numbering::Clocks => Kind::Stamped(Recent::default()),
        })
    }

    /// Whether there was nothing yet.
    pub(crate) fn is_blank(&self) -> bool {
        match &self.0 {
            Kind::Counted(window) => window.highest.is_none(),
            Kind::Stamped(recent) => recent.0.is_empty(),
        }
    }

    /// Takes note of a packet that has proved authentic.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] if it was here before, [`Refusal::Stale`] if it is too old to tell.
    pub(crate) fn admit(&mut self, counter: u64) -> Result<(), Refusal> {
        match &mut self.0 {
            Kind::Counted(window) => window.admit(counter),
            Kind::Stamped(recent) => recent.admit(counter),
        }
    }
}

/// The last few stamps of a source whose packets carry its clock. A clock may be set back, and
/// then what is new looks old: only what is known to have been here is refused.
#[derive(Clone, Debug, Default)]
struct Recent(VecDeque<u64>);

impl Recent {
    const MOST: usize = 64;

    fn admit(&mut self, stamp: u64) -> Result<(), Refusal> {
        if self.0.contains(&stamp) {
            return Err(Refusal::Replayed);
        }
        if self.0.len() >= Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back(stamp);
        Ok(())
    }
}

/// Counters this far behind the highest are still told apart.
const WINDOW: u64 = 256;
const WORDS: usize = 4;

/// The IV counters one source has used lately. Reordering within 256 packets is tolerated;
/// jumping ahead always is: hosts that restart begin at a higher value, and losses leave gaps.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplayWindow {
    /// The highest counter seen; `None` before the first.
    highest: Option<u64>,
    /// Bit `n % 256` says whether counter `n` was seen, for those in the window.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// Takes note of a counter whose packet has proved authentic.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] if it was here before, [`Refusal::Stale`] if it is too old to tell.
    pub(super) fn admit(&mut self, counter: u64) -> Result<(), Refusal> {
        match self.highest {
            Some(highest) if counter <= highest => {
                if highest - counter >= WINDOW {
                    return Err(Refusal::Stale);
                }
                if *self.word(counter) & bit(counter) != 0 {
                    return Err(Refusal::Replayed);
                }
            }
            Some(highest) if counter - highest < WINDOW => {
                for passed in highest + 1..=counter {
                    *self.word(passed) &= !bit(passed);
                }
                self.highest = Some(counter);
            }
            _ => {
                self.seen = [0; WORDS];
                self.highest = Some(counter);
            }
        }
        *self.word(counter) |= bit(counter);
        Ok(())
    }

    fn word(&mut self, counter: u64) -> &mut u64 {
        let [a, b, c, d] = &mut self.seen;
        match counter / 64 % WORDS as u64 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        }
    }
}

fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn order_does_not_matter_within_the_window() {
        let mut window = ReplayWindow::default();
        for counter in [5, 3, 4, 260, 6] {
            assert_eq!(window.admit(counter), Ok(()), "{counter}");
        }
        for counter in [5, 6, 260] {
            assert_eq!(window.admit(counter), Err(Refusal::Replayed), "{counter}");
        }
        assert_eq!(window.admit(4), Err(Refusal::Stale));
        assert_eq!(window.admit(u64::MAX), Ok(()));
        assert_eq!(window.admit(261), Err(Refusal::Stale));
        assert_eq!(window.admit(u64::MAX), Err(Refusal::Replayed));
    }

    #[test]
    fn a_clock_may_be_set_back_but_what_was_here_is_known() {
        let mut past = Past::new(Numbering::Clocks);
        for stamp in [10, 5_000_000, 11, 7] {
            assert_eq!(past.admit(stamp), Ok(()), "{stamp}");
            assert_eq!(past.admit(stamp), Err(Refusal::Replayed), "{stamp}");
        }
        let later = 100..100 + Recent::MOST as u64;
        assert!(later.clone().all(|stamp| past.admit(stamp).is_ok()));
        assert!(later.clone().all(|stamp| past.admit(stamp).is_err()));
        let mut counted = Past::new(Numbering::Counters);
        assert_eq!(counted.admit(5_000_000), Ok(()));
        assert_eq!(counted.admit(11), Err(Refusal::Stale));
    }

    proptest! {
        #[test]
        fn nothing_is_admitted_twice_and_nothing_new_is_refused(
            steps in prop::collection::vec((-400i64..400, any::<bool>()), 1..400),
        ) {
            let mut window = ReplayWindow::default();
            let mut seen = HashSet::new();
            let (mut at, mut highest) = (1_000_000i64, -1_000_000i64);
            for (step, big) in steps {
                at = (at + if big { step } else { step / 50 }).max(0);
                let told = window.admit(at as u64);
                let expected = if highest - at >= WINDOW as i64 {
                    Err(Refusal::Stale)
                } else if seen.insert(at) {
                    Ok(())
                } else {
                    Err(Refusal::Replayed)
                };
                prop_assert_eq!(told, expected);
                highest = highest.max(at);
            }
        }
    }
}
