//! HB_REQ, HB_RESP, KEY_REQ and PROXY_KEY (wire-v3 §4.17–4.20).

use super::{ends_after, rsa};
use crate::wire::fields::len16;
use crate::wire::message::{HbCode, HbReq, HbResp, Message, ProxyKey};
use crate::wire::reader::{DecodeError, Reader};
use crate::wire::writer::{EncodeError, Writer};

pub(super) fn read_hb_req(r: Reader<'_>) -> Result<HbReq, DecodeError> {
    let (nonce, key, signature) = read_signed_nonce(r)?;
    Ok(HbReq {
        nonce,
        key,
        signature,
    })
}

pub(super) fn write_hb_req(m: &HbReq, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    write_signed_nonce(m.nonce, &m.key, &m.signature, w)
}

pub(super) fn read_hb_resp(mut r: Reader<'_>) -> Result<HbResp, DecodeError> {
    let code = HbCode(r.u8("authenticated")?);
    r.u16("reserved")?;
    ends_after(&r, "nonce", 4)?;
    Ok(HbResp {
        code,
        nonce: r.u32("nonce")?,
    })
}

pub(super) fn write_hb_resp(m: &HbResp, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.u8(m.code.0);
    w.u16(0);
    w.u32(m.nonce);
    Ok(())
}

pub(super) fn read_key_req(r: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    ends_after(&r, "reserved", 3)?;
    Ok(Message::KeyReq)
}

pub(super) fn write_key_req(w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.zeros(3);
    Ok(())
}

pub(super) fn read_proxy_key(r: Reader<'_>) -> Result<ProxyKey, DecodeError> {
    let (nonce, key, signature) = read_signed_nonce(r)?;
    Ok(ProxyKey {
        nonce,
        key,
        dh_key: Vec::new(),
        signature,
    })
}

pub(super) fn write_proxy_key(m: &ProxyKey, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    if !m.dh_key.is_empty() {
        return Err(EncodeError::NotInProtocol("ECDH key exchange"));
    }
    write_signed_nonce(m.nonce, &m.key, &m.signature, w)
}

/// What HB_REQ and PROXY_KEY have in common: nonce, key blob and signature.
fn read_signed_nonce(mut r: Reader<'_>) -> Result<(u32, Vec<u8>, Vec<u8>), DecodeError> {
    r.bytes("reserved", 3)?;
    let nonce = r.u32("nonce")?;
    let key_len = r.u16("public key modulus length")?;
    let sig_len = usize::from(r.u16("signed nonce length")?);
    let exponent = r.u32("public key exponent")?;
    let key = rsa::read(&mut r, exponent, key_len)?;
    ends_after(&r, "signed nonce length", sig_len)?;
    Ok((nonce, key, r.rest().to_vec()))
}

fn write_signed_nonce(
    nonce: u32,
    key: &[u8],
    signature: &[u8],
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    let (len, exponent, modulus) = rsa::parts(key)?;
    w.zeros(3);
    w.u32(nonce);
    w.u16(len);
    w.u16(len16("signed nonce length", signature.len())?);
    w.u32(exponent);
    w.bytes(modulus);
    w.bytes(signature);
    Ok(())
}
