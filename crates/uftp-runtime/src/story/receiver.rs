//! What the log of a receiver says.

use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_session::receiver::{EndReason, ReceiverEvent, ReceiverEventKind, SessionId};

use super::{UNPROVED, heartbeats};
use crate::log::{self, Tag, Verbosity, printable};

/// Tells what a receiver does.
#[derive(Default)]
pub(crate) struct ReceiverStory;

impl ReceiverStory {
    /// Logs one event; `host` is the name of the sender's host, if it says where that is.
    pub(crate) fn event(&self, event: &ReceiverEvent, host: &str) {
        use ReceiverEventKind as K;
        let tag = (event.session != SessionId::NONE).then_some(Tag {
            group: event.session.group,
            instance: event.session.instance,
            file: event.file,
        });
        let say = |verbosity: Verbosity, text: std::fmt::Arguments<'_>| {
            log::line(verbosity, tag, text);
        };
        match &event.kind {
            K::Announced {
                server,
                from,
                private,
            } => {
                let ip = from.ip().to_canonical();
                say(
                    2,
                    format_args!("Received request from {:08X} at {host} ({ip})", server.0),
                );
                if let Some(group) = private {
                    say(2, format_args!("Using private multicast address {group}"));
                }
            }
            K::Join(group) => say(3, format_args!("Joining {group}")),
            K::Secured(suite) => {
                let weak = suite.weaknesses();
                if !weak.is_empty() {
                    let weak = weak.join(", ");
                    say(1, format_args!("Weak algorithms in use: {weak}"));
                }
            }
            K::Unproved => say(
                1,
                format_args!(
                    "Not encrypted, though -S has the sender's key: nothing proves whose session \
                     this is; -E refuses such sessions"
                ),
            ),
            K::JoinFrom { group, sources } => {
                say(3, format_args!("Joining {group} from {sources:?}"));
            }
            K::Leave(group) => say(3, format_args!("Leaving {group}")),
            K::RegisterSent => say(2, format_args!("REGISTER sent")),
            K::ClientKeySent => say(2, format_args!("CLIENT_KEY sent")),
            K::KeyInfoReceived => say(2, format_args!("Received KEYINFO")),
            K::KeyInfoAckSent => say(2, format_args!("KEYINFO_ACK sent")),
            K::Confirmed => say(2, format_args!("Registration confirmed")),
            K::FileStarted {
                name,
                size,
                blocks,
                sections,
                ..
            } => {
                say(
                    2,
                    format_args!("Name of file to receive: {}", printable(name)),
                );
                say(
                    2,
                    format_args!("Bytes: {size}, Blocks: {blocks}, Sections: {sections}"),
                );
            }
            K::FileInfoAckSent => say(2, format_args!("FILEINFO_ACK sent")),
            K::DoneReceived { section } => {
                say(2, format_args!("Got DONE message for section {section}"));
            }
            K::NaksSent { section, count } => {
                say(2, format_args!("Sent {count} NAKs for section {section}"));
            }
            K::CcAckSent { rate } => say(4, format_args!("Sent CC_ACK, rate {rate} B/s")),
            K::FileFinished {
                name,
                file_type,
                status,
                note,
                ..
            } => {
                let name = printable(name);
                let why = note.as_deref().unwrap_or("as agreed");
                match *status {
                    CompleteStatus::REJECTED => say(1, format_args!("Rejecting {name}: {why}")),
                    CompleteStatus::SKIPPED => say(2, format_args!("Skipping {name}")),
                    _ if *file_type == FileType::REGULAR => {
                        say(2, format_args!("File transfer complete"));
                        // The words for it; they come once it is in its place.
                        say(2, format_args!("starting file close"));
                        say(2, format_args!("done file close"));
                    }
                    _ => {
                        say(2, format_args!("Name of file to receive: {name}"));
                        say(2, format_args!("{}", done(*file_type)));
                    }
                }
            }
            K::FileFailed { name, reason } => {
                let name = printable(name);
                say(
                    0,
                    format_args!("{name} was not received: {}", printable(reason.as_bytes())),
                );
            }
            K::CompleteSent => say(2, format_args!("COMPLETE sent")),
            K::GroupDone => {
                say(2, format_args!("Got DONE message for group"));
                say(2, format_args!("Group complete"));
            }
            K::Ended(EndReason::Confirmed) => say(2, format_args!("Group file transfer confirmed")),
            K::Ended(EndReason::Unconfirmed) => {
                say(1, format_args!("Group file transfer unconfirmed"));
            }
            K::Ended(EndReason::AbortedByServer(why)) => {
                let why = printable(why.as_bytes());
                say(1, format_args!("Transfer aborted by server: {why}"));
            }
            K::Ended(EndReason::Superseded(instance)) => {
                say(
                    1,
                    format_args!("Transfer goes on as instance {}", instance.0),
                );
            }
            K::Ended(EndReason::Encrypted) => {
                say(1, format_args!("Transfer begins anew: {UNPROVED}"));
            }
            K::Ended(EndReason::Aborted(why)) => {
                say(
                    1,
                    format_args!("Transfer aborted: {}", printable(why.as_bytes())),
                );
            }
            K::HeartbeatAccepted(by) => say(2, format_args!("{}", heartbeats::accepted(*by))),
            K::HeartbeatDenied(by) => say(1, format_args!("{}", heartbeats::denied(*by))),
            K::HeartbeatUnanswered(by) => say(1, format_args!("{}", heartbeats::unanswered(*by))),
            K::ProxyKeyRequested(from) => say(2, format_args!("Sent KEY_REQ to {from}")),
            K::ProxyKeysTooMany(from) => say(
                1,
                format_args!(
                    "More PROXY_KEYs from {from} than are looked into: somebody may be forging them"
                ),
            ),
            K::ProxyKeyRejected(why) => say(1, format_args!("PROXY_KEY not accepted: {why}")),
            K::ProxyKeyReceived(print) => say(
                2,
                format_args!("Received the keys of the response proxy, fingerprint {print}"),
            ),
            // What has no classic line, and what is added later, tells itself.
            #[allow(unreachable_patterns)]
            other => say(3, format_args!("{other:?}")),
        }
    }
}

fn done(file_type: FileType) -> &'static str {
    match file_type {
        FileType::DIRECTORY => "Empty directory created",
        FileType::SYMLINK => "Symbolic link created",
        FileType::DELETE => "Deleted",
        FileType::FREESPACE => "Free space told",
        _ => "Done",
    }
}
