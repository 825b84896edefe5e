//! Encrypted sessions of protocol 5, and somebody without keys who speaks to the proxy. The ANNOUNCE is
//! that of a deployed sender.

mod places;

use std::net::SocketAddr;
use std::time::Duration;

use uftp_proto::crypto::{Curve, Fingerprint, Hash, KeySpec, PrivateKey, SelfSigned};
use uftp_proto::wire::{self, Abort, Announce, Function, Header, Message, Register, Version};
use uftp_proto::{Ecn, Seq, Uid, WireTime};
use uftp_session::Refusal;
use uftp_session::proxy::{ProxyConfig, ProxyEventKind, Role};
use uftp_session::security::{ReceiverSecurity, ServerEntry};

use crate::bench::*;
use crate::recorded::pcap::{self, Recorded};
use crate::replay::unhex;

/// The key of the recorded sender.
const IDENTITY: &str = "3c17ecd65491093d593ca45ecd3120434f4c48842b5cf82aecea89eaa76704d1";

fn identity() -> PrivateKey {
    PrivateKey::from_ec_scalar(Curve::DEFAULT, &unhex(IDENTITY)).unwrap()
}

fn announcement() -> Recorded {
    pcap::read("v5-enc-gcm.pcap").into_iter().next().unwrap()
}

/// The ANNOUNCE of a session in which receivers need not say who they are, signed anew.
fn open_to_all(packet: &[u8]) -> Vec<u8> {
    let header = wire::decode_header(packet).unwrap();
    let message = wire::decode(Version::V5, Function::Announce, &packet[Header::LEN..]);
    let Ok(Message::Announce(announce)) = message else {
        panic!("no ANNOUNCE");
    };
    let mut info = announce.encryption.clone().unwrap();
    info.client_auth = false;
    let message = Message::Announce(Announce {
        encryption: Some(info),
        clients: Vec::new(),
        ..announce
    });
    let mut bytes = vec![0; 2000];
    let len = wire::encode(&header, &message, &mut bytes).unwrap();
    bytes.truncate(len);
    let signed = SelfSigned::new(Version::V5, Hash::Sha256, &message);
    signed.sign(&identity(), &mut bytes).unwrap();
    bytes
}

/// The ANNOUNCE without its part about encryption.
fn stripped(packet: &[u8]) -> Vec<u8> {
    let mut plain = packet[..Header::LEN + 24].to_vec();
    plain[Header::LEN + 1] = 6;
    plain
}

/// A proxy that carries the session, and how packets of others in it begin.
struct Carried {
    bench: Bench,
    header: Header,
    key: Vec<u8>,
    /// What clients echo.
    stamp: WireTime,
}

impl Carried {
    fn new(config: ProxyConfig) -> Self {
        let first = announcement();
        let bytes = open_to_all(&first.bytes);
        Carried::announced(config, Recorded { bytes, ..first })
    }

    fn announced(config: ProxyConfig, first: Recorded) -> Self {
        let mut bench = Bench::new(config);
        bench.hand(first.from, Ecn::NotEct, &first.bytes);
        let key = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
        Carried {
            bench,
            header: wire::decode_header(&first.bytes).unwrap(),
            key: key.public().blob().to_vec(),
            stamp: STAMP,
        }
    }

    /// Somebody says something in the clear, in the name of `src`.
    fn say(&mut self, src: Uid, message: &Message<'_>) -> Vec<Out> {
        let header = Header {
            function: message.function(),
            src,
            seq: Seq(0),
            ..self.header
        };
        let mut packet = vec![0; 9000];
        let len = wire::encode(&header, message, &mut packet).unwrap();
        self.bench.hand(client(7), Ecn::NotEct, &packet[..len])
    }

    /// Registers `src`, and with it those it speaks for.
    fn register(&mut self, src: Uid, clients: &[Uid]) -> Vec<Out> {
        let message = Message::Register(Register {
            echo: self.stamp,
            random: [src.0 as u8; 32],
            key: self.key.clone(),
            clients: clients.to_vec(),
        });
        self.say(src, &message)
    }

    fn registered(&self, client: Uid, via: Option<Uid>) -> bool {
        [true, false].into_iter().any(|again| {
            let told = ProxyEventKind::Registered { client, via, again };
            self.bench.has(&told)
        })
    }
}

