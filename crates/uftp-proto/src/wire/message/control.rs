//! ABORT, and congestion control.

use crate::ids::Uid;
use crate::quant::{RateCode, RttCode};
use crate::time::WireTime;

/// Ends a session, or the current file, for one host or for all.
#[derive(Clone, PartialEq, Debug)]
pub struct Abort {
    /// Spare hosts that have finished the current file.
    pub current_file: bool,
    /// From a sender: the receiver meant, [`Uid::NONE`] for all. From a proxy: its client.
    pub host: Uid,
    /// Why, for people; at most 299 bytes.
    pub reason: String,
}

/// Congestion control type of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CcType(pub u8);

impl CcType {
    /// Fixed rate.
    pub const NONE: CcType = CcType(0);
    /// TCP-friendly multicast congestion control, RFC 4654.
    pub const TFMCC: CcType = CcType(2);
}

/// TFMCC_DATA_INFO: the sender's side of congestion control, in every block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TfmccDataInfo {
    /// Current send rate.
    pub send_rate: RateCode,
    /// Feedback round.
    pub cc_seq: u16,
    /// Lowest rate reported this round, scaled down; receivers above it stay silent.
    pub cc_rate: RateCode,
}

/// TFMCC_ACK_INFO: a receiver's side of congestion control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TfmccAckInfo {
    /// State of the receiver.
    pub flags: CcFlags,
    /// Feedback round it answers.
    pub cc_seq: u16,
    /// Rate the receiver computed.
    pub cc_rate: RateCode,
    /// The receiver.
    pub client: Uid,
    /// Last sender time heard plus the time it was held.
    pub echo: WireTime,
}

bitflags::bitflags! {
    /// State of a receiver under congestion control.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct CcFlags: u8 {
        /// It is the current limiting receiver.
        const CLR = 1;
        /// Its round trip time is known.
        const RTT = 2;
        /// Slow start.
        const START = 4;
        /// It leaves. Never sent by deployed programs.
        const LEAVE = 8;
    }
}

/// Congestion control of the group.
#[derive(Clone, PartialEq, Debug)]
pub struct CongCtrl {
    /// Feedback round.
    pub cc_seq: u16,
    /// Lowest rate reported this round, scaled down.
    pub cc_rate: RateCode,
    /// Sender's clock.
    pub timestamp: WireTime,
    /// Receivers told their round trip time.
    pub items: Vec<CongCtrlItem>,
}

/// One receiver in a CONG_CTRL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CongCtrlItem {
    /// The receiver.
    pub client: Uid,
    /// Its state as the sender sees it.
    pub flags: CcFlags,
    /// Its round trip time.
    pub rtt: RttCode,
}

/// A receiver's congestion report.
#[derive(Clone, PartialEq, Debug)]
pub struct CcAck {
    /// The report.
    pub info: TfmccAckInfo,
}
