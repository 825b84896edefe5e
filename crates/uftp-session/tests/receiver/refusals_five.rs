//! Announcements of protocol 5 that are refused, and in which words: one of a deployed sender, changed
//! and signed again with its key.

use std::time::Duration;

use uftp_proto::Uid;
use uftp_proto::crypto::v5::{ProxyContext, ServerContext, proxy_key_input};
use uftp_proto::crypto::{
    Curve, Fingerprint, Hash, KeySpec, PrivateKey, PublicKey, SelfSigned, SignatureForm,
};
use uftp_proto::wire::{self, Abort, Announce, EncInfo, Function, Header, Message, Version};
use uftp_session::Refusal;
use uftp_session::receiver::{EndReason, ReceiverConfig, ReceiverEventKind};
use uftp_session::security::{ProxyEntry, ReceiverSecurity, ServerEntry};

use super::recorded::pcap;
use super::support::{Bench, config};

const SERVER: Uid = Uid(0xAA);
/// The key of the recorded sender.
const IDENTITY: &str = "3c17ecd65491093d593ca45ecd3120434f4c48842b5cf82aecea89eaa76704d1";

fn identity() -> PrivateKey {
    let byte = |at| u8::from_str_radix(&IDENTITY[at..at + 2], 16).unwrap();
    let scalar: Vec<u8> = (0..IDENTITY.len()).step_by(2).map(byte).collect();
    PrivateKey::from_ec_scalar(Curve::DEFAULT, &scalar).unwrap()
}

/// A bench that wants encryption and knows these senders, and the first packet of a recorded session.
fn bench(servers: Option<Vec<ServerEntry>>) -> (Bench, pcap::Recorded) {
    let bench = Bench::with(ReceiverConfig {
        uid: Uid(0x11),
        require_encryption: true,
        security: ReceiverSecurity {
            servers,
            ..ReceiverSecurity::default()
        },
        ..config()
    });
    let first = pcap::read("v5-enc-gcm.pcap").into_iter().next().unwrap();
    (bench, first)
}

fn entry(
    uid: Uid,
    proxy: Option<Uid>,
    fingerprint: Option<Fingerprint>,
) -> Option<Vec<ServerEntry>> {
    Some(vec![ServerEntry {
        uid,
        addresses: Vec::new(),
        proxy,
        fingerprint,
    }])
}

/// The recorded ANNOUNCE with another part about encryption, signed anew.
fn changed(packet: &[u8], change: impl FnOnce(&mut EncInfo)) -> Vec<u8> {
    let header = wire::decode_header(packet).unwrap();
    let message = wire::decode(Version::V5, Function::Announce, &packet[Header::LEN..]);
    let Ok(Message::Announce(announce)) = message else {
        panic!("no ANNOUNCE");
    };
    let mut info = announce.encryption.clone().unwrap();
    change(&mut info);
    let message = Message::Announce(Announce {
        encryption: Some(info),
        ..announce
    });
    let mut bytes = vec![0; 2000];
    let len = wire::encode(&header, &message, &mut bytes).unwrap();
    bytes.truncate(len);
    let signed = SelfSigned::new(Version::V5, Hash::Sha256, &message);
    signed.sign(&identity(), &mut bytes).unwrap();
    bytes
}

