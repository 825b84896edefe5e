//! Sessions of protocol 3 through proxies of 3.4.3: given what one of these heard, ours must say what
//! it said, byte for byte but for times and random numbers, and at about the same time.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use uftp_proto::Uid;
use uftp_proto::crypto::{BackendError, Curve, KeyError, Premaster, PrivateKey};
use uftp_proto::wire::{self, Function, Header, Version};
use uftp_session::Heartbeats;
use uftp_session::proxy::{Downstream, Role};
use uftp_session::security::Secrets;

use super::bench::{addr, client_role, response_role, server_role};
use super::recorded::pcap::Recorded;
use super::replay::{Proxy, SLACK, Said, opener, play, unhex, word};

fn proxy(role: Role, upstream: &'static str, downstream: &'static str) -> Proxy {
    Proxy {
        // The sender's list calls it by an address.
        uid: Uid(0x01_0203),
        role,
        upstream,
        downstream,
        key: None,
        scalars: &[],
        premaster: None,
        group: None,
        beats: Heartbeats::default(),
        prover: None,
    }
}

fn server_proxy() -> Proxy {
    let to = Downstream::Fixed(addr("10.66.3.3:1044"));
    proxy(server_role(to), "10.66.1.2", "10.66.3.2")
}

fn client_proxy() -> Proxy {
    proxy(client_role(), "10.66.3.3", "10.66.2.2")
}

fn response_proxy(key: PrivateKey) -> Proxy {
    Proxy {
        key: Some(key),
        ..proxy(response_role(), "10.66.0.20", "10.66.0.20")
    }
}

fn rsa1024() -> PrivateKey {
    PrivateKey::from_pem(include_bytes!("../vectors/rsa1024b.pem")).unwrap()
}

/// What of a packet lasts: nothing in this range, and whatever the order of this list, which is that
/// of arrival with us.
fn lasting(packet: &[u8], changing: Range<usize>, list: usize) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[changing].fill(0);
    let from = Header::LEN + list;
    if packet.len() > from {
        packet[from..].as_chunks_mut::<4>().0.sort_unstable();
    }
    packet
}

fn clear(packet: &[u8]) -> Vec<u8> {
    match wire::decode_header(packet).unwrap().function {
        Function::Register => lasting(packet, 0..0, 40),
        Function::FileInfoAck => lasting(packet, 0..0, 20),
        Function::Complete => lasting(packet, 0..0, 8),
        // 3.4.3 forgets whom it sends this to (wire-v3 §2.1).
        Function::PrStatus => lasting(packet, 12..16, 12),
        _ => packet.to_vec(),
    }
}

fn compare(name: &str, said: &[Recorded], ours: Said, lasting: impl Fn(&[u8]) -> Vec<u8>) {
    let mut ours = ours.into_iter();
    for theirs in said {
        let context = format!("{name}, {} at {:?}", word(&theirs.bytes), theirs.at);
        let (at, to, packet) = ours.next().unwrap_or_else(|| panic!("{context}: silent"));
        let context = format!("{context}; ours: {} at {at:?}", word(&packet));
        assert_eq!(lasting(&packet), lasting(&theirs.bytes), "{context}");
        assert_eq!(to, theirs.to, "{context}");
        assert!(at.abs_diff(theirs.at) < SLACK, "{context}");
    }
    let more: Vec<_> = ours.map(|(at, _, packet)| (at, word(&packet))).collect();
    assert!(more.is_empty(), "{name}: {more:?}");
}

fn replay(name: &str, proxy: &Proxy) {
    let (said, ours) = play(name, proxy, |_| None);
    compare(name, &said, ours, clear);
}

#[test]
fn through_a_server_proxy() {
    for name in ["v3-proxy", "v3-proxy-loss"] {
        replay(name, &server_proxy());
    }
}

#[test]
fn through_a_client_proxy() {
    replay("v3-proxy", &client_proxy());
}

#[test]
fn through_a_client_proxy_with_losses() {
    replay("v3-proxy-loss", &client_proxy());
}

/// Takes out what is said of keys outside the session. 3.4.3 shows its key to all whenever it is
/// asked, ours alone to who asks soon after another (wire-v3 §8.5).
fn without_keys(
    name: &str,
    said: Vec<Recorded>,
    ours: Said,
    client: SocketAddr,
) -> (Vec<Recorded>, Said) {
    let is_key = |bytes: &[u8]| bytes[1] == 17;
    let (theirs, said): (Vec<_>, Vec<_>) = said.into_iter().partition(|p| is_key(&p.bytes));
    let (keys, ours): (Said, Said) = ours.into_iter().partition(|(_, _, bytes)| is_key(bytes));
    let to: Vec<_> = keys.iter().map(|(_, to, _)| *to).collect();
    assert_eq!(to, [theirs[0].to, client], "{name}");
    for ((_, _, ours), theirs) in keys.iter().zip(&theirs) {
        assert_eq!(ours[..Header::LEN][..2], theirs.bytes[..Header::LEN][..2]);
        assert_eq!(ours[4..20], theirs.bytes[4..20], "{name}: of no session");
    }
    (said, ours)
}

