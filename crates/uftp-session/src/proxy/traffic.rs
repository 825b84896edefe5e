//! What has gone through a proxy, counted.

use uftp_proto::wire::Message;

/// What has gone through a proxy since it was made. Only what belongs to sessions counts, not
/// heartbeats and keys outside of them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// Towards receivers: what was passed on to them, and what the proxy told them itself.
    pub down: Flow,
    /// Towards senders, likewise.
    pub up: Flow,
    /// Answers of receivers that were gathered. A list of a proxy below counts for each in it.
    pub gathered: u64,
    /// Messages that the gathered answers became.
    pub gatherings: u64,
}

/// Datagrams one way, and the bytes in them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Flow {
    /// How many.
    pub datagrams: u64,
    /// Their UDP payload in bytes.
    pub bytes: u64,
}

impl Flow {
    pub(super) fn count(&mut self, len: usize) {
        self.datagrams += 1;
        self.bytes += len as u64;
    }
}

impl Traffic {
    /// Counts a message of the proxy's own to a server.
    pub(super) fn said_up(&mut self, message: &Message<'_>, len: usize) {
        self.up.count(len);
        let gathered = matches!(
            message,
            Message::Register(_)
                | Message::FileInfoAck(_)
                | Message::Complete(_)
                | Message::Status(_)
                | Message::PrStatus(_)
        );
        self.gatherings += u64::from(gathered);
    }
}
