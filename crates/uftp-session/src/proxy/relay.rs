//! Datagrams that pass through unchanged.

use std::collections::VecDeque;
use std::net::SocketAddr;

use uftp_proto::Ecn;

use crate::batch::Batch;
use crate::counters::Refusal;

/// Most bytes that wait; a driver hands in less between two turns of sending.
const ROOM: usize = 4 << 20;

/// Datagrams in order of arrival, copied into one buffer that is kept: once it has grown to
/// what a turn brings, nothing is allocated any more.
#[derive(Default)]
pub(super) struct Relay {
    bytes: Vec<u8>,
    /// Where the first that waits begins.
    start: usize,
    queue: VecDeque<Passenger>,
}

struct Passenger {
    to: SocketAddr,
    ecn: Ecn,
    len: usize,
}

impl Relay {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait.
    pub(super) fn backlog(&self) -> usize {
        self.bytes.len() - self.start.min(self.bytes.len())
    }

    /// Queues a datagram for `to`.
    ///
    /// # Errors
    /// [`Refusal::Limit`] if there is no room.
    pub(super) fn push(
        &mut self,
        to: SocketAddr,
        ecn: Ecn,
        datagram: &[u8],
    ) -> Result<(), Refusal> {
        if self.queue.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
        if self.bytes.len() + datagram.len() > ROOM {
            self.bytes.drain(..self.start.min(self.bytes.len()));
            self.start = 0;
        }
        if self.bytes.len() + datagram.len() > ROOM {
            return Err(Refusal::Limit);
        }
        self.bytes.extend_from_slice(datagram);
        let len = datagram.len();
        self.queue.push_back(Passenger { to, ecn, len });
        Ok(())
    }

    /// Moves as many as fit into `batch`. Returns how many that were.
    pub(super) fn write(&mut self, batch: &mut Batch) -> u64 {
        let mut written = 0;
        while let Some(&Passenger { to, ecn, len }) = self.queue.front() {
            if len > batch.room() && !batch.is_empty() {
                break;
            }
            let datagram = self.bytes.get(self.start..self.start + len);
            let pushed = batch.push(to, ecn, |buf| {
                let place = buf.get_mut(..len).ok_or(())?;
                place.copy_from_slice(datagram.unwrap_or_default());
                Ok::<_, ()>(len)
            });
            written += u64::from(pushed.is_ok());
            self.start += len;
            self.queue.pop_front();
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn order_marks_and_bytes_are_kept_over_several_batches() {
        let mut relay = Relay::default();
        for i in 0..10u8 {
            relay
                .push(to(u16::from(i / 4)), Ecn::Ce, &[i; 100])
                .unwrap();
        }
        let mut seen = Vec::new();
        let mut batch = Batch::new(350);
        while !relay.is_empty() {
            batch.clear();
            relay.write(&mut batch);
            let all = batch.datagrams();
            seen.extend(all.map(|(to, ecn, d)| (to.port(), ecn, d.to_vec())));
        }
        let want: Vec<_> = (0..10u8)
            .map(|i| (u16::from(i / 4), Ecn::Ce, vec![i; 100]))
            .collect();
        assert_eq!(seen, want);
    }

    #[test]
    fn equal_datagrams_leave_as_one_run() {
        let mut relay = Relay::default();
        for _ in 0..40 {
            relay.push(to(1), Ecn::NotEct, &[7; 1324]).unwrap();
        }
        let mut batch = Batch::new(64 * 1024);
        assert_eq!(relay.write(&mut batch), 40);
        assert_eq!(batch.runs().len(), 1);
    }

    #[test]
    fn what_finds_no_room_is_refused_and_the_rest_is_unharmed() {
        let mut relay = Relay::default();
        let big = vec![1; 60_000];
        let mut taken = 0u64;
        while relay.push(to(1), Ecn::NotEct, &big).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, (ROOM / 60_000) as u64);
        let mut batch = Batch::new(120_000);
        assert_eq!(relay.write(&mut batch), 2);
        assert_eq!(relay.push(to(1), Ecn::NotEct, &big), Ok(()));
        let mut left = 0;
        while !relay.is_empty() {
            batch.clear();
            left += relay.write(&mut batch);
            assert!(batch.datagrams().all(|(_, _, d)| d == big));
        }
        assert_eq!(left, taken - 1);
    }

    #[test]
    fn what_no_batch_can_hold_is_dropped() {
        let mut relay = Relay::default();
        relay.push(to(1), Ecn::NotEct, &[0; 200]).unwrap();
        relay.push(to(1), Ecn::NotEct, &[1; 50]).unwrap();
        let mut batch = Batch::new(100);
        assert_eq!(relay.write(&mut batch), 1);
        assert!(relay.is_empty());
    }
}
