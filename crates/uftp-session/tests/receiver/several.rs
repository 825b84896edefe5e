//! Several sessions at once, and senders that make no sense.

use std::net::IpAddr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uftp_proto::{GroupId, Instance, Uid};
use uftp_session::files::SessionEnd;
use uftp_session::receiver::{EndReason, ReceiverConfig, ReceiverEventKind as Kind};

use super::support::{Bench, ME, Script, config, g};

#[test]
fn two_sessions_share_a_group_and_nothing_else() {
    let mut bench = Bench::new();
    let mut one = Script::default();
    let mut two = Script {
        group: GroupId(2),
        addr: "10.66.0.2:4000".parse().unwrap(),
        ..Script::default()
    };
    for script in [&mut one, &mut two] {
        bench.hear(script, |s| s.announce(&[]));
        bench.hear(script, |s| s.reg_conf(&[ME]));
        script.next_file(script.addr.port() as usize / 10);
        bench.hear(script, |s| s.file_info(&[ME]));
    }
    let blocks = one.geometry().blocks();
    for block in 0..blocks {
        bench.hear(&mut one, |s| s.seg(block));
        if block < two.geometry().blocks() {
            bench.hear(&mut two, |s| s.seg(block));
        }
    }
    bench.sent.clear();
    bench.hear(&mut two, |s| s.done(&[ME]));
    assert_eq!(bench.sent[0].1, two.addr);
    bench.hear(&mut two, |s| s.group_done(&[ME]));
    bench.hear(&mut two, |s| s.done_conf(&[ME]));
    let name = b"file1".to_vec();
    assert_eq!(bench.store.look().files[&name], two.content);
    let joins_and_leaves = |kinds: Vec<Kind>| {
        let about_groups = |kind: &Kind| matches!(kind, Kind::Join(_) | Kind::Leave(_));
        kinds.into_iter().filter(about_groups).collect::<Vec<_>>()
    };
    let group = one.private;
    assert_eq!(joins_and_leaves(bench.happened()), [Kind::Join(group)]);
    bench.hear(&mut one, |s| s.done(&[ME]));
    bench.hear(&mut one, |s| s.group_done(&[ME]));
    bench.hear(&mut one, |s| s.done_conf(&[ME]));
    assert_eq!(bench.store.look().files[&name], one.content);
    assert_eq!(joins_and_leaves(bench.happened()), [Kind::Leave(group)]);
    assert!(bench.receiver.is_idle());
}

#[test]
fn a_new_instance_is_a_new_session() {
    let mut old = Script::default();
    let mut bench = Bench::receiving(&mut old, 100);
    let mut new = Script {
        instance: Instance(1),
        private: IpAddr::from([230, 5, 5, 99]),
        ..Script::default()
    };
    bench.hear(&mut new, |s| s.announce(&[]));
    bench.hear(&mut new, |s| s.reg_conf(&[ME]));
    new.next_file(10);
    bench.hear(&mut new, |s| s.file_info(&[ME]));
    bench.hear(&mut new, |s| s.seg(0));
    bench.hear(&mut new, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["REGISTER", "FILEINFO_ACK 1", "COMPLETE 1"]);
    // The old one dies of silence, the new one lives on.
    bench.pass(std::time::Duration::from_millis(500));
    bench.hear(&mut new, |s| s.announce(&[]));
    bench.pass(std::time::Duration::from_millis(500));
    assert_eq!(bench.said(), ["ABORT Transfer timed out"]);
    assert!(bench.happened().contains(&Kind::Leave(old.private)));
    assert!(!bench.receiver.is_idle());
}

#[test]
fn a_run_that_can_be_resumed_gives_way_to_the_next() {
    for (uid, gives_way) in [(Script::default().uid, true), (Uid(0xBAD), false)] {
        let mut old = Script::default();
        let mut bench = Bench::receiving(&mut old, 100);
        bench.store.change(|store| store.resumes = true);
        let mut new = Script {
            uid,
            instance: Instance(1),
            ..Script::default()
        };
        bench.hear(&mut new, |s| s.announce(&[]));
        // Nothing is said to the sender, which would take it for the end of the new run.
        assert_eq!(bench.said(), ["REGISTER"]);
        let over = Kind::Ended(EndReason::Superseded(Instance(1)));
        assert_eq!(bench.happened().contains(&over), gives_way);
        let ended: &[SessionEnd] = if gives_way {
            &[SessionEnd::BrokenOff]
        } else {
            &[]
        };
        assert_eq!(bench.store.look().ended, ended);
        assert_eq!(bench.store.look().discarded.len(), ended.len());
    }
}

