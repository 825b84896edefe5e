//! Sleep until a datagram, a call from another thread or an instant comes.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

use crate::error::NetError;
use crate::socket::Socket;

/// Wakes a thread that [waits](Socket::wait) on a socket. Clones wake the same thread. A call
/// before the wait is not lost; many calls before it count as one.
#[derive(Clone, Debug)]
pub struct Wake {
    event: Arc<EventFd>,
}

impl Wake {
    /// A wake that nobody has called yet.
    ///
    /// # Errors
    /// [`NetError::Wake`] if the process has too many files open.
    pub fn new() -> Result<Self, NetError> {
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|e| NetError::Wake(e.into()))?;
        Ok(Wake {
            event: Arc::new(event),
        })
    }

    /// Ends the present or else the next wait.
    pub fn wake(&self) {
        // It fails only if 2^64 - 2 calls are pending, and then the wait ends as well.
        let _ = self.event.write(1);
    }

    /// Forgets all calls so far.
    fn clear(&self) {
        // It fails only if there was none.
        let _ = self.event.read();
    }
}

/// What to wait for at the socket, besides the [`Wake`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Interest {
    /// A datagram.
    #[default]
    Receive,
    /// Nothing but an error.
    Nothing,
    /// A datagram, or room to send after [`Socket::send_run`] found none.
    SendOrReceive,
}

/// Why a wait has ended. Nothing set: the instant has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Ready {
    /// There is something to receive.
    pub readable: bool,
    /// There is room to send; only if it was waited for.
    pub writable: bool,
    /// Another thread called; the call is used up.
    pub woken: bool,
}

impl Socket {
    /// Sleeps until a datagram arrives, `wake` is called, or `until` has come; `None` is never.
    ///
    /// # Errors
    /// The system's reason. Signals do not end the wait.
    pub fn wait(&self, wake: &Wake, until: Option<Instant>) -> io::Result<Ready> {
        self.wait_for(Interest::Receive, wake, until)
    }

    /// [`wait`](Self::wait), also for room to send if `interest` says so.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_for(
        &self,
        interest: Interest,
        wake: &Wake,
        until: Option<Instant>,
    ) -> io::Result<Ready> {
        let flags = match interest {
            Interest::Nothing => PollFlags::empty(),
            Interest::Receive => PollFlags::POLLIN,
            Interest::SendOrReceive => PollFlags::POLLIN | PollFlags::POLLOUT,
        };
        let mut fds = [
            PollFd::new(self.as_fd(), flags),
            PollFd::new(wake.event.as_fd(), PollFlags::POLLIN),
        ];
        loop {
            let timeout =
                until.map(|t| TimeSpec::from(t.saturating_duration_since(Instant::now())));
            match ppoll(&mut fds, timeout, None) {
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        let [socket, event] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let ready = Ready {
            // An error is waiting too, and is fetched by receiving.
            readable: socket.intersects(PollFlags::POLLIN | PollFlags::POLLERR),
            writable: socket.contains(PollFlags::POLLOUT),
            woken: event.contains(PollFlags::POLLIN),
        };
        if ready.woken {
            wake.clear();
        }
        Ok(ready)
    }
}
