//! Sessions through proxies of the deployed programs: given what one of these heard, ours must say
//! what it said, byte for byte but for echoed times, and at about the same time.

mod heartbeats;
mod lasting;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use uftp_proto::crypto::{
    BackendError, Curve, GroupMaster, Hash, KeyError, Opener, Premaster, PrivateKey, SignatureForm,
    Suite,
};
use uftp_proto::wire::{self, Function, HbCode, Header, Message, Version};
use uftp_proto::{Ecn, Uid};
use uftp_session::Heartbeats;
use uftp_session::proxy::{Downstream, ProxyConfig, Role};
use uftp_session::security::{ReceiverSecurity, Secrets};

use lasting::lasting;

use super::bench::{Bench, addr, client_role, config, response_role, server_role};
use super::recorded::none_is_forgotten;
use super::recorded::pcap::{self, Recorded};

/// Times differ by what the recording machine took, at most.
pub(crate) const SLACK: Duration = Duration::from_millis(15);

/// A key on P-256 and one on P-384, made for these recordings.
const P256: &str = "c0a0aaf012e1f90a854c9a9adb683f2ccff83402d7a52dd970275e2167102681";
const P384: &str = "804d3ef2e4664573b30be7171f939450a8ff82f03ce5ccf002c0d4c4cc6501ff\
                    816fa22e011780fcd64c899f4c128be0";

const RSA1024: &[u8] = include_bytes!("../vectors/rsa1024b.pem");

fn p256() -> PrivateKey {
    PrivateKey::from_ec_scalar(Curve::DEFAULT, &unhex(P256)).unwrap()
}

fn p384() -> PrivateKey {
    let curve = Curve::from_id(24).unwrap();
    PrivateKey::from_ec_scalar(curve, &unhex(P384)).unwrap()
}

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
    /// What it sent the server, where no keys are agreed upon.
    pub(crate) premaster: Option<&'static str>,
    /// The secret of the group, in protocols 3 and 4: what is said under its keys is then compared as it
    /// would be in the clear.
    pub(crate) group: Option<&'static str>,
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
        premaster: None,
        group: None,
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
        premaster: None,
        group: None,
        beats: Heartbeats::default(),
        prover: None,
    }
}

fn response_proxy() -> Proxy {
    Proxy {
        uid: Uid(0xB3),
        role: response_role(),
        upstream: "10.66.0.20",
        downstream: "10.66.0.20",
        ..client_proxy()
    }
}

/// The secrets of a recorded proxy.
struct Known {
    random: [u8; 32],
    scalars: std::vec::IntoIter<Vec<u8>>,
    premaster: Option<Premaster>,
}

impl Secrets for Known {
    fn random(&mut self) -> [u8; 32] {
        self.random
    }

    fn ephemeral(&mut self, curve: Curve) -> Result<PrivateKey, KeyError> {
        let scalar = self.scalars.next().unwrap();
        Ok(PrivateKey::from_ec_scalar(curve, &scalar).unwrap())
    }

