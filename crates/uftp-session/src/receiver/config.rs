//! What steers a receiver.

use std::net::{IpAddr, SocketAddr};

use uftp_proto::Uid;
use uftp_proto::crypto::Fingerprint;
use uftp_proto::wire::Version;

use crate::heartbeat::Heartbeats;
use crate::security::ReceiverSecurity;

/// All that steers a receiver.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// The receiver's own id.
    pub uid: Uid,
    /// The ids of its addresses, where hosts are called by these (protocol 3).
    pub addresses: Vec<Uid>,
    /// Bytes gathered before they are written to disk.
    pub cache_size: usize,
    /// Most sessions at once; further announcements are refused and counted.
    pub max_sessions: usize,
    /// The protocols it hears; `None` for all.
    pub protocols: Option<Vec<Version>>,
    /// Refuse sessions that are not encrypted.
    pub require_encryption: bool,
    /// Its keys, and whom it trusts.
    pub security: ReceiverSecurity,
    /// Proxies told where it is.
    pub heartbeats: Heartbeats,
    /// Answers go to this proxy instead of senders.
    pub response_proxy: Option<ResponseProxy>,
}

impl ReceiverConfig {
    /// Bytes gathered before they are written, unless the operator says otherwise (cli §3.1).
    pub const DEFAULT_CACHE_SIZE: usize = 1 << 20;
    /// Sessions at once, unless the operator says otherwise.
    pub const DEFAULT_MAX_SESSIONS: usize = 100;

    /// A receiver that hears all protocols from everybody, in the clear and encrypted, with the
    /// defaults of the command line for all that is not given here.
    pub fn new(uid: Uid) -> Self {
        ReceiverConfig {
            uid,
            addresses: Vec::new(),
            cache_size: Self::DEFAULT_CACHE_SIZE,
            max_sessions: Self::DEFAULT_MAX_SESSIONS,
            protocols: None,
            require_encryption: false,
            security: ReceiverSecurity::default(),
            heartbeats: Heartbeats::default(),
            response_proxy: None,
        }
    }

    /// The addresses groups are joined for; `None` for any. A response proxy speaks to groups, too
    /// (wire-v5 §11.5).
    pub fn sources(&self) -> Option<Vec<IpAddr>> {
        let mut sources = self.security.sources()?;
        sources.extend(self.response_proxy.map(|proxy| proxy.addr.ip()));
        Some(sources)
    }

    /// Whether sessions of this protocol are heard.
    pub(super) fn hears(&self, version: Version) -> bool {
        let listed = self.protocols.as_ref();
        listed.is_none_or(|listed| listed.contains(&version))
    }

    /// All that it may be called, its own id first.
    pub(super) fn names(&self) -> impl Iterator<Item = Uid> {
        let own = Some(self.uid).filter(|uid| !uid.is_none());
        own.into_iter().chain(self.addresses.iter().copied())
    }
}

/// A proxy that gathers answers (protocol 4; behaviour-proxies §12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseProxy {
    /// Where it is.
    pub addr: SocketAddr,
    /// Its key; `None` for any.
    pub fingerprint: Option<Fingerprint>,
}
