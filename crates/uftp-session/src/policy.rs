//! Where protocols differ in behaviour rather than in layout.
//!
//! Session code asks the policy of its session, never for the protocol version.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use uftp_proto::Uid;
use uftp_proto::geometry::Sectioning;
use uftp_proto::wire::Version;

use crate::security::gate::Form;

/// The behaviour of one protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// How files are cut into sections.
    pub sectioning: Sectioning,
    /// How a pass over a file is organised.
    pub passes: PassStyle,
    /// A receiver repeats REGISTER after this many round trip times, and gives up after this
    /// many times the robustness factor (behaviour-sender-receiver §1.2). Without meaning where
    /// the sender fixes the intervals.
    pub register_interval: u32,
    /// The protocol in which a receiver asks a standing response proxy for its keys, the same for
    /// all sessions. `None` where proxies are named with the senders they stand before.
    pub standing_proxy: Option<Version>,
    /// How CLIENT_KEY comes.
    pub client_key: Form,
    /// What a sender's times follow.
    pub clockwork: Clockwork,
    /// How a sender is told from its earlier run.
    pub runs: Runs,
    /// When receivers are told the times of files.
    pub file_times: FileTimes,
    /// How those who have not finished a file are given up together.
    pub farewell: Farewell,
    /// How long a file may take.
    pub time_limit: TimeLimit,
    /// What hosts are called.
    pub names: Names,
    /// What tells the encrypted packets of a host from each other.
    pub numbering: Numbering,
    /// In whose name a proxy hands the group's keys to its clients.
    pub key_giver: KeyGiver,
    /// How long the lists in which a proxy names its clients may be.
    pub proxy_lists: ProxyLists,
}

/// In whose name a proxy hands the group's keys to its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyGiver {
    /// In that of the server (protocol 4; behaviour-proxies §7.3).
    Server,
    /// In its own, which its clients were told (protocol 5).
    Named,
    /// In its own, which may be anybody's: only who can unwrap them knows whom they come from
    /// (protocol 3; wire-v3 §5.5, §8.3).
    Anybody,
}

/// How long the lists in which a proxy names its clients may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyLists {
    /// As a block, whatever else is in the message (protocols 4 and 5; behaviour-proxies §3).
    Block,
    /// So that no datagram is longer than one of file data (protocol 3; wire-v3 §3).
    Datagram,
}

/// How long a file may take, by its size and the rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeLimit {
    /// Percentage of the time the file takes at the rate, at fixed rates, if the operator gives
    /// none; `None` for no limit.
    pub percent: Option<u32>,
    /// No file is given less, if the operator says nothing of that.
    pub shortest: Duration,
    /// Bytes per second that stand for a rate that is not fixed; `None` if there is no limit then.
    pub unbounded: Option<u64>,
}

/// What tells the encrypted packets of a host from each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbering {
    /// A counter that only grows.
    Counters,
    /// The host's clock, in microseconds (wire-v3 §5.6).
    Clocks,
}

/// What hosts are called in a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// By their ids, and nothing else (protocols 4 and 5).
    Ids,
    /// By any of their addresses, or by an id. Who does not know which says 0, and learns its name
    /// from the first list that holds one of its own (protocol 3; wire-v3 §2.3, §9.1).
    Addresses,
}

impl Names {
    /// Who a packet comes from that names `uid` as its source and arrived from `from`: nobody is
    /// whom the address says (wire-v3 §9.1).
    pub(crate) fn author(self, uid: Uid, from: SocketAddr) -> Uid {
        match self {
            Names::Addresses if uid.is_none() => Uid::from_addr(from.ip()),
            _ => uid,
        }
    }

    /// What an announcement to all hosts of a network states as its group, where there is none
    /// (wire-v3 §4.3). In protocols 4 and 5 it is as if it went to one host.
    pub fn group_of_all(self) -> IpAddr {
        match self {
            Names::Ids => Ipv4Addr::UNSPECIFIED.into(),
            Names::Addresses => Ipv4Addr::BROADCAST.into(),
        }
    }

