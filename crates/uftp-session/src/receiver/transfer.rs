//! A file on its way in.

use std::time::{Duration, Instant};

use uftp_proto::wire::{BlockRef, CompleteStatus, Done, FileSeg};
use uftp_proto::{BlockMap, Geometry};

use super::cache::{Cached, WriteCache};
use super::nak::{DoneHeard, NakSweep};
use super::reports::{Question, Reports};
use super::session::Stop;
use crate::counters::Refusal;
use crate::files::{IncomingFile, SessionFiles};
use crate::policy::PassStyle;

/// Bytes that take some milliseconds at rates at which it matters.
const FAR: u64 = 1 << 20;

/// So often in a row what is missing is said in vain before it is said more plainly.
const MOST_IN_VAIN: u8 = 3;

/// The file being received: what is there, what is missing and when to say so.
pub(super) struct Transfer {
    pub(super) info: IncomingFile,
    /// How it will be reported once it is there.
    pub(super) status: CompleteStatus,
    /// Part of it was there from an earlier run.
    pub(super) resumed: bool,
    geometry: Geometry,
    /// Blocks not on disk. Those in the cache are still missing here.
    missing: BlockMap,
    cache: WriteCache,
    reports: Reports,
    /// Neither data nor a question has come yet.
    untouched: bool,
    /// How often in a row it was said what is missing, and nothing of that came.
    in_vain: u8,
}

impl Transfer {
    /// A file that the store has opened. `missing` says what an earlier run left to do.
    pub(super) fn new(
        info: IncomingFile,
        status: CompleteStatus,
        geometry: Geometry,
        missing: Option<BlockMap>,
        passes: PassStyle,
        cache_size: usize,
    ) -> Self {
        // A map of another file would be worse than none.
        let earlier = missing.filter(|map| map.len() == geometry.blocks());
        Transfer {
            info,
            status,
            resumed: earlier.is_some(),
            missing: earlier.unwrap_or_else(|| BlockMap::all_missing(geometry.blocks())),
            geometry,
            cache: WriteCache::new(cache_size),
            reports: Reports::new(passes),
            untouched: true,
            in_vain: 0,
        }
    }

    /// Takes a block. Returns the section it lies in.
    ///
    /// # Errors
    /// A refusal if it is no block of this file, or the end of the session if it cannot be
    /// written.
    pub(super) fn take(
        &mut self,
        seg: &FileSeg<'_>,
        files: &mut impl SessionFiles,
    ) -> Result<u16, Stop> {
        if seg.file != self.info.file {
            return Err(Refusal::OutOfRange.into());
        }
        let (block, section) = self.locate(seg.at).ok_or(Refusal::OutOfRange)?;
        let data = self.within_file(block, seg.data);
        let data = data.ok_or(Refusal::OutOfRange)?;
        let (geometry, missing) = (&self.geometry, &mut self.missing);
        match self.cache.put(block, data, geometry, missing, files) {
            Ok(Cached::Held) if !self.is_misread() => self.in_vain = 0,
            Ok(Cached::Held | Cached::Duplicate) => {}
            Err(e) => return Err(Stop::disk(&e)),
        }
        self.untouched = false;
        Ok(section)
    }

