//! What a sender says about itself between events.

use uftp_proto::FileId;

/// Bytes of a file that were sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Volume {
    /// In the first pass.
    pub sent: u64,
    /// In later passes: what receivers missed.
    pub repaired: u64,
}

/// How far a session has come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The current item, [`FileId::SESSION`] outside one.
    pub file: FileId,
    /// Its name at the receivers.
    pub name: Vec<u8>,
    /// Its size in bytes.
    pub size: u64,
    /// What has been sent of it.
    pub volume: Volume,
    /// Pass over it, from 1; 0 before its data flows.
    pub pass: u32,
    /// Bytes per second the sender allows itself.
    pub rate: u64,
    /// Receivers that have finished it.
    pub clients_done: usize,
    /// Receivers that are at it.
    pub clients_active: usize,
    /// Receivers that never came, were lost or have left.
    pub clients_missing: usize,
    /// The session is being announced: those at it have registered.
    pub announcing: bool,
}
