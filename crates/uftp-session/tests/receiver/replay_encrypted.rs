//! Encrypted sessions of protocols 4 and 5 as the deployed programs played them: given what one of their
//! receivers heard, and its secrets, ours must open it all and say what it said, byte for byte but
//! for echoed times and signatures.

mod lens;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use uftp_proto::Uid;
use uftp_proto::crypto::{BackendError, Curve, Fingerprint, KeyError, Premaster, PrivateKey};
use uftp_proto::wire::{self, Function, Header, Version};
use uftp_session::Refusal;
use uftp_session::files::SessionEnd;
use uftp_session::receiver::{ReceiverConfig, ReceiverEventKind as K, ResponseProxy};
use uftp_session::security::{ProxyEntry, ReceiverSecurity, Secrets, ServerEntry};

use lens::Lens;

use super::recorded::pcap::{self, Recorded};
use super::support::{Bench, config};

const SERVER: Uid = Uid(0xAA);
const CLIENT: Uid = Uid(0x11);

/// The key the recorded receivers proved themselves with.
const IDENTITY: &str = "c0a0aaf012e1f90a854c9a9adb683f2ccff83402d7a52dd970275e2167102681";
const IDENTITY_PRINT: &str = "60:65:4F:1C:60:60:71:33:59:C9:C9:D6:C7:40:C5:A3:0D:E8:91:EF";
const SERVER_PRINT: &str = "93:0B:97:B5:C8:04:8C:D6:B2:98:74:D9:28:1C:48:13:98:2E:00:A1";

/// The same where keys are RSA.
const RSA_IDENTITY: &[u8] = include_bytes!("../vectors/rsa1024b.pem");
const RSA_IDENTITY_PRINT: &str = "92:89:B6:67:3C:20:92:6E:38:3C:38:9F:6A:ED:61:B5:61:2F:A8:C5";
const RSA_SERVER_PRINT: &str = "E4:B0:E0:65:F0:C9:77:25:38:5D:8A:DB:F2:14:18:B1:99:4F:F5:FD";

/// A recorded session and the secrets of its receiver.
struct Case {
    name: &'static str,
    drawn: Drawn,
    /// The secret of its group, in protocol 4. That of protocol 5 follows from the rest.
    group: Option<&'static str>,
    keys: Keys,
    /// The key under which the session is announced to it.
    server: &'static str,
    /// Whose packets it hears.
    hears: &'static [&'static str],
    /// The proxy it registers with, and the fingerprint of that.
    proxy: Option<(Uid, &'static str)>,
    /// The same in protocol 4, where it is set up to ask one for its key.
    response_proxy: Option<ResponseProxy>,
}

/// What a recorded receiver made of its random numbers.
#[derive(Clone, Copy)]
enum Drawn {
    /// The secret of its ephemeral key.
    Scalar(&'static str),
    Premaster(&'static str),
}

/// The pair of keys that sender and receiver of a session prove themselves with.
#[derive(Clone, Copy)]
enum Keys {
    Ec,
    Rsa,
}

impl Keys {
    /// That of the receiver.
    fn identity(self) -> PrivateKey {
        match self {
            Keys::Ec => PrivateKey::from_ec_scalar(Curve::DEFAULT, &unhex(IDENTITY)).unwrap(),
            Keys::Rsa => PrivateKey::from_pem(RSA_IDENTITY).unwrap(),
        }
    }

    /// The fingerprint of the receiver's, which client proxies have, too.
    fn identity_print(self) -> &'static str {
        match self {
            Keys::Ec => IDENTITY_PRINT,
            Keys::Rsa => RSA_IDENTITY_PRINT,
        }
    }

    /// The fingerprint of the sender's.
    fn server_print(self) -> &'static str {
        match self {
            Keys::Ec => SERVER_PRINT,
            Keys::Rsa => RSA_SERVER_PRINT,
        }
    }
}

impl Case {
    const fn direct(name: &'static str, scalar: &'static str) -> Case {
        Case {
            name,
            drawn: Drawn::Scalar(scalar),
            group: None,
            keys: Keys::Ec,
            server: SERVER_PRINT,
            hears: &["10.66.0.1", "fd66::1"],
            proxy: None,
            response_proxy: None,
        }
    }

    fn hears(&self, packet: &Recorded) -> bool {
        let from = |host: &&str| host.parse() == Ok(packet.from.ip());
        self.hears.iter().any(from)
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
    drawn: Drawn,
}

impl Secrets for Known {
    fn random(&mut self) -> [u8; 32] {
        self.random
    }

