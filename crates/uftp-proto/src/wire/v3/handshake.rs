//! REGISTER, CLIENT_KEY, REG_CONF, KEYINFO and INFO_ACK (wire-v3 §4.4–4.7, §4.9).

use super::{
    ends_after, read_iv_counter, read_list, rsa, write_count, write_ids, write_iv_counter,
};
use crate::ids::{FileId, Uid};
use crate::time::WireTime;
use crate::wire::fields::len16;
use crate::wire::header::Version;
use crate::wire::message::{
    ClientKey, FileInfoAck, KeyInfo, KeyInfoAck, Message, RegConf, Register,
};
use crate::wire::reader::{DecodeError, Problem, Reader};
use crate::wire::writer::{EncodeError, Writer};

/// Bytes of a wrapped group master secret.
const SECRET: u8 = 48;

/// Bytes of the proof in an INFO_ACK.
const VERIFY_DATA: usize = 12;

const PARTIAL: u8 = 0x01;

pub(super) fn read_register(mut r: Reader<'_>) -> Result<Register, DecodeError> {
    r.bytes("reserved", 3)?;
    let count = usize::from(r.u16("destination count")?);
    let key_len = usize::from(r.u16("encrypted premaster length")?);
    Ok(Register {
        echo: WireTime(0),
        random: r.array("client random number")?,
        key: r.bytes("encrypted premaster secret", key_len)?.to_vec(),
        clients: read_list(r, count)?,
    })
}

pub(super) fn write_register(m: &Register, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.zeros(3);
    write_count(w, &m.clients)?;
    w.u16(len16("encrypted premaster length", m.key.len())?);
    w.bytes(&m.random);
    w.bytes(&m.key);
    write_ids(w, &m.clients)
}

pub(super) fn read_client_key(mut r: Reader<'_>) -> Result<ClientKey, DecodeError> {
    r.bytes("reserved", 3)?;
    let key_len = r.u16("public key modulus length")?;
    let sig_len = usize::from(r.u16("signed verify data length")?);
    let exponent = r.u32("public key exponent")?;
    let key = rsa::read(&mut r, exponent, key_len)?;
    ends_after(&r, "signed verify data length", sig_len)?;
    Ok(ClientKey {
        key,
        signature: r.rest().to_vec(),
    })
}

pub(super) fn write_client_key(m: &ClientKey, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    let (len, exponent, modulus) = rsa::parts(&m.key)?;
    w.zeros(3);
    w.u16(len);
    w.u16(len16("signed verify data length", m.signature.len())?);
    w.u32(exponent);
    w.bytes(modulus);
    w.bytes(&m.signature);
    Ok(())
}

pub(super) fn read_reg_conf(mut r: Reader<'_>) -> Result<RegConf, DecodeError> {
    r.u8("reserved")?;
    let count = usize::from(r.u16("destination count")?);
    Ok(RegConf {
        clients: read_list(r, count)?,
    })
}

pub(super) fn write_reg_conf(m: &RegConf, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.u8(0);
    write_count(w, &m.clients)?;
    write_ids(w, &m.clients)
}

pub(super) fn read_key_info(version: Version, mut r: Reader<'_>) -> Result<KeyInfo, DecodeError> {
    r.u8("reserved")?;
    let count = usize::from(r.u8("destination count")?);
    let secret_len = r.u8("encrypted group master length")?;
    if secret_len != SECRET {
        let problem = Problem::Length {
            says: secret_len.into(),
            expected: SECRET.into(),
        };
        return Err(r.error("encrypted group master length", problem));
    }
    let iv_counter = read_iv_counter(version, &mut r)?;
    ends_after(&r, "destination count", count * (4 + usize::from(SECRET)))?;
    let mut keys = Vec::with_capacity(count);
    while r.left() > 0 {
        keys.push((Uid(r.u32("client id")?), r.array("encrypted group master")?));
    }
    Ok(KeyInfo {
        iv_counter,
        signature: Vec::new(),
        keys,
    })
}

pub(super) fn write_key_info(
    version: Version,
    m: &KeyInfo,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    if !m.signature.is_empty() {
        return Err(EncodeError::NotInProtocol("signature in KEYINFO"));
    }
    let max = usize::from(u8::MAX);
    let count = u8::try_from(m.keys.len()).map_err(|_| EncodeError::TooBig {
        field: "destination count",
        value: m.keys.len(),
        max,
    })?;
    w.u8(0);
    w.u8(count);
    w.u8(SECRET);
    write_iv_counter(version, w, m.iv_counter);
    for (client, secret) in &m.keys {
        w.u32(client.0);
        w.bytes(secret);
    }
    Ok(())
}

/// An INFO_ACK for file 0 answers KEYINFO.
pub(super) fn read_info_ack(mut r: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let flags = r.u8("flags")?;
    let file = FileId(r.u16("file id")?);
    let count = usize::from(r.u16("destination count")?);
    r.u16("reserved")?;
    let verify_data = r.bytes("verify data", VERIFY_DATA)?.to_vec();
    let clients = read_list(r, count)?;
    Ok(if file == FileId::SESSION {
        Message::KeyInfoAck(KeyInfoAck { verify_data })
    } else {
        Message::FileInfoAck(FileInfoAck {
            file,
            partial: flags & PARTIAL != 0,
            echo: WireTime(0),
            clients,
        })
    })
}

pub(super) fn write_key_info_ack(m: &KeyInfoAck, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    if m.verify_data.len() != VERIFY_DATA {
        return Err(EncodeError::Length {
            field: "verify data",
            value: m.verify_data.len(),
            expected: VERIFY_DATA,
        });
    }
    w.u8(0);
    w.u16(FileId::SESSION.0);
    w.u16(0);
    w.u16(0);
    w.bytes(&m.verify_data);
    Ok(())
}

pub(super) fn write_file_info_ack(m: &FileInfoAck, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.u8(if m.partial { PARTIAL } else { 0 });
    w.u16(m.file.0);
    write_count(w, &m.clients)?;
    w.u16(0);
    w.zeros(VERIFY_DATA);
    write_ids(w, &m.clients)
}
