//! How fast, and what it costs: fixed rates, bottlenecks, self-clocking.

use std::time::Duration;

use uftp_proto::wire::Function;
use uftp_session::sender::Rate;
use uftp_sim::scenario::{add_receiver, receiver_entry};
use uftp_sim::store::Kept;
use uftp_sim::{Bottleneck, MemStore, PathConfig, Scenario, Stage, seeds, source};

use super::{delayed, lossy, ms, secs};

/// Bytes of an IP packet that carries a full block of 1300 bytes.
const PACKET: f64 = 1352.0;

fn neck(rate: u64, queue: u64) -> PathConfig {
    PathConfig {
        delay: Duration::from_micros(50),
        bottleneck: Some(Bottleneck {
            rate,
            queue,
            mark_above: None,
        }),
        ..PathConfig::default()
    }
}

fn self_clocked(receivers: usize, size: u64) -> Scenario {
    let scenario = Scenario::new(1, receivers, [source::file("f", size)]);
    scenario.configure(|c| c.rate = Rate::SelfClocked)
}

/// Prints and returns goodput in bytes per second, and blocks sent for each there is.
fn measure(name: &str, stage: &Stage) -> (f64, f64) {
    let size: u64 = stage.items.iter().map(|i| i.size).sum();
    let goodput = size as f64 / stage.world.elapsed().as_secs_f64();
    let ratio = stage.blocks_sent_ratio();
    println!(
        "{name}: {:.1} MB/s, {ratio:.3} sent for each",
        goodput / 1e6
    );
    (goodput, ratio)
}

#[test]
fn fixed_rate_is_kept_exactly() {
    for rate in [50_000, 1_000_000, 20_000_000] {
        let blocks = rate / 1000;
        let scenario = Scenario::new(1, 2, [source::file("f", blocks * 1300)]);
        let stage = scenario.configure(|c| c.rate = Rate::Fixed(rate)).stage();
        let stage = stage.play(secs(60));
        stage.assert_all_whole();
        let least = blocks as f64 * PACKET / rate as f64;
        let took = stage.world.elapsed().as_secs_f64();
        assert!(
            (least..least + 0.3).contains(&took),
            "{rate}: {took} s for {least}"
        );
    }
}

#[test]
fn self_clocked_fills_a_link_and_does_not_flood_it() {
    for queue in [64_000, 256_000, 1_000_000] {
        let mut stage = self_clocked(1, 40_000_000).stage();
        stage.world.down(stage.receivers[0]).config = neck(100_000_000, queue);
        let stage = stage.play(secs(60));
        stage.assert_all_whole();
        let (goodput, ratio) = measure(&format!("queue of {queue}"), &stage);
        assert!(goodput > 60e6, "{goodput}");
        assert!(ratio < 1.25, "{ratio}");
    }
}

#[test]
fn self_clocked_does_not_flood_a_long_way() {
    for (rate, queue, delay) in [
        (2_000_000, 500_000, 300),
        (10_000_000, 1_000_000, 300),
        (100_000_000, 4_000_000, 40),
    ] {
        let size = rate * 10;
        let mut stage = self_clocked(2, size).stage();
        for id in stage.receivers.clone() {
            stage.world.down(id).config = PathConfig {
                delay: ms(delay),
                ..neck(rate, queue)
            };
            stage.world.up(id).config.delay = ms(delay);
        }
        let stage = stage.play(secs(200));
        stage.assert_all_whole();
        let (goodput, ratio) = measure(&format!("{delay} ms there"), &stage);
        assert!(goodput > 0.4 * rate as f64, "{goodput}");
        assert!(ratio < 2.0, "{ratio}");
    }
}

/// Goodput to a receiver behind a bottleneck, who has nothing of the file, and to one who resumes it with
/// these blocks; datagrams take so long to and from each.
fn with_one_resumed(kept: Kept, delays: [Duration; 2]) -> f64 {
    let clients = (0..2).map(receiver_entry).collect();
    let scenario = self_clocked(1, 200_000_000).configure(|c| c.clients = Some(clients));
    let mut stage = scenario.stage();
    let store = MemStore::with_kept(kept);
    let resumed = add_receiver(&mut stage.world, 1, store);
    stage.receivers.push(resumed);
    for (i, delay) in delays.into_iter().enumerate() {
        let id = stage.receivers[i];
        stage.world.set_paths(id, delayed(delay), delayed(delay));
    }
    stage.world.down(stage.receivers[0]).config = PathConfig {
        delay: delays[0],
        ..neck(10_000_000, 1_000_000)
    };
    let stage = stage.play(secs(100));
    stage.assert_all_whole();
    let (goodput, ratio) = measure(&format!("one of two resumed, {delays:?} away"), &stage);
    assert!(ratio < 1.25, "{ratio}");
    goodput
}

