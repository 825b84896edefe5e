//! What a machine did not act upon, by reason.

use std::fmt;

use uftp_proto::wire::DecodeError;

/// Why a datagram changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Refusal {
    /// It cannot be decoded: too short, lengths that do not fit, unknown function.
    Malformed,
    /// It is of a protocol that is unknown or not this session's.
    OtherVersion,
    /// It belongs to no session of ours.
    OtherSession,
    /// Its author has no part in the session.
    UnknownSource,
    /// It does not fit the phase of the session or the state of its author.
    OutOfPlace,
    /// It speaks of a file, section or block there is none of, or of another one than the
    /// current.
    OutOfRange,
    /// It is older than the reorder window allows.
    Stale,
    /// It cannot be proved to be its author's, or it is encrypted where there are no keys.
    Unauthentic,
    /// It came in the clear where it must be encrypted.
    Uncovered,
    /// It is authentic but was here before.
    Replayed,
    /// A limit of ours is reached: sessions, destinations, answers per second.
    Limit,
}

impl From<DecodeError> for Refusal {
    fn from(_: DecodeError) -> Self {
        Refusal::Malformed
    }
}

impl Refusal {
    /// All reasons, in the order of [`Counters::refused`].
    pub const ALL: [Refusal; 11] = [
        Refusal::Malformed,
        Refusal::OtherVersion,
        Refusal::OtherSession,
        Refusal::UnknownSource,
        Refusal::OutOfPlace,
        Refusal::OutOfRange,
        Refusal::Stale,
        Refusal::Unauthentic,
        Refusal::Uncovered,
        Refusal::Replayed,
        Refusal::Limit,
    ];

    /// A word or two for people and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::OtherVersion => "other version",
            Refusal::OtherSession => "other session",
            Refusal::UnknownSource => "unknown source",
            Refusal::OutOfPlace => "out of place",
            Refusal::OutOfRange => "out of range",
            Refusal::Stale => "stale",
            Refusal::Unauthentic => "unauthentic",
            Refusal::Uncovered => "not encrypted",
            Refusal::Replayed => "replayed",
            Refusal::Limit => "limit",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Datagrams in and out of a machine, and those it refused.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Datagrams handed in.
    pub received: u64,
    /// Datagrams handed out.
    pub sent: u64,
    refused: [u64; Refusal::ALL.len()],
}

impl Counters {
    /// Counts a refused datagram.
    pub(crate) fn refuse(&mut self, why: Refusal) {
        if let Some(count) = self.refused.get_mut(why as usize) {
            *count += 1;
        }
    }

    /// Datagrams refused for one reason.
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused.get(why as usize).copied().unwrap_or(0)
    }

    /// Datagrams refused for any reason.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_count() {
        let mut counters = Counters::default();
        for (i, why) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, i);
            for _ in 0..=i {
                counters.refuse(why);
            }
        }
        for (i, why) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(counters.refused(why), i as u64 + 1, "{why}");
        }
        assert_eq!(counters.refused_in_all(), 66);
    }
}
