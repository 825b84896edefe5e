//! The border between bytes and vocabulary: picks the dialect by [`Version`].

use super::header::{Function, Header, Version};
use super::message::Message;
use super::reader::{DecodeError, Problem, Reader};
use super::writer::EncodeError;

/// Reads the packet header. The message follows it at [`Header::LEN`].
///
/// # Errors
/// [`DecodeError`] if the datagram is too short, of an unknown version or function.
pub fn decode_header(datagram: &[u8]) -> Result<Header, DecodeError> {
    let mut r = Reader::new(None, datagram);
    let id = r.u8("version")?;
    Version::from_wire_id(id).ok_or(r.error("version", Problem::Value(id.into())))?;
    Err(r.error("function", Problem::Value(0)))
}

/// Reads a message in the clear, `bytes` beginning with its own function byte. `function` is
/// what the packet header says, or for a decrypted message what its first byte says
/// ([`inner_function`]).
///
/// # Errors
/// [`DecodeError`] if any length does not fit or a value is outside the protocol.
pub fn decode(
    version: Version,
    function: Function,
    bytes: &[u8],
) -> Result<Message<'_>, DecodeError> {
    let _ = version;
    Err(Reader::new(Some(function), bytes).error("function", Problem::Value(0)))
}

/// The function of a decrypted message, told by its first byte.
///
/// # Errors
/// [`DecodeError`] if there is none or it is unknown.
pub fn inner_function(version: Version, bytes: &[u8]) -> Result<Function, DecodeError> {
    let _ = version;
    Err(Reader::new(None, bytes).error("function", Problem::Value(0)))
}

/// Writes a packet in the clear: header and message. Returns its length.
///
/// # Errors
/// [`EncodeError`] if it does not fit `out`, a value does not fit its field, or the protocol has
/// no such message.
pub fn encode(
    header: &Header,
    message: &Message<'_>,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let _ = (header, message);
    Err(EncodeError::NoRoom(out.len()))
}
