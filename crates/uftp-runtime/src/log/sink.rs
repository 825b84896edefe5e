//! Where lines go: standard error or a log file, with a progress bar kept below them.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::LogFile;

/// Where log lines, status lines of `@LOG` and the progress bar go, each in one write.
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
}

/// Says how a progress bar looks now; empty for none.
pub(super) type Bar = Box<dyn Fn() -> String + Send>;

impl Sink {
    /// Standard error.
    pub(crate) fn stderr() -> Sink {
        Sink::new(std::io::stderr())
    }

    /// Anything that can be written to.
    pub(crate) fn new(out: impl Write + Send + 'static) -> Sink {
        Sink {
            inner: Arc::new(Mutex::new(Inner {
                out: Out::Any(Box::new(out)),
                bar: None,
                drawn: false,
            })),
        }
    }

    /// Whether a bar may be drawn: standard error is a terminal that can erase lines.
    pub(crate) fn stderr_can_draw() -> bool {
        std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
    }

    /// From now on to `file`.
    pub(crate) fn redirect(&self, file: LogFile) {
        self.lock().out = Out::File(file);
    }

    /// What others write to standard error goes into the log file from now on, if it is one, by
    /// `file`, which is [another](LogFile::another) of it.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn hold_stderr_as(&self, file: &File) -> io::Result<()> {
        match &mut self.lock().out {
            Out::File(log) => log.hold_stderr_as(file),
            Out::Any(_) => Ok(()),
        }
    }

    /// Opens the log file anew, if it is one.
    ///
    /// # Errors
    /// It cannot be opened; the old one stays in use.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        match &mut self.lock().out {
            Out::File(file) => file.reopen(),
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
        inner.write(&line);
    }

    /// From now on `bar` stands below the lines; `None` for no more.
    pub(crate) fn set_bar(&self, bar: Option<Box<dyn Fn() -> String + Send>>) {
        self.lock().bar = bar;
        self.draw_bar();
    }

    /// Draws the bar in place of the last one.
    pub(crate) fn draw_bar(&self) {
        let mut inner = self.lock();
        let bar = inner.bar();
        if !bar.is_empty() || inner.drawn {
            inner.drawn = !bar.is_empty();
            inner.write(&format!("{ERASE}{bar}"));
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

    fn write(&mut self, text: &str) {
        let out: &mut dyn Write = match &mut self.out {
            Out::Any(out) => out,
            Out::File(file) => file,
        };
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
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
}
