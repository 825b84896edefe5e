//! Word to the service manager that started us, if it wants any (`NOTIFY_SOCKET`).

use sd_notify::{NotifyState, notify};

/// We serve; `doing` is what.
pub(crate) fn ready(doing: &str) {
    let own = NotifyState::MainPid(std::process::id());
    tell(&[NotifyState::Ready, own, NotifyState::Status(doing)]);
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
