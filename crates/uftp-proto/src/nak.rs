//! Which blocks of a file are still missing, and the NAK bitmaps that say so (wire-v4 §7.2).

use std::ops::Range;

/// One bit a block: missing or not. The sender keeps one of blocks wanted, the receiver one of
/// blocks not yet on disk.
///
/// A set bit in memory means "here", so that a fresh map of a large file is untouched zero pages.
#[derive(Clone, PartialEq, Eq)]
pub struct BlockMap {
    /// Bit `i % 64` of word `i / 64` is set when block `i` is *not* missing.
    here: Vec<u64>,
    len: u32,
    missing: u32,
}

impl std::fmt::Debug for BlockMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockMap({} of {} missing)", self.missing, self.len)
    }
}

impl BlockMap {
    /// A map of `len` blocks, all missing.
    pub fn all_missing(len: u32) -> Self {
        BlockMap {
            here: vec![0; len.div_ceil(64) as usize],
            len,
            missing: len,
        }
    }

    /// A map of `len` blocks, none missing.
    pub fn none_missing(len: u32) -> Self {
        BlockMap {
            here: vec![u64::MAX; len.div_ceil(64) as usize],
            len,
            missing: 0,
        }
    }

    /// Number of blocks in the map.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the map covers no block at all (an empty file).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of missing blocks.
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// Whether `block` is missing. Blocks past the end are not.
    pub fn is_missing(&self, block: u32) -> bool {
        block < self.len && self.word(block / 64) & (1 << (block % 64)) == 0
    }

    /// Notes that `block` is here. Returns whether it was missing before.
    pub fn clear(&mut self, block: u32) -> bool {
        let was_missing = self.is_missing(block);
        if was_missing && let Some(word) = self.here.get_mut((block / 64) as usize) {
            *word |= 1 << (block % 64);
            self.missing -= 1;
        }
        was_missing
    }

    /// Notes that `block` is missing. Returns whether it was here before.
    pub fn set(&mut self, block: u32) -> bool {
        let was_here = block < self.len && !self.is_missing(block);
        if was_here && let Some(word) = self.here.get_mut((block / 64) as usize) {
            *word &= !(1 << (block % 64));
            self.missing += 1;
        }
        was_here
    }

    /// The first missing block in `range`, if any.
    pub fn next_missing(&self, range: Range<u32>) -> Option<u32> {
        let end = range.end.min(self.len);
        let mut at = range.start;
        while at < end {
            let gaps = !self.word(at / 64) >> (at % 64);
            if gaps != 0 {
                let found = at + gaps.trailing_zeros();
                return (found < end).then_some(found);
            }
            at = (at / 64 + 1).saturating_mul(64);
        }
        None
    }

    /// Number of missing blocks in `range`.
    pub fn missing_in(&self, range: Range<u32>) -> u32 {
        let end = range.end.min(self.len);
        let mut count = 0;
        let mut at = range.start;
        while at < end {
            let stop = (at / 64 + 1).saturating_mul(64).min(end);
            count += (!self.word(at / 64) & mask(at % 64, stop - at)).count_ones();
            at = stop;
        }
        count
    }

    /// Appends the NAK bitmap of the section covering `section` to `out`: bit `i % 8`, counted
    /// from the least significant, of byte `i / 8` is 1 when block `i` of the section is missing.
    ///
    /// Writes `n / 8 + 1` bytes for a section of `n` blocks, as deployed receivers do: there is
    /// a spare zero byte when `n` is a multiple of 8. Returns the number of bits set.
    pub fn write_naks(&self, section: Range<u32>, out: &mut Vec<u8>) -> u32 {
        let n = section.end.saturating_sub(section.start);
        let mut left = (n / 8 + 1) as usize;
        let mut at = section.start;
        let mut count = 0;
        while left > 0 {
            let bits = self.missing_bits(at, section.end);
            count += bits.count_ones();
            let take = left.min(8);
            out.extend(bits.to_le_bytes().into_iter().take(take));
            left -= take;
            at = at.saturating_add(64);
        }
        count
    }

    /// Marks missing every block of `section` whose bit is set in `bitmap`; bits at and past the
    /// end of the section, and a bitmap that is too short, do no harm.
    /// Returns the number of bits set within the section.
    pub fn merge_naks(&mut self, section: Range<u32>, bitmap: &[u8]) -> u32 {
        let mut count = 0;
        for (i, &byte) in bitmap.iter().enumerate() {
            let mut bits = byte;
            while bits != 0 {
                let bit = bits.trailing_zeros();
                bits &= bits - 1;
                let offset = i as u64 * 8 + u64::from(bit);
                let block = u64::from(section.start) + offset;
                if block >= u64::from(section.end) {
                    return count;
                }
                self.set(block as u32); // below section.end
                count += 1;
            }
        }
        count
    }

    fn word(&self, index: u32) -> u64 {
        // Bits past the end read as "here".
        self.here.get(index as usize).copied().unwrap_or(u64::MAX)
    }

    /// Up to 64 bits from block `at` on, 1 = missing, with nothing at or past `end`.
    fn missing_bits(&self, at: u32, end: u32) -> u64 {
        let end = end.min(self.len);
        if at >= end {
            return 0;
        }
        let shift = at % 64;
        let mut bits = !self.word(at / 64) >> shift;
        if shift > 0 {
            bits |= !self.word(at / 64 + 1) << (64 - shift);
        }
        bits & mask(0, end - at)
    }
}

