//! Sessions through proxies of the deployed programs: given what one of these heard, ours must say
//! what it said, byte for byte but for echoed times, and at about the same time.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use uftp_proto::crypto::{Curve, Fingerprint, Hash, KeyError, PrivateKey, SignatureForm};
use uftp_proto::wire::{self, Function, HbCode, Header, Message, Version};
use uftp_proto::{Ecn, Uid};
use uftp_session::Heartbeats;
use uftp_session::proxy::{Downstream, ProxyConfig, Role};
use uftp_session::security::{ReceiverSecurity, Secrets};

use super::bench::{Bench, addr, client_role, config, response_role, server_role};
use super::pcap::{self, Recorded};

/// Times differ by what the recording machine took, at most.
pub(crate) const SLACK: Duration = Duration::from_millis(15);

/// Bytes that hold a bit for each block of the only section of the recorded files.
const BITMAP: usize = 59_usize.div_ceil(8);

/// A recorded proxy.
pub(crate) struct Proxy {
    pub(crate) uid: Uid,
    pub(crate) role: Role,
    /// Where it hears.
    pub(crate) upstream: &'static str,
    /// Where it speaks to clients or to the next proxy.
    pub(crate) downstream: &'static str,
    /// What it proves itself with.
    pub(crate) key: Option<PrivateKey>,
    /// Of its ephemeral keys: towards the server, towards clients.
    pub(crate) scalars: &'static [&'static str],
    pub(crate) beats: Heartbeats,
    /// The key with which others prove themselves to it: over its nonces, which are its own.
    pub(crate) prover: Option<PrivateKey>,
}

fn server_proxy() -> Proxy {
    Proxy {
        uid: Uid(0xB1),
        role: server_role(Downstream::Fixed(addr("10.66.3.3:1044"))),
        upstream: "10.66.1.2",
        downstream: "10.66.3.2",
        key: None,
        scalars: &[],
        beats: Heartbeats::default(),
        prover: None,
    }
}

fn client_proxy() -> Proxy {
    Proxy {
        uid: Uid(0xB2),
        role: client_role(),
        upstream: "10.66.3.3",
        downstream: "10.66.2.2",
        key: None,
        scalars: &[],
        beats: Heartbeats::default(),
        prover: None,
    }
}

/// The secrets of a recorded proxy.
struct Known {
    random: [u8; 32],
    scalars: std::vec::IntoIter<Vec<u8>>,
}

impl Secrets for Known {
    fn random(&mut self) -> [u8; 32] {
        self.random
    }

