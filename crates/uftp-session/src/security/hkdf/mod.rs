//! The handshake of protocol 5: every receiver has keys of its own, bound to what both sides have
//! seen (wire-v5 §7 to §10).

mod client;
mod server;

pub(super) use client::Client;
pub(super) use server::Announcer;
