//! Cutting a file into blocks and sections (wire-v4 §7.1, wire-v3 §3).
//!
//! Both ends compute this from file size and block size alone, so it must agree to the block.

use std::ops::Range;

/// Why a file cannot be cut into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// The block size is zero.
    #[error("block size is 0, expected at least 1")]
    ZeroBlockSize,
    /// The file needs more blocks or sections than the wire can number.
    #[error(
        "{size} bytes in blocks of {block_size} need more than 65535 sections or 2^31-1 blocks"
    )]
    TooLarge {
        /// File size in bytes.
        size: u64,
        /// Block size in bytes.
        block_size: u16,
    },
}

/// How the blocks of a file are dealt out to sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sectioning {
    /// Sections of nearly equal size (protocols 4 and 5).
    Balanced,
    /// Full sections of `8 * block_size` blocks and a rest (protocol 3).
    Filled,
}

/// The block layout of one file. Blocks are numbered through the file from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    size: u64,
    block_size: u16,
    blocks: u32,
    sections: u16,
    /// Blocks in each of the first `big_sections` sections.
    big: u32,
    /// Blocks in each later section; the last filled section may hold fewer.
    small: u32,
    big_sections: u32,
}

/// Most blocks a file may have.
pub const MAX_BLOCKS: u64 = (1 << 31) - 1;

impl Geometry {
    /// Lays out a file of `size` bytes in blocks of `block_size` bytes.
    ///
    /// # Errors
    /// [`GeometryError`] if the block size is zero or the file is larger than the wire can number.
    pub fn new(size: u64, block_size: u16, sectioning: Sectioning) -> Result<Self, GeometryError> {
        if block_size == 0 {
            return Err(GeometryError::ZeroBlockSize);
        }
        let too_large = GeometryError::TooLarge { size, block_size };
        let blocks = size.div_ceil(u64::from(block_size));
        if blocks > MAX_BLOCKS {
            return Err(too_large);
        }
        let blocks = blocks as u32; // at most MAX_BLOCKS
        let most = match sectioning {
            Sectioning::Balanced => (8 * u32::from(block_size)).min(65536),
            Sectioning::Filled => 8 * u32::from(block_size),
        };
        let sections = u16::try_from(blocks.div_ceil(most)).map_err(|_| too_large)?;
        let (big, small, big_sections) = match (sections, sectioning) {
            (0, _) => (0, 0, 0),
            (n, Sectioning::Balanced) => {
                let n = u32::from(n);
                let small = blocks / n;
                let big_sections = blocks % n;
                (small + u32::from(big_sections > 0), small, big_sections)
            }
            (n, Sectioning::Filled) => {
                let full = u32::from(n) - 1;
                (most, blocks - full * most, full)
            }
        };
        Ok(Geometry {
            size,
            block_size,
            blocks,
            sections,
            big,
            small,
            big_sections,
        })
    }

    /// File size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes in every block but the last.
    pub fn block_size(&self) -> u16 {
        self.block_size
    }

    /// Number of blocks; 0 for an empty file.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Number of sections; 0 for an empty file.
    pub fn sections(&self) -> u16 {
        self.sections
    }

    /// Index of the last section, 0 for an empty file: what DONE carries.
    pub fn last_section(&self) -> u16 {
        self.sections.saturating_sub(1)
    }

    /// Blocks of section `section` (counted from 0), as a range of block numbers.
    /// `None` if the file has no such section.
    pub fn section(&self, section: u16) -> Option<Range<u32>> {
        if section >= self.sections {
            return None;
        }
        let s = u32::from(section);
        let (start, len) = if s < self.big_sections {
            (s * self.big, self.big)
        } else {
            (
                self.big_sections * self.big + (s - self.big_sections) * self.small,
                self.small,
            )
        };
        Some(start..start + len)
    }

    /// Section (from 0) and block within it of block `block`. `None` past the end of the file.
    pub fn locate(&self, block: u32) -> Option<(u16, u32)> {
        if block >= self.blocks {
            return None;
        }
        let in_big = self.big_sections * self.big;
        let (section, offset) = if block < in_big {
            (block / self.big, block % self.big)
        } else {
            let rest = block - in_big;
            (self.big_sections + rest / self.small, rest % self.small)
        };
        // Fewer than 65536 sections by construction.
        Some((section as u16, offset))
    }

