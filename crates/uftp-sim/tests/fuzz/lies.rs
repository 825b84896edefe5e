//! Messages that say the most extreme things there are to say, in the names of those who take part, in
//! every protocol, through proxies and past them.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use uftp_proto::quant::{GroupSizeCode, RateCode, RttCode};
use uftp_proto::wire::{
    self, AnnounceFlags, BlockRef, CcFlags, CompleteStatus, FileType, Function, Header, Message,
    Pace, TfmccAckInfo, TfmccDataInfo, Version,
};
use uftp_proto::{Ecn, FileId, Instance, Seq, Uid, WireTime};
use uftp_session::congestion::Limits;
use uftp_session::sender::{Rate, SenderEvent};
use uftp_sim::proxies::{Networks, ProxyNode, Reach};
use uftp_sim::{Figure, NodeId, ReceiverNode, SenderNode, World, seeds};

use crate::forging::{Seen, Tape, record};
use crate::{items, lossy, ms, secs};

/// Lies are told in a second or two: whom they make slow may be in the session for hours.
const ROUNDS: u32 = 1000;

/// An edge of what a field can hold, or anything.
fn edge<T: Copy>(edges: &[T], any: T, rng: &mut StdRng) -> T {
    match rng.random_range(0..4) {
        0 => any,
        _ => edges.choose(rng).copied().unwrap_or(any),
    }
}

fn byte(rng: &mut StdRng) -> u8 {
    edge(&[0, 1, 127, 128, 254, 255], rng.random(), rng)
}

fn short(rng: &mut StdRng) -> u16 {
    edge(
        &[0, 1, 2, 0x7fff, 0x8000, 0xfffe, 0xffff],
        rng.random(),
        rng,
    )
}

fn long(rng: &mut StdRng) -> u64 {
    let edges = [
        0,
        1,
        u32::MAX.into(),
        1 << 62,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ];
    edge(&edges, rng.random(), rng)
}

fn stamp(now: WireTime, rng: &mut StdRng) -> WireTime {
    let near = now
        .0
        .wrapping_add(rng.random_range(0..2_000_000))
        .wrapping_sub(1_000_000);
    match rng.random() {
        true => WireTime(near),
        false => WireTime(long(rng)),
    }
}

fn list(clients: &mut Vec<Uid>, rng: &mut StdRng) {
    match rng.random_range(0..5) {
        0 => clients.clear(),
        1 => clients.push(Uid(rng.next_u32())),
        2 => clients.extend(clients.clone()),
        3 => *clients = (0..rng.random_range(1..300)).map(Uid).collect(),
        _ => {}
    }
}

fn report(info: &mut TfmccAckInfo, rng: &mut StdRng) {
    match rng.random_range(0..5) {
        0 => info.cc_rate = RateCode(short(rng)),
        1 => info.cc_seq = short(rng),
        2 => info.flags = CcFlags::from_bits_truncate(rng.random()),
        3 => info.echo = stamp(info.echo, rng),
        _ => info.client = Uid(rng.next_u32()),
    }
}

fn data_info(info: &mut TfmccDataInfo, rng: &mut StdRng) {
    match rng.random_range(0..3) {
        0 => info.send_rate = RateCode(short(rng)),
        1 => info.cc_rate = RateCode(short(rng)),
        _ => info.cc_seq = short(rng),
    }
}

fn name(rng: &mut StdRng) -> Vec<u8> {
    let names: [&[u8]; 8] = [
        b"",
        b"..",
        b"a/../../b",
        b"/etc/x",
        b"a\0b",
        b"\xff\xfe",
        b".",
        b"x/",
    ];
    match rng.random() {
        true => names.choose(rng).unwrap().to_vec(),
        false => vec![b'n'; rng.random_range(1..300)],
    }
}

fn pace(pace: &mut Pace, odd: bool, rng: &mut StdRng) {
    match pace {
        Pace::Adaptive { robust, .. } if odd => *robust = byte(rng),
        Pace::Adaptive { block_size, .. } => *block_size = short(rng),
        Pace::Fixed(pace) => match rng.random_range(0..4) {
            0 => pace.announce_interval = short(rng),
            1 => (pace.register_interval, pace.done_interval) = (short(rng), short(rng)),
            2 => (pace.announce_time, pace.status_time) = (byte(rng), byte(rng)),
            _ => pace.mtu = short(rng),
        },
    }
}