/// Data under way to a receiver who resumes a file are not lost because blocks behind them are there
/// from before: what it has changes nothing.
#[test]
fn self_clocked_is_not_misled_by_what_a_resumed_receiver_had() {
    for delays in [[ms(300), ms(300)], [ms(1), ms(100)]] {
        let nothing = with_one_resumed(|_| false, delays);
        let half = with_one_resumed(|block| block % 2 == 0, delays);
        let most = with_one_resumed(|block| block % 4 != 0, delays);
        for goodput in [half, most] {
            assert!(goodput > 0.95 * nothing, "{goodput} instead of {nothing}");
        }
    }
}

/// A neck with little jitter, so that seeds differ.
fn shaky_neck(rate: u64, queue: u64) -> PathConfig {
    PathConfig {
        jitter: Duration::from_micros(20),
        ..neck(rate, queue)
    }
}

/// What happens in the next `time` at a receiver behind a neck of `rate`: the part of it that is
/// used, and what is lost there of each block that gets through.
fn steady(stage: &mut Stage, at: usize, rate: u64, time: Duration) -> (f64, f64) {
    let id = stage.receivers[at];
    let counts = |stage: &mut Stage| {
        let sent = stage.world.sent(stage.sender).of(Function::FileSeg);
        let lost = stage.world.down(id).overflowed;
        (sent.datagrams as f64, lost as f64)
    };
    let before = counts(stage);
    stage.world.run_for(time);
    let after = counts(stage);
    let (sent, lost) = (after.0 - before.0, after.1 - before.1);
    let through = sent - lost;
    let used = through * PACKET / time.as_secs_f64() / rate as f64;
    (used, lost / through)
}

#[test]
fn self_clocked_is_steady_within_a_second_with_few_repairs() {
    seeds::each(4, |seed| {
        for (rate, queue, receivers) in [
            (5_000_000, 100_000, 1),
            (25_000_000, 64_000, 3),
            (25_000_000, 1_000_000, 3),
            (60_000_000, 256_000, 1),
        ] {
            let mut stage = Scenario {
                seed,
                ..self_clocked(receivers, 4_000_000_000)
            }
            .stage();
            stage.world.down(stage.receivers[0]).config = shaky_neck(rate, queue);
            stage.world.run_for(ms(1000));
            let (used, lost) = steady(&mut stage, 0, rate, ms(1500));
            println!(
                "{} MB/s, queue of {} kB, {receivers} receivers: {:.1} % used, {:.2} % repeated",
                rate / 1_000_000,
                queue / 1000,
                used * 100.0,
                lost * 100.0
            );
            assert!(used > 0.95, "{used}");
            assert!(lost < 0.02, "{lost}");
        }
    });
}

#[test]
fn self_clocked_follows_the_slowest_of_three() {
    seeds::each(10, |seed| {
        let scenario = self_clocked(3, 10_000_000);
        let mut stage = Scenario { seed, ..scenario }.stage();
        for (i, rate) in [100_000_000, 100_000_000, 25_000_000]
            .into_iter()
            .enumerate()
        {
            stage.world.down(stage.receivers[i]).config = shaky_neck(rate, 256_000);
        }
        let stage = stage.play(secs(60));
        stage.assert_all_whole();
        let (goodput, ratio) = measure("one of three four times slower", &stage);
        assert!(goodput > 17e6, "{goodput}");
        assert!(ratio < 1.25, "{ratio}");
    });
}

