//! Names of hosts, sessions and files. All are opaque numbers; only equality means anything.

use std::fmt;
use std::net::IpAddr;

/// Identity of a sender, receiver or proxy: four bytes compared as they stand on the wire.
///
/// An IPv4 address in protocol 3, a "UID" in protocols 4 and 5. Zero means "nobody" and ends a
/// list of ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uid(pub u32);

impl Uid {
    /// "Nobody": the end of an id list, or "everybody" in the host field of an ABORT.
    pub const NONE: Uid = Uid(0);

    /// Whether this is the null id.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether a host can have it: neither "nobody" nor all ones, which deployed lists refuse.
    pub fn is_host(self) -> bool {
        !matches!(self.0, 0 | u32::MAX)
    }

    /// The id a host takes when its operator gives none: the IPv4 address itself, or the last
    /// four bytes of an IPv6 address in reverse order, as deployed programs compute it.
    pub fn from_addr(addr: IpAddr) -> Uid {
        match addr {
            IpAddr::V4(v4) => Uid(u32::from_be_bytes(v4.octets())),
            IpAddr::V6(v6) => {
                let [.., a, b, c, d] = v6.octets();
                Uid(u32::from_le_bytes([a, b, c, d]))
            }
        }
    }
}

/// The text form of logs and status files of a sender: `0x` and eight upper-case hex digits.
impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Number of a session, drawn at random by its sender. Zero stands in messages outside sessions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GroupId(pub u32);

/// Eight upper-case hex digits, as in log prefixes, status files and directory names.
impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Restart counter of a session: 0 at first, one more for each run from a restart file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Instance(pub u8);

/// Number of a file within its session: 1, 2, 3, …, after 65535 comes 1. Zero means "the whole
/// session" in DONE and COMPLETE.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct FileId(pub u16);

impl FileId {
    /// Stands for the session as a whole.
    pub const SESSION: FileId = FileId(0);

    /// The id of the file after this one.
    #[must_use]
    pub fn next(self) -> FileId {
        FileId(self.0.checked_add(1).unwrap_or(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_uid_of_ipv6_is_reversed() {
        assert_eq!(Uid::from_addr("fd00::1".parse().unwrap()), Uid(0x0100_0000));
        assert_eq!(
            Uid::from_addr("10.1.2.3".parse().unwrap()),
            Uid(0x0a01_0203)
        );
    }

    #[test]
    fn nobody_and_all_ones_are_no_hosts() {
        let hosts = [0, 1, u32::MAX - 1, u32::MAX].map(|id| Uid(id).is_host());
        assert_eq!(hosts, [false, true, true, false]);
    }

    #[test]
    fn file_ids_skip_zero() {
        assert_eq!(FileId(1).next(), FileId(2));
        assert_eq!(FileId(65535).next(), FileId(1));
    }
}
