//! Sessions of the deployed programs of protocol 3: given what their receivers heard, ours must say
//! what they said, byte for byte.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use uftp_proto::crypto::{BackendError, Curve, KeyError, Premaster, PrivateKey};
use uftp_proto::geometry::Sectioning;
use uftp_proto::wire::{
    self, AnnounceFlags, BlockRef, CompleteStatus, FileType, Function, Header, Message, Version,
};
use uftp_proto::{BlockMap, FileId, Geometry, Uid};
use uftp_session::files::{Offer, SessionEnd};
use uftp_session::receiver::{ReceiverConfig, ResponseProxy};
use uftp_session::security::Secrets;

use super::recorded::none_is_forgotten;
use super::recorded::pcap::{self, Recorded};
use super::recorded::three::{self, Keyed, announced, open};
use super::support::{Bench, config};

/// The response proxy of all sessions that have one.
const RESPONSE_PROXY: &str = "10.66.0.20:1044";

fn decode(packet: &Recorded) -> (Header, Message<'_>) {
    three::decode(&packet.bytes)
}

/// A recorded session as one of its receivers saw it.
struct Case {
    name: &'static str,
    /// All packets, and all as they would be in the clear.
    recorded: Vec<Recorded>,
    clear: Vec<Recorded>,
    keyed: Option<Keyed>,
    /// Who speaks to the receivers: the sender, in each run from another port, and the response
    /// proxy beside it, or the proxy before them.
    speakers: Vec<SocketAddr>,
    block_size: u16,
}

impl Case {
    fn read(name: &'static str) -> Case {
        let recorded = pcap::read(&format!("{name}.pcap"));
        let mut keyed = Keyed::of(&recorded);
        let clear = recorded.iter().map(|packet| Recorded {
            bytes: open(&mut keyed, &packet.bytes),
            ..*packet
        });
        let clear: Vec<_> = clear.collect();
        let (packet, _, announce) = announced(&recorded);
        let announces = |p: &&Recorded| decode(p).0.function == Function::Announce;
        let ports = clear.iter().filter(announces).map(|p: &Recorded| p.from);
        let speakers = ports.filter(|from| from.ip() == packet.from.ip()).collect();
        Case {
            name,
            speakers,
            block_size: wire::block_size(&announce.pace, keyed.as_ref().map(Keyed::signature_len))
                .unwrap(),
            keyed,
            clear,
            recorded,
        }
    }

    /// The session of receivers behind a client proxy.
    fn behind(name: &'static str, speaker: &str) -> Case {
        Case {
            speakers: vec![speaker.parse().unwrap()],
            ..Case::read(name)
        }
    }

    /// The session of receivers that answer a response proxy.
    fn beside(name: &'static str) -> Case {
        let mut case = Case::read(name);
        case.speakers.push(RESPONSE_PROXY.parse().unwrap());
        case
    }

    /// Those who answer.
    fn clients(&self) -> BTreeSet<SocketAddr> {
        let speaks = |addr: &SocketAddr| self.speakers.contains(addr);
        let answers = |p: &&Recorded| speaks(&p.to) && !speaks(&p.from);
        self.recorded
            .iter()
            .filter(answers)
            .map(|p| p.from)
            .collect()
    }

    /// A client's first word in the session; before that it may have asked a proxy for its key.
    fn first(&self, client: SocketAddr) -> &Recorded {
        let own = |p: &&Recorded| p.from == client && decode(p).0.function != Function::KeyReq;
        self.recorded.iter().find(own).unwrap()
    }

    /// What a client is called in lists.
    fn uid(&self, client: SocketAddr) -> Uid {
        match decode(self.first(client)).0.src {
            Uid::NONE => Uid::from_addr(client.ip()),
            uid => uid,
        }
    }

