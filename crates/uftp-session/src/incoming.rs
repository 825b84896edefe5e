//! A packet as it came.

use std::net::SocketAddr;
use std::time::Instant;

use uftp_proto::Ecn;
use uftp_proto::wire::{self, DecodeError, Header, Message, Version};

use crate::counters::Refusal;
use crate::table::SessionId;

/// How a packet came, whatever it says. Its bytes go beside this: they may be opened in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    /// When.
    pub(crate) now: Instant,
    /// From where.
    pub(crate) from: SocketAddr,
    /// How the network has marked it.
    pub(crate) ecn: Ecn,
    /// What it begins with, not proved yet.
    pub(crate) header: Header,
}

impl Incoming {
    /// The session it belongs to.
    pub(crate) fn session(&self) -> SessionId {
        SessionId {
            group: self.header.group,
            instance: self.header.instance,
        }
    }
}

/// The header of a packet, of whatever protocol.
///
/// # Errors
/// [`Refusal::OtherVersion`] if nobody knows the protocol, [`Refusal::Malformed`] if the header makes
/// no sense in it.
#[inline] // as wire::decode_header is
pub(crate) fn read_header(packet: &[u8]) -> Result<Header, Refusal> {
    let known = |id: &u8| Version::from_wire_id(*id).is_some();
    if packet.first().is_some_and(|id| !known(id)) {
        return Err(Refusal::OtherVersion);
    }
    Ok(wire::decode_header(packet)?)
}

/// What follows the header of a packet.
pub(crate) fn body(packet: &[u8]) -> &[u8] {
    packet.get(Header::LEN..).unwrap_or_default()
}

/// The message in a packet with this header that comes in the clear.
///
/// # Errors
/// As [`wire::decode`].
pub(crate) fn decode<'p>(header: &Header, packet: &'p [u8]) -> Result<Message<'p>, DecodeError> {
    wire::decode(header.version, header.function, body(packet))
}
