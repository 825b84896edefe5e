//! What is wrong with an announcement.

use crate::counters::Refusal;

/// Why no session comes of an ANNOUNCE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Objection {
    /// It does not concern us: the sender is not told.
    Ignore(Refusal),
    /// We are meant but cannot take part: the sender is told so.
    Abort(&'static str),
}

impl Objection {
    /// The same where the sender is not told of anything: somebody has made the ANNOUNCE up.
    pub(crate) fn unanswered(self) -> Refusal {
        match self {
            Objection::Ignore(refusal) => refusal,
            Objection::Abort(_) => Refusal::Unauthentic,
        }
    }
}