    /// What a client's disk had to say to each file, told from its answers.
    fn decisions(&self, client: SocketAddr) -> BTreeMap<FileId, VecDeque<Offer>> {
        let mut decisions: BTreeMap<_, VecDeque<_>> = BTreeMap::new();
        let mut kept = None;
        for packet in self.clear.iter().filter(|p| p.from == client).rev() {
            let (file, partial, offer) = match decode(packet).1 {
                Message::Status(status) => {
                    kept = Some((status.file, status.naks.to_vec()));
                    continue;
                }
                Message::FileInfoAck(ack) => {
                    let missing = kept
                        .take()
                        .filter(|(file, _)| ack.partial && *file == ack.file);
                    let status = CompleteStatus::NORMAL;
                    let missing = missing.map(|(file, naks)| self.missing(file, &naks));
                    (ack.file, ack.partial, Offer::Accept { status, missing })
                }
                Message::Complete(complete) => {
                    let done = Offer::Done {
                        status: complete.status,
                        free_space: None,
                        note: None,
                    };
                    (complete.file, false, done)
                }
                _ => continue,
            };
            let offers = decisions.entry(file).or_default();
            // Of answers that were repeated the first counts.
            if !matches!(offers.front(), Some(Offer::Accept { missing: Some(_), .. }) if !partial) {
                offers.clear();
            }
            offers.push_front(offer);
        }
        decisions
    }

    fn geometry(&self, file: FileId) -> Geometry {
        let size = self.clear.iter().find_map(|packet| match decode(packet).1 {
            Message::FileInfo(info) if info.file == file => Some(info.size),
            _ => None,
        });
        Geometry::new(size.unwrap(), self.block_size, Sectioning::Filled).unwrap()
    }

    /// The blocks of a file of one section that a STATUS asks for.
    fn missing(&self, file: FileId, naks: &[u8]) -> BlockMap {
        let geometry = self.geometry(file);
        let mut missing = BlockMap::none_missing(geometry.blocks());
        missing.merge_naks(geometry.section(0).unwrap(), naks);
        missing
    }

