//! Decoded messages under the names that the vectors give their fields.

use std::collections::BTreeMap;
use std::net::IpAddr;

use uftp_proto::wire::{
    self, Announce, AnnounceFlags, CongCtrl, Encrypted, FileInfo, FileSeg, Function, Header,
    Message, Pace, TfmccAckInfo, Version,
};
use uftp_proto::{Uid, WireTime};

use crate::vectors::Vector;

/// Fields that say where others begin or are always 0: re-encoding checks them.
pub(crate) fn is_structure(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap();
    last.contains("reserved")
        || last.ends_with("len")
        || last.ends_with("len_words")
        || [
            "uftp_id",
            "version",
            "func",
            "msg_func",
            "exttype",
            "destcount",
            "blsize",
        ]
        .contains(&last)
        || last == "nak_count"
}

#[derive(Debug)]
pub(crate) enum Value {
    Int(u64),
    Bytes(Vec<u8>),
    /// Followed by zeros.
    Text(Vec<u8>),
}

impl Value {
    pub(crate) fn matches(&self, raw: &[u8]) -> bool {
        match self {
            Value::Int(n) => {
                assert!(raw.len() <= 8);
                raw.iter()
                    .fold(0, |value, &byte| value << 8 | u64::from(byte))
                    == *n
            }
            Value::Bytes(bytes) => bytes == raw,
            Value::Text(text) => {
                raw.starts_with(text) && raw[text.len()..].iter().all(|byte| *byte == 0)
            }
        }
    }
}

/// The decoded values of a vector under the names it gives its fields.
#[derive(Default)]
struct Values {
    v3: bool,
    v5: bool,
    map: BTreeMap<String, Value>,
}

pub(crate) fn values(vector: &Vector) -> BTreeMap<String, Value> {
    let bytes = vector.bytes();
    let version = vector.version();
    let mut out = Values {
        v3: version == Version::V3,
        v5: version == Version::V5,
        ..Values::default()
    };
    let (function, message) = if vector.is_packet() {
        let header = wire::decode_header(&bytes).unwrap();
        assert_eq!(header.version, version);
        out.header(&header);
        (header.function, &bytes[Header::LEN..])
    } else {
        (wire::inner_function(version, &bytes).unwrap(), &bytes[..])
    };
    if function == Function::Encrypted {
        let parts = Encrypted::decode(version, &bytes).unwrap();
        out.iv_counter(parts.iv_counter);
        if !parts.signature.is_empty() {
            out.bytes("signature", &bytes[parts.signature]);
        }
        out.bytes("payload", &bytes[parts.payload]);
    } else {
        let message = wire::decode(version, function, message).unwrap();
        out.message(&message);
    }
    out.map
}

impl Values {
    fn put(&mut self, name: &str, value: Value) {
        let old = self.map.insert(name.to_owned(), value);
        assert!(old.is_none(), "{name} twice");
    }

    fn int(&mut self, name: &str, value: impl Into<u64>) {
        self.put(name, Value::Int(value.into()));
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.put(name, Value::Bytes(value.to_vec()));
    }

