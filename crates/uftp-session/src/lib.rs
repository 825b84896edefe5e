//! The UFTP conversation without I/O: the state machines of senders, receivers and proxies.
//!
//! There are three machines, [`sender::Sender`], [`receiver::Receiver`] and [`proxy::Proxy`]. None of
//! them owns a socket, a thread, a clock or a global. A *driver* hands a machine datagrams and the
//! time, and asks it what to send, what happened and when to be woken:
//!
//! ```text
//! handle_datagram(now, from, ecn, &mut [u8])      one input …
//! handle_timeout(now)
//! poll_event() -> Option<Event>                   … then drain the outputs
//! poll_transmit(now, &mut Batch)
//! poll_timeout() -> Option<Instant>
//! ```
//!
//! After every input the driver takes events until there are none, then datagrams until there are
//! none, and then asks for the next deadline. Events come first because some of them must take
//! effect before anything is sent: a receiver joins a group before its REGISTER goes out.
//!
//! File contents come from a [`files::FileSource`] and go to a [`files::FileStore`]. Random numbers
//! come from a generator that is passed in. So the machines run over sockets and disks in
//! `uftp-runtime`, and reproducibly, in virtual time, in `uftp-sim`.
//!
//! # Example
//!
//! A sender and a receiver in one thread. The function `main` is their driver and their network at
//! once; the files are those of the simulator, which keeps them in memory.
//!
//! ```
//! use std::net::SocketAddr;
//! use std::time::Instant;
//!
//! use rand::{SeedableRng, rngs::StdRng};
//! use uftp_proto::wire::Version;
//! use uftp_proto::{Ecn, GroupId, Uid, WireTime};
//! use uftp_session::receiver::{Receiver, ReceiverConfig};
//! use uftp_session::sender::{Outcome, Sender, SenderConfig, SenderEvent};
//! use uftp_session::{Batch, Clock};
//! use uftp_sim::{MemSource, MemStore, source};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut now = Instant::now();
//!     let clock = Clock::new(now, WireTime::from_parts(1_700_000_000, 0));
//!     let (public, private) = ("230.4.4.1:1044".parse()?, "230.5.5.1:1044".parse()?);
//!     let config = SenderConfig::new(Version::V5, Uid(1), GroupId(7), public, private);
//!     let files = [source::file("song", 100_000)];
//!     let rng = StdRng::seed_from_u64(1);
//!     let mut sender = Sender::new(config, MemSource::new(files.clone()), clock, rng, now);
//!
//!     let store = MemStore::default();
//!     let config = ReceiverConfig::new(Uid(2));
//!     let rng = StdRng::seed_from_u64(2);
//!     let mut receiver = Receiver::new(config, store.clone(), clock, rng, now);
//!
//!     let from: [SocketAddr; 2] = ["10.0.0.1:40000".parse()?, "10.0.0.2:1044".parse()?];
//!     let mut batch = Batch::new(64 * 1024);
//!     let mut outcome = None;
//!     while !sender.is_finished() {
//!         while let Some(event) = sender.poll_event() {
//!             if let SenderEvent::Finished(how) = event {
//!                 outcome = Some(how);
//!             }
//!         }
//!         // A real driver joins and leaves groups here.
//!         while receiver.poll_event().is_some() {}
//!
//!         batch.clear();
//!         sender.poll_transmit(now, &mut batch);
//!         for (_, _, datagram) in batch.datagrams() {
//!             receiver.handle_datagram(now, from[0], Ecn::NotEct, &mut datagram.to_vec());
//!         }
//!         batch.clear();
//!         receiver.poll_transmit(now, &mut batch);
//!         for (_, _, datagram) in batch.datagrams() {
//!             sender.handle_datagram(now, from[1], Ecn::NotEct, &mut datagram.to_vec());
//!         }
//!         if batch.is_empty() {
//!             // Nothing is under way: "sleep" until somebody has to be woken.
//!             let deadlines = [sender.poll_timeout(), receiver.poll_timeout()];
//!             now = deadlines.into_iter().flatten().min().unwrap_or(now).max(now);
//!             sender.handle_timeout(now);
//!             receiver.handle_timeout(now);
//!         }
//!     }
//!     assert_eq!(outcome, Some(Outcome::Success));
//!     store.assert_holds(&files);
//!     Ok(())
//! }
//! ```
//!
//! # Where to read on
//!
//! [`policy`] lists what differs between the protocol versions; no other module asks for a version
//! while a session runs. [`security`] plays both ends of the handshake, [`congestion`] both sides of
//! TFMCC. What a machine refuses it counts, with the reason, in [`Counters`].

mod batch;
mod clock;
pub mod congestion;
mod counters;
pub mod files;
mod grtt;
mod halves;
mod heartbeat;
mod incoming;
mod limit;
mod link;
mod objection;
mod pacing;
mod pending_aborts;
pub mod policy;
pub mod proxy;
pub mod receiver;
pub mod security;
pub mod sender;
mod sessionless;
mod table;

pub use batch::{Batch, Transmit};
pub use clock::Clock;
pub use counters::{Counters, Refusal};
pub use heartbeat::Heartbeats;
pub use table::SessionId;
