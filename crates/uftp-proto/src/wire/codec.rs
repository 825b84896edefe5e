//! The border between bytes and vocabulary: picks the dialect by [`Version`].

use std::ops::Range;

use super::fields::len16;
use super::functions;
use super::header::{Function, Header, Version};
use super::message::{Announce, BlockRef, Message, Pace, TfmccDataInfo};
use super::reader::{DecodeError, Problem, Reader};
use super::v3;
use super::v4::{self, Dialect};
use super::writer::{EncodeError, Writer};
use crate::ids::{FileId, GroupId, Instance, Uid};
use crate::quant::{GroupSizeCode, RttCode};
use crate::seq::Seq;

/// Reads the packet header. The message follows it at [`Header::LEN`].
///
/// # Errors
/// [`DecodeError`] if the datagram is too short, of an unknown version or function, or in
/// protocol 3 not as long as its header says.
#[inline] // by way of memory it costs each packet more than it does
pub fn decode_header(datagram: &[u8]) -> Result<Header, DecodeError> {
    let mut r = Reader::new(None, datagram);
    let id = r.u8("version")?;
    let version = Version::from_wire_id(id).ok_or(r.error("version", Problem::Value(id.into())))?;
    let number = r.u8("func")?;
    let message = datagram.get(Header::LEN..).unwrap_or_default();
    let function = functions::by_number(version, number, message)
        .ok_or(r.error("func", Problem::Value(number.into())))?;
    let header = match version {
        Version::V4 | Version::V5 => Header {
            version,
            function,
            seq: Seq(r.u16("seq")?),
            src: Uid(r.u32("src_id")?),
            group: GroupId(r.u32("group_id")?),
            instance: Instance(r.u8("group_inst")?),
            grtt: RttCode(r.u8("grtt")?),
            group_size: GroupSizeCode(r.u8("gsize")?),
            dest: Uid::NONE,
        },
        Version::V3 | Version::V3Sync => {
            let says = usize::from(r.u16("block size")?);
            let expected = datagram.len().saturating_sub(Header::LEN);
            if says != expected {
                return Err(r.error("block size", Problem::Length { says, expected }));
            }
            Header {
                version,
                function,
                seq: Seq(0),
                group: GroupId(r.u32("group id")?),
                src: Uid(r.u32("source address")?),
                dest: Uid(r.u32("destination address")?),
                instance: Instance(0),
                grtt: RttCode(0),
                group_size: GroupSizeCode(0),
            }
        }
    };
    if datagram.len() < Header::LEN {
        r.bytes("reserved", 1)?;
    }
    Ok(header)
}

/// Writes a packet header for a message of `message_len` bytes. Returns [`Header::LEN`].
///
/// # Errors
/// [`EncodeError`] if it does not fit `out`, the message is longer than protocol 3 can say, or
/// the protocol has no such message.
pub fn encode_header(
    header: &Header,
    message_len: usize,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let number = functions::number(header.version, header.function)
        .ok_or(EncodeError::NotInProtocol("message of this kind"))?;
    let mut w = Writer::new(out);
    w.u8(header.version.wire_id());
    w.u8(number);
    match header.version {
        Version::V4 | Version::V5 => {
            w.u16(header.seq.0);
            w.u32(header.src.0);
            w.u32(header.group.0);
            w.u8(header.instance.0);
            w.u8(header.grtt.0);
            w.u8(header.group_size.0);
            w.u8(0);
        }
        Version::V3 | Version::V3Sync => {
            w.u16(len16("block size", message_len)?);
            w.u32(header.group.0);
            w.u32(header.src.0);
            w.u32(header.dest.0);
        }
    }
    w.finish()
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
    match version {
        Version::V3 | Version::V3Sync => v3::decode(version, function, bytes),
        Version::V4 => v4::decode(Dialect::Four, function, bytes),
        Version::V5 => v4::decode(Dialect::Five, function, bytes),
    }
}

/// The function of a decrypted message, told by its first byte.
///
/// # Errors
/// [`DecodeError`] if there is none, it is unknown, or it is once more
/// [`Function::Encrypted`].
pub fn inner_function(version: Version, bytes: &[u8]) -> Result<Function, DecodeError> {
    let mut r = Reader::new(None, bytes);
    let number = r.u8("func")?;
    functions::by_number(version, number, bytes)
        .filter(|f| *f != Function::Encrypted)
        .ok_or(r.error("func", Problem::Value(number.into())))
}

