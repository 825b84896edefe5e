//! Machines under hostile datagrams and sloppy drivers, in the middle of sessions.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // these are tests

mod datagrams;
mod drivers;
mod forging;
mod lies;

use std::time::Duration;

use uftp_session::files::SendItem;
use uftp_sim::path::lossy;
use uftp_sim::source;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn items() -> Vec<SendItem> {
    vec![
        source::file("first", 60_007),
        source::directory("empty"),
        source::file("dir/second", 20_001),
        source::file("none", 0),
    ]
}
