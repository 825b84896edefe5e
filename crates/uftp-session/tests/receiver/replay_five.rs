//! Encrypted sessions of protocol 5 as the deployed programs played them: given what one of their
//! receivers heard, and its secrets, ours must open it all and say what it said, byte for byte but
//! for echoed times and signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use uftp_proto::Uid;
use uftp_proto::crypto::v5::{ClientContext1, Premaster, ProxyContext, ServerContext};
use uftp_proto::crypto::{
    Curve, Fingerprint, KeyError, KeyKind, Opener, PrivateKey, PublicKey, Suite,
};
use uftp_proto::wire::{self, BlockRef, Function, Header, Message, Version};
use uftp_session::Refusal;
use uftp_session::files::SessionEnd;
use uftp_session::receiver::{ReceiverConfig, ReceiverEventKind as K};
use uftp_session::security::{ProxyEntry, ReceiverSecurity, Secrets, ServerEntry};

use super::recorded::pcap::{self, Recorded};
use super::support::{Bench, config};

const SERVER: Uid = Uid(0xAA);
const CLIENT: Uid = Uid(0x11);

/// The key the recorded receivers proved themselves with.
const IDENTITY: &str = "c0a0aaf012e1f90a854c9a9adb683f2ccff83402d7a52dd970275e2167102681";
const SERVER_PRINT: &str = "93:0B:97:B5:C8:04:8C:D6:B2:98:74:D9:28:1C:48:13:98:2E:00:A1";

/// A recorded session and the secrets of its receiver.
struct Case {
    name: &'static str,
    /// Of its ephemeral key.
    scalar: &'static str,
    /// Whose packets it hears.
    hears: &'static [&'static str],
    /// The proxy it registers with, and the fingerprint of that.
    proxy: Option<(Uid, &'static str)>,
}

impl Case {
    const fn direct(name: &'static str, scalar: &'static str) -> Case {
        Case {
            name,
            scalar,
            hears: &["10.66.0.1", "fd66::1"],
            proxy: None,
        }
    }
}

const RESPONSE_PROXY_PRINT: &str = "AB:F3:03:78:39:7D:D8:2A:AF:03:6F:9C:72:F8:44:F7:41:7F:47:F8";

/// The session with a response proxy, known by this fingerprint.
fn through_response_proxy(print: &'static str) -> Case {
    Case {
        hears: &["10.66.0.1", "10.66.0.20"],
        proxy: Some((Uid(0xB3), print)),
        ..Case::direct(
            "v5-resp-proxy-enc",
            "4c4f214bd9c81dd2f2cc1f017b729b2a5220c808156903e7\
             7fc5b6b6cdf71a5fa115ac92dd49274576dfba0025a47da8",
        )
    }
}

/// The secrets of a recorded receiver.
struct Known {
    random: [u8; 32],
    scalar: Vec<u8>,
}

impl Secrets for Known {
    fn random(&mut self) -> [u8; 32] {
        self.random
    }

