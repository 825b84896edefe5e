//! Reads the files in `tests/vectors`; their README describes them.

use serde::Deserialize;
use uftp_proto::wire::Version;

#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) id: String,
    protocol: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    form: String,
    hex: String,
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    off: usize,
    len: usize,
}

impl Vector {
    pub(crate) fn version(&self) -> Version {
        let id = self.protocol.strip_prefix("0x").unwrap();
        Version::from_wire_id(u8::from_str_radix(id, 16).unwrap()).unwrap()
    }

    /// Whether the bytes begin with a packet header.
    pub(crate) fn is_packet(&self) -> bool {
        self.form == "packet"
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        unhex_meant(&self.hex)
    }

    /// Fields by name. A field that belongs to a key blob is joined with its neighbours to the
    /// whole blob.
    pub(crate) fn fields(&self) -> Vec<(String, Vec<u8>)> {
        let bytes = self.bytes();
        let mut out: Vec<(String, Vec<u8>)> = Vec::new();
        for field in &self.fields {
            let raw = &bytes[field.off..field.off + field.len];
            let name = match field.name.find("blob.") {
                Some(at) => &field.name[..at + "blob".len()],
                None => &field.name,
            };
            // Key material of REGISTER, by what the session uses it for.
            let name = match (&self.kind[..], name) {
                ("REGISTER", "dhblob" | "premaster_enc") => "keyinfo",
                _ => name,
            };
            match out.last_mut() {
                Some((last, value)) if last == name => value.extend(raw),
                _ => out.push((name.to_owned(), raw.to_vec())),
            }
        }
        out
    }
}

pub(crate) fn codec_vectors() -> Vec<Vector> {
    let files = [
        include_str!("../vectors/codec/v3.json"),
        include_str!("../vectors/codec/v4.json"),
        include_str!("../vectors/codec/v5.json"),
    ];
    let all: Vec<Vector> = files
        .iter()
        .flat_map(|text| serde_json::from_str::<Vec<Vector>>(text).unwrap())
        .collect();
    assert!(all.len() > 200, "vectors are missing");
    all
}

#[derive(Deserialize)]
pub(crate) struct V3File {
    pub(crate) plain_packets: Vec<V3Packet>,
    pub(crate) encrypted_sessions: Vec<V3Session>,
}

#[derive(Deserialize)]
pub(crate) struct V3Packet {
    pub(crate) run: String,
    pub(crate) message: String,
    packet: String,
}

impl V3Packet {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        unhex_meant(&self.packet)
    }
}

#[derive(Deserialize)]
pub(crate) struct V3Session {
    pub(crate) encrypted: Vec<V3Sealed>,
}

#[derive(Deserialize)]
pub(crate) struct V3Sealed {
    pub(crate) message: String,
    packet: String,
    plaintext: String,
}

impl V3Sealed {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        unhex(&self.packet)
    }

    pub(crate) fn plaintext(&self) -> Vec<u8> {
        unhex(&self.plaintext)
    }
}

pub(crate) fn v3_file() -> V3File {
    serde_json::from_str(include_str!("../vectors/wire-v3.json")).unwrap()
}

/// The bytes of a packet, without signature and hash type in a plain ANNOUNCE of protocol 3: a
/// restarted server leaves them set though they mean nothing (wire-v3 §4.3).
fn unhex_meant(text: &str) -> Vec<u8> {
    let mut bytes = unhex(text);
    if let [0x30 | 0x31, 1, ..] = bytes[..]
        && bytes[39] == 0
    {
        bytes[37..39].fill(0);
    }
    bytes
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}
