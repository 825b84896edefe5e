//! When a receiver reports what it misses (behaviour-sender-receiver §5.6).

use std::ops::Range;
use std::time::{Duration, Instant};

/// Watches data and DONEs go by and says when which sections are to be reported.
///
/// Section numbers are 32 bits wide here so that "one past the last" always fits.
#[derive(Clone, Debug, Default)]
pub(super) struct NakTimer {
    /// Section of the newest data, one past the section of the newest DONE.
    last: u32,
    armed: Option<Armed>,
    /// Sections that ended while the timer ran, to be reported after it. Deployed receivers
    /// forget them until they are asked, which tells a fast sender too late.
    missed: Option<Armed>,
}

#[derive(Clone, Debug)]
struct Armed {
    at: Instant,
    sections: Range<u32>,
    asked: bool,
}

/// The sections to report, in this order: those of the range, and if none of them misses a block
/// and the sender had asked, those before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NakSweep {
    sections: Range<u32>,
    /// Sections `0..before` are still to be looked at if nothing was reported.
    before: u32,
    /// How many sections may still be reported.
    reports_left: u32,
}

/// Most sections reported at a time, so that one question for a huge file does not make us flood
/// the network. The rest is reported when these have been repaired.
const MAX_REPORTS: u32 = 1024;

/// A DONE for the file being received, which is not complete or does not ask us.
#[derive(Clone, Copy, Debug)]
pub(super) struct DoneHeard {
    /// Last section sent.
    pub(super) section: u16,
    /// The pass over the file, where that is said.
    pub(super) pass: u8,
    /// It names us.
    pub(super) asked: bool,
    /// All that the section misses is its last block, which may be under way.
    pub(super) last_only: bool,
    /// Answer at once: nothing can be under way that would fill gaps.
    pub(super) at_once: bool,
}

impl NakTimer {
    /// Data of `section` came in the newest packet so far.
    pub(super) fn data(&mut self, now: Instant, delay: Duration, section: u16) {
        let section = u32::from(section);
        if section > self.last {
            self.arm(now + delay, self.last..section);
        }
        // Goes back to small values when a new pass starts.
        self.last = section;
    }

    /// Sections have ended that nobody has asked us about.
    fn arm(&mut self, at: Instant, sections: Range<u32>) {
        let Some(armed) = &self.armed else {
            self.armed = Some(Armed {
                at,
                sections,
                asked: false,
            });
            return;
        };
        let start = sections.start.max(armed.sections.end);
        match &mut self.missed {
            Some(missed) if missed.sections.end == start => {
                missed.sections.end = sections.end;
                missed.at = at;
            }
            missed if start < sections.end => {
                *missed = Some(Armed {
                    at,
                    sections: start..sections.end,
                    asked: false,
                });
            }
            _ => {}
        }
    }

    /// A DONE came.
    pub(super) fn done(&mut self, now: Instant, delay: Duration, done: DoneHeard) {
        let end = u32::from(done.section) + 1;
        if self.armed.is_none() && (done.asked || end > self.last) {
            self.armed = Some(Armed {
                at: if done.at_once { now } else { now + delay },
                sections: self.last..end,
                asked: done.asked,
            });
        } else if end > self.last {
            self.arm(now + delay, self.last..end);
        }
        self.last = end;
    }

    /// Whether the newest data were of `section`.
    pub(super) fn is_amid(&self, section: u16) -> bool {
        self.last == u32::from(section)
    }

    /// When to call [`due`](Self::due).
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.armed.as_ref().map(|armed| armed.at)
    }

    /// What to report if the timer has run out; it is off then.
    pub(super) fn due(&mut self, now: Instant) -> Option<NakSweep> {
        let armed = self.armed.take_if(|armed| armed.at <= now)?;
        self.armed = self.missed.take();
        Some(NakSweep {
            before: if armed.asked { armed.sections.start } else { 0 },
            sections: armed.sections,
            reports_left: MAX_REPORTS,
        })
    }
}

impl NakSweep {
    /// A single section.
    pub(super) fn one(section: u16) -> Self {
        let section = u32::from(section);
        NakSweep {
            sections: section..section + 1,
            before: 0,
            reports_left: 1,
        }
    }

    /// The section to look at now, `None` when all have been.
    pub(super) fn section(&self) -> Option<u16> {
        if self.reports_left == 0 {
            return None;
        }
        let next = if self.sections.is_empty() {
            (self.before > 0).then_some(0)
        } else {
            Some(self.sections.start)
        };
        next.and_then(|section| u16::try_from(section).ok())
    }

    /// Goes on to the next section: the one looked at has no gaps.
    pub(super) fn pass_by(&mut self) {
        if self.sections.is_empty() {
            self.sections = 0..std::mem::take(&mut self.before);
        }
        self.sections.start += 1;
    }

