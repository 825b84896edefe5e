//! What senders say, in words.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use uftp_proto::Uid;
use uftp_proto::crypto::{Opener, PublicKey};
use uftp_proto::wire::{self, Function, Header, Message};

/// Stands between a word and what is around it.
const AROUND: &str = " in ";

/// A message in the clear.
pub(super) struct Clear {
    header: Header,
    /// What its encryption was numbered.
    counter: Option<u64>,
    function: Function,
    bytes: Vec<u8>,
}

impl Clear {
    pub(super) fn message(&self) -> Message<'_> {
        wire::decode(self.header.version, self.function, &self.bytes).unwrap()
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
        let (Function::Encrypted, Some(opener)) = (header.function, &mut self.opener) else {
            return Clear {
                header,
                counter: None,
                function: header.function,
                bytes: packet[Header::LEN..].to_vec(),
            };
        };
        let mut copy = packet.to_vec();
        let opened = opener.open(&mut copy, self.signer.as_ref()).unwrap();
        Clear {
            header,
            counter: Some(opened.counter),
            function: wire::inner_function(header.version, opened.message).unwrap(),
            bytes: opened.message.to_vec(),
        }
    }

    /// What a message says but for times and signatures, lists of clients in order; where it goes, and
    /// what stands around it but for the round trip time.
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
        let Header {
            seq, group_size, ..
        } = clear.header;
        let around = format!("{} {:?} {group_size:?}", seq.0, clear.counter);
        format!("{word} to {to}{AROUND}{around}")
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

/// A word, and where it goes, alone.
pub(crate) fn bare(word: &str) -> &str {
    word.rsplit_once(AROUND).unwrap().0
}

/// What is said beyond this much is told in the same words again.
pub(crate) fn once(words: &[String]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    words
        .iter()
        .map(|word| bare(word))
        .filter(|word| seen.insert(*word))
        .collect()
}
