//! Recorded packets decode to what their fields say and come back to the same bytes.

mod fields;

use std::collections::BTreeMap;

use uftp_proto::nak::BlockMap;
use uftp_proto::wire::{
    self, Announce, Encrypted, FileInfo, Function, Header, Message, Pace, Version,
};
use uftp_proto::{Geometry, geometry::Sectioning};

use crate::vectors::{codec_vectors, v3_file};
use fields::{Value, is_structure, values};

#[test]
fn recorded_fields_are_decoded() {
    for vector in codec_vectors() {
        let expected: BTreeMap<String, Vec<u8>> = vector
            .fields()
            .into_iter()
            .filter(|(name, raw)| !is_structure(name) && !raw.is_empty())
            .collect();
        let found = values(&vector);
        for (name, value) in &found {
            let raw = expected
                .get(name)
                .unwrap_or_else(|| panic!("{}: decoded {name}, recorded none", vector.id));
            assert!(
                value.matches(raw),
                "{}: {name} is {value:?}, recorded {raw:02x?}",
                vector.id
            );
        }
        for name in expected.keys() {
            assert!(
                found.contains_key(name),
                "{}: {name} was not decoded",
                vector.id
            );
        }
    }
}

#[test]
fn recorded_packets_come_back_to_the_same_bytes() {
    for vector in codec_vectors() {
        let bytes = vector.bytes();
        if vector.is_packet() {
            assert_eq!(packet_again(&bytes), bytes, "{}", vector.id);
        } else {
            assert_eq!(
                message_again(vector.version(), &bytes),
                bytes,
                "{}",
                vector.id
            );
        }
    }
}

#[test]
fn recorded_packets_of_protocol_3_come_back_to_the_same_bytes() {
    let file = v3_file();
    for packet in &file.plain_packets {
        let bytes = packet.bytes();
        assert_eq!(
            packet_again(&bytes),
            bytes,
            "{} {}",
            packet.run,
            packet.message
        );
    }
    for sealed in file.encrypted_sessions.iter().flat_map(|s| &s.encrypted) {
        let bytes = sealed.bytes();
        assert_eq!(packet_again(&bytes), bytes, "{}", sealed.message);
        let version = Version::from_wire_id(bytes[0]).unwrap();
        let plain = sealed.plaintext();
        assert_eq!(message_again(version, &plain), plain, "{}", sealed.message);
    }
}

#[test]
fn recorded_geometry_is_ours() {
    let mut block_sizes = BTreeMap::new();
    let mut checked = 0;
    for packet in v3_file().plain_packets {
        let bytes = packet.bytes();
        let header = wire::decode_header(&bytes).unwrap();
        match wire::decode(header.version, header.function, &bytes[Header::LEN..]).unwrap() {
            Message::Announce(Announce {
                pace: Pace::Fixed(pace),
                encryption: None,
                ..
            }) => {
                // IP and UDP, packet header, FILESEG (wire-v3 §3).
                block_sizes.insert(header.group, pace.mtu - 28 - 16 - 12);
            }
            Message::FileInfo(FileInfo {
                size,
                stated_geometry,
                ..
            }) => {
                let Some(&block_size) = block_sizes.get(&header.group) else {
                    continue;
                };
                let g = Geometry::new(size, block_size, Sectioning::Filled).unwrap();
                assert_eq!(
                    Some((g.blocks(), g.sections())),
                    stated_geometry,
                    "{}",
                    packet.run
                );
                checked += 1;
            }
            _ => {}
        }
    }
    assert!(
        checked >= 3,
        "only {checked} FILEINFOs with a known block size"
    );
}

#[test]
fn recorded_nak_bitmaps_survive_a_block_map() {
    let mut checked = 0;
    for vector in codec_vectors().iter().filter(|v| v.kind == "STATUS") {
        let fields: BTreeMap<_, _> = vector.fields().into_iter().collect();
        let Some(bitmap) = fields.get("nak_bitmap") else {
            continue;
        };
        let blocks = bitmap.len() as u32 * 8 - 1; // written as exactly these bytes
        let mut map = BlockMap::none_missing(blocks);
        let ones: u32 = bitmap.iter().map(|b| b.count_ones()).sum();
        assert_eq!(map.merge_naks(0..blocks, bitmap), ones, "{}", vector.id);
        assert_eq!(map.missing(), ones, "{}", vector.id);
        let mut again = Vec::new();
        assert_eq!(map.write_naks(0..blocks, &mut again), ones, "{}", vector.id);
        assert_eq!(&again, bitmap, "{}", vector.id);
        if let Some(count) = fields.get("nak_count") {
            assert!(Value::Int(ones.into()).matches(count), "{}", vector.id);
        }
        checked += 1;
    }
    assert!(checked >= 4, "only {checked} bitmaps");
}

fn packet_again(bytes: &[u8]) -> Vec<u8> {
    let header = wire::decode_header(bytes).unwrap();
    let mut out = vec![0xAA; bytes.len()];
    let len = if header.function == Function::Encrypted {
        let parts = Encrypted::decode(header.version, bytes).unwrap();
        let (sig, payload) = (parts.signature, parts.payload);
        let head = Encrypted::encode_head(
            &header,
            parts.iv_counter,
            sig.len(),
            payload.len(),
            &mut out,
        )
        .unwrap();
        assert_eq!(head, Encrypted::HEAD_LEN);
        assert_eq!(head, sig.start);
        out[sig.clone()].copy_from_slice(&bytes[sig]);
        out[payload.clone()].copy_from_slice(&bytes[payload]);
        out.len()
    } else {
        let message = wire::decode(header.version, header.function, &bytes[Header::LEN..]).unwrap();
        wire::encode(&header, &message, &mut out).unwrap()
    };
    out.truncate(len);
    out
}

fn message_again(version: Version, bytes: &[u8]) -> Vec<u8> {
    let function = wire::inner_function(version, bytes).unwrap();
    let message = wire::decode(version, function, bytes).unwrap();
    assert_eq!(message.function(), function);
    let mut out = vec![0xAA; bytes.len()];
    let len = wire::encode_message(version, &message, &mut out).unwrap();
    out.truncate(len);
    out
}
