//! The vocabulary: one type per meaning, whatever the protocol.
//!
//! Names are those of the protocol documents. File data and NAK bitmaps are borrowed from the
//! packet; everything else is owned. Fields that a protocol does not have are said so and hold
//! the given neutral value there.

mod announce;
mod control;
mod file;
mod handshake;
mod proxy;

pub use announce::{Announce, AnnounceFlags, EncInfo, FixedPace, Pace};
pub use control::{
    Abort, CcAck, CcFlags, CcType, CongCtrl, CongCtrlItem, TfmccAckInfo, TfmccDataInfo,
};
pub use file::{
    BlockRef, Complete, CompleteStatus, Done, DoneConf, FileInfo, FileInfoAck, FileSeg, FileType,
    PrStatus, Status,
};
pub use handshake::{ClientKey, KeyInfo, KeyInfoAck, RegConf, Register};
pub use proxy::{HbCode, HbReq, HbResp, ProxyKey};

use super::header::Function;

/// One message in the clear.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // each variant is documented at its type
pub enum Message<'a> {
    Announce(Announce),
    Register(Register),
    ClientKey(ClientKey),
    RegConf(RegConf),
    KeyInfo(KeyInfo),
    KeyInfoAck(KeyInfoAck),
    FileInfo(FileInfo),
    FileInfoAck(FileInfoAck),
    FileSeg(FileSeg<'a>),
    Done(Done),
    Status(Status<'a>),
    PrStatus(PrStatus),
    Complete(Complete),
    DoneConf(DoneConf),
    HbReq(HbReq),
    HbResp(HbResp),
    KeyReq,
    ProxyKey(ProxyKey),
    Abort(Abort),
    CongCtrl(CongCtrl),
    CcAck(CcAck),
}

impl Message<'_> {
    /// What it is, for the packet header.
    pub fn function(&self) -> Function {
        match self {
            Message::Announce(_) => Function::Announce,
            Message::Register(_) => Function::Register,
            Message::ClientKey(_) => Function::ClientKey,
            Message::RegConf(_) => Function::RegConf,
            Message::KeyInfo(_) => Function::KeyInfo,
            Message::KeyInfoAck(_) => Function::KeyInfoAck,
            Message::FileInfo(_) => Function::FileInfo,
            Message::FileInfoAck(_) => Function::FileInfoAck,
            Message::FileSeg(_) => Function::FileSeg,
            Message::Done(_) => Function::Done,
            Message::Status(_) => Function::Status,
            Message::PrStatus(_) => Function::PrStatus,
            Message::Complete(_) => Function::Complete,
            Message::DoneConf(_) => Function::DoneConf,
            Message::HbReq(_) => Function::HbReq,
            Message::HbResp(_) => Function::HbResp,
            Message::KeyReq => Function::KeyReq,
            Message::ProxyKey(_) => Function::ProxyKey,
            Message::Abort(_) => Function::Abort,
            Message::CongCtrl(_) => Function::CongCtrl,
            Message::CcAck(_) => Function::CcAck,
        }
    }
}
