//! What all programs in the tests have in common.

use crate::{Family, HostId};

/// UDP port of every receiver in the tests, the protocol's own.
pub(crate) const PORT: u16 = 1044;

/// The announcing group of the tests.
pub(crate) fn public_group(family: Family) -> &'static str {
    match family {
        Family::V4 => "230.4.4.1",
        Family::V6 => "ff15::4:4:1",
    }
}

/// The UID that receivers and proxies in the tests have: the number of their host.
pub fn uid(host: HostId) -> String {
    format!("0x{host:08X}")
}