/// What is said to it: the reason of an ABORT in the clear, or `None` if the session is joined.
fn told(bench: &mut Bench, from: std::net::SocketAddr, mut packet: Vec<u8>) -> Option<String> {
    bench.feed(from, &mut packet);
    let (_, to, said) = bench.sent.first().expect("an answer").clone();
    assert_eq!(to, from);
    let header = wire::decode_header(&said).unwrap();
    assert_eq!((header.version, header.src), (Version::V5, Uid(0x11)));
    match wire::decode(Version::V5, header.function, &said[Header::LEN..]).unwrap() {
        Message::Abort(Abort { reason, host, .. }) => {
            assert_eq!((host, said.len()), (Uid::NONE, 324));
            assert!(bench.receiver.is_idle());
            Some(reason)
        }
        Message::Register(_) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_announcement_says_of_encryption_is_refused_in_the_words_of_deployed_receivers() {
    type Change = fn(&mut EncInfo);
    const KEYTYPE: Option<&str> = Some("Keytype invalid or not supported here");
    const HASHTYPE: Option<&str> = Some("Hashtype invalid or not supported here");
    const KEY: Option<&str> = Some("Failed to load server public key");
    const DH_KEY: Option<&str> = Some("Failed to load server public ECDH key");
    let cases: [(Change, Option<&str>); 14] = [
        (|_| {}, None),
        (|info| info.cipher = 8, None),
        (|info| info.hash = 5, Some("Signature verification failed")),
        // CBC is not in protocol 5, though its numbers are.
        (|info| info.cipher = 3, KEYTYPE),
        (|info| info.cipher = 4, KEYTYPE),
        (|info| info.cipher = 0, KEYTYPE),
        (|info| info.cipher = 9, KEYTYPE),
        (|info| info.hash = 2, HASHTYPE),
        (|info| info.hash = 6, HASHTYPE),
        (|info| info.key[1] = 22, KEY),
        (|info| info.key[5] ^= 1, KEY),
        (|info| info.dh_key[1] = 22, DH_KEY),
        (|info| info.dh_key[9] ^= 1, DH_KEY),
        (|info| info.dh_key.clear(), DH_KEY),
    ];
    for (case, (change, expected)) in cases.into_iter().enumerate() {
        let (mut bench, first) = bench(None);
        let packet = changed(&first.bytes, change);
        let told = told(&mut bench, first.from, packet);
        assert_eq!(told.as_deref(), expected, "case {case}");
    }
}

/// Not even where sessions in the clear are welcome.
#[test]
fn nothing_under_the_signature_can_be_changed() {
    let first = pcap::read("v5-enc-gcm.pcap").into_iter().next().unwrap();
    for bit in 0..first.bytes.len() * 8 {
        let mut bench = Bench::new();
        let mut packet = first.bytes.clone();
        packet[bit / 8] ^= 1 << (bit % 8);
        bench.feed(first.from, &mut packet);
        let registers = bench.sent.iter().filter(|(.., said)| said[1] == 2);
        assert_eq!(registers.count(), 0, "bit {bit}");
    }
}

/// The recorded ANNOUNCE without its part about encryption.
fn stripped(packet: &[u8]) -> Vec<u8> {
    let mut plain = packet[..Header::LEN + 24].to_vec();
    plain[Header::LEN + 1] = 6;
    plain
}

/// Length of a REGISTER with its ECDH key, and of one in the clear.
const REGISTER: [usize; 2] = [Header::LEN + 44 + 68, Header::LEN + 44];

fn registers(bench: &mut Bench) -> Vec<usize> {
    let sent = std::mem::take(&mut bench.sent).into_iter();
    let register = |packet: &Vec<u8>| packet[1] == 2;
    let lens = sent.map(|(.., packet)| packet).filter(register);
    lens.map(|packet| packet.len()).collect()
}

#[test]
fn a_session_forged_in_the_clear_gives_way_to_the_encrypted_one() {
    let first = pcap::read("v5-enc-gcm.pcap").into_iter().next().unwrap();
    let mut bench = Bench::with(ReceiverConfig {
        uid: Uid(0x11),
        max_sessions: 1,
        ..config()
    });
    bench.feed(first.from, &mut stripped(&first.bytes));
    assert_eq!(registers(&mut bench), REGISTER[1..]);
    // Nor does a damaged one end it, or make us say a word to its sender.
    let mut damaged = first.bytes.clone();
    damaged[Header::LEN + 100] ^= 1;
    bench.feed(first.from, &mut damaged);
    assert_eq!(bench.sent.len(), 0);
    assert_eq!(bench.receiver.counters().refused(Refusal::Unauthentic), 1);
    bench.feed(first.from, &mut first.bytes.clone());
    assert_eq!(registers(&mut bench), REGISTER[..1]);
    // And it does not come back.
    bench.feed(first.from, &mut stripped(&first.bytes));
    bench.pass(Duration::from_millis(200));
    assert_eq!(registers(&mut bench), []);
}

/// Anybody can make a key and announce somebody else's session under it.
#[test]
fn a_session_in_the_clear_is_not_taken_over_from_elsewhere() {
    let first = pcap::read("v5-enc-gcm.pcap").into_iter().next().unwrap();
    let elsewhere = "10.9.9.9:1044".parse().unwrap();
    let print = identity().public().fingerprint();
    for (listed, from, gives_way) in [
        (None, first.from, true),
        (None, elsewhere, false),
        (Some(print), elsewhere, true),
    ] {
        let mut bench = Bench::with(ReceiverConfig {
            uid: Uid(0x11),
            security: ReceiverSecurity {
                servers: entry(SERVER, None, listed),
                ..ReceiverSecurity::default()
            },
            ..config()
        });
        bench.feed(first.from, &mut stripped(&first.bytes));
        bench.feed(from, &mut first.bytes.clone());
        let over = ReceiverEventKind::Ended(EndReason::Encrypted);
        assert_eq!(bench.happened().contains(&over), gives_way, "from {from}");
    }
}

#[test]
fn whose_key_is_known_but_does_not_encrypt_is_told_of() {
    let first = pcap::read("v5-enc-gcm.pcap").into_iter().next().unwrap();
    let print = identity().public().fingerprint();
    for (listed, packet, told) in [
        (Some(print), stripped(&first.bytes), true),
        (Some(print), first.bytes.clone(), false),
        (None, stripped(&first.bytes), false),
    ] {
        let mut bench = Bench::with(ReceiverConfig {
            uid: Uid(0x11),
            security: ReceiverSecurity {
                servers: entry(SERVER, None, listed),
                ..ReceiverSecurity::default()
            },
            ..config()
        });
        bench.feed(first.from, &mut packet.clone());
        assert_eq!(registers(&mut bench).len(), 1, "received all the same");
        let happened = bench.happened();
        assert_eq!(happened.contains(&ReceiverEventKind::Unproved), told);
    }
}

#[test]
fn lengths_that_do_not_add_up() {
    let (_, first) = bench(None);
    let size = |at: usize, value: u8| {
        let mut packet = first.bytes.clone();
        packet[at] = value;
        packet
    };
    let info = Header::LEN + 24;
    for (packet, words) in [
        (size(info + 1, 61), "Invalid extension size"),
        (size(info + 1, 63), "Invalid extension size"),
        (size(info + 7, 72), "Invalid extension size"),
        (
            size(Header::LEN + 1, 5)[..Header::LEN + 20].to_vec(),
            "Invalid header size",
        ),
    ] {
        let (mut bench, _) = bench(None);
        let told = told(&mut bench, first.from, packet);
        assert_eq!(told.as_deref(), Some(words));
    }
}

#[test]
fn senders_are_known_by_name_and_key() {
    let print = |key: &PrivateKey| Some(key.public().fingerprint());
    let (right, wrong) = (print(&identity()), Some(Fingerprint::of(b"another")));
    for (servers, expected) in [
        (entry(SERVER, None, right), None),
        (entry(SERVER, None, None), None),
        (
            entry(SERVER, None, wrong),
            Some("Failed to verify server key fingerprint"),
        ),
        (
            entry(Uid(0xAB), None, right),
            Some("Server not in server list"),
        ),
    ] {
        let (mut bench, first) = bench(servers);
        let told = told(&mut bench, first.from, first.bytes.clone());
        assert_eq!(told.as_deref(), expected);
    }
}

/// As long as registering may take: five round trips for each repetition (wire-v5 §10.1).
#[test]
fn a_proxy_that_never_says_its_key() {
    let (mut bench, first) = bench(entry(SERVER, Some(Uid(0xB2)), None));
    bench.feed(first.from, &mut first.bytes.clone());
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.sent.len(), 0, "nobody is there to register with");
    bench.pass(Duration::from_secs(1));
    let (at, to, said) = &bench.sent[0];
    assert_eq!((*to, said[1]), (first.from, 19));
    assert!(said[Header::LEN + 8..].starts_with(b"PROXY_KEY not received\0"));
    let registration = Duration::from_millis(50) * 5 * 10;
    assert!(
        at.abs_diff(registration) < Duration::from_millis(200),
        "{at:?}"
    );
    assert!(bench.receiver.is_idle());
}

const PROXY: Uid = Uid(0xB2);

/// PROXY_KEY of the proxy with the key `shown` in the session of `announcement`, signed by the holder
/// of a key, or not at all.
fn proxy_key(announcement: &[u8], shown: &PublicKey, signer: Option<&PrivateKey>) -> Vec<u8> {
    let header = wire::decode_header(announcement).unwrap();
    let body = &announcement[Header::LEN..];
    let Ok(Message::Announce(announce)) = wire::decode(Version::V5, Function::Announce, body)
    else {
        panic!("no ANNOUNCE");
    };
    let mut key = wire::ProxyKey {
        nonce: 0,
        key: shown.blob().to_vec(),
        dh_key: shown.blob().to_vec(),
        signature: vec![7; shown.signature_len()],
    };
    let mut bytes = vec![0; 1100];
    let unsigned = Message::ProxyKey(key.clone());
    let len = wire::encode_message(Version::V5, &unsigned, &mut bytes).unwrap();
    if let Some(signer) = signer {
        let sc = ServerContext::new(&header, &announce, body).unwrap();
        let pc = ProxyContext::new(PROXY, &key, &bytes[..len]).unwrap();
        let form = SignatureForm::of(Version::V5);
        let signature = signer.sign(Hash::Sha256, form, &proxy_key_input(&sc, &pc));
        key.signature = signature.unwrap();
    }
    let header = Header {
        function: Function::ProxyKey,
        src: PROXY,
        ..header
    };
    let len = wire::encode(&header, &Message::ProxyKey(key), &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

/// Nobody elsewhere, and where the key of the proxy is known nobody at all without it, keeps the true
/// PROXY_KEY from being looked into.
#[test]
fn floods_of_proxy_keys_do_not_hide_the_true_one() {
    let key = || PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
    let (truly, another) = (key(), key());
    let address = "10.1.0.2:1044".parse().unwrap();
    let elsewhere = "10.9.9.9:1044".parse().unwrap();
    for (listed, from) in [(false, elsewhere), (true, elsewhere), (true, address)] {
        let first = pcap::read("v5-enc-gcm.pcap").into_iter().next().unwrap();
        let mut bench = Bench::with(ReceiverConfig {
            uid: Uid(0x11),
            security: ReceiverSecurity {
                servers: entry(SERVER, Some(PROXY), None),
                proxies: vec![ProxyEntry {
                    uid: PROXY,
                    addresses: Vec::new(),
                    fingerprint: listed.then(|| truly.public().fingerprint()),
                }],
                ..ReceiverSecurity::default()
            },
            ..config()
        });
        bench.feed(first.from, &mut first.bytes.clone());
        for _ in 0..1000 {
            bench.feed(from, &mut proxy_key(&first.bytes, another.public(), None));
        }
        let told = bench.happened();
        let rejected =
            |kind: &&ReceiverEventKind| matches!(kind, ReceiverEventKind::ProxyKeyRejected(_));
        let told = told.iter().filter(rejected).count();
        assert!((1..=20).contains(&told), "{told}");
        let mut packet = proxy_key(&first.bytes, truly.public(), Some(&truly));
        bench.feed(address, &mut packet);
        let print = truly.public().fingerprint();
        let received = ReceiverEventKind::ProxyKeyReceived(print);
        assert!(bench.happened().contains(&received), "{listed}, {from}");
        assert_eq!(registers(&mut bench), REGISTER[..1]);
    }
}

/// Whose keys are to come by way of a proxy that he does not know hears what his list lacks.
#[test]
fn a_proxy_that_no_list_names_is_told_of_once() {
    let key = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
    for (servers, told) in [
        (None, true),
        (entry(SERVER, None, None), true),
        (entry(SERVER, Some(PROXY), None), false),
    ] {
        let (mut bench, first) = bench(servers);
        bench.feed(first.from, &mut first.bytes.clone());
        let packet = proxy_key(&first.bytes, key.public(), Some(&key));
        let unnamed = ReceiverEventKind::ProxyUnnamed {
            server: SERVER,
            proxy: PROXY,
            address: first.from.ip(),
        };
        let mut tellings = |from| {
            bench.feed(from, &mut packet.clone());
            let happened = bench.happened();
            happened.iter().filter(|kind| **kind == unnamed).count()
        };
        let beside = "10.9.9.9:1044".parse().unwrap();
        assert_eq!(tellings(beside), 0, "a response proxy keeps nobody out");
        assert_eq!(tellings(first.from), usize::from(told));
        assert_eq!(tellings(first.from), 0, "once");
    }
}

/// So many signatures are checked and told of in a second, and nothing is said to anybody.
#[test]
fn floods_of_proxy_keys_are_not_all_looked_into() {
    const CHECKED: usize = 20;
    let another = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
    let (mut bench, first) = bench(entry(SERVER, Some(PROXY), None));
    bench.feed(first.from, &mut first.bytes.clone());
    bench.happened();
    let packet = proxy_key(&first.bytes, another.public(), None);
    for second in 1..=2 {
        for _ in 0..1000 {
            bench.feed("10.9.9.9:1044".parse().unwrap(), &mut packet.clone());
        }
        let told = bench.happened();
        let rejected =
            |kind: &&ReceiverEventKind| matches!(kind, ReceiverEventKind::ProxyKeyRejected(_));
        assert_eq!(told.iter().filter(rejected).count(), CHECKED);
        let elsewhere = "10.9.9.9:1044".parse().unwrap();
        let flooded = ReceiverEventKind::ProxyKeysTooMany(elsewhere);
        assert_eq!(told.contains(&flooded), second == 1, "once");
        let others = told.len() - CHECKED - usize::from(second == 1);
        assert_eq!(others, 0, "and of nothing else: {told:?}");
        let refused = bench.receiver.counters().refused(Refusal::Limit);
        assert_eq!(refused, second * (1000 - CHECKED as u64));
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(bench.sent.len(), 0);
}
