//! Sessions of protocol 5 as the deployed programs played them: our sender, with the secrets of
//! theirs, hears what their receivers and proxies said, each word when it has said what that was an
//! answer to. It must open all of it, say the same things, and end as theirs did.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::crypto::v5::{GroupMaster, ServerContext};
use uftp_proto::crypto::{BackendError, Curve, KeyError, Opener, PrivateKey, Suite};
use uftp_proto::wire::{self, AnnounceFlags, BlockRef, Function, Header, Message, Pace, Version};
use uftp_proto::{Ecn, FileId, Uid};
use uftp_session::congestion::Limits;
use uftp_session::files::SendItem;
use uftp_session::security::{Secrets, SenderSecurity};
use uftp_session::sender::{
    ClientEntry, GrttBounds, Outcome, Rate, Sender, SenderConfig, SenderEvent, SyncMode,
};
use uftp_session::{Batch, Clock, Refusal};

use super::lab::{self, Memory};
use super::recorded::none_is_forgotten;
use super::recorded::pcap::{self, Recorded};

const SERVER: Uid = Uid(0xAA);

/// The key the recorded sender proved itself with.
const IDENTITY: &str = "3c17ecd65491093d593ca45ecd3120434f4c48842b5cf82aecea89eaa76704d1";

/// A recorded session and the secrets of its sender.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// Which of the sessions in the capture.
    run: usize,
    /// Those of its ephemeral key and of the group, if it was encrypted.
    secrets: Option<(&'static str, &'static str)>,
    rate: Rate,
    quit_on_error: bool,
    outcome: Outcome,
}

impl Case {
    /// A session in the clear that went well.
    const fn plain(name: &'static str) -> Case {
        Case {
            name,
            run: 0,
            secrets: None,
            rate: Rate::Fixed(640_000),
            quit_on_error: false,
            outcome: Outcome::Success,
        }
    }

