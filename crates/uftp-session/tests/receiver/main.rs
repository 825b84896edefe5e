//! The receiving machine against scripted senders, in virtual time.

// These are tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../recorded/mod.rs"]
mod recorded;
mod support;

mod acceptance;
mod course;
mod endings;
mod loss;
mod refusals_five;
mod replay;
mod replay_encrypted;
mod replay_three;
mod several;
mod standing_proxy;
mod three;