    fn ephemeral(&mut self, curve: Curve) -> Result<PrivateKey, KeyError> {
        match self.drawn {
            Drawn::Scalar(scalar) => Ok(PrivateKey::from_ec_scalar(curve, &unhex(scalar)).unwrap()),
            Drawn::Premaster(_) => panic!("no ephemeral key was drawn"),
        }
    }

    fn premaster(&mut self, _: Version) -> Result<Premaster, BackendError> {
        match self.drawn {
            Drawn::Scalar(_) => panic!("no premaster secret was drawn"),
            Drawn::Premaster(premaster) => Ok(Premaster::from_bytes(&unhex(premaster))),
        }
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
    let print = |text: &str| Some(text.parse::<Fingerprint>().unwrap());
    let mut bench = Bench::with(ReceiverConfig {
        uid: CLIENT,
        require_encryption: true,
        response_proxy: case.response_proxy,
        security: ReceiverSecurity {
            keys: vec![Arc::new(case.keys.identity())],
            servers: Some(vec![ServerEntry {
                uid: SERVER,
                addresses: Vec::new(),
                proxy: case.proxy.map(|(uid, _)| uid),
                fingerprint: print(case.server),
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
    let registers = |r: &&&Recorded| r.bytes[1] == 2;
    let register = said.iter().find(registers).unwrap();
    bench.receiver.draw_from(Box::new(Known {
        random: register.bytes[Header::LEN + 12..][..32].try_into().unwrap(),
        drawn: case.drawn,
    }));
    let start = bench.now;
    for (position, packet) in recorded.iter().enumerate() {
        bench.pass(start + packet.at - bench.now);
        let addressed = packet.to.ip().is_multicast() || packet.to == address;
        let heard = addressed && !missed.contains(&position);
        if heard && case.hears(packet) {
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

/// Plays a session; what is said under keys must be alike, whatever it is numbered. `lost` tells
/// whether the receiver missed anything.
fn replay_hidden(case: &Case, lost: bool) {
    let mut recorded = pcap::read(&format!("{}.pcap", case.name));
    // Proxies repeat elsewhere what is said.
    let own = said(&recorded)[0].from.ip();
    recorded.retain(|r| r.from.ip() == own || case.hears(r));
    let mut lens = Lens::new(case, &recorded);
    let missed = lens.missed(&recorded);
    assert_eq!(!missed.is_empty(), lost, "{}", case.name);
    let bench = play_but(case, &recorded, &missed);
    assert_whole(case, &bench);
    let ours = lens.answers(bench.sent.iter().map(|(at, _, bytes)| (*at, &bytes[..])));
    let said = said(&recorded);
    let theirs = lens.answers(said.iter().map(|packet| (packet.at, &packet.bytes[..])));
    assert_alike(case, &ours, &theirs);
}

#[test]
fn losses_and_congestion_control() {
    for (name, scalar, lost) in [
        (
            "v5-loss-enc",
            "c652096a47ccd2c7fb1e6deb75036d2f4f97a87495bf9e68d344d7cdcb79f8f5",
            true,
        ),
        (
            "v5-tfmcc-enc",
            "c5a90789ffc84e41a97ff241f7b3f499e0507a02d703bbf79843ca5e6b4d3f22",
            false,
        ),
    ] {
        replay_hidden(&Case::direct(name, scalar), lost);
    }
}

#[test]
fn protocol_4() {
    let four = |name, keys: Keys, drawn, group| Case {
        drawn,
        group: Some(group),
        keys,
        server: keys.server_print(),
        ..Case::direct(name, "")
    };
    for (case, lost) in [
        (
            four(
                "v4-enc-cbc-hmac",
                Keys::Rsa,
                Drawn::Premaster(
                    "447504679cace78be1792190b6bfd1f1d8da824f2acad398\
                         c36970c9239fee02c57bbcd6158a4b29397da0573fc232d5",
                ),
                "4033a2367d3269344c3488beb91b9a2327bf3f44ecd8d937\
                     a0b95d894f4fc8457762959729ad46f99710e82b05cf6476",
            ),
            false,
        ),
        (
            four(
                "v4-enc-gcm",
                Keys::Ec,
                Drawn::Scalar("d6c8aaf67bbbe18553d8a30c18a537db6b201f704283b5d77e118a4d26b81f78"),
                "4044f89c23aff0fa2a10a857d60e83f762883c0a63e423fd\
                 8fdf27d517f2290e3b6e44ce4870f3bfbd38fe61774d1794",
            ),
            false,
        ),
        (
            four(
                "v4-enc-cbc-keyex",
                Keys::Rsa,
                Drawn::Scalar("a318788ec4877e5320fc3883990fb8be0685ada3750bd38788810efb06513f1d"),
                "4002efeb0146d560f2f54976381a986b15cc6138da34b16d\
                 90bdf0b90d91059018efb433a32aeff82e73019e31bc9326",
            ),
            false,
        ),
        (
            four(
                "v4-ipv6-enc",
                Keys::Ec,
                Drawn::Scalar("c004befe537d33a98a2fe63189876a856ce3a6af2fdf9d2028fce01bd28c0a5b"),
                "406bd047e685f639b8cd57328da4cdad1173d0cb1dba46ef\
                 5f336ce3f69b3b81d2611e3bec486bd848f25edf472a338f",
            ),
            false,
        ),
        (
            four(
                "v4-loss-enc",
                Keys::Ec,
                Drawn::Scalar("c6854dad370cc8027a8517a026853d0c6d0da498a0dc2d96b720f48ab2ae8d1f"),
                "409dadd3733e11950b3e0abe951c9c4f92e7648f5a9657fa\
                 45a17976eed342800431d76623cfa25162a307dddffda6ae",
            ),
            true,
        ),
        (
            four(
                "v4-tfmcc-enc",
                Keys::Ec,
                Drawn::Scalar("9edb9edb735238775383ad3df336d09e69c682d5501854c4adda0bd28c1ed625"),
                "40d72baabdb806c7b1883bdb3a91fcdb3e551a6aac5821bd\
                 46af83666e8fbbc10232e8cf91e22d9c625f460e51784662",
            ),
            false,
        ),
        (
            behind_proxy(four(
                "v4-proxy-enc",
                Keys::Ec,
                Drawn::Scalar("a606baab8467539573c51f693b02757b7d2dd31ca830dd99c8c35641d5bf71a6"),
                "40ef60dfe428078af1342f681037be0f9bdd511114848f70\
                 3d2c937e9c60eb65c6466ea613e3df958765d67706616ad8",
            )),
            false,
        ),
        (
            behind_proxy(four(
                "v4-mixed-proxies501",
                Keys::Ec,
                Drawn::Scalar("4e7fc79043aa4f44adeb66f0f1a04f625aa64cfee3f391f3ab5b51e545dab039"),
                "40b1326ef29001c288b111c9817b3ae488575df86b12c42a\
                 5c9dc40be838274a891f6496abce9c3aab6a4b9db998ec00",
            )),
            false,
        ),
        (
            behind_proxy(four(
                "v4-proxy-enc-rsa",
                Keys::Rsa,
                Drawn::Premaster(
                    "d4a7057ba6ee9d237a0b904ed8c8d89dddb61864eb69a9d4\
                         fced72abe5b4f0082db679d760f6de4db20ac16b0530bb05",
                ),
                "40d0131963ac57e543f13f35617a818c007c7ed527445356\
                     f996f2484495373d2b15d472dcedfe14760739fa150e769b",
            )),
            false,
        ),
        (
            Case {
                hears: &["10.66.0.1", "10.66.0.20"],
                response_proxy: Some(ResponseProxy {
                    addr: "10.66.0.20:1044".parse().unwrap(),
                    fingerprint: Some(RSA_IDENTITY_PRINT.parse().unwrap()),
                }),
                ..four(
                    "v4-resp-proxy-rsa-enc",
                    Keys::Rsa,
                    Drawn::Premaster(
                        "29d7f9b7ede165c4ea5749ad3b182a524d97e4284ebc5841\
                         34f1613f039f7978f0f7f34324118ae565c6317742f02b84",
                    ),
                    "40188d64688209d7e94886fdc3f7f8868b0f8279f068689f\
                     3fab0540f840300b94637cfc15fa7f4b771069af4e312820",
                )
            },
            true,
        ),
    ] {
        replay_hidden(&case, lost);
    }
}

/// In protocol 4 a client proxy announces sessions under its own key.
fn behind_proxy(case: Case) -> Case {
    Case {
        hears: &["10.66.2.2"],
        server: case.keys.identity_print(),
        ..case
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
