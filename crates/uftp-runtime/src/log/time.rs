//! Local time as logs and status files write it. `TZ` is honoured.

use std::cell::Cell;

use chrono::{DateTime, Local};

thread_local! {
    /// When that happened what this thread tells of, if it was not just now.
    static PAST: Cell<Option<DateTime<Local>>> = const { Cell::new(None) };
}

fn now() -> DateTime<Local> {
    PAST.get().unwrap_or_else(Local::now)
}

/// What `tell` writes has happened at this time.
pub(crate) fn as_of(time: DateTime<Local>, tell: impl FnOnce()) {
    let before = PAST.replace(Some(time));
    tell();
    PAST.set(before);
}

/// `2026/11/21 06:48:14.990613`, in front of log lines.
pub(crate) fn log_stamp() -> String {
    now().format("%Y/%m/%d %H:%M:%S%.6f").to_string()
}

/// `2026/11/21-06:48:14`, in status lines of a receiver.
pub(crate) fn status_stamp() -> String {
    now().format("%Y/%m/%d-%H:%M:%S").to_string()
}

/// `Sat Nov 21 06:48:14 2026`, at the start and end of a log without time stamps.
pub(crate) fn ctime() -> String {
    now().format("%a %b %e %H:%M:%S %Y").to_string()
}

/// `2026-11-21T06:48:14.990613+01:00` (RFC 3339), for programs.
pub(crate) fn event_stamp() -> String {
    now().to_rfc3339_opts(chrono::SecondsFormat::Micros, false)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn what_is_told_late_bears_the_time_it_happened() {
        let then = Local::now() - TimeDelta::days(400);
        let year = then.format("%Y").to_string();
        let stamps = || [log_stamp(), status_stamp(), event_stamp()];
        as_of(then, || {
            for stamp in stamps() {
                assert!(stamp.starts_with(&year), "{stamp}");
            }
        });
        for stamp in stamps() {
            assert!(!stamp.starts_with(&year), "{stamp}");
        }
    }
}
