//! A network in memory with virtual time, for testing UFTP sessions.
//!
//! A [`World`] runs any number of [`Node`]s — the very state machines that ship — in one thread,
//! from one seed, without a socket, a disk or a clock:
//!
//! ```text
//!             up                  core                 down
//!   node ── loss, delay, ──▶ unicast: by address ── loss, delay, ──▶ node
//!           bottleneck …      multicast: to members   bottleneck …
//! ```
//!
//! Every node hangs on the core by an access [`Path`] of its own. A multicast datagram passes its
//! sender's path once and then, independently, the path of each node that joined the group.
//!
//! A run is a function of its seed: nothing reads a real clock or iterates over an unordered
//! table. A world that is dropped in a panic prints its seed, and [`seeds::each`] runs that seed
//! alone when `UFTP_SIM_SEED` names it. `UFTP_SIM_TRACE=1` shows what is sent, `UFTP_SIM_ROUNDS=20`
//! searches twenty times as many seeds.
//!
//! File bytes are generated ([`content`]), not kept: a receiver's store checks each write against
//! the generator and notes which bytes arrived, so a thousand receivers cost no memory and
//! "identical" still means every byte.
//!
//! # Example
//!
//! A file goes to 20 receivers, each of which loses five datagrams of a hundred.
//!
//! ```
//! use std::time::Duration;
//!
//! use uftp_sim::path::lossy;
//! use uftp_sim::{PathConfig, Scenario, source};
//!
//! let stage = Scenario::new(1, 20, [source::file("song", 500_000)])
//!     .paths(PathConfig::default(), lossy(0.05))
//!     .stage()
//!     .play(Duration::from_secs(60));
//! stage.assert_all_whole();
//! assert!(stage.blocks_sent_ratio() < 3.0);
//! ```

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "linked into tests only, where stopping at once is the right answer"
)]

pub mod content;
pub mod node;
pub mod path;
pub mod peers;
pub mod proxies;
pub mod reno;
pub mod scenario;
pub mod secrets;
pub mod seeds;
pub mod source;
pub mod store;
pub mod traffic;
pub mod world;

pub use node::{Membership, Node, NodeId};
pub use path::{Bottleneck, Loss, Path, PathConfig};
pub use peers::{ReceiverNode, SenderNode};
pub use proxies::{Figure, Networks, ProxyNode};
pub use scenario::{Scenario, Stage};
pub use secrets::Seeded;
pub use source::MemSource;
pub use store::{MemStore, StoredFile};
pub use traffic::Traffic;
pub use world::{Passing, Verdict, World};
