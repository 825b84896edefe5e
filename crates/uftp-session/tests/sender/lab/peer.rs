//! Scripted receivers, and what they say.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use uftp_proto::geometry::Sectioning;
use uftp_proto::nak::BlockMap;
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{
    self, Abort, BlockRef, Complete, CompleteStatus, FileInfoAck, FileType, Header, Message, Pace,
    Register, Status, Version,
};
use uftp_proto::{FileId, Geometry, Instance, Seq, Uid, WireTime};

use super::{DELAY, GROUP, Packet};

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
    pub(crate) fn answers(&mut self, packet: &Packet) -> Vec<(Duration, Vec<u8>)> {
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
