//! What a capture tells of its session, and of each client.

use std::collections::{BTreeMap, BTreeSet};

use uftp_proto::geometry::Sectioning;
use uftp_proto::wire::{self, BlockRef, CompleteStatus, FileInfo, FileType, Header, Message};
use uftp_proto::{BlockMap, FileId, Geometry, Uid};
use uftp_session::files::Offer;
use uftp_session::receiver::ResponseProxy;

use super::SERVER;
use crate::recorded::pcap::Recorded;

/// A client proxy, which speaks in its own name once in a while.
pub(crate) const PROXY: Uid = Uid(0xB2);

/// A response proxy.
pub(crate) const RESPONSE_PROXY: Uid = Uid(0xB3);

/// A capture with all its packets decoded.
pub(crate) struct Session<'a> {
    pub(crate) packets: Vec<(&'a Recorded, Header, Message<'a>)>,
}

impl<'a> Session<'a> {
    pub(crate) fn of(recorded: &'a [Recorded]) -> Self {
        let decoded = |packet: &'a Recorded| {
            let header = wire::decode_header(&packet.bytes).unwrap();
            let message = &packet.bytes[Header::LEN..];
            let message = wire::decode(header.version, header.function, message).unwrap();
            (packet, header, message)
        };
        Session {
            packets: recorded.iter().map(decoded).collect(),
        }
    }

    pub(crate) fn clients(&self) -> BTreeSet<Uid> {
        let sources = self.packets.iter().map(|(_, header, _)| header.src);
        sources
            .filter(|src| ![SERVER, PROXY, RESPONSE_PROXY].contains(src))
            .collect()
    }

    /// The proxy that a client asks for its key, and answers through.
    pub(crate) fn response_proxy(&self, client: Uid) -> Option<ResponseProxy> {
        let asks = |(_, _, message): &&(_, _, Message<'_>)| matches!(message, Message::KeyReq);
        let (asked, _, _) = self.said_by(client).find(asks)?;
        Some(ResponseProxy {
            addr: asked.to,
            fingerprint: None,
        })
    }

    pub(crate) fn said_by(
        &self,
        client: Uid,
    ) -> impl Iterator<Item = &(&'a Recorded, Header, Message<'a>)> {
        let by = move |(_, header, _): &&(_, Header, _)| header.src == client;
        self.packets.iter().filter(by)
    }

    pub(crate) fn infos(&self) -> impl Iterator<Item = &FileInfo> {
        self.packets
            .iter()
            .filter_map(|(_, _, message)| match message {
                Message::FileInfo(info) => Some(info),
                _ => None,
            })
    }

    /// What a client's disk had to say to each file, told from the client's answers.
    pub(crate) fn decisions(&self, client: Uid) -> BTreeMap<FileId, Offer> {
        let mut decisions = BTreeMap::new();
        for (_, _, message) in self.said_by(client) {
            match message {
                Message::FileInfoAck(ack) => {
                    let accept = Offer::Accept {
                        status: self.end_of(client, ack.file),
                        missing: ack.partial.then(|| self.lacking(client, ack.file)),
                    };
                    decisions.entry(ack.file).or_insert(accept);
                }
                Message::Complete(complete) => {
                    let done = Offer::Done {
                        status: complete.status,
                        free_space: complete.free_space,
                        note: None,
                    };
                    decisions.entry(complete.file).or_insert(done);
                }
                _ => {}
            }
        }
        decisions
    }

    /// How a file ended that a client accepted.
    pub(crate) fn end_of(&self, client: Uid, file: FileId) -> CompleteStatus {
        let told = self
            .said_by(client)
            .find_map(|(_, _, message)| match message {
                Message::Complete(complete) if complete.file == file => Some(complete.status),
                _ => None,
            });
        told.unwrap_or(CompleteStatus::NORMAL)
    }

    /// What a client says at first that it lacks of a file.
    pub(crate) fn lacking(&self, client: Uid, file: FileId) -> BlockMap {
        let info = self.infos().find(|info| info.file == file).unwrap();
        let geometry = Geometry::new(info.size, self.block_size(), Sectioning::Balanced).unwrap();
        let mut lacking = BlockMap::none_missing(geometry.blocks());
        let told = self
            .said_by(client)
            .find_map(|(_, _, message)| match message {
                Message::Status(status) if status.file == file => Some(status),
                _ => None,
            });
        let told = told.expect("a STATUS");
        for (bit, block) in geometry.section(told.section).unwrap().enumerate() {
            if told.naks[bit / 8] & 1 << (bit % 8) != 0 {
                lacking.set(block);
            }
        }
        lacking
    }

    /// Positions of packets that a client missed: blocks that its next STATUS asks for, and
    /// questions that it did not answer before they were repeated.
    pub(crate) fn missed(&self, client: Uid, block_size: u16) -> BTreeSet<usize> {
        let mut missed = BTreeSet::new();
        let mut blocks: BTreeMap<(u16, u16), usize> = BTreeMap::new();
        let (mut unanswered, mut asked) = (None, None);
        let sizes: BTreeMap<FileId, u64> = self.infos().map(|i| (i.file, i.size)).collect();
        for (position, (_, header, message)) in self.packets.iter().enumerate() {
            match message {
                Message::FileInfo(info) if info.clients.contains(&client) => {
                    missed.extend(unanswered.replace(position));
                }
                Message::Done(done) if done.clients.contains(&client) => {
                    missed.extend(asked.replace(position));
                }
                Message::FileSeg(seg) => {
                    let BlockRef::InSection { section, block } = seg.at else {
                        panic!("a block of another protocol");
                    };
                    blocks.insert((section, block), position);
                }
                _ if header.src != client => {}
                Message::Status(status) => {
                    asked = None;
                    let geometry =
                        Geometry::new(sizes[&status.file], block_size, Sectioning::Balanced);
                    let section = geometry.unwrap().section(status.section).unwrap();
                    for block in 0..section.len() as u16 {
                        if status.naks[usize::from(block / 8)] & 1 << (block % 8) != 0 {
                            // None of a resumed file has been sent yet.
                            missed.extend(blocks.get(&(status.section, block)));
                        }
                    }
                }
                Message::FileInfoAck(_) => unanswered = None,
                Message::Complete(_) => (unanswered, asked) = (None, None),
                _ => {}
            }
        }
        missed
    }

    /// The position of the first of some blocks.
    pub(crate) fn first_of(&self, blocks: &BTreeSet<(u16, u16)>) -> usize {
        let among = |(_, _, message): &(_, _, Message<'_>)| match message {
            Message::FileSeg(seg) => match seg.at {
                BlockRef::InSection { section, block } => blocks.contains(&(section, block)),
                BlockRef::InFile { .. } => false,
            },
            _ => false,
        };
        self.packets.iter().position(among).expect("such a block")
    }

    /// The file contents that went over the wire.
    pub(crate) fn contents(&self, block_size: u16) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut names = BTreeMap::new();
        let mut contents = BTreeMap::new();
        for (_, _, message) in &self.packets {
            match message {
                Message::FileInfo(info) if info.file_type == FileType::REGULAR => {
                    names.insert(info.file, (info.name.clone(), info.size));
                    let empty = || vec![0; info.size as usize];
                    contents.entry(info.name.clone()).or_insert_with(empty);
                }
                Message::FileSeg(seg) => {
                    let (name, size) = &names[&seg.file];
                    let geometry = Geometry::new(*size, block_size, Sectioning::Balanced).unwrap();
                    let BlockRef::InSection { section, block } = seg.at else {
                        panic!("a block of another protocol");
                    };
                    let block = geometry.block_at(section, block.into()).unwrap();
                    let at = geometry.offset(block) as usize;
                    let content = contents.get_mut(name).unwrap();
                    content[at..at + seg.data.len()].copy_from_slice(seg.data);
                }
                _ => {}
            }
        }
        contents
    }

    pub(crate) fn block_size(&self) -> u16 {
        let size = self
            .packets
            .iter()
            .find_map(|(_, _, message)| match message {
                Message::Announce(announce) => match announce.pace {
                    wire::Pace::Adaptive { block_size, .. } => Some(block_size),
                    wire::Pace::Fixed(_) => None,
                },
                _ => None,
            });
        size.expect("an ANNOUNCE")
    }
}

/// Blocks by section and number in it, for some clients.
pub(crate) type Blocks = BTreeMap<Uid, BTreeSet<(u16, u16)>>;

/// What the clients of a session ask for: sections and blocks in them.
pub(crate) fn asked(recorded: &[Recorded]) -> Blocks {
    let session = Session::of(recorded);
    let mut blocks = Blocks::new();
    for (_, header, message) in &session.packets {
        let Message::Status(status) = message else {
            continue;
        };
        let set = |bit: &u16| status.naks[usize::from(bit / 8)] & 1 << (bit % 8) != 0;
        let bits = (0..status.naks.len() as u16 * 8).filter(set);
        let lacks = blocks.entry(header.src).or_default();
        lacks.extend(bits.map(|bit| (status.section, bit)));
    }
    blocks
}
