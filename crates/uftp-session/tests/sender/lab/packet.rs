//! What the sender sent.

use std::net::SocketAddr;
use std::time::Duration;

use uftp_proto::Uid;
use uftp_proto::wire::{self, Header, Message};

/// A datagram of the sender.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Since the first one.
    pub(crate) at: Duration,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Packet {
    pub(crate) fn header(&self) -> Header {
        wire::decode_header(&self.bytes).unwrap()
    }

    pub(crate) fn message(&self) -> Message<'_> {
        let header = self.header();
        wire::decode(header.version, header.function, &self.bytes[Header::LEN..]).unwrap()
    }

    /// Milliseconds since the first packet.
    pub(crate) fn ms(&self) -> f64 {
        self.at.as_secs_f64() * 1e3
    }

    /// A word for the kind of message, with the ids it lists.
    pub(crate) fn word(&self) -> String {
        let ids = |ids: &[Uid]| ids.iter().map(|u| format!(" {}", u.0)).collect::<String>();
        match self.message() {
            Message::Announce(m) => format!("ANNOUNCE{}", ids(&m.clients)),
            Message::RegConf(m) => format!("REG_CONF{}", ids(&m.clients)),
            Message::FileInfo(m) => format!("FILEINFO({}){}", m.file.0, ids(&m.clients)),
            Message::FileSeg(_) => "FILESEG".into(),
            Message::Done(m) => format!("DONE({}){}", m.file.0, ids(&m.clients)),
            Message::DoneConf(m) => format!("DONE_CONF{}", ids(&m.clients)),
            Message::Abort(m) => format!("ABORT({}) {}", m.host.0, m.reason),
            other => format!("{other:?}"),
        }
    }
}
