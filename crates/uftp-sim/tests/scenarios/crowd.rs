//! Many receivers and their losses.

use uftp_sim::{Scenario, Stage, seeds, source};

use super::{lossy, ms, secs, two_files};

/// 500 receivers that each lose 5 % in both directions.
fn crowd(seed: u64) -> Scenario {
    let items = match seed % 10 {
        // Sections of 512 blocks.
        3 => vec![source::file("sections", 40_001), source::file("one", 64)],
        _ => two_files(40_000 + seed * 97).to_vec(),
    };
    let mut scenario = Scenario::new(seed, 500, items).paths(lossy(0.05), lossy(0.05));
    scenario.closed = seed.is_multiple_of(2);
    scenario.configure(|c| c.block_size = if seed % 10 == 3 { 64 } else { 512 })
}

#[test]
fn five_hundred_receivers_at_five_percent_loss() {
    seeds::each(100, |seed| {
        let stage = crowd(seed).stage().play(secs(600));
        stage.assert_all_whole();
    });
}

#[test]
fn bursts_of_losses() {
    let bursty = uftp_sim::PathConfig {
        loss: uftp_sim::Loss::Bursty {
            good_for: ms(60),
            bad_for: ms(6),
            good: 0.001,
            bad: 0.9,
        },
        ..Default::default()
    };
    seeds::each(20, |seed| {
        let scenario = Scenario::new(seed, 50, two_files(100_000)).paths(lossy(0.05), bursty);
        scenario.stage().play(secs(600)).assert_all_whole();
    });
}

/// Mean number of times a block is sent when every pass repeats what anybody lacks and each of
/// `n` receivers loses each block with probability `p`.
fn expected_ratio(n: usize, p: f64) -> f64 {
    let lacking = |pass: i32| 1.0 - (1.0 - p.powi(pass)).powi(n as i32);
    1.0 + (1..60).map(lacking).sum::<f64>()
}

fn ratio(n: usize, p: f64) -> (Stage, f64) {
    let items = [source::file("f", 1300 * 1000)];
    let scenario = Scenario::new(seeds::one(1), n, items).paths(lossy(0.0), lossy(p));
    let stage = scenario.stage().play(secs(600));
    stage.assert_all_whole();
    let ratio = stage.blocks_sent_ratio();
    (stage, ratio)
}

#[test]
fn repairs_are_what_the_losses_call_for() {
    println!("blocks sent for each block there is (expected), passes, seconds");
    for p in [0.001, 0.01, 0.05, 0.2] {
        for n in [1, 10, 100, 500] {
            let (stage, sent) = ratio(n, p);
            let want = expected_ratio(n, p);
            let passes = stage.sender().passes();
            let time = stage.world.elapsed().as_secs_f64();
            println!("N {n:3}  loss {p:5}: {sent:.3} ({want:.3})  {passes:2}  {time:.2}");
            let slack = 0.05 * want + 0.01;
            assert!(
                (sent - want).abs() < slack,
                "N {n}, loss {p}: {sent}, {want} expected"
            );
        }
    }
}
