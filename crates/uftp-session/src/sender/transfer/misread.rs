//! Bitmaps that a deployed proxy has misread (behaviour-proxies §14.2).
//!
//! Under congestion control receivers put a report before the bitmap of a STATUS. A proxy of 4.10.2 or
//! 5.0.1 adds up what follows the fixed header, as many bytes as a block has, whatever the length of the
//! header says: what is missing seems to lie 160 blocks further on, behind what the reports look like as
//! bits.

use std::borrow::Cow;

use uftp_proto::Uid;
use uftp_proto::wire::{Status, split_added_reports};

use crate::sender::session::Session;

/// The bitmap in a STATUS of the host at this place, on a section of so many `blocks`, as the receivers
/// behind it meant it. What did not fit at its end counts as missing.
pub(super) fn meant<'a>(s: &Session, at: usize, status: &Status<'a>, blocks: u32) -> Cow<'a, [u8]> {
    let naks = status.naks;
    let misread = status.tfmcc.is_none()
        && naks.len() == usize::from(s.block_size)
        && s.rate.tfmcc().is_some();
    let parts = split_added_reports(naks).filter(|_| misread);
    let Some((_, map)) = parts.filter(|(ids, _)| speak(s, at, *ids)) else {
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

/// Whether `ids`, added up, are those of some of the receivers behind the host at this place.
fn speak(s: &Session, at: usize, ids: Uid) -> bool {
    let behind = s.clients.iter().filter(|c| c.is_behind(at));
    let (mut some, mut all) = (false, 0);
    for uid in behind.map(|c| c.uid.0) {
        some |= ids.0 & uid == uid;
        all |= uid;
    }
    some && ids.0 & !all == 0
}
