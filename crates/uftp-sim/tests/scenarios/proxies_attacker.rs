//! Somebody on the networks of a session of protocol 5 through proxies, who has heard all of it and may
//! write any sender address.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;

use uftp_proto::wire::{self, Function, Header};
use uftp_proto::{Ecn, Uid};
use uftp_session::security::ProxyEntry;
use uftp_sim::proxies::{Networks, Reach, proxy_addr, uid};
use uftp_sim::{Figure, NodeId, Verdict};

use super::proxies_encrypted::five;
use super::{delayed, ms, secs, two_files};

/// Datagrams of the handshake that an attack begins with, at most.
pub(super) const MOST: usize = 60;

/// From whom, to whom, and what.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) bytes: Vec<u8>,
}

impl Seen {
    pub(super) fn function(&self) -> Function {
        wire::decode_header(&self.bytes).unwrap().function
    }

    /// Whether it is answered whenever it comes, for its answer may have been lost.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.function(), Function::Register | Function::KeyInfo)
    }

    /// Whether it is about the keys of the session, as far as one can see from outside.
    pub(super) fn is_of_handshake(&self) -> bool {
        let handshake = [
            Function::Register,
            Function::ProxyKey,
            Function::KeyInfo,
            // CLIENT_KEY and KEYINFO_ACK are sealed.
            Function::Encrypted,
        ];
        handshake.contains(&self.function())
    }
}

/// Two receivers behind a proxy, all known by their keys; it takes a while from here to there.
pub(super) fn figure(seed: u64, reach: Reach) -> Figure {
    let figure = Figure::new(seed, reach, 0, &[2], two_files(60_000)).with(|f| {
        f.closed = seed % 4 < 2;
        (f.up, f.down, f.between) = (delayed(ms(2)), delayed(ms(2)), delayed(ms(2)));
    });
    figure.with(five(seed.is_multiple_of(2))).with(|figure| {
        // In a chain it has another one, for heartbeats.
        let key = figure.proxy_securities[0].keys[0].public().fingerprint();
        let key = (reach != Reach::Chain).then_some(key);
        for security in &mut figure.securities {
            security.proxies = vec![ProxyEntry {
                uid: proxy(),
                addresses: Vec::new(),
                fingerprint: key,
            }];
        }
    })
}

pub(super) fn proxy() -> Uid {
    uid(proxy_addr(0))
}

pub(super) const REACHES: [Reach; 3] = [Reach::Tunnel, Reach::Response, Reach::Chain];

/// Networks, and what an attacker put on them.
pub(super) struct Attacked {
    pub(super) networks: Networks,
    pub(super) datagrams: u64,
    pub(super) bytes: u64,
}

impl Attacked {
    /// Has `to` hear something as if `from` had said it.
    pub(super) fn inject(&mut self, from: NodeId, to: NodeId, bytes: &[u8]) {
        let from = self.networks.world.addr(from);
        self.inject_from(from, to, bytes);
    }

    pub(super) fn inject_from(&mut self, from: SocketAddr, to: NodeId, bytes: &[u8]) {
        self.datagrams += 1;
        self.bytes += bytes.len() as u64;
        self.networks.world.inject(to, from, Ecn::NotEct, bytes);
    }

    /// Panics unless everybody has everything, and nothing was said beyond what is said in `peace`:
    /// but what proxies that pass packets on were handed, they pass on, `hops` times.
    pub(super) fn assert_unimpressed(&self, peace: (u64, u64), hops: u64) {
        self.networks.assert_all_whole();
        let (datagrams, bytes) = said(&self.networks);
        let (most, most_bytes) = (hops * self.datagrams, hops * self.bytes);
        assert!(datagrams <= peace.0 + most, "{datagrams} after {peace:?}");
        assert!(bytes <= peace.1 + most_bytes, "{bytes} after {peace:?}");
    }
}

/// How often a packet is passed on as it is on its way.
pub(super) fn hops(reach: Reach) -> u64 {
    match reach {
        Reach::Response => 0,
        Reach::Tunnel | Reach::LearnedTunnel => 2,
        Reach::Chain => 3,
        Reach::Nested => 4,
    }
}

/// Plays to the end, a millisecond at a time; `attack` sees what has passed since.
pub(super) fn play(figure: Figure, attack: impl FnMut(&mut Attacked, Vec<Seen>)) -> Attacked {
    play_losing(0, figure, attack)
}

/// As [`play`], but the first so many PROXY_KEYs are lost.
pub(super) fn play_losing(
    mut lost: usize,
    figure: Figure,
    mut attack: impl FnMut(&mut Attacked, Vec<Seen>),
) -> Attacked {
    let mut networks = figure.stage();
    let tape: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let writer = Rc::clone(&tape);
    networks.world.set_filter(move |p| {
        writer.borrow_mut().push(Seen {
            from: p.from,
            to: p.to,
            bytes: p.datagram.to_vec(),
        });
        match p.is(Function::ProxyKey) && lost > 0 {
            true => {
                lost -= 1;
                Verdict::Drop
            }
            false => Verdict::Pass,
        }
    });
    let mut attacked = Attacked {
        networks,
        datagrams: 0,
        bytes: 0,
    };
    for _ in 0..20_000 {
        if attacked.networks.sender().machine.is_finished() {
            break;
        }
        attacked.networks.world.run_for(ms(1));
        let passed = tape.take();
        attack(&mut attacked, passed);
    }
    attacked.networks = attacked.networks.play(secs(600));
    attacked
}

/// Datagrams and bytes that everybody sent.
pub(super) fn said(networks: &Networks) -> (u64, u64) {
    let all = [
        &[networks.sender],
        &networks.receivers[..],
        &networks.proxies,
        &networks.server_proxies,
        &networks.relays,
    ];
    let totals = all
        .into_iter()
        .flatten()
        .map(|id| networks.world.sent(*id).total());
    totals.fold((0, 0), |sum, t| (sum.0 + t.datagrams, sum.1 + t.bytes))
}

/// What everybody says when nobody attacks, and the first so many PROXY_KEYs are lost.
pub(super) fn said_in_peace(lost: usize, figure: &Figure) -> (u64, u64) {
    let attacked = play_losing(lost, figure.clone(), |_, _| {});
    attacked.networks.assert_all_whole();
    said(&attacked.networks)
}

/// Plays with and without an attack, which must not impress anybody; the first so many PROXY_KEYs
/// are lost.
pub(super) fn withstands(
    lost: usize,
    figure: Figure,
    attack: impl FnMut(&mut Attacked, Vec<Seen>),
) -> Networks {
    let reach = figure.reach;
    let peace = said_in_peace(lost, &figure);
    let attacked = play_losing(lost, figure, attack);
    attacked.assert_unimpressed(peace, hops(reach));
    attacked.networks
}

/// The datagrams of the handshake among those that passed, each once.
pub(super) fn fresh(known: &mut HashSet<Vec<u8>>, passed: Vec<Seen>) -> Vec<Seen> {
    let handshake = passed.into_iter().filter(Seen::is_of_handshake);
    handshake
        .filter(|seen| seen.bytes.len() > Header::LEN + 4)
        .filter(|seen| known.len() < MOST && known.insert(seen.bytes.clone()))
        .collect()
}