fn place(at: &mut BlockRef, rng: &mut StdRng) {
    match at {
        BlockRef::InSection { section, block } => match rng.random() {
            true => *section = short(rng),
            false => *block = short(rng),
        },
        BlockRef::InFile {
            pass,
            section,
            block,
        } => match rng.random_range(0..3) {
            0 => *pass = byte(rng),
            1 => *section = short(rng),
            _ => *block = long(rng) as u32,
        },
    }
}

/// Changes one thing the message says.
fn bend(message: &mut Message<'_>, rng: &mut StdRng) {
    let odd = rng.random();
    match message {
        Message::Announce(m) => match rng.random_range(0..4) {
            0 => m.flags = AnnounceFlags::from_bits_truncate(rng.random()),
            1 => m.timestamp = stamp(m.timestamp, rng),
            2 => list(&mut m.clients, rng),
            _ => pace(&mut m.pace, odd, rng),
        },
        Message::Register(m) => match odd {
            true => m.echo = stamp(m.echo, rng),
            false => list(&mut m.clients, rng),
        },
        Message::RegConf(m) => list(&mut m.clients, rng),
        Message::FileInfo(m) => match rng.random_range(0..8) {
            0 => m.file = FileId(short(rng)),
            1 => m.size = long(rng),
            2 => m.mtime = long(rng) as i64,
            3 => m.file_type = FileType(byte(rng)),
            4 => m.name = name(rng),
            5 => m.link = name(rng),
            6 => m.timestamp = stamp(m.timestamp, rng),
            _ => list(&mut m.clients, rng),
        },
        Message::FileInfoAck(m) => match rng.random_range(0..4) {
            0 => m.file = FileId(short(rng)),
            1 => m.partial = odd,
            2 => m.echo = stamp(m.echo, rng),
            _ => list(&mut m.clients, rng),
        },
        Message::FileSeg(m) => match (&mut m.at, &mut m.tfmcc) {
            (_, Some(info)) if odd => data_info(info, rng),
            (at, _) => place(at, rng),
        },
        Message::Done(m) => match rng.random_range(0..4) {
            0 => m.file = FileId(short(rng)),
            1 => m.pass = byte(rng),
            2 => m.section = short(rng),
            _ => list(&mut m.clients, rng),
        },
        Message::Status(m) => match &mut m.tfmcc {
            Some(info) if odd => report(info, rng),
            _ => match rng.random_range(0..4) {
                0 => m.file = FileId(short(rng)),
                1 => m.section = short(rng),
                2 => m.pass = byte(rng),
                _ => m.proxy_seq = byte(rng),
            },
        },
        Message::PrStatus(m) => match rng.random_range(0..4) {
            0 => m.pass = byte(rng),
            1 => m.section = short(rng),
            2 => m.proxy_seq = byte(rng),
            _ => list(&mut m.clients, rng),
        },
        Message::Complete(m) => match rng.random_range(0..4) {
            0 => m.file = FileId(short(rng)),
            1 => m.status = CompleteStatus(byte(rng)),
            2 => m.free_space = Some(long(rng)),
            _ => list(&mut m.clients, rng),
        },
        Message::DoneConf(m) => list(&mut m.clients, rng),
        Message::CongCtrl(m) => match rng.random_range(0..4) {
            0 => m.cc_rate = RateCode(short(rng)),
            1 => m.cc_seq = short(rng),
            2 => m.timestamp = stamp(m.timestamp, rng),
            _ => m.items.iter_mut().for_each(|item| {
                item.rtt = RttCode(byte(rng));
                item.flags = CcFlags::from_bits_truncate(rng.random());
            }),
        },
        Message::CcAck(m) => report(&mut m.info, rng),
        Message::Abort(m) => match rng.random_range(0..3) {
            0 => m.host = Uid(rng.next_u32()),
            1 => m.current_file = odd,
            _ => m.reason = String::from_utf8_lossy(&name(rng)).replace('\0', "?"),
        },
        _ => {}
    }
}

