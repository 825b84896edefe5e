//! Blocks on their way out.

use std::io::{self, IoSliceMut};
use std::time::Instant;

use uftp_proto::wire::{BlockRef, FileSeg};

use super::{Stage, Transfer};
use crate::batch::Batch;
use crate::congestion::Controller;
use crate::files::FileSource;
use crate::policy::PassStyle;
use crate::sender::event::SenderEvent;
use crate::sender::session::Session;

/// Most data packets laid out at once.
const RUN: usize = 48;
/// Most bytes laid out at once: what the kernel takes in one call.
const RUN_BYTES: usize = 65_000;
/// Most runs per call, so that the driver sends while the next ones are made.
const RUNS_PER_CALL: usize = 4;
impl Transfer {
    /// When to go on sending data, if there is any.
    pub(in crate::sender) fn data_ready_at(&self, s: &Session) -> Option<Instant> {
        let sending = matches!(self.stage, Stage::Sending(_));
        if sending && s.has_control() {
            // Words that take turns with data wait for it.
            return Some(s.pacer.ready_at(s.now));
        }
        // Waiting for more than there is gains nothing.
        let most = self.wanted.missing().min(RUN as u32);
        sending.then(|| s.pacer.worthwhile_at(s.now, s.rate.charged(), most))
    }

    /// Appends the data packets that may go now.
    pub(in crate::sender) fn transmit<S: FileSource>(
        &mut self,
        s: &mut Session,
        source: &mut S,
        now: Instant,
        batch: &mut Batch,
    ) {
        s.rate.settle(now, s.pulse());
        s.obey_rate();
        self.ask_in_between(s, now, batch);
        for _ in 0..RUNS_PER_CALL {
            let ready = self.data_ready_at(s).is_some_and(|ready| ready <= now);
            let Stage::Sending(position) = self.stage else {
                return;
            };
            if !ready {
                return;
            }
            match self.transmit_run(s, source, now, batch, position) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    s.events.push_back(SenderEvent::FileSkipped {
                        item: self.item.clone(),
                        reason: format!("it cannot be read: {error}"),
                    });
                    self.broken = true;
                    return;
                }
            }
        }
    }

    /// Appends one run of packets. Returns how many.
    fn transmit_run<S: FileSource>(
        &mut self,
        s: &mut Session,
        source: &mut S,
        now: Instant,
        batch: &mut Batch,
        position: u32,
    ) -> io::Result<usize> {
        let charged = s.rate.charged();
        let most = s.pacer.allowance(now, charged, RUN);
        let mut blocks = [0; RUN];
        let (count, len) = self.choose(position, most, &mut blocks);
        let Some(&first) = blocks.get(..count).and_then(<[u32]>::first) else {
            if most > 0 {
                self.end_run(s);
            }
            return Ok(0);
        };
        let frame = s.link.frame(&self.segment(s, first), len);
        let slots = batch.slots(frame.len, count.min(RUN_BYTES / frame.len.max(1)).max(1));
        let count = slots.len() / frame.len.max(1);
        let blocks = blocks.get(..count).unwrap_or_default();
        self.read(
            source,
            blocks,
            slots.chunks_exact_mut(frame.len),
            &frame.data,
        )?;
        let estimate = s.estimate();
        for (&block, slot) in blocks.iter().zip(slots.chunks_exact_mut(frame.len)) {
            let segment = self.segment(s, block);
            s.link
                .finish(slot, &frame, estimate, &segment)
                .map_err(io::Error::other)?;
        }
        batch.commit(s.config.private, s.ecn(), frame.len, count);
        for &block in blocks {
            self.note_sent(s, now, block, len);
        }
        s.pacer.charge(now, charged * count as u64);
        s.counters.sent += count as u64;
        Ok(count)
    }

    /// The next wanted blocks, at most `most`, all of one length: how many, and the length.
    fn choose(&self, position: u32, most: usize, blocks: &mut [u32; RUN]) -> (usize, usize) {
        let horizon = self.horizon();
        let mut at = position;
        let mut count = 0;
        let mut len = 0;
        for slot in blocks.iter_mut().take(most) {
            let Some(block) = self.wanted.next_missing(at..horizon) else {
                break;
            };
            let this = self.geometry.block_len(block);
            if count > 0 && this != len {
                break;
            }
            *slot = block;
            len = this;
            count += 1;
            at = block + 1;
        }
        (count, len)
    }

    /// Reads blocks straight into their packets, neighbours with one call.
    fn read<'a, S: FileSource>(
        &self,
        source: &mut S,
        blocks: &[u32],
        slots: impl Iterator<Item = &'a mut [u8]>,
        data: &std::ops::Range<usize>,
    ) -> io::Result<()> {
        let mut bufs: [IoSliceMut<'a>; RUN] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let mut first = 0;
        let mut count = 0;
        let mut read = |first: u32, bufs: Option<&mut [IoSliceMut<'a>]>| match bufs {
            Some(bufs) if !bufs.is_empty() => source.read_at(self.geometry.offset(first), bufs),
            _ => Ok(()),
        };
        for (&block, slot) in blocks.iter().zip(slots) {
            if count > 0 && block != first + count as u32 {
                read(first, bufs.get_mut(..count))?;
                count = 0;
            }
            if count == 0 {
                first = block;
            }
            let place = slot.get_mut(data.clone()).unwrap_or_default();
            if let Some(buf) = bufs.get_mut(count) {
                *buf = IoSliceMut::new(place);
                count += 1;
            }
        }
        read(first, bufs.get_mut(..count))
    }

    /// The message that carries a block, without the data.
    fn segment(&self, s: &Session, block: u32) -> FileSeg<'static> {
        let (section, offset) = self.geometry.locate(block).unwrap_or_default();
        FileSeg {
            file: self.file,
            at: match s.policy.passes {
                PassStyle::Streaming => BlockRef::InSection {
                    section,
                    block: offset as u16, // at most 65536 blocks in a section
                },
                style @ PassStyle::LockStep => BlockRef::InFile {
                    pass: style.stated(self.pass),
                    section,
                    block,
                },
            },
            tfmcc: s.rate.tfmcc().map(Controller::data_info),
            data: &[],
        }
    }

    fn note_sent(&mut self, s: &mut Session, now: Instant, block: u32, len: usize) {
        self.wanted.clear(block);
        if let Some(rounds) = &mut self.rounds {
            rounds.note_sent();
        }
        self.stage = Stage::Sending(block + 1);
        s.data_sent();
        s.data_flows();
        if self.pass == 1 {
            self.volume.sent += len as u64;
        } else {
            self.volume.repaired += len as u64;
        }
        let Some((section, offset)) = self.geometry.locate(block) else {
            return;
        };
        if self.section != Some(section) {
            self.section = Some(section);
            s.events.push_back(SenderEvent::SectionStarted { section });
        }
        s.rate.sent(now, section, offset);
    }
}
