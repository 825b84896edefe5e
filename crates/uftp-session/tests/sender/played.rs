//! The stage on which recorded receivers of protocol 5 speak to our sender.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::crypto::v5::{GroupMaster, ServerContext};
use uftp_proto::crypto::{BackendError, Curve, KeyError, Opener, PrivateKey, Suite};
use uftp_proto::wire::{
    self, Announce, AnnounceFlags, BlockRef, Function, Header, Message, Pace, Version,
};
use uftp_proto::{Ecn, FileId, Uid};
use uftp_session::files::SendItem;
use uftp_session::security::{Secrets, SenderSecurity};
use uftp_session::sender::{
    ClientEntry, GrttBounds, Outcome, Rate, Sender, SenderConfig, SenderEvent, SyncMode,
};
use uftp_session::{Batch, Clock, Refusal};

use super::lab::{self, Memory};
use super::recorded::pcap::{self, Recorded};

const SERVER: Uid = Uid(0xAA);

/// The key the recorded sender proved itself with.
const IDENTITY: &str = "3c17ecd65491093d593ca45ecd3120434f4c48842b5cf82aecea89eaa76704d1";

/// A recorded session and the secrets of its sender.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Which of the sessions in the capture.
    pub(super) run: usize,
    /// Those of its ephemeral key and of the group, if it was encrypted.
    pub(super) secrets: Option<(&'static str, &'static str)>,
    pub(super) rate: Rate,
    pub(super) quit_on_error: bool,
    pub(super) outcome: Outcome,
}

impl Case {
    /// A session in the clear that went well.
    pub(super) const fn plain(name: &'static str) -> Case {
        Case {
            name,
            run: 0,
            secrets: None,
            rate: Rate::Fixed(640_000),
            quit_on_error: false,
            outcome: Outcome::Success,
        }
    }

    pub(super) const fn encrypted(
        name: &'static str,
        scalar: &'static str,
        master: &'static str,
    ) -> Case {
        Case {
            secrets: Some((scalar, master)),
            ..Case::plain(name)
        }
    }
}

struct Known {
    random: [u8; 32],
    scalar: Vec<u8>,
    master: [u8; 32],
}

impl Secrets for Known {
    fn random(&mut self) -> [u8; 32] {
        self.random
    }

    fn ephemeral(&mut self, curve: Curve) -> Result<PrivateKey, KeyError> {
        Ok(PrivateKey::from_ec_scalar(curve, &self.scalar).unwrap())
    }

