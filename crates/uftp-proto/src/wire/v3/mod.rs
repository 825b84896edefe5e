//! Protocol 3 (wire-v3 §4): fixed layouts with counted lists. Wire id 0x31 adds file times and
//! sync mode to 0x30. Every message has exactly the length its counts say.

mod announce;
mod file;
mod handshake;
mod proxy;
mod rsa;

use super::encrypted::{read_iv_counter, write_iv_counter};
use super::fields::{TEXT_FIELD, len16, read_ids, read_reason, write_ids, write_reason};
use super::functions;
use super::header::{Function, Version};
use super::message::{Abort, Message};
use super::reader::{DecodeError, Problem, Reader};
use super::writer::{EncodeError, Writer};
use crate::ids::Uid;

pub(super) use self::announce::{block_size, invites};
pub(super) use self::file::{FILESEG_HEAD, write_fileseg_head};

const CURRENT_FILE: u8 = 0x01;

pub(super) fn decode(
    version: Version,
    function: Function,
    bytes: &[u8],
) -> Result<Message<'_>, DecodeError> {
    let mut r = Reader::new(Some(function), bytes);
    let number = r.u8("function")?;
    let not_a_message = r.error("function", Problem::Value(number.into()));
    if functions::number(version, function) != Some(number) {
        return Err(not_a_message);
    }
    Ok(match function {
        Function::Announce => Message::Announce(announce::read(version, r)?),
        Function::Register => Message::Register(handshake::read_register(r)?),
        Function::ClientKey => Message::ClientKey(handshake::read_client_key(r)?),
        Function::RegConf => Message::RegConf(handshake::read_reg_conf(r)?),
        Function::KeyInfo => Message::KeyInfo(handshake::read_key_info(version, r)?),
        Function::KeyInfoAck | Function::FileInfoAck => handshake::read_info_ack(r)?,
        Function::FileInfo => Message::FileInfo(file::read_file_info(version, r)?),
        Function::FileSeg => Message::FileSeg(file::read_file_seg(r)?),
        Function::Done => Message::Done(file::read_done(r)?),
        Function::Status => Message::Status(file::read_status(r)?),
        Function::PrStatus => Message::PrStatus(file::read_pr_status(r)?),
        Function::Complete => Message::Complete(file::read_complete(r)?),
        Function::DoneConf => Message::DoneConf(file::read_done_conf(r)?),
        Function::HbReq => Message::HbReq(proxy::read_hb_req(r)?),
        Function::HbResp => Message::HbResp(proxy::read_hb_resp(r)?),
        Function::KeyReq => proxy::read_key_req(r)?,
        Function::ProxyKey => Message::ProxyKey(proxy::read_proxy_key(r)?),
        Function::Abort => Message::Abort(read_abort(r)?),
        Function::Encrypted | Function::CongCtrl | Function::CcAck => return Err(not_a_message),
    })
}

pub(super) fn encode(
    version: Version,
    message: &Message<'_>,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    start(version, message.function(), w)?;
    match message {
        Message::Announce(m) => announce::write(version, m, w),
        Message::Register(m) => handshake::write_register(m, w),
        Message::ClientKey(m) => handshake::write_client_key(m, w),
        Message::RegConf(m) => handshake::write_reg_conf(m, w),
        Message::KeyInfo(m) => handshake::write_key_info(version, m, w),
        Message::KeyInfoAck(m) => handshake::write_key_info_ack(m, w),
        Message::FileInfo(m) => file::write_file_info(version, m, w),
        Message::FileInfoAck(m) => handshake::write_file_info_ack(m, w),
        Message::FileSeg(m) => file::write_file_seg(m, w),
        Message::Done(m) => file::write_done(m, w),
        Message::Status(m) => file::write_status(m, w),
        Message::PrStatus(m) => file::write_pr_status(m, w),
        Message::Complete(m) => file::write_complete(m, w),
        Message::DoneConf(m) => file::write_done_conf(m, w),
        Message::HbReq(m) => proxy::write_hb_req(m, w),
        Message::HbResp(m) => proxy::write_hb_resp(m, w),
        Message::KeyReq => proxy::write_key_req(w),
        Message::ProxyKey(m) => proxy::write_proxy_key(m, w),
        Message::Abort(m) => write_abort(m, w),
        Message::CongCtrl(_) => Err(EncodeError::NotInProtocol("CONG_CTRL")),
        Message::CcAck(_) => Err(EncodeError::NotInProtocol("CC_ACK")),
    }
}

/// Writes the function byte.
fn start(version: Version, function: Function, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    let number = functions::number(version, function)
        .ok_or(EncodeError::NotInProtocol("message of this kind"))?;
    w.u8(number);
    Ok(())
}

/// What is left to read must be `len` bytes.
fn ends_after(r: &Reader<'_>, field: &'static str, len: usize) -> Result<(), DecodeError> {
    if r.left() != len {
        let problem = Problem::Length {
            says: len,
            expected: r.left(),
        };
        return Err(r.error(field, problem));
    }
    Ok(())
}

/// The rest of a message, a list of `count` ids.
fn read_list(r: Reader<'_>, count: usize) -> Result<Vec<Uid>, DecodeError> {
    ends_after(&r, "destination count", count * 4)?;
    Ok(read_ids(r))
}

fn write_count(w: &mut Writer<'_>, ids: &[Uid]) -> Result<(), EncodeError> {
    w.u16(len16("destination count", ids.len())?);
    Ok(())
}

fn read_abort(mut r: Reader<'_>) -> Result<Abort, DecodeError> {
    let flags = r.u8("flags")?;
    r.u16("reserved")?;
    let host = Uid(r.u32("host")?);
    ends_after(&r, "message", TEXT_FIELD)?;
    Ok(Abort {
        current_file: flags & CURRENT_FILE != 0,
        host,
        reason: read_reason(r.rest()),
    })
}

fn write_abort(m: &Abort, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.u8(if m.current_file { CURRENT_FILE } else { 0 });
    w.u16(0);
    w.u32(m.host.0);
    write_reason(w, &m.reason);
    Ok(())
}