    /// Bytes that have no field when there are none.
    fn optional(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.bytes(name, value);
        }
    }

    fn text(&mut self, name: &str, value: &[u8]) {
        self.put(name, Value::Text(value.to_vec()));
    }

    fn addr(&mut self, name: &str, addr: IpAddr) {
        match addr {
            IpAddr::V4(v4) => self.bytes(name, &v4.octets()),
            IpAddr::V6(v6) => self.bytes(name, &v6.octets()),
        }
    }

    fn time(&mut self, prefix: &str, time: WireTime) {
        if self.v5 {
            self.int(&format!("{prefix}tstamp_usec64"), time.0);
        } else if !self.v3 {
            let (seconds, micros) = time.to_parts();
            self.int(&format!("{prefix}tstamp_sec"), seconds);
            self.int(&format!("{prefix}tstamp_usec"), micros);
        }
    }

    fn iv_counter(&mut self, iv_counter: u64) {
        if self.v3 {
            let (seconds, micros) = WireTime(iv_counter).to_parts();
            self.int("tstamp_sec", seconds);
            self.int("tstamp_usec", micros);
        } else {
            self.int("iv_ctr", iv_counter);
        }
    }

    fn ids(&mut self, ids: &[Uid]) {
        let name = if self.v3 { "addr" } else { "client_id" };
        for (i, id) in ids.iter().enumerate() {
            self.int(&format!("{name}[{i}]"), id.0);
        }
    }

    /// A key: one blob, or in protocol 3 two fields.
    fn key(&mut self, name: &str, blob: &[u8]) {
        if !self.v3 {
            self.optional(name, blob);
        } else {
            match blob.split_at_checked(8) {
                Some((head, modulus)) => {
                    assert_eq!(head[..2], [1, 0]);
                    self.bytes("keyexp", &head[4..8]);
                    self.bytes("keymod", modulus);
                }
                None => self.int("keyexp", 0u8),
            }
        }
    }

    fn header(&mut self, header: &Header) {
        self.int("group_id", header.group.0);
        if self.v3 {
            self.int("srcaddr", header.src.0);
            self.int("destaddr", header.dest.0);
        } else {
            self.int("seq", header.seq.0);
            self.int("src_id", header.src.0);
            self.int("group_inst", header.instance.0);
            self.int("grtt", header.grtt.0);
            self.int("gsize", header.group_size.0);
        }
    }

    fn message(&mut self, message: &Message<'_>) {
        match message {
            Message::Announce(m) => self.announce(m),
            Message::RegConf(m) => self.ids(&m.clients),
            Message::FileInfo(m) => self.file_info(m),
            Message::FileSeg(m) => self.file_seg(m),
            Message::Abort(m) => {
                if !self.v3 {
                    self.int("flags", u8::from(m.current_file));
                }
                self.int("host", m.host.0);
                self.text("message", m.reason.as_bytes());
            }
            Message::CongCtrl(m) => self.cong_ctrl(m),
            Message::CcAck(m) => self.tfmcc_ack(&m.info),
            Message::Register(_)
            | Message::ClientKey(_)
            | Message::KeyInfo(_)
            | Message::KeyInfoAck(_) => self.handshake(message),
            Message::FileInfoAck(_)
            | Message::Done(_)
            | Message::Status(_)
            | Message::PrStatus(_)
            | Message::Complete(_)
            | Message::DoneConf(_) => self.passes(message),
            Message::HbReq(_) | Message::HbResp(_) | Message::KeyReq | Message::ProxyKey(_) => {
                self.between_proxies(message);
            }
        }
    }

    /// How receivers come in and get keys.
    fn handshake(&mut self, message: &Message<'_>) {
        match message {
            Message::Register(m) => {
                self.time("", m.echo);
                self.bytes("rand2", &m.random);
                self.optional("keyinfo", &m.key);
                self.ids(&m.clients);
            }
            Message::ClientKey(m) => {
                self.key("keyblob", &m.key);
                self.bytes("verify_sig", &m.signature);
            }
            Message::KeyInfo(m) => {
                self.iv_counter(m.iv_counter);
                self.optional("signature", &m.signature);
                let name = if self.v3 { "destaddr" } else { "dest_id" };
                for (i, (client, secret)) in m.keys.iter().enumerate() {
                    self.int(&format!("key[{i}].{name}"), client.0);
                    self.bytes(&format!("key[{i}].enc_group_master"), secret);
                }
            }
            Message::KeyInfoAck(m) => {
                if self.v3 {
                    self.int("flags", 0u8);
                    self.int("file_id", 0u8);
                }
                self.bytes("verify_data", &m.verify_data);
            }
            other => panic!("no message of the handshake: {other:?}"),
        }
    }

    /// What is asked and answered about a file.
    fn passes(&mut self, message: &Message<'_>) {
        match message {
            Message::FileInfoAck(m) => {
                self.int("file_id", m.file.0);
                self.int("flags", u8::from(m.partial));
                self.time("", m.echo);
                if self.v3 {
                    self.bytes("verify_data", &[0; 12]);
                }
                self.ids(&m.clients);
            }
            Message::Done(m) => {
                self.pass(m.pass);
                self.int("file_id", m.file.0);
                self.section(m.section);
                self.ids(&m.clients);
            }
            Message::Status(m) => {
                self.pass(m.pass);
                if self.v3 {
                    self.int("seq", m.proxy_seq);
                }
                self.int("file_id", m.file.0);
                self.section(m.section);
                if let Some(info) = &m.tfmcc {
                    self.tfmcc_ack(info);
                }
                self.optional("nak_bitmap", m.naks);
            }
            Message::PrStatus(m) => {
                self.pass(m.pass);
                self.int("seq", m.proxy_seq);
                self.int("file_id", m.file.0);
                self.section(m.section);
                self.ids(&m.clients);
            }
            Message::Complete(m) => {
                self.int("file_id", m.file.0);
                if !self.v3 {
                    self.int("status", m.status.0);
                }
                if let Some(bytes) = m.free_space {
                    self.int("ext0.freespace_hi", bytes >> 32);
                    self.int("ext0.freespace_lo", bytes as u32);
                }
                self.ids(&m.clients);
            }
            Message::DoneConf(m) => {
                if self.v3 {
                    self.int("file_id", 0u8);
                }
                self.ids(&m.clients);
            }
            other => panic!("nothing about a file: {other:?}"),
        }
    }

    /// What is said outside of sessions.
    fn between_proxies(&mut self, message: &Message<'_>) {
        match message {
            Message::HbReq(m) => {
                self.int("nonce", m.nonce);
                self.key("keyblob", &m.key);
                self.optional("signature", &m.signature);
            }
            Message::HbResp(m) => {
                self.int("authenticated", m.code.0);
                self.int("nonce", m.nonce);
            }
            Message::KeyReq => {}
            Message::ProxyKey(m) => {
                if !self.v5 {
                    self.int("nonce", m.nonce);
                }
                self.key("keyblob", &m.key);
                self.optional("dhblob", &m.dh_key);
                self.optional("signature", &m.signature);
            }
            other => panic!("not of proxies: {other:?}"),
        }
    }

    fn file_seg(&mut self, m: &FileSeg<'_>) {
        self.int("file_id", m.file.0);
        match m.at {
            wire::BlockRef::InSection { section, block } => {
                self.int("section", section);
                self.int("sec_block", block);
            }
            wire::BlockRef::InFile {
                pass,
                section,
                block,
            } => {
                self.int("pass", pass);
                self.section(section);
                self.int("seq_num", block);
            }
        }
        if let Some(info) = m.tfmcc {
            self.int("ext0.send_rate", info.send_rate.0);
            self.int("ext0.cc_seq", info.cc_seq);
            self.int("ext0.cc_rate", info.cc_rate.0);
        }
        self.bytes("data", m.data);
    }

    fn cong_ctrl(&mut self, m: &CongCtrl) {
        self.int("cc_seq", m.cc_seq);
        self.int("cc_rate", m.cc_rate.0);
        self.time("", m.timestamp);
        for (i, item) in m.items.iter().enumerate() {
            self.int(&format!("cc[{i}].dest_id"), item.client.0);
            self.int(&format!("cc[{i}].flags"), item.flags.bits());
            self.int(&format!("cc[{i}].rtt"), item.rtt.0);
        }
    }

    fn announce(&mut self, m: &Announce) {
        let flag = |flag, bit| if m.flags.contains(flag) { bit } else { 0u8 };
        match m.pace {
            Pace::Adaptive {
                robust,
                cc,
                block_size,
            } => {
                let ipv6 = if m.public.is_ipv6() { 4 } else { 0 };
                let bits = flag(AnnounceFlags::SYNC, 1) | flag(AnnounceFlags::SYNC_PREVIEW, 2);
                self.int("flags", bits | ipv6);
                self.int("robust", robust);
                self.int("cc_type", cc.0);
                self.int("blocksize", block_size);
                self.addr("public_addr", m.public);
                self.addr("private_addr", m.private);
            }
            Pace::Fixed(pace) => {
                self.int("flags", flag(AnnounceFlags::RESTART, 1));
                self.int("announce_int", pace.announce_interval);
                self.int("status_int", pace.status_interval);
                self.int("register_int", pace.register_interval);
                self.int("done_int", pace.done_interval);
                self.int("announce_time", pace.announce_time);
                self.int("status_time", pace.status_time);
                self.int("mtu", pace.mtu);
                self.addr("privatemcast", m.private);
            }
        }
        self.time("", m.timestamp);
        let prefix = if self.v3 { "" } else { "ext0." };
        match &m.encryption {
            Some(info) => {
                if self.v3 {
                    self.int("client_auth", u8::from(info.client_auth));
                    self.int("sigtype", info.signature_type);
                } else {
                    self.int("ext0.flags", u8::from(info.client_auth));
                    self.optional("ext0.sig", &info.signature);
                }
                if !self.v3 && !self.v5 {
                    let kinds = info.key_exchange << 4 | info.signature_type;
                    self.int("ext0.keyextype_sigtype", kinds);
                }
                self.int(&format!("{prefix}keytype"), info.cipher);
                self.int(&format!("{prefix}hashtype"), info.hash);
                self.bytes(&format!("{prefix}rand1"), &info.random);
                self.key("ext0.keyblob", &info.key);
                self.optional("ext0.dhblob", &info.dh_key);
            }
            None if self.v3 => {
                for name in ["client_auth", "sigtype", "keytype", "hashtype", "keyexp"] {
                    self.int(name, 0u8);
                }
                self.bytes("rand1", &[0; 32]);
            }
            None => {}
        }
        self.ids(&m.clients);
    }

    fn file_info(&mut self, m: &FileInfo) {
        self.int("file_id", m.file.0);
        self.int("ftype", m.file_type.0);
        self.int("file_size", m.size);
        if self.v3 {
            let (blocks, sections) = m.stated_geometry.unwrap();
            self.int("block_total", blocks);
            self.int("section_total", sections);
            let text = [&m.name[..], &m.link[..]].join(&0);
            self.text("name", &text);
        } else {
            if self.v5 {
                let time = m.mtime.cast_unsigned();
                self.int("ftstamp_hi", time >> 32 & 0xFFFF);
                self.int("ftstamp_lo", time as u32);
            } else {
                self.int("ftstamp", u32::try_from(m.mtime).unwrap());
            }
            self.text("name", &m.name);
            if !m.link.is_empty() {
                self.text("link", &m.link);
            }
        }
        self.time("", m.timestamp);
        self.ids(&m.clients);
    }

    fn tfmcc_ack(&mut self, info: &TfmccAckInfo) {
        self.int("ext0.flags", info.flags.bits());
        self.int("ext0.cc_seq", info.cc_seq);
        self.int("ext0.cc_rate", info.cc_rate.0);
        self.int("ext0.client_id", info.client.0);
        self.time("ext0.", info.echo);
    }

    /// Protocol 3 counts sections from 1.
    fn section(&mut self, section: u16) {
        self.int("section", section + u16::from(self.v3));
    }

    fn pass(&mut self, pass: u8) {
        if self.v3 {
            self.int("pass", pass);
        }
    }
}
