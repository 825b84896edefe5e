//! Sessions through proxies of the deployed programs: given what one of these heard, ours must say
//! what it said, byte for byte but for echoed times, and at about the same time.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use uftp_proto::wire::{self, Function, Header};
use uftp_proto::{Ecn, Uid};
use uftp_session::proxy::{Downstream, ProxyConfig, Role};

use super::bench::{Bench, addr, client_role, config, server_role};
use super::pcap::{self, Recorded};

/// Times differ by what the recording machine took, at most.
const SLACK: Duration = Duration::from_millis(15);

/// Bytes that hold a bit for each block of the only section of the recorded files.
const BITMAP: usize = 59_usize.div_ceil(8);

/// A recorded proxy.
struct Proxy {
    uid: Uid,
    role: Role,
    /// Where it hears.
    upstream: &'static str,
    /// Where it speaks to clients or to the next proxy.
    downstream: &'static str,
}

fn server_proxy() -> Proxy {
    Proxy {
        uid: Uid(0xB1),
        role: server_role(Downstream::Fixed(addr("10.66.3.3:1044"))),
        upstream: "10.66.1.2",
        downstream: "10.66.3.2",
    }
}

fn client_proxy() -> Proxy {
    Proxy {
        uid: Uid(0xB2),
        role: client_role(),
        upstream: "10.66.3.3",
        downstream: "10.66.2.2",
    }
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

/// A packet without the times it echoes, the clients it speaks for in order: ours names the one
/// first whose time it echoes. What the recorded one has behind the bits of a section is whatever was
/// in its memory (wire-v5 §5.12).
fn lasting(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let (echo, list) = match wire::decode_header(&packet).unwrap().function {
        Function::Status => {
            packet.truncate(Header::LEN + 8 + BITMAP);
            (0..0, false)
        }
        Function::Register => (4..12, true),
        Function::FileInfoAck => (8..16, true),
        Function::Complete => (0..0, true),
        _ => (0..0, false),
    };
    let message = &mut packet[Header::LEN..];
    message[echo].fill(0);
    if list {
        let head = usize::from(message[1]) * 4;
        message[head..].as_chunks_mut::<4>().0.sort_unstable();
    }
    packet
}

/// A packet in a word, for those who read why a test failed.
fn word(packet: &[u8]) -> String {
    let header = wire::decode_header(packet).unwrap();
    format!("{:?} {} of {}", header.function, header.seq.0, header.src)
}

fn replay(name: &str, proxy: &Proxy) {
    let recorded = pcap::read(&format!("{name}.pcap"));
    let mut bench = Bench::new(proxy.config());
    let start = bench.now;
    let mut ours: Vec<(Duration, SocketAddr, Vec<u8>)> = Vec::new();
    for packet in &recorded {
        while let Some(due) = bench
            .proxy
            .poll_timeout()
            .filter(|due| *due <= start + packet.at)
        {
            let out = bench.pass(due.saturating_duration_since(bench.now));
            let at = bench.now - start;
            ours.extend(out.into_iter().map(|out| (at, out.to, out.bytes)));
        }
        bench.pass(start + packet.at - bench.now);
        if proxy.hears(packet) {
            let out = bench.hand(packet.from, Ecn::NotEct, &packet.bytes);
            ours.extend(out.into_iter().map(|out| (packet.at, out.to, out.bytes)));
        }
    }
    let own = proxy.addresses();
    let said = recorded
        .iter()
        .filter(|packet| own.contains(&packet.from.ip()));
    let mut ours = ours.into_iter();
    for theirs in said {
        let context = format!("{name}, {} at {:?}", word(&theirs.bytes), theirs.at);
        let (at, to, packet) = ours.next().unwrap_or_else(|| panic!("{context}: silent"));
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