#[test]
fn many_sessions_come_and_go() {
    let mut bench = Bench::with(ReceiverConfig {
        max_sessions: 50,
        ..config()
    });
    let mut scripts: Vec<_> = (1..=50)
        .map(|n| Script {
            group: GroupId(n),
            private: IpAddr::from([230, 5, 5, (n % 7) as u8]),
            ..Script::default()
        })
        .collect();
    for script in &mut scripts {
        bench.hear(script, |s| s.announce(&[]));
        bench.hear(script, |s| s.reg_conf(&[ME]));
    }
    // End them in an order that moves others about.
    let mut order: Vec<usize> = (0..50).map(|i| (i * 17) % 50).collect();
    while let Some(at) = order.pop() {
        let script = &mut scripts[at];
        bench.hear(script, |s| s.group_done(&[ME]));
        bench.hear(script, |s| s.done_conf(&[ME]));
        bench.pass(g());
    }
    assert!(bench.receiver.is_idle());
    assert_eq!(bench.store.look().ended, [SessionEnd::Complete; 50]);
    let happened = bench.happened();
    let count = |wanted: fn(&Kind) -> bool| happened.iter().filter(|kind| wanted(kind)).count();
    assert_eq!(count(|kind| matches!(kind, Kind::Join(_))), 7);
    assert_eq!(count(|kind| matches!(kind, Kind::Leave(_))), 7);
    assert_eq!(bench.receiver.counters().refused_in_all(), 0);
}

/// Real packets, damaged: the machine neither panics nor grows, and every datagram is accounted
/// for.
#[test]
fn damaged_packets() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut script = Script::default();
        let mut bench = Bench::new();
        let mut honest: Vec<Vec<u8>> = vec![script.announce(&[ME]), script.reg_conf(&[ME])];
        script.next_file(1005);
        honest.push(script.file_info(&[ME]));
        for block in 0..101 {
            honest.push(script.seg(block));
        }
        honest.push(script.done(&[ME]));
        honest.push(script.group_done(&[ME]));
        honest.push(script.done_conf(&[ME]));
        honest.push(script.abort(ME, false));
        for _ in 0..400 {
            let pick = rng.random_range(0..honest.len());
            let mut packet = honest[pick].clone();
            for _ in 0..rng.random_range(0..4) {
                let at = rng.random_range(0..packet.len());
                packet[at] = rng.random();
            }
            if rng.random_bool(0.1) {
                packet.truncate(rng.random_range(0..packet.len()));
            }
            bench.feed(script.addr, &mut packet);
            if rng.random_bool(0.2) {
                bench.pass(g() * rng.random_range(1..200));
            }
        }
        assert_eq!(bench.receiver.counters().received, 400, "seed {seed}");
        // Whatever was said can be read, and whatever was finished is whole.
        for (_, _, datagram) in &bench.sent {
            uftp_proto::wire::decode_header(datagram).unwrap();
        }
        bench.receiver.shutdown(bench.now);
        bench.drain();
        assert!(bench.receiver.is_idle(), "seed {seed}");
    }
}

/// What no session admits changes nothing at all.
#[test]
fn noise() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 100);
    let (deadline, events) = (bench.receiver.poll_timeout(), bench.events.len());
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..20_000 {
        let mut noise = vec![0; rng.random_range(0..200)];
        rng.fill(&mut noise[..]);
        if let Some(first) = noise.first_mut() {
            *first = 0x40;
        }
        bench.feed(script.addr, &mut noise);
    }
    let counters = bench.receiver.counters();
    assert_eq!(counters.refused_in_all(), 20_000);
    assert_eq!(bench.receiver.poll_timeout(), deadline);
    assert_eq!((bench.events.len(), bench.said().len()), (events, 0));
}
