//! The UFTP conversation without I/O: who says what when, for senders, receivers and proxies.
//!
//! Nothing here owns a socket, a thread, a clock or a global. A machine is given datagrams and
//! the time, and asked what to send, what happened and when to be woken:
//!
//! ```text
//! handle_datagram(now, from, ecn, &mut [u8])      one input …
//! handle_timeout(now)
//! poll_event() -> Option<Event>                   … then drain the outputs
//! poll_transmit(now, &mut Batch)
//! poll_timeout() -> Option<Instant>
//! ```
//!
//! After every input the driver drains events, then transmits until none come, then asks for the
//! next deadline. File bytes come and go through [`files::FileSource`] and [`files::FileStore`].
//! The same code runs over sockets and disks in `uftp-runtime` and in virtual time in `uftp-sim`.

mod batch;
mod clock;
pub mod congestion;
mod counters;
pub mod files;
mod grtt;
mod halves;
mod heartbeat;
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

pub use batch::{Batch, Transmit};
pub use clock::Clock;
pub use counters::{Counters, Refusal};
pub use heartbeat::Heartbeats;
pub use policy::{PassStyle, Policy};
