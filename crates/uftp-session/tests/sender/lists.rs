//! Lists of receivers that do not fit one datagram.

use std::collections::BTreeSet;

use uftp_proto::wire::{Header, Message};
use uftp_session::sender::{Outcome, Rate};

use crate::lab::*;

fn ids(packet: &Packet) -> Vec<u32> {
    let ids = match packet.message() {
        Message::Announce(m) => m.clients,
        Message::RegConf(m) => m.clients,
        Message::FileInfo(m) => m.clients,
        Message::Done(m) => m.clients,
        Message::DoneConf(m) => m.clients,
        other => panic!("{other:?}"),
    };
    ids.into_iter().map(|u| u.0).collect()
}

#[test]
fn three_hundred_ids_take_three_datagrams_in_list_order() {
    let uids: Vec<u32> = (1001..1301).rev().collect();
    let mut config = config(Some(&uids));
    config.block_size = 512;
    let peers = uids.iter().map(|&uid| Peer::new(uid)).collect();
    let source = Memory::default().file("a file with quite a name", noise(5000));
    let mut lab = Lab::new(config, source, peers);
    assert_eq!(lab.run(), Outcome::Success);
    for kind in [
        "ANNOUNCE",
        "REG_CONF",
        "FILEINFO(1)",
        "DONE(1)",
        "DONE(0)",
        "DONE_CONF",
    ] {
        let packets = lab.of(kind);
        let listed: Vec<Vec<u32>> = packets.iter().map(|p| ids(p)).collect();
        assert!(
            listed[0].len() <= 128 && listed[0].len() > 100,
            "{kind}: {listed:?}"
        );
        for packet in &packets {
            assert!(packet.bytes.len() <= 512 + 28 + Header::LEN, "{kind}");
        }
        // Replies arrive while a list goes out, so later parts and repetitions may be shorter.
        let all: BTreeSet<u32> = listed.iter().flatten().copied().collect();
        assert_eq!(all.len(), 300, "{kind}");
    }
    let announced: Vec<u32> = lab.of("ANNOUNCE").iter().flat_map(|p| ids(p)).collect();
    assert_eq!(announced, uids);
    assert_eq!(lab.of("ANNOUNCE").len(), 3);
    assert!(
        lab.peers
            .iter()
            .all(|p| p.done_conf && p.complete.len() == 1)
    );
}

#[test]
fn who_has_answered_meanwhile_is_not_listed() {
    let uids: Vec<u32> = (1..=2000).collect();
    let mut config = config(Some(&uids));
    // Seven datagrams, 10 ms apart; everybody answers within 1 ms.
    config.rate = Rate::Fixed(135_200);
    let peers = uids.iter().map(|&uid| Peer::new(uid)).collect();
    let source = Memory::default().file("f", noise(5000));
    let mut lab = Lab::new(config, source, peers);
    assert_eq!(lab.run(), Outcome::Success);
    let mut seen = BTreeSet::new();
    for packet in lab.of("FILEINFO") {
        assert!(
            ids(packet).into_iter().all(|id| seen.insert(id)),
            "listed again"
        );
    }
    assert_eq!(seen.len(), 2000);
}

#[test]
fn a_long_name_leaves_room_for_some_ids() {
    let uids: Vec<u32> = (1..=40).collect();
    let mut config = config(Some(&uids));
    config.block_size = 512;
    let peers = uids.iter().map(|&uid| Peer::new(uid)).collect();
    let name = "n".repeat(299);
    let source = Memory::default().other(&name, uftp_proto::wire::FileType::SYMLINK, &name);
    let mut lab = Lab::new(config, source, peers);
    assert_eq!(lab.run(), Outcome::Success);
    let parts: Vec<usize> = lab.of("FILEINFO").iter().map(|p| ids(p).len()).collect();
    assert_eq!(parts, [16, 16, 8]);
}
