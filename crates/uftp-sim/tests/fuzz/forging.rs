//! Datagrams that were on the network, and what can be made of them.

use std::cell::RefCell;
use std::rc::Rc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use uftp_proto::wire::{self, BlockRef, Function, Header, Message};
use uftp_proto::{FileId, GroupId, Instance, Uid};
use uftp_sim::{NodeId, Scenario, Verdict, World};

use crate::{items, lossy, secs};

/// A datagram that was on the network.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) bytes: Vec<u8>,
}

impl Seen {
    pub(crate) fn is(&self, function: Function) -> bool {
        wire::decode_header(&self.bytes).is_ok_and(|h| h.function == function)
    }
}

pub(crate) type Tape = Rc<RefCell<Vec<Seen>>>;

/// Keeps what goes over the network from now on.
pub(crate) fn record(world: &mut World) -> Tape {
    let tape = Tape::default();
    let writer = Rc::clone(&tape);
    world.set_filter(move |p| {
        writer.borrow_mut().push(Seen {
            from: p.from,
            to: p.to,
            bytes: p.datagram.to_vec(),
        });
        Verdict::Pass
    });
    tape
}

/// All datagrams of a whole session with losses.
pub(crate) fn recording(seed: u64) -> Vec<Seen> {
    let scenario = Scenario::new(seed, 3, items()).paths(lossy(0.1), lossy(0.1));
    let mut stage = scenario.stage();
    let tape = record(&mut stage.world);
    stage.play(secs(100)).assert_all_whole();
    tape.take()
}

/// Makes datagrams that must not matter out of `seen`, one that did.
pub(crate) fn harmless(seen: &Seen, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seen.bytes.clone();
    // A forged announcement opens a session, as it should.
    let announce = seen.is(Function::Announce);
    match rng.random_range(0..8) {
        0 => random_bytes(rng),
        1 => {
            bytes.truncate(rng.random_range(0..bytes.len()));
            bytes
        }
        2 if !announce => with_header(bytes, |h| h.group = GroupId(rng.next_u32())),
        3 if !announce => with_header(bytes, |h| h.instance = Instance(rng.random_range(1..=255))),
        4 if !announce => with_header(bytes, |h| h.src = Uid(rng.next_u32() | 0x8000_0000)),
        5 if !announce => {
            bytes[0] = rng.random();
            if bytes[0] == seen.bytes[0] {
                vec![]
            } else {
                bytes
            }
        }
        6 => {
            bytes[1] = *[0, 22, 23, 77, 128, 255].choose(rng).unwrap();
            bytes
        }
        _ => out_of_range(&bytes, rng).unwrap_or(bytes),
    }
}

pub(crate) fn random_bytes(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..200)];
    rng.fill_bytes(&mut bytes);
    if rng.random() && bytes.len() > 2 {
        bytes[0] = 0x40;
        bytes[1] = rng.random_range(2..22);
    }
    bytes
}

pub(crate) fn with_header(mut bytes: Vec<u8>, change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = wire::decode_header(&bytes).unwrap();
    let mut out = vec![0; bytes.len() + 64];
    let message = wire::decode(header.version, header.function, &bytes[Header::LEN..]).unwrap();
    change(&mut header);
    let len = wire::encode(&header, &message, &mut out).unwrap();
    out.truncate(len);
    std::mem::swap(&mut bytes, &mut out);
    bytes
}

/// The same message about a file, section or block that does not exist; `None` if it is about
/// none.
fn out_of_range(bytes: &[u8], rng: &mut StdRng) -> Option<Vec<u8>> {
    let header = wire::decode_header(bytes).ok()?;
    let mut message = wire::decode(header.version, header.function, &bytes[Header::LEN..]).ok()?;
    let nowhere = FileId(rng.random_range(1000..=u16::MAX));
    match &mut message {
        Message::FileSeg(m) if rng.random() => m.file = nowhere,
        Message::FileSeg(m) => {
            let section = if rng.random() {
                0
            } else {
                rng.random_range(1..=u16::MAX)
            };
            let block = rng.random_range(1000..=u16::MAX);
            m.at = BlockRef::InSection { section, block };
        }
        Message::Status(m) if rng.random() => m.file = nowhere,
        Message::Status(m) => m.section = rng.random_range(1..=u16::MAX),
        Message::FileInfoAck(m) => m.file = nowhere,
        Message::Complete(m) => m.file = nowhere,
        Message::Done(m) => m.file = nowhere,
        _ => return None,
    }
    let mut out = vec![0; bytes.len() + 64];
    let len = wire::encode(&header, &message, &mut out).ok()?;
    out.truncate(len);
    Some(out)
}

pub(crate) fn flipped(seen: &Seen, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seen.bytes.clone();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8);
    }
    if rng.random_bool(0.2) {
        bytes.truncate(rng.random_range(0..bytes.len()));
    }
    bytes
}