fn abort(host: Uid) -> Message<'static> {
    Message::Abort(Abort {
        current_file: false,
        host,
        reason: "forged".to_owned(),
    })
}

fn aborts(out: &[Out]) -> usize {
    let abort = |o: &&Out| matches!(o.header().function, Function::Abort | Function::Encrypted);
    out.iter().filter(abort).count()
}

/// As receivers do: anybody can make a key and announce somebody else's session under it.
#[test]
fn a_session_in_the_clear_is_not_taken_over_from_elsewhere() {
    let first = announcement();
    let elsewhere: SocketAddr = "10.9.9.9:1044".parse().unwrap();
    let listed = Some(identity().public().fingerprint());
    let unlisted = Some(Fingerprint::of(b"another"));
    for role in [client_role(), response_role()] {
        for (print, from, gives_way) in [
            (None, first.from, true),
            (None, elsewhere, false),
            (listed, elsewhere, true),
            (unlisted, elsewhere, false),
        ] {
            let server = wire::decode_header(&first.bytes).unwrap().src;
            let mut config = config(role.clone());
            config.security = ReceiverSecurity {
                keys: vec![key()],
                servers: Some(vec![ServerEntry {
                    uid: server,
                    addresses: Vec::new(),
                    proxy: None,
                    fingerprint: print,
                }]),
                ..ReceiverSecurity::default()
            };
            let mut bench = Bench::new(config);
            bench.hand(first.from, Ecn::NotEct, &stripped(&first.bytes));
            let out = bench.hand(from, Ecn::NotEct, &first.bytes);
            let over = bench.has(&ProxyEventKind::Encrypted);
            assert_eq!(over, gives_way, "from {from}, key {print:?}");
            assert_eq!(aborts(&out), 0, "its sender is told nothing");
        }
    }
}

/// Neither itself nor whom it has registered.
#[test]
fn nobody_sends_away_whom_a_lower_proxy_without_keys_has_registered() {
    let (proxy, behind, stranger) = (Uid(50), Uid(51), Uid(60));
    let mut carried = Carried::new(config(client_role()));
    carried.register(proxy, &[behind]);
    assert!(carried.registered(behind, Some(proxy)));
    carried.bench.pass(Duration::from_millis(20));
    for (author, host) in [(proxy, behind), (behind, behind), (behind, Uid::NONE)] {
        let out = carried.say(author, &abort(host));
        assert_eq!(aborts(&out), 0, "{author} of {host}");
    }
    assert_eq!(carried.bench.refused(Refusal::Uncovered), 3);
    let told = |kind: &ProxyEventKind| matches!(kind, ProxyEventKind::AbortedByClient { .. });
    assert!(!carried.bench.events.iter().any(told));
    // One who never came may say why: the sender doubts it.
    assert_eq!(aborts(&carried.say(stranger, &abort(Uid::NONE))), 1);
}

/// A list is anybody's word as long as its author has no keys, and so is a REGISTER.
#[test]
fn who_has_no_keys_keeps_nobody_from_registering() {
    let [forger, proxy, first, second] = [60, 50, 51, 52].map(Uid);
    let mut carried = Carried::new(config(client_role()));
    carried.register(forger, &[first, second]);
    carried.register(first, &[]);
    assert!(carried.registered(first, None), "by itself");
    carried.register(proxy, &[second]);
    assert!(carried.registered(second, Some(proxy)), "by its proxy");
    carried.register(forger, &[]);
    carried.register(proxy, &[first, second]);
    assert!(
        carried.registered(first, Some(proxy)),
        "after a forgery in its name"
    );
}

