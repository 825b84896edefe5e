//! The proxy, packet by packet.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // these are tests

mod bench;
mod encrypted;
mod gathering;
mod hostile;
mod passing;
#[path = "../recorded/mod.rs"]
mod recorded;
mod replay;
mod replay_three;
mod standing_keys;
mod three;
