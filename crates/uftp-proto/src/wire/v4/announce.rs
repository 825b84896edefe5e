//! ANNOUNCE and its ENC_INFO extension (wire-v4 §4.2, §5.1; wire-v5 §5.2, §6.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::Dialect;
use super::extension::{self, ENC_INFO_FIXED, Kind};
use super::frame::Head;
use crate::ids::Uid;
use crate::wire::fields::{len16, read_invited, write_ids};
use crate::wire::header::Function;
use crate::wire::message::{Announce, AnnounceFlags, CcType, EncInfo, Pace};
use crate::wire::reader::{DecodeError, Problem, Reader};
use crate::wire::writer::{EncodeError, Writer};

/// What a header must have to be an ANNOUNCE at all: everything before the addresses.
pub(super) const LEAST: usize = 16;

const SYNC: u8 = 0x01;
const SYNC_PREVIEW: u8 = 0x02;
const IPV6: u8 = 0x04;

const CLIENT_AUTH: u8 = 0x01;

pub(super) fn read(
    dialect: Dialect,
    Head { mut head, body }: Head<'_>,
) -> Result<Announce, DecodeError> {
    let bits = head.u8("flags")?;
    let mut flags = AnnounceFlags::empty();
    flags.set(AnnounceFlags::SYNC, bits & SYNC != 0);
    flags.set(AnnounceFlags::SYNC_PREVIEW, bits & SYNC_PREVIEW != 0);
    let robust = head.u8("robust")?;
    let cc = CcType(head.u8("cc_type")?);
    head.u8("reserved")?;
    let block_size = head.u16("blocksize")?;
    let timestamp = dialect.read_time(&mut head, "tstamp")?;

    let ipv6 = bits & IPV6 != 0;
    let need = fixed_len(ipv6);
    let says = LEAST.saturating_add(head.left());
    if says < need {
        return Err(head.error("hlen", Problem::HeaderSize { says, need }));
    }
    let public = read_addr(&mut head, "public address", ipv6)?;
    let private = read_addr(&mut head, "private address", ipv6)?;
    Ok(Announce {
        flags,
        pace: Pace::Adaptive {
            robust,
            cc,
            block_size,
        },
        timestamp,
        public,
        private,
        encryption: read_enc_info(dialect, head)?,
        clients: read_invited(body)?,
    })
}

/// Whether the ids of an ANNOUNCE, read on their own, let `uid` in.
pub(in crate::wire) fn invites(bytes: &[u8], uid: Uid) -> Result<bool, DecodeError> {
    let Head { body, .. } = Head::split(Function::Announce, bytes, LEAST)?;
    let ids = read_invited(body)?;
    Ok(ids.is_empty() || ids.contains(&uid))
}

pub(super) fn write(dialect: Dialect, m: &Announce, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    let Pace::Adaptive {
        robust,
        cc,
        block_size,
    } = m.pace
    else {
        return Err(EncodeError::NotInProtocol("fixed pace"));
    };
    if m.flags.contains(AnnounceFlags::RESTART) {
        return Err(EncodeError::NotInProtocol("RESTART flag"));
    }
    if m.public.is_ipv6() != m.private.is_ipv6() {
        return Err(EncodeError::NotInProtocol("mix of IPv4 and IPv6 groups"));
    }
    let ipv6 = m.private.is_ipv6();
    let mut bits = if ipv6 { IPV6 } else { 0 };
    if m.flags.contains(AnnounceFlags::SYNC) {
        bits |= SYNC;
    }
    if m.flags.contains(AnnounceFlags::SYNC_PREVIEW) {
        bits |= SYNC_PREVIEW;
    }

    let extension = m.encryption.as_ref().map_or(0, enc_info_len);
    dialect.start(w, Function::Announce, fixed_len(ipv6) + extension)?;
    w.u8(bits);
    w.u8(robust);
    w.u8(cc.0);
    w.u8(0);
    w.u16(block_size);
    dialect.write_time(w, m.timestamp);
    write_addr(w, m.public);
    write_addr(w, m.private);
    if let Some(info) = &m.encryption {
        write_enc_info(dialect, w, info)?;
    }
    write_ids(w, &m.clients)
}

/// Where the ENC_INFO extension of an ANNOUNCE lies in the message.
pub(in crate::wire) fn enc_info_at(m: &Announce) -> Option<Range<usize>> {
    let start = fixed_len(m.private.is_ipv6());
    let info = m.encryption.as_ref()?;
    Some(start..start + enc_info_len(info))
}

/// Where the signature of an ANNOUNCE lies in the message.
pub(in crate::wire) fn enc_info_signature_at(m: &Announce) -> Option<Range<usize>> {
    let end = enc_info_at(m)?.end;
    let len = m.encryption.as_ref()?.signature.len();
    Some(end - len..end)
}