    fn ephemeral(&mut self, curve: Curve) -> Result<PrivateKey, KeyError> {
        Ok(PrivateKey::from_ec_scalar(curve, &self.scalar).unwrap())
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn said(recorded: &[Recorded]) -> Vec<&Recorded> {
    let by_client = |r: &&Recorded| wire::decode_header(&r.bytes).unwrap().src == CLIENT;
    recorded.iter().filter(by_client).collect()
}

/// The bench after the whole session.
fn play(case: &Case, recorded: &[Recorded]) -> Bench {
    play_but(case, recorded, &BTreeSet::new())
}

/// As [`play`]; packets at these positions do not reach the receiver.
fn play_but(case: &Case, recorded: &[Recorded], missed: &BTreeSet<usize>) -> Bench {
    let said = said(recorded);
    let address = said[0].from;
    let identity = PrivateKey::from_ec_scalar(Curve::DEFAULT, &unhex(IDENTITY)).unwrap();
    let print = |text: &str| Some(text.parse::<Fingerprint>().unwrap());
    let mut bench = Bench::with(ReceiverConfig {
        uid: CLIENT,
        require_encryption: true,
        security: ReceiverSecurity {
            keys: vec![Arc::new(identity)],
            servers: Some(vec![ServerEntry {
                uid: SERVER,
                addresses: Vec::new(),
                proxy: case.proxy.map(|(uid, _)| uid),
                fingerprint: print(SERVER_PRINT),
            }]),
            proxies: case
                .proxy
                .iter()
                .map(|(uid, text)| ProxyEntry {
                    uid: *uid,
                    addresses: Vec::new(),
                    fingerprint: print(text),
                })
                .collect(),
            ..ReceiverSecurity::default()
        },
        ..config()
    });
    bench.receiver.draw_from(Box::new(Known {
        random: said[0].bytes[Header::LEN + 12..][..32].try_into().unwrap(),
        scalar: unhex(case.scalar),
    }));
    let hears: Vec<IpAddr> = case.hears.iter().map(|a| a.parse().unwrap()).collect();
    let start = bench.now;
    for (position, packet) in recorded.iter().enumerate() {
        bench.pass(start + packet.at - bench.now);
        let addressed = packet.to.ip().is_multicast() || packet.to == address;
        let heard = addressed && !missed.contains(&position);
        if heard && hears.contains(&packet.from.ip()) {
            bench.feed(packet.from, &mut packet.bytes.clone());
        }
    }
    bench.pass(Duration::from_secs(1));
    bench
}

/// What does not depend on when a packet was sent, nor on the chance in a signature.
fn lasting(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let function = wire::decode_header(&packet).unwrap().function;
    let changes = match (function, packet.len()) {
        (Function::Register, _) => [Header::LEN + 4..Header::LEN + 12, 0..0],
        // The streams of these ciphers change where the message does, and the tag with it.
        // FILEINFO_ACK has an echo, CLIENT_KEY a signature.
        (Function::Encrypted, 60) => [36..44, 44..60],
        (Function::Encrypted, 188) => [28 + 76..188, 0..0],
        _ => [0..0, 0..0],
    };
    for range in changes {
        packet[range].fill(0);
    }
    packet
}

fn replay(case: &Case) {
    let recorded = pcap::read(&format!("{}.pcap", case.name));
    let bench = play(case, &recorded);
    let mut ours = bench.sent.iter();
    for theirs in said(&recorded) {
        let context = format!("{} at {:?}", case.name, theirs.at);
        let (_, to, packet) = ours.next().unwrap_or_else(|| panic!("{context}: silent"));
        assert_eq!(*to, theirs.to, "{context}");
        assert_eq!(lasting(packet), lasting(&theirs.bytes), "{context}");
    }
    assert_eq!(ours.len(), 0, "{} says more than recorded", case.name);
    assert_whole(case, &bench);
}

fn assert_whole(case: &Case, bench: &Bench) {
    assert!(bench.receiver.is_idle(), "{}", case.name);
    assert_eq!(
        bench.store.look().ended,
        [SessionEnd::Complete],
        "{}",
        case.name
    );
    assert!(!bench.store.look().files.is_empty());
    let counters = bench.receiver.counters();
    for why in [Refusal::Unauthentic, Refusal::Malformed, Refusal::Uncovered] {
        assert_eq!(counters.refused(why), 0, "{}: {why}", case.name);
    }
}

#[test]
fn client_authentication_and_a_tree() {
    replay(&Case::direct(
        "v5-enc-gcm",
        "609519388f6b85e2fa3a08b7b5b4d2433db78f40fd42be6443124b76491193d0",
    ));
}

#[test]
fn closed_group() {
    replay(&Case::direct(
        "v5-closed3-enc",
        "529fff269ac55784ab3e2c54e6646f6b53c971dc4c1c5ddff5c2a388f6b5c5cd",
    ));
}

#[test]
fn ipv6() {
    replay(&Case::direct(
        "v5-ipv6-enc",
        "24e46a121730afc45e9419822e65d6e799c74114b34c46c2c91a450d03f77c72",
    ));
}

/// The recorded receiver registered again when it heard a KEYINFO for others, which ours does not:
/// its packets have other numbers from there on.
#[test]
fn response_proxy() {
    let case = through_response_proxy(RESPONSE_PROXY_PRINT);
    let recorded = pcap::read("v5-resp-proxy-enc.pcap");
    let bench = play(&case, &recorded);
    let theirs = said(&recorded);
    for (theirs, (_, to, packet)) in theirs.iter().zip(&bench.sent).take(2) {
        assert_eq!(*to, theirs.to);
        assert_eq!(lasting(packet), lasting(&theirs.bytes));
    }
    assert_eq!(bench.sent.len() + 2, theirs.len());
    let mut lens = Lens::new(&case, &recorded);
    let said = theirs.iter().map(|packet| (packet.at, &packet.bytes[..]));
    let said = lens.answers(said);
    let kinds: Vec<_> = said.iter().map(|(_, message)| message[0]).collect();
    assert_eq!(kinds, [6, 8, 12, 12], "KEYINFO_ACK, FILEINFO_ACK, COMPLETE");
    let ours = bench.sent.iter().map(|(at, _, bytes)| (*at, &bytes[..]));
    assert_alike(&case, &lens.answers(ours), &said);
    assert!(bench.sent.iter().all(|(_, to, _)| *to == theirs[0].to));
    assert_whole(&case, &bench);
}

#[test]
fn client_proxy() {
    replay(&Case {
        hears: &["10.66.2.2"],
        proxy: Some((
            Uid(0xB2),
            "B1:B1:C4:86:67:25:4A:4C:C3:D6:F7:02:03:73:B5:85:5F:97:0A:24",
        )),
        ..Case::direct(
            "v5-proxy-enc",
            "e4bc5ceeea64779bdbad2e333c8e4d82dc232d07b5eed48caf727ea76168266c",
        )
    });
}

/// Looks into what sender and receiver of a session say to each other or to the proxy between them.
struct Lens {
    sender: Opener,
    receiver: Opener,
}

impl Lens {
    /// From the handshake and the secret of the receiver.
    fn new(case: &Case, recorded: &[Recorded]) -> Lens {
        let decode = |packet: &Recorded| {
            let header = wire::decode_header(&packet.bytes).unwrap();
            let body = packet.bytes[Header::LEN..].to_vec();
            (header, body)
        };
        let first = |function: u8, source: Uid| {
            let by = |p: &&Recorded| {
                let header = wire::decode_header(&p.bytes).unwrap();
                p.bytes[1] == function && header.src == source
            };
            decode(recorded.iter().find(by).unwrap())
        };
        let (header, body) = first(1, SERVER);
        let announce = wire::decode(Version::V5, Function::Announce, &body);
        let Ok(Message::Announce(announce)) = announce else {
            panic!("no ANNOUNCE");
        };
        let info = announce.encryption.as_ref().unwrap();
        let suite = Suite::from_wire(Version::V5, info).unwrap();
        let sc = ServerContext::new(&header, &announce, &body).unwrap();
        let (dh_key, pc) = match case.proxy {
            None => (info.dh_key.clone(), ProxyContext::default()),
            Some((uid, _)) => {
                let (_, body) = first(17, uid);
                let key = wire::decode(Version::V5, Function::ProxyKey, &body);
                let Ok(Message::ProxyKey(key)) = key else {
                    panic!("no PROXY_KEY");
                };
                let pc = ProxyContext::new(uid, &key, &body).unwrap();
                (key.dh_key, pc)
            }
        };
        let theirs = PublicKey::from_blob(&dh_key).unwrap();
        let KeyKind::Ec(curve) = theirs.kind() else {
            panic!("no key on a curve");
        };
        let ours = PrivateKey::from_ec_scalar(curve, &unhex(case.scalar)).unwrap();
        let premaster = Premaster::agree(&ours, &theirs).unwrap();
        let said = said(recorded);
        let (_, body) = decode(said[0]);
        let register = wire::decode(Version::V5, Function::Register, &body);
        let Ok(Message::Register(register)) = register else {
            panic!("no REGISTER");
        };
        let cc1 = ClientContext1::new(&sc, &pc, CLIENT, &register.key, &register.random);
        let keys = premaster.handshake_keys(&suite, &cc1);
        let mut packet = said[1].bytes.clone();
        let mut opener = keys.client_opener().unwrap();
        let body = opener.open(&mut packet, None).unwrap().message.to_vec();
        let key = wire::decode(Version::V5, Function::ClientKey, &body);
        let Ok(Message::ClientKey(key)) = key else {
            panic!("no CLIENT_KEY");
        };
        let cc2 = cc1.with_client_key(&key, &body).unwrap();
        let (_, body) = first(5, case.proxy.map_or(SERVER, |(uid, _)| uid));
        let Ok(Message::KeyInfo(info)) = wire::decode(Version::V5, Function::KeyInfo, &body) else {
            panic!("no KEYINFO");
        };
        let (_, wrapped) = info.keys.iter().find(|(uid, _)| *uid == CLIENT).unwrap();
        let master = keys.unwrap(wrapped, &cc2, info.iv_counter).unwrap();
        Lens {
            sender: master.server_keys(&suite, &sc).opener().unwrap(),
            receiver: master.client_keys(&suite, &cc2).keys.opener().unwrap(),
        }
    }

    /// What a packet says; `None` if it comes in the clear, under other keys or from others.
    fn look(&mut self, packet: &[u8]) -> Option<(Function, Vec<u8>)> {
        let header = wire::decode_header(packet).unwrap();
        let opener = match header.src {
            SERVER => &mut self.sender,
            CLIENT => &mut self.receiver,
            _ => return None,
        };
        let mut packet = packet.to_vec();
        let message = opener.open(&mut packet, None).ok()?.message.to_vec();
        Some((
            wire::inner_function(Version::V5, &message).unwrap(),
            message,
        ))
    }

    /// Positions of the blocks that the receiver asked for again, and of questions that it did not
    /// answer before they were repeated.
    fn missed(&mut self, recorded: &[Recorded]) -> BTreeSet<usize> {
        let mut sent = BTreeMap::new();
        let mut missed = BTreeSet::new();
        let mut unanswered = None;
        for (position, packet) in recorded.iter().enumerate() {
            let Some((function, message)) = self.look(&packet.bytes) else {
                continue;
            };
            match wire::decode(Version::V5, function, &message).unwrap() {
                Message::FileSeg(seg) => {
                    let BlockRef::InSection { section, block } = seg.at else {
                        panic!("a block of another protocol");
                    };
                    sent.insert((section, usize::from(block)), position);
                }
                Message::Status(status) => {
                    let set = |bit: &usize| status.naks[bit / 8] & 1 << (bit % 8) != 0;
                    let lacks = (0..status.naks.len() * 8).filter(set);
                    missed.extend(lacks.map(|bit| sent[&(status.section, bit)]));
                    unanswered = None;
                }
                Message::Done(done) if done.clients.contains(&CLIENT) => {
                    missed.extend(unanswered.replace(position));
                }
                Message::Complete(_) => unanswered = None,
                _ => {}
            }
        }
        missed
    }

    /// What the receiver said under the group's keys, without echoed times and reports on congestion:
    /// the recorded receiver takes KEYINFO for lost, and leaves slow start before there are data.
    fn answers<'a>(
        &mut self,
        packets: impl Iterator<Item = (Duration, &'a [u8])>,
    ) -> Vec<(Duration, Vec<u8>)> {
        let look = |(at, packet)| {
            let (function, mut message) = self.look(packet)?;
            if function == Function::FileInfoAck {
                message[8..16].fill(0);
            }
            (function != Function::CcAck).then_some((at, message))
        };
        packets.filter_map(look).collect()
    }
}

/// Checks that two receivers said the same at about the same time.
fn assert_alike(case: &Case, ours: &[(Duration, Vec<u8>)], theirs: &[(Duration, Vec<u8>)]) {
    const SLACK: Duration = Duration::from_millis(15);
    let words = |answers: &[(Duration, Vec<u8>)]| -> Vec<Vec<u8>> {
        answers.iter().map(|(_, message)| message.clone()).collect()
    };
    assert_eq!(words(ours), words(theirs), "{}", case.name);
    for ((at, message), (then, _)) in ours.iter().zip(theirs) {
        let late = at.abs_diff(*then);
        assert!(late < SLACK, "{}: {message:?} {late:?}", case.name);
    }
}

#[test]
fn losses_and_congestion_control() {
    for (case, lost) in [
        (
            Case::direct(
                "v5-loss-enc",
                "c652096a47ccd2c7fb1e6deb75036d2f4f97a87495bf9e68d344d7cdcb79f8f5",
            ),
            true,
        ),
        (
            Case::direct(
                "v5-tfmcc-enc",
                "c5a90789ffc84e41a97ff241f7b3f499e0507a02d703bbf79843ca5e6b4d3f22",
            ),
            false,
        ),
    ] {
        let recorded = pcap::read(&format!("{}.pcap", case.name));
        let mut lens = Lens::new(&case, &recorded);
        let missed = lens.missed(&recorded);
        assert_eq!(!missed.is_empty(), lost, "{}", case.name);
        let bench = play_but(&case, &recorded, &missed);
        assert_whole(&case, &bench);
        let ours = lens.answers(bench.sent.iter().map(|(at, _, bytes)| (*at, &bytes[..])));
        let said = said(&recorded);
        let theirs = lens.answers(said.iter().map(|packet| (packet.at, &packet.bytes[..])));
        assert_alike(&case, &ours, &theirs);
    }
}

#[test]
fn a_proxy_with_another_key_than_expected_is_not_registered_with() {
    let case = through_response_proxy(SERVER_PRINT);
    let recorded = pcap::read("v5-resp-proxy-enc.pcap");
    let bench = play(&case, &recorded);
    let rejected = K::ProxyKeyRejected("Failed to verify proxy key fingerprint");
    assert!(bench.events.iter().any(|e| e.kind == rejected));
    let functions = bench.sent.iter().map(|(_, _, packet)| packet[1]);
    // Nothing but the words that PROXY_KEY never came.
    assert!(
        functions.clone().all(|f| f == 19),
        "{:?}",
        functions.collect::<Vec<_>>()
    );
}

#[test]
fn no_byte_of_a_proxy_key_can_be_changed() {
    let case = through_response_proxy(RESPONSE_PROXY_PRINT);
    let recorded = pcap::read("v5-resp-proxy-enc.pcap");
    let is_key =
        |r: &&Recorded| wire::decode_header(&r.bytes).unwrap().function == Function::ProxyKey;
    let key = recorded.iter().find(is_key).unwrap();
    let len = key.bytes.len();
    for at in (Header::LEN..len).step_by(3) {
        let mut damaged: Vec<Recorded> = Vec::new();
        for packet in &recorded[..recorded.len().min(12)] {
            let mut bytes = packet.bytes.clone();
            if is_key(&packet) {
                bytes[at] ^= 1 << (at % 8);
            }
            damaged.push(Recorded { bytes, ..*packet });
        }
        let bench = play(&case, &damaged);
        let registered = |e: &&uftp_session::receiver::ReceiverEvent| e.kind == K::RegisterSent;
        assert_eq!(
            bench.events.iter().filter(registered).count(),
            0,
            "byte {at}"
        );
    }
}
