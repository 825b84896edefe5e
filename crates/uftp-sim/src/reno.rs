//! A model of TCP to compete with: Reno with partial acknowledgements (RFC 5681, RFC 6582), an
//! endless transfer, every segment acknowledged.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use uftp_proto::Ecn;
use uftp_session::Batch;

use crate::node::{Membership, Node};

/// Bytes of a segment, as UDP payload: an IP packet of 1360 bytes.
pub const SEGMENT: usize = 1332;

/// What an acknowledgement is long.
const ACK: usize = 12;

/// The sending end.
pub struct RenoSender {
    to: SocketAddr,
    /// Lowest number not acknowledged, and the next new one.
    acked: u32,
    next: u32,
    /// Congestion window and slow start threshold, segments.
    window: f64,
    threshold: f64,
    duplicates: u32,
    /// Recovering until this number is acknowledged.
    recover: Option<u32>,
    /// To be sent again ahead of new data.
    again: Option<u32>,
    /// Smoothed round trip time and its deviation, seconds.
    rtt: Option<(f64, f64)>,
    /// The segment being timed.
    timed: Option<(u32, Instant)>,
    back_off: u32,
    /// When to give up waiting.
    timer: Option<Instant>,
    start: Instant,
}

impl RenoSender {
    /// Sends to `to` from `start` on.
    pub fn new(to: SocketAddr, start: Instant) -> Self {
        RenoSender {
            to,
            acked: 0,
            next: 0,
            window: 2.0,
            threshold: 1e9,
            duplicates: 0,
            recover: None,
            again: None,
            rtt: None,
            timed: None,
            back_off: 0,
            timer: None,
            start,
        }
    }

    /// Bytes that arrived for sure.
    pub fn acknowledged(&self) -> u64 {
        u64::from(self.acked) * SEGMENT as u64
    }

    fn in_flight(&self) -> f64 {
        f64::from(self.next - self.acked)
    }

    fn time_out(&self) -> Duration {
        let (mean, deviation) = self.rtt.unwrap_or((0.5, 0.125));
        let seconds = (mean + 4.0 * deviation).max(0.2);
        Duration::from_secs_f64(seconds * f64::from(1 << self.back_off.min(6)))
    }

    fn acknowledge(&mut self, now: Instant, number: u32) {
        if number <= self.acked {
            self.duplicate();
            return;
        }
        if let Some((timed, sent)) = self.timed
            && number > timed
        {
            self.measure((now - sent).as_secs_f64());
            self.timed = None;
        }
        self.back_off = 0;
        let newly = number - self.acked;
        self.acked = number;
        self.next = self.next.max(number);
        self.timer = (self.next > self.acked).then(|| now + self.time_out());
        match self.recover {
            Some(recover) if number >= recover => {
                self.recover = None;
                self.duplicates = 0;
                self.window = self.threshold;
            }
            Some(_) => {
                // The next hole; what has left the network makes room.
                self.again = Some(number);
                self.window = (self.window - f64::from(newly) + 1.0).max(1.0);
            }
            None => {
                self.duplicates = 0;
                self.window += if self.window < self.threshold {
                    1.0
                } else {
                    1.0 / self.window
                };
            }
        }
    }

    fn duplicate(&mut self) {
        if self.next == self.acked {
            return;
        }
        if self.recover.is_some() {
            self.window += 1.0;
            return;
        }
        self.duplicates += 1;
        if self.duplicates == 3 {
            self.threshold = (self.in_flight() / 2.0).max(2.0);
            self.window = self.threshold + 3.0;
            self.recover = Some(self.next);
            self.again = Some(self.acked);
            self.timed = None;
        }
    }

    fn measure(&mut self, rtt: f64) {
        self.rtt = Some(match self.rtt {
            None => (rtt, rtt / 2.0),
            Some((mean, deviation)) => (
                0.875 * mean + 0.125 * rtt,
                0.75 * deviation + 0.25 * (mean - rtt).abs(),
            ),
        });
    }

