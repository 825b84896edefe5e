//! Scripted receivers, and what they say.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use uftp_proto::geometry::Sectioning;
use uftp_proto::nak::BlockMap;
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{
    self, Abort, Announce, BlockRef, Complete, CompleteStatus, FileInfo, FileInfoAck, FileSeg,
    FileType, Header, Message, Pace, Register, Status, Version,
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
        let mut said = Vec::new();
        // Sections of files that it says what it misses of.
        let mut reports = Vec::new();
        match packet.message() {
            Message::Announce(m) => said.extend(self.announced(&m)),
            Message::RegConf(m) => self.confirmed |= m.clients.contains(&self.uid),
            Message::FileInfo(m) if m.clients.contains(&self.uid) => said.push(self.offered(&m)),
            Message::FileSeg(m) => reports.extend(self.take(&m)),
            Message::Done(m) if m.clients.contains(&self.uid) => match self.has_all(m.file) {
                true => said.push(complete(m.file, CompleteStatus::NORMAL)),
                false if self.files.contains_key(&m.file) => {
                    reports.extend((0..=m.section).map(|section| (m.file, section)));
                }
                false => {}
            },
            Message::DoneConf(m) => self.done_conf |= m.clients.contains(&self.uid),
            Message::Abort(m) if m.host == self.uid || m.host.is_none() => {
                self.ended = Some(m.reason);
            }
            _ => {}
        }
        let mut sent = Vec::new();
        for message in said {
            if (self.speaks)(&message) {
                sent.push((DELAY, self.packet(&message)));
            }
        }
        let grtt = packet.header().grtt.duration();
        for (file, section) in reports {
            let naks = self.naks(file, section);
            let message = status(file, section, &naks);
            if !naks.is_empty() && (self.speaks)(&message) {
                sent.push((grtt, self.packet(&message)));
            }
        }
        sent
    }

    /// A session is announced: registers until that is confirmed.
    fn announced(&mut self, m: &Announce) -> Option<Message<'static>> {
        let Pace::Adaptive { block_size, .. } = m.pace else {
            panic!("pace of protocol 3")
        };
        self.block_size = block_size;
        let invited = m.clients.is_empty() || m.clients.contains(&self.uid);
        let registers = invited && !self.confirmed;
        registers.then(|| register(m.timestamp.plus(DELAY)))
    }

    /// An item is offered, perhaps again.
    fn offered(&mut self, m: &FileInfo) -> Message<'static> {
        self.confirmed = true;
        self.last_section = None;
        if let Some(status) = self.at_once {
            return complete(m.file, status);
        }
        if m.file_type != FileType::REGULAR {
            self.complete.insert(m.file, m.name.clone());
            return complete(m.file, CompleteStatus::NORMAL);
        }
        if !self.files.contains_key(&m.file) {
            let file = self.begin(m);
            self.files.insert(m.file, file);
        }
        Message::FileInfoAck(FileInfoAck {
            file: m.file,
            partial: self.has.is_some(),
            echo: m.timestamp.plus(DELAY),
            clients: Vec::new(),
        })
    }

    /// A file of which nothing is here, or what was from the start.
    fn begin(&self, m: &FileInfo) -> Incoming {
        let geometry = Geometry::new(m.size, self.block_size, Sectioning::Balanced).unwrap();
        let Some(data) = &self.has else {
            return Incoming {
                geometry,
                missing: BlockMap::all_missing(geometry.blocks()),
                data: vec![0; m.size as usize],
            };
        };
        let mut missing = BlockMap::none_missing(geometry.blocks());
        for &block in &self.lacks {
            missing.set(block);
        }
        Incoming {
            geometry,
            missing,
            data: data.clone(),
        }
    }

    /// Takes a block. Returns the section to report on if it is the first of a later one.
    fn take(&mut self, m: &FileSeg<'_>) -> Option<(FileId, u16)> {
        let BlockRef::InSection { section, block } = m.at else {
            panic!("block of protocol 3")
        };
        let file = self.files.get_mut(&m.file)?;
        let block = file.geometry.block_at(section, block.into()).unwrap();
        assert_eq!(m.data.len(), file.geometry.block_len(block));
        let from = file.geometry.offset(block) as usize;
        file.data[from..from + m.data.len()].copy_from_slice(m.data);
        file.missing.clear(block);
        let last = self.last_section.replace(section);
        let last = last.filter(|last| *last < section)?;
        Some((m.file, last))
    }

    /// Whether all of a file, or of the session, is here.
    fn has_all(&mut self, file: FileId) -> bool {
        if file == FileId::SESSION {
            return true;
        }
        let incoming = self.files.get(&file);
        let Some(incoming) = incoming.filter(|incoming| incoming.missing.missing() == 0) else {
            return false;
        };
        self.complete.insert(file, incoming.data.clone());
        true
    }

    /// What it misses of a section; empty if nothing.
    fn naks(&self, file: FileId, section: u16) -> Vec<u8> {
        let incoming = &self.files[&file];
        let mut naks = Vec::new();
        if let Some(blocks) = incoming.geometry.section(section)
            && incoming.missing.write_naks(blocks, &mut naks) == 0
        {
            naks.clear();
        }
        naks
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
