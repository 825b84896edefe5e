//! Recorded sessions, taken apart.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use uftp_proto::FileId;
use uftp_proto::wire::{self, BlockRef, Function, Message};
use uftp_session::files::SendItem;

use super::SERVER;
use super::words::{Reader, kind};
use crate::lab::Memory;
use crate::recorded::pcap::{self, Recorded};

/// The recorded session, taken apart.
#[derive(Default)]
pub(super) struct Script {
    /// What the sender said.
    pub(super) words: Vec<String>,
    pub(super) answers: Vec<Answer>,
    pub(super) items: Memory,
}

/// What was said to the sender.
pub(super) struct Answer {
    /// What it is an answer to: so many words of this kind.
    pub(super) to: (String, usize),
    /// Nothing if it was the sender's user who wanted it to end.
    pub(super) packet: Option<Recorded>,
}

/// The sessions of a capture, each as the socket of its sender saw it.
pub(super) fn sessions(name: &str) -> Vec<Vec<Recorded>> {
    let mut sessions: Vec<((SocketAddr, u8), Vec<Recorded>)> = Vec::new();
    for packet in pcap::read(&format!("{name}.pcap")) {
        let header = wire::decode_header(&packet.bytes).unwrap();
        let (group, instance) = (header.group, header.instance.0);
        let known = sessions.iter_mut().find(|((sender, run), session)| {
            let of = wire::decode_header(&session[0].bytes).unwrap();
            let involved = [packet.from, packet.to].contains(sender);
            (of.group, *run) == (group, instance) && involved
        });
        match known {
            Some((_, session)) => session.push(packet),
            None if header.function == Function::Announce && header.src == SERVER => {
                let same = sessions.iter().any(|((_, run), session)| {
                    let of = wire::decode_header(&session[0].bytes).unwrap();
                    (of.group, *run) == (group, instance)
                });
                if !same {
                    sessions.push(((packet.from, instance), vec![packet]));
                }
            }
            // On its way between others.
            None => {}
        }
    }
    sessions.into_iter().map(|(_, session)| session).collect()
}

/// Takes a session apart. `reader` reads what the sender says.
pub(super) fn take_apart(
    recorded: Vec<Recorded>,
    block_size: usize,
    reader: &mut Reader,
) -> Script {
    let mut script = Script::default();
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    let mut last = String::new();
    let mut items: BTreeMap<FileId, (SendItem, Vec<u8>)> = BTreeMap::new();
    let mut left = Duration::ZERO;
    for packet in recorded {
        let header = wire::decode_header(&packet.bytes).unwrap();
        if header.src != SERVER {
            script.answers.push(Answer {
                to: (last.clone(), said[&last]),
                packet: Some(packet),
            });
            continue;
        }
        let clear = reader.clear(&packet.bytes);
        match clear.message() {
            Message::FileInfo(m) => {
                let item = SendItem {
                    source: "source".into(),
                    name: m.name,
                    file_type: m.file_type,
                    size: m.size,
                    mtime: m.mtime,
                    link: m.link,
                };
                items
                    .entry(m.file)
                    .or_insert((item, vec![0; m.size as usize]));
            }
            Message::FileSeg(m) => {
                let BlockRef::InSection { section: 0, block } = m.at else {
                    panic!("these files have one section");
                };
                let (_, data) = items.get_mut(&m.file).unwrap();
                let at = usize::from(block) * block_size;
                data[at..at + m.data.len()].copy_from_slice(m.data);
            }
            _ => {}
        }
        let word = reader.word(&clear, packet.to);
        if word.contains("Server quit, aborting all") {
            script.answers.push(Answer {
                to: (last.clone(), said[&last]),
                packet: None,
            });
        }
        if script
            .words
            .last()
            .is_some_and(|w| w.starts_with("ABORT 0"))
        {
            // It had one more block on its way.
            continue;
        }
        last = kind(&word);
        *said.entry(last.clone()).or_default() += 1;
        script.words.push(word);
        left = packet.at + header.grtt.duration();
    }
    if last == "DONE_CONF" {
        // It listened for a round trip (behaviour-sender-receiver §3.9).
        let heard = |answer: &Answer| answer.packet.as_ref().is_none_or(|p| p.at <= left);
        script.answers.retain(heard);
    }
    script.items.items = items.into_values().collect();
    script
}
