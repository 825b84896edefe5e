//! What the log of a sender says.

use std::collections::BTreeMap;

use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_proto::{FileId, Uid};
use uftp_session::files::SendItem;
use uftp_session::sender::{FileOutcome, FileReport, Outcome, SenderConfig, SenderEvent, Volume};

use super::silence::Silence;
use crate::log::{Tag, Verbosity, printable};
use crate::tell;

/// Tells what a sender does.
pub(crate) struct SenderStory {
    tag: Tag,
    /// Receivers that failed, with the last word on each.
    failed: BTreeMap<Uid, &'static str>,
    /// The log shows the status of each file, and so who failed.
    shows_status: bool,
    /// It was said how keys of old receivers, or of old response proxies, must be.
    keys_explained: bool,
    /// What may be the matter when nobody takes part.
    silence: Silence,
    /// One that fails ends the session for all (`-q`).
    all_or_nobody: bool,
}

impl SenderStory {
    /// The story of one session, for a log that shows what is up to `verbosity`.
    pub(crate) fn new(config: &SenderConfig, verbosity: Verbosity) -> Self {
        SenderStory {
            tag: Tag::of_session(config.group, config.instance),
            failed: BTreeMap::new(),
            shows_status: verbosity >= STATUS,
            keys_explained: false,
            silence: Silence::of(config),
            all_or_nobody: config.quit_on_error,
        }
    }

    /// The network has taken nothing so far, in these words, or something.
    pub(crate) fn silenced(&mut self, words: Option<&str>) {
        if self.silence.refusal.as_deref() != words {
            self.silence.refusal = words.map(str::to_owned);
        }
    }

    /// Logs one event; `name` says what the operator calls a client.
    pub(crate) fn event(&mut self, event: &SenderEvent, name: impl Fn(Uid) -> String) {
        use SenderEvent as E;
        match event {
            E::Finishing => {
                self.tag.file = FileId::SESSION;
                tell!(self.tag, 2, "-----------------------------");
                tell!(self.tag, 2, "Finishing group");
            }
            E::Finished(outcome) => self.finished(*outcome, name),
            other => {
                let told = self.registration(other, &name)
                    || self.offer(other, &name)
                    || self.passes(other, &name)
                    || self.completion(other, &name)
                    || self.trouble(other, &name);
                if !told {
                    // What has no classic line tells itself.
                    tell!(self.tag, 3, "{other:?}");
                }
            }
        }
    }

    /// How receivers are called and let in. Whether `event` is of these.
    fn registration(&mut self, event: &SenderEvent, name: impl Fn(Uid) -> String) -> bool {
        use SenderEvent as E;
        let tag = self.tag;
        match event {
            E::AnnounceSent {
                attempt,
                part: None,
            } => tell!(tag, 2, "Sending ANNOUNCE {attempt}"),
            E::AnnounceSent {
                attempt,
                part: Some(part),
            } => {
                self.silence.closed = true;
                tell!(tag, 2, "Sending ANNOUNCE {attempt}.{part}");
            }
            E::LateRegisters => tell!(tag, 2, "Late registers:"),
            E::Registered { client, proxy, .. } => {
                self.silence.registered = true;
                match proxy {
                    None => tell!(tag, 2, "Received REGISTER from client {}", name(*client)),
                    Some(proxy) => {
                        tell!(tag, 2, "Received REGISTER from proxy {}", name(*proxy));
                        tell!(tag, 2, "  For client {}", name(*client));
                    }
                }
            }
            E::ClientKeyReceived { client, .. } => {
                let name = name(*client);
                tell!(tag, 2, "Received CLIENT_KEY from client {name}");
            }
            E::ClientKeyRejected { client } => {
                self.silence.mistaken = true;
                let name = name(*client);
                tell!(
                    tag,
                    1,
                    "Rejecting CLIENT_KEY from {name}: key fingerprint mismatch"
                );
            }
            E::KeyInfoSent { attempt, part } => {
                tell!(tag, 2, "Sending KEYINFO {attempt}.{part}");
            }
            E::KeyInfoAcked { client } => {
                let name = name(*client);
                tell!(tag, 2, "Received KEYINFO_ACK from {name}");
            }
            E::RegConfSent { attempt, part } => {
                tell!(tag, 2, "Sending REG_CONF {attempt}.{part}");
            }
            E::Connect {
                client, connected, ..
            } => {
                if !connected {
                    tell!(tag, 3, "{} did not register", name(*client));
                }
            }
            _ => return false,
        }
        true
    }

