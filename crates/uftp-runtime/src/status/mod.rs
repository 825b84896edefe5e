//! Status files: one line an outcome, for scripts (cli §6.3).

mod receiver;
mod sender;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

pub use receiver::ReceiverStatus;
pub use sender::SenderStatus;

use crate::exit::Failure;
use crate::log::Sink;
use crate::say;

/// Where status lines go, each in one write.
pub enum StatusOut {
    /// Nowhere.
    None,
    /// A file, appended to.
    File(File),
    /// Among the log lines, without time stamps.
    Log(Sink),
}

impl StatusOut {
    /// What the option of a status file asks for: a path, or `@LOG`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(option: Option<&OsStr>, log: &Sink) -> Result<StatusOut, Failure> {
        let Some(path) = option else {
            return Ok(StatusOut::None);
        };
        if path == "@LOG" {
            return Ok(StatusOut::Log(log.clone()));
        }
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .open(path)
            .map(StatusOut::File)
            .map_err(|error| {
                let path = path.to_string_lossy();
                Failure::command_line(format!("Can't open status file: {path}: {error}"))
            })
    }

    /// Writes one line; `line` without its line feed.
    pub fn write_line(&mut self, mut line: String) {
        match self {
            StatusOut::None => {}
            StatusOut::Log(sink) => sink.write_line(line),
            StatusOut::File(file) => {
                line.push('\n');
                if let Err(error) = file.write_all(line.as_bytes()) {
                    say!(0, "Can't write to the status file: {error}");
                    *self = StatusOut::None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
