//! A sender among scripted receivers, in virtual time.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::geometry::Sectioning;
use uftp_proto::nak::BlockMap;
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{
    self, Abort, BlockRef, Complete, CompleteStatus, FileInfoAck, FileType, FixedPace, Header,
    Message, Pace, Register, Status, Version,
};
use uftp_proto::{Ecn, FileId, Geometry, GroupId, Instance, Seq, Uid, WireTime};
use uftp_session::files::{FileSource, SendItem};
use uftp_session::sender::{
    ClientEntry, FileOutcome, GrttBounds, NakLimit, Outcome, Rate, Sender, SenderConfig,
    SenderEvent, SyncMode,
};
use uftp_session::{Batch, Clock};

pub(crate) const GROUP: GroupId = GroupId(0x1234_5678);
pub(crate) const SERVER: Uid = Uid(0x0a00_0001);
pub(crate) const DELAY: Duration = Duration::from_micros(200);

/// Files in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) items: std::collections::VecDeque<(SendItem, Vec<u8>)>,
    current: Vec<u8>,
    /// Reading from this offset on fails.
    pub(crate) broken_at: Option<u64>,
    pub(crate) reads: std::rc::Rc<std::cell::Cell<usize>>,
}

impl FileSource for Memory {
    fn next_item(&mut self) -> Option<SendItem> {
        let (item, data) = self.items.pop_front()?;
        self.current = data;
        Some(item)
    }

    fn read_at(&mut self, offset: u64, bufs: &mut [IoSliceMut<'_>]) -> io::Result<()> {
        self.reads.set(self.reads.get() + 1);
        let mut at = offset as usize;
        for buf in bufs {
            if self.broken_at.is_some_and(|broken| at as u64 >= broken) {
                return Err(io::Error::other("bad sector"));
            }
            let end = at + buf.len();
            let data = self
                .current
                .get(at..end)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buf.copy_from_slice(data);
            at = end;
        }
        Ok(())
    }
}

impl Memory {
    pub(crate) fn file(mut self, name: &str, data: Vec<u8>) -> Self {
        let item = SendItem {
            source: name.into(),
            name: name.into(),
            file_type: FileType::REGULAR,
            size: data.len() as u64,
            mtime: 1_000_000,
            link: Vec::new(),
        };
        self.items.push_back((item, data));
        self
    }

    pub(crate) fn other(mut self, name: &str, file_type: FileType, link: &str) -> Self {
        let item = SendItem {
            source: name.into(),
            name: name.into(),
            file_type,
            size: 0,
            mtime: 0,
            link: link.into(),
        };
        self.items.push_back((item, Vec::new()));
        self
    }
}

/// Bytes that differ from block to block.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

/// A configuration like the reference's defaults at 20 000 Kbps.
pub(crate) fn config(clients: Option<&[u32]>) -> SenderConfig {
    let entry = |&uid: &u32| ClientEntry {
        uid: Uid(uid),
        name: format!("host{uid}"),
        proxy: false,
        fingerprint: None,
    };
    SenderConfig {
        version: Version::V4,
        uid: SERVER,
        group: GROUP,
        instance: Instance(0),
        public: "230.4.4.1:1044".parse().unwrap(),
        private: "230.5.5.7:1044".parse().unwrap(),
        clients: clients.map(|list| list.iter().map(entry).collect()),
        block_size: 1300,
        robust: 20,
        grtt: GrttBounds::default(),
        fixed: FixedPace::default(),
        rate: Rate::Fixed(2_560_000),
        rate_steps: None,
        max_passes: u16::MAX,
        nak_limit: NakLimit::default(),
        max_time_percent: None,
        shortest_max_time: None,
        quit_on_error: false,
        sync: SyncMode::Off,
        min_clients: None,
        announce_time: None,
        security: None,
    }
}

/// A datagram of the sender.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Since the first one.
    pub(crate) at: Duration,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Packet {
    pub(crate) fn header(&self) -> Header {
        wire::decode_header(&self.bytes).unwrap()
    }

    pub(crate) fn message(&self) -> Message<'_> {
        let header = self.header();
        wire::decode(header.version, header.function, &self.bytes[Header::LEN..]).unwrap()
    }

    /// Milliseconds since the first packet.
    pub(crate) fn ms(&self) -> f64 {
        self.at.as_secs_f64() * 1e3
    }