    fn ephemeral(&mut self, curve: Curve) -> Result<PrivateKey, KeyError> {
        let scalar = self.scalars.next().unwrap();
        Ok(PrivateKey::from_ec_scalar(curve, &scalar).unwrap())
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

impl Proxy {
    fn addresses(&self) -> Vec<IpAddr> {
        [self.upstream, self.downstream]
            .map(|a| a.parse().unwrap())
            .to_vec()
    }

    fn config(&self) -> ProxyConfig {
        ProxyConfig {
            uid: self.uid,
            addresses: self.addresses(),
            heartbeats: self.beats.clone(),
            security: ReceiverSecurity {
                keys: self.key.iter().cloned().map(Arc::new).collect(),
                ..ReceiverSecurity::default()
            },
            ..config(self.role.clone())
        }
    }

    /// Whether it heard a packet: one to itself, or to a group where it listens.
    fn hears(&self, packet: &Recorded) -> bool {
        let segment = self.upstream.rsplit_once('.').unwrap().0;
        let own = self.addresses();
        match packet.to.ip().is_multicast() {
            true => packet.from.ip().to_string().starts_with(segment),
            false => own.contains(&packet.to.ip()) && !own.contains(&packet.from.ip()),
        }
    }
}

/// What of a packet does not depend on when it was sent, nor on the chance in a signature on a curve.
/// The clients it speaks for are put in order: ours names the one first whose time it echoes. What the
/// recorded one has behind the bits of a section is whatever was in its memory (wire-v5 §5.12).
fn lasting(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let message = Header::LEN;
    let listed = message + usize::from(packet[message + 1]) * 4;
    let (changing, sorted) = match (wire::decode_header(&packet).unwrap().function, packet.len()) {
        (Function::Register, len) => (message + 4..message + 12, listed..len),
        (Function::FileInfoAck, len) => (message + 8..message + 16, listed..len),
        (Function::Complete, len) => (0..0, listed..len),
        // Of a key on P-256.
        (Function::HbReq, 164) => (message + 80..164, 0..0),
        (Function::HbResp, _) if packet[message + 2] == 2 => (message + 4..message + 8, 0..0),
        (Function::Status, _) => {
            packet.truncate(message + 8 + BITMAP);
            (0..0, 0..0)
        }
        // Of a proxy with a key on P-384.
        (Function::ProxyKey, 292) => (message + 180..292, 0..0),
        (Function::KeyInfo, 232) => {
            packet[listed..].as_chunks_mut::<52>().0.sort_unstable();
            (message + 16..listed, 0..0)
        }
        // The streams of these ciphers change where the message does, and the tag with it.
        // CLIENT_KEY has a signature, FILEINFO_ACK an echo and a list, COMPLETE a list.
        (Function::Encrypted, 252) => (28 + 112..252, 0..0),
        (Function::Encrypted, 68) => (36..68, 0..0),
        (Function::Encrypted, 60) => (36..60, 0..0),
        _ => (0..0, 0..0),
    };
    packet[changing].fill(0);
    packet[sorted].as_chunks_mut::<4>().0.sort_unstable();
    packet
}

/// A packet in a word, for those who read why a test failed.
pub(crate) fn word(packet: &[u8]) -> String {
    let header = wire::decode_header(packet).unwrap();
    format!("{:?} {} of {}", header.function, header.seq.0, header.src)
}

/// A heartbeat with a proof, as its author would have made it of the nonce that ours asked with.
/// Anything else as it is.
fn proven(packet: &[u8], key: Option<&PrivateKey>, ours: &Said) -> Vec<u8> {
    let header = wire::decode_header(packet).unwrap();
    let message = |packet: &[u8]| match wire::decode_header(packet).unwrap().function {
        Function::HbReq | Function::HbResp => {
            let body = &packet[Header::LEN..];
            let function = wire::decode_header(packet).unwrap().function;
            match wire::decode(header.version, function, body).unwrap() {
                Message::HbReq(request) => (Some(request), None),
                Message::HbResp(answer) => (None, Some(answer)),
                _ => (None, None),
            }
        }
        _ => (None, None),
    };
    let ((Some(mut request), _), Some(key)) = (message(packet), key) else {
        return packet.to_vec();
    };
    if request.key.is_empty() {
        return packet.to_vec();
    }
    assert_eq!(request.key, key.public().blob());
    let asked = ours.iter().rev().find_map(|(_, _, said)| message(said).1);
    let asked = asked.unwrap();
    assert_eq!(asked.code, HbCode::CHALLENGE);
    let form = SignatureForm::of(header.version);
    let signature = key.sign(Hash::Sha1, form, &[&asked.nonce.to_be_bytes()]);
    (request.nonce, request.signature) = (asked.nonce, signature.unwrap());
    let mut bytes = vec![0; 2000];
    let len = wire::encode(&header, &Message::HbReq(request), &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

/// What our proxy says: when, where to, what.
pub(crate) type Said = Vec<(Duration, SocketAddr, Vec<u8>)>;

/// Plays a recorded session to a proxy of ours that has these secrets, if it needs any. Returns what
/// the recorded one said, and what ours does.
pub(crate) fn play(
    name: &str,
    proxy: &Proxy,
    secrets: impl FnOnce(&[Recorded]) -> Option<Box<dyn Secrets>>,
) -> (Vec<Recorded>, Said) {
    let recorded = pcap::read(&format!("{name}.pcap"));
    let own = proxy.addresses();
    let (said, heard): (Vec<_>, Vec<_>) = recorded
        .into_iter()
        .partition(|packet| own.contains(&packet.from.ip()));
    let mut bench = Bench::new(proxy.config());
    if let Some(secrets) = secrets(&said) {
        bench.proxy.draw_from(secrets);
    }
    let start = bench.now;
    let mut ours = Vec::new();
    let end = said.last().map_or(Duration::ZERO, |last| last.at) + SLACK;
    // Ours counts its interval from the first answer, a little later than the recorded one did: the
    // second must not be there before it asks.
    let late = |packet: &Recorded| {
        let function = wire::decode_header(&packet.bytes).unwrap().function;
        match function == Function::HbResp && packet.at > Duration::from_secs(1) {
            true => Duration::from_millis(1),
            false => Duration::ZERO,
        }
    };
    let stops = heard.iter().map(|p| (p.at + late(p), Some(p)));
    for (at, packet) in stops.chain([(end, None)]) {
        while let Some(due) = bench.proxy.poll_timeout().filter(|due| *due <= start + at) {
            let out = bench.pass(due.saturating_duration_since(bench.now));
            let at = bench.now - start;
            ours.extend(out.into_iter().map(|out| (at, out.to, out.bytes)));
        }
        bench.pass((start + at).saturating_duration_since(bench.now));
        if let Some(packet) = packet.filter(|packet| proxy.hears(packet)) {
            let bytes = proven(&packet.bytes, proxy.prover.as_ref(), &ours);
            let out = bench.hand(packet.from, Ecn::NotEct, &bytes);
            ours.extend(out.into_iter().map(|out| (at, out.to, out.bytes)));
        }
    }
    (said, ours)
}

fn replay(name: &str, proxy: &Proxy) {
    let (said, ours) = play(name, proxy, |said| {
        let register = said.iter().find(|packet| packet.bytes[1] == 2)?;
        let scalars: Vec<_> = proxy.scalars.iter().map(|s| unhex(s)).collect();
        let known = Known {
            random: register.bytes[Header::LEN + 12..][..32].try_into().unwrap(),
            scalars: scalars.into_iter(),
        };
        Some(Box::new(known) as Box<dyn Secrets>).filter(|_| !proxy.scalars.is_empty())
    });
    // Heartbeats are said in all protocols until one is answered.
    let spoken = |packet: &[u8]| wire::decode_header(packet).unwrap().version == Version::V5;
    let mut ours = ours.into_iter().filter(|(_, _, packet)| spoken(packet));
    // Theirs has the number 0 in every PROXY_KEY, ours that of the ANNOUNCE before it.
    let unnumbered = |mut packet: Vec<u8>| {
        if wire::decode_header(&packet).unwrap().function == Function::ProxyKey {
            packet[2..4].fill(0);
        }
        packet
    };
    // Where clients have keys to wait for, ours leaves them time between its introductions, from the eighth
    // on.
    let (mut count, mut introduced) = (0, None);
    let mut kept = |theirs: &Recorded| {
        let header = wire::decode_header(&theirs.bytes).unwrap();
        if header.function != Function::ProxyKey || proxy.scalars.is_empty() {
            return true;
        }
        let pause = header.grtt.duration() * 11 / 2;
        let kept = count < 8 || introduced.is_none_or(|last| theirs.at >= last + pause);
        if kept {
            (count, introduced) = (count + 1, Some(theirs.at));
        }
        kept
    };
    for theirs in said.into_iter().filter(|theirs| kept(theirs)) {
        let context = format!("{name}, {} at {:?}", word(&theirs.bytes), theirs.at);
        let (at, to, packet) = ours.next().unwrap_or_else(|| panic!("{context}: silent"));
        let packet = unnumbered(packet);
        assert_eq!(
            word(&packet),
            word(&theirs.bytes),
            "{context}, ours at {at:?}"
        );
        assert_eq!(lasting(&packet), lasting(&theirs.bytes), "{context}");
        assert_eq!(to, theirs.to, "{context}");
        assert!(at.abs_diff(theirs.at) < SLACK, "{context}: ours at {at:?}");
    }
    let more: Vec<_> = ours.map(|(at, _, packet)| (at, word(&packet))).collect();
    assert!(more.is_empty(), "{name}: {more:?}");
}

#[test]
fn protocol_5_through_a_server_proxy() {
    for name in ["v5-proxy", "v5-proxy-loss", "v5-proxy-enc"] {
        replay(name, &server_proxy());
    }
}

#[test]
fn protocol_5_through_a_client_proxy() {
    replay("v5-proxy", &client_proxy());
}

#[test]
fn protocol_5_through_a_client_proxy_with_losses() {
    replay("v5-proxy-loss", &client_proxy());
}

#[test]
fn protocol_5_encrypted_through_a_client_proxy() {
    let key = "804d3ef2e4664573b30be7171f939450a8ff82f03ce5ccf002c0d4c4cc6501ff\
               816fa22e011780fcd64c899f4c128be0";
    let proxy = Proxy {
        key: Some(PrivateKey::from_ec_scalar(Curve::from_id(24).unwrap(), &unhex(key)).unwrap()),
        scalars: &[
            "3f19cb6cd3e2dc3ff516d2faec48d15132e47d44d465b7f44885eafa9e463b02",
            "64f80252271e937aae4338b31c8cf2921288d1aa053d34407cec77feb72a1b54",
        ],
        ..client_proxy()
    };
    replay("v5-proxy-enc", &proxy);
}

#[test]
fn protocol_5_encrypted_beside_a_response_proxy() {
    let key = include_bytes!("../vectors/rsa2048b.pem");
    let proxy = Proxy {
        uid: Uid(0xB3),
        role: response_role(),
        upstream: "10.66.0.20",
        downstream: "10.66.0.20",
        key: Some(PrivateKey::from_pem(key).unwrap()),
        scalars: &[
            "a009e3cb15334722b4b603ba5f52f7533758025c87127b5a03c9ad441bce26cc\
             70f707e8db565758cb9d41222ffc45ee",
            "13e99f15fe8994c3545459d5b8564a094a413234027ef108bc613b3037cf94ab\
             92c82815f947ce534602d5da4477419d",
        ],
        beats: Heartbeats::default(),
        prover: None,
    };
    replay("v5-resp-proxy-enc", &proxy);
}

/// A client proxy that a server proxy knows by its key, and nothing else: on a curve, and RSA.
fn acquaintances() -> [(&'static str, PrivateKey); 2] {
    let scalar = unhex("c0a0aaf012e1f90a854c9a9adb683f2ccff83402d7a52dd970275e2167102681");
    let rsa = include_bytes!("../vectors/rsa2048b.pem");
    [
        (
            "v5-heartbeat",
            PrivateKey::from_ec_scalar(Curve::DEFAULT, &scalar).unwrap(),
        ),
        ("v5-heartbeat-b", PrivateKey::from_pem(rsa).unwrap()),
    ]
}

#[test]
fn a_client_proxy_that_proves_itself_by_heartbeat() {
    for (name, key) in acquaintances() {
        let proxy = Proxy {
            key: Some(key),
            beats: Heartbeats {
                upstreams: vec![addr("10.66.3.2:1044")],
                interval: Duration::from_secs(2),
            },
            ..client_proxy()
        };
        replay(name, &proxy);
    }
}

#[test]
fn a_server_proxy_that_learns_its_downstream_by_heartbeat() {
    let prints = [
        "60:65:4F:1C:60:60:71:33:59:C9:C9:D6:C7:40:C5:A3:0D:E8:91:EF",
        "AB:F3:03:78:39:7D:D8:2A:AF:03:6F:9C:72:F8:44:F7:41:7F:47:F8",
    ];
    for ((name, key), print) in acquaintances().into_iter().zip(prints) {
        let known: Fingerprint = print.parse().unwrap();
        let proxy = Proxy {
            role: server_role(Downstream::Learned(known)),
            prover: Some(key),
            ..server_proxy()
        };
        replay(name, &proxy);
    }
}
