//! What stands between the UFTP sessions and the machine they run on: the driver loop over
//! sockets, the disk side of senders and receivers, and what the programs share: options, lists,
//! logs, status lines, signals and exit codes.
//!
//! What is public is what programs and documents need: a `main` for each program ([`send`], [`receive`],
//! [`proxy`], [`keymgt`]) and the definitions of their [`options`]. Arrows go down only: a `main` reads
//! options, opens `source` or `store` and hands both to the `driver`, whose events `log`, `status`,
//! `events` and `progress` render.

#![forbid(unsafe_code)]

mod common;
mod daemon;
mod driver;
mod events;
pub mod exit;
mod keyfile;
pub mod keymgt;
mod keys;
mod listener;
mod liveness;
mod log;
mod metrics;
mod names;
mod notify;
pub mod options;
mod privileges;
mod progress;
pub mod proxy;
mod proxy_sessions;
mod rate_steps;
pub mod receive;
mod reload;
mod reporter;
mod restart;
mod script;
pub mod send;
mod service;
mod signals;
mod source;
mod status;
mod store;
mod story;