/// Writes a packet in the clear: header and message. Returns its length.
///
/// The function of the packet is that of `message`, whatever `header` says. Fields that the
/// protocol does not have are left out.
///
/// # Errors
/// [`EncodeError`] if it does not fit `out`, a value does not fit its field, or the protocol has
/// no such message.
pub fn encode(
    header: &Header,
    message: &Message<'_>,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let too_short = EncodeError::NoRoom(out.len());
    let (head, body) = out.split_at_mut_checked(Header::LEN).ok_or(too_short)?;
    let len = encode_message(header.version, message, body)?;
    let header = Header {
        function: message.function(),
        ..*header
    };
    Ok(encode_header(&header, len, head)? + len)
}

/// Writes a message alone, as it is sealed into an ENCRYPTED packet. Returns its length.
///
/// # Errors
/// As [`encode`].
pub fn encode_message(
    version: Version,
    message: &Message<'_>,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let mut w = Writer::new(out);
    match version {
        Version::V3 | Version::V3Sync => v3::encode(version, message, &mut w),
        Version::V4 => v4::encode(Dialect::Four, message, &mut w),
        Version::V5 => v4::encode(Dialect::Five, message, &mut w),
    }?;
    w.finish()
}

/// Bytes of file data in a packet of a session of this pace; `signature` is the length of the
/// signature of every packet in an encrypted session. `None` if there is no room for any.
pub fn block_size(pace: &Pace, signature: Option<usize>) -> Option<u16> {
    match pace {
        Pace::Adaptive { block_size, .. } => Some(*block_size).filter(|size| *size > 0),
        Pace::Fixed(pace) => v3::block_size(pace.mtu, signature),
    }
}

/// Bytes of a FILESEG between the packet header (or the beginning of the sealed message) and the
/// file data.
pub fn fileseg_head_len(version: Version, tfmcc: bool) -> usize {
    match version {
        Version::V3 | Version::V3Sync => v3::FILESEG_HEAD,
        Version::V4 | Version::V5 => v4::fileseg_head_len(tfmcc),
    }
}

/// Writes a FILESEG up to its data, [`fileseg_head_len`] bytes, so that the data can be read from
/// the file straight into its place. The packet header is written apart ([`encode_header`]).
///
/// # Errors
/// As [`encode`].
pub fn encode_fileseg_head(
    version: Version,
    file: FileId,
    at: BlockRef,
    tfmcc: Option<&TfmccDataInfo>,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let mut w = Writer::new(out);
    match version {
        Version::V3 | Version::V3Sync => v3::write_fileseg_head(version, file, at, &mut w),
        Version::V4 => v4::write_fileseg_head(Dialect::Four, file, at, tfmcc, &mut w),
        Version::V5 => v4::write_fileseg_head(Dialect::Five, file, at, tfmcc, &mut w),
    }?;
    w.finish()
}

/// Where a message holds the signature that covers itself with those bytes zeroed, counted from
/// the function byte of the message: ANNOUNCE in protocols 4 and 5; CLIENT_KEY, KEYINFO and
/// PROXY_KEY in protocol 5. `None` for all others and for unsigned sessions.
pub fn signature_range(version: Version, message: &Message<'_>) -> Option<Range<usize>> {
    let range = match (version, message) {
        (Version::V4 | Version::V5, Message::Announce(m)) => v4::enc_info_signature_at(m)?,
        (Version::V5, Message::ClientKey(m)) => v4::client_key_signature_at(m),
        (Version::V5, Message::KeyInfo(m)) => v4::key_info_signature_at(m),
        (Version::V5, Message::ProxyKey(m)) => v4::proxy_key_signature_at(Dialect::Five, m),
        _ => return None,
    };
    (!range.is_empty()).then_some(range)
}

/// Where an ANNOUNCE of protocol 4 or 5 holds its ENC_INFO extension, counted from the function
/// byte of the message.
pub fn enc_info_range(announce: &Announce) -> Option<Range<usize>> {
    v4::enc_info_at(announce)
}

/// Takes apart what deployed proxies make of a STATUS under congestion control: they add up bit by bit
/// what receivers say behind the fixed header, the report ([`TfmccAckInfo`](super::TfmccAckInfo)) with the
/// bitmap (behaviour-proxies §14.2). Returns the ids that reported, added up likewise, and the bitmap, which
/// lacks as many bytes at its end as reports have. `None` if it does not begin like that.
pub fn split_added_reports(naks: &[u8]) -> Option<(Uid, &[u8])> {
    v4::added_reports(naks)
}

/// Whether the list of an ANNOUNCE lets `uid` in, even if the rest of the message is such that
/// [`decode`] refuses it: only the invited answer a bad ANNOUNCE.
///
/// # Errors
/// [`DecodeError`] if not even the list can be found.
pub fn announce_invites(version: Version, bytes: &[u8], uid: Uid) -> Result<bool, DecodeError> {
    match version {
        Version::V3 | Version::V3Sync => v3::invites(version, bytes, uid),
        Version::V4 | Version::V5 => v4::invites(bytes, uid),
    }
}
