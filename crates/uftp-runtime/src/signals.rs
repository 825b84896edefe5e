//! Signals: SIGINT and SIGTERM ask for an orderly end, and a second one for an end at once;
//! SIGUSR1 asks a program for its counters, SIGHUP a daemon to read its files anew (cli §8.3).

use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// The end; the number of the signal.
    Stop(i32),
    /// To open log and status file anew and to read lists again.
    Reload,
    /// To tell the counters.
    Counters,
}

/// The signals a program listens to.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    counters: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Catches those of a program from now on. SIGHUP is not among them, and ends it.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn of_program() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            counters: signal(SignalKind::user_defined1())?,
            hangup: None,
        })
    }

    /// Catches those of a daemon from now on: SIGHUP, too.
    ///
    /// # Errors
    /// As [`of_program`](Self::of_program).
    pub(crate) fn of_daemon() -> io::Result<Signals> {
        Ok(Signals {
            hangup: Some(signal(SignalKind::hangup())?),
            ..Self::of_program()?
        })
    }

    /// What the next signal asks for.
    pub(crate) async fn next(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop(SignalKind::interrupt().as_raw_value()),
            _ = self.terminate.recv() => Asked::Stop(SignalKind::terminate().as_raw_value()),
            _ = self.counters.recv() => Asked::Counters,
            _ = hangup => Asked::Reload,
        }
    }
}
