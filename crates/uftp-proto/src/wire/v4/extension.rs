//! Header extensions (wire-v4 §1.3, §5).

use super::{Dialect, frame};
use crate::ids::Uid;
use crate::quant::RateCode;
use crate::wire::message::{CcFlags, TfmccAckInfo, TfmccDataInfo};
use crate::wire::reader::{DecodeError, Problem, Reader};
use crate::wire::writer::{EncodeError, Writer};

/// Extensions that carry something. 4 to 6 are reserved for PGMCC and skipped like unknown ones.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Encryption = 1,
    TfmccData = 2,
    TfmccAck = 3,
    FreeSpace = 7,
}

/// Bytes of the extensions without variable parts, and of the fixed part of ENC_INFO.
pub(super) const ENC_INFO_FIXED: usize = 44;
pub(super) const TFMCC_DATA_INFO: usize = 8;
pub(super) const TFMCC_ACK_INFO: usize = 20;
pub(super) const FREESPACE_INFO: usize = 12;

/// The extension of the wanted kind, behind its type and length, if it is the first one in
/// `rest`, the part of the header behind the fixed fields. Deployed programs look no further
/// and skip the rest of the header unread; so do we.
///
/// Fails if it has less than `least` bytes or sticks out of the header.
pub(super) fn first<'a>(
    rest: Reader<'a>,
    kind: Kind,
    least: usize,
) -> Result<Option<Reader<'a>>, DecodeError> {
    let mut peek = rest;
    match peek.u8("extension type") {
        Ok(number) if number == kind as u8 => {}
        _ => return Ok(None),
    }
    let len = usize::from(peek.u8("extension size")?) * 4;
    let wrong = |expected| {
        let says = len;
        Err(rest.error("extension size", Problem::ExtensionSize { says, expected }))
    };
    if len < least {
        return wrong(least);
    }
    if len > rest.left() {
        return wrong(rest.left());
    }
    peek.sub("extension", len.saturating_sub(2)).map(Some)
}

/// Writes type and length of an extension of `len` bytes.
pub(super) fn start(w: &mut Writer<'_>, kind: Kind, len: usize) -> Result<(), EncodeError> {
    w.u8(kind as u8);
    w.u8(frame::words("extension", len)?);
    Ok(())
}

#[inline] // as Head::split is
pub(super) fn tfmcc_data(rest: Reader<'_>) -> Result<Option<TfmccDataInfo>, DecodeError> {
    let Some(mut r) = first(rest, Kind::TfmccData, TFMCC_DATA_INFO)? else {
        return Ok(None);
    };
    Ok(Some(TfmccDataInfo {
        send_rate: RateCode(r.u16("send_rate")?),
        cc_seq: r.u16("cc_seq")?,
        cc_rate: RateCode(r.u16("cc_rate")?),
    }))
}

pub(super) fn write_tfmcc_data(
    w: &mut Writer<'_>,
    info: &TfmccDataInfo,
) -> Result<(), EncodeError> {
    start(w, Kind::TfmccData, TFMCC_DATA_INFO)?;
    w.u16(info.send_rate.0);
    w.u16(info.cc_seq);
    w.u16(info.cc_rate.0);
    Ok(())
}

pub(super) fn tfmcc_ack(
    dialect: Dialect,
    rest: Reader<'_>,
) -> Result<Option<TfmccAckInfo>, DecodeError> {
    let Some(mut r) = first(rest, Kind::TfmccAck, TFMCC_ACK_INFO)? else {
        return Ok(None);
    };
    let flags = CcFlags::from_bits_truncate(r.u8("flags")?);
    r.u8("reserved")?;
    Ok(Some(TfmccAckInfo {
        flags,
        cc_seq: r.u16("cc_seq")?,
        cc_rate: RateCode(r.u16("cc_rate")?),
        client: Uid(r.u32("client_id")?),
        echo: dialect.read_time(&mut r, "tstamp")?,
    }))
}

pub(super) fn write_tfmcc_ack(
    dialect: Dialect,
    w: &mut Writer<'_>,
    info: &TfmccAckInfo,
) -> Result<(), EncodeError> {
    start(w, Kind::TfmccAck, TFMCC_ACK_INFO)?;
    w.u8(info.flags.bits());
    w.u8(0);
    w.u16(info.cc_seq);
    w.u16(info.cc_rate.0);
    w.u32(info.client.0);
    dialect.write_time(w, info.echo);
    Ok(())
}

/// The ids and the bitmap behind what looks like reports of several receivers added up bit by bit.
pub(in crate::wire) fn added_reports(bytes: &[u8]) -> Option<(Uid, &[u8])> {
    const KIND: u8 = Kind::TfmccAck as u8;
    const WORDS: u8 = (TFMCC_ACK_INFO / 4) as u8;
    let (reports, bitmap) = bytes.split_at_checked(TFMCC_ACK_INFO)?;
    let Some(&[KIND, WORDS, flags, 0, _, _, _, _, a, b, c, d]) = reports.first_chunk() else {
        return None;
    };
    CcFlags::from_bits(flags)?;
    Some((Uid(u32::from_be_bytes([a, b, c, d])), bitmap))
}

pub(super) fn free_space(rest: Reader<'_>) -> Result<Option<u64>, DecodeError> {
    let Some(mut r) = first(rest, Kind::FreeSpace, FREESPACE_INFO)? else {
        return Ok(None);
    };
    r.u16("reserved")?;
    r.u64("freespace").map(Some)
}

pub(super) fn write_free_space(w: &mut Writer<'_>, bytes: u64) -> Result<(), EncodeError> {
    start(w, Kind::FreeSpace, FREESPACE_INFO)?;
    w.u16(0);
    w.u64(bytes);
    Ok(())
}
