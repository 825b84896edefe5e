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
mod encrypted;
mod fields;
mod functions;
mod header;
mod message;
mod reader;
mod v3;
mod v4;
mod writer;

pub use codec::{
    announce_invites, block_size, decode, decode_header, enc_info_range, encode,
    encode_fileseg_head, encode_header, encode_message, fileseg_head_len, inner_function,
    signature_range, split_added_reports,
};
pub use encrypted::Encrypted;
pub use header::{Function, Header, Version};
pub use message::*;
pub use reader::{DecodeError, Problem};
pub use writer::EncodeError;
