//! Progress of a sender for people: a bar on a terminal, or a line now and then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uftp_session::sender::{Progress, Volume};

use crate::log::{Sink, printable};
use crate::options::uftp::{Args, ProgressMode};

/// Between two looks at a sender.
const LOOK: Duration = Duration::from_millis(100);
/// Between two bars.
const BAR: Duration = Duration::from_millis(200);
/// Between two lines.
const LINE: Duration = Duration::from_secs(5);

/// What the sending thread last said of itself, and how fast it has been since the last look.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    progress: Progress,
    meter: Meter,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, progress: Progress) {
        self.lock().progress = progress;
    }

    /// The speed is that between two of these calls.
    fn measure(&self, now: Instant) {
        let mut state = self.lock();
        let state = &mut *state;
        state.meter.measure(&state.progress, now);
    }

    fn line(&self) -> String {
        let state = self.lock();
        state.meter.line(&state.progress)
    }
}

/// The sending thread's end: passes on progress now and then.
pub(crate) struct Feed {
    shared: Shared,
    next: Instant,
}

impl Feed {
    /// Reports to `shared`.
    pub(crate) fn new(shared: Shared, now: Instant) -> Self {
        Feed { shared, next: now }
    }

    /// Passes on `progress`: something has happened.
    pub(crate) fn refresh(&self, progress: Progress) {
        self.shared.set(progress);
    }

    /// Passes on what `progress` says, if it is time.
    pub(crate) fn turn(&mut self, now: Instant, progress: impl FnOnce() -> Progress) {
        if now >= self.next {
            self.next = now + LOOK;
            self.shared.set(progress());
        }
    }
}

/// The viewer's end: draws.
pub(crate) struct Display {
    shared: Shared,
    sink: Sink,
    bar: bool,
}

impl Display {
    /// What the options ask for; `None` for nothing.
    pub(crate) fn new(args: &Args, shared: Shared, sink: Sink) -> Option<Display> {
        let log = &args.common.log;
        let quiet = log.file().is_none() && log.log_level <= 2;
        let bar = match args.progress {
            ProgressMode::None => return None,
            ProgressMode::Auto if quiet && Sink::stderr_can_draw() => true,
            ProgressMode::Auto => return None,
            ProgressMode::Bar => true,
            ProgressMode::Lines => false,
        };
        if bar {
            let shared = shared.clone();
            sink.set_bar(Some(Box::new(move || shared.line())));
        }
        Some(Display { shared, sink, bar })
    }

    /// Between two calls of [`draw`](Self::draw).
    pub(crate) fn interval(&self) -> Duration {
        if self.bar { BAR } else { LINE }
    }

    /// Shows how things stand.
    pub(crate) fn draw(&mut self, now: Instant) {
        self.shared.measure(now);
        if self.bar {
            self.sink.draw_bar();
            return;
        }
        let line = self.shared.line();
        if !line.is_empty() {
            self.sink.write_line(line);
        }
    }

    /// Removes the bar.
    pub(crate) fn clear(&mut self) {
        if self.bar {
            self.sink.set_bar(None);
        }
    }
}

/// Turns progress into text; remembers the last look for the speed.
#[derive(Clone, Default)]
struct Meter {
    last: Option<(Instant, u64)>,
    /// MB (of 1048576 bytes) per second.
    speed: Option<f64>,
}

impl Meter {
    fn measure(&mut self, progress: &Progress, now: Instant) {
        let Volume { sent, repaired } = progress.volume;
        let total = sent.saturating_add(repaired);
        let before = self.last.replace((now, total));
        self.speed = before
            .filter(|(_, bytes)| *bytes <= total)
            .map(|(then, bytes)| {
                let seconds = now.saturating_duration_since(then).as_secs_f64();
                crate::story::speed(total - bytes, seconds) / 1024.0
            });
    }

    /// One line; empty outside files and announcing.
    fn line(&self, progress: &Progress) -> String {
        let (active, missing) = (progress.clients_active, progress.clients_missing);
        if progress.announcing {
            return match missing {
                0 => format!("announcing: {active} registered"),
                _ => format!("announcing: {active} of {} registered", active + missing),
            };
        }
        if progress.pass == 0 {
            return String::new();
        }
        let percent = match progress.size {
            0 => 100,
            size => (u128::from(progress.volume.sent) * 100 / u128::from(size)).min(100),
        };
        let width = usize::try_from(percent / 5).unwrap_or(20);
        let bar = "#".repeat(width);
        let mut name = printable(&progress.name);
        if name.chars().count() > 30 {
            let tail: Vec<char> = name.chars().rev().take(29).collect();
            name = std::iter::once('…').chain(tail.into_iter().rev()).collect();
        }
        let mut line = format!("{name} [{bar:<20}] {percent:3}%");
        if let Some(speed) = self.speed {
            line += &format!(" {speed:.1} MB/s");
        }
        if progress.pass > 1 {
            line += &format!(" pass {}", progress.pass);
        }
        line += &format!(
            " clients {} of {}",
            progress.clients_done,
            progress.clients_done + active
        );
        if missing > 0 {
            line += &format!(", {missing} missing");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_share_speed_pass_and_receivers() {
        let mut meter = Meter::default();
        let start = Instant::now();
        let mut progress = Progress::default();
        meter.measure(&progress, start);
        assert_eq!(meter.line(&progress), "");
        (progress.announcing, progress.clients_active) = (true, 3);
        assert_eq!(meter.line(&progress), "announcing: 3 registered");
        progress.clients_missing = 997;
        assert_eq!(meter.line(&progress), "announcing: 3 of 1000 registered");
        (progress.announcing, progress.clients_missing) = (false, 0);
        progress = Progress {
            name: b"dir/f\n".to_vec(),
            size: 10 << 20,
            volume: Volume {
                sent: 5 << 20,
                repaired: 0,
            },
            pass: 1,
            clients_done: 0,
            clients_active: 3,
            ..progress
        };
        let later = start + Duration::from_secs(1);
        meter.measure(&progress, later);
        assert_eq!(
            meter.line(&progress),
            "dir/f? [##########          ]  50% 5.0 MB/s clients 0 of 3"
        );
        progress.volume.sent = 10 << 20;
        progress.volume.repaired = 1 << 20;
        progress.pass = 2;
        (progress.clients_done, progress.clients_active) = (2, 1);
        meter.measure(&progress, later + Duration::from_secs(2));
        assert_eq!(
            meter.line(&progress),
            "dir/f? [####################] 100% 3.0 MB/s pass 2 clients 2 of 3"
        );
        progress.clients_missing = 1;
        let line = meter.line(&progress);
        assert!(line.ends_with("pass 2 clients 2 of 3, 1 missing"), "{line}");
    }
}
