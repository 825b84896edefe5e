//! Bytes and keys of UFTP, the encrypted UDP based file transfer protocol with multicast.
//!
//! This crate holds what every UFTP program must agree on to the byte:
//!
//! | module | what is in it |
//! |---|---|
//! | [`wire`] | packets of protocols 3, 4 and 5: one vocabulary, three ways to write it |
//! | [`crypto`] | algorithms, keys, key schedules, and packets sealed and opened in place |
//! | [`geometry`] | how a file is cut into blocks and sections |
//! | [`nak`] | which blocks are missing, and the bitmaps that say so |
//! | [`quant`] | round trip times and group sizes in a byte, rates in two |
//! | [`ids`], [`seq`], [`time`], [`ecn`] | names, sequence numbers, time stamps and congestion marks |
//! | [`tfmcc`] | the arithmetic of multicast congestion control (RFC 4654) |
//!
//! It has no clock, no socket and no file, and it knows nothing of the order in which messages
//! are exchanged: that is `uftp-session`.
//!
//! # Example
//!
//! A message is written in each protocol and read back; then two missing blocks become a NAK bitmap.
//!
//! ```
//! use uftp_proto::geometry::Sectioning;
//! use uftp_proto::quant::{GroupSizeCode, RttCode};
//! use uftp_proto::wire::{self, Abort, Function, Header, Message, Version};
//! use uftp_proto::{BlockMap, Geometry, GroupId, Instance, Seq, Uid};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One message, written in each protocol and read back.
//! let message = Message::Abort(Abort {
//!     current_file: false,
//!     host: Uid::NONE,
//!     reason: "out of space".to_owned(),
//! });
//! for version in [Version::V3, Version::V4, Version::V5] {
//!     let header = Header {
//!         version,
//!         function: Function::Abort,
//!         seq: Seq(0),
//!         src: Uid(0x0a00_0001),
//!         group: GroupId(7),
//!         instance: Instance(0),
//!         grtt: RttCode(0),
//!         group_size: GroupSizeCode(0),
//!         dest: Uid::NONE,
//!     };
//!     let mut packet = [0; 1500];
//!     let len = wire::encode(&header, &message, &mut packet)?;
//!
//!     let read = wire::decode_header(&packet[..len])?;
//!     let body = &packet[Header::LEN..len];
//!     assert_eq!(read, header);
//!     assert_eq!(wire::decode(read.version, read.function, body)?, message);
//! }
//!
//! // A file of 10 000 bytes in blocks of 1300, of which two never came.
//! let geometry = Geometry::new(10_000, 1300, Sectioning::Balanced)?;
//! let mut map = BlockMap::none_missing(geometry.blocks());
//! map.set(2);
//! map.set(5);
//! let mut naks = Vec::new();
//! let section = geometry.section(0).ok_or("no section")?;
//! assert_eq!(map.write_naks(section, &mut naks), 2);
//! assert_eq!(naks, [0b0010_0100, 0]);
//! # Ok(()) }
//! ```

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
