//! 16-bit circular packet counters (wire-v4 §3.6).

/// A packet sequence number. Order is circular: see [`Seq::distance_from`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Seq(pub u16);

impl Seq {
    /// How far `self` is ahead of `other`, -32768..=32767; negative when it is behind.
    pub fn distance_from(self, other: Seq) -> i16 {
        self.0.wrapping_sub(other.0).cast_signed()
    }

    /// Whether `self` was sent after `other`.
    pub fn is_newer_than(self, other: Seq) -> bool {
        self.distance_from(other) > 0
    }

    /// The number that packet `count` of an unwrapped count has.
    pub fn from_count(count: u64) -> Seq {
        Seq((count & 0xFFFF) as u16)
    }

    /// The next number, wrapping from 65535 to 0.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0.wrapping_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_wraps() {
        assert!(Seq(0).is_newer_than(Seq(65535)));
        assert!(!Seq(65535).is_newer_than(Seq(0)));
        assert!(!Seq(7).is_newer_than(Seq(7)));
        assert_eq!(Seq(65535).next(), Seq(0));
        assert_eq!(Seq(2).distance_from(Seq(65534)), 4);
    }
}
