//! REGISTER, CLIENT_KEY, REG_CONF, KEYINFO and KEYINFO_ACK (wire-v4 §4.3–4.7, wire-v5 §5.3–5.7).

use std::ops::Range;

use super::Dialect;
use super::frame::Head;
use crate::ids::Uid;
use crate::wire::fields::{len16, read_ids, write_ids};
use crate::wire::header::Function;
use crate::wire::message::{ClientKey, KeyInfo, KeyInfoAck, RegConf, Register};
use crate::wire::reader::DecodeError;
use crate::wire::writer::{EncodeError, Writer};

/// Bytes of headers before the fields that differ in length and before extensions.
pub(super) const REGISTER: usize = 44;
pub(super) const CLIENT_KEY: usize = 8;
pub(super) const REG_CONF: usize = 4;
pub(super) const KEY_INFO: usize = 12;

/// Bytes of an entry of KEYINFO: id and wrapped secret.
const KEY_ENTRY: usize = 52;

/// Bytes of the proof in a KEYINFO_ACK of protocol 4.
const VERIFY_DATA: usize = 12;

pub(super) fn read_register(
    dialect: Dialect,
    Head { mut head, body }: Head<'_>,
) -> Result<Register, DecodeError> {
    let key_len = usize::from(head.u16("keyinfo_len")?);
    Ok(Register {
        echo: dialect.read_time(&mut head, "tstamp")?,
        random: head.array("random")?,
        key: head.bytes("keyinfo", key_len)?.to_vec(),
        clients: read_ids(body),
    })
}

pub(super) fn write_register(
    dialect: Dialect,
    m: &Register,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::Register, REGISTER + m.key.len())?;
    w.u16(len16("keyinfo_len", m.key.len())?);
    dialect.write_time(w, m.echo);
    w.bytes(&m.random);
    w.bytes(&m.key);
    write_ids(w, &m.clients)
}

pub(super) fn read_client_key(Head { mut head, .. }: Head<'_>) -> Result<ClientKey, DecodeError> {
    head.u16("reserved")?;
    let key_len = usize::from(head.u16("bloblen")?);
    let sig_len = usize::from(head.u16("siglen")?);
    Ok(ClientKey {
        key: head.bytes("key", key_len)?.to_vec(),
        signature: head.bytes("signature", sig_len)?.to_vec(),
    })
}

pub(super) fn write_client_key(
    dialect: Dialect,
    m: &ClientKey,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::ClientKey, client_key_signature_at(m).end)?;
    w.u16(0);
    w.u16(len16("bloblen", m.key.len())?);
    w.u16(len16("siglen", m.signature.len())?);
    w.bytes(&m.key);
    w.bytes(&m.signature);
    Ok(())
}

/// Where the signature of a CLIENT_KEY lies in the message.
pub(in crate::wire) fn client_key_signature_at(m: &ClientKey) -> Range<usize> {
    let start = CLIENT_KEY + m.key.len();
    start..start + m.signature.len()
}

pub(super) fn read_reg_conf(Head { body, .. }: Head<'_>) -> RegConf {
    RegConf {
        clients: read_ids(body),
    }
}

pub(super) fn write_reg_conf(
    dialect: Dialect,
    m: &RegConf,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::RegConf, REG_CONF)?;
    w.u16(0);
    write_ids(w, &m.clients)
}

pub(super) fn read_key_info(
    dialect: Dialect,
    Head { mut head, body }: Head<'_>,
) -> Result<KeyInfo, DecodeError> {
    let sig_len = match dialect {
        Dialect::Four => {
            head.u16("reserved")?;
            0
        }
        Dialect::Five => usize::from(head.u16("siglen")?),
    };
    let iv_counter = head.u64("iv_ctr")?;
    let signature = head.bytes("signature", sig_len)?.to_vec();
    let (entries, _) = body.rest().as_chunks::<KEY_ENTRY>();
    let keys = entries
        .iter()
        .filter_map(|entry| {
            let (id, secret) = entry.split_first_chunk::<4>()?;
            Some((Uid(u32::from_be_bytes(*id)), *secret.first_chunk()?))
        })
        .collect();
    Ok(KeyInfo {
        iv_counter,
        signature,
        keys,
    })
}

pub(super) fn write_key_info(
    dialect: Dialect,
    m: &KeyInfo,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    if dialect == Dialect::Four && !m.signature.is_empty() {
        return Err(EncodeError::NotInProtocol("signature in KEYINFO"));
    }
    dialect.start(w, Function::KeyInfo, key_info_signature_at(m).end)?;
    w.u16(len16("siglen", m.signature.len())?);
    w.u64(m.iv_counter);
    w.bytes(&m.signature);
    for (client, secret) in &m.keys {
        w.u32(client.0);
        w.bytes(secret);
    }
    Ok(())
}

/// Where the signature of a KEYINFO lies in the message.
pub(in crate::wire) fn key_info_signature_at(m: &KeyInfo) -> Range<usize> {
    KEY_INFO..KEY_INFO + m.signature.len()
}

/// The least a header of KEYINFO_ACK may have. How long the proof is in protocol 5 depends on
/// the session's hash.
pub(super) fn key_info_ack_least(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Four => 4 + VERIFY_DATA,
        Dialect::Five => 4,
    }
}

/// In protocol 5 the length field is 0 on the wire and all of the header is taken for the proof.
pub(super) fn read_key_info_ack(
    dialect: Dialect,
    Head { mut head, .. }: Head<'_>,
) -> Result<KeyInfoAck, DecodeError> {
    head.u16("reserved")?;
    let proof = match dialect {
        Dialect::Four => head.bytes("verify_data", VERIFY_DATA)?,
        Dialect::Five => head.rest(),
    };
    Ok(KeyInfoAck {
        verify_data: proof.to_vec(),
    })
}

pub(super) fn write_key_info_ack(
    dialect: Dialect,
    m: &KeyInfoAck,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    let len = m.verify_data.len();
    if dialect == Dialect::Four && len != VERIFY_DATA {
        return Err(EncodeError::Length {
            field: "verify_data",
            value: len,
            expected: VERIFY_DATA,
        });
    }
    dialect.start(w, Function::KeyInfoAck, 4 + len)?;
    w.u16(0);
    w.bytes(&m.verify_data);
    Ok(())
}
