//! Sessions of the deployed programs of protocol 3: given what their receivers heard, ours must say
//! what they said, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use uftp_proto::geometry::Sectioning;
use uftp_proto::wire::{self, BlockRef, CompleteStatus, FileType, Function, Header, Message};
use uftp_proto::{FileId, Geometry, Uid};
use uftp_session::files::Offer;
use uftp_session::receiver::ReceiverConfig;

use super::support::pcap::{self, Recorded};
use super::support::{Bench, config};

fn decode(packet: &Recorded) -> (Header, Message<'_>) {
    let header = wire::decode_header(&packet.bytes).unwrap();
    let message = wire::decode(
        header.version,
        header.function,
        &packet.bytes[Header::LEN..],
    );
    (header, message.unwrap())
}

/// Where the packet comes from that announces.
fn server(recorded: &[Recorded]) -> SocketAddr {
    let announce = |p: &&Recorded| decode(p).0.function == Function::Announce;
    recorded.iter().find(announce).unwrap().from
}

fn block_size(recorded: &[Recorded]) -> u16 {
    let pace = recorded.iter().find_map(|p| match decode(p).1 {
        Message::Announce(announce) => Some(announce.pace),
        _ => None,
    });
    wire::block_size(&pace.unwrap(), None).unwrap()
}

/// What a client's disk had to say to each file, told from its answers.
fn decisions(recorded: &[Recorded], client: SocketAddr) -> BTreeMap<FileId, Offer> {
    let mut decisions = BTreeMap::new();
    for packet in recorded.iter().filter(|p| p.from == client) {
        let (file, offer) = match decode(packet).1 {
            Message::FileInfoAck(ack) => {
                let (status, missing) = (CompleteStatus::NORMAL, None);
                (ack.file, Offer::Accept { status, missing })
            }
            Message::Complete(complete) => {
                let (status, free_space, note) = (complete.status, None, None);
                let done = Offer::Done {
                    status,
                    free_space,
                    note,
                };
                (complete.file, done)
            }
            _ => continue,
        };
        decisions.entry(file).or_insert(offer);
    }
    decisions
}

/// Positions of what a client missed: blocks that its next STATUS asks for, questions about the
/// session that it did not answer, and confirmations after which it went on.
fn missed(recorded: &[Recorded], client: SocketAddr) -> BTreeSet<usize> {
    let block_size = block_size(recorded);
    let mut sizes = BTreeMap::new();
    let mut sent = BTreeMap::new();
    let mut missed = BTreeSet::new();
    let mut unanswered = None;
    let mut confirmed = Vec::new();
    let uid = Uid::from_addr(client.ip());
    for (position, packet) in recorded.iter().enumerate() {
        match decode(packet).1 {
            Message::FileInfo(info) => {
                sizes.insert(info.file, info.size);
            }
            Message::FileSeg(seg) => {
                let BlockRef::InFile { block, .. } = seg.at else {
                    panic!("a block of another protocol");
                };
                sent.insert((seg.file, block), position);
            }
            Message::Status(status) if packet.from == client => {
                let geometry = Geometry::new(sizes[&status.file], block_size, Sectioning::Filled);
                let blocks = geometry.unwrap().section(status.section).unwrap();
                for (at, block) in blocks.enumerate() {
                    if status
                        .naks
                        .get(at / 8)
                        .is_some_and(|byte| byte & 1 << (at % 8) != 0)
                    {
                        missed.insert(sent[&(status.file, block)]);
                    }
                }
            }
            Message::Done(done) if done.file == FileId::SESSION && done.clients.contains(&uid) => {
                missed.extend(unanswered.replace(position));
            }
            Message::DoneConf(conf) if conf.clients.contains(&uid) => confirmed.push(position),
            Message::Complete(complete)
                if packet.from == client && complete.file == FileId::SESSION =>
            {
                unanswered = None;
                missed.extend(confirmed.drain(..));
            }
            _ => {}
        }
    }
    missed
}

/// Plays a capture to one receiver for each of its clients.
fn replay(name: &str) {
    let recorded = pcap::read(&format!("{name}.pcap"));
    let server = server(&recorded);
    let clients: BTreeSet<SocketAddr> = recorded.iter().map(|p| p.from).collect();
    for client in clients.into_iter().filter(|addr| *addr != server) {
        let said: Vec<_> = recorded.iter().filter(|p| p.from == client).collect();
        let address = Uid::from_addr(client.ip());
        let mut bench = Bench::with(ReceiverConfig {
            // Nobody in an open group, before it is told.
            uid: decode(said[0]).0.src,
            addresses: vec![address],
            ..config()
        });
        let mut decisions = decisions(&recorded, client);
        bench.store.change(|store| {
            store.decide = Box::new(move |file| {
                let decision = decisions.remove(&file.file);
                decision.expect("each file is offered once")
            });
        });
        let missed = missed(&recorded, client);
        let start = bench.now;
        for (position, packet) in recorded.iter().enumerate() {
            bench.pass(start + packet.at - bench.now);
            let for_us =
                packet.from == server && (packet.to.ip().is_multicast() || packet.to == client);
            if for_us && !missed.contains(&position) {
                bench.feed(packet.from, &mut packet.bytes.clone());
            }
        }
        let ours = std::mem::take(&mut bench.sent);
        for (theirs, (_, to, packet)) in said.iter().zip(&ours) {
            let (_, message) = decode(theirs);
            let context = format!("{name}, {client} at {:?}: {message:?}", theirs.at);
            assert_eq!(packet, &theirs.bytes, "{context}");
            assert_eq!(*to, theirs.to, "{context}");
        }
        assert_eq!(ours.len(), said.len(), "{name}, {client}");
        assert!(bench.receiver.is_idle(), "{name}, {client}");
    }
}

#[test]
fn one_file_two_clients() {
    replay("v3-plain-2clients");
}

#[test]
fn many_files() {
    replay("v3-plain-files");
}

#[test]
fn closed_group() {
    replay("v3-closed3");
}

#[test]
fn closed_group_with_one_missing() {
    replay("v3-closed3-missing");
}

#[test]
fn directories_and_links() {
    let recorded = pcap::read("v3-dirs.pcap");
    let links = recorded.iter().filter(
        |p| matches!(decode(p).1, Message::FileInfo(info) if info.file_type == FileType::SYMLINK),
    );
    assert!(links.count() > 0);
    replay("v3-dirs");
}

#[test]
fn losses() {
    replay("v3-loss");
}

#[test]
fn unicast() {
    replay("v3-unicast");
}