    /// A word for the kind of message, with the ids it lists.
    pub(crate) fn word(&self) -> String {
        let ids = |ids: &[Uid]| ids.iter().map(|u| format!(" {}", u.0)).collect::<String>();
        match self.message() {
            Message::Announce(m) => format!("ANNOUNCE{}", ids(&m.clients)),
            Message::RegConf(m) => format!("REG_CONF{}", ids(&m.clients)),
            Message::FileInfo(m) => format!("FILEINFO({}){}", m.file.0, ids(&m.clients)),
            Message::FileSeg(_) => "FILESEG".into(),
            Message::Done(m) => format!("DONE({}){}", m.file.0, ids(&m.clients)),
            Message::DoneConf(m) => format!("DONE_CONF{}", ids(&m.clients)),
            Message::Abort(m) => format!("ABORT({}) {}", m.host.0, m.reason),
            other => format!("{other:?}"),
        }
    }
}

/// A scripted receiver.
pub(crate) struct Peer {
    pub(crate) uid: Uid,
    pub(crate) addr: SocketAddr,
    /// Whether it hears a packet.
    pub(crate) hears: Box<dyn FnMut(&Packet) -> bool>,
    /// Whether its answer gets through.
    pub(crate) speaks: Box<dyn FnMut(&Message<'_>) -> bool>,
    /// What it answers FILEINFO with, other than FILEINFO_ACK.
    pub(crate) at_once: Option<CompleteStatus>,
    pub(crate) block_size: u16,
    /// What it has of the file already, but for these blocks.
    pub(crate) has: Option<Vec<u8>>,
    pub(crate) lacks: Vec<u32>,
    pub(crate) confirmed: bool,
    pub(crate) ended: Option<String>,
    pub(crate) done_conf: bool,
    pub(crate) files: HashMap<FileId, Incoming>,
    pub(crate) complete: BTreeMap<FileId, Vec<u8>>,
    last_section: Option<u16>,
    seq: Seq,
}

pub(crate) struct Incoming {
    pub(crate) geometry: Geometry,
    pub(crate) missing: BlockMap,
    pub(crate) data: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(uid: u32) -> Self {
        Peer {
            uid: Uid(uid),
            addr: SocketAddr::from(([10, 0, (uid >> 8) as u8, uid as u8], 1044)),
            hears: Box::new(|_| true),
            speaks: Box::new(|_| true),
            at_once: None,
            block_size: 0,
            has: None,
            lacks: Vec::new(),
            confirmed: false,
            ended: None,
            done_conf: false,
            files: HashMap::new(),
            complete: BTreeMap::new(),
            last_section: None,
            seq: Seq(0),
        }
    }

    pub(crate) fn hearing(mut self, hears: impl FnMut(&Packet) -> bool + 'static) -> Self {
        self.hears = Box::new(hears);
        self
    }

