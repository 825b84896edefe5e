//! Local time as logs and status files write it. `TZ` is honoured.

use chrono::Local;

/// `2026/11/21 06:48:14.990613`, in front of log lines.
pub(crate) fn log_stamp() -> String {
    Local::now().format("%Y/%m/%d %H:%M:%S%.6f").to_string()
}

/// `2026/11/21-06:48:14`, in status lines of a receiver.
pub(crate) fn status_stamp() -> String {
    Local::now().format("%Y/%m/%d-%H:%M:%S").to_string()
}

/// `Sat Nov 21 06:48:14 2026`, at the start and end of a log without time stamps.
pub(crate) fn ctime() -> String {
    Local::now().format("%a %b %e %H:%M:%S %Y").to_string()
}

/// `2026-11-21T06:48:14.990613+01:00` (RFC 3339), for programs.
pub(crate) fn event_stamp() -> String {
    Local::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, false)
}