/// Bytes of the header without extensions.
fn fixed_len(ipv6: bool) -> usize {
    LEAST + if ipv6 { 32 } else { 8 }
}

fn read_addr(r: &mut Reader<'_>, field: &'static str, ipv6: bool) -> Result<IpAddr, DecodeError> {
    Ok(if ipv6 {
        Ipv6Addr::from(r.array::<16>(field)?).into()
    } else {
        Ipv4Addr::from(r.array::<4>(field)?).into()
    })
}

fn write_addr(w: &mut Writer<'_>, addr: IpAddr) {
    match addr {
        IpAddr::V4(v4) => w.bytes(&v4.octets()),
        IpAddr::V6(v6) => w.bytes(&v6.octets()),
    }
}

fn read_enc_info(dialect: Dialect, rest: Reader<'_>) -> Result<Option<EncInfo>, DecodeError> {
    let Some(mut r) = extension::first(rest, Kind::Encryption, ENC_INFO_FIXED)? else {
        return check_plain(rest).map(|()| None);
    };
    let says = r.left() + 2;
    let flags = r.u8("flags")?;
    let kinds = match dialect {
        Dialect::Four => r.u8("keyextype and sigtype")?,
        Dialect::Five => {
            r.u8("reserved")?;
            0
        }
    };
    let cipher = r.u8("keytype")?;
    let hash = r.u8("hashtype")?;
    let key_len = usize::from(r.u16("keylen")?);
    let dh_len = usize::from(r.u16("dhlen")?);
    let sig_len = usize::from(r.u16("siglen")?);
    let expected = ENC_INFO_FIXED + key_len + dh_len + sig_len;
    if says != expected {
        return Err(r.error("extension size", Problem::ExtensionSize { says, expected }));
    }
    Ok(Some(EncInfo {
        client_auth: flags & CLIENT_AUTH != 0,
        key_exchange: kinds >> 4,
        signature_type: kinds & 0x0F,
        cipher,
        hash,
        random: r.array("random")?,
        key: r.bytes("key", key_len)?.to_vec(),
        dh_key: r.bytes("dh key", dh_len)?.to_vec(),
        signature: r.bytes("signature", sig_len)?.to_vec(),
    }))
}

/// Whether what is behind the fixed fields leaves a session in the clear. Only extensions that
/// nobody knows do, one behind the other to the end of the header, and none that is an ENC_INFO but
/// for its type: one wrong bit, in a type or in the flags, must not take the encryption away.
fn check_plain(mut rest: Reader<'_>) -> Result<(), DecodeError> {
    while rest.left() > 0 {
        let whole = rest;
        let kind = rest.u8("extension type")?;
        let says = usize::from(rest.u8("extension size")?) * 4;
        if says == 0 || says > whole.left() {
            let expected = whole.left();
            return Err(whole.error("extension size", Problem::Length { says, expected }));
        }
        let mut parts = rest.sub("extension", says.saturating_sub(2))?;
        if says >= ENC_INFO_FIXED {
            parts.array::<4>("flags, types")?;
            let mut lengths = [0; 3];
            for len in &mut lengths {
                *len = usize::from(parts.u16("length")?);
            }
            if says == ENC_INFO_FIXED + lengths.iter().sum::<usize>() {
                return Err(whole.error("extension type", Problem::Value(kind.into())));
            }
        }
    }
    Ok(())
}

fn enc_info_len(info: &EncInfo) -> usize {
    ENC_INFO_FIXED + info.key.len() + info.dh_key.len() + info.signature.len()
}

fn write_enc_info(dialect: Dialect, w: &mut Writer<'_>, info: &EncInfo) -> Result<(), EncodeError> {
    extension::start(w, Kind::Encryption, enc_info_len(info))?;
    w.u8(if info.client_auth { CLIENT_AUTH } else { 0 });
    w.u8(match dialect {
        Dialect::Four => {
            nibble("keyextype", info.key_exchange)? << 4 | nibble("sigtype", info.signature_type)?
        }
        Dialect::Five => 0,
    });
    w.u8(info.cipher);
    w.u8(info.hash);
    w.u16(len16("keylen", info.key.len())?);
    w.u16(len16("dhlen", info.dh_key.len())?);
    w.u16(len16("siglen", info.signature.len())?);
    w.bytes(&info.random);
    w.bytes(&info.key);
    w.bytes(&info.dh_key);
    w.bytes(&info.signature);
    Ok(())
}

fn nibble(field: &'static str, value: u8) -> Result<u8, EncodeError> {
    if value > 0x0F {
        return Err(EncodeError::TooBig {
            field,
            value: value.into(),
            max: 0x0F,
        });
    }
    Ok(value)
}
