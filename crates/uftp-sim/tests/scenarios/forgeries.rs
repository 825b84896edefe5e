//! Encrypted sessions of protocol 5 in which every receiver proves itself, with an attacker on the
//! network who bends, cuts, repeats and mixes what it sees. It costs time, and nothing else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use uftp_proto::Ecn;
use uftp_proto::wire::{self, Encrypted, Function, Header, Message};
use uftp_session::Refusal;
use uftp_session::proxy::ProxyEventKind;
use uftp_session::receiver::EndReason;
use uftp_session::sender::{Outcome, SenderEvent};
use uftp_sim::proxies::Reach;
use uftp_sim::{Figure, Networks, NodeId, SenderNode, Verdict, World, seeds};

use super::proxies_encrypted::five;
use super::{lossy, ms, secs, two_files};

/// A datagram that was on the network.
#[derive(Clone)]
struct Seen {
    from: NodeId,
    to: NodeId,
    bytes: Vec<u8>,
}

impl Seen {
    fn is(&self, function: Function) -> bool {
        wire::decode_header(&self.bytes).is_ok_and(|header| header.function == function)
    }
}

type Tape = Rc<RefCell<Vec<Seen>>>;

/// Makes a forgery of two datagrams that were on the network.
type Forge = fn(&Seen, &Seen, &mut StdRng) -> Vec<u8>;

/// Receivers beside the sender and behind two proxies, all of whom prove themselves.
fn figure(seed: u64) -> Figure {
    let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
    let figure = Figure::new(seed, reach, 1, &[2, 1], two_files(60_000));
    figure.with(five(true)).with(|f| {
        f.closed = true;
        (f.up, f.down) = (lossy(0.05), lossy(0.05));
    })
}

/// The network of a figure, whose datagrams are kept.
fn watched(figure: Figure) -> (Networks, Tape) {
    let mut networks = figure.stage();
    let tape = Tape::default();
    let writer = Rc::clone(&tape);
    networks.world.set_filter(move |p| {
        writer.borrow_mut().push(Seen {
            from: p.from,
            to: p.to,
            bytes: p.datagram.to_vec(),
        });
        Verdict::Pass
    });
    (networks, tape)
}

/// Until the sender closes the session, throws forgeries at whoever got one of the originals.
fn storm(world: &mut World, sender: NodeId, tape: Tape, mut rng: StdRng, forge: Forge) {
    let closing = |e: &SenderEvent| matches!(e, SenderEvent::Finishing | SenderEvent::Finished(_));
    if world.get::<SenderNode>(sender).events().any(closing) {
        return;
    }
    for _ in 0..rng.random_range(0..6) {
        let (one, other) = {
            let seen = tape.borrow();
            (
                seen.choose(&mut rng).cloned(),
                seen.choose(&mut rng).cloned(),
            )
        };
        let (Some(one), Some(other)) = (one, other) else {
            continue;
        };
        let bytes = forge(&one, &other, &mut rng);
        let from = world.addr(one.from);
        world.inject(one.to, from, Ecn::NotEct, &bytes);
    }
    let pause = Duration::from_micros(rng.random_range(0..2000));
    world.after(pause, move |world| storm(world, sender, tape, rng, forge));
}

fn stormy(seed: u64, forge: Forge) -> Networks {
    let (mut networks, tape) = watched(figure(seed));
    let (sender, rng) = (networks.sender, networks.world.rng(9));
    networks
        .world
        .after(ms(0), move |world| storm(world, sender, tape, rng, forge));
    // Answers that are repeated late make round trips look long: of 60 storms the longest took 2,131 s.
    networks.play(secs(20_000))
}

/// Whether forgeries of it are an attack on the session, and not on the words before it: whoever has
/// not joined a session refuses a forged ANNOUNCE aloud (see below), and looks into so many only.
fn covered(seen: &Seen) -> bool {
    !seen.is(Function::Announce)
}

/// One to three bits are not what they were.
fn bent(seen: &Seen, _: &Seen, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seen.bytes.clone();
    if !covered(seen) {
        return bytes;
    }
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8);
    }
    bytes
}

/// Something is missing at the end, or too much.
fn cut(seen: &Seen, _: &Seen, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seen.bytes.clone();
    if covered(seen) {
        bytes.resize(rng.random_range(0..bytes.len() + 20), rng.random());
    }
    bytes
}

/// The same once more, much later perhaps.
fn repeated(seen: &Seen, _: &Seen, _: &mut StdRng) -> Vec<u8> {
    seen.bytes.clone()
}

/// The header of one with the rest of another, or with its counter, or its author's name.
fn mixed(one: &Seen, other: &Seen, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = other.bytes.clone();
    if !covered(one) || !covered(other) {
        return one.bytes.clone();
    }
    let taken = match rng.random_range(0..4) {
        0 => 0..Header::LEN,
        1 => 0..Encrypted::HEAD_LEN,
        2 => Header::LEN..Header::LEN + 8,
        _ => 4..8,
    };
    match (bytes.get_mut(taken.clone()), one.bytes.get(taken)) {
        (Some(to), Some(from)) => to.copy_from_slice(from),
        _ => return one.bytes.clone(),
    }
    bytes
}

/// A packet that claims to be encrypted by somebody, under keys of nothing.
fn forged(seen: &Seen, _: &Seen, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seen.bytes.clone();
    if !covered(seen) || bytes.len() < Encrypted::HEAD_LEN + 16 {
        return bytes;
    }
    bytes[1] = 18;
    rng.fill_bytes(&mut bytes[Header::LEN..Header::LEN + 8]);
    let payload = (bytes.len() - Encrypted::HEAD_LEN) as u16;
    bytes[Header::LEN + 8..Header::LEN + 10].fill(0);
    bytes[Header::LEN + 10..Encrypted::HEAD_LEN].copy_from_slice(&payload.to_be_bytes());
    rng.fill_bytes(&mut bytes[Encrypted::HEAD_LEN..]);
    bytes
}

