//! Sending the data of a small file right behind its FILEINFO, before anybody has answered.
//!
//! Deployed senders wait for every FILEINFO_ACK first, which costs each file a round trip. A file
//! that is out before an answer could be back loses nothing by going at once: whoever got FILEINFO
//! takes the data, and who lost it does as it does with any data of a file it knows nothing of. If
//! somebody is still silent when DONE was to be answered, it is all done again with the wait.
//!
//! Not so the first file: a deployed receiver that hears DONE before its first FILEINFO takes it for
//! the end of the session and is lost to it (seen on 4.10.2).

use uftp_proto::Geometry;
use uftp_proto::wire::FileType;

use super::config::SyncMode;
use super::session::Session;
use crate::files::SendItem;
use crate::policy::PassStyle;

/// Whether data may go ahead of the answers, by what came of it before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// Everybody who takes part has heard of a file.
    begun: bool,
    /// Times in a row that it was in vain.
    failures: u32,
    /// Files to come that wait.
    waiting: u32,
}

impl Ahead {
    /// Most bytes that go ahead: deployed receivers have room for four times as many datagrams while
    /// they are busy with FILEINFO.
    const MOST: u64 = 65_536;
    /// Most times that the wait is doubled.
    const LONGEST: u32 = 8;

    /// Whether the next file may, if nothing is against it.
    fn next(&mut self) -> bool {
        let waits = self.waiting > 0;
        self.waiting = self.waiting.saturating_sub(1);
        self.begun && !waits
    }

    /// Everybody has answered a FILEINFO.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// Everybody had FILEINFO, and somebody takes the file.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Somebody had lost it, so that the file has to be sent again, or nobody takes it.
    pub(super) fn failed(&mut self) {
        self.failures = (self.failures + 1).min(Self::LONGEST);
        self.waiting = (1 << self.failures) - 1;
    }
}

impl Session {
    /// Whether the data of an item goes right behind its FILEINFO. Not where answers to that decide
    /// what is sent, nor through proxies, which collect them.
    pub(super) fn runs_ahead(&mut self, item: &SendItem, geometry: &Geometry) -> bool {
        let time = self.rate.charged() * u64::from(geometry.blocks());
        item.file_type == FileType::REGULAR
            && item.size <= Ahead::MOST
            && geometry.sections() <= 1
            && self.policy.passes == PassStyle::Streaming
            && self.config.sync == SyncMode::Off
            && self.config.instance.0 == 0
            && self.rate.tfmcc().is_none()
            && self.pacer.cost(time) <= self.advertised_grtt()
            && !self.clients.any_proxy()
            && self.ahead.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_make_ever_more_files_wait() {
        let mut ahead = Ahead::default();
        assert!(!ahead.next(), "nobody has heard of a file yet");
        ahead.begin();
        let waits = |ahead: &mut Ahead| (0..1000).take_while(|_| !ahead.next()).count();
        assert_eq!(waits(&mut ahead), 0);
        for count in [1, 3, 7, 15, 31, 63, 127, 255, 255] {
            ahead.failed();
            assert_eq!(waits(&mut ahead), count);
        }
        ahead.succeeded();
        ahead.failed();
        assert_eq!(waits(&mut ahead), 1);
    }
}
