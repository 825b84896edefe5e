//! Which errors of an ANNOUNCE or FILEINFO a receiver answers, and how (wire-v4 §10.1).

use uftp_proto::Uid;
use uftp_proto::wire::{self, DecodeError, Function, Header, Message, Problem, Version};

use crate::vectors::codec_vectors;

fn recorded(id: &str) -> Vec<u8> {
    let found = codec_vectors().into_iter().find(|v| v.id == id);
    found.unwrap_or_else(|| panic!("no {id}")).bytes()[Header::LEN..].to_vec()
}

/// A recorded ANNOUNCE with ENC_INFO at offset 24 and no client list.
fn encrypted_announce() -> Vec<u8> {
    let all = codec_vectors();
    let found = all.iter().find(|v| {
        let bytes = v.bytes();
        v.version() == Version::V4
            && v.kind == "ANNOUNCE"
            && bytes.len() == Header::LEN + usize::from(bytes[17]) * 4
            && bytes[18] & 4 == 0
            && bytes[17] > 12
    });
    found.unwrap().bytes()[Header::LEN..].to_vec()
}

fn refused(function: Function, bytes: &[u8]) -> DecodeError {
    wire::decode(Version::V4, function, bytes).unwrap_err()
}

#[test]
fn too_short_for_the_addresses_is_an_invalid_header_size() {
    let mut bytes = recorded("v4-ANNOUNCE-1");
    for words in [4, 5] {
        bytes[1] = words;
        let problem = refused(Function::Announce, &bytes).problem;
        let says = usize::from(words) * 4;
        assert_eq!(problem, Problem::HeaderSize { says, need: 24 });
    }
    // The flag for IPv6 makes the addresses longer.
    bytes[1] = 6;
    bytes[2] |= 4;
    let problem = refused(Function::Announce, &bytes).problem;
    assert_eq!(problem, Problem::HeaderSize { says: 24, need: 48 });
}

#[test]
fn no_announce_at_all_is_dropped() {
    let mut bytes = recorded("v4-ANNOUNCE-1");
    for words in [0, 3, 255] {
        bytes[1] = words;
        let problem = refused(Function::Announce, &bytes).problem;
        assert!(matches!(problem, Problem::Length { .. }), "{problem}");
        assert!(wire::announce_invites(Version::V4, &bytes, Uid(0x13)).is_err());
    }
}

#[test]
fn enc_info_must_have_the_length_of_its_parts() {
    let good = encrypted_announce();
    assert!(wire::decode(Version::V4, Function::Announce, &good).is_ok());
    // Its own length, and the lengths of key, ECDH key and signature.
    for at in [25, 31, 33, 35] {
        for change in [1, 0xFF] {
            let mut bytes = good.clone();
            bytes[at] = bytes[at].wrapping_add(change);
            let problem = refused(Function::Announce, &bytes).problem;
            assert!(
                matches!(problem, Problem::ExtensionSize { .. }),
                "{at}: {problem}"
            );
        }
    }
}

#[test]
fn no_wrong_bit_takes_encryption_away() {
    let vectors = codec_vectors();
    let announces = vectors.iter().filter(|v| v.kind == "ANNOUNCE");
    let mut tried = Vec::new();
    for vector in announces {
        let version = vector.version();
        let good = &vector.bytes()[Header::LEN..];
        let encryption = |bytes: &[u8]| match wire::decode(version, Function::Announce, bytes) {
            Ok(Message::Announce(m)) => Some((m.encryption.is_some(), m.clients)),
            _ => None,
        };
        let (encrypted, clients) = encryption(good).unwrap();
        if !encrypted {
            continue;
        }
        tried.push((version, good[2] & 4 != 0));
        for bit in 0..good.len() * 8 {
            let mut bytes = good.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = encryption(&bytes);
            // What names nobody that was named joins nobody.
            let invites =
                |list: &[Uid]| list.is_empty() || list.iter().any(|c| clients.contains(c));
            let plain = read.is_some_and(|(encrypted, list)| !encrypted && invites(&list));
            assert!(!plain, "{} bit {bit}", vector.id);
        }
    }
    for expected in [Version::V3, Version::V4, Version::V5] {
        assert!(tried.iter().any(|(v, _)| *v == expected), "{expected:?}");
    }
    assert!(tried.contains(&(Version::V5, true)), "IPv6");
}

