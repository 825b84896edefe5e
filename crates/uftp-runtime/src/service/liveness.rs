//! What the session thread lets the service manager know: how many sessions there are, and, where
//! a watchdog wants to know, that it lives. The session thread itself waits for nobody here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::notify;
use crate::driver::Control;

/// From one word on how things stand to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// The sessions of a daemon in numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    /// Sessions under way.
    pub(crate) open: u64,
    /// Receivers behind a proxy in these; `None` where that is not known.
    pub(crate) clients: Option<u64>,
    /// Sessions that are over.
    pub(crate) over: u64,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (self.open, self.over) == (0, 0) {
            return f.write_str("Listening for sessions");
        }
        write!(f, "Sessions: {} under way", self.open)?;
        if let Some(clients) = self.clients {
            let plural = if clients == 1 { "" } else { "s" };
            write!(f, " with {clients} receiver{plural}")?;
        }
        write!(f, ", {} over", self.over)
    }
}

/// What was told last.
#[derive(Clone, Copy, Default)]
struct Told {
    standing: Standing,
    /// How often the session thread has said that it lives.
    beats: u64,
}

/// The end of the session thread.
pub(crate) struct Liveness {
    asked: Arc<AtomicBool>,
    last: Standing,
    told: watch::Sender<Told>,
}

/// The end of whoever talks to the service manager.
#[derive(Clone)]
pub(crate) struct Monitor {
    asked: Arc<AtomicBool>,
    told: watch::Receiver<Told>,
}

/// Both ends.
pub(crate) fn liveness() -> (Liveness, Monitor) {
    let asked = Arc::<AtomicBool>::default();
    let (told, hears) = watch::channel(Told::default());
    let liveness = Liveness {
        asked: asked.clone(),
        last: Standing::default(),
        told,
    };
    (liveness, Monitor { asked, told: hears })
}

impl Liveness {
    /// The session thread has had a turn, after which things stand so.
    pub(crate) fn turn(&mut self, standing: Standing) {
        let asked = self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::Relaxed);
        if asked || standing != self.last {
            self.last = standing;
            self.told.send_modify(|told| {
                told.standing = standing;
                told.beats += u64::from(asked);
            });
        }
    }
}

impl Monitor {
    /// How things stand, in words.
    pub(crate) fn status(&self) -> String {
        self.told.borrow().standing.to_string()
    }

    /// Tells the service manager of what changes, but not without pause, and that the session
    /// thread lives as often as a watchdog wants it. Ends with that thread.
    pub(crate) async fn run(mut self, control: Control) {
        // Twice as often as it must be (cli §8, sd_watchdog_enabled(3)).
        let mut watchdog = notify::watchdog().map(|period| {
            let mut pulse = interval((period / 2).max(Duration::from_millis(1)));
            pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pulse
        });
        let mut last = *self.told.borrow();
        let mut next = Instant::now();
        loop {
            let news = self.told.borrow().standing != last.standing;
            tokio::select! {
                changed = self.told.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let beats = self.told.borrow_and_update().beats;
                    if std::mem::replace(&mut last.beats, beats) != beats {
                        notify::alive();
                    }
                }
                () = sleep_until(next), if news => {
                    last.standing = self.told.borrow().standing;
                    notify::status(&last.standing.to_string());
                    next = Instant::now() + PAUSE;
                }
                () = tick(&mut watchdog) => {
                    self.asked.store(true, Ordering::Relaxed);
                    control.wake();
                }
            }
        }
    }
}

async fn tick(pulse: &mut Option<tokio::time::Interval>) {
    match pulse {
        Some(pulse) => {
            pulse.tick().await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_words() {
        let mut standing = Standing::default();
        assert_eq!(standing.to_string(), "Listening for sessions");
        standing.open = 2;
        assert_eq!(standing.to_string(), "Sessions: 2 under way, 0 over");
        standing.clients = Some(31);
        standing.over = 7;
        let words = "Sessions: 2 under way with 31 receivers, 7 over";
        assert_eq!(standing.to_string(), words);
        standing.clients = Some(1);
        let words = "Sessions: 2 under way with 1 receiver, 7 over";
        assert_eq!(standing.to_string(), words);
    }

    #[test]
    fn a_thread_that_has_no_turn_does_not_pass_for_alive() {
        let (mut liveness, monitor) = liveness();
        let beats = || monitor.told.borrow().beats;
        liveness.turn(Standing::default());
        assert_eq!(beats(), 0, "nobody asked");
        monitor.asked.store(true, Ordering::Relaxed);
        assert_eq!(beats(), 0);
        liveness.turn(Standing::default());
        liveness.turn(Standing::default());
        assert_eq!(beats(), 1);
    }
}
