//! Where protocols differ in behaviour rather than in layout.
//!
//! Session code asks the policy of its session, never for the protocol version.

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
    /// Whether a receiver's standing response proxy, with one key for all sessions, speaks this
    /// protocol. Elsewhere proxies are named with the senders they stand before.
    pub standing_proxy: bool,
    /// How CLIENT_KEY comes.
    pub client_key: Form,
    /// What hosts are called.
    pub names: Names,
    /// What tells the encrypted packets of a host from each other.
    pub numbering: Numbering,
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

/// How a pass over a file is organised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PassStyle {
    /// All sections are streamed, receivers report each as the next begins (protocols 4 and 5).
    Streaming,
    /// The sender asks for reports after each section and waits for them (protocol 3).
    LockStep,
}

impl Policy {
    /// The policy of a protocol.
    pub fn of(version: Version) -> Policy {
        match version {
            Version::V3 | Version::V3Sync => Policy {
                sectioning: Sectioning::Filled,
                passes: PassStyle::LockStep,
                register_interval: 4,
                standing_proxy: true,
                client_key: Form::Clear,
                names: Names::Addresses,
                numbering: Numbering::Clocks,
            },
            Version::V4 => Policy {
                sectioning: Sectioning::Balanced,
                passes: PassStyle::Streaming,
                register_interval: 4,
                standing_proxy: true,
                client_key: Form::Clear,
                names: Names::Ids,
                numbering: Numbering::Counters,
            },
            Version::V5 => Policy {
                register_interval: 5,
                standing_proxy: false,
                client_key: Form::Sealed,
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
                standing_proxy: true,
                client_key: Form::Clear,
                ..v5
            },
            v4
        );
    }
}
