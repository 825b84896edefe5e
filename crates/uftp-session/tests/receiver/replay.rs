//! Sessions of the deployed programs: given what their receivers heard, ours must say what they
//! said, byte for byte but for the echoed times, and at about the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uftp_proto::geometry::Sectioning;
use uftp_proto::wire::{
    self, BlockRef, CompleteStatus, FileInfo, FileType, Function, Header, Message, Version,
};
use uftp_proto::{BlockMap, FileId, Geometry, Instance, Uid};
use uftp_session::Refusal;
use uftp_session::files::Offer;
use uftp_session::receiver::ReceiverConfig;

use super::recorded::none_is_forgotten;
use super::recorded::pcap::{self, Recorded};
use super::support::{Bench, config};

const SERVER: Uid = Uid(0xAA);
/// A client proxy, which speaks in its own name once in a while.
const PROXY: Uid = Uid(0xB2);

/// A capture with all its packets decoded.
struct Session<'a> {
    packets: Vec<(&'a Recorded, Header, Message<'a>)>,
}

impl<'a> Session<'a> {
    fn of(recorded: &'a [Recorded]) -> Self {
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

    fn clients(&self) -> BTreeSet<Uid> {
        let sources = self.packets.iter().map(|(_, header, _)| header.src);
        sources
            .filter(|src| ![SERVER, PROXY].contains(src))
            .collect()
    }

    fn said_by(&self, client: Uid) -> impl Iterator<Item = &(&'a Recorded, Header, Message<'a>)> {
        let by = move |(_, header, _): &&(_, Header, _)| header.src == client;
        self.packets.iter().filter(by)
    }

    fn infos(&self) -> impl Iterator<Item = &FileInfo> {
        self.packets
            .iter()
            .filter_map(|(_, _, message)| match message {
                Message::FileInfo(info) => Some(info),
                _ => None,
            })
    }

    /// What a client's disk had to say to each file, told from the client's answers.
    fn decisions(&self, client: Uid) -> BTreeMap<FileId, Offer> {
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
    fn end_of(&self, client: Uid, file: FileId) -> CompleteStatus {
        let told = self
            .said_by(client)
            .find_map(|(_, _, message)| match message {
                Message::Complete(complete) if complete.file == file => Some(complete.status),
                _ => None,
            });
        told.unwrap_or(CompleteStatus::NORMAL)
    }

    /// What a client says at first that it lacks of a file.
    fn lacking(&self, client: Uid, file: FileId) -> BlockMap {
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
    fn missed(&self, client: Uid, block_size: u16) -> BTreeSet<usize> {
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
    fn first_of(&self, blocks: &BTreeSet<(u16, u16)>) -> usize {
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
    fn contents(&self, block_size: u16) -> BTreeMap<Vec<u8>, Vec<u8>> {
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

    fn block_size(&self) -> u16 {
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

/// A packet without the times it echoes.
fn timeless(function: Function, packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let echo = match function {
        Function::Register => 4..12,
        Function::FileInfoAck => 8..16,
        Function::CcAck => 16..24,
        _ => 0..0,
    };
    packet[Header::LEN..][echo].fill(0);
    packet
}

/// Times differ by what the recording machine took, at most.
const SLACK: Duration = Duration::from_millis(15);

/// Plays a capture to one receiver for each of its clients.
fn replay(name: &str) {
    let recorded = pcap::read(&format!("{name}.pcap"));
    replay_packets(name, &recorded, &Blocks::new());
}

/// Plays the sessions of a capture one by one. A run of a session is one, too; what is asked for
/// again in the next is what the network lost in this.
fn replay_each(name: &str) {
    let mut sessions: BTreeMap<_, Vec<Recorded>> = BTreeMap::new();
    for packet in pcap::read(&format!("{name}.pcap")) {
        let header = wire::decode_header(&packet.bytes).unwrap();
        let session = sessions.entry((header.group, header.instance)).or_default();
        session.push(packet);
    }
    for session in sessions.values_mut() {
        let start = session[0].at;
        session.iter_mut().for_each(|packet| packet.at -= start);
    }
    assert!(sessions.len() > 1);
    for ((group, instance), session) in &sessions {
        let next = sessions.get(&(*group, Instance(instance.0 + 1)));
        replay_packets(
            name,
            session,
            &next.map_or_else(BTreeMap::new, |run| asked(run)),
        );
    }
}

/// What the clients of a session ask for: sections and blocks in them.
fn asked(recorded: &[Recorded]) -> Blocks {
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

/// Blocks by section and number in it, for some clients.
type Blocks = BTreeMap<Uid, BTreeSet<(u16, u16)>>;

/// Clients for which there is such a block hear nothing from there on.
fn replay_packets(name: &str, recorded: &[Recorded], lost: &Blocks) {
    let session = Session::of(recorded);
    let clients = session.clients();
    assert!(!clients.is_empty());
    for client in clients {
        let deaf = lost.get(&client).map(|blocks| session.first_of(blocks));
        replay_client(name, &session, client, deaf);
    }
}

/// Plays a session to the place of one of its clients.
fn replay_client(name: &str, session: &Session<'_>, client: Uid, deaf: Option<usize>) {
    let block_size = session.block_size();
    let mut bench = play(session, client, block_size, deaf);
    let sent = std::mem::take(&mut bench.sent);
    let mut ours = sent.iter();
    for (theirs, header, message) in session.said_by(client) {
        let context = format!("{name}, {client} at {:?}: {message:?}", theirs.at);
        let (at, to, packet) = ours.next().unwrap_or_else(|| panic!("{context}: silent"));
        let function = wire::decode_header(packet).unwrap().function;
        assert_eq!(function, header.function, "{context}");
        assert_eq!(
            timeless(function, packet),
            timeless(function, &theirs.bytes),
            "{context}"
        );
        assert_eq!(*to, theirs.to, "{context}");
        assert!(at.abs_diff(theirs.at) < SLACK, "{context}: ours at {at:?}");
    }
    assert_eq!(ours.len(), 0, "{name}, {client} says more than recorded");
    assert!(bench.receiver.is_idle(), "{name}, {client}");
    let contents = session.contents(block_size);
    for (file, content) in &bench.store.look().files {
        assert_eq!(content, &contents[file], "{name}, {client}");
    }
    // Once it is over for one, the session goes on for others. Who does not wait for a proxy does
    // not listen to one.
    let refused = |why| bench.receiver.counters().refused(why);
    let in_all = bench.receiver.counters().refused_in_all();
    let proxies = refused(Refusal::UnknownSource);
    assert_eq!(refused(Refusal::OtherSession) + proxies, in_all);
    let by_proxy = |(_, header, _): &&(_, Header, _)| header.src == PROXY;
    assert_eq!(
        session.packets.iter().filter(by_proxy).count() as u64,
        proxies
    );
}

/// From the position `deaf` on the client hears nothing.
fn play(session: &Session<'_>, client: Uid, block_size: u16, deaf: Option<usize>) -> Bench {
    let mut bench = Bench::with(ReceiverConfig {
        uid: client,
        // What a client is set to shows in what it refuses.
        require_encryption: session.said_by(client).any(|(_, _, message)| {
            matches!(message, Message::Abort(m) if m.reason == "No unencrypted transfers allowed")
        }),
        ..config()
    });
    let mut decisions = session.decisions(client);
    bench.store.change(|store| {
        store.decide = Box::new(move |file| {
            let decision = decisions.remove(&file.file);
            decision.expect("each file is offered once")
        });
    });
    let address = session.said_by(client).next().unwrap().0.from;
    let missed = session.missed(client, block_size);
    let start = bench.now;
    for (position, (packet, header, message)) in session.packets.iter().enumerate() {
        bench.pass(start + packet.at - bench.now);
        let for_us = packet.to.ip().is_multicast() || packet.to == address;
        let heard = deaf.is_none_or(|from| position < from) && !missed.contains(&position);
        if for_us && heard {
            bench.feed(packet.from, &mut packet.bytes.clone());
        }
        if let Message::Abort(abort) = message
            && header.src == client
            && abort.reason == "Client shutting down"
        {
            // Its user stopped it.
            bench.receiver.shutdown(bench.now);
            bench.drain();
        }
    }
    bench.pass(SLACK);
    bench
}

#[test]
fn one_file_two_clients() {
    replay("v4-plain-2clients");
}

#[test]
fn many_files() {
    replay("v4-plain-files");
}

#[test]
fn closed_group() {
    replay("v4-closed3");
}

#[test]
fn closed_group_with_one_missing() {
    replay("v4-closed3-missing");
}

#[test]
fn directories_and_links() {
    replay("v4-dirs");
}

#[test]
fn rejected_path() {
    replay("v4-rejected");
}

#[test]
fn losses() {
    replay("v4-loss");
}

#[test]
fn deletion_and_free_space() {
    replay("v4-meta");
}

#[test]
fn unicast() {
    replay("v4-unicast");
}

#[test]
fn ipv6() {
    replay("v4-ipv6");
}

#[test]
fn abort_by_the_server() {
    replay("v4-abort-server");
}

#[test]
fn abort_by_a_client() {
    replay("v4-abort-client");
}

#[test]
fn preview() {
    replay("v4-sync-preview");
}

#[test]
fn protocol_5_in_the_clear() {
    for name in [
        "v5-plain-files",
        "v5-closed3",
        "v5-loss",
        "v5-unicast",
        "v5-ipv6",
        "v5-abort-server",
        "v5-abort-client",
        "v5-abort-server-b",
        "v5-abort-quit-on-error",
        "v5-abort-enc-required",
        "v5-closed3-missing",
        "v5-ipv6-b",
        "v5-meta-b",
        "v5-rejected",
        "v5-rejected-b",
    ] {
        replay(name);
    }
}

#[test]
fn behind_a_client_proxy_in_the_clear() {
    for name in [
        "v5-proxy",
        "v5-proxy-loss",
        "v5-heartbeat",
        "v5-heartbeat-b",
    ] {
        let mut recorded = pcap::read(&format!("{name}.pcap"));
        recorded.retain(|packet| packet.from.ip().to_string().starts_with("10.66.2."));
        replay_packets(name, &recorded, &Blocks::new());
    }
}

/// A receiver of 4.10.2 says nothing to a sender of protocol 5; nor does ours if it hears no more than
/// that.
#[test]
fn a_protocol_that_is_not_heard() {
    let recorded = pcap::read("v5-cl410-refuses.pcap");
    let mut bench = Bench::with(ReceiverConfig {
        protocols: Some(vec![Version::V4]),
        ..config()
    });
    for packet in &recorded {
        bench.feed(packet.from, &mut packet.bytes.clone());
    }
    bench.pass(SLACK);
    assert_eq!(bench.said(), [""; 0]);
    let refused = bench.refused_only(Refusal::OtherVersion);
    assert_eq!(refused, recorded.len() as u64);
}

#[test]
fn sync_mode() {
    replay_each("v5-sync");
    replay_each("v5-sync-b");
}

#[test]
fn resumed() {
    replay_each("v4-restart");
    replay_each("v5-restart");
    replay_each("v5-restart-b");
}

/// The limiting receiver reports, to the byte, what the recorded one did. The other one waits for as
/// long as chance has it; what it lost before the file does not count here.
#[test]
fn congestion_control() {
    let recorded = pcap::read("v5-tfmcc.pcap");
    let session = Session::of(&recorded);
    let [limiting, other] = [Uid(0x11), Uid(0x12)];
    replay_client("v5-tfmcc", &session, limiting, None);

    let bench = play(&session, other, session.block_size(), None);
    let body = |packet: &[u8]| {
        let function = wire::decode_header(packet).unwrap().function;
        let body = timeless(function, packet).split_off(Header::LEN);
        (function != Function::CcAck).then_some((function, body))
    };
    let ours = bench.sent.iter().filter_map(|(_, _, said)| body(said));
    let theirs = session.said_by(other);
    let theirs = theirs.filter_map(|(said, _, _)| body(&said.bytes));
    assert_eq!(Vec::from_iter(ours), Vec::from_iter(theirs));
    let reported = |(_, _, said): &&(_, _, Vec<u8>)| body(said).is_none();
    assert!(bench.sent.iter().filter(reported).count() > 0);
}

#[test]
fn every_recorded_session_of_protocol_5_is_played() {
    let code = [include_str!("replay.rs"), include_str!("replay_five.rs")].concat();
    none_is_forgotten("v5-", &code, &[]);
}