fn second_client() -> SocketAddr {
    addr("10.66.0.12:1044")
}

#[test]
fn beside_a_response_proxy() {
    let name = "v3-resp-proxy";
    let (said, ours) = play(name, &response_proxy(rsa1024()), |_| None);
    let (said, ours) = without_keys(name, said, ours, second_client());
    compare(name, &said, ours, clear);
}

/// The secrets of the recorded response proxy, as it logged them.
struct Logged;

const RANDOM: &str = "6847016bea9833d67ffc1d1be91a72adcda7e3a18c04019faa0c66444423340b";
const PREMASTER: &str = "426dab14024fd76a939354ba11bd608e56e42ea155a952a834f957ebb77f16ec\
                         1f55db085bfd1539012733d627137780";
const MASTER: &str = "308bc799cd804807645e69321d54ba6dcd4acf21caeee028d7d4dd1f87fa2fde\
                      f9bd88f7bd2bc3f779c8629c186b76d7";

impl Secrets for Logged {
    fn random(&mut self) -> [u8; 32] {
        unhex(RANDOM).try_into().unwrap()
    }

    fn ephemeral(&mut self, _: Curve) -> Result<PrivateKey, KeyError> {
        panic!("protocol 3 has no ephemeral keys")
    }

    fn premaster(&mut self, _: Version) -> Result<Premaster, BackendError> {
        Ok(Premaster::from_bytes(&unhex(PREMASTER)))
    }
}

#[test]
fn encrypted_beside_a_response_proxy() {
    let name = "v3-resp-proxy-enc";
    let proxy = response_proxy(rsa1024());
    let (said, ours) = play(name, &proxy, |_| Some(Box::new(Logged)));
    let key = |bytes: &[u8]| bytes[32..32 + 128].to_vec();
    assert_eq!(key(&ours[0].2), key(&said[0].bytes), "the key of PROXY_KEY");
    let (said, ours) = without_keys(name, said, ours, second_client());
    let opener = std::cell::RefCell::new(opener(name, MASTER));
    compare(name, &said, ours, |packet| {
        match wire::decode_header(packet).unwrap().function {
            // The premaster is encrypted with chance.
            Function::Register => lasting(packet, 56..56 + 128, 40 + 128),
            // The time is in the keys, too: whom they are for.
            Function::KeyInfo => {
                let mut clients: Vec<_> =
                    packet[28..].chunks(52).map(|e| e[..4].to_vec()).collect();
                clients.sort_unstable();
                [&packet[..20], &clients.concat()].concat()
            }
            Function::Encrypted => {
                let mut copy = packet.to_vec();
                let mut opener = opener.borrow_mut();
                let opened = opener.open(&mut copy, None).expect("the group's keys");
                let message = [&packet[..Header::LEN], opened.message].concat();
                let list = match opened.message[0] {
                    7 => 20,
                    12 => 8,
                    function => panic!("function {function}"),
                };
                lasting(&message, 0..0, list)
            }
            _ => packet.to_vec(),
        }
    });
}

/// A client proxy with a key that is not the expected one: it is asked for proof again and again, and
/// signs each time what it is given.
#[test]
fn a_challenged_client_proxy() {
    let name = "v3-heartbeat-fail";
    let mut proxy = client_proxy();
    proxy.key = Some(rsa1024());
    proxy.beats = Heartbeats {
        upstreams: vec![addr("10.66.3.2:1044")],
        interval: Duration::from_secs(2),
    };
    let (said, ours) = play(name, &proxy, |_| None);
    // Other protocols are tried until there is an answer.
    let ours = ours.into_iter().filter(|(_, _, bytes)| bytes[0] == 0x30);
    compare(name, &said, ours.collect(), <[u8]>::to_vec);
}

/// And the server proxy that asks it: what is signed is its own nonce, the key is not the right one.
#[test]
fn a_challenging_server_proxy() {
    let name = "v3-heartbeat-fail";
    let known = "A5:D1:4C:37:97:AC:EA:EF:69:06:50:4E:D1:64:23:DF:3E:75:63:54";
    let role = server_role(Downstream::Learned(known.parse().unwrap()));
    let mut proxy = proxy(role, "10.66.1.2", "10.66.3.2");
    proxy.prover = Some(rsa1024());
    let (said, ours) = play(name, &proxy, |_| None);
    compare(name, &said, ours, |packet| {
        let challenge = packet[Header::LEN + 1] == 2;
        let nonce = Header::LEN + 4..Header::LEN + 8;
        lasting(packet, if challenge { nonce } else { 0..0 }, packet.len())
    });
}