/// The message with something else in it, or `None` if it cannot be said.
fn lie(seen: &Seen, rng: &mut StdRng) -> Option<Vec<u8>> {
    let mut header = wire::decode_header(&seen.bytes).ok()?;
    let body = seen.bytes.get(Header::LEN..)?;
    let mut message = wire::decode(header.version, header.function, body).ok()?;
    // What ends a session for all is no feat.
    if header.function == Function::Abort && rng.random_bool(0.9) {
        return None;
    }
    match rng.random_range(0..12) {
        0 => header.grtt = RttCode(byte(rng)),
        1 => header.group_size = GroupSizeCode(byte(rng)),
        2 => header.seq = Seq(short(rng)),
        3 => header.instance = Instance(byte(rng)),
        _ => {}
    }
    for _ in 0..rng.random_range(1..3) {
        bend(&mut message, rng);
    }
    let mut out = vec![0; 70_000];
    let len = wire::encode(&header, &message, &mut out).ok()?;
    out.truncate(len);
    Some(out)
}

/// Until the sender closes the session, tells lies to those who were told the truth, `rounds` times at
/// most.
fn storm(world: &mut World, sender: NodeId, tape: Tape, mut rng: StdRng, rounds: u32) {
    let closing = |e: &SenderEvent| matches!(e, SenderEvent::Finishing | SenderEvent::Finished(_));
    if rounds == 0 || world.get::<SenderNode>(sender).events().any(closing) {
        return;
    }
    for _ in 0..rng.random_range(0..8) {
        let seen = tape.borrow().choose(&mut rng).cloned();
        let Some(seen) = seen else { continue };
        if let Some(bytes) = lie(&seen, &mut rng) {
            let from = world.addr(seen.from);
            world.inject(seen.to, from, Ecn::NotEct, &bytes);
        }
    }
    let pause = Duration::from_micros(rng.random_range(0..3000));
    world.after(pause, move |world| {
        storm(world, sender, tape, rng, rounds - 1)
    });
}

fn stormy(seed: u64, version: Version) -> Networks {
    let reaches = [Reach::Tunnel, Reach::Response, Reach::Nested];
    let reach = reaches[seed as usize % 3];
    let figure = Figure::new(seed, reach, 1, &[2, 1], items()).with(|f| {
        f.closed = seed % 6 < 3;
        f.config.version = version;
        (f.up, f.down) = (lossy(0.05), lossy(0.05));
        if version != Version::V3 && seed % 4 < 2 {
            f.config.rate = Rate::Tfmcc(Limits::default());
        }
    });
    let mut networks = figure.stage();
    let tape = record(&mut networks.world);
    let (sender, rng) = (networks.sender, networks.world.rng(9));
    networks
        .world
        .after(ms(0), move |world| storm(world, sender, tape, rng, ROUNDS));
    networks
}

/// They may cost a receiver its session. They break no machine and no rule of the disk, keep nobody
/// busy, and some time all is over.
fn survive_lies(version: Version) {
    seeds::each(12, |seed| {
        let networks = stormy(seed, version).play(secs(100_000));
        assert!(networks.sender().machine.is_finished());
        let proxies = [
            &networks.proxies,
            &networks.server_proxies,
            &networks.uppers,
        ];
        for id in proxies.into_iter().flatten() {
            assert!(networks.world.get::<ProxyNode>(*id).machine.is_idle());
        }
        for id in &networks.receivers {
            let node: &ReceiverNode = networks.world.get(*id);
            assert!(node.machine.is_idle());
            node.store.assert_lawful();
        }
    });
}

#[test]
fn lies_in_protocol_3_break_no_machine() {
    survive_lies(Version::V3);
}

#[test]
fn lies_in_protocol_4_break_no_machine() {
    survive_lies(Version::V4);
}

#[test]
fn lies_in_protocol_5_break_no_machine() {
    survive_lies(Version::V5);
}