#[test]
fn extensions_nobody_knows_leave_a_session_in_the_clear() {
    let mut plain = recorded("v4-ANNOUNCE-1");
    let list = plain.split_off(24);
    let with = |extensions: &[u8]| {
        let mut bytes = [&plain, extensions, &list].concat();
        bytes[1] = ((24 + extensions.len()) / 4) as u8;
        match wire::decode(Version::V4, Function::Announce, &bytes) {
            Ok(Message::Announce(m)) => Ok(m.encryption.is_some()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.field),
        }
    };
    assert_eq!(with(&[]), Ok(false));
    assert_eq!(with(&[9, 1, 1, 2]), Ok(false));
    assert_eq!(with(&[9, 2, 1, 2, 3, 4, 5, 6, 200, 1, 0, 0]), Ok(false));
    let long = [&[9, 11][..], &[1; 42]].concat();
    assert_eq!(with(&long), Ok(false));
    for size in [0, 2, 255] {
        assert_eq!(with(&[9, size, 1, 2]), Err("extension size"), "{size}");
    }
    // 44 bytes whose parts are empty: an ENC_INFO but for its type, first or not.
    let mut shaped = [0; 44];
    (shaped[0], shaped[1]) = (9, 11);
    assert_eq!(with(&shaped), Err("extension type"));
    assert_eq!(
        with(&[&[9, 1, 1, 2], &shaped[..]].concat()),
        Err("extension type")
    );
}

#[test]
fn the_list_is_readable_where_the_rest_is_not() {
    let mut bytes = recorded("v4-ANNOUNCE-1"); // invites 0x13
    assert!(wire::announce_invites(Version::V4, &bytes, Uid(0x13)).unwrap());
    assert!(!wire::announce_invites(Version::V4, &bytes, Uid(0x14)).unwrap());
    bytes[2] |= 4; // as if IPv6: too short a header
    let problem = refused(Function::Announce, &bytes).problem;
    assert!(matches!(problem, Problem::HeaderSize { .. }), "{problem}");
    assert!(wire::announce_invites(Version::V4, &bytes, Uid(0x13)).unwrap());
    bytes.truncate(24); // open to all
    assert!(wire::announce_invites(Version::V4, &bytes, Uid(0x14)).unwrap());
}

#[test]
fn a_list_that_names_nobody_opens_no_group() {
    let mut bytes = recorded("v4-ANNOUNCE-1");
    bytes[24..28].fill(0);
    assert_eq!(refused(Function::Announce, &bytes).field, "client ids");
    assert!(wire::announce_invites(Version::V4, &bytes, Uid(0x13)).is_err());
}

#[test]
fn lists_end_at_the_null_id_and_ignore_a_broken_last_one() {
    let bytes = [4, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3];
    let decode = |bytes| match wire::decode(Version::V4, Function::RegConf, bytes) {
        Ok(Message::RegConf(m)) => m.clients,
        other => panic!("{other:?}"),
    };
    assert_eq!(decode(&bytes), [Uid(1), Uid(2)]);
    assert_eq!(decode(&bytes[..11]), [Uid(1)]);
}

#[test]
fn a_file_info_has_no_byte_too_many() {
    let good = recorded("v4-FILEINFO-1");
    for change in [1, 0xFF] {
        for at in [1, 8] {
            let mut bytes = good.clone();
            bytes[at] = bytes[at].wrapping_add(change);
            let error = refused(Function::FileInfo, &bytes);
            let size = matches!(
                error.problem,
                Problem::HeaderSize { .. } | Problem::Length { .. }
            );
            assert!(size, "{error}");
        }
    }
    // A name of 76 words in a header that agrees.
    let mut bytes = vec![7, 7 + 76];
    bytes.extend([0; 26]);
    bytes[8] = 76;
    bytes.extend([b'x'; 304]);
    assert_eq!(refused(Function::FileInfo, &bytes).field, "name");
}
