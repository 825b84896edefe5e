//! Congestion control: fair to TCP, quick to give way, slow to take.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use uftp_proto::tfmcc::throughput;
use uftp_proto::wire::Function;
use uftp_proto::{FileId, Uid};
use uftp_session::congestion::Limits;
use uftp_session::sender::{Outcome, Rate, SenderEvent};
use uftp_sim::reno::{RenoSender, SEGMENT, Shared};
use uftp_sim::scenario::{
    PUBLIC, add_sender, receiver_addr, receiver_node, receiver_uid, sender_config,
};
use uftp_sim::{
    Bottleneck, Loss, MemStore, NodeId, PathConfig, ReceiverNode, Scenario, SenderNode, Stage,
    World, seeds, source,
};

use super::{delayed, lossy, ms, secs};

/// Bytes of an IP packet that carries a full block of 1300 bytes.
const PACKET: f64 = 1360.0;

/// A bottleneck with its delay, one way.
#[derive(Clone, Copy)]
struct Neck {
    rate: u64,
    delay: Duration,
    queue: u64,
    mark: bool,
}

impl Neck {
    fn path(self) -> PathConfig {
        PathConfig {
            delay: self.delay,
            bottleneck: Some(Bottleneck {
                rate: self.rate,
                queue: self.queue,
                mark_above: self.mark.then_some(self.queue / 4),
            }),
            ..PathConfig::default()
        }
    }
}

/// A sender under congestion control and one receiver behind a bottleneck, with a TCP connection
/// through the same bottleneck from `tcp_starts` on.
struct Rivals {
    world: World,
    sender: NodeId,
    receiver: NodeId,
    tcp: NodeId,
}

impl Rivals {
    fn new(seed: u64, neck: Neck, tcp_starts: Duration) -> Self {
        let mut world = World::new(seed);
        let mut config = sender_config(0);
        config.rate = Rate::Tfmcc(Limits::default());
        config.min_clients = Some(1);
        let items = [source::file("endless", 4_000_000_000)];
        let sender = add_sender(&mut world, config, &items);
        let peer = SocketAddr::from((Ipv4Addr::new(10, 9, 0, 1), 50_000));
        let node = receiver_node(&world, 0, MemStore::default());
        let receiver = world.add(receiver_addr(0), Box::new(Shared::new(node, peer)));
        world.join(receiver, PUBLIC);
        world.set_paths(receiver, delayed(neck.delay), neck.path());
        let start = world.now() + tcp_starts;
        let tcp = world.add(peer, Box::new(RenoSender::new(receiver_addr(0), start)));
        Rivals {
            world,
            sender,
            receiver,
            tcp,
        }
    }

    /// The same without a competitor.
    fn alone(seed: u64, neck: Neck) -> Self {
        Rivals::new(seed, neck, secs(1_000_000))
    }

    /// The rate the sender last said it sends at.
    fn rate(&self) -> f64 {
        let sender = self.world.get::<SenderNode>(self.sender);
        let rate = |event: &SenderEvent| match event {
            SenderEvent::CongCtrlSent { rate, .. } => Some(*rate as f64),
            _ => None,
        };
        sender.events().rev().find_map(rate).unwrap_or_default()
    }

    /// Bytes of IP packets per second that get through in the next `time`: UFTP's and TCP's.
    fn measure(&mut self, time: Duration) -> (f64, f64) {
        let counts = |world: &World| {
            let host = world.get::<Shared<ReceiverNode>>(self.receiver);
            (host.others as f64, host.tcp.arrived as f64)
        };
        let before = counts(&self.world);
        self.world.run_for(time);
        let after = counts(&self.world);
        let seconds = time.as_secs_f64() / (PACKET / SEGMENT as f64);
        (
            (after.0 - before.0) / seconds,
            (after.1 - before.1) / seconds,
        )
    }
}

