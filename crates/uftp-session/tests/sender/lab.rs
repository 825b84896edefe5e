//! A sender among scripted receivers, in virtual time.

mod memory;
mod packet;
mod peer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::wire::{Message, Version};
use uftp_proto::{Ecn, GroupId, Uid, WireTime};
use uftp_session::sender::{
    ClientEntry, FileOutcome, Outcome, Rate, Sender, SenderConfig, SenderEvent,
};
use uftp_session::{Batch, Clock};

pub(crate) use memory::{Memory, noise};
pub(crate) use packet::Packet;
pub(crate) use peer::{Peer, abort, complete, register, status};

pub(crate) const GROUP: GroupId = GroupId(0x1234_5678);
pub(crate) const SERVER: Uid = Uid(0x0a00_0001);
pub(crate) const DELAY: Duration = Duration::from_micros(200);

/// A configuration like the reference's defaults at 20 000 Kbps.
pub(crate) fn config(clients: Option<&[u32]>) -> SenderConfig {
    let entry = |&uid: &u32| ClientEntry {
        name: format!("host{uid}"),
        ..ClientEntry::receiver(Uid(uid))
    };
    let public = "230.4.4.1:1044".parse().unwrap();
    let private = "230.5.5.7:1044".parse().unwrap();
    SenderConfig {
        clients: clients.map(|list| list.iter().map(entry).collect()),
        rate: Rate::Fixed(2_560_000),
        ..SenderConfig::new(Version::V4, SERVER, GROUP, public, private)
    }
}

/// The sender and its receivers.
pub(crate) struct Lab {
    pub(crate) sender: Sender<Memory>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) packets: Vec<Packet>,
    pub(crate) events: Vec<SenderEvent>,
    /// Datagrams on their way to the sender.
    inbound: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)>,
    count: u64,
    batch: Batch,
    clock: Clock,
}

impl Lab {
    pub(crate) fn new(config: SenderConfig, source: Memory, peers: Vec<Peer>) -> Self {
        let start = Instant::now();
        let wall = WireTime(1_700_000_000_000_000);
        let clock = Clock::new(start, wall);
        let rng = StdRng::seed_from_u64(1);
        Lab {
            sender: Sender::new(config, source, clock, rng, start),
            peers,
            start,
            now: start,
            packets: Vec::new(),
            events: Vec::new(),
            inbound: BTreeMap::new(),
            count: 0,
            batch: Batch::new(128 * 1024),
            clock,
        }
    }

    /// A datagram will reach the sender after `delay`.
    pub(crate) fn post(&mut self, delay: Duration, from: SocketAddr, bytes: Vec<u8>) {
        self.count += 1;
        self.inbound
            .insert((self.now + delay, self.count), (from, bytes));
    }

    /// Peer number `i` says something now.
    pub(crate) fn say(&mut self, i: usize, message: &Message<'_>) {
        let bytes = self.peers[i].packet(message);
        let from = self.peers[i].addr;
        self.post(Duration::ZERO, from, bytes);
    }

    /// Runs until `until` holds after some step. Panics after ten minutes of virtual time.
    pub(crate) fn run_until(&mut self, mut until: impl FnMut(&Lab) -> bool) {
        for _ in 0..5_000_000 {
            self.drain();
            if until(self) {
                return;
            }
            let arrival = self.inbound.keys().next().map(|(at, _)| *at);
            let timer = self.sender.poll_timeout();
            let Some(next) = arrival.into_iter().chain(timer).min() else {
                panic!("nothing will ever happen again: {:?}", self.words());
            };
            self.now = self.now.max(next);
            assert!(
                self.now < self.start + Duration::from_secs(20_000),
                "too long: {:?}",
                self.events.iter().rev().take(30).collect::<Vec<_>>()
            );
            if arrival == Some(next) {
                let ((..), (from, mut bytes)) = self.inbound.pop_first().unwrap();
                self.sender
                    .handle_datagram(self.now, from, Ecn::NotEct, &mut bytes);
            } else {
                self.sender.handle_timeout(self.now);
            }
        }
        panic!("too many steps");
    }

    /// Runs to the end of the session.
    pub(crate) fn run(&mut self) -> Outcome {
        self.run_until(|lab| lab.sender.is_finished());
        self.outcome().unwrap()
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.events.iter().find_map(|event| match event {
            SenderEvent::Finished(outcome) => Some(*outcome),
            _ => None,
        })
    }

    fn drain(&mut self) {
        loop {
            self.batch.clear();
            self.sender.poll_transmit(self.now, &mut self.batch);
            while let Some(event) = self.sender.poll_event() {
                self.events.push(event);
            }
            if self.batch.is_empty() {
                return;
            }
            let sent: Vec<_> = self
                .batch
                .datagrams()
                .map(|(to, _, bytes)| Packet {
                    at: self.now - self.start,
                    to,
                    bytes: bytes.to_vec(),
                })
                .collect();
            for packet in sent {
                let to = packet.to.ip();
                let mut answers = Vec::new();
                for peer in &mut self.peers {
                    if to.is_multicast() || to == peer.addr.ip() {
                        let from = peer.addr;
                        let said = peer.answers(&packet);
                        answers.extend(said.into_iter().map(|(d, b)| (d, from, b)));
                    }
                }
                for (delay, from, bytes) in answers {
                    self.post(DELAY + delay, from, bytes);
                }
                self.packets.push(packet);
            }
        }
    }

    /// What the sender's clock says.
    pub(crate) fn stamp(&self) -> WireTime {
        self.clock.stamp(self.now)
    }

    /// How a file ended at the receivers in list order.
    pub(crate) fn results(&self, number: u16) -> Vec<FileOutcome> {
        let results = self.events.iter().find_map(|event| match event {
            SenderEvent::FileFinished { file, results, .. } if file.0 == number => Some(results),
            _ => None,
        });
        results.unwrap().iter().map(|r| r.outcome).collect()
    }

    /// The kinds of packets in order, FILESEG runs as one word.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for packet in &self.packets {
            let word = packet.word();
            if word != "FILESEG" || words.last() != Some(&word) {
                words.push(word);
            }
        }
        words
    }

    /// Packets whose word begins so.
    pub(crate) fn of(&self, word: &str) -> Vec<&Packet> {
        self.packets
            .iter()
            .filter(|p| p.word().starts_with(word))
            .collect()
    }

    pub(crate) fn has(&self, event: impl Fn(&SenderEvent) -> bool) -> bool {
        self.events.iter().any(event)
    }
}