    const fn encrypted(name: &'static str, scalar: &'static str, master: &'static str) -> Case {
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
fn once(words: &[String]) -> Vec<&String> {
    let mut seen = BTreeSet::new();
    words.iter().filter(|word| seen.insert(*word)).collect()
}

/// Plays the recorded receivers to our sender. Returns what it said, and what the recorded one did.
fn play(case: &Case) -> (Vec<String>, Vec<String>) {
    let (ours, theirs, _) = play_and_watch(case);
    (ours, theirs)
}

/// As [`play`], and what our sender told of.
fn play_and_watch(case: &Case) -> (Vec<String>, Vec<String>, Vec<SenderEvent>) {
    let recorded = sessions(case.name).swap_remove(case.run);
    let first = &recorded[0];
    let header = wire::decode_header(&first.bytes).unwrap();
    let body = &first.bytes[Header::LEN..];
    let Ok(Message::Announce(announce)) = wire::decode(Version::V5, Function::Announce, body)
    else {
        panic!("no ANNOUNCE");
    };
    let Pace::Adaptive {
        robust, block_size, ..
    } = announce.pace
    else {
        panic!("a pace of another protocol");
    };
    let mut secrets = case.secrets.map(|(scalar, master)| {
        let info = announce.encryption.clone().unwrap();
        let suite = Suite::from_wire(Version::V5, &info).unwrap();
        let known = Known {
            random: info.random,
            scalar: unhex(scalar),
            master: unhex(master).try_into().unwrap(),
        };
        (known, suite)
    });
    let mut opener = || {
        let (known, suite) = secrets.as_mut()?;
        let context = ServerContext::new(&header, &announce, body).unwrap();
        let keys = known.master().unwrap().server_keys(suite, &context);
        Some(keys.opener().unwrap())
    };
    let (mut theirs, mut ours) = (opener(), opener());
    let security = secrets.as_ref().map(|(_, suite)| {
        let identity = PrivateKey::from_ec_scalar(Curve::DEFAULT, &unhex(IDENTITY)).unwrap();
        let identity = Arc::new(identity);
        SenderSecurity::new(Version::V5, *suite, identity, Curve::DEFAULT).unwrap()
    });
    let announced = first.to;
    let private = match announce.private {
        unicast if unicast.is_unspecified() => announced,
        group => SocketAddr::new(group, announced.port()),
    };
    let stamp = announce.timestamp;
    let entry = |uid: &Uid| ClientEntry {
        uid: *uid,
        name: uid.to_string(),
        proxy: false,
        fingerprint: None,
    };
    let listed = &announce.clients;
    let sync = announce.flags.contains(AnnounceFlags::SYNC);
    let ms = Duration::from_millis;
    let config = SenderConfig {
        version: Version::V5,
        uid: SERVER,
        group: header.group,
        instance: header.instance,
        public: announced,
        private,
        clients: (!listed.is_empty()).then(|| listed.iter().map(entry).collect()),
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
    };
    let mut script = take_apart(recorded, block_size.into(), &mut theirs);
    let mut now = Instant::now();
    let clock = Clock::new(now, stamp);
    let items = std::mem::take(&mut script.items);
    let mut sender = match &mut secrets {
        Some((known, _)) => Sender::with_secrets(config, items, clock, known, now),
        None => Sender::new(config, items, clock, StdRng::seed_from_u64(1), now),
    };
    let mut batch = Batch::new(20_000);
    let mut words = Vec::new();
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    let mut answers = script.answers.into_iter().peekable();
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
                let word = word(&open(&mut ours, packet));
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
    (words, script.words, events)
}

const OPEN: Case = Case::encrypted(
    "v5-enc-gcm",
    "073c1fd817b7fcf3644d83979b2a414edc4e39dd4987890ac48ad600f6ce9b86",
    "9f8e45e28cd7d8d15703569039ee8081085537404b58e6a5b982ecd834800c0d",
);

#[test]
fn an_open_group_is_sent_a_tree_in_the_same_words() {
    let (ours, theirs) = play(&OPEN);
    assert_eq!(once(&ours), once(&theirs));
}

#[test]
fn a_closed_group_is_sent_a_file_in_the_same_words() {
    let (ours, theirs) = play(&Case::encrypted(
        "v5-closed3-enc",
        "e5a537a6961d623e286dcf27586be8b63f3db3a2438dc68eafdbe8751af3d05c",
        "ffdd9d74c2f332e93532e98b03bba66897333fca2f3893504874d58347826b5f",
    ));
    assert_eq!(ours, theirs, "not a word more or less");
}

#[test]
fn over_ipv6() {
    let (ours, theirs) = play(&Case::encrypted(
        "v5-ipv6-enc",
        "992776fc4ac61d69bd914dd1b90a2d8214266b4bcb7568053b9e1f65ff5d1951",
        "2d6f03dc901c449dcf4acc71961441d55273679a6dc8674256c2b95d3a28bba2",
    ));
    assert_eq!(once(&ours), once(&theirs));
}

/// The blocks a sender sent, each as often as it did.
fn blocks(words: &[String]) -> Vec<&String> {
    let is_block = |word: &&String| word.starts_with("FILESEG");
    let mut blocks: Vec<_> = words.iter().filter(is_block).collect();
    blocks.sort_unstable();
    blocks
}

#[test]
fn what_receivers_missed_is_sent_again() {
    let (ours, theirs) = play(&Case {
        rate: Rate::Fixed(1_024_000),
        ..Case::encrypted(
            "v5-loss-enc",
            "c154b5665fc35334a118eae356307cf39ee1a9080e5670c3cf7cf50b033fc14f",
            "2f944f236bc79b5f9b9aeab2df943ce5c6944d7039a8431c0d4becdb37cae51a",
        )
    });
    assert_eq!(blocks(&ours), blocks(&theirs));
}

/// In the clear, alone, beside others and through proxies.
#[test]
fn sessions_in_the_clear_are_led_in_the_same_words() {
    let slow = Rate::Fixed(51_200);
    for case in [
        Case::plain("v5-plain-files"),
        Case::plain("v5-closed3"),
        Case::plain("v5-closed3-missing"),
        Case::plain("v5-unicast"),
        Case::plain("v5-ipv6"),
        Case::plain("v5-ipv6-b"),
        Case::plain("v5-meta-b"),
        Case::plain("v5-proxy"),
        Case::plain("v5-heartbeat"),
        Case::plain("v5-heartbeat-b"),
        Case::plain("v5-sync"),
        Case {
            run: 1,
            ..Case::plain("v5-sync")
        },
        Case {
            run: 2,
            ..Case::plain("v5-sync")
        },
        Case::plain("v5-sync-b"),
        Case {
            run: 1,
            ..Case::plain("v5-sync-b")
        },
        Case {
            outcome: Outcome::NothingAccepted,
            ..Case::plain("v5-rejected")
        },
        Case {
            outcome: Outcome::NothingAccepted,
            ..Case::plain("v5-rejected-b")
        },
        Case {
            outcome: Outcome::NobodyRegistered,
            ..Case::plain("v5-abort-enc-required")
        },
        Case {
            outcome: Outcome::NobodyRegistered,
            ..Case::plain("v5-cl410-refuses")
        },
        Case {
            rate: slow,
            ..Case::plain("v5-abort-client")
        },
        Case {
            rate: slow,
            outcome: Outcome::Interrupted,
            ..Case::plain("v5-abort-server")
        },
        Case {
            rate: slow,
            outcome: Outcome::Interrupted,
            ..Case::plain("v5-abort-server-b")
        },
        Case {
            rate: slow,
            quit_on_error: true,
            outcome: Outcome::AllDropped,
            ..Case::plain("v5-abort-quit-on-error")
        },
    ] {
        let (ours, theirs) = play(&case);
        assert_eq!(once(&ours), once(&theirs), "{} {}", case.name, case.run);
    }
}

/// Lost blocks are sent again in the same passes; of what receivers behind proxies lost nobody
/// says whose it is.
#[test]
fn what_is_missed_in_the_clear_is_sent_again() {
    for case in [
        Case {
            rate: Rate::Fixed(1_024_000),
            ..Case::plain("v5-loss")
        },
        Case::plain("v5-proxy-loss"),
        Case {
            rate: Rate::Fixed(102_400),
            outcome: Outcome::AllDropped,
            ..Case::plain("v5-restart")
        },
        Case {
            run: 1,
            ..Case::plain("v5-restart")
        },
        Case {
            rate: Rate::Fixed(102_400),
            ..Case::plain("v5-restart-b")
        },
        Case {
            run: 1,
            ..Case::plain("v5-restart-b")
        },
    ] {
        let (ours, theirs) = play(&case);
        assert_eq!(once(&ours), once(&theirs), "{} {}", case.name, case.run);
        assert_eq!(blocks(&ours), blocks(&theirs), "{} {}", case.name, case.run);
    }
}

/// How fast it goes, and how often receivers are called on the way, depends on when each packet came;
/// all else is the same, and what receivers report is taken in.
#[test]
fn under_congestion_control() {
    let kbps = |rate: u64| Some(rate * 1024 / 8);
    let within = |init| {
        Rate::Tfmcc(Limits {
            min: kbps(200),
            init: kbps(init),
            max: kbps(6000),
        })
    };
    for (case, reports) in [
        (
            Case {
                rate: within(1000),
                ..Case::plain("v5-tfmcc")
            },
            20,
        ),
        (
            Case {
                rate: within(2000),
                ..Case::encrypted(
                    "v5-tfmcc-enc",
                    "09e9073f3712d419f1a3a512fb2a20610ada4b81361f225d2d190710c26a6300",
                    "cba3a747b5e178a8a0854565a42a29b2565b8e9358a34015116ce08f96535fe5",
                )
            },
            7,
        ),
    ] {
        let (ours, theirs, events) = play_and_watch(&case);
        let lasting = |words: &[String]| -> Vec<String> {
            let all = once(words).into_iter();
            all.filter(|w| !w.starts_with("CONG_CTRL"))
                .cloned()
                .collect()
        };
        assert_eq!(lasting(&ours), lasting(&theirs), "{}", case.name);
        let told = |e: &&SenderEvent| matches!(e, SenderEvent::RateReported { .. });
        assert_eq!(events.iter().filter(told).count(), reports, "{}", case.name);
        assert!(ours.iter().any(|w| w.starts_with("CONG_CTRL")));
    }
}

/// The secrets of the senders of the two that have proxies and are encrypted are not known.
#[test]
fn every_recorded_session_is_played() {
    let others = ["v5-proxy-enc", "v5-resp-proxy-enc"];
    none_is_forgotten("v5-", include_str!("replay.rs"), &others);
}
