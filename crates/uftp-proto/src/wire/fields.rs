//! Field shapes that all protocols share: id lists, zero-padded text, lengths.

use super::reader::{DecodeError, Problem, Reader};
use super::writer::{EncodeError, Writer};
use crate::ids::Uid;

/// Longest name or link target of a FILEINFO, in bytes; also the text field of an ABORT.
pub(super) const TEXT_FIELD: usize = 300;

/// An id list up to its first null id; bytes that do not fill an id are ignored (wire-v4 §1.2).
pub(super) fn read_ids(list: Reader<'_>) -> Vec<Uid> {
    let (ids, _) = list.rest().as_chunks::<4>();
    ids.iter()
        .map(|id| Uid(u32::from_be_bytes(*id)))
        .take_while(|id| !id.is_none())
        .collect()
}

/// The ids of an ANNOUNCE. Whereas no list means an open group, a list that names nobody is a
/// contradiction and must not be taken for one.
pub(super) fn read_invited(list: Reader<'_>) -> Result<Vec<Uid>, DecodeError> {
    let ids = read_ids(list);
    if ids.is_empty() && list.left() >= 4 {
        return Err(list.error("client ids", Problem::Value(0)));
    }
    Ok(ids)
}

pub(super) fn write_ids(w: &mut Writer<'_>, ids: &[Uid]) -> Result<(), EncodeError> {
    for id in ids {
        if id.is_none() {
            return Err(EncodeError::NotInProtocol("null id within an id list"));
        }
        w.u32(id.0);
    }
    Ok(())
}

/// What stands before the first zero byte.
pub(super) fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// Writes `text` and zeros up to `width` bytes. `text` is not longer.
pub(super) fn write_padded(w: &mut Writer<'_>, text: &[u8], width: usize) {
    w.bytes(text);
    w.zeros(width.saturating_sub(text.len()));
}

/// Checks a name or link target that is to travel in a field ended by a zero byte.
pub(super) fn check_text(field: &'static str, text: &[u8], max: usize) -> Result<(), EncodeError> {
    if text.len() > max {
        return Err(EncodeError::TooBig {
            field,
            value: text.len(),
            max,
        });
    }
    if text.contains(&0) {
        return Err(EncodeError::NotInProtocol("zero byte within a name"));
    }
    Ok(())
}

/// The reason of an ABORT, made fit for a log: what is not text becomes U+FFFD.
pub(super) fn read_reason(field: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(until_zero(field))
        .chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect();
    that_fits(&text).to_owned()
}

/// Writes the reason of an ABORT, cut to what its field holds with a final zero.
pub(super) fn write_reason(w: &mut Writer<'_>, reason: &str) {
    let text = until_zero(that_fits(reason).as_bytes());
    write_padded(w, text, TEXT_FIELD);
}

fn that_fits(reason: &str) -> &str {
    let most = reason.len().min(TEXT_FIELD - 1);
    // A character is at most four bytes long, so one of these is a boundary.
    (0..4)
        .find_map(|back| reason.get(..most.saturating_sub(back)))
        .unwrap_or_default()
}

/// A file time that 32 bits cannot hold is sent as 0, unknown.
pub(super) fn time_to_32(mtime: i64) -> u32 {
    u32::try_from(mtime).unwrap_or(0)
}

/// A length that travels in 16 bits.
pub(super) fn len16(field: &'static str, value: usize) -> Result<u16, EncodeError> {
    let max = usize::from(u16::MAX);
    u16::try_from(value).map_err(|_| EncodeError::TooBig { field, value, max })
}
