//! What crosses the socket, for the two highest levels of the log.

use std::net::SocketAddr;

use uftp_proto::wire::{Function, decode_header};
use uftp_session::Transmit;

use crate::log::{self, Tag, Verbosity};
use crate::names;

/// Where messages go, but not file data.
const MESSAGES: Verbosity = 4;
/// Every packet.
const PACKETS: Verbosity = 5;

/// Whether anything is told at all: nothing else may cost time where packets pass.
pub(super) fn wanted() -> bool {
    log::wanted(MESSAGES)
}

/// Tells of a run of datagrams, `bytes` together, that went out.
pub(super) fn sent(run: &Transmit, bytes: &[u8]) {
    let to = run.destination;
    let mut datagrams = bytes.chunks(run.segment_size.max(1));
    let count = datagrams.len();
    let first = datagrams.next().unwrap_or_default();
    let tag = tag(first);
    if let Ok(header) = decode_header(first)
        && header.function != Function::FileSeg
    {
        log::line(
            MESSAGES,
            tag,
            format_args!("Sending to {}", names::shown(to)),
        );
    }
    let what = packet(first);
    let more = match count {
        0 | 1 => String::new(),
        _ => format!(" and {} like it", count - 1),
    };
    let text = format_args!(
        "Sent {what}{more}, {} bytes, to {}",
        bytes.len(),
        names::endpoint(to)
    );
    log::line(PACKETS, tag, text);
}

/// Tells of a datagram that came in.
pub(super) fn received(from: SocketAddr, bytes: &[u8]) {
    let what = packet(bytes);
    let text = format_args!(
        "Received {what}, {} bytes, from {}",
        bytes.len(),
        names::endpoint(from)
    );
    log::line(PACKETS, tag(bytes), text);
}

fn packet(bytes: &[u8]) -> String {
    match decode_header(bytes) {
        Ok(header) => format!("{:?} {} of {}", header.function, header.seq.0, header.src),
        Err(error) => error.to_string(),
    }
}

fn tag(bytes: &[u8]) -> Option<Tag> {
    let header = decode_header(bytes).ok();
    header.map(|header| Tag::of_session(header.group, header.instance))
}
