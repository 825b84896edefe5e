//! The log: lines as wrappers of the C programs parse them (cli §6.5), from `tracing` events.
//!
//! The classic verbosity 0 to 5 of `-x` travels in the field `classic`; events of libraries
//! without it get one from their level. A line that belongs to a session carries a [`Tag`].

mod file;
mod layer;
mod sink;
pub(crate) mod time;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use uftp_proto::{FileId, GroupId, Instance};

pub(crate) use file::{LogFile, Rolling};
pub(crate) use layer::{ClassicLayer, Look};
pub(crate) use sink::{Held, Sink};

use crate::exit::{Exit, Failure};

/// Classic verbosity: 0 the worst news only, 2 the usual story, 5 every packet.
pub(crate) type Verbosity = u8;

/// The session and file a line belongs to. Shown as `GROUPID/INSTANCE:FILEID`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag {
    /// The session.
    pub group: GroupId,
    /// Its restart counter.
    pub instance: Instance,
    /// The file, [`FileId::SESSION`] outside files.
    pub file: FileId,
}

impl Tag {
    /// That of a line about a session as a whole.
    pub(crate) fn of_session(group: GroupId, instance: Instance) -> Self {
        Tag {
            group,
            instance,
            file: FileId::SESSION,
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:02X}:", self.group, self.instance.0)?;
        match self.file {
            FileId::SESSION => f.write_str("0"),
            FileId(id) => write!(f, "{id:04X}"),
        }
    }
}

/// That a log cannot be opened.
pub(crate) fn not_open(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::new(
        Exit::Log,
        format!("Can't open log file {path}: {error} (option -L)"),
    )
}

/// The sink of this program, once there is one.
static SINK: OnceLock<Sink> = OnceLock::new();

/// Sends all log lines up to `verbosity` to `sink`, from now on and in every thread.
pub(crate) fn install(sink: Sink, verbosity: Verbosity, look: Look) {
    // Fails only if a program installs two; the first then stays.
    let _ = SINK.set(sink.clone());
    let layer = ClassicLayer::new(sink, verbosity, look);
    let subscriber = tracing_subscriber::registry().with(layer);
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Lines of this thread may be held from now on; see [`Sink::hold`].
pub(crate) fn hold() -> Option<Held<'static>> {
    SINK.get().map(Sink::hold)
}

/// Writes the lines that this thread has held. What goes elsewhere may go where the log goes, by
/// another name, and lines must not change places: this comes first.
pub(crate) fn let_go() {
    if let Some(sink) = SINK.get() {
        sink.let_go();
    }
}

/// Whether lines of this verbosity are wanted by anybody.
pub(crate) fn wanted(verbosity: Verbosity) -> bool {
    LevelFilter::current() >= filter(verbosity)
}

/// Logs one line; `tag` if it belongs to a session.
pub(crate) fn line(verbosity: Verbosity, tag: Option<Tag>, text: fmt::Arguments<'_>) {
    if !wanted(verbosity) {
        return;
    }
    let tag = tag.map(tracing::field::display);
    // `tracing` wants its level as a constant.
    match verbosity {
        0 => tracing::error!(target: TARGET, classic = 0_u64, tag, "{text}"),
        1 => tracing::warn!(target: TARGET, classic = 1_u64, tag, "{text}"),
        2 => tracing::info!(target: TARGET, classic = 2_u64, tag, "{text}"),
        3 => tracing::debug!(target: TARGET, classic = 3_u64, tag, "{text}"),
        n => tracing::trace!(target: TARGET, classic = u64::from(n), tag, "{text}"),
    }
}

/// Logs one line outside sessions: `say!(2, "text {}", value)`.
macro_rules! say {
    ($verbosity:expr, $($text:tt)+) => {
        $crate::log::line($verbosity, None, format_args!($($text)+))
    };
}
pub(crate) use say;

/// Logs one line of a session, which its [`Tag`] names: `tell!(tag, 2, "text {}", value)`.
macro_rules! tell {
    ($tag:expr, $verbosity:expr, $($text:tt)+) => {
        $crate::log::line($verbosity, Option::from($tag), format_args!($($text)+))
    };
}
pub(crate) use tell;

/// Why something failed, in the words of the C library alone.
pub(crate) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().map(|n| format!(" (os error {n})"));
    match number.and_then(|number| text.strip_suffix(&number).map(str::to_owned)) {
        Some(words) => words,
        None => text,
    }
}

/// Bytes of a name as text: control characters become `?`, so that no name can forge a line.
pub(crate) fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

const TARGET: &str = "uftp";

fn filter(verbosity: Verbosity) -> LevelFilter {
    match verbosity {
        0 => LevelFilter::ERROR,
        1 => LevelFilter::WARN,
        2 => LevelFilter::INFO,
        3 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}
