//! Sessions of the deployed programs of protocol 3: given what their receivers and proxies said,
//! our sender must say what theirs did, byte for byte but for the stamps of encrypted packets.
//!
//! How often a message is repeated depends on timers, which theirs restart with every datagram;
//! so a repetition of what was said already counts as nothing new.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::geometry::Sectioning;
use uftp_proto::wire::{self, AnnounceFlags, BlockRef, Function, Header, Message, Pace};
use uftp_proto::{Ecn, FileId, Geometry, Instance, Uid, WireTime};
use uftp_session::files::SendItem;
use uftp_session::sender::{ClientEntry, Outcome, Sender, SenderConfig, SenderEvent};
use uftp_session::{Batch, Clock};

use super::lab::{self, Memory};
use super::recorded::none_is_forgotten;
use super::recorded::pcap::{self, Recorded};
use super::recorded::three::{Keyed, announced, decode, open};

/// Where a packet goes, and what it is in the clear.
type Said = (SocketAddr, Vec<u8>);

/// Our sender in the place of a recorded one.
struct Stand {
    sender: Sender<Memory>,
    now: Instant,
    keyed: Option<Keyed>,
    /// Not yet compared.
    fresh: VecDeque<Said>,
    /// All so far.
    said: BTreeSet<Said>,
    events: Vec<SenderEvent>,
}

/// The socket of the recorded sender: what it said, and what was said to it.
fn of_sender(recorded: Vec<Recorded>) -> Vec<Recorded> {
    let sender = announced(&recorded).0.from;
    let involved = |p: &Recorded| p.from == sender || p.to == sender;
    recorded.into_iter().filter(involved).collect()
}