/// Whatever number of hosts registers, so many are looked into in a second, and so many remembered;
/// what is said to the server and to those sent away is no more than was heard, by far.
#[test]
fn floods_of_registrations_take_bounded_room_and_few_words() {
    const MOST: usize = 300;
    let mut config = config(client_role());
    config.max_clients = MOST;
    let mut carried = Carried::new(config);
    let heard = 128 * 5000;
    let mut said = 0;
    let mut refused = 0;
    for n in 0..5000 {
        let out = carried.register(Uid(0x1000 + n), &[]);
        said += out.iter().map(|o| o.bytes.len()).sum::<usize>();
        refused += aborts(&out);
    }
    let counted = carried.bench.events.iter();
    let registered = |kind: &&ProxyEventKind| matches!(kind, ProxyEventKind::Registered { .. });
    assert_eq!(counted.filter(registered).count(), MOST);
    assert_eq!(refused, 0, "who is there may still give way");
    let told = |kind: &&ProxyEventKind| matches!(kind, ProxyEventKind::ClientRefused(_));
    let told = carried.bench.events.iter().filter(told).count();
    assert_eq!(told, 100, "lines in a second");
    assert_eq!(carried.bench.refused(Refusal::Limit), 5000 - MOST as u64);
    // Nobody proves anything, and all are given up.
    let rest = carried.bench.pass(Duration::from_secs(60));
    said += rest.iter().map(|o| o.bytes.len()).sum::<usize>();
    assert!(said < heard, "{said} bytes for {heard}");
}

/// One datagram with a list of hosts counts as many, and is answered as few.
#[test]
fn long_lists_of_strangers_take_bounded_room_and_few_words() {
    const MOST: usize = 300;
    let mut config = config(client_role());
    config.max_clients = MOST;
    let mut carried = Carried::new(config);
    let mut refused = 0;
    for n in 0..20 {
        let list: Vec<_> = (0..2000).map(|i| Uid(0x1_0000 + 2000 * n + i)).collect();
        let out = carried.register(Uid(0x50 + n), &list);
        refused += aborts(&out);
    }
    let registered = |kind: &&ProxyEventKind| matches!(kind, ProxyEventKind::Registered { .. });
    let count = carried.bench.events.iter().filter(registered).count();
    // Those who named them have places, too.
    assert!((MOST - 20..MOST).contains(&count), "{count}");
    assert!(refused <= 100, "{refused}");
}

/// Of PROXY_KEYs none is for a proxy, wherever it comes from.
#[test]
fn floods_of_proxy_keys_are_not_answered() {
    let first = announcement();
    for role in [client_role(), response_role()] {
        let mut carried = Carried::new(ProxyConfig {
            security: ReceiverSecurity {
                keys: vec![key()],
                ..ReceiverSecurity::default()
            },
            ..config(role)
        });
        let message = Message::ProxyKey(wire::ProxyKey {
            nonce: 0,
            key: carried.key.clone(),
            dh_key: carried.key.clone(),
            signature: vec![7; 64],
        });
        let events = carried.bench.events.len();
        for n in 0..1000 {
            assert_eq!(carried.say(Uid(0x1000 + n), &message), []);
        }
        assert_eq!(carried.bench.refused(Refusal::OutOfPlace), 1000);
        assert_eq!(carried.bench.events.len(), events);
        let header = carried.header;
        let mut packet = vec![0; 1000];
        let header = Header {
            function: Function::ProxyKey,
            ..header
        };
        let len = wire::encode(&header, &message, &mut packet).unwrap();
        let out = carried.bench.hand(first.from, Ecn::NotEct, &packet[..len]);
        assert_eq!(out, []);
    }
}

/// Whoever hears PROXY_KEY while it waits for the keys waits for its whole interval anew, and so says
/// nothing as long as the server announces. If what the proxy told the server was lost the proxy says
/// it again.
#[test]
fn the_server_is_told_again_of_clients_of_whom_it_has_not_heard() {
    for role in [client_role(), response_role()] {
        let (mut carried, first, trip) = keyed(role);
        let mut told = carried.register(Uid(1), &[]);
        told.extend(carried.register(Uid(2), &[]));
        told.extend(carried.bench.pass(trip));
        let registered = registrations(&told);
        let [(_, echo)] = registered.as_slice() else {
            panic!("not told once: {registered:?}");
        };
        // Now the server goes on, as it does if it has not heard.
        let mut again = Vec::new();
        for _ in 0..3 {
            told = carried.bench.pass(trip * 2);
            told.extend(carried.bench.hand(first.from, Ecn::NotEct, &first.bytes));
            again.extend(registrations(&told));
        }
        again.extend(registrations(&carried.bench.pass(trip)));
        let [(clients, later)] = again.as_slice() else {
            panic!("not told once more: {again:?}");
        };
        assert_eq!(clients, &[Uid(1), Uid(2)]);
        assert_eq!(*later, echo.plus(trip * 5), "since then it was held");
    }
}

