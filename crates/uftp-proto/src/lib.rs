//! Bytes and keys of UFTP, the encrypted UDP based file transfer protocol with multicast.
//!
//! This crate holds what every UFTP program must agree on to the byte: the packet layouts of
//! protocols 3, 4 and 5 ([`wire`]), algorithms, keys and sealed packets ([`crypto`]), the cutting of
//! files into blocks and sections ([`geometry`]), the maps of missing blocks ([`nak`]), the quantised
//! scalars of the packet header ([`quant`]), the names of hosts, sessions and files ([`ids`]), sequence
//! arithmetic ([`seq`]), stamps ([`time`]) and the arithmetic of congestion control ([`tfmcc`]).
//!
//! It has no clock, no socket and no file, and it knows nothing of the order in which messages
//! are exchanged: that is `uftp-session`.

pub mod crypto;
pub mod ecn;
pub mod geometry;
pub mod ids;
pub mod nak;
pub mod quant;
pub mod seq;
pub mod tfmcc;
pub mod time;
pub mod wire;

pub use ecn::Ecn;
pub use geometry::Geometry;
pub use ids::{FileId, GroupId, Instance, Uid};
pub use nak::BlockMap;
pub use seq::Seq;
pub use time::WireTime;
