//! Bitmaps that a deployed proxy has misread (behaviour-proxies §14.2).
//!
//! Under congestion control receivers put a report before the bitmap of a STATUS. A proxy of 4.10.2 or
//! 5.0.1 adds up what follows the fixed header, as many bytes as a block has, whatever the length of the
//! header says: what is missing seems to lie 160 blocks further on, behind what the reports look like as
//! bits.

use std::borrow::Cow;

use uftp_proto::wire::Status;

use crate::sender::session::Session;

/// Bytes of a report, TFMCC_ACK_INFO, and how it begins.
const REPORT: usize = 20;
const KIND: u8 = 3;
const WORDS: u8 = 5;
/// The flags there are.
const FLAGS: u8 = 0x0f;

/// The bitmap in a STATUS of the host at this place, on a section of so many `blocks`, as the receivers
/// behind it meant it. What did not fit at its end counts as missing.
pub(super) fn meant<'a>(s: &Session, at: usize, status: &Status<'a>, blocks: u32) -> Cow<'a, [u8]> {
    let naks = status.naks;
    let misread = status.tfmcc.is_none()
        && naks.len() == usize::from(s.block_size)
        && s.rate.tfmcc().is_some()
        && begins_with_reports(s, at, naks);
    let Some((_, map)) = naks.split_at_checked(REPORT).filter(|_| misread) else {
        return Cow::Borrowed(naks);
    };
    let whole = (blocks / 8) as usize + 1;
    match map.len() < whole {
        false => Cow::Borrowed(map),
        true => {
            let mut map = map.to_vec();
            map.resize(whole, 0xff);
            Cow::Owned(map)
        }
    }
}

/// Whether this begins like reports of receivers behind the host at this place, added up.
fn begins_with_reports(s: &Session, at: usize, naks: &[u8]) -> bool {
    let Some(&[KIND, WORDS, flags, 0, _, _, _, _, a, b, c, d]) = naks.first_chunk() else {
        return false;
    };
    let named = u32::from_be_bytes([a, b, c, d]);
    let behind = s.clients.iter().filter(|c| c.via == Some(at));
    let (mut some, mut all) = (false, 0);
    for uid in behind.map(|c| c.uid.0) {
        some |= named & uid == uid;
        all |= uid;
    }
    flags & !FLAGS == 0 && some && named & !all == 0
}
