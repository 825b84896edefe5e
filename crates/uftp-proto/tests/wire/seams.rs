//! The places where sessions and cryptography reach into packets: file data, sealed messages,
//! signatures.

use proptest::prelude::*;
use uftp_proto::wire::{
    self, BlockRef, EncodeError, Encrypted, FileSeg, Function, Header, Message, Problem,
    TfmccDataInfo, Version,
};
use uftp_proto::{FileId, quant::RateCode};

use crate::VERSIONS;
use crate::strategies::packet;
use crate::vectors::codec_vectors;

const INFO: TfmccDataInfo = TfmccDataInfo {
    send_rate: RateCode(1),
    cc_seq: 2,
    cc_rate: RateCode(3),
};

fn block_ref(version: Version) -> BlockRef {
    match version {
        Version::V3 | Version::V3Sync => BlockRef::InFile {
            pass: 1,
            section: 2,
            block: 70_000,
        },
        Version::V4 | Version::V5 => BlockRef::InSection {
            section: 2,
            block: 9,
        },
    }
}

#[test]
fn a_fileseg_head_and_data_behind_it_are_a_fileseg() {
    let data = [7; 100];
    for version in VERSIONS {
        for tfmcc in [None, Some(INFO)] {
            if tfmcc.is_some() && matches!(version, Version::V3 | Version::V3Sync) {
                continue;
            }
            let at = block_ref(version);
            let mut slot = [0; 200];
            let head = wire::encode_fileseg_head(version, FileId(5), at, tfmcc.as_ref(), &mut slot)
                .unwrap();
            assert_eq!(head, wire::fileseg_head_len(version, tfmcc.is_some()));
            slot[head..head + data.len()].copy_from_slice(&data);

            let mut whole = [0; 200];
            let message = Message::FileSeg(FileSeg {
                file: FileId(5),
                at,
                tfmcc,
                data: &data,
            });
            let len = wire::encode_message(version, &message, &mut whole).unwrap();
            assert_eq!(slot[..head + data.len()], whole[..len], "{version:?}");
        }
    }
}

#[test]
fn file_data_and_bitmaps_are_not_copied() {
    let mut seen = 0;
    for vector in codec_vectors().iter().filter(|v| v.is_packet()) {
        let bytes = vector.bytes();
        let header = wire::decode_header(&bytes).unwrap();
        let borrowed = match header.function {
            Function::FileSeg | Function::Status => {
                match wire::decode(header.version, header.function, &bytes[Header::LEN..]) {
                    Ok(Message::FileSeg(m)) => m.data,
                    Ok(Message::Status(m)) if !m.naks.is_empty() => m.naks,
                    _ => continue,
                }
            }
            _ => continue,
        };
        let place = bytes.as_ptr_range();
        assert!(place.contains(&borrowed.as_ptr()), "{}", vector.id);
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} packets");
}

#[test]
fn messages_of_another_protocol_are_refused() {
    let mut out = [0; 1500];
    let wrong = [
        (Version::V4, block_ref(Version::V3)),
        (Version::V5, block_ref(Version::V3)),
        (Version::V3, block_ref(Version::V4)),
    ];
    for (version, at) in wrong {
        let refused = wire::encode_fileseg_head(version, FileId(1), at, None, &mut out);
        assert!(
            matches!(refused, Err(EncodeError::NotInProtocol(_))),
            "{version:?}"
        );
    }
    let refused = wire::encode_message(Version::V5, &Message::KeyReq, &mut out);
    assert!(
        matches!(refused, Err(EncodeError::NotInProtocol(_))),
        "{refused:?}"
    );
    assert!(wire::decode_header(&[&[0x50, 16][..], &[0; 18]].concat()).is_err());
}

#[test]
fn an_encrypted_packet_has_no_byte_too_many_or_too_few() {
    for vector in codec_vectors().iter().filter(|v| v.kind == "ENCRYPTED") {
        let mut bytes = vector.bytes();
        let version = vector.version();
        assert!(Encrypted::decode(version, &bytes).is_ok());
        bytes.push(0);
        let error = Encrypted::decode(version, &bytes).unwrap_err();
        assert!(matches!(error.problem, Problem::Length { .. }), "{error}");
        bytes.truncate(bytes.len() - 2);
        assert!(Encrypted::decode(version, &bytes).is_err());
        bytes.truncate(27);
        assert!(Encrypted::decode(version, &bytes).is_err());
    }
}

#[test]
fn a_protocol_3_clock_has_one_form() {
    let vector = codec_vectors()
        .into_iter()
        .find(|v| v.kind == "ENCRYPTED" && v.version() == Version::V3)
        .unwrap();
    let mut bytes = vector.bytes();
    bytes[20..24].copy_from_slice(&1_000_000u32.to_be_bytes());
    let error = Encrypted::decode(Version::V3, &bytes).unwrap_err();
    assert_eq!(error.problem, Problem::Value(1_000_000));
}

#[test]
fn recorded_signatures_are_found() {
    let mut seen = 0;
    for vector in codec_vectors() {
        let bytes = vector.bytes();
        let version = vector.version();
        let inner = if vector.is_packet() {
            &bytes[Header::LEN..]
        } else {
            &bytes[..]
        };
        let Ok(function) = wire::inner_function(version, inner) else {
            continue;
        };
        let Ok(message) = wire::decode(version, function, inner) else {
            continue;
        };
        let Some(range) = wire::signature_range(version, &message) else {
            continue;
        };
        let name = match function {
            Function::Announce => "ext0.sig",
            Function::ClientKey => "verify_sig",
            _ => "signature",
        };
        let recorded = vector
            .fields()
            .into_iter()
            .find(|(n, _)| n == name)
            .unwrap()
            .1;
        assert_eq!(inner[range], recorded, "{}", vector.id);
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} signatures");
}

#[test]
fn enc_info_is_found_whole() {
    let mut seen = 0;
    for vector in codec_vectors().iter().filter(|v| v.kind == "ANNOUNCE") {
        if vector.version() == Version::V3 {
            continue;
        }
        let bytes = vector.bytes();
        let inner = &bytes[Header::LEN..];
        let Ok(Message::Announce(m)) = wire::decode(vector.version(), Function::Announce, inner)
        else {
            panic!("{}", vector.id);
        };
        let Some(range) = wire::enc_info_range(&m) else {
            continue;
        };
        assert_eq!(inner[range.start], 1, "{}", vector.id);
        assert_eq!(
            usize::from(inner[range.start + 1]) * 4,
            range.len(),
            "{}",
            vector.id
        );
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} announcements");
}

proptest! {
    #[test]
    fn zeroing_the_signature_touches_nothing_else((header, message) in packet()) {
        let Some(range) = wire::signature_range(header.version, &message) else {
            return Ok(());
        };
        let mut out = [0; 4096];
        let len = wire::encode_message(header.version, &message, &mut out).unwrap();
        out[range].fill(0);
        let mut unsigned = message.clone();
        match &mut unsigned {
            Message::Announce(m) => {
                m.encryption.as_mut().unwrap().signature.fill(0);
            }
            Message::ClientKey(m) => m.signature.fill(0),
            Message::KeyInfo(m) => m.signature.fill(0),
            Message::ProxyKey(m) => m.signature.fill(0),
            other => panic!("{other:?}"),
        }
        let back = wire::decode(header.version, header.function, &out[..len]).unwrap();
        prop_assert_eq!(back, unsigned);
    }
}
