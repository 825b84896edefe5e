//! What the log of a receiver says.

use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_session::receiver::{EndReason, ReceiverEvent, ReceiverEventKind};

use super::{UNPROVED, heartbeats};
use crate::log::{Tag, printable};
use crate::names::{endpoint, shown};
use crate::tell;

/// Tells what a receiver does.
#[derive(Default)]
pub(crate) struct ReceiverStory;

impl ReceiverStory {
    /// Logs one event; `host` is the name of the sender's host, if it says where that is.
    pub(crate) fn event(&self, event: &ReceiverEvent, host: &str) {
        use ReceiverEventKind as K;
        let tag = event.session.map(|id| Tag {
            group: id.group,
            instance: id.instance,
            file: event.file,
        });
        match &event.kind {
            K::Ended(reason) => ended(tag, reason),
            kind => {
                let told = joining(tag, kind, host) || file(tag, kind) || proxies(tag, kind);
                if !told {
                    // What has no classic line tells itself.
                    tell!(tag, 3, "{kind:?}");
                }
            }
        }
    }
}

/// How a session is joined. Whether `kind` is of this.
fn joining(tag: Option<Tag>, kind: &ReceiverEventKind, host: &str) -> bool {
    use ReceiverEventKind as K;
    match kind {
        K::Announced {
            server,
            from,
            private,
        } => {
            let ip = shown(*from);
            tell!(
                tag,
                2,
                "Received request from {:08X} at {host} ({ip})",
                server.0
            );
            if let Some(group) = private {
                tell!(tag, 2, "Using private multicast address {group}");
            }
        }
        K::Join(group) => tell!(tag, 3, "Joining {group}"),
        K::Secured(suite) => {
            let weak = suite.weaknesses();
            if !weak.is_empty() {
                let weak = weak.join(", ");
                tell!(tag, 1, "Weak algorithms in use: {weak}");
            }
        }
        K::Unproved => tell!(
            tag,
            1,
            "Not encrypted, though -S has the sender's key: nothing proves whose session \
                     this is; -E refuses such sessions"
        ),
        K::JoinFrom { group, sources } => {
            tell!(tag, 3, "Joining {group} from {sources:?}");
        }
        K::Leave(group) => tell!(tag, 3, "Leaving {group}"),
        K::RegisterSent => tell!(tag, 2, "REGISTER sent"),
        K::ClientKeySent => tell!(tag, 2, "CLIENT_KEY sent"),
        K::KeyInfoReceived => tell!(tag, 2, "Received KEYINFO"),
        K::KeyInfoAckSent => tell!(tag, 2, "KEYINFO_ACK sent"),
        K::Dismissed(why) => tell!(
            tag,
            1,
            "Aborted in the clear, believed unless keys come: {}",
            printable(why.as_bytes())
        ),
        K::Confirmed => tell!(tag, 2, "Registration confirmed"),
        _ => return false,
    }
    true
}

