//! What a proxy tells its driver.

use std::net::{IpAddr, SocketAddr};

use uftp_proto::crypto::Suite;
use uftp_proto::wire::CompleteStatus;
use uftp_proto::{FileId, Uid};

use crate::table::SessionId;

/// What happened in a proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyEvent {
    /// In which session; `None` outside of any.
    pub session: Option<SessionId>,
    /// What.
    pub kind: ProxyEventKind,
}

/// What happened in a proxy, and what the driver must do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProxyEventKind {
    /// The first ANNOUNCE of a session was accepted.
    Announced {
        /// The sender.
        server: Uid,
        /// Where it came from: upstream.
        from: SocketAddr,
        /// Group it is announced on; unspecified if there is none.
        public: IpAddr,
        /// The group that carries the session; `None` if there is none.
        private: Option<IpAddr>,
    },
    /// The driver must join this group, and on failure call
    /// [`Proxy::join_failed`](super::Proxy::join_failed).
    Join(IpAddr),
    /// As [`Join`](Self::Join), but only for what these servers send there (source specific
    /// multicast). Always the same servers.
    JoinFrom {
        /// The group.
        group: IpAddr,
        /// Where its servers are.
        sources: Vec<IpAddr>,
    },
    /// The session is encrypted, with these algorithms.
    Secured(Suite),
    /// The server has handed us the group's keys.
    KeyInfoReceived,
    /// The group's keys went out to so many clients.
    KeyInfoSent(usize),
    /// A client proved that it has them.
    KeyInfoAcked {
        /// Which.
        client: Uid,
    },
    /// A client proved who it is.
    ClientKeyReceived {
        /// Which.
        client: Uid,
        /// It had before.
        again: bool,
    },
    /// A client has another key than it is known by, or is not known. It is sent away.
    ClientKeyRejected {
        /// Which.
        client: Uid,
    },
    /// A client registered but never got so far as to have the group's keys. It is given up.
    Unregistered {
        /// Which.
        client: Uid,
    },
    /// A client has proved nothing yet, all places were taken, and another one has its place.
    Displaced {
        /// Which.
        client: Uid,
    },
    /// The driver must leave this group.
    Leave(IpAddr),
    /// A client registered.
    Registered {
        /// Which.
        client: Uid,
        /// The proxy below us that speaks for it, if one does.
        via: Option<Uid>,
        /// It had before.
        again: bool,
    },
    /// REGISTER went out for so many clients.
    RegisterSent(usize),
    /// FILEINFO_ACK went out.
    FileInfoAckSent {
        /// Of which file.
        file: FileId,
        /// For how many clients.
        clients: usize,
    },
    /// A STATUS went out.
    NaksSent {
        /// Of which file.
        file: FileId,
        /// Of which section.
        section: u16,
        /// Blocks missing somewhere.
        count: u32,
    },
    /// COMPLETE went out.
    CompleteSent {
        /// Of which file.
        file: FileId,
        /// How it ended.
        status: CompleteStatus,
        /// For how many clients.
        clients: usize,
    },
    /// The server ended the session for a host, or for all.
    AbortedByServer {
        /// Whom; [`Uid::NONE`] for all.
        host: Uid,
        /// Its words.
        reason: String,
    },
    /// A client ended its part in the session.
    AbortedByClient {
        /// Which.
        client: Uid,
        /// Its words.
        reason: String,
    },
    /// A client was sent away: there are too many.
    ClientRefused(Uid),
    /// The ANNOUNCE of an open session came from another place: a loop, or two servers. Told
    /// once a session.
    SecondSource(SocketAddr),
    /// The proxy ends, and the session with it.
    ShutDown,
    /// The next run of the session is announced: this one is over.
    Superseded,
    /// It came in the clear, and its sender has proved that it is encrypted; it begins anew.
    Encrypted,
    /// Nothing was heard for long; the session is forgotten.
    TimedOut,
    /// A session was announced to us, and the server told that it cannot be: our words.
    Refused {
        /// Where the ANNOUNCE came from.
        from: SocketAddr,
        /// Why.
        reason: &'static str,
    },
    /// Nobody has proved yet to be our downstream, and somebody needs it. Told once.
    NoDownstream(SocketAddr),
    /// This is our downstream from now on.
    Downstream(SocketAddr),
    /// A heartbeat for the downstream address was not proved.
    HeartbeatRefused(SocketAddr),
    /// An upstream proxy has accepted our heartbeat, for the first time or again after silence.
    HeartbeatAccepted(SocketAddr),
    /// An upstream proxy does not believe our heartbeat, or we have no key to prove it.
    HeartbeatDenied(SocketAddr),
    /// An upstream proxy no longer answers heartbeats.
    HeartbeatUnanswered(SocketAddr),
    /// PROXY_KEY went out to the public groups.
    ProxyKeySent,
}
