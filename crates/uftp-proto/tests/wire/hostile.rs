//! Whatever comes, decoding answers; and what it accepts it can say again.

use proptest::prelude::*;
use uftp_proto::wire::{self, Function, Header, Version};
use uftp_proto_fuzz::packet::{open, receive};

use crate::strategies::packet;
use crate::vectors::codec_vectors;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes(
        id in prop::sample::select(&[0x30u8, 0x31, 0x40, 0x50]),
        function in prop_oneof![0u8..24, Just(80), Just(99)],
        mut bytes in prop::collection::vec(any::<u8>(), 2..600),
        agree in any::<bool>(),
    ) {
        bytes[0] = id;
        bytes[1] = function;
        if agree {
            // Get past the first checks: length in the header, function before the message.
            if id < 0x40 {
                let len = (bytes.len().saturating_sub(16) as u16).to_be_bytes();
                for (byte, l) in bytes.iter_mut().skip(2).zip(len) {
                    *byte = l;
                }
            }
            if let Some(byte) = bytes.get_mut(16) {
                *byte = function;
            }
            let words = (bytes.len() - 2) / 8;
            if let Some(byte) = bytes.get_mut(17) {
                *byte = words as u8;
            }
        }
        receive(&bytes);
    }

    #[test]
    fn damaged_packets(
        (header, message) in packet(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut out = [0; 4096];
        let len = wire::encode(&header, &message, &mut out).unwrap();
        let bytes = &mut out[..len];
        for (at, value) in damage {
            *at.get_mut(bytes) = value;
        }
        receive(bytes);
        open(header.version, &bytes[Header::LEN..]);
    }
}

#[test]
fn recorded_packets_cut_anywhere() {
    for vector in codec_vectors() {
        let bytes = vector.bytes();
        for cut in 0..=bytes.len() {
            if vector.is_packet() {
                receive(&bytes[..cut]);
            } else {
                open(vector.version(), &bytes[..cut]);
            }
        }
    }
}

#[test]
fn recorded_packets_with_any_one_byte_at_its_limits() {
    for vector in codec_vectors() {
        let bytes = vector.bytes();
        for at in 0..bytes.len().min(120) {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                if vector.is_packet() {
                    receive(&bytes);
                } else {
                    open(vector.version(), &bytes);
                }
            }
        }
    }
}

#[test]
fn no_error_without_a_name() {
    let error = wire::decode(Version::V4, Function::Done, &[10, 3, 0, 1]).unwrap_err();
    assert_eq!(error.to_string(), "Done: hlen: says 12 bytes, expected 4");
    let error = wire::decode_header(&[0x20; 20]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "packet header: version: value 32 is not defined"
    );
    let error = wire::decode_header(&[0x40, 9, 0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "packet header: seq: needs 2 bytes, 1 left"
    );
}
