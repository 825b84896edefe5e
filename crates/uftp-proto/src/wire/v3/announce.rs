//! ANNOUNCE (wire-v3 §4.3).

use std::net::{IpAddr, Ipv4Addr};

use super::{ends_after, rsa, write_count};
use crate::ids::Uid;
use crate::time::WireTime;
use crate::wire::fields::{read_invited, write_ids};
use crate::wire::header::{Function, Version};
use crate::wire::message::{Announce, AnnounceFlags, EncInfo, FixedPace, Pace};
use crate::wire::reader::{DecodeError, Problem, Reader};
use crate::wire::writer::{EncodeError, Writer};

const RESTART: u8 = 0x01;
const SYNC: u8 = 0x02;
const SYNC_PREVIEW: u8 = 0x04;

/// Cipher code of a plain session.
const NO_CIPHER: u8 = 0;

/// Key exchange code of what protocol 3 always does.
const RSA_EXCHANGE: u8 = 1;

/// Bytes of a datagram that are not the message: IP, UDP and packet header.
const OUTSIDE: u16 = 20 + 8 + 16;
/// Bytes of an ENCRYPTED packet that are neither packet header, signature nor message: its own
/// header, and room for padding.
const COVER: u16 = 12 + 16;

/// Bytes of file data in a datagram of `mtu` bytes; `signature` is the length of the signature of
/// every packet in an encrypted session. `None` if there is no room (wire-v3 §3).
pub(in crate::wire) fn block_size(mtu: u16, signature: Option<usize>) -> Option<u16> {
    let message = mtu.checked_sub(OUTSIDE)?;
    let message = match signature {
        None => message,
        Some(len) => message
            .checked_sub(COVER)?
            .checked_sub(u16::try_from(len).ok()?)?,
    };
    message
        .checked_sub(super::FILESEG_HEAD as u16)
        .filter(|len| *len > 0)
}

pub(super) fn read(version: Version, mut r: Reader<'_>) -> Result<Announce, DecodeError> {
    let bits = r.u8("flags")?;
    let count = usize::from(r.u16("destination count")?);
    let announce_interval = r.u16("announce interval")?;
    let status_interval = r.u16("status interval")?;
    let register_interval = r.u16("register interval")?;
    let done_interval = r.u16("done interval")?;
    let pace = FixedPace {
        announce_interval,
        status_interval,
        register_interval,
        done_interval,
        announce_time: r.u8("announce time")?,
        status_time: r.u8("status time")?,
        mtu: r.u16("mtu")?,
    };
    let private = Ipv4Addr::from(r.array::<4>("private multicast address")?);
    let client_auth = r.u8("client authorization")? != 0;
    let signature_type = r.u8("signature type")?;
    let hash = r.u8("hash type")?;
    let cipher = r.u8("key type")?;
    let key_len = r.u16("public key modulus length")?;
    r.u16("reserved")?;
    let exponent = r.u32("public key exponent")?;
    let random = r.array("server random number")?;
    let key = rsa::read(&mut r, exponent, key_len)?;
    ends_after(&r, "destination count", count * 4)?;
    if cipher == NO_CIPHER && key_len > 0 {
        // One wrong bit must not take the encryption away.
        return Err(r.error("key type", Problem::Value(cipher.into())));
    }
    Ok(Announce {
        flags: read_flags(version, bits),
        pace: Pace::Fixed(pace),
        timestamp: WireTime(0),
        public: Ipv4Addr::UNSPECIFIED.into(),
        private: private.into(),
        // Deployed programs leave the other codes set in a plain session.
        encryption: (cipher != NO_CIPHER).then_some(EncInfo {
            client_auth,
            key_exchange: RSA_EXCHANGE,
            signature_type,
            cipher,
            hash,
            random,
            key,
            dh_key: Vec::new(),
            signature: Vec::new(),
        }),
        clients: read_invited(r)?,
    })
}

