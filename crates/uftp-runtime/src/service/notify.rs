//! Word to the service manager that started us, if it wants any (`NOTIFY_SOCKET`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::{NotifyState, notify};

/// Whether there is one that wants to know.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// We serve; `doing` is what.
pub(crate) fn ready(doing: &str) {
    let own = NotifyState::MainPid(std::process::id());
    // The one word that must not be lost.
    let _ = notify(&[NotifyState::Ready, own, NotifyState::Status(doing)]);
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
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        let _ = offer(&socket, states);
    }
}

/// Says it to the manager at `socket` unless that would have to be waited for: a manager that is
/// busy, or hangs, must not hold up signals and metrics.
fn offer(socket: &OsStr, states: &[NotifyState<'_>]) -> io::Result<()> {
    let addr = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let words: String = states.iter().map(|state| format!("{state}\n")).collect();
    let from = UnixDatagram::unbound()?;
    from.set_nonblocking(true)?;
    from.send_to_addr(words.as_bytes(), &addr).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_does_not_listen_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let alive = || offer(path.as_os_str(), &[NotifyState::Watchdog]);
        alive().unwrap();
        let mut heard = [0; 100];
        let len = manager.recv(&mut heard).unwrap();
        assert_eq!(&heard[..len], b"WATCHDOG=1\n");
        let refused = (0..100_000).find_map(|_| alive().err());
        assert_eq!(refused.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
