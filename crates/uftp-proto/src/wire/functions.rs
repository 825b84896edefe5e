//! The numbers of the messages in each protocol (wire-v4 §2.1, wire-v5 §2.2, wire-v3 §2.2).

use super::header::{Function, Version};

/// Protocols 4 and 5, by number. Protocol 5 has no KEY_REQ.
const MODERN: [Option<Function>; 22] = [
    None,
    Some(Function::Announce),
    Some(Function::Register),
    Some(Function::ClientKey),
    Some(Function::RegConf),
    Some(Function::KeyInfo),
    Some(Function::KeyInfoAck),
    Some(Function::FileInfo),
    Some(Function::FileInfoAck),
    Some(Function::FileSeg),
    Some(Function::Done),
    Some(Function::Status),
    Some(Function::Complete),
    Some(Function::DoneConf),
    Some(Function::HbReq),
    Some(Function::HbResp),
    Some(Function::KeyReq),
    Some(Function::ProxyKey),
    Some(Function::Encrypted),
    Some(Function::Abort),
    Some(Function::CongCtrl),
    Some(Function::CcAck),
];

/// Protocol 3, by number. 7 is INFO_ACK, which answers KEYINFO when its file id, at offset 2, is
/// 0. 80 and 99 stand apart.
const V3: [Option<Function>; 18] = [
    None,
    Some(Function::Announce),
    Some(Function::Register),
    Some(Function::ClientKey),
    Some(Function::RegConf),
    Some(Function::FileInfo),
    Some(Function::KeyInfo),
    Some(Function::FileInfoAck),
    Some(Function::FileSeg),
    Some(Function::Done),
    Some(Function::Status),
    Some(Function::PrStatus),
    Some(Function::Complete),
    Some(Function::DoneConf),
    Some(Function::HbReq),
    Some(Function::HbResp),
    Some(Function::KeyReq),
    Some(Function::ProxyKey),
];
const V3_ENCRYPTED: u8 = 80;
const V3_ABORT: u8 = 99;

/// The message with this number, `bytes` being its beginning as far as it is there.
pub(super) fn by_number(version: Version, number: u8, bytes: &[u8]) -> Option<Function> {
    let found = |table: &[Option<Function>]| table.get(usize::from(number)).copied().flatten();
    match version {
        Version::V4 => found(&MODERN),
        Version::V5 => found(&MODERN).filter(|f| *f != Function::KeyReq),
        Version::V3 | Version::V3Sync => match number {
            V3_ENCRYPTED => Some(Function::Encrypted),
            V3_ABORT => Some(Function::Abort),
            _ => match (found(&V3), bytes) {
                (Some(Function::FileInfoAck), [_, _, 0, 0, ..]) => Some(Function::KeyInfoAck),
                (function, _) => function,
            },
        },
    }
}

/// The number of a message, if the protocol has it.
pub(super) fn number(version: Version, function: Function) -> Option<u8> {
    let place = |table: &[Option<Function>], function| {
        let at = table.iter().position(|f| *f == Some(function))?;
        u8::try_from(at).ok()
    };
    match (version, function) {
        (Version::V5, Function::KeyReq) => None,
        (Version::V4 | Version::V5, _) => place(&MODERN, function),
        (Version::V3 | Version::V3Sync, Function::Encrypted) => Some(V3_ENCRYPTED),
        (Version::V3 | Version::V3Sync, Function::Abort) => Some(V3_ABORT),
        (Version::V3 | Version::V3Sync, Function::KeyInfoAck) => place(&V3, Function::FileInfoAck),
        (Version::V3 | Version::V3Sync, _) => place(&V3, function),
    }
}
