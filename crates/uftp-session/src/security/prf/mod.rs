//! The handshake of protocols 3 and 4: one key for the whole group (wire-v4 §8, §9.1).

mod client;
mod server;

pub(super) use client::Client;
pub(super) use server::Announcer;
