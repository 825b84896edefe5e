//! UDP sockets as UFTP needs them: IPv4 and IPv6 multicast, whole runs of datagrams in and out
//! with one system call, congestion marks, and a wait that other threads can cut short.
//!
//! It knows nothing of UFTP's packets, keeps no clock, starts no thread and allocates nothing on
//! the way of a datagram. How a run reaches the kernel (`UDP_SEGMENT`, `sendmmsg`, `sendmsg`) and
//! comes back (`UDP_GRO`, `recvmmsg`, `recvmsg`) is probed when a socket is made, corrected when
//! the kernel refuses later, and never the caller's business. Every socket feature has its own
//! file in `feature/`; all `unsafe` is in `sys.rs`.
//!
//! ```no_run
//! use uftp_net::{RecvBatch, Socket, SocketConfig, Wake, find_interface};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let interface = find_interface("eth0")?;
//! let socket = Socket::bind(&SocketConfig::new("0.0.0.0:1044".parse()?))?;
//! socket.join("230.4.4.1".parse()?, &interface)?;
//! let (wake, mut batch) = (Wake::new()?, RecvBatch::new());
//! while !socket.wait(&wake, None)?.woken {
//!     socket.recv(&mut batch)?;
//!     for datagram in batch.datagrams() {
//!         println!("{} bytes from {}", datagram.bytes.len(), datagram.from);
//!     }
//! }
//! # Ok(()) }
//! ```

mod changes;
mod config;
mod error;
mod feature;
mod interface;
mod recv;
mod send;
mod socket;
mod sys;
mod wait;

pub use changes::{Gone, InterfaceChanges};
pub use config::{Offload, SocketConfig};
pub use error::NetError;
pub use feature::buffers::Buffers;
pub use interface::{Interface, find_interface, interfaces};
pub use recv::{Datagram, RecvBatch};
pub use socket::Socket;
pub use wait::{Interest, Ready, Wake};
