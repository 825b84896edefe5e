//! Protocols 4 and 5 (wire-v4 §4, wire-v5 §5): messages with a header length in words, header
//! extensions and a body. The two differ in a few fields; a [`Dialect`] says how.

mod announce;
mod control;
mod extension;
mod file;
mod frame;
mod handshake;
mod proxy;

use self::frame::Head;
use super::functions;
use super::header::{Function, Version};
use super::message::Message;
use super::reader::{DecodeError, Problem, Reader};
use super::writer::{EncodeError, Writer};
use crate::time::WireTime;

pub(super) use self::announce::{enc_info_at, enc_info_signature_at, invites};
pub(super) use self::extension::added_reports;
pub(super) use self::file::{fileseg_head_len, write_fileseg_head};
pub(super) use self::handshake::{client_key_signature_at, key_info_signature_at};
pub(super) use self::proxy::proxy_key_signature_at;

/// Which of the two generations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    Four,
    Five,
}

impl Dialect {
    fn version(self) -> Version {
        match self {
            Dialect::Four => Version::V4,
            Dialect::Five => Version::V5,
        }
    }

    /// Eight bytes of time: seconds and microseconds in protocol 4, microseconds in protocol 5.
    fn read_time(self, r: &mut Reader<'_>, field: &'static str) -> Result<WireTime, DecodeError> {
        Ok(match self {
            Dialect::Four => WireTime::from_parts(r.u32(field)?, r.u32(field)?),
            Dialect::Five => WireTime(r.u64(field)?),
        })
    }

    fn write_time(self, w: &mut Writer<'_>, time: WireTime) {
        match self {
            Dialect::Four => {
                let (seconds, micros) = time.to_parts();
                w.u32(seconds);
                w.u32(micros);
            }
            Dialect::Five => w.u64(time.0),
        }
    }

    /// Writes function and header length of a message whose header is `len` bytes.
    fn start(self, w: &mut Writer<'_>, function: Function, len: usize) -> Result<(), EncodeError> {
        let number = functions::number(self.version(), function)
            .ok_or(EncodeError::NotInProtocol("message of this kind"))?;
        w.u8(number);
        w.u8(frame::words("header", len)?);
        Ok(())
    }
}

pub(super) fn decode(
    dialect: Dialect,
    function: Function,
    bytes: &[u8],
) -> Result<Message<'_>, DecodeError> {
    let head = |fixed| Head::split(function, bytes, fixed);
    Ok(match function {
        Function::Announce => Message::Announce(announce::read(dialect, head(announce::LEAST)?)?),
        Function::Register => Message::Register(handshake::read_register(
            dialect,
            head(handshake::REGISTER)?,
        )?),
        Function::ClientKey => {
            Message::ClientKey(handshake::read_client_key(head(handshake::CLIENT_KEY)?)?)
        }
        Function::RegConf => Message::RegConf(handshake::read_reg_conf(head(handshake::REG_CONF)?)),
        Function::KeyInfo => Message::KeyInfo(handshake::read_key_info(
            dialect,
            head(handshake::KEY_INFO)?,
        )?),
        Function::KeyInfoAck => {
            let least = handshake::key_info_ack_least(dialect);
            Message::KeyInfoAck(handshake::read_key_info_ack(dialect, head(least)?)?)
        }
        Function::FileInfo => {
            Message::FileInfo(file::read_file_info(dialect, head(file::FILE_INFO)?)?)
        }
        Function::FileInfoAck => Message::FileInfoAck(file::read_file_info_ack(
            dialect,
            head(file::FILE_INFO_ACK)?,
        )?),
        Function::FileSeg => Message::FileSeg(file::read_file_seg(head(file::FILE_SEG)?)?),
        Function::Done => Message::Done(file::read_done(head(file::DONE)?)?),
        Function::Status => Message::Status(file::read_status(dialect, head(file::STATUS)?)?),
        Function::Complete => Message::Complete(file::read_complete(head(file::COMPLETE)?)?),
        Function::DoneConf => Message::DoneConf(file::read_done_conf(head(file::DONE_CONF)?)),
        Function::HbReq => Message::HbReq(proxy::read_hb_req(head(proxy::HB_REQ)?)?),
        Function::HbResp => Message::HbResp(proxy::read_hb_resp(head(proxy::HB_RESP)?)?),
        Function::KeyReq if dialect == Dialect::Four => {
            head(proxy::KEY_REQ)?;
            Message::KeyReq
        }
        Function::ProxyKey => {
            let fixed = proxy::proxy_key_fixed(dialect);
            Message::ProxyKey(proxy::read_proxy_key(dialect, head(fixed)?)?)
        }
        Function::Abort => Message::Abort(control::read_abort(head(control::ABORT)?)?),
        Function::CongCtrl => {
            Message::CongCtrl(control::read_cong_ctrl(dialect, head(control::CONG_CTRL)?)?)
        }
        Function::CcAck => Message::CcAck(control::read_cc_ack(dialect, head(control::CC_ACK)?)?),
        Function::KeyReq | Function::PrStatus | Function::Encrypted => {
            let number = bytes.first().copied().unwrap_or_default();
            let r = Reader::new(Some(function), bytes);
            return Err(r.error("func", Problem::Value(number.into())));
        }
    })
}

pub(super) fn encode(
    dialect: Dialect,
    message: &Message<'_>,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    match message {
        Message::Announce(m) => announce::write(dialect, m, w),
        Message::Register(m) => handshake::write_register(dialect, m, w),
        Message::ClientKey(m) => handshake::write_client_key(dialect, m, w),
        Message::RegConf(m) => handshake::write_reg_conf(dialect, m, w),
        Message::KeyInfo(m) => handshake::write_key_info(dialect, m, w),
        Message::KeyInfoAck(m) => handshake::write_key_info_ack(dialect, m, w),
        Message::FileInfo(m) => file::write_file_info(dialect, m, w),
        Message::FileInfoAck(m) => file::write_file_info_ack(dialect, m, w),
        Message::FileSeg(m) => file::write_file_seg(dialect, m, w),
        Message::Done(m) => file::write_done(dialect, m, w),
        Message::Status(m) => file::write_status(dialect, m, w),
        Message::PrStatus(_) => Err(EncodeError::NotInProtocol("PRSTATUS")),
        Message::Complete(m) => file::write_complete(dialect, m, w),
        Message::DoneConf(m) => file::write_done_conf(dialect, m, w),
        Message::HbReq(m) => proxy::write_hb_req(dialect, m, w),
        Message::HbResp(m) => proxy::write_hb_resp(dialect, m, w),
        Message::KeyReq => proxy::write_key_req(dialect, w),
        Message::ProxyKey(m) => proxy::write_proxy_key(dialect, m, w),
        Message::Abort(m) => control::write_abort(dialect, m, w),
        Message::CongCtrl(m) => control::write_cong_ctrl(dialect, m, w),
        Message::CcAck(m) => control::write_cc_ack(dialect, m, w),
    }
}
