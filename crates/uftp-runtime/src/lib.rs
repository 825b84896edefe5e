//! What stands between the UFTP sessions and the machine they run on: the driver loop over
//! sockets, the disk side of senders and receivers, and what the programs share: options, lists,
//! logs, status lines, signals and exit codes.
//!
//! Arrows go down only: the programs call [`send`], [`receive`] or [`proxy`]; these read [`options`], open
//! [`source`] or [`store`] and hand both to the [`driver`], whose events [`log`], [`status`] and
//! [`progress`] render.

#![forbid(unsafe_code)]

mod common;
pub mod daemon;
pub mod driver;
pub mod events;
pub mod exit;
pub mod herald;
pub mod keyfile;
pub mod keymgt;
pub mod keys;
mod ledger;
mod listener;
pub mod log;
mod metrics;
pub mod names;
mod notify;
pub mod options;
mod privileges;
pub mod progress;
pub mod proxy;
pub mod rate_steps;
pub mod receive;
mod relist;
pub mod restart;
mod script;
pub mod send;
mod service;
mod signals;
pub mod source;
pub mod status;
pub mod store;
pub mod story;
mod vitals;
