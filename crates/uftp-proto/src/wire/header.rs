//! What stands in front of every message: whose it is, what it is, and in which protocol.

use crate::ids::{GroupId, Instance, Uid};
use crate::quant::{GroupSizeCode, RttCode};
use crate::seq::Seq;

/// A protocol generation, told by the first byte of every packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// Protocol 3, wire id 0x30.
    V3,
    /// Protocol 3 with file times and sync mode, wire id 0x31 (3.5 and later).
    V3Sync,
    /// Protocol 4, wire id 0x40.
    V4,
    /// Protocol 5, wire id 0x50.
    V5,
}

impl Version {
    /// The first byte of a packet.
    pub fn wire_id(self) -> u8 {
        match self {
            Version::V3 => 0x30,
            Version::V3Sync => 0x31,
            Version::V4 => 0x40,
            Version::V5 => 0x50,
        }
    }

    /// The version with this first byte, if it is one of ours.
    pub fn from_wire_id(id: u8) -> Option<Version> {
        match id {
            0x30 => Some(Version::V3),
            0x31 => Some(Version::V3Sync),
            0x40 => Some(Version::V4),
            0x50 => Some(Version::V5),
            _ => None,
        }
    }
}

/// What a packet is. The numbers differ between protocol 3 and the later ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // the names of the protocol documents; see the message types
pub enum Function {
    Announce,
    Register,
    ClientKey,
    RegConf,
    KeyInfo,
    KeyInfoAck,
    FileInfo,
    FileInfoAck,
    FileSeg,
    Done,
    Status,
    /// Protocol 3: whom a proxy's STATUS speaks for.
    PrStatus,
    Complete,
    DoneConf,
    HbReq,
    HbResp,
    KeyReq,
    ProxyKey,
    /// The wrapper around an encrypted message.
    Encrypted,
    Abort,
    CongCtrl,
    CcAck,
}

impl Function {
    /// Whether it travels downstream only: what senders say within a session, and proxies for them, but
    /// for ABORT and the wrapper, which travel both ways (wire-v4 §2.1).
    pub fn is_downstream(self) -> bool {
        matches!(
            self,
            Function::Announce
                | Function::RegConf
                | Function::KeyInfo
                | Function::FileInfo
                | Function::FileSeg
                | Function::Done
                | Function::DoneConf
                | Function::CongCtrl
        )
    }
}

/// The 16 bytes in front of every message (wire-v4 §1.1, wire-v3 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Protocol generation.
    pub version: Version,
    /// Type of the message, or [`Function::Encrypted`].
    pub function: Function,
    /// Counter of the packets its sender sent. Protocol 3 has none: 0.
    pub seq: Seq,
    /// Who sent it.
    pub src: Uid,
    /// The session, 0 outside one.
    pub group: GroupId,
    /// Restart counter of the session. Protocol 3 has none: 0.
    pub instance: Instance,
    /// Round trip time to the farthest receiver; meaningful downstream only, else 0.
    pub grtt: RttCode,
    /// Estimate of the number of receivers; meaningful downstream only, else 0.
    pub group_size: GroupSizeCode,
    /// Protocol 3: who it is for. Not on the wire in later protocols: [`Uid::NONE`].
    pub dest: Uid,
}

impl Header {
    /// Bytes on the wire.
    pub const LEN: usize = 16;
}