    /// Number of block `block` of section `section`, both from 0. `None` if there is none.
    pub fn block_at(&self, section: u16, block: u32) -> Option<u32> {
        let range = self.section(section)?;
        let number = range.start.checked_add(block)?;
        (number < range.end).then_some(number)
    }

    /// Offset of a block in the file, in bytes.
    pub fn offset(&self, block: u32) -> u64 {
        u64::from(block) * u64::from(self.block_size)
    }

    /// Bytes in block `block`: the block size, except for the last block. 0 past the end.
    pub fn block_len(&self, block: u32) -> usize {
        let left = self.size.saturating_sub(self.offset(block));
        left.min(u64::from(self.block_size)) as usize // at most 65535
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table_of_the_specification() {
        // size, block size, blocks, sections, small, big, big sections (wire-v4 §7.1)
        for (size, bs, blocks, sections, small, big, nbig) in [
            (0, 1300, 0, 0, 0, 0, 0),
            (1, 1300, 1, 1, 1, 1, 0),
            (1300, 1300, 1, 1, 1, 1, 0),
            (5000, 1300, 4, 1, 4, 4, 0),
            (13_520_000, 1300, 10400, 1, 10400, 10400, 0),
            (13_520_001, 1300, 10401, 2, 5200, 5201, 1),
            (5_000_000, 512, 9766, 3, 3255, 3256, 1),
            (4_194_304, 512, 8192, 2, 4096, 4096, 0),
        ] {
            let g = Geometry::new(size, bs, Sectioning::Balanced).unwrap();
            assert_eq!(
                (g.blocks, g.sections, g.small, g.big, g.big_sections),
                (blocks, sections, small, big, nbig),
                "{size} bytes in blocks of {bs}"
            );
        }
    }

    #[test]
    fn filled_sections_of_protocol_3() {
        let g = Geometry::new(5_000_003, 520, Sectioning::Filled).unwrap();
        assert_eq!((g.blocks(), g.sections()), (9616, 3));
        assert_eq!(g.section(2), Some(8320..9616));
        assert_eq!(g.block_len(9615), 203);
    }

    #[test]
    fn refuses_what_the_wire_cannot_number() {
        assert_eq!(
            Geometry::new(1, 0, Sectioning::Balanced),
            Err(GeometryError::ZeroBlockSize)
        );
        let limit = 65535 * 4096 * 512;
        assert!(Geometry::new(limit, 512, Sectioning::Balanced).is_ok());
        assert!(Geometry::new(limit + 1, 512, Sectioning::Balanced).is_err());
        assert!(Geometry::new((1 << 48) - 1, 65535, Sectioning::Balanced).is_err());
    }

    proptest! {
        #[test]
        fn sections_tile_the_file(
            size in 0u64..1 << 34,
            block_size in 1u16..9000,
            filled: bool,
        ) {
            let sectioning = if filled { Sectioning::Filled } else { Sectioning::Balanced };
            let Ok(g) = Geometry::new(size, block_size, sectioning) else {
                return Ok(());
            };
            let mut next = 0;
            for s in 0..g.sections() {
                let range = g.section(s).unwrap();
                prop_assert_eq!(range.start, next);
                prop_assert!(!range.is_empty());
                for block in [range.start, range.end - 1] {
                    prop_assert_eq!(g.locate(block), Some((s, block - range.start)));
                    prop_assert_eq!(g.block_at(s, block - range.start), Some(block));
                }
                prop_assert_eq!(g.block_at(s, range.end - range.start), None);
                next = range.end;
            }
            prop_assert_eq!(next, g.blocks());
            prop_assert_eq!(g.section(g.sections()), None);
            if let Some(last) = g.blocks().checked_sub(1) {
                prop_assert_eq!(g.offset(last) + g.block_len(last) as u64, size);
            }
        }
    }
}
