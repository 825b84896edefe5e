//! HB_REQ to PROXY_KEY: between proxies and whom they speak for.

/// A heartbeat towards a proxy; with nonce, key and signature when it answers a challenge.
#[derive(Clone, PartialEq, Debug)]
pub struct HbReq {
    /// Nonce of the challenge, else 0.
    pub nonce: u32,
    /// Public key blob, else empty.
    pub key: Vec<u8>,
    /// Signature over the nonce (SHA-1), else empty.
    pub signature: Vec<u8>,
}

/// Verdict on a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HbCode(pub u8);

impl HbCode {
    /// Authentication failed.
    pub const FAILED: HbCode = HbCode(0);
    /// Accepted.
    pub const OK: HbCode = HbCode(1);
    /// Prove yourself with the nonce.
    pub const CHALLENGE: HbCode = HbCode(2);
}

/// Answer to a heartbeat.
#[derive(Clone, PartialEq, Debug)]
pub struct HbResp {
    /// The verdict.
    pub code: HbCode,
    /// With [`HbCode::CHALLENGE`]: the nonce to sign, else 0.
    pub nonce: u32,
}

/// A proxy's keys for its clients.
#[derive(Clone, PartialEq, Debug)]
pub struct ProxyKey {
    /// Nonce under the signature. Protocol 5 has none: 0.
    pub nonce: u32,
    /// Public key blob.
    pub key: Vec<u8>,
    /// ECDH key blob, or empty.
    pub dh_key: Vec<u8>,
    /// Signature.
    pub signature: Vec<u8>,
}
