//! What a receiver tells its driver.

use std::net::{IpAddr, SocketAddr};

use uftp_proto::crypto::{Fingerprint, Suite};
use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_proto::{FileId, Instance, Uid};

use crate::table::SessionId;

/// What happened in one session of a receiver, or outside of any.
#[derive(Clone, PartialEq, Debug)]
pub struct ReceiverEvent {
    /// Where; `None` outside of sessions.
    pub session: Option<SessionId>,
    /// During which file, [`FileId::SESSION`] between files.
    pub file: FileId,
    /// What.
    pub kind: ReceiverEventKind,
}

/// What happened in a session, and what the driver must do.
#[derive(Clone, PartialEq, Debug)]
pub enum ReceiverEventKind {
    /// An ANNOUNCE was accepted.
    Announced {
        /// The sender.
        server: Uid,
        /// Where the ANNOUNCE came from.
        from: SocketAddr,
        /// The group that will carry the session; `None` in a unicast session.
        private: Option<IpAddr>,
    },
    /// The session is encrypted, with these algorithms.
    Secured(Suite),
    /// The session is not encrypted, though the operator has said what the sender's key is: nothing
    /// proves whose it is.
    Unproved,
    /// The driver must join this group, before it next polls for transmits, and on failure call
    /// [`Receiver::join_failed`](super::Receiver::join_failed).
    Join(IpAddr),
    /// As [`Join`](Self::Join), but only for what these senders send there (source specific
    /// multicast). Always the same senders.
    JoinFrom {
        /// The group.
        group: IpAddr,
        /// Where its senders are.
        sources: Vec<IpAddr>,
    },
    /// The driver must leave this group; no session needs it any more.
    Leave(IpAddr),
    /// REGISTER went out.
    RegisterSent,
    /// CLIENT_KEY went out.
    ClientKeySent,
    /// KEYINFO brought keys.
    KeyInfoReceived,
    /// KEYINFO_ACK went out.
    KeyInfoAckSent,
    /// Under congestion control: CC_ACK went out.
    CcAckSent {
        /// The rate asked for, bytes per second.
        rate: u64,
    },
    /// Somebody without keys says in the sender's name that we are to go: his words. It counts if no keys
    /// come in time.
    Dismissed(String),
    /// The sender has confirmed the registration.
    Confirmed,
    /// A file was offered and will be received.
    FileStarted {
        /// Its name as received; any bytes.
        name: Vec<u8>,
        /// What it is.
        file_type: FileType,
        /// Size in bytes.
        size: u64,
        /// Blocks it is cut into.
        blocks: u32,
        /// Sections it is cut into.
        sections: u16,
    },
    /// FILEINFO_ACK went out.
    FileInfoAckSent,
    /// DONE named us.
    DoneReceived {
        /// Section it named.
        section: u16,
    },
    /// A STATUS went out.
    NaksSent {
        /// For which section.
        section: u16,
        /// Blocks missing.
        count: u32,
    },
    /// The file is in its place, or was skipped, rejected or done at once.
    FileFinished {
        /// Its name as received; any bytes.
        name: Vec<u8>,
        /// What it is.
        file_type: FileType,
        /// Size in bytes.
        size: u64,
        /// How it ended.
        status: CompleteStatus,
        /// Why, if rejected or skipped.
        note: Option<String>,
    },
    /// The file was given up and is not in its place.
    FileFailed {
        /// Its name as received; any bytes.
        name: Vec<u8>,
        /// Why.
        reason: String,
    },
    /// COMPLETE went out.
    CompleteSent,
    /// The sender asked to end the session.
    GroupDone,
    /// The session is over; nothing follows for it.
    Ended(EndReason),
    /// An upstream proxy has accepted our heartbeat, for the first time or again after silence.
    HeartbeatAccepted(SocketAddr),
    /// An upstream proxy does not believe our heartbeat, or we have no key to prove it.
    HeartbeatDenied(SocketAddr),
    /// An upstream proxy no longer answers heartbeats.
    HeartbeatUnanswered(SocketAddr),
    /// The response proxy was asked for its keys.
    ProxyKeyRequested(SocketAddr),
    /// The response proxy's keys are here; another one than before, if there was one.
    ProxyKeyReceived(Fingerprint),
    /// The proxy of a session showed a key that is not believed, and why.
    ProxyKeyRejected(&'static str),
    /// An encrypted session comes by way of a proxy that hands its keys on only to those who have it in
    /// their list, and nothing names it: the keys will never come. Told once in a session.
    ProxyUnnamed {
        /// The sender.
        server: Uid,
        /// Its proxy.
        proxy: Uid,
        /// Where both are heard from.
        address: IpAddr,
    },
    /// More PROXY_KEYs come from the proxy's address than are looked into: somebody may be forging them.
    /// Told once in a session, and once for standing keys.
    ProxyKeysTooMany(SocketAddr),
}

/// How a session ended at a receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// The sender confirmed our completion.
    Confirmed,
    /// All was received but the confirmation never came.
    Unconfirmed,
    /// The sender ended it: its words.
    AbortedByServer(String),
    /// We ended it: our words to the sender.
    Aborted(String),
    /// The sender has begun a later run of it, as this instance; nobody is left to be told.
    Superseded(Instance),
    /// It came in the clear, and its sender has proved that it is encrypted; it begins anew.
    Encrypted,
}
