//! Machines under hostile datagrams and sloppy drivers, in the middle of sessions.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // these are tests

mod datagrams;
mod drivers;
mod forging;
mod lies;

use std::time::Duration;

use uftp_session::files::SendItem;
use uftp_sim::{Loss, PathConfig, ReceiverNode, source};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn lossy(p: f64) -> PathConfig {
    PathConfig {
        loss: Loss::Random(p),
        ..PathConfig::default()
    }
}

/// That a receiver kept to the rules of its store and has left nothing open. What it was told may be
/// wrong.
fn assert_lawful(node: &ReceiverNode) {
    let seen = node.store.look();
    let broken = seen
        .violations
        .iter()
        .find(|v| !v.starts_with("wrong bytes"));
    assert_eq!(broken, None);
    assert_eq!((seen.open, seen.sessions), (0, 0));
}

fn items() -> Vec<SendItem> {
    vec![
        source::file("first", 60_007),
        source::directory("empty"),
        source::file("dir/second", 20_001),
        source::file("none", 0),
    ]
}
