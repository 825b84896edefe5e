//! ABORT, CONG_CTRL and CC_ACK (wire-v4 §4.19–4.21, wire-v5 §5.15, §5.18, §5.19).

use super::frame::Head;
use super::{Dialect, extension};
use crate::ids::Uid;
use crate::quant::{RateCode, RttCode};
use crate::wire::fields::{TEXT_FIELD, read_reason, write_reason};
use crate::wire::header::Function;
use crate::wire::message::{Abort, CcAck, CcFlags, CongCtrl, CongCtrlItem};
use crate::wire::reader::{DecodeError, Problem};
use crate::wire::writer::{EncodeError, Writer};

/// Bytes of headers before the fields that differ in length and before extensions.
pub(super) const ABORT: usize = 8 + TEXT_FIELD;
pub(super) const CONG_CTRL: usize = 16;
pub(super) const CC_ACK: usize = 4;

const CURRENT_FILE: u8 = 0x01;

pub(super) fn read_abort(Head { mut head, .. }: Head<'_>) -> Result<Abort, DecodeError> {
    let flags = head.u8("flags")?;
    head.u8("reserved")?;
    Ok(Abort {
        current_file: flags & CURRENT_FILE != 0,
        host: Uid(head.u32("host")?),
        reason: read_reason(head.bytes("message", TEXT_FIELD)?),
    })
}

pub(super) fn write_abort(
    dialect: Dialect,
    m: &Abort,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::Abort, ABORT)?;
    w.u8(if m.current_file { CURRENT_FILE } else { 0 });
    w.u8(0);
    w.u32(m.host.0);
    write_reason(w, &m.reason);
    Ok(())
}

/// The items begin where the header ends. Deployed receivers take offset 16 whatever the header
/// says; no program puts anything between.
pub(super) fn read_cong_ctrl(
    dialect: Dialect,
    Head { mut head, body }: Head<'_>,
) -> Result<CongCtrl, DecodeError> {
    head.u16("reserved")?;
    let cc_seq = head.u16("cc_seq")?;
    let cc_rate = RateCode(head.u16("cc_rate")?);
    let timestamp = dialect.read_time(&mut head, "tstamp")?;
    let (items, _) = body.rest().as_chunks::<8>();
    let items = items
        .iter()
        .map(|&[a, b, c, d, flags, rtt, _, _]| CongCtrlItem {
            client: Uid(u32::from_be_bytes([a, b, c, d])),
            flags: CcFlags::from_bits_truncate(flags),
            rtt: RttCode(rtt),
        })
        .collect();
    Ok(CongCtrl {
        cc_seq,
        cc_rate,
        timestamp,
        items,
    })
}

pub(super) fn write_cong_ctrl(
    dialect: Dialect,
    m: &CongCtrl,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::CongCtrl, CONG_CTRL)?;
    w.u16(0);
    w.u16(m.cc_seq);
    w.u16(m.cc_rate.0);
    dialect.write_time(w, m.timestamp);
    for item in &m.items {
        w.u32(item.client.0);
        w.u8(item.flags.bits());
        w.u8(item.rtt.0);
        w.u16(0);
    }
    Ok(())
}

pub(super) fn read_cc_ack(
    dialect: Dialect,
    Head { mut head, .. }: Head<'_>,
) -> Result<CcAck, DecodeError> {
    head.u16("reserved")?;
    match extension::tfmcc_ack(dialect, head)? {
        Some(info) => Ok(CcAck { info }),
        None => {
            let found = head.u8("TFMCC_ACK_INFO")?;
            Err(head.error("extension type", Problem::Value(found.into())))
        }
    }
}

pub(super) fn write_cc_ack(
    dialect: Dialect,
    m: &CcAck,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::CcAck, CC_ACK + extension::TFMCC_ACK_INFO)?;
    w.u16(0);
    extension::write_tfmcc_ack(dialect, w, &m.info)
}
