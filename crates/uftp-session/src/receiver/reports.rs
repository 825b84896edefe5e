//! How a file's gaps come to be reported.

use std::time::{Duration, Instant};

use super::nak::{DoneHeard, NakSweep, NakTimer};
use crate::policy::PassStyle;

/// What decides over the reports on one file.
#[derive(Clone, Debug)]
pub(super) enum Reports {
    /// The data that go by (protocols 4 and 5).
    Timed(NakTimer),
    /// The questions of the sender, each of which has its answer (protocol 3).
    Asked(Forbearance),
}

/// A question for one section after one pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Question {
    pub(super) pass: u8,
    pub(super) section: u16,
}

impl Reports {
    pub(super) fn new(style: PassStyle) -> Self {
        match style {
            PassStyle::Streaming => Reports::Timed(NakTimer::default()),
            PassStyle::LockStep => Reports::Asked(Forbearance::default()),
        }
    }

    /// Data of `section` came in the newest packet so far.
    pub(super) fn data(&mut self, now: Instant, delay: Duration, section: u16) {
        if let Reports::Timed(timer) = self {
            timer.data(now, delay, section);
        }
    }

    /// A DONE came. Returns what is to be answered at once.
    pub(super) fn done(
        &mut self,
        now: Instant,
        delay: Duration,
        done: DoneHeard,
    ) -> Option<Question> {
        match self {
            Reports::Timed(timer) => {
                timer.done(now, delay, done);
                None
            }
            Reports::Asked(forbearance) => {
                let question = Question {
                    pass: done.pass,
                    section: done.section,
                };
                let silent = !done.asked || (done.last_only && forbearance.spares(question));
                (!silent).then_some(question)
            }
        }
    }

    /// Whether a question may come in the middle of `section`: its data are the newest.
    pub(super) fn are_amid(&self, section: u16) -> bool {
        match self {
            Reports::Timed(timer) => timer.is_amid(section),
            Reports::Asked(_) => false,
        }
    }

    /// When to call [`due`](Self::due).
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Reports::Timed(timer) => timer.deadline(),
            Reports::Asked(_) => None,
        }
    }

    /// What to report now, if the time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<NakSweep> {
        match self {
            Reports::Timed(timer) => timer.due(now),
            Reports::Asked(_) => None,
        }
    }
}

/// A DONE may overtake the data before it. So a section that misses nothing but its last block is
/// not reported when the sender asks for the first time (wire-v3 §7.2).
#[derive(Clone, Default, Debug)]
pub(super) struct Forbearance(Option<Question>);

impl Forbearance {
    /// Whether this question, which there is a reason to pass over, may be: it is new.
    fn spares(&mut self, question: Question) -> bool {
        self.0.replace(question) != Some(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_answered_at_once_but_those_that_may_have_overtaken_data() {
        let now = Instant::now();
        let mut reports = Reports::new(PassStyle::LockStep);
        let mut ask = |asked, pass, section, last_only| {
            let heard = DoneHeard {
                section,
                pass,
                asked,
                last_only,
                at_once: false,
            };
            let answer = reports.done(now, Duration::ZERO, heard);
            reports.data(now, Duration::ZERO, section + 1);
            assert_eq!((reports.deadline(), reports.due(now)), (None, None));
            answer
        };
        let answer = |pass, section| Some(Question { pass, section });
        assert_eq!(ask(false, 1, 0, false), None);
        assert_eq!(ask(true, 1, 0, false), answer(1, 0));
        assert_eq!(ask(true, 1, 0, false), answer(1, 0), "it was lost");
        assert_eq!(ask(true, 1, 1, true), None);
        assert_eq!(ask(false, 1, 1, true), None);
        assert_eq!(ask(true, 1, 1, true), answer(1, 1));
        assert_eq!(ask(true, 2, 1, true), None, "another pass");
        assert_eq!(ask(true, 2, 1, true), answer(2, 1));
    }
}
