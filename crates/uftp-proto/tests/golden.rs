//! Packets recorded from the deployed programs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde::Deserialize;
use uftp_proto::wire::{self, Encrypted, Function, Header, Message, Version};

#[derive(Deserialize)]
struct Vector {
    id: String,
    form: String,
    protocol: String,
    hex: String,
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

fn check(v: &Vector) {
    let bytes = unhex(&v.hex);
    let id = u8::from_str_radix(&v.protocol[2..], 16).unwrap();
    let version = Version::from_wire_id(id).unwrap();
    let mut out = vec![0; 9000];
    if v.form == "inner" {
        let f = wire::inner_function(version, &bytes).unwrap();
        let m = wire::decode(version, f, &bytes).unwrap();
        let n = wire::encode_message(version, &m, &mut out).unwrap();
        assert_eq!(out[..n], bytes, "{}", v.id);
        return;
    }
    let header = wire::decode_header(&bytes).unwrap();
    if header.function == Function::Encrypted {
        let e = Encrypted::decode(version, &bytes).unwrap();
        let n = Encrypted::encode_head(
            &header,
            e.iv_counter,
            e.signature.len(),
            e.payload.len(),
            &mut out,
        )
        .unwrap();
        assert_eq!(out[..n], bytes[..n], "{}", v.id);
        return;
    }
    let m = wire::decode(version, header.function, &bytes[Header::LEN..]).unwrap();
    let n = wire::encode(&header, &m, &mut out).unwrap();
    assert_eq!(out[..n], bytes, "{}: {m:?}", v.id);
    let _: Message<'_> = m;
}

#[test]
fn v4() {
    let all: Vec<Vector> = serde_json::from_str(include_str!("vectors/codec/v4.json")).unwrap();
    all.iter().for_each(check);
}

#[test]
fn v5() {
    let all: Vec<Vector> = serde_json::from_str(include_str!("vectors/codec/v5.json")).unwrap();
    all.iter().for_each(check);
}
