//! What must hold of `uftp-proto` whatever bytes come.
//!
//! Each law is a function of bytes that panics where it is broken. The property tests of
//! `uftp-proto` try them on damaged packets, [`targets`](crate#targets) on what libFuzzer finds.
//!
//! # Targets
//!
//! `cargo xtask fuzz packet` and `cargo xtask fuzz key` look for bytes that break a law.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "linked into tests only, where stopping at once is the right answer"
)]

pub mod key;
pub mod packet;
