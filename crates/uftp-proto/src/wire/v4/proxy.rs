//! HB_REQ, HB_RESP, KEY_REQ and PROXY_KEY (wire-v4 §4.15–4.18, wire-v5 §5.16–5.17).

use std::ops::Range;

use super::Dialect;
use super::frame::Head;
use crate::wire::fields::len16;
use crate::wire::header::Function;
use crate::wire::message::{HbCode, HbReq, HbResp, ProxyKey};
use crate::wire::reader::DecodeError;
use crate::wire::writer::{EncodeError, Writer};

/// Bytes of headers before the fields that differ in length and before extensions.
pub(super) const HB_REQ: usize = 12;
pub(super) const HB_RESP: usize = 8;
pub(super) const KEY_REQ: usize = 4;

pub(super) fn read_hb_req(Head { mut head, .. }: Head<'_>) -> Result<HbReq, DecodeError> {
    head.u16("reserved")?;
    let key_len = usize::from(head.u16("bloblen")?);
    let sig_len = usize::from(head.u16("siglen")?);
    Ok(HbReq {
        nonce: head.u32("nonce")?,
        key: head.bytes("key", key_len)?.to_vec(),
        signature: head.bytes("signature", sig_len)?.to_vec(),
    })
}

pub(super) fn write_hb_req(
    dialect: Dialect,
    m: &HbReq,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::HbReq, HB_REQ + m.key.len() + m.signature.len())?;
    w.u16(0);
    w.u16(len16("bloblen", m.key.len())?);
    w.u16(len16("siglen", m.signature.len())?);
    w.u32(m.nonce);
    w.bytes(&m.key);
    w.bytes(&m.signature);
    Ok(())
}

pub(super) fn read_hb_resp(Head { mut head, .. }: Head<'_>) -> Result<HbResp, DecodeError> {
    let code = HbCode(head.u8("authenticated")?);
    head.u8("reserved")?;
    Ok(HbResp {
        code,
        nonce: head.u32("nonce")?,
    })
}

pub(super) fn write_hb_resp(
    dialect: Dialect,
    m: &HbResp,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::HbResp, HB_RESP)?;
    w.u8(m.code.0);
    w.u8(0);
    w.u32(m.nonce);
    Ok(())
}

pub(super) fn write_key_req(dialect: Dialect, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    dialect.start(w, Function::KeyReq, KEY_REQ)?;
    w.u16(0);
    Ok(())
}

/// Bytes of a PROXY_KEY before the keys: protocol 5 has no nonce.
pub(super) fn proxy_key_fixed(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Four => 12,
        Dialect::Five => 8,
    }
}

pub(super) fn read_proxy_key(
    dialect: Dialect,
    Head { mut head, .. }: Head<'_>,
) -> Result<ProxyKey, DecodeError> {
    let key_len = usize::from(head.u16("bloblen")?);
    let dh_len = usize::from(head.u16("dhlen")?);
    let sig_len = usize::from(head.u16("siglen")?);
    let nonce = match dialect {
        Dialect::Four => head.u32("nonce")?,
        Dialect::Five => 0,
    };
    Ok(ProxyKey {
        nonce,
        key: head.bytes("key", key_len)?.to_vec(),
        dh_key: head.bytes("dh key", dh_len)?.to_vec(),
        signature: head.bytes("signature", sig_len)?.to_vec(),
    })
}

pub(super) fn write_proxy_key(
    dialect: Dialect,
    m: &ProxyKey,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(
        w,
        Function::ProxyKey,
        proxy_key_signature_at(dialect, m).end,
    )?;
    w.u16(len16("bloblen", m.key.len())?);
    w.u16(len16("dhlen", m.dh_key.len())?);
    w.u16(len16("siglen", m.signature.len())?);
    if dialect == Dialect::Four {
        w.u32(m.nonce);
    }
    w.bytes(&m.key);
    w.bytes(&m.dh_key);
    w.bytes(&m.signature);
    Ok(())
}

/// Where the signature of a PROXY_KEY lies in the message.
pub(in crate::wire) fn proxy_key_signature_at(dialect: Dialect, m: &ProxyKey) -> Range<usize> {
    let start = proxy_key_fixed(dialect) + m.key.len() + m.dh_key.len();
    start..start + m.signature.len()
}
