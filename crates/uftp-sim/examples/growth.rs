//! How the cost of a session grows with receivers, loss and block size: prints the tables of
//! `docs/scaling.md`. `cargo run --release -p uftp-sim --example growth`
//!
//! Paths of a millisecond there and back; what is lost is lost at random, to each receiver by
//! itself.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::{Duration, Instant};

use uftp_proto::wire::Function;
use uftp_sim::path::lossy;
use uftp_sim::{NodeId, PathConfig, Scenario, Stage, seeds, source};

const SIZE: u64 = 200_000;

fn path(loss: f64) -> PathConfig {
    PathConfig {
        delay: Duration::from_micros(500),
        ..lossy(loss)
    }
}

/// A session that has ended well, and the processor time it took to simulate.
struct Run {
    stage: Stage,
    simulated_in: Duration,
}

fn run(receivers: usize, loss: f64, block_size: u16, size: u64) -> Run {
    let began = Instant::now();
    let scenario = Scenario::new(seeds::one(1), receivers, [source::file("f", size)]);
    let stage = scenario
        .configure(|c| c.block_size = block_size)
        .paths(path(0.0), path(loss))
        .stage()
        .play(Duration::from_secs(3600));
    stage.assert_all_whole();
    Run {
        stage,
        simulated_in: began.elapsed(),
    }
}

impl Run {
    /// Virtual seconds from the first ANNOUNCE to the end.
    fn seconds(&self) -> f64 {
        self.stage.world.elapsed().as_secs_f64()
    }

    fn datagrams(&self, node: NodeId, function: Function) -> u64 {
        self.stage.world.sent(node).of(function).datagrams
    }

    /// Messages of all receivers to the sender, and how many of them tell of losses.
    fn answers(&self) -> (u64, u64) {
        let all = |node: &NodeId| self.stage.world.sent(*node).total().datagrams;
        let naks = |node: &NodeId| self.datagrams(*node, Function::Status);
        let receivers = &self.stage.receivers;
        (
            receivers.iter().map(all).sum(),
            receivers.iter().map(naks).sum(),
        )
    }
}

fn receivers_and_loss() {
    println!(
        "| Receivers | lost | seconds | sent for each block | messages to the sender | of these NAKs | simulated in |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for receivers in [100, 300, 1_000, 3_000, 10_000] {
        for loss in [0.0, 0.01, 0.05] {
            if receivers == 10_000 && loss > 0.01 {
                continue; // says nothing new and takes minutes
            }
            let run = run(receivers, loss, 1300, SIZE);
            let (answers, naks) = run.answers();
            println!(
                "| {receivers} | {} % | {:.2} | {:.2} | {answers} | {naks} | {:.1} s |",
                loss * 100.0,
                run.seconds(),
                run.stage.blocks_sent_ratio(),
                run.simulated_in.as_secs_f64()
            );
        }
    }
}

fn loss_and_block_size() {
    println!(
        "| Block size | lost | seconds | blocks | sent for each block | NAKs | bytes of NAKs |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for block_size in [1300, 8800] {
        for loss in [0.0, 0.001, 0.01, 0.05, 0.2] {
            let run = run(10, loss, block_size, 10_000_000);
            let (_, naks) = run.answers();
            let bytes: u64 = run
                .stage
                .receivers
                .iter()
                .map(|id| run.stage.world.sent(*id).of(Function::Status).bytes)
                .sum();
            println!(
                "| {block_size} | {} % | {:.2} | {} | {:.3} | {naks} | {bytes} |",
                loss * 100.0,
                run.seconds(),
                10_000_000_u64.div_ceil(u64::from(block_size)),
                run.stage.blocks_sent_ratio()
            );
        }
    }
}

fn main() {
    println!("A file of {SIZE} bytes at 2 MB/s, blocks of 1300 bytes\n");
    receivers_and_loss();
    println!("\n10 MB at 2 MB/s to 10 receivers\n");
    loss_and_block_size();
}
