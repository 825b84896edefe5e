//! Room on the disk for what is to come.

use std::io;

use uftp_proto::wire::CompleteStatus;
use uftp_session::files::Offer;

use super::beneath::{Entry, Way};
use super::name::Target;
use super::session::DiskSession;
use crate::log::{self, printable};

/// What senders of protocol 4 take for "unknown" (behaviour-sender-receiver §5.5).
const UNKNOWN_SPACE: u64 = i64::MAX as u64;

impl DiskSession {
    /// Whether the disk has room for so many bytes more at `target`, at the end of `way`. Where nothing
    /// asks to keep the file that is `there`, it goes at once if there is no room for both, as in
    /// 4.10.2, which writes over it.
    pub(super) fn has_room(
        &self,
        way: &Way,
        target: &Target,
        there: Entry,
        to_come: u64,
    ) -> io::Result<bool> {
        // Other directories may be other disks.
        let parent = way.reached();
        let short_of = match parent.free_space() {
            Ok(free) => to_come.saturating_sub(free),
            Err(_) => 0,
        };
        if short_of == 0 {
            return Ok(true);
        }
        if !matches!(there, Entry::Regular { .. }) || !self.old_may_go(target)? {
            return Ok(false);
        }
        if parent.freed_without(&target.entry)? < short_of {
            return Ok(false);
        }
        let name = printable(target.path().as_os_str().as_encoded_bytes());
        log::line(
            1,
            Some(self.tag()),
            format_args!("Removing the old {name}: the disk has no room for both"),
        );
        parent.remove_file(&target.entry)?;
        Ok(true)
    }

    /// Whether what is at `target` need not be kept until its successor has come.
    pub(super) fn old_may_go(&self, target: &Target) -> io::Result<bool> {
        let kept = self.staging.is_some() || self.root(target)?.backup.is_some();
        Ok(self.place.old_may_go && !kept)
    }

    /// The answer to a sender who asks for the free space.
    pub(super) fn free_space(&self) -> Offer {
        let free = self.place.roots.first().map(|r| r.dest.dir.free_space());
        Offer::Done {
            status: CompleteStatus::NORMAL,
            free_space: Some(free.and_then(Result::ok).unwrap_or(UNKNOWN_SPACE)),
            note: None,
        }
    }
}