/// The table of `docs/congestion.md`.
#[test]
fn takes_a_fair_share_beside_tcp() {
    println!("| bottleneck kB/s | round trip ms | queue kB | UFTP | TCP | UFTP / TCP | used |");
    for (rate, delay, queue) in [
        (250_000, 20, 20_000),
        (1_000_000, 10, 20_000),
        (1_000_000, 25, 50_000),
        (1_000_000, 50, 100_000),
        (4_000_000, 25, 200_000),
        (10_000_000, 10, 200_000),
    ] {
        let neck = Neck {
            rate,
            delay: ms(delay),
            queue,
            mark: false,
        };
        let mut rivals = Rivals::new(seeds::one(1), neck, secs(4));
        rivals.measure(secs(20));
        let (ours, tcp) = rivals.measure(secs(100));
        let (ratio, used) = (ours / tcp, (ours + tcp) / rate as f64);
        println!(
            "| {} | {} | {} | {:.0} | {:.0} | {ratio:.2} | {:.0} % |",
            rate / 1000,
            2 * delay,
            queue / 1000,
            ours / 1000.0,
            tcp / 1000.0,
            used * 100.0
        );
        assert!((0.35..2.0).contains(&ratio), "{ratio}");
        assert!(used > 0.9, "{used}");
    }
}

const NECK: Neck = Neck {
    rate: 1_000_000,
    delay: Duration::from_millis(25),
    queue: 50_000,
    mark: false,
};

#[test]
fn slow_start_finds_the_bottleneck_and_hardly_overshoots() {
    let mut rivals = Rivals::alone(1, NECK);
    let mut last = 0.0;
    let mut fastest: f64 = 0.0;
    for _ in 0..200 {
        rivals.measure(ms(10));
        let rate = rivals.rate();
        // Twice what arrives, which lags by a round trip.
        assert!(rate <= (last * 2.2_f64).max(130_000.0), "{last} {rate}");
        last = rate;
        fastest = fastest.max(rate);
    }
    assert!(fastest > 1e6, "{fastest}");
    assert!(fastest < 2.2e6, "{fastest}");
    let found = rivals.measure(secs(60)).0;
    assert!(found > 0.85e6, "{found}");
}

#[test]
fn gives_way_to_tcp_and_takes_back_what_it_leaves() {
    let mut rivals = Rivals::new(1, NECK, secs(20));
    rivals.measure(secs(10));
    let before = rivals.measure(secs(10)).0;
    assert!(before > 0.85e6, "{before}");
    rivals.measure(secs(20));
    let (ours, tcp) = rivals.measure(secs(20));
    assert!(tcp > 0.3e6, "{ours} {tcp}");
    rivals.world.kill(rivals.tcp);
    rivals.measure(secs(20));
    let after = rivals.measure(secs(10)).0;
    assert!(after > 0.85e6, "{after}");
}

#[test]
fn a_bottleneck_that_narrows_is_obeyed_within_round_trips() {
    let mut rivals = Rivals::alone(1, NECK);
    rivals.measure(secs(20));
    assert!(rivals.rate() > 0.85e6);
    let narrow = Neck {
        rate: 250_000,
        queue: 12_500,
        ..NECK
    };
    rivals.world.down(rivals.receiver).config = narrow.path();
    // The queue of before lasts 200 ms. A round trip through a full new one takes 100 ms; the rate
    // halves within 4 to 8 of those with losses (RFC 5348), and must halve twice.
    let mut took = Duration::ZERO;
    while rivals.rate() > 250_000.0 {
        rivals.measure(ms(10));
        took += ms(10);
        assert!(took < ms(2 * 8 * 100 + 200), "{}", rivals.rate());
    }
    println!("obeyed after {took:?}");
    let (ours, _) = rivals.measure(secs(20));
    assert!(ours > 200_000.0, "{ours}");
    rivals.world.down(rivals.receiver).config = NECK.path();
    rivals.measure(secs(40));
    let rate = rivals.rate();
    assert!(rate > 600_000.0, "recovers: {rate}");
}

