//! Anything at random, all from the seed: what must hold whatever happens.

use rand::RngExt;
use rand::rngs::StdRng;
use uftp_proto::FileId;
use uftp_session::congestion::Limits;
use uftp_session::files::SendItem;
use uftp_session::sender::{FileOutcome, GrttBounds, Rate};
use uftp_sim::scenario::{receiver_addr, receiver_uid};
use uftp_sim::{
    Bottleneck, Loss, NodeId, PathConfig, ReceiverNode, Scenario, SenderNode, Stage, World, seeds,
    source,
};

use super::{ms, secs};

fn items(rng: &mut StdRng) -> Vec<SendItem> {
    let count = rng.random_range(1..=6);
    let item = |i| match rng.random_range(0..10) {
        0 => source::directory(&format!("dir{i}")),
        1 => source::link(&format!("link{i}"), "target"),
        2 => source::file(&format!("empty{i}"), 0),
        _ => {
            let size = 1u64 << rng.random_range(0..18);
            source::file(&format!("file{i}"), size + rng.random_range(0..=size))
        }
    };
    (0..count).map(item).collect()
}

fn path(rng: &mut StdRng) -> PathConfig {
    PathConfig {
        loss: match rng.random_range(0..4) {
            0 => Loss::None,
            1 => Loss::Bursty {
                good_for: ms(rng.random_range(150..500)),
                bad_for: ms(rng.random_range(1..20)),
                good: 0.0,
                bad: rng.random_range(0.3..1.0),
            },
            _ => Loss::Random(rng.random_range(0.0..0.1)),
        },
        delay: match rng.random_range(0..3) {
            0 => ms(0),
            1 => ms(rng.random_range(0..10)),
            _ => ms(rng.random_range(0..200)),
        },
        jitter: match rng.random_range(0..3) {
            0 => ms(rng.random_range(0..30)),
            _ => ms(0),
        },
        duplicate: match rng.random_range(0..4) {
            0 => rng.random_range(0.0..0.5),
            _ => 0.0,
        },
        bottleneck: match rng.random_range(0..6) {
            0 => Some(Bottleneck {
                rate: rng.random_range(500_000..20_000_000),
                queue: rng.random_range(10_000..500_000),
                mark_above: None,
            }),
            _ => None,
        },
    }
}

/// A stage whose receivers all live at different places.
fn stage(seed: u64) -> (Stage, StdRng) {
    let mut rng = World::new(seed).rng(1);
    let receivers = rng.random_range(1..=12);
    let mut scenario = Scenario::new(seed, receivers, items(&mut rng));
    scenario.closed = rng.random();
    let config = &mut scenario.config;
    config.block_size = [64, 100, 512, 1300, 1472, 8800][rng.random_range(0..6)];
    config.robust = rng.random_range(20..=30);
    config.rate = match rng.random_range(0..5) {
        0 => Rate::SelfClocked,
        4 => Rate::Tfmcc(Limits::default()),
        1 => Rate::Fixed(rng.random_range(50_000..500_000)),
        _ => Rate::Fixed(rng.random_range(500_000..50_000_000)),
    };
    if rng.random_bool(0.3) {
        let initial = ms(rng.random_range(20..1500));
        config.grtt = GrttBounds {
            initial,
            ..GrttBounds::default()
        };
    }
    if receivers == 1 && rng.random() {
        (config.public, config.private) = (receiver_addr(0), receiver_addr(0));
    }
    let mut stage = scenario.stage();
    for id in stage.receivers.clone() {
        let (up, down) = (path(&mut rng), path(&mut rng));
        stage.world.set_paths(id, up, down);
    }
    (stage, rng)
}

#[test]
fn whatever_the_network_everybody_gets_everything() {
    seeds::each(200, |seed| {
        stage(seed).0.play(secs(2000)).assert_all_whole()
    });
}

/// Something bad happens to a random node at a random time.
fn mishap(world: &mut World, sender: NodeId, receivers: &[NodeId], rng: &mut StdRng) {
    let id = receivers[rng.random_range(0..receivers.len())];
    let at = ms(rng.random_range(0..4000));
    match rng.random_range(0..6) {
        0 => world.after(at, move |world| world.kill(id)),
        1 => {
            let time = ms(rng.random_range(10..6000));
            world.after(at, move |world| {
                world.cut_off(&[id]);
                world.after(time, World::heal);
            });
        }
        2 => world.after(at, move |world| {
            if world.is_alive(id) {
                world.with(id, |r: &mut ReceiverNode, now| r.machine.shutdown(now));
            }
        }),
        3 => world.after(at, move |world| {
            world.up(id).config.loss = Loss::Random(1.0)
        }),
        4 => world.after(at, move |world| {
            world.down(id).config.loss = Loss::Random(0.7)
        }),
        _ if rng.random_bool(0.3) => world.after(at, move |world| {
            world.with(sender, |s: &mut SenderNode, now| s.machine.stop(now));
        }),
        _ => {}
    }
}

/// Whatever goes wrong: it ends, nothing wrong is stored, and "completed" means stored.
#[test]
fn whatever_goes_wrong_it_ends_and_nobody_lies() {
    seeds::each(300, |seed| {
        let (mut stage, mut rng) = stage(seed);
        let (sender, receivers) = (stage.sender, stage.receivers.clone());
        for _ in 0..rng.random_range(1..4) {
            mishap(&mut stage.world, sender, &receivers, &mut rng);
        }
        let stage = stage.play(secs(5000));
        for (i, node) in stage.receiver_nodes().enumerate() {
            let seen = node.store.look();
            assert_eq!(seen.violations, [""; 0]);
            assert_eq!(seen.rewritten, 0);
            if stage.world.is_alive(stage.receivers[i]) {
                node.store.assert_sound(&stage.items);
                assert_eq!(seen.sessions, 0);
            }
            for (number, item) in stage.items.iter().enumerate() {
                let file = FileId(number as u16 + 1);
                let verdict = stage.sender().verdict(file, receiver_uid(i));
                let stored = seen.stored.iter().any(|s| s.name == item.name);
                if let Some(FileOutcome::Completed(_)) = verdict {
                    assert!(stored, "{file:?} is not at receiver {i}");
                }
            }
        }
    });
}
