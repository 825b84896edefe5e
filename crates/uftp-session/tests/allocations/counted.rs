//! A machine whose allocations are counted while file data flow.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Instant;

use uftp_proto::Ecn;
use uftp_proto::wire::{self, Function};
use uftp_session::Batch;
use uftp_sim::Node;
use uftp_sim::node::Membership;

/// Packets of file data before those that are counted: buffers may grow to their size.
pub(crate) const WARM_UP: u64 = 500;

/// Packets of file data for which nothing may be allocated.
pub(crate) const COUNTED: u64 = 3000;

/// Most packets of file data a machine is given before it is asked what it has to send.
const TURN: u32 = 32;

/// A node like another, counted.
pub(crate) struct Counted<N> {
    pub(crate) node: N,
    pub(crate) tally: Tally,
    block: usize,
    /// Packets of file data since the machine was last asked.
    waiting: u32,
}

/// What was counted.
#[derive(Default)]
pub(crate) struct Tally {
    /// Packets of file data in, and out.
    taken: u64,
    sent: u64,
    /// Allocations before the counted packets, and during them.
    before: Cell<u64>,
    during: Cell<u64>,
}

impl Tally {
    /// Panics unless file data came by, with no more than `most` allocations meanwhile.
    pub(crate) fn assert_at_most(&self, most: u64, who: &str) {
        assert!(self.packets() >= WARM_UP + COUNTED, "{who}: no data");
        assert!(self.before.get() > 0, "{who}: nothing is counted");
        let during = self.during.get();
        assert!(during <= most, "{during} allocations for data, {who}");
    }

    /// Packets of file data that came by.
    fn packets(&self) -> u64 {
        self.taken.max(self.sent)
    }

    fn count<R>(&self, call: impl FnOnce() -> R) -> R {
        let mut result = None;
        let info = allocation_counter::measure(|| result = Some(call()));
        let tally = match self.packets() {
            ..WARM_UP => &self.before,
            n if n < WARM_UP + COUNTED => &self.during,
            _ => return result.unwrap(),
        };
        tally.set(tally.get() + info.count_total);
        result.unwrap()
    }
}

impl<N: Node> Counted<N> {
    /// Counts what `node` allocates for file data in blocks of so many bytes.
    pub(crate) fn boxed(node: N, block: usize) -> Box<dyn Node> {
        Box::new(Counted {
            node,
            tally: Tally::default(),
            block,
            waiting: 0,
        })
    }

    fn is_data(&self, datagram: &[u8]) -> bool {
        let function = wire::decode_header(datagram).unwrap().function;
        datagram.len() > self.block && matches!(function, Function::FileSeg | Function::Encrypted)
    }
}

impl<N: Node> Node for Counted<N> {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]) {
        let data = self.is_data(datagram);
        let node = &mut self.node;
        self.tally
            .count(|| node.handle_datagram(now, from, ecn, datagram));
        self.waiting = if data { self.waiting + 1 } else { TURN };
        self.tally.taken += u64::from(data);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let node = &mut self.node;
        self.tally.count(|| node.handle_timeout(now));
        self.waiting = TURN;
    }

    fn poll_membership(&mut self, now: Instant) -> Option<Membership> {
        let node = &mut self.node;
        self.tally.count(|| node.poll_membership(now))
    }

    /// As a driver does, asks after several packets of file data.
    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        if (1..TURN).contains(&self.waiting) {
            return;
        }
        let node = &mut self.node;
        self.tally.count(|| node.poll_transmit(now, batch));
        let data = batch.datagrams().filter(|(_, _, d)| self.is_data(d));
        self.tally.sent += data.count() as u64;
        self.waiting = 0;
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.tally.count(|| self.node.poll_timeout())
    }
}