#[test]
fn random_loss_costs_what_it_costs_tcp() {
    for p in [0.005, 0.02, 0.08] {
        let mut rivals = Rivals::alone(
            1,
            Neck {
                rate: 100_000_000,
                queue: 1_000_000,
                ..NECK
            },
        );
        rivals.world.down(rivals.receiver).config.loss = Loss::Random(p);
        rivals.measure(secs(20));
        let (ours, _) = rivals.measure(secs(60));
        let want = throughput(PACKET, 0.05, p);
        println!("{p}: {ours:.0} for {want:.0}");
        assert!((0.6..1.7).contains(&(ours / want)), "{p}: {ours} {want}");
    }
}

#[test]
fn marks_do_instead_of_losses() {
    let mut rivals = Rivals::alone(1, Neck { mark: true, ..NECK });
    rivals.measure(secs(10));
    let dropped = rivals.world.down(rivals.receiver).overflowed;
    let (ours, _) = rivals.measure(secs(60));
    assert!(ours > 0.8e6, "{ours}");
    let later = rivals.world.down(rivals.receiver).overflowed;
    assert_eq!(later, dropped, "nothing is lost once the rate is found");
}

fn controlled(seed: u64, receivers: usize, files: u16, size: u64) -> Scenario {
    let items = (0..files).map(|i| source::file(&format!("f{i}"), size + u64::from(i)));
    let scenario = Scenario::new(seed, receivers, items);
    scenario.configure(|c| c.rate = Rate::Tfmcc(Limits::default()))
}

/// Feedback of one session, checked for what must hold always.
#[derive(Debug, Default)]
struct Feedback {
    rounds: u32,
    /// Reports of receivers that did not limit, by file.
    others: Vec<u32>,
    /// How often another receiver came to limit.
    changes: u32,
}

impl Feedback {
    fn of(stage: &Stage) -> Self {
        let mut all = Feedback::default();
        let mut done: Vec<Uid> = Vec::new();
        let mut file = FileId::SESSION;
        let mut round: Option<u16> = None;
        let mut clr = None;
        for event in stage.sender().events() {
            match event {
                SenderEvent::FileStarted { file: f, .. } => {
                    file = *f;
                    done.clear();
                    all.others.push(0);
                }
                SenderEvent::Completed {
                    client, file: f, ..
                } if *f == file => done.push(*client),
                SenderEvent::CongCtrlSent {
                    round: r, limiting, ..
                } => {
                    let ahead = round.map_or(1, |before| r.wrapping_sub(before));
                    assert!(ahead <= 1, "rounds count on: {round:?} {r}");
                    all.rounds += u32::from(ahead);
                    round = Some(*r);
                    if let Some(limiting) = limiting {
                        assert!(
                            !done.contains(limiting),
                            "{limiting} is through with {file:?}"
                        );
                        all.changes += u32::from(clr != Some(*limiting));
                        clr = Some(*limiting);
                    }
                }
                SenderEvent::RateReported { client, .. } if clr != Some(*client) => {
                    if let Some(others) = all.others.last_mut() {
                        *others += 1;
                    }
                }
                _ => {}
            }
        }
        all
    }
}

#[test]
fn everybody_reports_in_every_file_and_the_limiting_one_is_replaced() {
    seeds::each(6, |seed| {
        let mut stage = controlled(seed, 5, 3, 2_000_000).stage();
        for (i, id) in stage.receivers.clone().into_iter().enumerate() {
            let delay = ms(5 + 5 * i as u64);
            let down = PathConfig {
                delay,
                ..lossy(0.002 * i as f64)
            };
            stage.world.set_paths(id, delayed(delay), down);
        }
        let stage = stage.play(secs(600));
        stage.assert_all_whole();
        let feedback = Feedback::of(&stage);
        assert!(feedback.others.iter().all(|n| *n > 0), "{feedback:?}");
        assert!(feedback.changes >= 3, "{feedback:?}");
    });
}