/// How a file comes, and the end of files. Whether `kind` is of this.
fn file(tag: Option<Tag>, kind: &ReceiverEventKind) -> bool {
    use ReceiverEventKind as K;
    match kind {
        K::FileStarted {
            name,
            size,
            blocks,
            sections,
            ..
        } => {
            tell!(tag, 2, "Name of file to receive: {}", printable(name));
            tell!(
                tag,
                2,
                "Bytes: {size}, Blocks: {blocks}, Sections: {sections}"
            );
        }
        K::FileInfoAckSent => tell!(tag, 2, "FILEINFO_ACK sent"),
        K::DoneReceived { section } => {
            tell!(tag, 2, "Got DONE message for section {section}");
        }
        K::NaksSent { section, count } => {
            tell!(tag, 2, "Sent {count} NAKs for section {section}");
        }
        K::CcAckSent { rate } => tell!(tag, 4, "Sent CC_ACK, rate {rate} B/s"),
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
                CompleteStatus::REJECTED => tell!(tag, 1, "Rejecting {name}: {why}"),
                CompleteStatus::SKIPPED => {
                    tell!(tag, 2, "Name of file to receive: {name}");
                    tell!(tag, 2, "{}", skipped(*file_type));
                }
                _ if *file_type == FileType::REGULAR => {
                    tell!(tag, 2, "File transfer complete");
                    // The words for it; they come once it is in its place.
                    tell!(tag, 2, "starting file close");
                    tell!(tag, 2, "done file close");
                }
                _ => {
                    tell!(tag, 2, "Name of file to receive: {name}");
                    tell!(tag, 2, "{}", asked(*file_type));
                }
            }
        }
        K::FileFailed { name, reason } => {
            let name = printable(name);
            tell!(
                tag,
                0,
                "{name} was not received: {}",
                printable(reason.as_bytes())
            );
        }
        K::CompleteSent => tell!(tag, 2, "COMPLETE sent"),
        K::GroupDone => {
            tell!(tag, 2, "Got DONE message for group");
            tell!(tag, 2, "Group complete");
        }
        _ => return false,
    }
    true
}

fn ended(tag: Option<Tag>, reason: &EndReason) {
    match reason {
        EndReason::Confirmed => tell!(tag, 2, "Group file transfer confirmed"),
        EndReason::Unconfirmed => {
            tell!(tag, 1, "Group file transfer unconfirmed");
        }
        EndReason::AbortedByServer(why) => {
            let why = printable(why.as_bytes());
            tell!(tag, 1, "Transfer aborted by server: {why}");
        }
        EndReason::Superseded(instance) => {
            tell!(tag, 1, "Transfer goes on as instance {}", instance.0);
        }
        EndReason::Encrypted => {
            tell!(tag, 1, "Transfer begins anew: {UNPROVED}");
        }
        EndReason::Aborted(why) => {
            tell!(tag, 1, "Transfer aborted: {}", printable(why.as_bytes()));
        }
    }
}

/// What is said outside of sessions. Whether `kind` is of this.
fn proxies(tag: Option<Tag>, kind: &ReceiverEventKind) -> bool {
    use ReceiverEventKind as K;
    match kind {
        K::HeartbeatAccepted(by) => tell!(tag, 2, "{}", heartbeats::accepted(*by)),
        K::HeartbeatDenied(by) => tell!(tag, 1, "{}", heartbeats::denied(*by)),
        K::HeartbeatUnanswered(by) => tell!(tag, 1, "{}", heartbeats::unanswered(*by)),
        K::ProxyKeyRequested(from) => tell!(tag, 2, "Sent KEY_REQ to {}", endpoint(*from)),
        K::ProxyKeysTooMany(from) => tell!(
            tag,
            1,
            "More PROXY_KEYs from {} than are looked into: somebody may be forging them",
            endpoint(*from)
        ),
        K::ProxyUnnamed {
            server,
            proxy,
            address,
        } => tell!(
            tag,
            1,
            "No keys will come: the session is brought by the proxy {proxy}, which is in no list. Name \
             it in the file of -S with the line {server}|{address}|{proxy}"
        ),
        K::ProxyKeyRejected(why) => tell!(tag, 1, "PROXY_KEY not accepted: {why}"),
        K::ProxyKeyReceived(print) => tell!(
            tag,
            2,
            "Received the keys of the response proxy, fingerprint {print}"
        ),
        _ => return false,
    }
    true
}

/// What an item without content asks for, in the words of the deployed programs.
fn asked(file_type: FileType) -> &'static str {
    match file_type {
        FileType::DIRECTORY => "Empty directory",
        FileType::SYMLINK => "Symbolic link",
        FileType::DELETE => "Deleting file/directory",
        FileType::FREESPACE => "Get free space for path",
        _ => "Done",
    }
}

fn skipped(file_type: FileType) -> &'static str {
    match file_type {
        FileType::REGULAR => "skipping file, in sync",
        _ => "skipping, it is there",
    }
}
