//! Status files: one line an outcome, for scripts (cli §6.3).

mod receiver;
mod sender;

use std::ffi::OsStr;
use std::io;
use std::path::Path;

pub(crate) use receiver::{ReceiverStatus, receiver_word, was_received};
pub(crate) use sender::SenderStatus;

use uftp_proto::wire::FileType;

use crate::common;
use crate::exit::Failure;
use crate::line_file::LineFile;
use crate::log::{self, Sink, printable};
use crate::say;

/// Where status lines go, each in one write.
pub(crate) enum StatusOut {
    /// Nowhere.
    None,
    /// A file, appended to.
    File(LineFile),
    /// Among the log lines, without time stamps.
    Log(Sink),
}

impl StatusOut {
    /// What the option of a status file asks for: a path, or `@LOG`; an empty one asks for none.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(option: Option<&OsStr>, log: &Sink) -> Result<StatusOut, Failure> {
        let Some(path) = option.filter(|path| !path.is_empty()) else {
            return Ok(StatusOut::None);
        };
        if path == "@LOG" {
            return Ok(StatusOut::Log(log.clone()));
        }
        LineFile::open(path)
            .map(StatusOut::File)
            .map_err(|error| not_open(path, &error))
    }

    /// Whether [`open`](Self::open) can succeed; nothing is opened.
    ///
    /// # Errors
    /// As `open`.
    pub(crate) fn try_out(option: Option<&OsStr>, from: &Path) -> Result<(), Failure> {
        let path = option.filter(|path| !path.is_empty() && *path != "@LOG");
        path.map_or(Ok(()), |path| {
            common::can_append(&from.join(path)).map_err(|error| not_open(path, &error))
        })
    }

    /// Opens the file anew, if it is one: somebody has moved the old one away. If it cannot be
    /// opened, the old one stays in use.
    pub(crate) fn reopen(&mut self) {
        if let StatusOut::File(file) = self
            && let Err(error) = file.reopen()
        {
            say!(0, "{}", not_open(file.path(), &error));
        }
    }

    /// Writes one line; `line` without its line feed. Names in it are bytes; logs are text.
    pub(crate) fn write_line(&mut self, line: impl Into<Vec<u8>>) {
        let line = line.into();
        match self {
            StatusOut::None => {}
            StatusOut::Log(sink) => sink.write_line(String::from_utf8_lossy(&line).into_owned()),
            StatusOut::File(file) => {
                log::let_go();
                if let Err(error) = file.write_line(&line) {
                    let path = file.path().to_string_lossy();
                    say!(0, "Can't write to the status file {path}: {error}");
                }
            }
        }
    }
}

fn not_open(path: &OsStr, error: &io::Error) -> Failure {
    let path = path.to_string_lossy();
    Failure::command_line(format!("Can't open status file: {path}: {error}"))
}

/// A line with a name in it, byte by byte as it is but for control characters: scripts compare it
/// with names on disk, whatever the encoding of these.
fn line_about(before: &str, name: &[u8], after: &str) -> Vec<u8> {
    let mut line = before.as_bytes().to_vec();
    for chunk in name.utf8_chunks() {
        line.extend_from_slice(printable(chunk.valid().as_bytes()).as_bytes());
        line.extend_from_slice(chunk.invalid());
    }
    line.extend_from_slice(after.as_bytes());
    line
}

/// What an item is, in one word.
pub(crate) fn file_type_word(file_type: FileType) -> &'static str {
    match file_type {
        FileType::REGULAR => "file",
        FileType::DIRECTORY => "directory",
        FileType::SYMLINK => "link",
        FileType::DELETE => "delete",
        FileType::FREESPACE => "freespace",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests;
