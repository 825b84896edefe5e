//! What the log of a sender says.

use std::collections::BTreeMap;

use uftp_proto::wire::{CompleteStatus, FileType, Version};
use uftp_proto::{FileId, GroupId, Instance, Uid};
use uftp_session::files::SendItem;
use uftp_session::sender::{FileOutcome, FileReport, Outcome, SenderEvent};

use crate::log::{self, Tag, Verbosity, printable};

/// Tells what a sender does.
pub(crate) struct SenderStory {
    tag: Tag,
    /// Receivers that failed, with the last word on each.
    failed: BTreeMap<Uid, &'static str>,
    /// The log shows the status of each file, and so who failed.
    shows_status: bool,
    /// The protocol spoken.
    version: Version,
    /// It was said how keys of old receivers must be.
    keys_explained: bool,
    /// Somebody would not take part.
    refused: bool,
    /// Somebody showed another key than the one listed.
    mistaken: bool,
    /// Announcements name the receivers.
    closed: bool,
    /// Somebody takes part.
    registered: bool,
    /// One that fails ends the session for all.
    all_or_nobody: bool,
}

impl SenderStory {
    /// The story of one session of protocol `version`, for a log that shows what is up to
    /// `verbosity`.
    pub(crate) fn new(
        version: Version,
        group: GroupId,
        instance: Instance,
        verbosity: Verbosity,
    ) -> Self {
        SenderStory {
            version,
            tag: Tag {
                group,
                instance,
                file: FileId::SESSION,
            },
            failed: BTreeMap::new(),
            shows_status: verbosity >= STATUS,
            keys_explained: false,
            refused: false,
            mistaken: false,
            closed: false,
            registered: false,
            all_or_nobody: false,
        }
    }

    /// The story of a session that `is` for all or nobody (`-q`).
    pub(crate) fn all_or_nobody(self, is: bool) -> Self {
        SenderStory {
            all_or_nobody: is,
            ..self
        }
    }

    /// Logs one event; `name` says what the operator calls a client.
    pub(crate) fn event(&mut self, event: &SenderEvent, name: impl Fn(Uid) -> String) {
        use SenderEvent as E;
        match event {
            E::AnnounceSent {
                attempt,
                part: None,
            } => self.say(2, format_args!("Sending ANNOUNCE {attempt}")),
            E::AnnounceSent {
                attempt,
                part: Some(part),
            } => {
                self.closed = true;
                self.say(2, format_args!("Sending ANNOUNCE {attempt}.{part}"));
            }
            E::LateRegisters => self.say(2, format_args!("Late registers:")),
            E::LateCompletions => self.say(2, format_args!("Late completions:")),
            E::Registered { client, proxy, .. } => {
                self.registered = true;
                match proxy {
                    None => self.say(
                        2,
                        format_args!("Received REGISTER from client {}", name(*client)),
                    ),
                    Some(proxy) => {
                        self.say(
                            2,
                            format_args!("Received REGISTER from proxy {}", name(*proxy)),
                        );
                        self.say(2, format_args!("  For client {}", name(*client)));
                    }
                }
            }
            E::ClientKeyReceived { client, .. } => {
                let name = name(*client);
                self.say(2, format_args!("Received CLIENT_KEY from client {name}"));
            }
            E::ClientKeyRejected { client } => {
                self.mistaken = true;
                let name = name(*client);
                self.say(
                    1,
                    format_args!("Rejecting CLIENT_KEY from {name}: key fingerprint mismatch"),
                );
            }
            E::KeyInfoSent { attempt, part } => {
                self.say(2, format_args!("Sending KEYINFO {attempt}.{part}"));
            }
            E::KeyInfoAcked { client } => {
                let name = name(*client);
                self.say(2, format_args!("Received KEYINFO_ACK from {name}"));
            }
            E::RegConfSent { attempt, part } => {
                self.say(2, format_args!("Sending REG_CONF {attempt}.{part}"));
            }
            E::Connect {
                client, connected, ..
            } => {
                if !connected {
                    self.say(3, format_args!("{} did not register", name(*client)));
                }
            }
            E::FileStarted {
                file,
                item,
                blocks,
                sections,
            } => self.file_started(*file, item, *blocks, *sections),
            E::FileSkipped { item, reason } => {
                self.say(0, format_args!("Skipping {}: {reason}", item.source));
            }
            E::FileInfoSent { attempt, part } => {
                self.say(2, format_args!("Sending FILEINFO {attempt}.{part}"));
            }
            E::FileInfoAcked { client, .. } => {
                self.say(
                    2,
                    format_args!("Received FILEINFO_ACK from client {}", name(*client)),
                );
            }
            E::TransferStarted { max_time } => {
                if let Some(time) = max_time {
                    let seconds = time.as_secs();
                    self.say(
                        2,
                        format_args!("Maximum file transfer time: {seconds} seconds"),
                    );
                }
                self.say(2, format_args!("Sending file"));
            }
            E::PassStarted { pass } => self.say(2, format_args!("Starting pass {pass}")),
            E::SectionStarted { section } => self.say(2, format_args!("Sending section {section}")),
            E::DoneSent { attempt, part, .. } => {
                self.say(2, format_args!("Sending DONE {attempt}.{part}"));
            }
            E::Naks {
                client,
                section,
                count,
            } => self.say(
                2,
                format_args!(
                    "Got {count} NAKs for section {section} from client {}",
                    name(*client)
                ),
            ),
            E::CongCtrlSent {
                round,
                rate,
                limiting,
            } => {
                let clr = limiting.map_or_else(|| "none".to_owned(), &name);
                self.say(
                    4,
                    format_args!("Sent CONG_CTRL: round {round}, rate {rate} B/s, CLR {clr}"),
                );
            }
            E::RateReported {
                client,
                rate,
                limiting,
            } => {
                let role = if *limiting { ", CLR" } else { "" };
                self.say(
                    3,
                    format_args!("Got CC rate {rate} B/s from client {}{role}", name(*client)),
                );
            }
            E::Completed { client, status, .. } => {
                let word = match *status {
                    CompleteStatus::SKIPPED => "(skipped)",
                    CompleteStatus::OVERWRITE => "(overwritten)",
                    CompleteStatus::REJECTED => "(rejected)",
                    _ => "",
                };
                self.say(
                    2,
                    format_args!("Got COMPLETE{word} from client {}", name(*client)),
                );
            }
            E::DoneConfSent { attempt, part } => {
                self.say(2, format_args!("Sending DONE_CONF {attempt}.{part}"));
            }
            E::ClientLost {
                client,
                waiting_for: "FILEINFO",
            } => self.say(
                1,
                format_args!("Couldn't get FILEINFO_ACK from {}", name(*client)),
            ),
            E::ClientLost { client, .. } => {
                self.say(1, format_args!("No response from {}", name(*client)));
            }
            E::ClientAborted {
                client,
                reason,
                by_client,
            } => {
                let reason = printable(reason.as_bytes());
                let name = name(*client);
                if *by_client {
                    self.aborted_by(&name, &reason);
                } else {
                    self.say(1, format_args!("Aborting {name}: {reason}"));
                }
            }
            E::Declined { client, reason } => {
                self.aborted_by(&name(*client), &printable(reason.as_bytes()));
            }
            E::DuplicateUid { client } => self.say(
                1,
                format_args!(
                    "{} answers from two addresses: two receivers share this id, and only one \
                     of them will be served; give one another id with -U",
                    name(*client)
                ),
            ),
            E::FileFinished {
                item,
                elapsed,
                results,
                ..
            } => self.file_finished(item, elapsed.as_secs_f64(), results, name),
            E::Finishing => {
                self.tag.file = FileId::SESSION;
                self.say(2, format_args!("-----------------------------"));
                self.say(2, format_args!("Finishing group"));
            }
            E::Finished(outcome) => self.finished(*outcome, name),
            // What has no classic line, and what is added later, tells itself.
            #[allow(unreachable_patterns)]
            other => self.say(3, format_args!("{other:?}")),
        }
    }

