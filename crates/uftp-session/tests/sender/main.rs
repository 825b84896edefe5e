//! The sender, spoken to in datagrams.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // these are tests

mod ahead;
mod floods;
mod flow;
mod hostile;
mod lab;
mod lists;
mod misread;
mod played;
mod proxies;
#[path = "../recorded/mod.rs"]
mod recorded;
mod replay;
mod replay_three;
mod rounds;
mod stop;
mod trouble;
