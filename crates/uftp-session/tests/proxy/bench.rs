//! A proxy on a bench: what is handed in, and what comes out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::crypto::{Curve, KeySpec, PrivateKey};
use uftp_proto::quant::RttCode;
use uftp_proto::wire::{
    self, Announce, AnnounceFlags, CcType, FileInfoAck, Header, Message, Pace, Register, Version,
};
use uftp_proto::{Ecn, FileId, GroupId, Instance, Seq, Uid, WireTime};
use uftp_session::proxy::{Downstream, Proxy, ProxyConfig, ProxyEvent, ProxyEventKind, Role};
use uftp_session::{Batch, Clock, Refusal};

pub(crate) const SERVER: Uid = Uid(0x0a00_0001);
pub(crate) const ME: Uid = Uid(0xaaaa_aaaa);
pub(crate) const PRIVATE: &str = "230.5.5.1:1044";
pub(crate) const PUBLIC: &str = "230.4.4.1:1044";
pub(crate) const BLOCK: u16 = 100;

/// The server's clock at the first ANNOUNCE.
pub(crate) const STAMP: WireTime = WireTime(1_700_000_000_000_000);

pub(crate) struct Bench {
    pub(crate) proxy: Proxy,
    pub(crate) now: Instant,
    pub(crate) events: Vec<ProxyEventKind>,
    seq: u16,
}

/// A datagram that came out.
#[derive(Debug, PartialEq)]
pub(crate) struct Out {
    pub(crate) to: SocketAddr,
    pub(crate) ecn: Ecn,
    pub(crate) bytes: Vec<u8>,
}

impl Out {
    pub(crate) fn header(&self) -> Header {
        wire::decode_header(&self.bytes).unwrap()
    }

    pub(crate) fn message(&self) -> Message<'_> {
        let header = self.header();
        wire::decode(header.version, header.function, &self.bytes[Header::LEN..]).unwrap()
    }
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn server() -> SocketAddr {
    addr("10.0.0.1:40000")
}

pub(crate) fn client(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 1, 0, n], 1044))
}

pub(crate) fn key() -> Arc<PrivateKey> {
    Arc::new(PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap())
}

pub(crate) fn client_role() -> Role {
    Role::Client {
        port: 1044,
        group: addr(PUBLIC).ip(),
    }
}

pub(crate) fn response_role() -> Role {
    Role::Response {
        publics: vec![addr(PUBLIC).ip()],
        dh_key: None,
    }
}

pub(crate) fn server_role(downstream: Downstream) -> Role {
    Role::Server {
        downstream,
        admit_anybody: false,
    }
}

pub(crate) fn config(role: Role) -> ProxyConfig {
    ProxyConfig {
        addresses: vec![addr("10.9.0.1:1044")],
        max_sessions: 5,
        max_clients: 1000,
        ..ProxyConfig::new(ME, role, 1044)
    }
}

impl Bench {
    pub(crate) fn new(config: ProxyConfig) -> Self {
        let now = Instant::now();
        Bench {
            proxy: Proxy::new(
                config,
                Clock::new(now, STAMP),
                StdRng::seed_from_u64(1),
                now,
            ),
            now,
            events: Vec::new(),
            seq: 0,
        }
    }

    /// With the session of the tests announced.
    pub(crate) fn announced(role: Role) -> Self {
        let mut bench = Bench::new(config(role));
        bench.server_says(&announce());
        bench
    }

    /// Hands in a packet and returns what comes out.
    pub(crate) fn hand(&mut self, from: SocketAddr, ecn: Ecn, packet: &[u8]) -> Vec<Out> {
        let now = self.now;
        self.proxy
            .handle_datagram(now, from, ecn, &mut packet.to_vec());
        self.drain()
    }

    pub(crate) fn server_says(&mut self, message: &Message<'_>) -> Vec<Out> {
        let packet = self.packet(SERVER, message);
        self.hand(server(), Ecn::NotEct, &packet)
    }

    pub(crate) fn client_says(&mut self, n: u8, message: &Message<'_>) -> Vec<Out> {
        let packet = self.packet(Uid(n.into()), message);
        self.hand(client(n), Ecn::NotEct, &packet)
    }

    pub(crate) fn packet(&mut self, src: Uid, message: &Message<'_>) -> Vec<u8> {
        self.seq += 1;
        let header = Header {
            version: Version::V4,
            function: message.function(),
            seq: Seq(self.seq),
            src,
            group: GroupId(0x1234),
            instance: Instance(0),
            // 10.5 ms
            grtt: RttCode(106),
            group_size: Default::default(),
            dest: Uid::NONE,
        };
        let mut packet = vec![0; 9000];
        let len = wire::encode(&header, message, &mut packet).unwrap();
        packet.truncate(len);
        packet
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Out> {
        let end = self.now + time;
        let mut out = Vec::new();
        while let Some(at) = self.proxy.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.proxy.handle_timeout(self.now);
            out.extend(self.drain());
        }
        self.now = end;
        out
    }

    /// Time passes in which the machine stands still: what falls due on the way is late.
    pub(crate) fn stand_still(&mut self, time: Duration) {
        self.now += time;
        self.proxy.held_up(self.now);
        self.proxy.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        let mut batch = Batch::new(64 * 1024);
        loop {
            while let Some(ProxyEvent { kind, .. }) = self.proxy.poll_event() {
                self.events.push(kind);
            }
            batch.clear();
            self.proxy.poll_transmit(self.now, &mut batch);
            if batch.is_empty() {
                return out;
            }
            out.extend(batch.datagrams().map(|(to, ecn, bytes)| Out {
                to,
                ecn,
                bytes: bytes.to_vec(),
            }));
        }
    }

    pub(crate) fn refused(&self, why: Refusal) -> u64 {
        self.proxy.counters().refused(why)
    }

    pub(crate) fn has(&self, kind: &ProxyEventKind) -> bool {
        self.events.contains(kind)
    }
}

pub(crate) fn announce_body() -> Announce {
    Announce {
        flags: AnnounceFlags::empty(),
        pace: Pace::Adaptive {
            robust: 20,
            cc: CcType::NONE,
            block_size: BLOCK,
        },
        timestamp: STAMP,
        public: addr(PUBLIC).ip(),
        private: addr(PRIVATE).ip(),
        encryption: None,
        clients: Vec::new(),
    }
}

pub(crate) fn announce() -> Message<'static> {
    Message::Announce(announce_body())
}

pub(crate) fn register(echo: WireTime) -> Message<'static> {
    Message::Register(Register {
        echo,
        random: [0; 32],
        key: Vec::new(),
        clients: Vec::new(),
    })
}

pub(crate) fn file_info_ack(file: u16, partial: bool) -> Message<'static> {
    Message::FileInfoAck(FileInfoAck {
        file: FileId(file),
        partial,
        echo: STAMP,
        clients: Vec::new(),
    })
}
