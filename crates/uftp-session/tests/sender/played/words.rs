//! What senders say, in words.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use uftp_proto::Uid;
use uftp_proto::crypto::{Opener, PublicKey};
use uftp_proto::wire::{self, Function, Header, Message, Version};

/// A message in the clear.
pub(super) struct Clear {
    version: Version,
    function: Function,
    bytes: Vec<u8>,
}

impl Clear {
    pub(super) fn message(&self) -> Message<'_> {
        wire::decode(self.version, self.function, &self.bytes).unwrap()
    }
}

/// Reads what is said in an encrypted session, or in another.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) opener: Option<Opener>,
    /// Where every packet is signed, who does.
    pub(super) signer: Option<PublicKey>,
    /// The group's secret is handed over under other keys than it was.
    pub(super) rekeyed: bool,
}

impl Reader {
    /// The message in a packet.
    pub(super) fn clear(&mut self, packet: &[u8]) -> Clear {
        let header = wire::decode_header(packet).unwrap();
        let version = header.version;
        let (Function::Encrypted, Some(opener)) = (header.function, &mut self.opener) else {
            return Clear {
                version,
                function: header.function,
                bytes: packet[Header::LEN..].to_vec(),
            };
        };
        let mut copy = packet.to_vec();
        let opened = opener.open(&mut copy, self.signer.as_ref()).unwrap();
        let bytes = opened.message.to_vec();
        Clear {
            version,
            function: wire::inner_function(version, &bytes).unwrap(),
            bytes,
        }
    }

    /// What a message says but for times and signatures, lists of clients in order, and where it goes.
    pub(super) fn word(&self, clear: &Clear, to: SocketAddr) -> String {
        let ids = |ids: &[Uid]| {
            let mut ids: Vec<_> = ids.iter().map(|uid| uid.0).collect();
            ids.sort_unstable();
            format!("{ids:x?}")
        };
        let word = match clear.message() {
            Message::Announce(m) => {
                let algorithms = m.encryption.map(|info| {
                    let codes = (
                        info.key_exchange,
                        info.signature_type,
                        info.cipher,
                        info.hash,
                    );
                    (codes, info.client_auth, info.key)
                });
                format!(
                    "ANNOUNCE {:?} {:?} {} {} {algorithms:x?} {}",
                    m.flags,
                    m.pace,
                    m.public,
                    m.private,
                    ids(&m.clients)
                )
            }
            Message::KeyInfo(mut m) => {
                if self.rekeyed {
                    m.keys.iter_mut().for_each(|(_, wrapped)| wrapped.fill(0));
                }
                m.keys.sort_unstable();
                format!("KEYINFO {} {:x?}", m.iv_counter, m.keys)
            }
            Message::FileInfo(m) => format!(
                "FILEINFO {} {:?} {} {} {:?} {:?} {}",
                m.file.0,
                m.file_type,
                m.size,
                m.mtime,
                m.name,
                m.link,
                ids(&m.clients)
            ),
            Message::FileSeg(m) => format!("FILESEG {} {:?} {}", m.file.0, m.at, m.data.len()),
            Message::Done(m) => format!("DONE {} {} {}", m.file.0, m.section, ids(&m.clients)),
            Message::RegConf(m) => format!("REG_CONF {}", ids(&m.clients)),
            Message::DoneConf(m) => format!("DONE_CONF {}", ids(&m.clients)),
            Message::Abort(m) => format!("ABORT {:x} {}", m.host.0, m.reason),
            // What it says depends on the times of everything.
            Message::CongCtrl(m) => format!("CONG_CTRL {}", m.cc_seq),
            other => panic!("a sender does not say {other:?}"),
        };
        format!("{word} to {to}")
    }
}

/// The kind of a word, and the file it is about.
pub(super) fn kind(word: &str) -> String {
    let mut parts = word.split(' ');
    let (what, file) = (parts.next().unwrap(), parts.next().unwrap());
    match what {
        "FILEINFO" | "FILESEG" | "DONE" => format!("{what} {file}"),
        _ => what.to_owned(),
    }
}

/// What is said beyond this much is told in the same words again.
pub(crate) fn once(words: &[String]) -> Vec<&String> {
    let mut seen = BTreeSet::new();
    words.iter().filter(|word| seen.insert(*word)).collect()
}