    /// What `data` has of this block. Senders of 4.10.2 read on where a file has grown since it was
    /// announced, so that its last block, if it is a short one, comes longer than it should be.
    fn within_file<'a>(&self, block: u32, data: &'a [u8]) -> Option<&'a [u8]> {
        let len = self.geometry.block_len(block);
        let most = match len {
            0 => 0,
            _ => usize::from(self.geometry.block_size()),
        };
        data.get(..len).filter(|_| data.len() <= most)
    }

    /// Block number in the file and section from 0.
    fn locate(&self, at: BlockRef) -> Option<(u32, u16)> {
        match at {
            BlockRef::InSection { section, block } => {
                let number = self.geometry.block_at(section, block.into())?;
                Some((number, section))
            }
            BlockRef::InFile { block, .. } => {
                let (section, _) = self.geometry.locate(block)?;
                Some((block, section))
            }
        }
    }

    /// Whether much of the file lies behind the last block that came.
    pub(super) fn goes_on(&self) -> bool {
        let rest = self.geometry.blocks().saturating_sub(self.cache.end());
        u64::from(rest) * u64::from(self.geometry.block_size()) > FAR
    }

    /// Data of `section` came in the newest packet so far.
    pub(super) fn newest_data(&mut self, now: Instant, delay: Duration, section: u16) {
        self.reports.data(now, delay, section);
    }

    /// A DONE came for this file, which is not complete or does not ask us. Returns what is to be
    /// answered at once.
    pub(super) fn done(
        &mut self,
        now: Instant,
        delay: Duration,
        done: &Done,
        asked: bool,
    ) -> Option<Question> {
        let blocks = self.geometry.section(done.section).unwrap_or_default();
        let heard = DoneHeard {
            section: done.section,
            pass: done.pass,
            asked,
            last_only: self.missing.missing_in(blocks.clone()) == 1
                && self.missing.is_missing(blocks.end.saturating_sub(1)),
            at_once: self.resumed && self.untouched,
        };
        // Deployed receivers answer only the first question at once.
        self.untouched &= !asked;
        self.reports.done(now, delay, heard)
    }

    /// Whether a DONE that names nobody asks how `section` fares that is being sent. Only our
    /// own senders do that, to learn how fast they may go, and wait for the answer; deployed ones ask
    /// at the end of a pass, and take no report on a section before.
    pub(super) fn is_amid(&self, section: u16) -> bool {
        let blocks = self.geometry.section(section).unwrap_or_default();
        section < self.last_section()
            && self.reports.are_amid(section)
            && self.cache.end() < blocks.end
            && self.missing.is_missing(blocks.end.saturating_sub(1))
    }

    /// Whether a DONE may speak of this section.
    pub(super) fn has_section(&self, section: u16) -> bool {
        section <= self.last_section()
    }

    /// The last section, from 0.
    pub(super) fn last_section(&self) -> u16 {
        self.geometry.last_section()
    }

    /// When to call [`naks_due`](Self::naks_due).
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reports.deadline()
    }

    /// What to report now, if the time has come.
    pub(super) fn naks_due(&mut self, now: Instant) -> Option<NakSweep> {
        self.reports.due(now)
    }

    /// It was said what is missing.
    pub(super) fn said_what_is_missing(&mut self) {
        self.in_vain = self.in_vain.saturating_add(1);
    }

    /// Whether that is said in vain. A deployed proxy that nobody here knows of mistakes a report on
    /// congestion before it for part of it, and asks the sender for other blocks (behaviour-proxies §14.2).
    pub(super) fn is_misread(&self) -> bool {
        self.in_vain >= MOST_IN_VAIN
    }

    /// Appends the NAK bitmap of `section` to `out`. Returns the number of blocks missing.
    /// The cache must have been flushed, or blocks that are here would be asked for again.
    pub(super) fn write_naks(&self, section: u16, out: &mut Vec<u8>) -> u32 {
        let Some(blocks) = self.geometry.section(section) else {
            return 0;
        };
        match self.missing.missing_in(blocks.clone()) {
            0 => 0,
            _ => self.missing.write_naks(blocks, out),
        }
    }

    /// As [`write_naks`](Self::write_naks), in the form of protocol 3: a block's worth of bytes,
    /// or none if nothing is missing (wire-v3 §3, §4.12).
    pub(super) fn write_whole_naks(&self, section: u16, out: &mut Vec<u8>) -> u32 {
        let count = self.write_naks(section, out);
        let len = match count {
            0 => 0,
            _ => usize::from(self.geometry.block_size()),
        };
        out.resize(len, 0);
        count
    }

    /// Puts everything received on disk.
    ///
    /// # Errors
    /// The end of the session if it cannot be written.
    pub(super) fn flush(&mut self, files: &mut impl SessionFiles) -> Result<(), Stop> {
        let (geometry, missing) = (&self.geometry, &mut self.missing);
        let flushed = self.cache.flush(geometry, missing, files);
        flushed.map_err(|error| Stop::disk(&error))
    }

    /// Puts everything received on disk. Returns whether the file is complete.
    ///
    /// While a slow disk is not done with the file within `patience` the last block of `section` counts
    /// as missing. A sender gives up whoever answers nothing, but sends a block as often as it is asked
    /// for; in protocol 3, where a report is on the section in question, in no other.
    ///
    /// # Errors
    /// The end of the session if it cannot be written.
    pub(super) fn is_complete(
        &mut self,
        files: &mut impl SessionFiles,
        patience: Duration,
        section: u16,
    ) -> Result<bool, Stop> {
        self.flush(files)?;
        if self.missing.missing() > 0 {
            return Ok(false);
        }
        let blocks = self.geometry.section(section).unwrap_or_default();
        match blocks.last() {
            Some(last) if !files.is_at_rest(patience) => {
                self.missing.set(last);
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// Gives the file up, keeping what was received for a later run if the store does so.
    pub(super) fn discard(mut self, files: &mut impl SessionFiles) {
        // What cannot be written now stays in the map as missing.
        let _ = self.cache.flush(&self.geometry, &mut self.missing, files);
        files.discard(&self.missing);
    }

    pub(super) fn blocks(&self) -> u32 {
        self.geometry.blocks()
    }

    pub(super) fn sections(&self) -> u16 {
        self.geometry.sections()
    }
}
