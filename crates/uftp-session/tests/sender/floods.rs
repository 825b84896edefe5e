//! More datagrams than the sender has room for at its rate, in the names of those who take part.

use std::time::Duration;

use uftp_proto::wire::CompleteStatus;
use uftp_proto::{FileId, WireTime};
use uftp_session::sender::{Outcome, Rate};

use crate::lab::*;

/// A hundred and twenty packets a second.
const SLOW: Rate = Rate::Fixed(160_000);

/// So many datagrams, one every millisecond.
fn flood(lab: &mut Lab, count: u64, mut packet: impl FnMut(u64) -> Vec<u8>) {
    for n in 0..count {
        let from = lab.peers[0].addr;
        lab.post(Duration::from_millis(n), from, packet(n));
    }
}

/// What is told once is told to all who repeat themselves meanwhile.
#[test]
fn repetitions_do_not_hold_up_the_session() {
    let end = complete(FileId::SESSION, CompleteStatus::NORMAL);
    for message in [register(WireTime(0)), end] {
        let source = Memory::default().file("f", noise(5_000));
        let mut config = config(Some(&[1, 2]));
        config.rate = SLOW;
        let mut lab = Lab::new(config, source, vec![Peer::new(1), Peer::new(2)]);
        let mut forger = Peer::new(1);
        flood(&mut lab, 60_000, |_| forger.packet(&message));
        assert_eq!(lab.run(), Outcome::Success);
        let took = lab.now - lab.start;
        assert!(took < Duration::from_secs(20), "{message:?}: {took:?}");
    }
}

/// Those who have left and talk on are told so, and as many words wait at most as are said in a few
/// seconds.
#[test]
fn many_who_have_left_and_talk_on_are_told_within_limits() {
    const GONE: u32 = 2000;
    let everybody: Vec<_> = (1..=1 + GONE).collect();
    let source = Memory::default().file("f", noise(200_000));
    let mut config = config(Some(&everybody));
    config.rate = SLOW;
    let mut lab = Lab::new(config, source, vec![Peer::new(1)]);
    let mut gone: Vec<_> = (2..=1 + GONE).map(Peer::new).collect();
    for peer in &mut gone {
        let packet = peer.packet(&abort("gone"));
        lab.post(Duration::ZERO, peer.addr, packet);
    }
    flood(&mut lab, 60_000, |n| {
        gone[(n % u64::from(GONE)) as usize].packet(&register(WireTime(0)))
    });
    assert_eq!(lab.run(), Outcome::Success);
    let took = lab.now - lab.start;
    assert!(took < Duration::from_secs(10), "{took:?}");
    let told = lab.of("ABORT").len();
    assert!(told > 10, "{told}");
}