    /// Positions of what a client missed: blocks that its next STATUS asks for, questions about
    /// the session that it did not answer, and confirmations after which it went on.
    fn missed(&self, client: SocketAddr) -> BTreeSet<usize> {
        let mut sent = BTreeMap::new();
        let mut missed = BTreeSet::new();
        let mut unanswered = None;
        let mut confirmed = Vec::new();
        let uid = self.uid(client);
        for (position, packet) in self.clear.iter().enumerate() {
            let heard = self.speakers.contains(&packet.from);
            match decode(packet).1 {
                Message::FileSeg(seg) if heard => {
                    let BlockRef::InFile { block, .. } = seg.at else {
                        panic!("a block of another protocol");
                    };
                    sent.insert((seg.file, block), position);
                }
                Message::Status(status) if packet.from == client => {
                    let blocks = self.geometry(status.file).section(status.section).unwrap();
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
                Message::Done(done)
                    if heard && done.file == FileId::SESSION && done.clients.contains(&uid) =>
                {
                    missed.extend(unanswered.replace(position));
                }
                Message::DoneConf(conf) if heard && conf.clients.contains(&uid) => {
                    confirmed.push(position);
                }
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

    fn bench(&self, client: SocketAddr, config: ReceiverConfig) -> Bench {
        let (header, message) = decode(self.first(client));
        let mut bench = Bench::with(ReceiverConfig {
            // Nobody in an open group, before it is told.
            uid: header.src,
            addresses: vec![Uid::from_addr(client.ip())],
            ..config
        });
        if let (Some(keyed), Message::Register(register)) = (&self.keyed, message) {
            let random = register.random;
            let premaster = keyed.premaster(&random).clone();
            bench
                .receiver
                .draw_from(Box::new(Known { random, premaster }));
        }
        let mut decisions = self.decisions(client);
        bench.store.change(|store| {
            store.decide = Box::new(move |file| {
                let decision = decisions.get_mut(&file.file).and_then(VecDeque::pop_front);
                decision.expect("each file is offered once")
            });
        });
        bench
    }

    /// Plays the session to a receiver in the place of `client`, who hears all but `missed`. What
    /// it says must be what `client` said, at the same places.
    fn play(&mut self, client: SocketAddr, bench: &mut Bench, missed: &BTreeSet<usize>) {
        let start = bench.now;
        for (position, packet) in self.recorded.iter().enumerate() {
            bench.pass(start + packet.at - bench.now);
            let for_us = self.speakers.contains(&packet.from)
                && (packet.to.ip().is_multicast() || packet.to == client);
            if for_us && !missed.contains(&position) {
                bench.feed(packet.from, &mut packet.bytes.clone());
            }
        }
        let ours = std::mem::take(&mut bench.sent);
        let ours: Vec<_> = ours
            .into_iter()
            // A response proxy is asked for its keys in protocol 4, too.
            .filter(|(_, _, packet)| {
                let header = wire::decode_header(packet).unwrap();
                (header.version, header.function) != (Version::V4, Function::KeyReq)
            })
            .map(|(_, to, packet)| {
                let clear = open(&mut self.keyed, &packet);
                (to, drawn(&self.keyed, &clear))
            })
            .collect();
        let mut ours = ours.into_iter();
        for theirs in self.clear.iter().filter(|p| p.from == client) {
            let name = self.name;
            let message = decode(theirs).1;
            let context = format!("{name}, {client} at {:?}: {message:?}", theirs.at);
            let registers = |word: &(SocketAddr, Vec<u8>)| {
                wire::decode_header(&word.1).unwrap().function == Function::Register
            };
            let said = (theirs.to, drawn(&self.keyed, &theirs.bytes));
            let mut word = ours.next();
            // Ours registers on until a packet of the sender shows that it has the right keys.
            if self.keyed.is_some() && !registers(&said) && word.as_ref().is_some_and(registers) {
                word = ours.next();
            }
            assert_eq!(word, Some(said), "{context}");
        }
        assert_eq!(ours.next(), None, "{}, {client}", self.name);
    }
}

/// A packet without what is drawn anew whenever it is sent: a premaster secret, encrypted.
fn drawn(keyed: &Option<Keyed>, packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if let (Some(keyed), Message::Register(register)) = (keyed, three::decode(&packet).1) {
        assert!(keyed.is_right(&register), "another premaster");
        packet[Header::LEN + 40..][..register.key.len()].fill(0);
    }
    packet
}

/// The secrets of a recorded receiver.
struct Known {
    random: [u8; 32],
    premaster: Premaster,
}

impl Secrets for Known {
    fn random(&mut self) -> [u8; 32] {
        self.random
    }

    fn ephemeral(&mut self, _: Curve) -> Result<PrivateKey, KeyError> {
        panic!("protocol 3 has no ephemeral keys")
    }

    fn premaster(&mut self, _: Version) -> Result<Premaster, BackendError> {
        Ok(self.premaster.clone())
    }
}

/// Plays a capture to one receiver for each of its clients.
fn play(case: Case) {
    play_to(case, &config());
}

/// The same, to receivers that are set up in a certain way.
fn play_to(mut case: Case, config: &ReceiverConfig) {
    let clients = case.clients();
    assert!(!clients.is_empty());
    for client in clients {
        let mut bench = case.bench(client, config.clone());
        let missed = case.missed(client);
        case.play(client, &mut bench, &missed);
        assert!(bench.receiver.is_idle(), "{}, {client}", case.name);
    }
}

fn replay(name: &'static str) {
    play(Case::read(name));
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
    let case = Case::read("v3-dirs");
    let links = case.recorded.iter().filter(
        |p| matches!(decode(p).1, Message::FileInfo(info) if info.file_type == FileType::SYMLINK),
    );
    assert!(links.count() > 0);
    play(case);
}

#[test]
fn losses() {
    replay("v3-loss");
}

#[test]
fn unicast() {
    replay("v3-unicast");
}

#[test]
fn encrypted() {
    replay("v3-enc-hmac");
}

#[test]
fn encrypted_with_losses() {
    replay("v3-loss-enc");
}

#[test]
fn behind_a_client_proxy() {
    play(Case::behind("v3-proxy", "10.66.2.2:1044"));
    play(Case::behind("v3-proxy-loss", "10.66.2.2:1044"));
}

/// They ask it for its key, and answer it alone.
#[test]
fn beside_a_response_proxy() {
    for (name, encrypted) in [("v3-resp-proxy", false), ("v3-resp-proxy-enc", true)] {
        let case = Case::beside(name);
        assert_eq!(case.keyed.is_some(), encrypted, "{name}");
        assert_eq!(case.clients().len(), 2, "{name}");
        let mut config = config();
        config.response_proxy = Some(ResponseProxy {
            addr: RESPONSE_PROXY.parse().unwrap(),
            fingerprint: None,
        });
        play_to(case, &config);
    }
}

/// It declines whatever is not encrypted.
#[test]
fn encryption_required() {
    let mut case = Case::read("v3-abort-enc-required");
    let client = case.clients().pop_first().unwrap();
    let wary = ReceiverConfig {
        require_encryption: true,
        ..config()
    };
    let mut bench = case.bench(client, wary);
    case.play(client, &mut bench, &BTreeSet::new());
}

/// The sender was killed; what the client said when it gave up is not recorded.
#[test]
fn abort_by_the_server() {
    let mut case = Case::read("v3-abort-server");
    let client = case.clients().pop_first().unwrap();
    let mut bench = case.bench(client, config());
    case.play(client, &mut bench, &BTreeSet::new());
    assert!(!bench.receiver.is_idle());
    bench.pass(std::time::Duration::from_secs(5));
    let (_, _, last) = bench.sent.pop().unwrap();
    let Message::Abort(abort) = three::decode(&last).1 else {
        panic!("no ABORT")
    };
    assert_eq!(abort.reason, "Transfer timed out");
    assert!(bench.sent.is_empty());
    assert!(bench.receiver.is_idle());
}

/// The client was cut off, and gave up; in the second run it got what it missed.
#[test]
fn restarted_after_it_was_cut_off() {
    let mut case = Case::read("v3-restart");
    let client = case.clients().pop_first().unwrap();
    let mut bench = case.bench(client, config());
    bench.store.change(|store| store.resumes = true);
    let mut missed = case.missed(client);
    let resumes = |p: &Recorded| matches!(decode(p).1, Message::Announce(a) if a.flags.contains(AnnounceFlags::RESTART));
    let resumed = case.clear.iter().position(resumes).unwrap();
    missed.extend(*missed.first().unwrap()..resumed);
    case.play(client, &mut bench, &missed);
    assert!(bench.receiver.is_idle());
    assert_eq!(
        bench.store.look().ended,
        [SessionEnd::BrokenOff, SessionEnd::Complete]
    );
}

/// The second run falls silent; the announcements of a third must not hide that.
#[test]
fn a_third_run_follows_a_second_that_is_gone() {
    let case = Case::read("v3-restart");
    let client = case.clients().pop_first().unwrap();
    let mut bench = case.bench(client, config());
    bench.store.change(|store| store.resumes = true);
    let announces = |p: &Recorded| decode(p).0.function == Function::Announce;
    let resumed = case.recorded.iter().rposition(announces).unwrap();
    let announce = case.recorded[resumed].bytes.clone();
    let second = &case.recorded[resumed..];
    for packet in second.iter().filter(|p| p.from != client).take(3) {
        bench.feed(packet.from, &mut packet.bytes.clone());
    }
    let functions = |bench: &mut Bench| -> Vec<(SocketAddr, Function)> {
        let sent = std::mem::take(&mut bench.sent).into_iter();
        sent.map(|(_, to, packet)| (to, three::decode(&packet).0.function))
            .collect()
    };
    let gone = second[0].from;
    let said = [(gone, Function::Register), (gone, Function::FileInfoAck)];
    assert_eq!(functions(&mut bench), said);
    let third = SocketAddr::new(gone.ip(), gone.port() + 1);
    for cycle in 0..4 {
        assert_eq!(functions(&mut bench), [], "cycle {cycle}");
        bench.feed(third, &mut announce.clone());
        if cycle < 3 {
            bench.pass(std::time::Duration::from_millis(800));
        }
    }
    assert_eq!(functions(&mut bench), [(third, Function::Register)]);
}

#[test]
fn every_recorded_session_is_played() {
    // One behind a proxy that passed nothing on.
    let others = ["v3-heartbeat-fail"];
    none_is_forgotten(&["v3-"], include_str!("replay_three.rs"), &others);
}