fn changes_nothing(forge: Forge) {
    seeds::each(30, |seed| {
        let networks = stormy(seed, forge);
        networks.assert_all_whole();
    });
}

#[test]
fn bent_packets_change_nothing() {
    changes_nothing(bent);
}

#[test]
fn packets_that_are_cut_or_lengthened_change_nothing() {
    changes_nothing(cut);
}

#[test]
fn packets_that_are_mixed_change_nothing() {
    changes_nothing(mixed);
}

#[test]
fn packets_without_keys_change_nothing() {
    changes_nothing(forged);
}

/// Everything encrypted counts once, at sender, proxies and receivers.
#[test]
fn repeated_packets_change_nothing_and_are_told_apart() {
    seeds::each(12, |seed| {
        let networks = stormy(seed, repeated);
        networks.assert_all_whole();
        for i in 0..networks.receivers.len() {
            let counters = networks.receiver(i).machine.counters();
            assert!(counters.refused(Refusal::Replayed) > 0, "receiver {i}");
        }
        let took = networks.world.elapsed();
        assert!(took < secs(60), "slowed down: {took:?}");
    });
}

/// Plays a session in which everybody hears forgeries in the place of the first announcements.
fn misled(seed: u64, forge: fn(&[u8], &mut StdRng) -> Vec<u8>) -> Networks {
    const FORGED: u32 = 3;
    let mut networks = figure(seed).stage();
    let mut rng = networks.world.rng(9);
    let mut heard: HashMap<NodeId, u32> = HashMap::new();
    let forged = Tape::default();
    let queue = Rc::clone(&forged);
    networks.world.set_filter(move |p| {
        let count = heard.entry(p.to).or_default();
        if !p.is(Function::Announce) || *count == FORGED {
            return Verdict::Pass;
        }
        *count += 1;
        queue.borrow_mut().push(Seen {
            from: p.from,
            to: p.to,
            bytes: forge(p.datagram, &mut rng),
        });
        Verdict::Drop
    });
    networks
        .world
        .after(ms(1), move |world| deliver(world, forged));
    let networks = networks.play(secs(600));
    let aborted = |e: &&SenderEvent| matches!(e, SenderEvent::ClientAborted { .. });
    assert_eq!(networks.sender().events().filter(aborted).count(), 0);
    networks
}

/// Hands over what was forged, as long as anything may be.
fn deliver(world: &mut World, forged: Tape) {
    for seen in forged.take() {
        let from = world.addr(seen.from);
        world.inject(seen.to, from, Ecn::NotEct, &seen.bytes);
    }
    if world.elapsed() < secs(10) {
        world.after(ms(1), move |world| deliver(world, forged));
    }
}

/// Whoever hears a forged ANNOUNCE first refuses it aloud, and nobody can tell such words from those
/// of an honest refusal. It may still come, and does when it hears the right one.
#[test]
fn forged_announcements_turn_nobody_away() {
    seeds::each(12, |seed| {
        let networks = misled(seed, |packet, rng| {
            let mut bytes = packet.to_vec();
            // Behind the header, so that it is of this session.
            let at = rng.random_range(Header::LEN + 2..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
            bytes
        });
        networks.assert_all_whole();
        let declined = |e: &&SenderEvent| matches!(e, SenderEvent::Declined { .. });
        assert!(networks.sender().events().filter(declined).count() > 0);
    });
}

/// Nobody here insists on encryption. Receivers join, and proxies carry, what is announced in the clear
/// in the sender's name; the sender has nobody in it, and takes them all in when they hear itself.
#[test]
fn who_was_announced_a_session_in_the_clear_joins_the_encrypted_one() {
    seeds::each(12, |seed| {
        let networks = misled(seed, |packet, _| {
            let header = wire::decode_header(packet).unwrap();
            let body = &packet[Header::LEN..];
            let message = wire::decode(header.version, Function::Announce, body);
            let Message::Announce(mut announce) = message.unwrap() else {
                panic!("another message");
            };
            announce.encryption = None;
            let mut bytes = vec![0; 2000];
            let plain = Message::Announce(announce);
            let len = wire::encode(&header, &plain, &mut bytes).unwrap();
            bytes.truncate(len);
            bytes
        });
        let mut tricked = 0;
        for i in 0..networks.receivers.len() {
            let node = networks.receiver(i);
            node.store.assert_holds(&two_files(60_000));
            let ends = node.ends();
            let changed_over = |reason: &EndReason| *reason == EndReason::Encrypted;
            let (last, before) = ends.split_last().unwrap();
            let whole = matches!(last, EndReason::Confirmed | EndReason::Unconfirmed);
            assert!(whole, "receiver {i}: {ends:?}");
            assert!(before.iter().all(changed_over), "receiver {i}: {ends:?}");
            tricked += before.len();
        }
        assert!(tricked > 0);
        // Beside a response proxy nothing stands between it and the sender.
        let changed = |kind: &ProxyEventKind| *kind == ProxyEventKind::Encrypted;
        let proxies = (0..2).filter(|k| networks.proxy(*k).kinds().any(changed));
        assert_eq!(proxies.count(), [0, 2][seed as usize % 2]);
        assert_eq!(networks.sender().outcome(), Some(Outcome::Success));
    });
}
