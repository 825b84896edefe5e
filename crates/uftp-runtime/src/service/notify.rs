//! Word to the service manager that started us, if it wants any (`NOTIFY_SOCKET`).

use std::time::Duration;

use sd_notify::{NotifyState, notify};

/// Whether there is one that wants to know.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// We serve; `doing` is what.
pub(crate) fn ready(doing: &str) {
    let own = NotifyState::MainPid(std::process::id());
    tell(&[NotifyState::Ready, own, NotifyState::Status(doing)]);
}

/// What we do now.
pub(crate) fn status(doing: &str) {
    tell(&[NotifyState::Status(doing)]);
}

/// How long we may be silent before we pass for dead (`WATCHDOG_USEC`); `None` for ever.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|period| !period.is_zero())
}

/// We live.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Files are opened and lists are read again; [`ready`] ends it.
pub(crate) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// We are about to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Nobody to tell is the usual case, and one who does not listen no reason to stop.
fn tell(states: &[NotifyState<'_>]) {
    let _ = notify(states);
}
