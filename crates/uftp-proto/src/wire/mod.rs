//! Packets: one UDP datagram is a 16-byte [`Header`] and one message.
//!
//! All protocols share one vocabulary, [`Message`]; a [`Version`] says how it looks on the wire.
//! Sessions speak the vocabulary and never ask which protocol they are in: where protocols
//! disagree about layout the answer is here, where they disagree about behaviour it is in the
//! session crate's policies.
//!
//! Decoding never panics and trusts no length: whatever the bytes, the answer is a message or a
//! [`DecodeError`] that names the message, the field and what was expected.

mod codec;
mod header;
mod message;
mod reader;
mod writer;

pub use codec::{decode, decode_header, encode, inner_function};
pub use header::{Function, Header, Version};
pub use message::*;
pub use reader::{DecodeError, Problem, Reader};
pub use writer::{EncodeError, Writer};
