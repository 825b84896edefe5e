//! Where lines go: standard error or a log file, with a progress bar kept below them.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{LogFile, not_open};
use crate::exit::Failure;

/// Where log lines, status lines of `@LOG` and the progress bar go, each in one write, but for
/// those of a thread that [holds](Sink::hold) them for a moment.
#[derive(Clone)]
pub(crate) struct Sink {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    out: Out,
    /// Says how the progress bar looks now, if there is one.
    bar: Option<Bar>,
    /// A bar stands on the terminal's last line.
    drawn: bool,
    /// Lines may be held: nobody looks on.
    may_hold: bool,
    /// Lines not yet written.
    held: String,
}

/// Most bytes of lines that are held: as many as a pipe takes in one piece, also if others write
/// to it, too.
const MOST_HELD: usize = 4096;

thread_local! {
    /// What becomes of the lines of this thread.
    static HOLDING: Cell<Holding> = const { Cell::new(Holding::No) };
}

/// Whether a thread holds its lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holding {
    No,
    /// It would.
    Nothing,
    /// It does.
    Lines,
}

/// While this lives, lines of its thread may wait for [`Sink::let_go`].
pub(crate) struct Held<'a>(&'a Sink);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.let_go();
        HOLDING.set(Holding::No);
    }
}

/// Says how a progress bar looks now; empty for none.
type Bar = Box<dyn Fn() -> String + Send>;

impl Sink {
    /// Standard error.
    pub(crate) fn stderr() -> Sink {
        let sink = Sink::new(std::io::stderr());
        sink.lock().may_hold = !std::io::stderr().is_terminal();
        sink
    }

    /// Anything that can be written to.
    pub(crate) fn new(out: impl Write + Send + 'static) -> Sink {
        Sink {
            inner: Arc::new(Mutex::new(Inner {
                out: Out::Any(Box::new(out)),
                bar: None,
                drawn: false,
                may_hold: true,
                held: String::new(),
            })),
        }
    }

    /// Whether a bar may be drawn: standard error is a terminal that can erase lines.
    pub(crate) fn stderr_can_draw() -> bool {
        std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
    }

    /// From now on to `file`.
    pub(crate) fn redirect(&self, file: LogFile) {
        let mut inner = self.lock();
        inner.let_go();
        inner.out = Out::File(file);
        inner.may_hold = true;
    }