    fn send(&mut self, batch: &mut Batch, number: u32) -> bool {
        let sent = batch.push(self.to, Ecn::NotEct, |buf| {
            let segment = buf.get_mut(..SEGMENT).ok_or(())?;
            segment.fill(0);
            segment[..4].copy_from_slice(&number.to_be_bytes());
            Ok::<_, ()>(SEGMENT)
        });
        sent.is_ok()
    }
}

impl Node for RenoSender {
    fn handle_datagram(&mut self, now: Instant, _: SocketAddr, _: Ecn, datagram: &mut [u8]) {
        if let Some(&number) = datagram.first_chunk() {
            self.acknowledge(now, u32::from_be_bytes(number));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.timer.is_some_and(|timer| timer <= now) {
            self.threshold = (self.in_flight() / 2.0).max(2.0);
            self.window = 1.0;
            self.next = self.acked;
            self.recover = None;
            self.duplicates = 0;
            self.again = None;
            self.timed = None;
            self.back_off += 1;
            self.timer = None;
        }
    }

    fn poll_membership(&mut self, _: Instant) -> Option<Membership> {
        None
    }

    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        if now < self.start {
            return;
        }
        if let Some(number) = self.again.take()
            && !self.send(batch, number)
        {
            self.again = Some(number);
        }
        while self.in_flight() + 1.0 <= self.window && self.send(batch, self.next) {
            if self.timed.is_none() {
                self.timed = Some((self.next, now));
            }
            self.next += 1;
        }
        if self.timer.is_none() && self.next > self.acked {
            self.timer = Some(now + self.time_out());
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let idle = self.next == self.acked;
        self.timer.or(idle.then_some(self.start))
    }
}

/// The receiving end; part of a node that shares its path with others.
pub struct RenoReceiver {
    peer: SocketAddr,
    expected: u32,
    early: BTreeSet<u32>,
    /// Acknowledgements to be sent.
    owed: u32,
    /// Bytes of segments that arrived, repeated ones too.
    pub arrived: u64,
}

impl RenoReceiver {
    /// Hears `peer`.
    pub fn new(peer: SocketAddr) -> Self {
        RenoReceiver {
            peer,
            expected: 0,
            early: BTreeSet::new(),
            owed: 0,
            arrived: 0,
        }
    }
}

/// A node with a receiving end of TCP beside another node, on one path.
pub struct Shared<N> {
    /// The other.
    pub node: N,
    /// The receiving end.
    pub tcp: RenoReceiver,
    /// Bytes that arrived for the other node.
    pub others: u64,
}

impl<N> Shared<N> {
    /// `node`, and an end that hears `peer`.
    pub fn new(node: N, peer: SocketAddr) -> Self {
        Shared {
            node,
            tcp: RenoReceiver::new(peer),
            others: 0,
        }
    }
}

impl<N: Node> Node for Shared<N> {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]) {
        if from != self.tcp.peer {
            self.others += datagram.len() as u64;
            self.node.handle_datagram(now, from, ecn, datagram);
            return;
        }
        let tcp = &mut self.tcp;
        tcp.arrived += datagram.len() as u64;
        if let Some(&number) = datagram.first_chunk() {
            tcp.early.insert(u32::from_be_bytes(number));
        }
        while tcp.early.remove(&tcp.expected) {
            tcp.expected += 1;
        }
        tcp.early = tcp.early.split_off(&tcp.expected);
        tcp.owed += 1;
    }

    fn held_up(&mut self, now: Instant) {
        self.node.held_up(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.node.handle_timeout(now);
    }

    fn poll_membership(&mut self, now: Instant) -> Option<Membership> {
        self.node.poll_membership(now)
    }

    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        let tcp = &mut self.tcp;
        while tcp.owed > 0 {
            let sent = batch.push(tcp.peer, Ecn::NotEct, |buf| {
                let ack = buf.get_mut(..ACK).ok_or(())?;
                ack.fill(0);
                ack[..4].copy_from_slice(&tcp.expected.to_be_bytes());
                Ok::<_, ()>(ACK)
            });
            if sent.is_err() {
                break;
            }
            tcp.owed -= 1;
        }
        self.node.poll_transmit(now, batch);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.node.poll_timeout()
    }
}
