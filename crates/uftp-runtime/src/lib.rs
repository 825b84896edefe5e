//! What stands between the UFTP sessions and the machine they run on.
//!
//! Here are the driver loop over sockets, the disk side of senders and receivers, and what the
//! programs share: options, lists, logs, status lines, signals and exit codes.
//!
//! Only that is public which programs and documents need: a `main` for each program ([`send`],
//! [`receive`], [`proxy`], [`keymgt`]), the definitions of their [`options`], and the [`exit`] codes. A
//! whole program is
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     uftp_runtime::send::main(std::env::args_os()).into()
//! }
//! ```
//!
//! Calls go one way. A `main` reads options, opens the disk side (`source` for a sender, `store` for a
//! receiver), makes a session machine of it and gives that to the `driver`. The machine's events are
//! rendered by `story` (log lines), `status` (status files), `events` (JSON and hook scripts),
//! `progress` and `metrics`.

mod common;
mod driver;
mod events;
pub mod exit;
pub mod keymgt;
mod keys;
mod line_file;
mod log;
mod metrics;
mod names;
mod narrator;
pub mod options;
mod progress;
pub mod proxy;
mod proxy_sessions;
mod rate_steps;
pub mod receive;
pub mod send;
mod service;
mod session_thread;
mod signals;
mod source;
mod status;
mod store;
mod story;

use log::{say, tell};