    fn master(&mut self) -> Result<GroupMaster, BackendError> {
        Ok(GroupMaster::from_bytes(&self.master))
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The message in a packet of the sender.
fn open(opener: &mut Option<Opener>, packet: &[u8]) -> (Function, Vec<u8>) {
    let header = wire::decode_header(packet).unwrap();
    let (Function::Encrypted, Some(opener)) = (header.function, opener) else {
        return (header.function, packet[Header::LEN..].to_vec());
    };
    let mut copy = packet.to_vec();
    let message = opener.open(&mut copy, None).unwrap().message.to_vec();
    (
        wire::inner_function(header.version, &message).unwrap(),
        message,
    )
}

/// What a message says but for times and signatures, lists of clients in order.
fn word((function, message): &(Function, Vec<u8>)) -> String {
    let ids = |ids: &[Uid]| {
        let mut ids: Vec<_> = ids.iter().map(|uid| uid.0).collect();
        ids.sort_unstable();
        format!("{ids:x?}")
    };
    match wire::decode(Version::V5, *function, message).unwrap() {
        Message::Announce(m) => format!("ANNOUNCE {:?} {}", m.pace, ids(&m.clients)),
        Message::KeyInfo(mut m) => {
            m.keys.sort_unstable();
            format!("KEYINFO {} {:x?}", m.iv_counter, m.keys)
        }
        Message::FileInfo(m) => format!(
            "FILEINFO {} {:?} {} {} {:?} {:?} {}",
            m.file.0,
            m.file_type,
            m.size,
            m.mtime,
            m.name,
            m.link,
            ids(&m.clients)
        ),
        Message::FileSeg(m) => format!("FILESEG {} {:?} {}", m.file.0, m.at, m.data.len()),
        Message::Done(m) => format!("DONE {} {} {}", m.file.0, m.section, ids(&m.clients)),
        Message::RegConf(m) => format!("REG_CONF {}", ids(&m.clients)),
        Message::DoneConf(m) => format!("DONE_CONF {}", ids(&m.clients)),
        Message::Abort(m) => format!("ABORT {:x} {}", m.host.0, m.reason),
        // What it says depends on the times of everything.
        Message::CongCtrl(m) => format!("CONG_CTRL {}", m.cc_seq),
        other => panic!("a sender does not say {other:?}"),
    }
}

/// The kind of a word, and the file it is about.
fn kind(word: &str) -> String {
    let mut parts = word.split(' ');
    let (what, file) = (parts.next().unwrap(), parts.next().unwrap());
    match what {
        "FILEINFO" | "FILESEG" | "DONE" => format!("{what} {file}"),
        _ => what.to_owned(),
    }
}

/// The recorded session, taken apart.
struct Script {
    /// What the sender said.
    words: Vec<String>,
    /// What receivers said: after how many words of which kind. Nothing if it was the sender's user
    /// who wanted it to end.
    answers: Vec<(String, usize, Option<Recorded>)>,
    items: Memory,
}

/// The sessions of a capture, each as the socket of its sender saw it.
fn sessions(name: &str) -> Vec<Vec<Recorded>> {
    let mut sessions: Vec<((SocketAddr, u8), Vec<Recorded>)> = Vec::new();
    for packet in pcap::read(&format!("{name}.pcap")) {
        let header = wire::decode_header(&packet.bytes).unwrap();
        let (group, instance) = (header.group, header.instance.0);
        let known = sessions.iter_mut().find(|((sender, run), session)| {
            let of = wire::decode_header(&session[0].bytes).unwrap();
            let involved = [packet.from, packet.to].contains(sender);
            (of.group, *run) == (group, instance) && involved
        });
        match known {
            Some((_, session)) => session.push(packet),
            None if header.function == Function::Announce && header.src == SERVER => {
                let same = sessions.iter().any(|((_, run), session)| {
                    let of = wire::decode_header(&session[0].bytes).unwrap();
                    (of.group, *run) == (group, instance)
                });
                if !same {
                    sessions.push(((packet.from, instance), vec![packet]));
                }
            }
            // On its way between others.
            None => {}
        }
    }
    sessions.into_iter().map(|(_, session)| session).collect()
}

fn take_apart(recorded: Vec<Recorded>, block_size: usize, opener: &mut Option<Opener>) -> Script {
    let mut script = Script {
        words: Vec::new(),
        answers: Vec::new(),
        items: Memory::default(),
    };
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    let mut last = String::new();
    let mut items: BTreeMap<FileId, (SendItem, Vec<u8>)> = BTreeMap::new();
    for packet in recorded {
        if wire::decode_header(&packet.bytes).unwrap().src != SERVER {
            script
                .answers
                .push((last.clone(), said[&last], Some(packet)));
            continue;
        }
        let opened = open(opener, &packet.bytes);
        match wire::decode(Version::V5, opened.0, &opened.1).unwrap() {
            Message::FileInfo(m) => {
                let item = SendItem {
                    source: "source".into(),
                    name: m.name,
                    file_type: m.file_type,
                    size: m.size,
                    mtime: m.mtime,
                    link: m.link,
                };
                items
                    .entry(m.file)
                    .or_insert((item, vec![0; m.size as usize]));
            }
            Message::FileSeg(m) => {
                let BlockRef::InSection { section: 0, block } = m.at else {
                    panic!("these files have one section");
                };
                let (_, data) = items.get_mut(&m.file).unwrap();
                let at = usize::from(block) * block_size;
                data[at..at + m.data.len()].copy_from_slice(m.data);
            }
            _ => {}
        }
        let word = word(&opened);
        if word.ends_with("Server quit, aborting all") {
            script.answers.push((last.clone(), said[&last], None));
        }
        if script
            .words
            .last()
            .is_some_and(|w| w.starts_with("ABORT 0"))
        {
            // It had one more block on its way.
            continue;
        }
        last = kind(&word);
        *said.entry(last.clone()).or_default() += 1;
        script.words.push(word);
    }
    script.items.items = items.into_values().collect();
    script
}

/// What is said beyond this much is told in the same words again.
pub(super) fn once(words: &[String]) -> Vec<&String> {
    let mut seen = BTreeSet::new();
    words.iter().filter(|word| seen.insert(*word)).collect()
}

/// Plays the recorded receivers to our sender. Returns what it said, and what the recorded one did.
pub(super) fn play(case: &Case) -> (Vec<String>, Vec<String>) {
    let (ours, theirs, _) = play_and_watch(case);
    (ours, theirs)
}

/// As [`play`], and what our sender told of.
pub(super) fn play_and_watch(case: &Case) -> (Vec<String>, Vec<String>, Vec<SenderEvent>) {
    let recorded = sessions(case.name).swap_remove(case.run);
    let invitation = Invitation::of(&recorded[0]);
    let mut keys = case.secrets.map(|secrets| invitation.keys(secrets));
    let mut opener = || keys.as_mut().map(|keys| invitation.opener(keys));
    let (mut theirs, ours) = (opener(), opener());
    let config = invitation.config(case, keys.as_ref().map(|keys| keys.suite));
    let Script {
        words: said,
        answers,
        items,
    } = take_apart(recorded, config.block_size.into(), &mut theirs);
    let now = Instant::now();
    let clock = Clock::new(now, invitation.announce.timestamp);
    let sender = match &mut keys {
        Some(keys) => Sender::with_secrets(config, items, clock, &mut keys.known, now),
        None => Sender::new(config, items, clock, StdRng::seed_from_u64(1), now),
    };
    let (words, events) = converse(case, sender, answers, ours, now);
    (words, said, events)
}

/// The ANNOUNCE that a recorded session begins with.
struct Invitation {
    header: Header,
    announce: Announce,
    /// The message in bytes.
    body: Vec<u8>,
    /// Where it was sent.
    to: SocketAddr,
}

/// The secrets of a recorded sender, and what they are for.
struct Keys {
    known: Known,
    suite: Suite,
}

impl Invitation {
    fn of(first: &Recorded) -> Invitation {
        let header = wire::decode_header(&first.bytes).unwrap();
        let body = first.bytes[Header::LEN..].to_vec();
        let Ok(Message::Announce(announce)) = wire::decode(Version::V5, Function::Announce, &body)
        else {
            panic!("no ANNOUNCE");
        };
        Invitation {
            header,
            announce,
            body,
            to: first.to,
        }
    }

    fn keys(&self, (scalar, master): (&str, &str)) -> Keys {
        let info = self.announce.encryption.as_ref().unwrap();
        let known = Known {
            random: info.random,
            scalar: unhex(scalar),
            master: unhex(master).try_into().unwrap(),
        };
        let suite = Suite::from_wire(Version::V5, info).unwrap();
        Keys { known, suite }
    }

    /// What opens the packets of the session's sender.
    fn opener(&self, keys: &mut Keys) -> Opener {
        let context = ServerContext::new(&self.header, &self.announce, &self.body).unwrap();
        let master = keys.known.master().unwrap();
        master.server_keys(&keys.suite, &context).opener().unwrap()
    }

    /// What our sender is told to lead such a session.
    fn config(&self, case: &Case, suite: Option<Suite>) -> SenderConfig {
        let Invitation {
            header, announce, ..
        } = self;
        let Pace::Adaptive {
            robust, block_size, ..
        } = announce.pace
        else {
            panic!("a pace of another protocol");
        };
        let security = suite.map(|suite| {
            let identity = PrivateKey::from_ec_scalar(Curve::DEFAULT, &unhex(IDENTITY)).unwrap();
            SenderSecurity::new(Version::V5, suite, Arc::new(identity), Curve::DEFAULT).unwrap()
        });
        let listed = announce.clients.iter().copied();
        let sync = announce.flags.contains(AnnounceFlags::SYNC);
        let ms = Duration::from_millis;
        SenderConfig {
            version: Version::V5,
            uid: SERVER,
            group: header.group,
            instance: header.instance,
            public: self.to,
            private: match announce.private {
                unicast if unicast.is_unspecified() => self.to,
                group => SocketAddr::new(group, self.to.port()),
            },
            clients: (listed.len() > 0).then(|| listed.map(ClientEntry::receiver).collect()),
            block_size,
            robust,
            grtt: GrttBounds {
                initial: ms(50),
                min: ms(20),
                max: ms(500),
            },
            rate: case.rate,
            sync: if sync { SyncMode::Sync } else { SyncMode::Off },
            quit_on_error: case.quit_on_error,
            security,
            ..lab::config(None)
        }
    }
}

/// Has the recorded receivers answer our sender until it is through. Returns what it said, which
/// `opener` opens, and what it told of.
fn converse(
    case: &Case,
    mut sender: Sender<Memory>,
    answers: Vec<(String, usize, Option<Recorded>)>,
    mut opener: Option<Opener>,
    mut now: Instant,
) -> (Vec<String>, Vec<SenderEvent>) {
    let mut batch = Batch::new(20_000);
    let mut words = Vec::new();
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    let mut answers = answers.into_iter().peekable();
    let mut ended = None;
    let mut events = Vec::new();
    while ended.is_none() || !sender.is_finished() {
        loop {
            batch.clear();
            sender.poll_transmit(now, &mut batch);
            if batch.is_empty() {
                break;
            }
            for (_, _, packet) in batch.datagrams() {
                let word = word(&open(&mut opener, packet));
                *said.entry(kind(&word)).or_default() += 1;
                words.push(word);
            }
        }
        while let Some(event) = sender.poll_event() {
            if let SenderEvent::Finished(outcome) = event {
                ended = Some(outcome);
            }
            events.push(event);
        }
        // Reports come when our rate was another already; before the end, in any case.
        let asked = said.contains_key("DONE 1");
        let due = |(kind, count, _): &(String, usize, _)| {
            said.get(kind) >= Some(count) || (asked && kind == "CONG_CTRL")
        };
        if let Some((_, _, answer)) = answers.next_if(due) {
            now += Duration::from_micros(100);
            match answer {
                Some(packet) => {
                    let mut bytes = packet.bytes.clone();
                    sender.handle_datagram(now, packet.from, Ecn::NotEct, &mut bytes);
                }
                None => sender.stop(now),
            }
        } else if let Some(next) = sender.poll_timeout() {
            now = now.max(next);
            sender.handle_timeout(now);
        }
        assert!(words.len() < 1000, "{}: {words:?}", case.name);
    }
    assert_eq!(ended, Some(case.outcome), "{}", case.name);
    assert_eq!(answers.count(), 0, "{}: all was heard", case.name);
    for why in [Refusal::Unauthentic, Refusal::Malformed, Refusal::Uncovered] {
        assert_eq!(sender.counters().refused(why), 0, "{}: {why}", case.name);
    }
    (words, events)
}
