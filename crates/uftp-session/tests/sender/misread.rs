//! Congestion control through a proxy of 4.10.2 or 5.0.1, which takes the reports before the bitmaps of its
//! clients for part of them (behaviour-proxies §14.2).

use uftp_proto::quant::RateCode;
use uftp_proto::wire::{
    self, BlockRef, CcAck, CcFlags, FileInfoAck, Message, Register, Status, TfmccAckInfo, Version,
};
use uftp_proto::{FileId, Uid, WireTime};
use uftp_session::congestion::Limits;
use uftp_session::sender::{ClientEntry, Rate};

use crate::lab::*;

const PROXY: u32 = 100;
const CLIENTS: [Uid; 2] = [Uid(1), Uid(2)];
const BLOCK: u16 = 512;

fn report(client: Uid) -> TfmccAckInfo {
    TfmccAckInfo {
        flags: CcFlags::RTT,
        cc_seq: 7,
        cc_rate: RateCode::from_rate(1_000_000),
        client,
        echo: WireTime(1_700_000_000_000_000),
    }
}

/// What such a proxy makes of what its clients miss, each these blocks of a section of so many.
fn added_up(missing: &[(Uid, &[u32])], blocks: u32) -> Vec<u8> {
    let mut sum = vec![0; BLOCK.into()];
    for (client, blocks_missing) in missing {
        let mut naks = vec![0; blocks as usize / 8 + 1];
        for block in *blocks_missing {
            naks[*block as usize / 8] |= 1 << (block % 8);
        }
        let Message::Status(plain) = status(FileId(1), 0, &naks) else {
            unreachable!()
        };
        let message = Message::Status(Status {
            tfmcc: Some(report(*client)),
            ..plain
        });
        let mut bytes = vec![0; 9000];
        let len = wire::encode_message(Version::V4, &message, &mut bytes).unwrap();
        let behind_the_fixed_header = &bytes[8..len];
        for (to, from) in sum.iter_mut().zip(behind_the_fixed_header) {
            *to |= from;
        }
    }
    sum
}

/// The blocks sent in a second pass over a file of so many, when the proxy has reported this in the name of
/// the proxy or, with `alone`, of a receiver of that id.
fn repaired(blocks: u32, naks: &[u8], rate: Rate, alone: Option<u32>) -> Vec<u32> {
    let mut config = config(Some(&[1, 2]));
    (config.block_size, config.rate) = (BLOCK, rate);
    let entry = match alone {
        None => ClientEntry::proxy(Uid(PROXY)),
        Some(uid) => ClientEntry::receiver(Uid(uid)),
    };
    config.clients.as_mut().unwrap().push(entry);
    let source = Memory::default().file("f", noise(blocks as usize * usize::from(BLOCK)));
    let mut peers = vec![Peer::new(PROXY).speaking(|_| false)];
    if let Some(uid) = alone {
        peers = vec![
            Peer::new(uid).speaking(|m| !matches!(m, Message::Status(_) | Message::Complete(_))),
        ];
        peers.extend([1, 2].map(Peer::new));
    }
    let mut lab = Lab::new(config, source, peers);
    lab.run_until(|lab| !lab.of("ANNOUNCE").is_empty());
    let echo = lab.stamp();
    if alone.is_none() {
        let register = Register {
            echo,
            random: [0; 32],
            key: Vec::new(),
            clients: CLIENTS.to_vec(),
        };
        lab.say(0, &Message::Register(register));
        lab.run_until(|lab| !lab.of("FILEINFO(1)").is_empty());
        let ack = FileInfoAck {
            file: FileId(1),
            partial: false,
            echo: lab.stamp(),
            clients: CLIENTS.to_vec(),
        };
        lab.say(0, &Message::FileInfoAck(ack));
    }
    lab.run_until(|lab| !lab.of("FILESEG").is_empty());
    // Slow start is over, so that the rate stays what the reports say.
    let info = report(alone.map_or(CLIENTS[0], Uid));
    lab.say(0, &Message::CcAck(CcAck { info }));
    lab.run_until(|lab| !lab.of("DONE(1)").is_empty());
    let before = lab.of("FILESEG").len();
    lab.say(0, &status(FileId(1), 0, naks));
    let last = |lab: &Lab, word: &str| {
        let is = |p: &Packet| p.word().starts_with(word);
        lab.packets.iter().rposition(is)
    };
    lab.run_until(|lab| {
        lab.of("FILESEG").len() > before && last(lab, "DONE(1)") > last(lab, "FILESEG")
    });
    let sent = lab.of("FILESEG").split_off(before);
    let block = |p: &&Packet| match p.message() {
        Message::FileSeg(m) => match m.at {
            BlockRef::InSection { block, .. } => u32::from(block),
            BlockRef::InFile { .. } => panic!("block of protocol 3"),
        },
        other => panic!("{other:?}"),
    };
    sent.iter().map(block).collect()
}

fn controlled() -> Rate {
    Rate::Tfmcc(Limits {
        init: Some(1_000_000),
        min: Some(1_000_000),
        ..Limits::default()
    })
}

#[test]
fn what_is_missing_is_sent_again() {
    let both: &[(Uid, &[u32])] = &[(CLIENTS[0], &[2, 150]), (CLIENTS[1], &[7, 199])];
    let one: &[(Uid, &[u32])] = &[(CLIENTS[1], &[0, 1, 160])];
    for (missing, expected) in [(both, vec![2, 7, 150, 199]), (one, vec![0, 1, 160])] {
        let naks = added_up(missing, 200);
        assert_eq!(repaired(200, &naks, controlled(), None), expected);
    }
}

/// Of the largest sections the last 160 blocks are beyond what such a proxy adds up.
#[test]
fn what_nobody_can_have_said_counts_as_missing() {
    let largest = 8 * u32::from(BLOCK) - 1;
    let naks = added_up(&[(CLIENTS[0], &[5, largest - 3])], largest);
    let expected: Vec<_> = [5].into_iter().chain(largest - 159..largest).collect();
    assert_eq!(repaired(largest, &naks, controlled(), None), expected);
}

/// Nobody else's bitmap is taken for one that was misread.
#[test]
fn a_bitmap_is_what_it_says() {
    let bits = |naks: &[u8]| -> Vec<u32> {
        let set = |i: &u32| naks[*i as usize / 8] & 1 << (i % 8) != 0;
        (0..200).filter(set).collect()
    };
    let missing: &[(Uid, &[u32])] = &[(CLIENTS[0], &[9])];
    let sum = added_up(missing, 200);
    let named = |at: usize, value: u8| {
        let mut other = sum.clone();
        other[at] = value;
        other
    };
    // Without congestion control, and of a receiver.
    let fixed = Rate::Fixed(1_000_000);
    assert_eq!(repaired(200, &sum, fixed, None), bits(&sum));
    assert_eq!(repaired(200, &sum, controlled(), Some(3)), bits(&sum));
    // Not as long as a block; another kind, length or flag; somebody who is not behind the proxy; nobody.
    let others = [
        sum[..BLOCK as usize - 1].to_vec(),
        named(0, 7),
        named(1, 4),
        named(2, 0x10),
        named(3, 1),
        named(11, 5),
        named(11, 0),
    ];
    for other in others {
        let sent = repaired(200, &other, controlled(), None);
        assert_eq!(sent, bits(&other), "{:?}", &other[..12]);
    }
}