    /// How an item is offered. Whether `event` is of these.
    fn offer(&mut self, event: &SenderEvent, name: impl Fn(Uid) -> String) -> bool {
        use SenderEvent as E;
        let tag = self.tag;
        match event {
            E::FileStarted {
                file,
                item,
                blocks,
                sections,
            } => self.file_started(*file, item, *blocks, *sections),
            E::FileSkipped { item, reason } => {
                tell!(tag, 0, "Skipping {}: {reason}", item.source);
            }
            E::FileInfoSent { attempt, part } => {
                tell!(tag, 2, "Sending FILEINFO {attempt}.{part}");
            }
            E::FileInfoAcked { client, .. } => {
                tell!(
                    tag,
                    2,
                    "Received FILEINFO_ACK from client {}",
                    name(*client)
                );
            }
            E::TransferStarted { max_time } => {
                if let Some(time) = max_time {
                    let seconds = time.as_secs();
                    tell!(tag, 2, "Maximum file transfer time: {seconds} seconds");
                }
                tell!(tag, 2, "Sending file");
            }
            _ => return false,
        }
        true
    }

    /// How its data goes out, and what receivers say of that. Whether `event` is of these.
    fn passes(&mut self, event: &SenderEvent, name: impl Fn(Uid) -> String) -> bool {
        use SenderEvent as E;
        let tag = self.tag;
        match event {
            E::PassStarted { pass } => tell!(tag, 2, "Starting pass {pass}"),
            E::SectionStarted { section } => tell!(tag, 2, "Sending section {section}"),
            E::DoneSent { attempt, part, .. } => {
                tell!(tag, 2, "Sending DONE {attempt}.{part}");
            }
            E::Naks {
                client,
                section,
                count,
            } => tell!(
                tag,
                2,
                "Got {count} NAKs for section {section} from client {}",
                name(*client)
            ),
            E::RateStepped { rate, lost, sent } => tell!(
                tag,
                2,
                "Transfer rate: {} Kbps, as {lost} of {sent} blocks were lost",
                rate * 8 / 1024
            ),
            E::CongCtrlSent {
                round,
                rate,
                limiting,
            } => {
                let clr = limiting.map_or_else(|| "none".to_owned(), &name);
                tell!(
                    tag,
                    4,
                    "Sent CONG_CTRL: round {round}, rate {rate} B/s, CLR {clr}"
                );
            }
            E::RateReported {
                client,
                rate,
                limiting,
            } => {
                let role = if *limiting { ", CLR" } else { "" };
                tell!(
                    tag,
                    3,
                    "Got CC rate {rate} B/s from client {}{role}",
                    name(*client)
                );
            }
            _ => return false,
        }
        true
    }

    /// How items, and the session, end at receivers. Whether `event` is of these.
    fn completion(&mut self, event: &SenderEvent, name: impl Fn(Uid) -> String) -> bool {
        use SenderEvent as E;
        let tag = self.tag;
        match event {
            E::LateCompletions => tell!(tag, 2, "Late completions:"),
            E::Completed { client, status, .. } => {
                let word = match *status {
                    CompleteStatus::SKIPPED => "(skipped)",
                    CompleteStatus::OVERWRITE => "(overwritten)",
                    CompleteStatus::REJECTED => "(rejected)",
                    _ => "",
                };
                tell!(tag, 2, "Got COMPLETE{word} from client {}", name(*client));
            }
            E::DoneConfSent { attempt, part } => {
                tell!(tag, 2, "Sending DONE_CONF {attempt}.{part}");
            }
            E::FileFinished {
                item,
                elapsed,
                volume,
                results,
                ..
            } => {
                self.results(results, name);
                let elapsed = elapsed.as_secs_f64();
                tell!(tag, 2, "Total elapsed time: {elapsed:.3} seconds");
                let rate = speed(item.size, elapsed);
                tell!(tag, 2, "Overall throughput: {rate:.2} KB/s");
                self.repairs(*volume);
            }
            _ => return false,
        }
        true
    }

