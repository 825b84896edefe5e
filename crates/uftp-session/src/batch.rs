//! Datagrams on their way out, laid back to back so that the kernel can take many in one call.

use std::net::SocketAddr;
use std::ops::Range;

use uftp_proto::Ecn;

/// A run of datagrams to one destination: all `segment_size` bytes long but the last, which may
/// be shorter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Where to.
    pub destination: SocketAddr,
    /// Congestion mark.
    pub ecn: Ecn,
    /// Bytes in every datagram of the run but the last.
    pub segment_size: usize,
    /// The datagrams, as a range of [`Batch::bytes`].
    pub contents: Range<usize>,
}

/// Runs of datagrams in one buffer of fixed size. Made once and reused.
pub struct Batch {
    buf: Box<[u8]>,
    used: usize,
    runs: Vec<Transmit>,
    /// The last run ended with a short datagram and takes no more.
    closed: bool,
}

impl Batch {
    /// A batch for at most `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Batch {
            buf: vec![0; capacity].into(),
            used: 0,
            runs: Vec::new(),
            closed: true,
        }
    }

    /// Forgets all datagrams, keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.runs.clear();
        self.closed = true;
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes still free.
    pub fn room(&self) -> usize {
        self.buf.len() - self.used
    }

    /// The runs, in sending order.
    pub fn runs(&self) -> &[Transmit] {
        &self.runs
    }

    /// The bytes of a run.
    pub fn bytes(&self, run: &Transmit) -> &[u8] {
        self.buf.get(run.contents.clone()).unwrap_or_default()
    }

    /// Every datagram with its destination and mark, in sending order.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, Ecn, &[u8])> {
        self.runs.iter().flat_map(|run| {
            let size = run.segment_size.max(1);
            self.bytes(run)
                .chunks(size)
                .map(move |d| (run.destination, run.ecn, d))
        })
    }

    /// Appends one datagram: `write` is given all the room there is and returns the length used.
    ///
    /// # Errors
    /// Whatever `write` returns; then nothing is appended.
    pub fn push<E>(
        &mut self,
        destination: SocketAddr,
        ecn: Ecn,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let len = write(self.buf.get_mut(self.used..).unwrap_or_default())?;
        self.append(destination, ecn, len.min(self.room()));
        Ok(len)
    }

    /// Room for up to `most` datagrams of exactly `len` bytes each, not yet part of the batch:
    /// fill them, then [`commit`](Self::commit) as many as are wanted.
    pub(crate) fn slots(&mut self, len: usize, most: usize) -> &mut [u8] {
        let fit = self.room().checked_div(len).unwrap_or(0).min(most);
        self.buf
            .get_mut(self.used..)
            .and_then(|free| free.get_mut(..fit * len))
            .unwrap_or_default()
    }

    /// Makes the next `count` datagrams of `len` bytes, written into [`slots`](Self::slots),
    /// part of the batch.
    pub(crate) fn commit(&mut self, destination: SocketAddr, ecn: Ecn, len: usize, count: usize) {
        for _ in 0..count {
            self.append(destination, ecn, len.min(self.room()));
        }
    }

    /// The next `len` bytes of the buffer become a datagram, joined to the last run if it fits.
    fn append(&mut self, destination: SocketAddr, ecn: Ecn, len: usize) {
        let contents = self.used..self.used + len;
        self.used = contents.end;
        match self.runs.last_mut() {
            Some(run)
                if !self.closed
                    && run.destination == destination
                    && run.ecn == ecn
                    && len <= run.segment_size
                    && len > 0 =>
            {
                run.contents.end = contents.end;
                self.closed = len < run.segment_size;
            }
            _ => {
                self.runs.push(Transmit {
                    destination,
                    ecn,
                    segment_size: len,
                    contents,
                });
                self.closed = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(batch: &mut Batch, port: u16, len: usize) {
        let to = SocketAddr::from(([10, 0, 0, 1], port));
        batch.push(to, Ecn::NotEct, |_| Ok::<_, ()>(len)).unwrap();
    }

    #[test]
    fn equal_datagrams_to_one_place_form_a_run_ended_by_a_short_one() {
        let mut batch = Batch::new(1000);
        for len in [100, 100, 60, 100, 200] {
            put(&mut batch, 1, len);
        }
        put(&mut batch, 2, 200);
        let shapes: Vec<_> = batch
            .runs()
            .iter()
            .map(|r| (r.destination.port(), r.segment_size, r.contents.clone()))
            .collect();
        assert_eq!(
            shapes,
            [
                (1, 100, 0..260),
                (1, 100, 260..360),
                (1, 200, 360..560),
                (2, 200, 560..760)
            ]
        );
        assert_eq!(
            batch.datagrams().map(|(.., d)| d.len()).collect::<Vec<_>>(),
            [100, 100, 60, 100, 200, 200]
        );
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(batch.room(), 1000);
    }

    #[test]
    fn slots_are_bounded_by_the_room() {
        let mut batch = Batch::new(1000);
        assert_eq!(batch.slots(300, 64).len(), 900);
        assert_eq!(batch.slots(300, 2).len(), 600);
        batch.commit(SocketAddr::from(([10, 0, 0, 1], 1)), Ecn::NotEct, 300, 2);
        assert_eq!(batch.runs().len(), 1);
        assert_eq!(batch.slots(300, 64).len(), 300);
        assert_eq!(batch.slots(0, 64).len(), 0);
    }
}