    fn premaster(&mut self, _: Version) -> Result<Premaster, BackendError> {
        Ok(self.premaster.clone().unwrap())
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

impl Proxy {
    fn addresses(&self) -> [IpAddr; 2] {
        [self.upstream, self.downstream].map(|a| a.parse().unwrap())
    }

    fn config(&self) -> ProxyConfig {
        ProxyConfig {
            uid: self.uid,
            addresses: self
                .addresses()
                .map(|ip| SocketAddr::new(ip, 1044))
                .to_vec(),
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

/// Opens what members of the recorded group say to each other.
pub(crate) fn opener(name: &str, group: &str) -> Opener {
    let recorded = pcap::read(&format!("{name}.pcap"));
    let announce = recorded.iter().find(|p| p.bytes[1] == 1).unwrap();
    let header = wire::decode_header(&announce.bytes).unwrap();
    let body = &announce.bytes[Header::LEN..];
    let Ok(Message::Announce(announce)) = wire::decode(header.version, header.function, body)
    else {
        panic!("no ANNOUNCE")
    };
    let info = announce.encryption.unwrap();
    let suite = Suite::from_wire(header.version, &info).unwrap();
    let group = GroupMaster::from_bytes(unhex(group).as_slice().try_into().unwrap());
    let keys = group.group_keys(header.version, &suite, &info.random);
    keys.unwrap().opener().unwrap()
}

/// An encrypted packet as it would be in the clear, others as they are.
fn opened(opener: &mut Opener, packet: &[u8]) -> Vec<u8> {
    if wire::decode_header(packet).unwrap().function != Function::Encrypted {
        return packet.to_vec();
    }
    let mut sealed = packet.to_vec();
    let message = opener.open(&mut sealed, None).unwrap().message;
    let mut clear = packet[..Header::LEN].to_vec();
    clear[1] = message[0];
    clear.extend_from_slice(message);
    clear
}

fn replay(name: &str, proxy: &Proxy) {
    let (said, ours) = play(name, proxy, |said| {
        let register = said.iter().find(|packet| packet.bytes[1] == 2)?;
        let scalars: Vec<_> = proxy.scalars.iter().map(|s| unhex(s)).collect();
        let known = Known {
            random: register.bytes[Header::LEN + 12..][..32].try_into().unwrap(),
            scalars: scalars.into_iter(),
            premaster: proxy.premaster.map(|p| Premaster::from_bytes(&unhex(p))),
        };
        let drawn = proxy.premaster.is_some() || !proxy.scalars.is_empty();
        Some(Box::new(known) as Box<dyn Secrets>).filter(|_| drawn)
    });
    let mut opener = proxy.group.map(|group| opener(name, group));
    let mut clear = |packet: &[u8]| match &mut opener {
        Some(opener) => opened(opener, packet),
        None => packet.to_vec(),
    };
    // Heartbeats are said in all protocols until one is answered.
    let version = |packet: &[u8]| wire::decode_header(packet).unwrap().version;
    let recorded = version(&said[0].bytes);
    let mut ours = ours
        .into_iter()
        .filter(|(_, _, packet)| version(packet) == recorded);
    // Theirs has the number 0 in every PROXY_KEY, ours that of the ANNOUNCE before it.
    let unnumbered = |mut packet: Vec<u8>| {
        if wire::decode_header(&packet).unwrap().function == Function::ProxyKey {
            packet[2..4].fill(0);
        }
        packet
    };
    // A key that the recorded one made for itself ours has not. Where clients have keys to wait for, it
    // leaves them time between its introductions, from the eighth on.
    let (mut count, mut introduced) = (0, None);
    let mut kept = |theirs: &Recorded| {
        let header = wire::decode_header(&theirs.bytes).unwrap();
        let body = &theirs.bytes[Header::LEN..];
        let Ok(Message::ProxyKey(introduction)) =
            wire::decode(header.version, header.function, body)
        else {
            return true;
        };
        if proxy.scalars.is_empty() {
            return introduction.key.is_empty() || proxy.key.is_some();
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
        let [ours, recorded] = [&packet, &theirs.bytes].map(|packet| lasting(&clear(packet)));
        assert_eq!(ours, recorded, "{context}");
        // Who asks for a key soon after another is answered alone.
        let alone = packet[1] == 17 && !to.ip().is_multicast();
        assert!(alone || to == theirs.to, "{context}: to {to}");
        assert!(at.abs_diff(theirs.at) < SLACK, "{context}: ours at {at:?}");
    }
    let more: Vec<_> = ours.map(|(at, _, packet)| (at, word(&packet))).collect();
    assert!(more.is_empty(), "{name}: {more:?}");
}

#[test]
fn through_a_server_proxy() {
    for name in [
        "v4-proxy",
        "v4-proxy-tfmcc",
        "v4-proxy-enc",
        "v4-proxy-enc-rsa",
        "v4-mixed-proxies501",
        "v5-proxy",
        "v5-proxy-loss",
        "v5-proxy-enc",
    ] {
        replay(name, &server_proxy());
    }
}

#[test]
fn through_a_client_proxy() {
    for name in ["v4-proxy", "v4-proxy-tfmcc", "v5-proxy"] {
        replay(name, &client_proxy());
    }
}

#[test]
fn beside_a_response_proxy() {
    replay("v4-resp-proxy", &response_proxy());
}

#[test]
fn protocol_5_through_a_client_proxy_with_losses() {
    replay("v5-proxy-loss", &client_proxy());
}

#[test]
fn protocol_5_encrypted_through_a_client_proxy() {
    let proxy = Proxy {
        key: Some(p384()),
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
        key: Some(PrivateKey::from_pem(key).unwrap()),
        scalars: &[
            "a009e3cb15334722b4b603ba5f52f7533758025c87127b5a03c9ad441bce26cc\
             70f707e8db565758cb9d41222ffc45ee",
            "13e99f15fe8994c3545459d5b8564a094a413234027ef108bc613b3037cf94ab\
             92c82815f947ce534602d5da4477419d",
        ],
        ..response_proxy()
    };
    replay("v5-resp-proxy-enc", &proxy);
}

#[test]
fn protocol_4_encrypted_through_a_client_proxy() {
    let proxy = Proxy {
        key: Some(PrivateKey::from_pem(RSA1024).unwrap()),
        premaster: Some(
            "79a2947d19dd022a3feeabc192aea55efc30984697f07d6f\
             7a67dc2f21e1f4db32ec59b960732931b659b3e4551fa90c",
        ),
        group: Some(
            "40d0131963ac57e543f13f35617a818c007c7ed527445356\
             f996f2484495373d2b15d472dcedfe14760739fa150e769b",
        ),
        ..client_proxy()
    };
    replay("v4-proxy-enc-rsa", &proxy);
}

#[test]
fn protocol_4_encrypted_beside_a_response_proxy() {
    let rsa = Proxy {
        key: Some(PrivateKey::from_pem(RSA1024).unwrap()),
        premaster: Some(
            "f45cd61ce756c3d6ba704cfbc2965b3840ff8670ab7ee5c4\
             d482880f371efa7c49918f7301ce2cf76d0f642468210622",
        ),
        group: Some(
            "40188d64688209d7e94886fdc3f7f8868b0f8279f068689f\
             3fab0540f840300b94637cfc15fa7f4b771069af4e312820",
        ),
        ..response_proxy()
    };
    replay("v4-resp-proxy-rsa-enc", &rsa);
    // One key for all clients and servers.
    let scalar = "04244bb6650a834f97efc0890346f8797604342b721fceb011516258e175ab35";
    let dh_key = PrivateKey::from_ec_scalar(Curve::DEFAULT, &unhex(scalar)).unwrap();
    let ec = Proxy {
        role: Role::Response {
            publics: vec![addr("230.4.4.1:1044").ip()],
            dh_key: Some(Arc::new(dh_key)),
        },
        key: Some(p256()),
        scalars: &["04244bb6650a834f97efc0890346f8797604342b721fceb011516258e175ab35"],
        group: Some(
            "406d2f4578bdbe5c502ade6aa9749918cb944de2fc1d9ea7\
             ea860bfe1cb5600a42851f7f267616f7b4735972c8d17ad5",
        ),
        ..response_proxy()
    };
    replay("v4-resp-proxy-enc", &ec);
}

/// Those of protocol 3 in a room of their own. The client proxies of `v4-proxy-enc` and
/// `v4-mixed-proxies501` logged no secrets: only the server proxies before them are played.
#[test]
fn every_recorded_session_with_proxies_is_played() {
    let code = [
        include_str!("replay.rs"),
        include_str!("replay/heartbeats.rs"),
        include_str!("replay_three.rs"),
    ];
    none_is_forgotten(&["prox", "heartbeat"], &code.concat(), &[]);
}
