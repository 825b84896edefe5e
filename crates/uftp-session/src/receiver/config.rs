use uftp_proto::Uid;

use crate::security::ReceiverSecurity;

/// All that steers a receiver.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// The receiver's own id.
    pub uid: Uid,
    /// Bytes gathered before they are written to disk.
    pub cache_size: usize,
    /// Most sessions at once; further announcements are refused and counted.
    pub max_sessions: usize,
    /// Refuse sessions that are not encrypted.
    pub require_encryption: bool,
    /// Its keys, and whom it trusts.
    pub security: ReceiverSecurity,
}