    /// From now on lines of this thread may be held: a system call for each would cost more than
    /// what they tell of. They are written in one piece when the thread [lets go](Self::let_go),
    /// which it does before it waits for the network, at the next line of another thread, and when many
    /// are held.
    pub(crate) fn hold(&self) -> Held<'_> {
        HOLDING.set(Holding::Nothing);
        Held(self)
    }

    /// Writes the lines that this thread has held.
    pub(crate) fn let_go(&self) {
        if HOLDING.get() == Holding::Lines {
            HOLDING.set(Holding::Nothing);
            self.lock().let_go();
        }
    }

    /// What others write to standard error goes into the log file from now on, if it is one, by
    /// `file`, which is [another](LogFile::another) of it.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn hold_stderr_as(&self, file: &File) -> io::Result<()> {
        let mut inner = self.lock();
        inner.let_go();
        match &mut inner.out {
            Out::File(log) => log.hold_stderr_as(file),
            Out::Any(_) => Ok(()),
        }
    }

    /// Opens the log file anew, if it is one.
    ///
    /// # Errors
    /// It cannot be opened; the old one stays in use.
    pub(crate) fn reopen(&self) -> Result<(), Failure> {
        let mut inner = self.lock();
        inner.let_go();
        match &mut inner.out {
            Out::File(file) => file.reopen().map_err(|error| not_open(file.path(), &error)),
            Out::Any(_) => Ok(()),
        }
    }

    /// Writes one line; `line` without its line feed. Errors are ignored: a daemon's standard
    /// error may be closed.
    pub(crate) fn write_line(&self, mut line: String) {
        let mut inner = self.lock();
        line.push('\n');
        if inner.drawn {
            line.insert_str(0, ERASE);
            let bar = inner.bar();
            inner.drawn = !bar.is_empty();
            line.push_str(&bar);
        }
        if inner.held.len() + line.len() > MOST_HELD {
            inner.let_go();
        }
        inner.held.push_str(&line);
        let holding = HOLDING.get() != Holding::No;
        if holding && inner.may_hold && !inner.drawn && inner.held.len() < MOST_HELD {
            HOLDING.set(Holding::Lines);
        } else {
            inner.let_go();
        }
    }

    /// From now on `bar` stands below the lines; `None` for no more.
    pub(crate) fn set_bar(&self, bar: Option<Bar>) {
        self.lock().bar = bar;
        self.draw_bar();
    }

    /// Draws the bar in place of the last one.
    pub(crate) fn draw_bar(&self) {
        let mut inner = self.lock();
        let bar = inner.bar();
        if !bar.is_empty() || inner.drawn {
            inner.drawn = !bar.is_empty();
            inner.held.push_str(&format!("{ERASE}{bar}"));
            inner.let_go();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Out {
    Any(Box<dyn Write + Send>),
    File(LogFile),
}

impl Inner {
    fn bar(&self) -> String {
        self.bar.as_ref().map_or_else(String::new, |bar| bar())
    }

    /// Writes what is held.
    fn let_go(&mut self) {
        let out: &mut dyn Write = match &mut self.out {
            Out::Any(out) => out,
            Out::File(file) => file,
        };
        let _ = out.write_all(self.held.as_bytes());
        let _ = out.flush();
        self.held.clear();
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// Back to the start of the line, and clear it.
const ERASE: &str = "\r\x1b[K";

#[cfg(test)]
impl Sink {
    /// A sink in memory, and a way to read what was written.
    pub(crate) fn memory() -> (Sink, impl Fn() -> String) {
        #[derive(Clone, Default)]
        struct Shared(Arc<Mutex<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(buf)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let shared = Shared::default();
        let read = shared.clone();
        let text = move || String::from_utf8(read.0.lock().unwrap().clone()).unwrap();
        (Sink::new(shared), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_above_the_bar_which_is_never_stale() {
        let (sink, written) = Sink::memory();
        let now = Arc::new(Mutex::new("50%"));
        let look = Arc::clone(&now);
        sink.set_bar(Some(Box::new(move || look.lock().unwrap().to_string())));
        *now.lock().unwrap() = "60%";
        sink.write_line("one".into());
        // The transfer is over.
        *now.lock().unwrap() = "";
        sink.write_line("two".into());
        sink.write_line("three".into());
        sink.set_bar(None);
        assert_eq!(written(), "\r\x1b[K50%\r\x1b[Kone\n60%\r\x1b[Ktwo\nthree\n");
    }

    #[test]
    fn lines_that_are_held_come_in_order_and_at_the_latest_when_that_ends() {
        let (sink, written) = Sink::memory();
        let held = sink.hold();
        sink.write_line("one".into());
        sink.write_line("two".into());
        assert_eq!(written(), "");
        sink.let_go();
        assert_eq!(written(), "one\ntwo\n");
        sink.write_line("three".into());
        let other = sink.clone();
        let thread = std::thread::spawn(move || other.write_line("four".into()));
        thread.join().unwrap();
        assert_eq!(written(), "one\ntwo\nthree\nfour\n");
        sink.write_line("five".into());
        drop(held);
        assert!(written().ends_with("four\nfive\n"));
        sink.write_line("six".into());
        assert!(written().ends_with("six\n"), "it is over");
    }

    #[test]
    fn no_more_than_so_much_is_held() {
        let (sink, written) = Sink::memory();
        let _held = sink.hold();
        sink.write_line("x".repeat(MOST_HELD / 2));
        assert_eq!(written(), "");
        sink.write_line("x".repeat(MOST_HELD / 2));
        assert_eq!(
            written().len(),
            MOST_HELD / 2 + 1,
            "the first, in one piece"
        );
        sink.write_line("x".repeat(MOST_HELD));
        assert_eq!(
            written().len(),
            2 * MOST_HELD + 3,
            "and what is longer at once"
        );
    }
}
