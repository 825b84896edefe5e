//! A sender and a receiver hand to hand: every datagram passes through the test.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::crypto::Suite;
use uftp_proto::wire::{self, Function, Header, Message};
use uftp_proto::{Ecn, Seq, Uid, WireTime};
use uftp_session::files::SendItem;
use uftp_session::receiver::{Receiver, ReceiverConfig, ReceiverEvent};
use uftp_session::security::ReceiverSecurity;
use uftp_session::sender::{Sender, SenderConfig, SenderEvent};
use uftp_session::{Batch, Clock, Refusal};
use uftp_sim::scenario::{receiver_addr, receiver_uid, sender_config};
use uftp_sim::source::MemSource;
use uftp_sim::store::MemStore;

use super::scene::{keys_for, security, version};

/// Which machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Sender,
    Receiver,
}

pub(crate) struct Pair {
    pub(crate) sender: Sender<MemSource>,
    pub(crate) receiver: Receiver<MemStore>,
    pub(crate) store: MemStore,
    pub(crate) sender_events: Vec<SenderEvent>,
    pub(crate) receiver_events: Vec<ReceiverEvent>,
    pub(crate) items: Vec<SendItem>,
    pub(crate) config: SenderConfig,
    pub(crate) now: Instant,
    flying: VecDeque<(Side, Vec<u8>)>,
    batch: Batch,
}

impl Pair {
    pub(crate) fn new(suite: Suite, items: Vec<SendItem>) -> Pair {
        let now = Instant::now();
        let mut config = sender_config(0);
        config.version = version(&suite);
        config.security = Some(security(suite));
        let clock = Clock::new(now, WireTime(1_700_000_000_000_000));
        let rng = |n| StdRng::seed_from_u64(n);
        let source = MemSource::new(items.iter().cloned());
        config.min_clients = Some(1);
        let sender = Sender::new(config.clone(), source, clock, rng(1), now);
        let store = MemStore::default();
        let receiver_config = ReceiverConfig {
            cache_size: 16 * 1024,
            max_sessions: 5,
            require_encryption: true,
            security: ReceiverSecurity {
                keys: vec![keys_for(suite.key_exchange).clients[0].clone()],
                ..ReceiverSecurity::default()
            },
            ..ReceiverConfig::new(receiver_uid(0))
        };
        let receiver = Receiver::new(receiver_config, store.clone(), clock, rng(2), now);
        Pair {
            sender,
            receiver,
            store,
            sender_events: Vec::new(),
            receiver_events: Vec::new(),
            items,
            config,
            now,
            flying: VecDeque::new(),
            batch: Batch::new(200_000),
        }
    }

    /// Plays to the end; `look` sees every datagram before it arrives, and may meddle. Whether
    /// the datagram goes on is what it says.
    pub(crate) fn play(&mut self, mut look: impl FnMut(&mut Pair, Side, &[u8]) -> bool) {
        let end = self.now + Duration::from_secs(60);
        self.drain(Side::Sender);
        while !(self.sender.is_finished() && self.receiver.is_idle()) {
            assert!(self.now < end, "the session does not end");
            if let Some((to, datagram)) = self.flying.pop_front() {
                if look(self, to, &datagram) {
                    self.deliver(to, datagram);
                }
                continue;
            }
            let due = [self.sender.poll_timeout(), self.receiver.poll_timeout()];
            let due = due.into_iter().flatten().min().unwrap();
            self.now = self.now.max(due);
            self.sender.handle_timeout(self.now);
            self.receiver.handle_timeout(self.now);
            self.drain(Side::Sender);
            self.drain(Side::Receiver);
        }
    }

    /// Panics unless everything arrived.
    pub(crate) fn assert_whole(&self) {
        self.store.assert_holds(&self.items);
    }

    pub(crate) fn deliver(&mut self, to: Side, mut datagram: Vec<u8>) {
        let (from, ecn) = (self.address_of(to), Ecn::NotEct);
        match to {
            Side::Sender => self
                .sender
                .handle_datagram(self.now, from, ecn, &mut datagram),
            Side::Receiver => self
                .receiver
                .handle_datagram(self.now, from, ecn, &mut datagram),
        }
        self.drain(to);
    }

    /// Panics unless `datagram` changes nothing at a machine, but for being counted as refused
    /// for one of these reasons.
    pub(crate) fn assert_refused(&mut self, to: Side, datagram: Vec<u8>, why: &[Refusal]) {
        let state = |pair: &Pair| {
            let (s, r) = (&pair.sender, &pair.receiver);
            let told = (pair.sender_events.len(), pair.receiver_events.len());
            let waits = (s.poll_timeout(), r.poll_timeout(), pair.flying.len());
            (told, waits, pair.sender.progress())
        };
        let before = (state(self), self.refused(to, why));
        let shown = format!("{datagram:02x?}");
        self.deliver(to, datagram);
        let after = (state(self), self.refused(to, why));
        assert_eq!(before.0, after.0, "{to:?} acted upon {shown}");
        assert_eq!(before.1 + 1, after.1, "{to:?} did not refuse {shown}");
    }

    /// Datagrams a machine has refused for these reasons.
    pub(crate) fn refused(&self, at: Side, why: &[Refusal]) -> u64 {
        let counters = match at {
            Side::Sender => self.sender.counters(),
            Side::Receiver => self.receiver.counters(),
        };
        why.iter().map(|why| counters.refused(*why)).sum()
    }

    /// A message in the clear, as the other machine would have sent it but for the encryption.
    pub(crate) fn forge(&self, to: Side, seq: Seq, message: &Message<'_>) -> Vec<u8> {
        let header = Header {
            version: self.config.version,
            function: Function::Abort,
            seq,
            src: self.author_for(to),
            group: self.config.group,
            instance: self.config.instance,
            grtt: uftp_proto::quant::RttCode(100),
            group_size: uftp_proto::quant::GroupSizeCode(24),
            dest: Uid::NONE,
        };
        let mut buf = vec![0; 4096];
        let len = wire::encode(&header, message, &mut buf).unwrap();
        buf.truncate(len);
        buf
    }

    fn author_for(&self, to: Side) -> Uid {
        match to {
            Side::Sender => receiver_uid(0),
            Side::Receiver => self.config.uid,
        }
    }

    fn address_of(&self, to: Side) -> SocketAddr {
        match to {
            Side::Sender => receiver_addr(0),
            Side::Receiver => ([10, 0, 0, 1], 40_000).into(),
        }
    }

    fn drain(&mut self, side: Side) {
        let to = match side {
            Side::Sender => Side::Receiver,
            Side::Receiver => Side::Sender,
        };
        loop {
            match side {
                Side::Sender => {
                    while let Some(event) = self.sender.poll_event() {
                        self.sender_events.push(event);
                    }
                }
                Side::Receiver => {
                    while let Some(event) = self.receiver.poll_event() {
                        self.receiver_events.push(event);
                    }
                }
            }
            self.batch.clear();
            match side {
                Side::Sender => self.sender.poll_transmit(self.now, &mut self.batch),
                Side::Receiver => self.receiver.poll_transmit(self.now, &mut self.batch),
            }
            if self.batch.is_empty() {
                break;
            }
            let datagrams = self.batch.datagrams().map(|(_, _, d)| (to, d.to_vec()));
            self.flying.extend(datagrams);
        }
    }
}

/// What a datagram says it is.
pub(crate) fn function(datagram: &[u8]) -> Function {
    wire::decode_header(datagram).unwrap().function
}