    /// The source of messages of `uid` outside sessions (wire-v3 §2.1).
    pub(crate) fn outside_sessions(self, uid: Uid) -> Uid {
        match self {
            Names::Ids => uid,
            Names::Addresses => Uid::NONE,
        }
    }
}

/// How a pass over a file is organised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PassStyle {
    /// All sections are streamed, receivers report each as the next begins (protocols 4 and 5).
    Streaming,
    /// The sender asks for reports after each section and waits for them (protocol 3).
    LockStep,
}

/// What a sender's times follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clockwork {
    /// The measured round trips; messages are repeated a number of times (protocols 4 and 5).
    RoundTrips,
    /// What its operator fixed, which it tells everybody (protocol 3).
    Fixed,
}

/// How a run of a session is told from those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runs {
    /// By its number, which stands in every header (protocols 4 and 5).
    Numbered,
    /// By a flag in its ANNOUNCE (protocol 3).
    Flagged,
}

/// When receivers are told the times of files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileTimes {
    /// Always (protocols 4 and 5).
    Always,
    /// To compare them with those of their own (protocol 3; wire-v3 §4.8).
    InSyncMode,
}

/// How those who have not finished a file are given up together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Farewell {
    /// Each by an ABORT of its own (protocols 4 and 5).
    ToEach,
    /// All by one as long as nobody has, else as above. It says that it spares those who have
    /// (protocol 3; wire-v3 §6.5), but receivers up to 3.5 do not know that word and leave with the
    /// others.
    CurrentFile,
}

impl PassStyle {
    /// The number of a pass as messages state it; 0 where they do not.
    pub(crate) fn stated(self, pass: u32) -> u8 {
        match self {
            PassStyle::Streaming => 0,
            PassStyle::LockStep => pass as u8, // at most 255 passes
        }
    }
}

impl Policy {
    /// The policy of a protocol.
    pub fn of(version: Version) -> Policy {
        match version {
            Version::V3 | Version::V3Sync => Policy {
                sectioning: Sectioning::Filled,
                passes: PassStyle::LockStep,
                register_interval: 4,
                standing_proxy: Some(Version::V3),
                client_key: Form::Clear,
                clockwork: Clockwork::Fixed,
                runs: Runs::Flagged,
                file_times: FileTimes::InSyncMode,
                farewell: Farewell::CurrentFile,
                time_limit: TimeLimit {
                    percent: Some(300),
                    shortest: Duration::from_secs(10),
                    unbounded: Some(100_000 * 1024 / 8),
                },
                names: Names::Addresses,
                numbering: Numbering::Clocks,
                key_giver: KeyGiver::Anybody,
                proxy_lists: ProxyLists::Datagram,
            },
            Version::V4 => Policy {
                sectioning: Sectioning::Balanced,
                passes: PassStyle::Streaming,
                register_interval: 4,
                standing_proxy: Some(Version::V4),
                client_key: Form::Clear,
                clockwork: Clockwork::RoundTrips,
                runs: Runs::Numbered,
                file_times: FileTimes::Always,
                farewell: Farewell::ToEach,
                time_limit: TimeLimit {
                    percent: None,
                    shortest: Duration::ZERO,
                    unbounded: None,
                },
                names: Names::Ids,
                numbering: Numbering::Counters,
                key_giver: KeyGiver::Server,
                proxy_lists: ProxyLists::Block,
            },
            Version::V5 => Policy {
                register_interval: 5,
                standing_proxy: None,
                client_key: Form::Sealed,
                key_giver: KeyGiver::Named,
                ..Policy::of(Version::V4)
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_5_differs_from_4_in_how_receivers_register_only() {
        let v4 = Policy::of(Version::V4);
        let v5 = Policy::of(Version::V5);
        assert_eq!((v4.register_interval, v5.register_interval), (4, 5));
        let forms = (v4.client_key, v5.client_key);
        assert_eq!(forms, (Form::Clear, Form::Sealed));
        assert_eq!(
            Policy {
                register_interval: 4,
                standing_proxy: Some(Version::V4),
                client_key: Form::Clear,
                key_giver: KeyGiver::Server,
                ..v5
            },
            v4
        );
    }
}