#[test]
fn self_clocked_notices_when_a_receiver_slows_down_and_recovers() {
    let mut stage = self_clocked(3, 4_000_000_000).stage();
    let slow = stage.receivers[1];
    for id in stage.receivers.clone() {
        stage.world.down(id).config = shaky_neck(40_000_000, 256_000);
    }
    stage.world.run_for(ms(1000));
    stage.world.down(slow).config = shaky_neck(10_000_000, 64_000);
    stage.world.run_for(ms(1000));
    let (used, lost) = steady(&mut stage, 1, 10_000_000, ms(1500));
    println!("slowed down: {used:.3} used, {lost:.4} repeated");
    assert!(used > 0.85, "{used}");
    assert!(lost < 0.03, "{lost}");
    stage.world.down(slow).config = shaky_neck(40_000_000, 256_000);
    stage.world.run_for(ms(4000));
    let (used, lost) = steady(&mut stage, 1, 40_000_000, ms(1000));
    println!("fast again: {used:.3} used, {lost:.4} repeated");
    assert!(used > 0.8, "{used}");
    assert!(lost < 0.03, "{lost}");
}

#[test]
fn self_clocked_survives_losses_that_no_rate_prevents() {
    seeds::each(4, |seed| {
        let mut stage = Scenario {
            seed,
            ..self_clocked(3, 4_000_000_000)
        }
        .stage();
        for id in stage.receivers.clone() {
            let down = PathConfig {
                loss: lossy(0.02).loss,
                ..shaky_neck(60_000_000, 256_000)
            };
            stage.world.down(id).config = down;
        }
        stage.world.run_for(ms(1000));
        let (used, lost) = steady(&mut stage, 0, 60_000_000, ms(1500));
        println!("two percent lost whatever the rate: {used:.3} used, {lost:.4} too much");
        assert!(used > 0.9, "{used}");
        assert!(lost < 0.03, "{lost}");
    });
}

#[test]
fn very_slow_is_not_dead() {
    // 8 Kbps: a datagram takes longer than receivers wait at the round trip time alone.
    let scenario = Scenario::new(1, 2, [source::file("f", 20_000)]);
    let stage = scenario.configure(|c| c.rate = Rate::Fixed(1024)).stage();
    let stage = stage.play(secs(200));
    stage.assert_all_whole();
    assert_eq!(stage.blocks_sent_ratio(), 1.0);
    assert!(stage.world.elapsed() > secs(20));
    assert!(
        stage.world.elapsed() < secs(40),
        "{:?}",
        stage.world.elapsed()
    );
}

#[test]
fn very_slow_and_lossy() {
    let scenario = Scenario::new(1, 2, [source::file("f", 20_000)]).paths(lossy(0.1), lossy(0.2));
    let stage = scenario.configure(|c| c.rate = Rate::Fixed(1024)).stage();
    stage.play(secs(1000)).assert_all_whole();
}

#[test]
fn overrunning_a_bottleneck_at_a_fixed_rate_still_ends() {
    let items = [source::file("f", 1_000_000)];
    let scenario = Scenario::new(1, 2, items).configure(|c| c.rate = Rate::Fixed(4_000_000));
    let mut stage = scenario.stage();
    for id in stage.receivers.clone() {
        stage.world.down(id).config = neck(2_000_000, 30_000);
    }
    let stage = stage.play(secs(100));
    stage.assert_all_whole();
    assert!(stage.world.elapsed() > ms(500));
}

/// Small blocks at a high rate: packet numbers come round several times.
fn many_packets(size: u64) -> Scenario {
    let scenario = Scenario::new(1, 2, [source::file("f", size)]);
    scenario.configure(|c| {
        c.block_size = 64;
        c.rate = Rate::Fixed(50_000_000);
    })
}

#[test]
fn packet_numbers_come_round() {
    let stage = many_packets(10_000_000)
        .paths(lossy(0.01), lossy(0.01))
        .stage();
    stage.play(secs(100)).assert_all_whole();
}

#[test]
fn a_receiver_finds_back_after_missing_half_of_all_numbers() {
    // 32768 to 65535 packets missed make the next look old. Data takes 0.36 s.
    for missed in [80, 100, 120, 140] {
        let mut stage = many_packets(10_000_000).stage();
        let victim = stage.receivers[1];
        stage
            .world
            .after(ms(60), move |world| world.cut_off(&[victim]));
        stage.world.after(ms(60 + missed), |world| world.heal());
        stage.play(secs(100)).assert_all_whole();
    }
}
