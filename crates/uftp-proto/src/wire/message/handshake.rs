//! REGISTER to KEYINFO_ACK: receivers join, and get their keys.

use crate::ids::Uid;
use crate::time::WireTime;

/// A receiver (or a proxy for many) joins. Receiver to the source of the ANNOUNCE.
#[derive(Clone, PartialEq, Debug)]
pub struct Register {
    /// Last sender time heard plus the time it was held. Protocol 3 has none: 0.
    pub echo: WireTime,
    /// Receiver's random number; zero in a plain session.
    pub random: [u8; 32],
    /// Encrypted premaster or ephemeral ECDH key blob; empty in a plain session.
    pub key: Vec<u8>,
    /// From a proxy: whom it registers.
    pub clients: Vec<Uid>,
}

/// A receiver's public key, and proof that it holds the private one.
#[derive(Clone, PartialEq, Debug)]
pub struct ClientKey {
    /// Public key blob.
    pub key: Vec<u8>,
    /// Signature over the handshake.
    pub signature: Vec<u8>,
}

/// Names receivers whose REGISTER arrived.
#[derive(Clone, PartialEq, Debug)]
pub struct RegConf {
    /// The receivers.
    pub clients: Vec<Uid>,
}

/// Hands the group master secret to receivers, wrapped for each.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyInfo {
    /// Protocols 4 and 5: IV counter. Protocol 3: the sender's clock, as [`WireTime`].
    pub iv_counter: u64,
    /// Signature over the packet. Protocol 5 only: else empty.
    pub signature: Vec<u8>,
    /// Receiver and wrapped secret (48 bytes) each.
    pub keys: Vec<(Uid, [u8; 48])>,
}

/// A receiver has the group master secret. In protocol 3 an INFO_ACK for file 0.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyInfoAck {
    /// Proof: 12 bytes in protocols 3 and 4, a hash length in protocol 5, where whoever checks
    /// it takes that many bytes from the front: the wire does not say how long it is.
    pub verify_data: Vec<u8>,
}
