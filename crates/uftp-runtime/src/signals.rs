//! Signals: SIGINT and SIGTERM ask for an orderly end, and a later one for an end at once;
//! SIGUSR1 asks a program for its counters, SIGHUP a daemon to read its files anew (cli §8.3). In other
//! programs SIGHUP, the end of the terminal they were started from, asks for an orderly end, too, unless
//! it is ignored, as `nohup` has it.

use std::future::pending;
use std::time::{Duration, Instant};

use nix::libc::SIGXFSZ;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Failure};

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

/// What asks for the end within this time of the first signal that does is the same request: `timeout` sends
/// it to the program and then to the group of processes it is in, a terminal to whoever passes it on, too.
const ONE_REQUEST: Duration = Duration::from_millis(500);

/// The signals a program listens to.
pub(crate) struct Signals {
    ending: Ending,
    interrupt: Signal,
    terminate: Signal,
    counters: Signal,
    hangup: Option<(Signal, Asked)>,
    /// While it is caught, a file that would get larger than this process may make one cannot be written, and
    /// nobody dies of it (setrlimit(2), `RLIMIT_FSIZE`).
    _too_large: Signal,
}

impl Signals {
    /// Catches those of a program from now on. SIGHUP, the end of its terminal, asks for the end, unless it
    /// is ignored.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn of_program() -> Result<Signals, Failure> {
        let hup = SignalKind::hangup();
        let ends = Asked::Stop(hup.as_raw_value());
        Signals::with_hangup((!is_ignored(hup)).then_some(ends))
    }

    /// Catches those of a daemon from now on. Whoever sees its socket may stop it, so it does this first;
    /// but not before what may take long, as nobody listens to them yet.
    ///
    /// # Errors
    /// As [`of_program`](Self::of_program).
    pub(crate) fn of_daemon() -> Result<Signals, Failure> {
        Signals::with_hangup(Some(Asked::Reload))
    }

    /// SIGHUP is caught if it means anything.
    fn with_hangup(means: Option<Asked>) -> Result<Signals, Failure> {
        let caught = |means| Ok::<_, Failure>((catch(SignalKind::hangup())?, means));
        Ok(Signals {
            ending: Ending::default(),
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            counters: catch(SignalKind::user_defined1())?,
            hangup: means.map(caught).transpose()?,
            _too_large: catch(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// What the next signal asks for.
    pub(crate) async fn next(&mut self) -> Asked {
        loop {
            let asked = self.caught().await;
            let ends = matches!(asked, Asked::Stop(_));
            if !ends || self.ending.is_news(Instant::now()) {
                return asked;
            }
        }
    }

    /// What the next signal that is caught asks for.
    async fn caught(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some((hangup, means)) => {
                    hangup.recv().await;
                    *means
                }
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop(SignalKind::interrupt().as_raw_value()),
            _ = self.terminate.recv() => Asked::Stop(SignalKind::terminate().as_raw_value()),
            _ = self.counters.recv() => Asked::Counters,
            means = hangup => means,
        }
    }
}

fn catch(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind)
        .map_err(|error| Failure::new(Exit::Resources, format!("can't catch signals: {error}")))
}

/// When the end was asked for first.
#[derive(Default)]
struct Ending(Option<Instant>);

impl Ending {
    /// Whether a signal that asks for the end is more than the first one's echo.
    fn is_news(&mut self, now: Instant) -> bool {
        match self.0 {
            None => {
                self.0 = Some(now);
                true
            }
            Some(first) => now.saturating_duration_since(first) >= ONE_REQUEST,
        }
    }
}

/// Whether whoever started us has us ignore a signal (proc(5), `SigIgn`).
fn is_ignored(signal: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(signal.as_raw_value() - 1).ok();
    let bit = bit.and_then(|bit| 1_u64.checked_shl(bit));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_does_not_ask_for_an_end_at_once() {
        let mut ending = Ending::default();
        let first = Instant::now();
        assert!(ending.is_news(first));
        assert!(!ending.is_news(first));
        assert!(!ending.is_news(first + ONE_REQUEST / 2));
        assert!(ending.is_news(first + ONE_REQUEST));
        assert!(ending.is_news(first + ONE_REQUEST * 2));
    }
}