/// `len` one-bits from bit `from` up; `len` may exceed the word.
fn mask(from: u32, len: u32) -> u64 {
    let ones = if len >= 64 { u64::MAX } else { (1 << len) - 1 };
    ones << from
}

/// Number of bits set in `bitmap` that lie within a section of `n` blocks.
pub fn count_naks(bitmap: &[u8], n: u32) -> u32 {
    let whole = (n / 8) as usize;
    let full: u32 = bitmap.iter().take(whole).map(|b| b.count_ones()).sum();
    let rest = bitmap
        .get(whole)
        .map_or(0, |b| (b & ((1u8 << (n % 8)) - 1)).count_ones());
    full + rest
}

/// Number of bits set in `bitmap` within `range`.
pub fn count_naks_in(bitmap: &[u8], range: Range<u32>) -> u32 {
    let below = |n| count_naks(bitmap, n);
    below(range.end).saturating_sub(below(range.start.min(range.end)))
}

/// The last bit of `range` that is not set in `bitmap`.
pub fn last_clear(bitmap: &[u8], range: Range<u32>) -> Option<u32> {
    range.rev().find(|bit| {
        let byte = bitmap.get((bit / 8) as usize);
        byte.is_none_or(|byte| byte & (1 << (bit % 8)) == 0)
    })
}

/// Clears the bits of `bitmap` within `range`.
pub fn clear_naks(bitmap: &mut [u8], range: Range<u32>) {
    for bit in range {
        let Some(byte) = bitmap.get_mut((bit / 8) as usize) else {
            return;
        };
        *byte &= !(1 << (bit % 8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_of_a_bitmap_are_counted_and_cleared() {
        let mut bitmap = [0b1000_0001, 0xff, 0b0000_0011];
        assert_eq!(count_naks_in(&bitmap, 0..24), 12);
        assert_eq!(count_naks_in(&bitmap, 7..10), 3);
        assert_eq!(count_naks_in(&bitmap, 1..7), 0);
        assert_eq!(last_clear(&bitmap, 0..24), Some(23));
        assert_eq!(last_clear(&bitmap, 0..18), Some(6));
        assert_eq!(last_clear(&bitmap, 7..18), None);
        assert_eq!(last_clear(&bitmap, 20..30), Some(29), "behind its end");
        assert_eq!(count_naks_in(&bitmap, 20..2000), 0);
        clear_naks(&mut bitmap, 7..17);
        assert_eq!(bitmap, [1, 0, 0b10]);
        clear_naks(&mut bitmap, 0..u32::MAX);
        assert_eq!(bitmap, [0; 3]);
    }

    #[test]
    fn bitmap_counts_from_the_least_significant_bit() {
        let mut map = BlockMap::none_missing(24);
        map.set(0);
        map.set(9);
        let mut out = Vec::new();
        assert_eq!(map.write_naks(0..24, &mut out), 2);
        assert_eq!(out, [0b1, 0b10, 0, 0], "24 blocks take a spare fourth byte");
    }

    #[test]
    fn empty_map_has_nothing_missing() {
        let map = BlockMap::all_missing(0);
        assert_eq!(map.missing(), 0);
        assert_eq!(map.next_missing(0..0), None);
        assert!(!map.is_missing(0));
    }

    proptest! {
        #[test]
        fn behaves_like_a_vector_of_bools(
            len in 1u32..700,
            lost in prop::collection::vec(0u32..700, 0..200),
            cut in 0u32..700,
        ) {
            let mut map = BlockMap::none_missing(len);
            let mut model = vec![false; len as usize];
            for &b in &lost {
                let fresh = b < len && !model[b as usize];
                prop_assert_eq!(map.set(b), fresh);
                if b < len {
                    model[b as usize] = true;
                }
            }
            let cut = cut.min(len);
            let count = model.iter().filter(|m| **m).count() as u32;
            prop_assert_eq!(map.missing(), count);
            let tail = model[cut as usize..].iter().filter(|m| **m).count() as u32;
            prop_assert_eq!(map.missing_in(cut..len), tail);
            let first = model[cut as usize..].iter().position(|m| *m).map(|i| i as u32 + cut);
            prop_assert_eq!(map.next_missing(cut..len), first);

            // A section anywhere in the file survives the trip through a STATUS.
            let mut bitmap = Vec::new();
            prop_assert_eq!(map.write_naks(cut..len, &mut bitmap), tail);
            prop_assert_eq!(bitmap.len() as u32, (len - cut) / 8 + 1);
            prop_assert_eq!(count_naks(&bitmap, len - cut), tail);
            let mut other = BlockMap::none_missing(len);
            prop_assert_eq!(other.merge_naks(cut..len, &bitmap), tail);
            for b in 0..len {
                prop_assert_eq!(other.is_missing(b), b >= cut && model[b as usize]);
            }
            for b in 0..len {
                prop_assert_eq!(map.clear(b), model[b as usize]);
            }
            prop_assert_eq!(map.missing(), 0);
        }
    }
}