    /// Who is lost, leaves or is given up. Whether `event` is of these.
    fn trouble(&mut self, event: &SenderEvent, name: impl Fn(Uid) -> String) -> bool {
        use SenderEvent as E;
        let tag = self.tag;
        match event {
            E::ClientLost {
                client,
                waiting_for: "FILEINFO",
            } => tell!(tag, 1, "Couldn't get FILEINFO_ACK from {}", name(*client)),
            E::ClientLost { client, .. } => {
                tell!(tag, 1, "No response from {}", name(*client));
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
                    tell!(tag, 1, "Aborting {name}: {reason}");
                }
            }
            E::Declined { client, reason } => {
                self.aborted_by(&name(*client), &printable(reason.as_bytes()));
            }
            E::TurnedAway { client, reason } => {
                self.silence.unlisted |= self.silence.closed;
                tell!(tag, 1, "Turning away {}: {reason}", name(*client));
            }
            E::ReportsUnreadable { proxy } => tell!(
                tag,
                1,
                "What receivers behind the proxy {} report on congestion cannot be read: sending at the \
                     least rate (-C tfmcc:min=RATE)",
                name(*proxy)
            ),
            E::DuplicateUid { client } => tell!(
                tag,
                1,
                "{} answers from two addresses: two receivers share this id, and only one \
                     of them will be served; give one another id with -U",
                name(*client)
            ),
            _ => return false,
        }
        true
    }

    fn aborted_by(&mut self, name: &str, reason: &str) {
        self.silence.refused = true;
        tell!(self.tag, 1, "Transfer aborted by {name}: {reason}");
        let explanation = match reason {
            NO_COMPATIBLE_KEY => MAKE_KEYS_MEET,
            OTHER_CURVE => MAKE_CURVES_MEET,
            _ => return,
        };
        if !std::mem::replace(&mut self.keys_explained, true) {
            tell!(self.tag, 1, "{explanation}");
        }
    }

    fn file_started(&mut self, file: FileId, item: &SendItem, blocks: u32, sections: u16) {
        self.tag.file = FileId::SESSION;
        tell!(self.tag, 2, "----- {} -----", item.source);
        self.tag.file = file;
        tell!(
            self.tag,
            2,
            "File ID: {:04X}  Name: {}",
            file.0,
            item.source
        );
        tell!(self.tag, 2, "  sending as: {}", printable(&item.name));
        match item.file_type {
            FileType::DIRECTORY => tell!(self.tag, 2, "Empty directory"),
            FileType::SYMLINK => {
                tell!(self.tag, 2, "Symbolic link to {}", printable(&item.link));
            }
            FileType::DELETE => tell!(self.tag, 2, "Delete file/directory with this name"),
            FileType::FREESPACE => tell!(self.tag, 2, "Free disk space query"),
            _ => tell!(
                self.tag,
                2,
                "Bytes: {}  Blocks: {blocks}  Sections: {sections}",
                item.size
            ),
        }
    }

    fn results(&mut self, results: &[FileReport], name: impl Fn(Uid) -> String) {
        tell!(self.tag, STATUS, "Transfer status:");
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
            tell!(self.tag, STATUS, "Host: {host:<15}  Status: {status}");
            if let Some(free) = report.free_space {
                tell!(self.tag, 2, "  Free space on host: {free} bytes");
            }
        }
    }

    /// What of a file had to go out again, if something had to. A session that is resumed may begin with what
    /// is missing, and send nothing before.
    fn repairs(&self, Volume { sent, repaired }: Volume) {
        if repaired > 0 && sent > 0 {
            let percent = repaired as f64 * 100.0 / sent as f64;
            tell!(
                self.tag,
                2,
                "Sent again: {} KB ({percent:.2} %)",
                repaired.div_ceil(1024)
            );
        }
    }

    fn finished(&mut self, outcome: Outcome, name: impl Fn(Uid) -> String) {
        self.tag.file = FileId::SESSION;
        match outcome {
            Outcome::Success | Outcome::NothingAccepted => {
                tell!(self.tag, 2, "Group complete");
            }
            Outcome::Interrupted => {}
            Outcome::NoKeys => {
                tell!(self.tag, 0, "The keys of the session cannot be made");
            }
            Outcome::NobodyRegistered => {
                self.abort_for_one();
                if !(self.all_or_nobody && self.silence.registered) {
                    tell!(self.tag, 0, "Announce timed out");
                }
                tell!(self.tag, 0, "{}", self.silence);
            }
            Outcome::NobodyReady => {
                self.abort_for_one();
                // FILEINFO announces, too.
                tell!(self.tag, 0, "Announce timed out");
            }
            Outcome::AllDropped => self.abort_for_one(),
        }
        if !self.shows_status {
            for (client, word) in &self.failed {
                tell!(self.tag, 0, "{:<15} {word}", name(*client));
            }
        }
    }

    /// In the words of 4.10.2, which it has for `-q` and signals only.
    fn abort_for_one(&self) {
        if self.all_or_nobody {
            tell!(self.tag, 0, "Aborting all clients");
        }
    }
}

/// From here on the log shows the status of each file.
const STATUS: Verbosity = 2;

/// How a receiver of 4.x says that it has no key of the size or curve of the sender's.
const NO_COMPATIBLE_KEY: &str = "No client key compatible with server key";
const MAKE_KEYS_MEET: &str = "A 4.x receiver needs a key of the same size or curve as the sender's: \
     give it one (uftpd -K rsa:2048), or send with one like its own (its default is the weak \
     uftp -K 512)";

/// How a response proxy says that its key agreement does not go with the sender's, and what those of
/// 4.x need.
const OTHER_CURVE: &str = "Proxy ECDH key not compatible with server key";
const MAKE_CURVES_MEET: &str = "A response proxy of 4.x takes ECDH only if all keys are on one curve \
     (its -e and -k, and here -e ecdh_ecdsa): else send with -e rsa";

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