impl Stand {
    fn new(recorded: &[Recorded], proxies: &[&str]) -> Stand {
        let (packet, header, announce) = announced(recorded);
        let mut keyed = Keyed::of(recorded);
        let Pace::Fixed(fixed) = announce.pace else {
            panic!("a pace of another protocol")
        };
        let proxies: Vec<Uid> = proxies
            .iter()
            .map(|addr| Uid::from_addr(addr.parse::<IpAddr>().unwrap()))
            .collect();
        let entry = |uid: Uid| ClientEntry {
            proxy: proxies.contains(&uid),
            ..ClientEntry::receiver(uid)
        };
        let private = match announce.private {
            unicast if unicast.is_unspecified() => packet.to,
            group => SocketAddr::new(group, packet.to.port()),
        };
        let listed = !announce.clients.is_empty();
        let restarted = announce.flags.contains(AnnounceFlags::RESTART);
        let config = SenderConfig {
            version: header.version,
            uid: header.src,
            group: header.group,
            instance: Instance(restarted.into()),
            public: packet.to,
            private,
            clients: listed.then(|| announce.clients.iter().copied().map(entry).collect()),
            fixed,
            security: keyed.as_ref().map(|keyed| keyed.security(header.version)),
            ..lab::config(None)
        };
        let signature = announce.encryption.map(|info| match info.hash {
            2 => 20,
            _ => 32,
        });
        let block_size = wire::block_size(&announce.pace, signature).unwrap();
        let source = source(recorded, &mut keyed, block_size);
        let now = Instant::now();
        let clock = Clock::new(now, WireTime(1_700_000_000_000_000));
        let sender = match &mut keyed {
            Some(keyed) => Sender::with_secrets(config, source, clock, &mut keyed.secrets(), now),
            None => Sender::new(config, source, clock, StdRng::seed_from_u64(1), now),
        };
        assert_eq!(sender.block_size(), block_size);
        Stand {
            sender,
            now,
            keyed,
            fresh: VecDeque::new(),
            said: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    fn drain(&mut self) {
        let mut batch = Batch::new(128 * 1024);
        loop {
            batch.clear();
            self.sender.poll_transmit(self.now, &mut batch);
            self.events
                .extend(std::iter::from_fn(|| self.sender.poll_event()));
            if batch.is_empty() {
                return;
            }
            for (to, _, datagram) in batch.datagrams() {
                let clear = self.in_the_clear(datagram);
                self.fresh.push_back((to, clear));
            }
        }
    }

    /// What a packet says, but for stamps.
    fn in_the_clear(&mut self, datagram: &[u8]) -> Vec<u8> {
        let mut clear = open(&mut self.keyed, datagram);
        let body = &mut clear[Header::LEN..];
        match wire::decode_header(datagram).unwrap().function {
            Function::KeyInfo => {
                let keyed = self.keyed.as_ref().unwrap();
                assert!(keyed.hands_over(datagram), "keys nobody can use");
                // The stamp, and what is encrypted under it.
                body[4..12].fill(0);
                for entry in body[12..].chunks_mut(52) {
                    entry[4..].fill(0);
                }
            }
            // Without a cipher, signature and hash mean nothing (wire-v3 §4.3).
            Function::Announce if body[23] == 0 => body[21..23].fill(0),
            _ => {}
        }
        clear
    }

    /// The next thing ours says that it has not said before, within the longest of its times.
    fn next(&mut self) -> Option<Said> {
        let limit = self.now + Duration::from_secs(5);
        loop {
            self.drain();
            while let Some(said) = self.fresh.pop_front() {
                if self.said.insert(said.clone()) {
                    return Some(said);
                }
            }
            let due = self.sender.poll_timeout().filter(|due| *due <= limit)?;
            self.now = self.now.max(due);
            self.sender.handle_timeout(self.now);
        }
    }

    fn hear(&mut self, packet: &Recorded) {
        self.drain();
        self.sender.handle_datagram(
            self.now,
            packet.from,
            Ecn::NotEct,
            &mut packet.bytes.clone(),
        );
    }

    fn outcome(&self) -> Option<Outcome> {
        self.events.iter().find_map(|event| match event {
            SenderEvent::Finished(outcome) => Some(*outcome),
            _ => None,
        })
    }
}

/// The files that went over the wire.
fn source(recorded: &[Recorded], keyed: &mut Option<Keyed>, block_size: u16) -> Memory {
    let mut files: BTreeMap<FileId, (SendItem, Vec<u8>)> = BTreeMap::new();
    let server = announced(recorded).0.from;
    for packet in recorded.iter().filter(|p| p.from == server) {
        let clear = open(keyed, &packet.bytes);
        match decode(&clear).1 {
            Message::FileInfo(info) => {
                let item = SendItem {
                    source: String::from_utf8(info.name.clone()).unwrap(),
                    name: info.name,
                    file_type: info.file_type,
                    size: info.size,
                    mtime: info.mtime,
                    link: info.link,
                };
                let data = vec![0; item.size as usize];
                files.entry(info.file).or_insert((item, data));
            }
            Message::FileSeg(seg) => {
                let BlockRef::InFile { block, .. } = seg.at else {
                    panic!("a block of another protocol")
                };
                let (item, data) = files.get_mut(&seg.file).unwrap();
                let geometry = Geometry::new(item.size, block_size, Sectioning::Filled).unwrap();
                let from = geometry.offset(block) as usize;
                data[from..from + seg.data.len()].copy_from_slice(seg.data);
            }
            _ => {}
        }
    }
    let mut source = Memory::default();
    source.items.extend(files.into_values());
    source
}

/// Plays one run of a sender. Returns ours after the last recorded packet.
fn play(name: &str, recorded: &[Recorded], proxies: &[&str]) -> Stand {
    let server = announced(recorded).0.from;
    let mut stand = Stand::new(recorded, proxies);
    let mut theirs = BTreeSet::new();
    for packet in recorded {
        if packet.from != server {
            stand.hear(packet);
            continue;
        }
        let said = (packet.to, stand.in_the_clear(&packet.bytes));
        if !theirs.insert(said.clone()) {
            continue;
        }
        let message = format!("{:?}", decode(&said.1));
        let ours = stand.next();
        let context = format!("{name} at {:?}", packet.at);
        let Some(ours) = ours else {
            panic!("{context}: silent instead of {message}");
        };
        assert_eq!(format!("{:?}", decode(&ours.1)), message, "{context}");
        assert_eq!(ours, said, "{context}");
    }
    stand
}

/// Plays a session that went well to its end.
fn replay(name: &str, proxies: &[&str]) {
    let recorded = of_sender(pcap::read(&format!("{name}.pcap")));
    let mut stand = play(name, &recorded, proxies);
    if let Some(more) = stand.next() {
        panic!("{name}: {:?} at the end", decode(&more.1));
    }
    assert_eq!(stand.outcome(), Some(Outcome::Success), "{name}");
}

#[test]
fn one_file_two_clients() {
    replay("v3-plain-2clients", &[]);
}

#[test]
fn many_files() {
    replay("v3-plain-files", &[]);
}

#[test]
fn closed_group() {
    replay("v3-closed3", &[]);
}

#[test]
fn closed_group_with_one_missing() {
    replay("v3-closed3-missing", &[]);
}

#[test]
fn directories_and_links() {
    replay("v3-dirs", &[]);
}

#[test]
fn losses() {
    replay("v3-loss", &[]);
}

#[test]
fn unicast() {
    replay("v3-unicast", &[]);
}

#[test]
fn encrypted() {
    replay("v3-enc-hmac", &[]);
}

#[test]
fn encrypted_with_losses() {
    replay("v3-loss-enc", &[]);
}

#[test]
fn clients_behind_a_client_proxy() {
    replay("v3-proxy", &["10.66.3.3"]);
}

#[test]
fn lossy_clients_behind_a_client_proxy() {
    replay("v3-proxy-loss", &["10.66.3.3"]);
}

#[test]
fn clients_behind_a_response_proxy() {
    replay("v3-resp-proxy", &["10.66.0.20"]);
}

#[test]
fn encrypted_clients_behind_a_response_proxy() {
    replay("v3-resp-proxy-enc", &["10.66.0.20"]);
}

/// The recorded sender was killed in the middle of a file.
#[test]
fn stopped_while_sending() {
    let recorded = of_sender(pcap::read("v3-abort-server.pcap"));
    let mut stand = play("v3-abort-server", &recorded, &[]);
    stand.sender.stop(stand.now);
    let (_, last) = stand.next().unwrap();
    assert!(matches!(decode(&last).1, Message::Abort(_)));
    assert_eq!(stand.outcome(), Some(Outcome::Interrupted));
}

/// Its client declines, each time.
#[test]
fn nobody_accepts() {
    let recorded = of_sender(pcap::read("v3-abort-enc-required.pcap"));
    let mut stand = play("v3-abort-enc-required", &recorded, &[]);
    assert_eq!(stand.next(), None);
    assert_eq!(stand.outcome(), Some(Outcome::NobodyRegistered));
    let declined = |e: &&SenderEvent| matches!(e, SenderEvent::Declined { .. });
    assert_eq!(stand.events.iter().filter(declined).count(), 1);
}

/// The client is behind a proxy that nothing is sent to, as its key is another than expected.
#[test]
fn nobody_hears() {
    let recorded = of_sender(pcap::read("v3-heartbeat-fail.pcap"));
    let mut stand = play("v3-heartbeat-fail", &recorded, &["10.66.3.3"]);
    assert_eq!(stand.next(), None);
    assert_eq!(stand.outcome(), Some(Outcome::NobodyRegistered));
}

#[test]
fn restarted_for_a_client_that_was_cut_off() {
    let mut first = pcap::read("v3-restart.pcap");
    let resumes = |p: &Recorded| matches!(decode(&p.bytes).1, Message::Announce(a) if a.flags.contains(AnnounceFlags::RESTART));
    let second = first.split_off(first.iter().position(resumes).unwrap());
    let first = of_sender(first);
    let mut stand = play("v3-restart", &first, &[]);
    assert_eq!(stand.next(), None);
    assert_eq!(stand.outcome(), Some(Outcome::AllDropped));
    let second = of_sender(second);
    let mut stand = play("v3-restart", &second, &[]);
    assert_eq!(stand.next(), None);
    assert_eq!(stand.outcome(), Some(Outcome::Success));
}

#[test]
fn every_recorded_session_is_played() {
    none_is_forgotten(&["v3-"], include_str!("replay_three.rs"), &[]);
}
