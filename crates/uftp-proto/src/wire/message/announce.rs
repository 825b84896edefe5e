//! ANNOUNCE: what a session is like.

use std::net::IpAddr;

use super::CcType;
use crate::ids::Uid;
use crate::time::WireTime;

bitflags::bitflags! {
    /// What kind of session an ANNOUNCE opens.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct AnnounceFlags: u8 {
        /// Receivers skip files they have.
        const SYNC = 1;
        /// Receivers only say what they would do; always with `SYNC`.
        const SYNC_PREVIEW = 2;
        /// Resumes an earlier session. Protocol 3 only; later ones count instances.
        const RESTART = 4;
    }
}

/// Opens a session. Sender to public address, again and again while receivers register.
#[derive(Clone, PartialEq, Debug)]
pub struct Announce {
    /// Kind of session.
    pub flags: AnnounceFlags,
    /// The session's clockwork and packet size.
    pub pace: Pace,
    /// Sender's clock. Protocol 3 has none: 0.
    pub timestamp: WireTime,
    /// Group the session is announced on; unspecified in a unicast session.
    /// In protocol 3 it is not part of the message: unspecified.
    pub public: IpAddr,
    /// Group that carries the rest of the session; unspecified in a unicast session.
    pub private: IpAddr,
    /// Present when the session is encrypted.
    pub encryption: Option<EncInfo>,
    /// Invited receivers; none means anybody may register.
    pub clients: Vec<Uid>,
}

/// How a session times its messages and how large its packets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Protocols 4 and 5: times are multiples of the measured round trip.
    Adaptive {
        /// How often a message is repeated before its addressee is given up.
        robust: u8,
        /// Congestion control type, see [`CcType`].
        cc: CcType,
        /// Bytes of file data in a packet.
        block_size: u16,
    },
    /// Protocol 3: times are fixed by the sender.
    Fixed(FixedPace),
}

/// The clockwork of a protocol 3 session (wire-v3 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixedPace {
    /// Between announcements, ms.
    pub announce_interval: u16,
    /// Between requests for status, ms.
    pub status_interval: u16,
    /// Between registrations of a receiver, ms.
    pub register_interval: u16,
    /// Between a receiver's completions, ms.
    pub done_interval: u16,
    /// Length of the announce phase, s.
    pub announce_time: u8,
    /// Length of a status round, s.
    pub status_time: u8,
    /// Size of the largest IP datagram, bytes.
    pub mtu: u16,
}

/// What deployed senders use unless told otherwise (wire-v3 §12.1).
impl Default for FixedPace {
    fn default() -> Self {
        FixedPace {
            announce_interval: 2500,
            status_interval: 4000,
            register_interval: 4000,
            done_interval: 4000,
            announce_time: 10,
            status_time: 12,
            mtu: 1500,
        }
    }
}

/// Encryption of a session: the ENC_INFO extension, or the key fields of a protocol 3 ANNOUNCE.
///
/// Codes are as on the wire; whether they make sense is for `crypto` to say.
#[derive(Clone, PartialEq, Debug)]
pub struct EncInfo {
    /// Receivers must prove an identity with CLIENT_KEY.
    pub client_auth: bool,
    /// Key exchange code: 1 RSA, 2 ECDH_RSA, 3 ECDH_ECDSA. Protocol 3: 1. Protocol 5: 0.
    pub key_exchange: u8,
    /// Signature code: 1 HMAC, 2 by key exchange key, 3 AEAD. Protocol 5: 0.
    pub signature_type: u8,
    /// Cipher code.
    pub cipher: u8,
    /// Hash code.
    pub hash: u8,
    /// Sender's random number.
    pub random: [u8; 32],
    /// Sender's public key blob. Protocol 3: exponent and modulus in the same blob form.
    pub key: Vec<u8>,
    /// Sender's ephemeral ECDH key blob; empty with RSA key exchange.
    pub dh_key: Vec<u8>,
    /// Signature over the packet; empty with RSA key exchange.
    pub signature: Vec<u8>,
}
