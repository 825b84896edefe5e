//! From a `tracing` event to a log line, in the classic form or as JSON.

use std::fmt::{self, Write as _};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::{Sink, Verbosity, filter, time};

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// As 4.10.2 writes them (cli §6.5).
    Text {
        /// With the local time in front.
        timestamps: bool,
        /// Bad news in colour.
        color: bool,
    },
    /// One JSON object a line, with `time`, `level` (the verbosity), `session` if there is one, and
    /// `message`.
    Json,
}

/// Lines up to this verbosity are never held: what they tell of may be the end.
const BAD_NEWS: Verbosity = 1;

/// Renders events as log lines.
pub(crate) struct ClassicLayer {
    sink: Sink,
    verbosity: Verbosity,
    look: Look,
}

impl ClassicLayer {
    /// Lines up to `verbosity` go to `sink`, and look like this.
    pub(crate) fn new(sink: Sink, verbosity: Verbosity, look: Look) -> Self {
        ClassicLayer {
            sink,
            verbosity,
            look,
        }
    }
}

impl<S: Subscriber> Layer<S> for ClassicLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("uftp") && *metadata.level() <= filter(self.verbosity)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(filter(self.verbosity))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let verbosity = parts.classic.unwrap_or(level(*event.metadata().level()));
        if verbosity > u64::from(self.verbosity) {
            return;
        }
        self.sink.write_line(match self.look {
            Look::Text { timestamps, color } => parts.text(verbosity, timestamps, color),
            Look::Json => parts.json(verbosity),
        });
        if verbosity <= u64::from(BAD_NEWS) {
            self.sink.let_go();
        }
    }
}

fn level(level: Level) -> u64 {
    match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 5,
    }
}

/// What a line is made of.
#[derive(Default)]
struct Parts {
    classic: Option<u64>,
    tag: String,
    text: String,
    /// What libraries add.
    fields: String,
}

impl Parts {
    fn text(&self, verbosity: u64, timestamps: bool, color: bool) -> String {
        let mut line = String::with_capacity(64 + self.text.len());
        let color = match verbosity {
            0 if color => Some("31"),
            1 if color => Some("33"),
            _ => None,
        };
        // Writing to a string cannot fail.
        if let Some(color) = color {
            let _ = write!(line, "\x1b[{color}m");
        }
        if timestamps {
            line.push_str(&time::log_stamp());
            line.push_str(": ");
        }
        if timestamps && !self.tag.is_empty() {
            let _ = write!(line, "[{}]: ", self.tag);
        }
        line.push_str(&self.text);
        line.push_str(&self.fields);
        if color.is_some() {
            line.push_str("\x1b[0m");
        }
        line
    }

    fn json(&self, verbosity: u64) -> String {
        let mut object = json!({
            "time": time::event_stamp(),
            "level": verbosity,
            "message": format!("{}{}", self.text, self.fields),
        });
        if !self.tag.is_empty()
            && let Some(object) = object.as_object_mut()
        {
            object.insert("session".to_owned(), self.tag.clone().into());
        }
        object.to_string()
    }
}

impl Visit for Parts {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "classic" => self.classic = Some(value),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            "tag" => write!(self.tag, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;
    use uftp_proto::{FileId, GroupId, Instance};

    use super::*;
    use crate::log::{Tag, line};

    fn logged(verbosity: Verbosity, timestamps: bool, f: impl FnOnce()) -> String {
        let (sink, written) = Sink::memory();
        let color = false;
        let layer = ClassicLayer::new(sink, verbosity, Look::Text { timestamps, color });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), f);
        written()
    }

    fn tag(file: u16) -> Option<Tag> {
        Some(Tag {
            group: GroupId(0xF26A_0172),
            instance: Instance(0),
            file: FileId(file),
        })
    }

    #[test]
    fn lines_are_those_of_the_classic_log() {
        let text = logged(2, false, || {
            line(2, None, format_args!("Initializing group"));
            line(2, tag(1), format_args!("Sending section {}", 0));
        });
        assert_eq!(text, "Initializing group\nSending section 0\n");
    }

    #[test]
    fn time_stamps_have_microseconds_and_sessions_follow() {
        let text = logged(2, true, || {
            line(0, None, format_args!("x"));
            line(2, tag(1), format_args!("Name of file to receive: f2"));
            line(2, tag(0), format_args!("Group complete"));
        });
        let mut rests = Vec::new();
        for text in text.lines() {
            let (stamp, rest) = text.split_at("2026/11/21 06:48:14.990613".len());
            let shape: String = stamp
                .chars()
                .map(|c| if c.is_ascii_digit() { '9' } else { c })
                .collect();
            assert_eq!(shape, "9999/99/99 99:99:99.999999");
            rests.push(rest);
        }
        assert_eq!(
            rests,
            [
                ": x",
                ": [F26A0172/00:0001]: Name of file to receive: f2",
                ": [F26A0172/00:0]: Group complete",
            ]
        );
    }

    #[test]
    fn verbosity_cuts_between_all_six_levels() {
        for shown in 0..=5 {
            let text = logged(shown, false, || {
                for level in 0..=5 {
                    line(level, None, format_args!("{level}"));
                }
            });
            let want: String = (0..=shown).map(|n| format!("{n}\n")).collect();
            assert_eq!(text, want, "-x {shown}");
        }
    }

    #[test]
    fn bad_news_is_coloured_where_that_is_wanted() {
        let (sink, written) = Sink::memory();
        let look = Look::Text {
            timestamps: false,
            color: true,
        };
        let layer = ClassicLayer::new(sink, 2, look);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for level in 0..=2 {
                line(level, None, format_args!("{level}"));
            }
        });
        assert_eq!(written(), "\x1b[31m0\x1b[0m\n\x1b[33m1\x1b[0m\n2\n");
    }

    #[test]
    fn objects_tell_time_level_session_and_message() {
        let (sink, written) = Sink::memory();
        let layer = ClassicLayer::new(sink, 2, Look::Json);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            line(1, tag(1), format_args!("\"quoted\""));
            line(2, None, format_args!("plain"));
        });
        let lines: Vec<serde_json::Value> = written()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [of_session, plain] = lines.as_slice() else {
            panic!("{lines:?}");
        };
        assert_eq!(of_session["level"], 1);
        assert_eq!(of_session["session"], "F26A0172/00:0001");
        assert_eq!(of_session["message"], "\"quoted\"");
        let time = of_session["time"].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
        assert!(plain.get("session").is_none());
    }

    #[test]
    fn events_of_the_libraries_join_in_with_their_fields() {
        let text = logged(3, false, || {
            tracing::warn!(target: "uftp_net", granted = 5, "small buffer");
            tracing::error!(target: "hyper", "not ours");
        });
        assert_eq!(text, "small buffer granted=5\n");
    }
}