/// Whether the ids of an ANNOUNCE let `uid` in.
pub(in crate::wire) fn invites(
    version: Version,
    bytes: &[u8],
    uid: Uid,
) -> Result<bool, DecodeError> {
    let mut r = Reader::new(Some(Function::Announce), bytes);
    r.u8("function")?;
    let clients = read(version, r)?.clients;
    Ok(clients.is_empty() || clients.contains(&uid))
}

pub(super) fn write(version: Version, m: &Announce, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    let Pace::Fixed(pace) = m.pace else {
        return Err(EncodeError::NotInProtocol("adaptive pace"));
    };
    let IpAddr::V4(private) = m.private else {
        return Err(EncodeError::NotInProtocol("IPv6 group"));
    };
    w.u8(flag_bits(version, m.flags)?);
    write_count(w, &m.clients)?;
    w.u16(pace.announce_interval);
    w.u16(pace.status_interval);
    w.u16(pace.register_interval);
    w.u16(pace.done_interval);
    w.u8(pace.announce_time);
    w.u8(pace.status_time);
    w.u16(pace.mtu);
    w.bytes(&private.octets());
    match &m.encryption {
        None => w.zeros(44),
        Some(info) => write_enc_info(info, w)?,
    }
    write_ids(w, &m.clients)
}

fn write_enc_info(info: &EncInfo, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    if info.key_exchange != RSA_EXCHANGE || !info.dh_key.is_empty() {
        return Err(EncodeError::NotInProtocol("ECDH key exchange"));
    }
    if info.cipher == NO_CIPHER {
        return Err(EncodeError::NotInProtocol("encryption without a cipher"));
    }
    let (len, exponent, modulus) = rsa::parts(&info.key)?;
    w.u8(info.client_auth.into());
    w.u8(info.signature_type);
    w.u8(info.hash);
    w.u8(info.cipher);
    w.u16(len);
    w.u16(0);
    w.u32(exponent);
    w.bytes(&info.random);
    w.bytes(modulus);
    Ok(())
}

/// Wire id 0x30 knows no sync mode; its other bits mean nothing.
fn read_flags(version: Version, bits: u8) -> AnnounceFlags {
    let sync = version == Version::V3Sync;
    let mut flags = AnnounceFlags::empty();
    flags.set(AnnounceFlags::RESTART, bits & RESTART != 0);
    flags.set(AnnounceFlags::SYNC, sync && bits & SYNC != 0);
    flags.set(
        AnnounceFlags::SYNC_PREVIEW,
        sync && bits & SYNC_PREVIEW != 0,
    );
    flags
}

fn flag_bits(version: Version, flags: AnnounceFlags) -> Result<u8, EncodeError> {
    let sync = AnnounceFlags::SYNC | AnnounceFlags::SYNC_PREVIEW;
    if version == Version::V3 && flags.intersects(sync) {
        return Err(EncodeError::NotInProtocol("sync mode"));
    }
    let bit = |flag, bit| if flags.contains(flag) { bit } else { 0 };
    Ok(bit(AnnounceFlags::RESTART, RESTART)
        | bit(AnnounceFlags::SYNC, SYNC)
        | bit(AnnounceFlags::SYNC_PREVIEW, SYNC_PREVIEW))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sizes_of_the_specification() {
        for (mtu, signature, expected) in [
            (1500, None, 1444),
            (1500, Some(20), 1396),
            (1500, Some(32), 1384),
            (1500, Some(64), 1352),
            (1500, Some(128), 1288),
            (1500, Some(256), 1160),
            (576, None, 520),
            (576, Some(20), 472),
        ] {
            assert_eq!(
                block_size(mtu, signature),
                Some(expected),
                "{mtu} {signature:?}"
            );
        }
        assert_eq!(block_size(56, None), None);
        assert_eq!(block_size(57, None), Some(1));
        assert_eq!(block_size(84, Some(1 << 20)), None);
        assert_eq!(block_size(0, None), None);
    }
}
