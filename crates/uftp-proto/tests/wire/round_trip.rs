//! What is encoded decodes to itself, and a cut packet never to something else by accident.

use proptest::prelude::*;
use uftp_proto::wire::{self, EncodeError, Header, Message, Version};

use crate::strategies::packet;

/// Larger than any message drawn.
const ROOM: usize = 4096;

proptest! {
    #[test]
    fn a_packet_decodes_to_itself((header, message) in packet()) {
        let mut out = [0xAA; ROOM];
        let len = wire::encode(&header, &message, &mut out).unwrap();
        let bytes = &out[..len];
        prop_assert_eq!(wire::decode_header(bytes).unwrap(), header);
        let inner = &bytes[Header::LEN..];
        prop_assert_eq!(&wire::decode(header.version, header.function, inner).unwrap(), &message);
        prop_assert_eq!(wire::inner_function(header.version, inner).unwrap(), header.function);
    }

    #[test]
    fn a_message_alone_is_the_packet_without_its_header((header, message) in packet()) {
        let mut whole = [0; ROOM];
        let len = wire::encode(&header, &message, &mut whole).unwrap();
        let mut alone = [0; ROOM];
        let n = wire::encode_message(header.version, &message, &mut alone).unwrap();
        prop_assert_eq!(&whole[Header::LEN..len], &alone[..n]);
        let mut start = [0; Header::LEN];
        wire::encode_header(&header, n, &mut start).unwrap();
        prop_assert_eq!(&whole[..Header::LEN], &start);
    }

    #[test]
    fn a_packet_needs_all_its_room((header, message) in packet()) {
        let mut out = [0; ROOM];
        let len = wire::encode(&header, &message, &mut out).unwrap();
        prop_assert!(wire::encode(&header, &message, &mut out[..len]).is_ok());
        let tight = wire::encode(&header, &message, &mut out[..len - 1]);
        prop_assert!(matches!(tight, Err(EncodeError::NoRoom(_))), "{:?}", tight);
    }

    #[test]
    fn a_cut_packet_is_refused_or_loses_its_tail_only((header, message) in packet()) {
        let mut out = [0; ROOM];
        let len = wire::encode(&header, &message, &mut out).unwrap();
        for cut in 0..len {
            let bytes = &out[..cut];
            let old = matches!(header.version, Version::V3 | Version::V3Sync);
            if cut < Header::LEN || old {
                prop_assert!(wire::decode_header(bytes).is_err(), "cut to {}", cut);
            }
            let Some(inner) = bytes.get(Header::LEN..) else { continue };
            // An INFO_ACK of protocol 3 too short for a file id is one or the other.
            let Ok(less) = wire::decode(header.version, header.function, inner) else { continue };
            prop_assert!(is_beginning_of(&less, &message), "cut to {}: {:?}", cut, less);
        }
    }
}

/// Whether `less` is `message` with a shorter list, bitmap or block at its end.
fn is_beginning_of(less: &Message<'_>, message: &Message<'_>) -> bool {
    let mut full = message.clone();
    match (&mut full, less) {
        (Message::Announce(f), Message::Announce(l)) => f.clients.truncate(l.clients.len()),
        (Message::Register(f), Message::Register(l)) => f.clients.truncate(l.clients.len()),
        (Message::RegConf(f), Message::RegConf(l)) => f.clients.truncate(l.clients.len()),
        (Message::KeyInfo(f), Message::KeyInfo(l)) => f.keys.truncate(l.keys.len()),
        (Message::FileInfo(f), Message::FileInfo(l)) => f.clients.truncate(l.clients.len()),
        (Message::FileInfoAck(f), Message::FileInfoAck(l)) => {
            f.clients.truncate(l.clients.len());
        }
        (Message::FileSeg(f), Message::FileSeg(l)) => f.data = &f.data[..l.data.len()],
        (Message::Done(f), Message::Done(l)) => f.clients.truncate(l.clients.len()),
        (Message::Status(f), Message::Status(l)) => f.naks = &f.naks[..l.naks.len()],
        (Message::Complete(f), Message::Complete(l)) => f.clients.truncate(l.clients.len()),
        (Message::DoneConf(f), Message::DoneConf(l)) => f.clients.truncate(l.clients.len()),
        (Message::CongCtrl(f), Message::CongCtrl(l)) => f.items.truncate(l.items.len()),
        _ => return false,
    }
    full == *less
}
