//! Key schedules and sealed packets recorded from the deployed programs; how they were made says
//! the README beside the vectors.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod hostile;
mod known_answers;
mod primitives;
mod v3_sessions;
mod v3v4;
mod v5;
mod vectors;
