//! Blocks on their way to disk.

use std::io;

use uftp_proto::{BlockMap, Geometry};

use crate::files::SessionFiles;

/// A window of consecutive blocks on their way to disk: one write when nothing was lost, else
/// one for each run between holes. Only what was received is ever written.
pub(super) struct WriteCache {
    /// Most bytes held.
    limit: usize,
    /// Number of the first block held.
    first: u32,
    /// The blocks, back to back, holes included.
    bytes: Vec<u8>,
    /// For each block of the window whether it is held, rather than a hole.
    held: Vec<bool>,
}

/// What became of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cached {
    /// It is held.
    Held,
    /// It was held or written before.
    Duplicate,
}

/// How many blocks may be skipped by a block that still joins the window. As many as the
/// network may have swapped (behaviour-sender-receiver §5.6).
const MAX_HOLE: u32 = 5;

impl WriteCache {
    /// A cache of at most `limit` bytes, but at least one block. Memory is taken with the first
    /// block.
    pub(super) fn new(limit: usize) -> Self {
        WriteCache {
            limit,
            first: 0,
            bytes: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Takes `data`, which is exactly block `block` of the file, and writes out the window first
    /// if the block does not belong there. `missing` is the map of what is not on disk.
    ///
    /// # Errors
    /// That of the write; then the block is not taken.
    pub(super) fn put(
        &mut self,
        block: u32,
        data: &[u8],
        geometry: &Geometry,
        missing: &mut BlockMap,
        files: &mut impl SessionFiles,
    ) -> io::Result<Cached> {
        if !missing.is_missing(block) {
            return Ok(Cached::Duplicate);
        }
        if let Some(at) = self.position(block)
            && let Some(held) = self.held.get_mut(at)
        {
            if *held {
                return Ok(Cached::Duplicate);
            }
            *held = true;
            let from = at * usize::from(geometry.block_size());
            if let Some(place) = self.bytes.get_mut(from..from + data.len()) {
                place.copy_from_slice(data);
            }
            return Ok(Cached::Held);
        }
        if !self.joins(block, data.len(), geometry) {
            self.flush(geometry, missing, files)?;
            self.first = block;
            self.reserve(geometry);
        }
        let hole = block - self.end();
        self.held.resize(self.held.len() + hole as usize, false);
        self.held.push(true);
        let gap = hole as usize * usize::from(geometry.block_size());
        self.bytes.resize(self.bytes.len() + gap, 0);
        self.bytes.extend_from_slice(data);
        Ok(Cached::Held)
    }

    /// Writes everything held and notes it in `missing`.
    ///
    /// # Errors
    /// That of the first write that fails; what was not written is then lost and stays missing.
    pub(super) fn flush(
        &mut self,
        geometry: &Geometry,
        missing: &mut BlockMap,
        files: &mut impl SessionFiles,
    ) -> io::Result<()> {
        let mut written = Ok(());
        let mut at = 0;
        for run in self.held.chunk_by(|a, b| a == b) {
            if run.first() == Some(&true) && written.is_ok() {
                let block = self.first + at as u32; // within the window
                let from = at * usize::from(geometry.block_size());
                let len = run.len() * usize::from(geometry.block_size());
                let to = self.bytes.len().min(from + len); // the last block may be short
                let bytes = self.bytes.get(from..to).unwrap_or_default();
                written = files.write_at(geometry.offset(block), bytes);
                if written.is_ok() {
                    for (block, _) in (block..).zip(run) {
                        missing.clear(block);
                    }
                }
            }
            at += run.len();
        }
        self.bytes.clear();
        self.held.clear();
        written
    }

    /// One past the last block of the window, or of the last one.
    pub(super) fn end(&self) -> u32 {
        self.first + self.held.len() as u32 // a window holds fewer blocks than the file
    }

    fn position(&self, block: u32) -> Option<usize> {
        (self.first..self.end())
            .contains(&block)
            .then(|| (block - self.first) as usize)
    }

    /// Whether `block`, which is not in the window, may be appended to it.
    fn joins(&self, block: u32, len: usize, geometry: &Geometry) -> bool {
        let end = self.end();
        if self.held.is_empty() || block < end || block - end > MAX_HOLE {
            return false;
        }
        let before = u64::from(block - self.first) * u64::from(geometry.block_size());
        before + len as u64 <= self.limit as u64
    }

    /// Takes the memory for a whole window, or for the rest of a small file, once.
    fn reserve(&mut self, geometry: &Geometry) {
        let rest = geometry.size().saturating_sub(geometry.offset(self.first));
        let most = (self.limit as u64).min(rest) as usize; // at most limit
        self.bytes.reserve(most);
        self.held
            .reserve(most / usize::from(geometry.block_size()).max(1) + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{IncomingFile, Offer, SessionEnd};
    use proptest::prelude::*;
    use uftp_proto::geometry::Sectioning;

    /// A disk of which only what was written can be trusted.
    struct Disk {
        bytes: Vec<u8>,
        writes: Vec<(u64, usize)>,
        full: bool,
    }

    impl Disk {
        fn new(size: usize) -> Self {
            Disk {
                bytes: vec![0xEE; size],
                writes: Vec::new(),
                full: false,
            }
        }
    }

    impl SessionFiles for Disk {
        fn offer(&mut self, _: &IncomingFile) -> Offer {
            unreachable!("not part of these tests")
        }
        fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
            if self.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.writes.push((offset, data.len()));
            self.bytes[offset as usize..][..data.len()].copy_from_slice(data);
            Ok(())
        }
        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
        fn discard(&mut self, _: &BlockMap) {}
        fn end(&mut self, _: SessionEnd) {}
    }

    struct Bench {
        file: Vec<u8>,
        geometry: Geometry,
        missing: BlockMap,
        cache: WriteCache,
        disk: Disk,
    }

    impl Bench {
        fn new(size: usize, limit: usize) -> Self {
            let geometry = Geometry::new(size as u64, 10, Sectioning::Balanced).unwrap();
            Bench {
                file: (0..size).map(|i| i as u8).collect(),
                missing: BlockMap::all_missing(geometry.blocks()),
                geometry,
                cache: WriteCache::new(limit),
                disk: Disk::new(size),
            }
        }

        fn put(&mut self, block: u32) -> io::Result<Cached> {
            let from = self.geometry.offset(block) as usize;
            let data = &self.file[from..from + self.geometry.block_len(block)];
            let (geometry, missing) = (&self.geometry, &mut self.missing);
            self.cache
                .put(block, data, geometry, missing, &mut self.disk)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.cache
                .flush(&self.geometry, &mut self.missing, &mut self.disk)
        }
    }

    #[test]
    fn a_window_goes_out_in_one_write() {
        let mut b = Bench::new(95, 50);
        for block in 0..10 {
            assert_eq!(b.put(block).unwrap(), Cached::Held);
        }
        assert_eq!(b.disk.writes, [(0, 50)]);
        assert_eq!(b.missing.missing(), 5, "what is held is not on disk");
        b.flush().unwrap();
        assert_eq!(b.disk.writes, [(0, 50), (50, 45)]);
        assert_eq!((b.missing.missing(), &b.disk.bytes), (0, &b.file));
        assert_eq!(b.put(3).unwrap(), Cached::Duplicate);
    }

    #[test]
    fn small_holes_stay_in_the_window_and_are_filled() {
        let mut b = Bench::new(200, 1000);
        for block in [0, 2, 8] {
            b.put(block).unwrap();
        }
        assert_eq!(b.put(2).unwrap(), Cached::Duplicate);
        assert_eq!(b.put(1).unwrap(), Cached::Held);
        b.flush().unwrap();
        assert_eq!(b.disk.writes, [(0, 30), (80, 10)]);
        assert_eq!(b.missing.missing(), 16);
        // Six blocks ahead is too far.
        b.put(9).unwrap();
        b.put(16).unwrap();
        assert_eq!(b.disk.writes.len(), 3);
    }

    #[test]
    fn a_hole_over_what_is_on_disk_does_no_harm() {
        let mut b = Bench::new(200, 1000);
        b.put(5).unwrap();
        b.flush().unwrap();
        b.put(4).unwrap();
        b.put(6).unwrap();
        b.flush().unwrap();
        assert_eq!(b.disk.bytes[40..70], b.file[40..70]);
    }

    #[test]
    fn a_failed_write_leaves_the_blocks_missing() {
        let mut b = Bench::new(100, 30);
        b.disk.full = true;
        for block in 0..3 {
            b.put(block).unwrap();
        }
        assert!(b.put(3).is_err());
        assert_eq!(b.missing.missing(), 10);
        b.disk.full = false;
        b.put(0).unwrap();
        b.flush().unwrap();
        assert_eq!(b.missing.missing(), 9);
    }

    #[test]
    fn a_cache_smaller_than_a_block_still_works() {
        let mut b = Bench::new(25, 0);
        for block in [2, 0, 1] {
            b.put(block).unwrap();
        }
        b.flush().unwrap();
        assert_eq!(b.disk.bytes, b.file);
    }

    proptest! {
        #[test]
        fn what_counts_as_received_is_on_disk(
            size in 1usize..600,
            limit in 0usize..200,
            order in prop::collection::vec((0u32..60, prop::bool::weighted(0.1)), 0..200),
        ) {
            let mut b = Bench::new(size, limit);
            let mut seen = std::collections::BTreeSet::new();
            for (block, flush) in order {
                let block = block % b.geometry.blocks();
                let fresh = seen.insert(block);
                prop_assert_eq!(b.put(block).unwrap() == Cached::Held, fresh);
                prop_assert!(b.cache.bytes.len() <= limit.max(10));
                if flush {
                    b.flush().unwrap();
                }
                for n in 0..b.geometry.blocks() {
                    if !b.missing.is_missing(n) {
                        let from = b.geometry.offset(n) as usize;
                        let range = from..from + b.geometry.block_len(n);
                        prop_assert_eq!(&b.disk.bytes[range.clone()], &b.file[range]);
                    }
                }
            }
            b.flush().unwrap();
            prop_assert_eq!(b.geometry.blocks() - b.missing.missing(), seen.len() as u32);
        }
    }
}
