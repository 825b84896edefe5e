//! What happens in sessions, for programs: one JSON object a line (`--events`).
//!
//! Each object has `version` (of this format, 1), `time` (RFC 3339), `event`, `group` (eight
//! hexadecimal digits) and `instance`, both null where no session is meant; docs/operations.md
//! lists the events and their other members. Members and events may be added within a version,
//! none is taken away or changes its meaning. Names that are not UTF-8 have a `name_hex` beside the readable `name`.

mod proxy;
mod receiver;
mod sender;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value};
use uftp_proto::{GroupId, Instance, Uid};

pub(crate) use proxy::ProxyEvents;
pub(crate) use receiver::ReceiverEvents;
pub(crate) use sender::SenderEvents;

use crate::common;
use crate::exit::Failure;
use crate::line_file::LineFile;
use crate::log::{self, time};
use crate::say;

/// Version of the format.
const VERSION: u32 = 1;

/// Where events go, each in one write.
pub(crate) enum EventOut {
    /// Nowhere.
    None,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(LineFile),
}

impl EventOut {
    /// What `--events` asks for.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(option: Option<&OsStr>) -> Result<EventOut, Failure> {
        let Some(path) = option else {
            return Ok(EventOut::None);
        };
        if path == "-" {
            return Ok(EventOut::Stdout);
        }
        let file = LineFile::open(path);
        file.map(EventOut::File)
            .map_err(|error| not_open(path, &error))
    }

    /// Whether [`open`](Self::open) can succeed; nothing is opened.
    ///
    /// # Errors
    /// As `open`.
    pub(crate) fn try_out(option: Option<&OsStr>, from: &Path) -> Result<(), Failure> {
        let path = option.filter(|path| *path != "-");
        path.map_or(Ok(()), |path| {
            common::can_append(&from.join(path)).map_err(|error| not_open(path, &error))
        })
    }

    /// Opens the file anew, if it is one: somebody has moved the old one away. If it cannot be
    /// opened, the old one stays in use.
    pub(crate) fn reopen(&mut self) {
        if let EventOut::File(file) = self
            && let Err(error) = file.reopen()
        {
            say!(0, "{}", not_open(file.path(), &error));
        }
    }

    /// Nobody wants them.
    fn is_none(&self) -> bool {
        matches!(self, EventOut::None)
    }

    fn write(&mut self, object: Map<String, Value>) {
        let line = Value::Object(object).to_string();
        match self {
            EventOut::None => {}
            // One write, so that a reader of a pipe gets whole lines.
            EventOut::Stdout => {
                log::let_go();
                let mut out = io::stdout().lock();
                let written = out.write_all(format!("{line}\n").as_bytes());
                if let Err(error) = written.and_then(|()| out.flush()) {
                    say!(0, "Can't write events to standard output: {error}");
                    *self = EventOut::None;
                }
            }
            EventOut::File(file) => {
                log::let_go();
                if let Err(error) = file.write_line(line.as_bytes()) {
                    let path = file.path().to_string_lossy();
                    say!(0, "Can't write events to {path}: {error}");
                }
            }
        }
    }
}

fn not_open(path: &OsStr, error: &io::Error) -> Failure {
    let path = path.to_string_lossy();
    Failure::command_line(format!("can't open {path}: {error} (--events)"))
}

/// The members of every event, and those of `more`. What belongs to no session is of none.
fn object(event: &str, session: Option<(GroupId, Instance)>, more: Value) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("version", VERSION.into());
    put("time", time::event_stamp().into());
    put("event", event.into());
    put("group", session.map(|(group, _)| group.to_string()).into());
    put("instance", session.map(|(_, instance)| instance.0).into());
    if let Value::Object(more) = more {
        object.extend(more);
    }
    object
}

/// Adds a received or sent name to `members`.
fn add_name(members: &mut Value, name: &[u8]) {
    let Some(members) = members.as_object_mut() else {
        return;
    };
    let text = String::from_utf8_lossy(name);
    members.insert("name".to_owned(), text.clone().into());
    if text.as_bytes() != name {
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        members.insert("name_hex".to_owned(), hex.into());
    }
}

fn id(uid: Uid) -> String {
    uid.to_string()
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::log::{ClassicLayer, Look, Sink};

    #[test]
    fn a_file_that_cannot_be_opened_anew_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let mut out = EventOut::open(Some(path.as_os_str())).unwrap();
        dir.close().unwrap();
        let (sink, written) = Sink::memory();
        let look = Look::Text {
            timestamps: false,
            color: false,
        };
        let layer = ClassicLayer::new(sink, 0, look);
        let logged = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(logged, || out.reopen());
        let said = written();
        let start = format!("can't open {}: No such file", path.display());
        assert!(said.starts_with(&start), "{said}");
    }
}