    pub(crate) fn speaking(mut self, speaks: impl FnMut(&Message<'_>) -> bool + 'static) -> Self {
        self.speaks = Box::new(speaks);
        self
    }

    pub(crate) fn packet(&mut self, message: &Message<'_>) -> Vec<u8> {
        let header = Header {
            version: Version::V4,
            function: message.function(),
            seq: self.seq,
            src: self.uid,
            group: GROUP,
            instance: Instance(0),
            grtt: RttCode(0),
            group_size: GroupSizeCode(0),
            dest: Uid::NONE,
        };
        self.seq = self.seq.next();
        let mut buf = vec![0; 9000];
        let len = wire::encode(&header, message, &mut buf).unwrap();
        buf.truncate(len);
        buf
    }

    /// What it answers to a packet, and after how long.
    fn answers(&mut self, packet: &Packet) -> Vec<(Duration, Vec<u8>)> {
        if self.ended.is_some() || !(self.hears)(packet) {
            return Vec::new();
        }
        let mut out: Vec<(Duration, Message<'static>)> = Vec::new();
        let mut statuses = Vec::new();
        let grtt = packet.header().grtt.duration();
        match packet.message() {
            Message::Announce(m) => {
                let Pace::Adaptive { block_size, .. } = m.pace else {
                    panic!("pace of protocol 3")
                };
                self.block_size = block_size;
                let invited = m.clients.is_empty() || m.clients.contains(&self.uid);
                if invited && !self.confirmed {
                    out.push((DELAY, register(m.timestamp.plus(DELAY))));
                }
            }
            Message::RegConf(m) => self.confirmed |= m.clients.contains(&self.uid),
            Message::FileInfo(m) if m.clients.contains(&self.uid) => {
                self.confirmed = true;
                self.last_section = None;
                if let Some(status) = self.at_once {
                    out.push((DELAY, complete(m.file, status)));
                } else if m.file_type != FileType::REGULAR {
                    self.complete.insert(m.file, m.name.clone());
                    out.push((DELAY, complete(m.file, CompleteStatus::NORMAL)));
                } else {
                    let block_size = self.block_size;
                    self.files.entry(m.file).or_insert_with(|| {
                        let geometry =
                            Geometry::new(m.size, block_size, Sectioning::Balanced).unwrap();
                        let mut incoming = Incoming {
                            geometry,
                            missing: BlockMap::all_missing(geometry.blocks()),
                            data: vec![0; m.size as usize],
                        };
                        if let Some(data) = &self.has {
                            incoming.missing = BlockMap::none_missing(geometry.blocks());
                            for &block in &self.lacks {
                                incoming.missing.set(block);
                            }
                            incoming.data.clone_from(data);
                        }
                        incoming
                    });
                    let ack = FileInfoAck {
                        file: m.file,
                        partial: self.has.is_some(),
                        echo: m.timestamp.plus(DELAY),
                        clients: Vec::new(),
                    };
                    out.push((DELAY, Message::FileInfoAck(ack)));
                }
            }
            Message::FileSeg(m) => {
                let BlockRef::InSection { section, block } = m.at else {
                    panic!("block of protocol 3")
                };
                if let Some(file) = self.files.get_mut(&m.file) {
                    let block = file.geometry.block_at(section, block.into()).unwrap();
                    assert_eq!(m.data.len(), file.geometry.block_len(block));
                    let from = file.geometry.offset(block) as usize;
                    file.data[from..from + m.data.len()].copy_from_slice(m.data);
                    file.missing.clear(block);
                    if let Some(last) = self.last_section.filter(|last| *last < section) {
                        statuses.push((m.file, last, grtt));
                    }
                    self.last_section = Some(section);
                }
            }
            Message::Done(m) if m.clients.contains(&self.uid) => {
                if m.file == FileId::SESSION {
                    out.push((DELAY, complete(m.file, CompleteStatus::NORMAL)));
                } else if let Some(file) = self.files.get(&m.file) {
                    if file.missing.missing() == 0 {
                        self.complete.insert(m.file, file.data.clone());
                        out.push((DELAY, complete(m.file, CompleteStatus::NORMAL)));
                    } else {
                        for section in 0..=m.section {
                            statuses.push((m.file, section, grtt));
                        }
                    }
                }
            }
            Message::DoneConf(m) => self.done_conf |= m.clients.contains(&self.uid),
            Message::Abort(m) if m.host == self.uid || m.host.is_none() => {
                self.ended = Some(m.reason);
            }
            _ => {}
        }
        let mut sent = Vec::new();
        for (delay, message) in out {
            if (self.speaks)(&message) {
                sent.push((delay, self.packet(&message)));
            }
        }
        for (file, section, delay) in statuses {
            let incoming = &self.files[&file];
            let Some(range) = incoming.geometry.section(section) else {
                continue;
            };
            let mut naks = Vec::new();
            if incoming.missing.write_naks(range, &mut naks) == 0 {
                continue;
            }
            let message = status(file, section, &naks);
            if (self.speaks)(&message) {
                sent.push((delay, self.packet(&message)));
            }
        }
        sent
    }
}

pub(crate) fn register(echo: WireTime) -> Message<'static> {
    Message::Register(Register {
        echo,
        random: [0; 32],
        key: Vec::new(),
        clients: Vec::new(),
    })
}

pub(crate) fn complete(file: FileId, status: CompleteStatus) -> Message<'static> {
    Message::Complete(Complete {
        file,
        status,
        free_space: None,
        clients: Vec::new(),
    })
}

pub(crate) fn status(file: FileId, section: u16, naks: &[u8]) -> Message<'_> {
    Message::Status(Status {
        file,
        pass: 0,
        proxy_seq: 0,
        section,
        tfmcc: None,
        naks,
    })
}

pub(crate) fn abort(reason: &str) -> Message<'static> {
    Message::Abort(Abort {
        current_file: false,
        host: Uid::NONE,
        reason: reason.into(),
    })
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