    /// Goes on to the next section: the one looked at has gaps, which were reported.
    pub(super) fn reported(&mut self) {
        self.reports_left = self.reports_left.saturating_sub(1);
        if !self.sections.is_empty() {
            self.before = 0;
        }
        self.pass_by();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: Duration = Duration::from_millis(10);

    fn done(section: u16, asked: bool) -> DoneHeard {
        DoneHeard {
            section,
            pass: 0,
            asked,
            last_only: false,
            at_once: false,
        }
    }

    /// Sections looked at if those in `gaps` miss blocks.
    fn looked_at(mut sweep: NakSweep, gaps: &[u16]) -> Vec<u16> {
        let mut seen = Vec::new();
        while let Some(section) = sweep.section() {
            seen.push(section);
            match gaps.contains(&section) {
                true => sweep.reported(),
                false => sweep.pass_by(),
            }
        }
        seen
    }

    #[test]
    fn the_next_section_starts_the_timer_of_the_one_before() {
        let t0 = Instant::now();
        let mut timer = NakTimer::default();
        timer.data(t0, G, 0);
        assert_eq!(timer.deadline(), None);
        timer.data(t0, G, 1);
        assert_eq!(timer.deadline(), Some(t0 + G));
        // Running timers are left alone.
        timer.data(t0 + G / 2, G, 2);
        assert_eq!(timer.deadline(), Some(t0 + G));
        assert_eq!(timer.due(t0 + G / 2), None);
        let sweep = timer.due(t0 + G).unwrap();
        assert_eq!(looked_at(sweep, &[]), [0]);
        // Section 1 ended while the timer ran; it has its time after that.
        assert_eq!(timer.deadline(), Some(t0 + G / 2 + G));
        let sweep = timer.due(t0 + 2 * G).unwrap();
        assert_eq!(looked_at(sweep, &[]), [1]);
        assert_eq!(timer.deadline(), None);
        // The DONE starts from the newest section.
        timer.done(t0 + 2 * G, G, done(2, false));
        assert_eq!(looked_at(timer.due(t0 + 3 * G).unwrap(), &[]), [2]);
    }

    #[test]
    fn no_section_is_forgotten_however_fast_they_come() {
        let t0 = Instant::now();
        let mut timer = NakTimer::default();
        let mut seen = Vec::new();
        // Three sections in the time of a report.
        for section in 0..30 {
            let now = t0 + G / 3 * section;
            while let Some(sweep) = timer.due(now) {
                seen.extend(looked_at(sweep, &[]));
            }
            timer.data(now, G, section as u16);
        }
        timer.done(t0 + G * 10, G, done(29, false));
        while let Some(at) = timer.deadline() {
            assert!(at <= t0 + G * 11);
            seen.extend(looked_at(timer.due(at).unwrap(), &[]));
        }
        assert_eq!(seen, (0..30).collect::<Vec<_>>());
    }

    #[test]
    fn a_question_in_the_middle_of_a_section_is_answered() {
        let t0 = Instant::now();
        let mut timer = NakTimer::default();
        timer.data(t0, G, 0);
        timer.done(t0, G, done(0, false));
        timer.data(t0, G, 0);
        assert_eq!(looked_at(timer.due(t0 + G).unwrap(), &[0]), [0]);
        // Also while the end of the section before is to be reported.
        timer.data(t0 + G, G, 1);
        timer.done(t0 + G + G / 2, G, done(1, false));
        timer.data(t0 + G + G / 2, G, 1);
        assert_eq!(looked_at(timer.due(t0 + 2 * G).unwrap(), &[]), [0]);
        assert_eq!(looked_at(timer.due(t0 + 3 * G).unwrap(), &[1]), [1]);
        // And the end of the section is reported as ever.
        timer.data(t0 + 3 * G, G, 2);
        assert_eq!(looked_at(timer.due(t0 + 4 * G).unwrap(), &[]), [1]);
    }

    #[test]
    fn a_whole_section_may_be_lost() {
        let t0 = Instant::now();
        let mut timer = NakTimer::default();
        timer.data(t0, G, 0);
        timer.data(t0, G, 3);
        assert_eq!(looked_at(timer.due(t0 + G).unwrap(), &[1]), [0, 1, 2]);
    }

    #[test]
    fn a_question_reaches_back_only_if_nothing_newer_is_missing() {
        let t0 = Instant::now();
        let mut timer = NakTimer::default();
        timer.data(t0, G, 2);
        timer.due(t0 + G);
        timer.done(t0, G, done(3, true));
        assert_eq!(looked_at(timer.due(t0 + G).unwrap(), &[3]), [2, 3]);
        timer.done(t0, G, done(3, true));
        assert_eq!(
            looked_at(timer.due(t0 + G).unwrap(), &[1, 2]),
            [0, 1, 2, 3],
            "range past the last section is empty"
        );
        timer.data(t0, G, 2);
        timer.done(t0, G, done(3, true));
        assert_eq!(looked_at(timer.due(t0 + G).unwrap(), &[0]), [2, 3, 0, 1]);
        // Not asked: no looking back.
        timer.data(t0, G, 2);
        timer.done(t0, G, done(3, false));
        assert_eq!(looked_at(timer.due(t0 + G).unwrap(), &[0]), [2, 3]);
        // Not asked and nothing new: no timer.
        timer.done(t0, G, done(3, false));
        assert_eq!(timer.deadline(), None);
    }

    #[test]
    fn a_new_pass_starts_over() {
        let t0 = Instant::now();
        let mut timer = NakTimer::default();
        timer.done(t0, G, done(2, true));
        timer.due(t0 + G);
        timer.data(t0 + G, G, 0);
        assert_eq!(timer.deadline(), None);
        timer.data(t0 + G, G, 1);
        assert_eq!(looked_at(timer.due(t0 + 2 * G).unwrap(), &[]), [0]);
    }

    #[test]
    fn a_resumed_file_answers_at_once() {
        let t0 = Instant::now();
        let mut timer = NakTimer::default();
        let heard = DoneHeard {
            at_once: true,
            ..done(65535, true)
        };
        timer.done(t0, G, heard);
        let sweep = timer.due(t0).unwrap();
        assert_eq!(looked_at(sweep, &[0]).len(), 65536);
    }

    #[test]
    fn a_sweep_has_an_end() {
        let t0 = Instant::now();
        let mut timer = NakTimer::default();
        timer.done(t0, G, done(5000, true));
        let gaps: Vec<u16> = (100..5000).collect();
        let seen = looked_at(timer.due(t0 + G).unwrap(), &gaps);
        assert_eq!(seen.last(), Some(&1123));
    }
}
