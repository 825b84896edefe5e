//! What steers a sender.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use uftp_proto::crypto::Fingerprint;
use uftp_proto::wire::{FixedPace, Version};
use uftp_proto::{GroupId, Instance, Uid};

use super::steps::RateSteps;
use crate::congestion::Limits;
use crate::security::SenderSecurity;

/// All that steers a sender. Values are taken as valid; programs check them against the ranges
/// of the command line.
#[derive(Clone, Debug)]
pub struct SenderConfig {
    /// Protocol to speak.
    pub version: Version,
    /// The sender's own id.
    pub uid: Uid,
    /// The session's number; must not be 0.
    pub group: GroupId,
    /// Restart counter, 0 unless resuming.
    pub instance: Instance,
    /// Where the session is announced.
    pub public: SocketAddr,
    /// Where the rest of the session goes. Equal to `public` in a unicast session.
    pub private: SocketAddr,
    /// Whether `public` is no single host but all hosts of a network.
    pub broadcast: bool,
    /// Invited receivers and proxies; `None` lets anybody register.
    pub clients: Option<Vec<ClientEntry>>,
    /// Bytes of file data in a packet.
    pub block_size: u16,
    /// How often a message is repeated before its addressee is given up.
    pub robust: u8,
    /// Round trip time estimate and its bounds.
    pub grtt: GrttBounds,
    /// All times, where they do not follow the round trips, and the size of datagrams, where that
    /// of blocks follows from it (protocol 3).
    pub fixed: FixedPace,
    /// Send rate.
    pub rate: Rate,
    /// How a fixed rate answers to loss; `None` if it does not (protocol 3).
    pub rate_steps: Option<Arc<dyn RateSteps>>,
    /// Give up on unfinished receivers after this many passes over a file.
    pub max_passes: u16,
    /// When a receiver that loses too much is given up.
    pub nak_limit: NakLimit,
    /// Most time for one file, in percent of what it takes at the rate; `None` for what is usual in
    /// the protocol.
    pub max_time_percent: Option<u32>,
    /// No file is given less than that; `None` for what is usual in the protocol.
    pub shortest_max_time: Option<Duration>,
    /// End the session as soon as one receiver is lost.
    pub quit_on_error: bool,
    /// Whether receivers skip what they have.
    pub sync: SyncMode,
    /// In an open group, go on as soon as this many have registered.
    pub min_clients: Option<usize>,
    /// How long those who are missing are announced to; `None` for as many times as the robustness
    /// factor says.
    pub announce_time: Option<Duration>,
    /// How the session is encrypted; `None` if it is not.
    pub security: Option<SenderSecurity>,
}

impl SenderConfig {
    /// Bytes of file data in a packet, unless the operator says otherwise (cli §2.1).
    pub const DEFAULT_BLOCK_SIZE: u16 = 1300;
    /// Repetitions of a message, unless the operator says otherwise (cli §2.1).
    pub const DEFAULT_ROBUST: u8 = 20;
    /// Passes over a file, unless the operator says otherwise (cli §2.1): as good as no limit.
    pub const DEFAULT_MAX_PASSES: u16 = u16::MAX;

    /// A session in the clear that anybody may join, with the defaults of the command line for all
    /// that is not given here.
    pub fn new(
        version: Version,
        uid: Uid,
        group: GroupId,
        public: SocketAddr,
        private: SocketAddr,
    ) -> Self {
        SenderConfig {
            version,
            uid,
            group,
            instance: Instance(0),
            public,
            private,
            broadcast: false,
            clients: None,
            block_size: Self::DEFAULT_BLOCK_SIZE,
            robust: Self::DEFAULT_ROBUST,
            grtt: GrttBounds::default(),
            fixed: FixedPace::default(),
            rate: Rate::default(),
            rate_steps: None,
            max_passes: Self::DEFAULT_MAX_PASSES,
            nak_limit: NakLimit::default(),
            max_time_percent: None,
            shortest_max_time: None,
            quit_on_error: false,
            sync: SyncMode::Off,
            min_clients: None,
            announce_time: None,
            security: None,
        }
    }
}

/// A receiver or proxy named by the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientEntry {
    /// Its id.
    pub uid: Uid,
    /// What the operator called it; stands in logs and status lines.
    pub name: String,
    /// It answers for others and receives nothing itself.
    pub proxy: bool,
    /// The key it must prove to have, in sessions with client authentication; `None` for any.
    pub fingerprint: Option<Fingerprint>,
}

impl ClientEntry {
    /// A receiver called by its id, of which no key is known.
    pub fn receiver(uid: Uid) -> Self {
        ClientEntry {
            uid,
            name: uid.to_string(),
            proxy: false,
            fingerprint: None,
        }
    }

    /// A proxy called by its id, of which no key is known.
    pub fn proxy(uid: Uid) -> Self {
        ClientEntry {
            proxy: true,
            ..Self::receiver(uid)
        }
    }
}

/// Initial round trip time estimate and its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrttBounds {
    /// Before anything is measured.
    pub initial: Duration,
    /// Never below.
    pub min: Duration,
    /// Never above.
    pub max: Duration,
}

impl Default for GrttBounds {
    fn default() -> Self {
        GrttBounds {
            initial: Duration::from_millis(500),
            min: Duration::from_millis(10),
            max: Duration::from_secs(15),
        }
    }
}

/// How fast data goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rate {
    /// Fixed, in bytes per second of IP packets.
    Fixed(u64),
    /// As fast as the slowest receiver keeps up, found from NAKs.
    SelfClocked,
    /// TCP-friendly: congestion control of RFC 4654.
    Tfmcc(Limits),
}

impl Default for Rate {
    /// 1000 Kbps (cli §2.1).
    fn default() -> Self {
        Rate::Fixed(1000 * 1024 / 8)
    }
}

impl Rate {
    /// The fixed rate, if it is one.
    pub fn fixed(self) -> Option<u64> {
        match self {
            Rate::Fixed(rate) => Some(rate),
            Rate::SelfClocked | Rate::Tfmcc(_) => None,
        }
    }
}

/// Loss beyond which a receiver is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NakLimit {
    /// A STATUS that reports more than this percentage of a section counts as a strike; 100 never.
    pub percent: u8,
    /// Strikes until the receiver is aborted.
    pub strikes: u32,
}

impl Default for NakLimit {
    fn default() -> Self {
        NakLimit {
            percent: 100,
            strikes: 1,
        }
    }
}

/// Whether receivers compare before they receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SyncMode {
    /// No: everything is sent.
    #[default]
    Off,
    /// Receivers skip what they have.
    Sync,
    /// Receivers only say what they would do.
    Preview,
}