/// Not as long as an answer may be on its way.
#[test]
fn a_server_just_told_is_not_told_again() {
    let (mut carried, first, trip) = keyed(response_role());
    for time in ["first", "then it asks itself"] {
        let mut told = carried.register(Uid(1), &[]);
        told.extend(carried.bench.pass(trip));
        assert_eq!(registrations(&told).len(), 1, "{time}");
        told = carried.bench.pass(trip * 3);
        told.extend(carried.bench.hand(first.from, Ecn::NotEct, &first.bytes));
        told.extend(carried.bench.pass(trip));
        assert_eq!(registrations(&told), [], "{time}");
    }
}

/// If what a client told its proxy was lost, it says it again when it has waited five round trips
/// since the last PROXY_KEY; servers announce every three. The first eight come without such pauses.
#[test]
fn clients_have_time_to_register_again_between_introductions() {
    for role in [client_role(), response_role()] {
        let (mut carried, first, trip) = keyed(role);
        // It has introduced itself once.
        let (mut last, mut introduced) = (1, 1);
        for announced in 2..=16 {
            let mut out = carried.bench.pass(trip * 3);
            out.extend(carried.bench.hand(first.from, Ecn::NotEct, &first.bytes));
            out.extend(carried.bench.pass(Duration::ZERO));
            let is = |o: &&Out| o.header().function == Function::ProxyKey;
            if out.iter().any(|o| is(&o)) {
                let least = if announced > 8 { 2 } else { 1 };
                assert!(announced - last >= least, "at {last} and {announced}");
                (last, introduced) = (announced, introduced + 1);
            }
        }
        assert_eq!(introduced, 8 + 4, "who comes late or has lost one waits");
    }
}

/// Receivers drop what is more than five numbers behind the newest, and so deployed ones never hear of a
/// proxy whose PROXY_KEYs are all numbered 0 if they come when the sender has announced for a while
/// (wire-v5 §10.1).
#[test]
fn an_introduction_has_the_number_of_the_announcement_before_it() {
    for role in [client_role(), response_role()] {
        for encrypted in [true, false] {
            let mut config = config(role.clone());
            config.security.keys = vec![key()];
            let mut bench = Bench::new(config);
            for number in [0, 3, 0xfffe, 1] {
                let mut first = announcement();
                first.bytes[2..4].copy_from_slice(&u16::to_be_bytes(number));
                let packet = match encrypted {
                    true => open_to_all(&first.bytes),
                    false => stripped(&first.bytes),
                };
                let out = bench.hand(first.from, Ecn::NotEct, &packet);
                let is = |o: &&Out| o.header().function == Function::ProxyKey;
                let numbers: Vec<_> = out.iter().filter(is).map(|o| o.header().seq).collect();
                assert_eq!(numbers, [Seq(number)], "encrypted: {encrypted}");
            }
        }
    }
}

/// A proxy with a key of its own that carries the session, the ANNOUNCE of that, and its round trip
/// time.
fn keyed(role: Role) -> (Carried, Recorded, Duration) {
    let mut config = config(role);
    config.security.keys = vec![key()];
    let first = announcement();
    let bytes = open_to_all(&first.bytes);
    let first = Recorded { bytes, ..first };
    let announced = Recorded {
        bytes: first.bytes.clone(),
        ..first
    };
    let mut carried = Carried::announced(config, announced);
    let message = wire::decode(Version::V5, Function::Announce, &first.bytes[Header::LEN..]);
    let Ok(Message::Announce(announce)) = message else {
        panic!("no ANNOUNCE");
    };
    carried.stamp = announce.timestamp;
    let trip = carried.header.grtt.duration();
    (carried, first, trip)
}

/// The clients of the REGISTERs among what came out, and the stamps they echo.
fn registrations(out: &[Out]) -> Vec<(Vec<Uid>, WireTime)> {
    let register = |out: &Out| match out.message() {
        Message::Register(m) => Some((m.clients, m.echo)),
        _ => None,
    };
    let upstream = |out: &&Out| out.header().function == Function::Register;
    out.iter().filter(upstream).filter_map(register).collect()
}
