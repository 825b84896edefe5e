//! Packets: whatever comes, decoding answers; and what it accepts it can say again.

use uftp_proto::Uid;
use uftp_proto::wire::{self, Encrypted, Function, Header, Message, Version};

/// Larger than any datagram here, also after text has grown by replacement characters.
const ROOM: usize = 70_000;

/// Everything a session may call on a datagram.
///
/// # Panics
///
/// If decoding disagrees with itself.
pub fn receive(datagram: &[u8]) {
    let Ok(header) = wire::decode_header(datagram) else {
        return;
    };
    let message = &datagram[Header::LEN..];
    let _ = wire::announce_invites(header.version, message, Uid(7));
    if header.function == Function::Encrypted {
        if let Ok(parts) = Encrypted::decode(header.version, datagram) {
            assert_eq!(parts.signature.start, Encrypted::HEAD_LEN);
            assert_eq!(parts.signature.end, parts.payload.start);
            assert_eq!(parts.payload.end, datagram.len());
        }
        assert!(wire::decode(header.version, Function::Encrypted, message).is_err());
        open(
            header.version,
            &datagram[Encrypted::HEAD_LEN.min(datagram.len())..],
        );
    } else if let Ok(message) = wire::decode(header.version, header.function, message) {
        again(header.version, &message);
    }
}

/// A decrypted message: members of a session may be hostile, too.
///
/// # Panics
///
/// If decoding disagrees with itself.
pub fn open(version: Version, plain: &[u8]) {
    if let Ok(function) = wire::inner_function(version, plain) {
        assert_ne!(function, Function::Encrypted);
        if let Ok(message) = wire::decode(version, function, plain) {
            again(version, &message);
        }
    }
}

/// What was decoded has one meaning: once encoded it decodes to the same.
fn again(version: Version, message: &Message<'_>) {
    let _ = wire::signature_range(version, message);
    let mut out = vec![0; ROOM];
    // Lengths that are no whole words can be read but not written.
    let Ok(len) = wire::encode_message(version, message, &mut out) else {
        return;
    };
    let back = wire::decode(version, message.function(), &out[..len]);
    assert_eq!(back.as_ref(), Ok(message));
}
