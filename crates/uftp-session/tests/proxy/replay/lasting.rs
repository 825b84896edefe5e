//! What lasts of a packet when a session is played again.

use uftp_proto::wire::{self, Function, Header, Version};

/// Bytes that hold a bit for each block of the only section of the recorded files.
const BITMAP: usize = 59_usize.div_ceil(8);

/// What of a packet does not depend on when it was sent, nor on the chance in a signature on a curve.
/// The clients it speaks for are put in order: ours names the one first whose time it echoes. What the
/// recorded one has behind the bits of a section is whatever was in its memory (wire-v5 §5.12).
pub(super) fn lasting(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let message = Header::LEN;
    let listed = message + usize::from(packet[message + 1]) * 4;
    let header = wire::decode_header(&packet).unwrap();
    if header.version == Version::V4 {
        return lasting_four(header.function, packet);
    }
    let (changing, sorted) = match (header.function, packet.len()) {
        (Function::Register, len) => (message + 4..message + 12, listed..len),
        (Function::FileInfoAck, len) => (message + 8..message + 16, listed..len),
        (Function::Complete, len) => (0..0, listed..len),
        // Of a key on P-256.
        (Function::HbReq, 164) => (message + 80..164, 0..0),
        (Function::HbResp, _) if packet[message + 2] == 2 => (message + 4..message + 8, 0..0),
        (Function::Status, _) => {
            packet.truncate(message + 8 + BITMAP);
            (0..0, 0..0)
        }
        // Of a proxy with a key on P-384.
        (Function::ProxyKey, 292) => (message + 180..292, 0..0),
        (Function::KeyInfo, 232) => {
            packet[listed..].as_chunks_mut::<52>().0.sort_unstable();
            (message + 16..listed, 0..0)
        }
        // The streams of these ciphers change where the message does, and the tag with it.
        // CLIENT_KEY has a signature, FILEINFO_ACK an echo and a list, COMPLETE a list.
        (Function::Encrypted, 252) => (28 + 112..252, 0..0),
        (Function::Encrypted, 68) => (36..68, 0..0),
        (Function::Encrypted, 60) => (36..60, 0..0),
        _ => (0..0, 0..0),
    };
    packet[changing].fill(0);
    packet[sorted].as_chunks_mut::<4>().0.sort_unstable();
    packet
}

/// As [`lasting`] in protocol 4, where no packet is told by its length. A premaster secret is
/// encrypted with chance.
fn lasting_four(function: Function, mut packet: Vec<u8>) -> Vec<u8> {
    let message = Header::LEN;
    if function == Function::Status {
        packet.truncate(message + 8 + BITMAP);
    }
    let len = packet.len();
    let fields = usize::from(packet[message + 1]) * 4;
    let listed = message + fields;
    // Lengths of keys and signatures stand in front of them.
    let stated = |at: usize| {
        let at = message + at;
        packet
            .get(at..at + 2)
            .map_or(0, |len| u16::from_be_bytes([len[0], len[1]]).into())
    };
    let signature = fields.saturating_sub(stated(6))..fields;
    let (changing, sorted, entry) = match function {
        Function::Register if stated(2) == RSA_LEN => ([4..12, 44..44 + RSA_LEN], listed..len, 4),
        Function::Register => ([4..12, 0..0], listed..len, 4),
        Function::FileInfoAck => ([8..16, 0..0], listed..len, 4),
        Function::Complete => ([0..0, 0..0], listed..len, 4),
        Function::ClientKey | Function::HbReq => ([signature, 0..0], 0..0, 4),
        Function::ProxyKey => ([signature, 8..12], 0..0, 4),
        Function::HbResp if packet[message + 2] == 2 => ([4..8, 0..0], 0..0, 4),
        Function::KeyInfo => {
            // The secret is under keys that its number is in, and numbers are drawn.
            for entry in packet[listed..].as_chunks_mut::<52>().0 {
                entry[4..].fill(0);
            }
            ([4..12, 0..0], listed..len, 52)
        }
        _ => ([0..0, 0..0], 0..0, 4),
    };
    for range in changing {
        packet[message..][range].fill(0);
    }
    let mut entries: Vec<_> = packet[sorted.clone()]
        .chunks(entry)
        .map(<[u8]>::to_vec)
        .collect();
    entries.sort_unstable();
    packet[sorted].copy_from_slice(&entries.concat());
    packet
}

/// Bytes of what the recorded proxies encrypt and sign with RSA.
const RSA_LEN: usize = 128;
