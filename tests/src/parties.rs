//! Who sends to whom.

use std::fmt;

use crate::Suite;

/// The programs of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties {
    /// Whose `uftp` sends.
    pub sender: Suite,
    /// Whose `uftpd` receives.
    pub receiver: Suite,
}

impl Parties {
    /// The reference among itself: what the others are compared with.
    pub const REFERENCE: Self = Self {
        sender: Suite::Reference,
        receiver: Suite::Reference,
    };
    /// Ours to theirs.
    pub const OURS_TO_THEIRS: Self = Self {
        sender: Suite::Ours,
        receiver: Suite::Reference,
    };
    /// Theirs to ours.
    pub const THEIRS_TO_OURS: Self = Self {
        sender: Suite::Reference,
        receiver: Suite::Ours,
    };
    /// Ours among themselves.
    pub const OURS: Self = Self {
        sender: Suite::Ours,
        receiver: Suite::Ours,
    };
    /// All in which a program of ours takes part.
    pub const WITH_OURS: [Self; 3] = [Self::OURS_TO_THEIRS, Self::THEIRS_TO_OURS, Self::OURS];
}

impl fmt::Display for Parties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.sender.name(), self.receiver.name())
    }
}