    fn aborted_by(&mut self, name: &str, reason: &str) {
        self.refused = true;
        self.say(1, format_args!("Transfer aborted by {name}: {reason}"));
        if reason == NO_COMPATIBLE_KEY && !self.keys_explained {
            self.keys_explained = true;
            self.say(1, format_args!("{MAKE_KEYS_MEET}"));
        }
    }

    fn file_started(&mut self, file: FileId, item: &SendItem, blocks: u32, sections: u16) {
        self.tag.file = FileId::SESSION;
        self.say(2, format_args!("----- {} -----", item.source));
        self.tag.file = file;
        self.say(
            2,
            format_args!("File ID: {:04X}  Name: {}", file.0, item.source),
        );
        self.say(2, format_args!("  sending as: {}", printable(&item.name)));
        match item.file_type {
            FileType::DIRECTORY => self.say(2, format_args!("Empty directory")),
            FileType::SYMLINK => {
                self.say(
                    2,
                    format_args!("Symbolic link to {}", printable(&item.link)),
                );
            }
            FileType::DELETE => self.say(2, format_args!("Delete file/directory with this name")),
            FileType::FREESPACE => self.say(2, format_args!("Free disk space query")),
            _ => self.say(
                2,
                format_args!(
                    "Bytes: {}  Blocks: {blocks}  Sections: {sections}",
                    item.size
                ),
            ),
        }
    }