#[test]
fn many_receivers_do_not_drown_the_sender() {
    let scenario = controlled(1, 200, 1, 3_000_000);
    let stage = scenario.paths(delayed(ms(20)), delayed(ms(20))).stage();
    let stage = stage.play(secs(600));
    stage.assert_all_whole();
    let feedback = Feedback::of(&stage);
    let reports: u32 = feedback.others.iter().sum();
    let mean = f64::from(reports) / f64::from(feedback.rounds);
    println!("{mean:.1} reports a round of 200 receivers");
    assert!(mean < 20.0, "{mean}");
}

#[test]
fn a_limiting_receiver_that_dies_is_forgotten() {
    let limits = Limits {
        max: Some(2_000_000),
        ..Limits::default()
    };
    let scenario = controlled(1, 3, 1, 10_000_000);
    let mut stage = scenario.configure(|c| c.rate = Rate::Tfmcc(limits)).stage();
    for (i, id) in stage.receivers.clone().into_iter().enumerate() {
        let delay = ms(if i == 0 { 40 } else { 10 });
        stage.world.set_paths(id, delayed(delay), delayed(delay));
    }
    let far = stage.receivers[0];
    stage.world.after(secs(1), move |world| world.kill(far));
    let stage = stage.play(secs(600));
    stage.assert_whole(1);
    stage.assert_whole(2);
    let mut limited = stage.sender().events().filter_map(|event| match event {
        SenderEvent::CongCtrlSent { limiting, .. } => *limiting,
        _ => None,
    });
    assert_eq!(limited.next(), Some(receiver_uid(0)));
    assert!(limited.any(|uid| uid != receiver_uid(0)));
    let took = stage.world.elapsed();
    assert!(took < secs(20), "{took:?}");
}

#[test]
fn when_nobody_answers_any_more_the_file_is_given_up() {
    let limits = Limits {
        max: Some(2_000_000),
        ..Limits::default()
    };
    let scenario = controlled(1, 2, 1, 500_000_000);
    let mut stage = scenario.configure(|c| c.rate = Rate::Tfmcc(limits)).stage();
    let receivers = stage.receivers.clone();
    stage.world.after(secs(2), move |world| {
        for id in receivers {
            world.kill(id);
        }
    });
    let stage = stage.play(secs(60));
    assert_eq!(stage.sender().outcome(), Some(Outcome::AllDropped));
    let took = stage.world.elapsed();
    assert!(took < secs(9), "{took:?}");
    let sent = stage.world.sent(stage.sender).of(Function::FileSeg);
    assert!(sent.datagrams > 1000);
}

#[test]
fn the_rate_stays_within_what_the_operator_allows() {
    let limits = Limits {
        max: Some(2_000_000),
        min: Some(500_000),
        init: Some(1_000_000),
    };
    let scenario = controlled(1, 2, 1, 8_000_000).configure(|c| c.rate = Rate::Tfmcc(limits));
    let stage = scenario.paths(delayed(ms(10)), delayed(ms(10))).stage();
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
    let mut rates = stage.sender().events().filter_map(|event| match event {
        SenderEvent::CongCtrlSent { rate, .. } => Some(*rate),
        _ => None,
    });
    assert_eq!(rates.next(), Some(1_000_000));
    assert!(rates.all(|rate| (500_000..=2_000_000).contains(&rate)));
    let took = stage.world.elapsed().as_secs_f64();
    assert!((4.0..6.5).contains(&took), "{took}");
}

#[test]
fn clean_paths_and_lossy_ones_deliver() {
    for loss in [0.0, 0.03] {
        let path = PathConfig {
            delay: ms(5),
            ..lossy(loss)
        };
        let stage = controlled(3, 4, 2, 1_500_000).paths(path, path).stage();
        stage.play(secs(600)).assert_all_whole();
    }
}
