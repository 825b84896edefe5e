//! The harness of the whole-suite tests: worlds of network namespaces, programs that run in them,
//! content to send and ways to compare what arrived.
//!
//! A [`World`] is networks with hosts on them, each in a network namespace of its own, so nothing
//! ever leaves by an interface of the machine. Programs of either [`Suite`] run on its hosts, bounded
//! in time, and everything is taken down when the world is dropped, also by a failing test.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use uftp_tests::{Suite, World};
//!
//! # fn main() -> uftp_tests::Result<()> {
//! // Two hosts on one network: number 0 sends to number 1, which loses 5 % of what comes in.
//! let world = World::new("example", 2)?;
//! world.lose_incoming(1, 1044, 50)?;
//! let content = world.one_file(1_000_000)?;
//! let receiver = world.receiver(Suite::Reference, 1).start()?;
//! let sender = world.sender(Suite::Ours, 0).files_of(&content)?;
//! let sent = sender.run(Duration::from_secs(60))?;
//! sent.ended_with(0)?;
//! sent.resulted("copy", &[1], 1)?;
//! receiver.holds(&content)?;
//! # Ok(()) }
//! ```
//!
//! What the harness needs (root, `ip`, `nft`, the reference programs) it demands: a missing
//! precondition is a [`Failure`] with a reason, never a test that passes without having run.

mod building;
mod command;
mod content;
mod disk;
mod failure;
mod faults;
mod keys;
mod listening;
mod logs;
mod metrics;
mod outcome;
mod parties;
mod patience;
mod plan;
mod program;
mod proxy;
mod receiver;
mod reference;
mod sender;
mod service;
mod setup;
mod standstill;
mod status;
mod suite;
mod world;

pub use building::{PROGRAMS, building, cargo, programs_dir, target_dir};
pub use command::{Ended, command, run, run_apart, without_settings};
pub use content::{Content, compare_trees, first_difference, write_file, write_tree};
pub use disk::{Disk, mount_over, mount_privately, small_disk};
pub use failure::{Failure, Result};
pub use listening::{wait_until_bound, wait_until_listening};
pub use metrics::METRICS;
pub use outcome::{Outcome, listing, masked_names, masked_status};
pub use parties::Parties;
pub use patience::{eventually, patience};
pub use plan::{HostId, NetworkId, Plan};
pub use program::{Exit, Program};
pub use proxy::{Proxy, ProxyOptions, ProxyRole, ProxySetup};
pub use receiver::{Receiver, ReceiverOptions, ReceiverSetup};
pub use reference::{reference_dir, reference_package};
pub use sender::{Sender, SenderOptions, SenderSetup, Sent};
pub use service::{Daemon, ServiceManager, runs_as};
pub use setup::{Ear, Listens, Setup, uid};
pub use standstill::unless_standing_still;
pub use status::{StatusLine, read_status};
pub use suite::Suite;
pub use world::{Family, World};