    fn file_finished(
        &mut self,
        item: &SendItem,
        elapsed: f64,
        results: &[FileReport],
        name: impl Fn(Uid) -> String,
    ) {
        self.say(STATUS, format_args!("Transfer status:"));
        for report in results {
            let status = match report.outcome {
                FileOutcome::Mute => "Mute".to_owned(),
                FileOutcome::Lost => "Lost connection".to_owned(),
                FileOutcome::Aborted => "Aborted".to_owned(),
                FileOutcome::Completed(CompleteStatus::SKIPPED) => "Skipped".to_owned(),
                FileOutcome::Completed(CompleteStatus::REJECTED) => "Rejected".to_owned(),
                FileOutcome::Completed(
                    status @ (CompleteStatus::NORMAL | CompleteStatus::OVERWRITE),
                ) => {
                    let word = match status {
                        CompleteStatus::OVERWRITE => "(overwritten)",
                        _ => "",
                    };
                    let seconds = report.elapsed.as_secs_f64();
                    format!("Completed{word}   time: {seconds:7.3} seconds")
                }
                FileOutcome::Completed(CompleteStatus(other)) => {
                    format!("Unknown completion status: {other}")
                }
            };
            if let Some(word) = failure(report.outcome) {
                self.failed.insert(report.client, word);
            }
            let host = name(report.client);
            self.say(STATUS, format_args!("Host: {host:<15}  Status: {status}"));
            if let Some(free) = report.free_space {
                self.say(2, format_args!("  Free space on host: {free} bytes"));
            }
        }
        self.say(2, format_args!("Total elapsed time: {elapsed:.3} seconds"));
        let rate = speed(item.size, elapsed);
        self.say(2, format_args!("Overall throughput: {rate:.2} KB/s"));
    }

    fn finished(&mut self, outcome: Outcome, name: impl Fn(Uid) -> String) {
        self.tag.file = FileId::SESSION;
        match outcome {
            Outcome::Success | Outcome::NothingAccepted => {
                self.say(2, format_args!("Group complete"));
            }
            Outcome::Interrupted => {}
            Outcome::NoKeys => {
                self.say(0, format_args!("The keys of the session cannot be made"));
            }
            Outcome::NobodyRegistered => {
                self.abort_for_one();
                if !(self.all_or_nobody && self.registered) {
                    self.say(0, format_args!("Announce timed out"));
                }
                let deaf = deaf_to(self.version);
                let nobody = match (self.refused, self.registered) {
                    _ if self.mistaken => {
                        "Not everybody proved to have the key that the host list (-H) names, see \
                         above: compare it with what uftp_keymgt shows of the receiver's key file, \
                         which is that of uftpd -k (without it uftpd makes a new key at each start). \
                         Usual causes if others are silent"
                    }
                    (false, false) => "Nobody registered. Usual causes",
                    (false, true) => "Not everybody registered, so nothing is sent. Usual causes",
                    (true, _) => {
                        "Nobody registered: who answered refused, see above. Usual causes if others \
                         are silent"
                    }
                };
                let unlisted = if self.closed { NOT_LISTED } else { "" };
                let causes = format_args!("{nobody}: {CAUSES_OF_SILENCE}{unlisted}{deaf}");
                self.say(0, causes);
            }
            Outcome::NobodyReady => {
                self.abort_for_one();
                // FILEINFO announces, too.
                self.say(0, format_args!("Announce timed out"));
            }
            Outcome::AllDropped => self.abort_for_one(),
        }
        if !self.shows_status {
            for (client, word) in &self.failed {
                self.say(0, format_args!("{:<15} {word}", name(*client)));
            }
        }
    }

    /// In the words of 4.10.2, which it has for `-q` and signals only.
    fn abort_for_one(&self) {
        if self.all_or_nobody {
            self.say(0, format_args!("Aborting all clients"));
        }
    }

    fn say(&self, verbosity: Verbosity, text: std::fmt::Arguments<'_>) {
        log::line(verbosity, Some(self.tag), text);
    }
}

/// From here on the log shows the status of each file.
const STATUS: Verbosity = 2;

/// How a receiver of 4.x says that it has no key of the size or curve of the sender's.
const NO_COMPATIBLE_KEY: &str = "No client key compatible with server key";
const MAKE_KEYS_MEET: &str = "A 4.x receiver needs a key of the same size or curve as the sender's: \
     give it one (uftpd -K rsa:2048), or send with one like its own (its default is the weak \
     uftp -K 512)";

/// The usual causes, in the order to look for them.
const CAUSES_OF_SILENCE: &str = "no uftpd runs there; another \
     interface is meant (-I); another port or group (-p, -M); a firewall drops UDP or IGMP; a \
     router lies between and the TTL is 1 (-t)";
/// And of a closed group.
const NOT_LISTED: &str = "; the receivers are not in the host list (-H)";

/// The cause that lies in the protocol, if there is one: who does not hear it.
fn deaf_to(version: Version) -> &'static str {
    match version {
        Version::V3 | Version::V3Sync => {
            "; the receivers, or proxies on the way, are of UFTP 4.x or 5.x and do not hear protocol \
             3 (send with --protocol 4 or 5)"
        }
        Version::V4 => "",
        Version::V5 => {
            "; the receivers, or proxies on the way, are of 4.x or older and do not hear protocol 5 \
             (send with --protocol 4)"
        }
    }
}

fn failure(outcome: FileOutcome) -> Option<&'static str> {
    match outcome {
        FileOutcome::Completed(_) => None,
        FileOutcome::Mute => Some("Mute"),
        FileOutcome::Lost => Some("Lost connection"),
        FileOutcome::Aborted => Some("Aborted"),
    }
}

/// Kilobytes (of 1024) per second; 0 for what took no time.
pub(crate) fn speed(bytes: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        bytes as f64 / 1024.0 / seconds
    } else {
        0.0
    }
}
