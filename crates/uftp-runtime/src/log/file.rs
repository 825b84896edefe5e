//! Log files: appended to, rolled by size, and opened anew when log rotation asks for it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Local};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, faccessat, geteuid};
use rolling_file::{RollingCondition, RollingFileAppender};

use super::time;
use crate::line_file::is_pipe;

/// When a log is rolled, and how much of it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rolling {
    /// Bytes above which the file becomes an archive.
    pub size: u64,
    /// Archives kept: `LOG.1`, the youngest, to `LOG.keep`.
    pub keep: usize,
}

/// A log file that is appended to, rolled when it has grown, and opened anew on request
/// (cli §6.6).
///
/// What is written are whole lines, and in the file when `write` returns.
pub(crate) struct LogFile {
    path: PathBuf,
    rolling: Option<Rolling>,
    out: RollingFileAppender<Never>,
    size: u64,
    holds_stderr: bool,
    /// Lines that could not be written since the last one that could.
    lost: u64,
}

impl LogFile {
    /// Opens `path` for appending, mode 0666 less the umask.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn open(path: &Path, rolling: Option<Rolling>) -> io::Result<LogFile> {
        let keep = rolling.map_or(0, |r| r.keep);
        Ok(LogFile {
            path: path.to_owned(),
            rolling,
            out: RollingFileAppender::new(path, Never, keep)?,
            size: fs::metadata(path)?.len(),
            holds_stderr: false,
            lost: 0,
        })
    }

    /// What others write to standard error goes into this file from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn hold_stderr(&mut self) -> io::Result<()> {
        self.hold_stderr_as(&self.another()?)
    }

    /// As [`hold_stderr`](Self::hold_stderr), by [`another`](Self::another) that was opened before.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn hold_stderr_as(&mut self, file: &File) -> io::Result<()> {
        nix::unistd::dup2_stderr(file)?;
        self.holds_stderr = true;
        Ok(())
    }

    /// The file once more.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn another(&self) -> io::Result<File> {
        File::options().append(true).open(&self.path)
    }

    /// Tries whether it can be rolled, if it is to be, by who this process now is.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn try_rolling(&self) -> io::Result<()> {
        let Some(rolling) = self.rolling else {
            return Ok(());
        };
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let shown = dir.display();
        let needed = AccessFlags::W_OK | AccessFlags::X_OK;
        faccessat(AT_FDCWD, dir, needed, AtFlags::AT_EACCESS).map_err(|error| {
            io::Error::new(
                io::Error::from(error).kind(),
                format!("it may not make files in {shown}: {error}"),
            )
        })?;
        let (own, kept) = (geteuid().as_raw(), fs::metadata(dir)?);
        let is_shared = kept.mode() & Mode::S_ISVTX.bits() != 0;
        if !is_shared || own == 0 || kept.uid() == own {
            return Ok(());
        }
        // There everybody may rename his own files only.
        let archives = (1..=rolling.keep).map(|n| self.archive(n));
        for path in std::iter::once(self.path.clone()).chain(archives) {
            if fs::symlink_metadata(&path).is_ok_and(|there| there.uid() != own) {
                let path = path.display();
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("{path} belongs to another, and {shown} is open to all"),
                ));
            }
        }
        Ok(())
    }

    /// Its name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `LOG.number`.
    fn archive(&self, number: usize) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }

    /// Opens the file of this name anew; somebody has moved the old one away. A pipe stays as it is, for there
    /// may be nobody at its other end to wait for.
    ///
    /// # Errors
    /// It cannot be opened; the old one stays in use.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        if is_pipe(&self.path) {
            return Ok(());
        }
        let fresh = LogFile::open(&self.path, self.rolling)?;
        let holds_stderr = self.holds_stderr;
        *self = fresh;
        if holds_stderr {
            self.hold_stderr()
        } else {
            Ok(())
        }
    }

    fn roll(&mut self) -> io::Result<()> {
        for text in ["Rolling logs", "Opening new log", "Switching to new log"] {
            self.note(text)?;
        }
        self.out.rollover()?;
        self.size = 0;
        if self.holds_stderr {
            self.hold_stderr()?;
        }
        self.note("Switch to new log complete")
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        let line = format!("{}: {text}\n", time::log_stamp());
        self.size += line.len() as u64;
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }
}

impl Write for LogFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        // It is rolled between lines.
        let ends = lines.iter().position(|b| *b == b'\n').map(|at| at + 1);
        let first = ends.filter(|_| self.rolling.is_some());
        let line = first.and_then(|end| lines.get(..end)).unwrap_or(lines);
        if self.lost > 0 && self.out.flush().is_ok() {
            let lost = std::mem::take(&mut self.lost);
            self.note(&format!(
                "{lost} lines of the log are lost here: they could not be written"
            ))?;
        }
        self.out.write_all(line).inspect_err(|_| self.lost += 1)?;
        // What cannot be written now is kept as long as there is room.
        self.out.flush()?;
        self.size += line.len() as u64;
        if self.rolling.is_some_and(|r| self.size > r.size)
            && let Err(error) = self.roll()
        {
            self.note(&format!("Rolling logs failed: {error}"))?;
            // It is written on, and tried again when as much has come again.
            self.size = 0;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Rolling is asked for: lines of the old log come before it, and lines of the new one after.
struct Never;

impl RollingCondition for Never {
    fn should_rollover(&mut self, _: &DateTime<Local>, _: u64) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a file without what time stamps tell.
    fn lines(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let bare = |l: &str| {
            l.split_once(".")
                .map_or(l, |(_, rest)| &rest[8..])
                .to_owned()
        };
        text.lines().map(bare).collect()
    }

    /// Lines come in one write.
    fn put(log: &mut LogFile, line: &str) {
        log.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    #[test]
    fn archives_are_numbered_from_the_youngest_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let archive = |n: u8| dir.path().join(format!("log.{n}"));
        fs::write(&path, b"old\n").unwrap();
        let rolling = Rolling { size: 100, keep: 2 };
        let mut log = LogFile::open(&path, Some(rolling)).unwrap();
        let long = "x".repeat(96);
        put(&mut log, &long);
        let head = "Switch to new log complete";
        let tail = ["Rolling logs", "Opening new log", "Switching to new log"];
        assert_eq!(lines(&path), [head], "the size of an existing log counts");
        let first = [&["old", &long][..], &tail].concat();
        assert_eq!(lines(&archive(1)), first);
        assert!(!archive(2).exists(), "the first roll makes one archive");

        put(&mut log, &long);
        let second = [&[head, &long][..], &tail].concat();
        assert_eq!(lines(&archive(1)), second);
        assert_eq!(lines(&archive(2)), first);
        put(&mut log, &long);
        assert_eq!(lines(&archive(2)), second, "the oldest went");
        assert!(!archive(3).exists());
        put(&mut log, "short");
        assert_eq!(lines(&path), [head, "short"]);
    }

    #[test]
    fn a_log_that_was_moved_away_is_opened_anew_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("moved"));
        let mut log = LogFile::open(&path, None).unwrap();
        put(&mut log, "one");
        fs::rename(&path, &moved).unwrap();
        put(&mut log, "two");
        log.reopen().unwrap();
        put(&mut log, "three");
        assert_eq!(lines(&moved), ["one", "two"]);
        assert_eq!(lines(&path), ["three"]);
    }

    #[test]
    fn a_log_that_cannot_be_rolled_is_written_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        // A directory with an entry cannot be replaced by a file.
        fs::create_dir_all(dir.path().join("log.1/entry")).unwrap();
        let rolling = Rolling { size: 100, keep: 1 };
        let mut log = LogFile::open(&path, Some(rolling)).unwrap();
        put(&mut log, &"long enough ".repeat(10));
        put(&mut log, "more");
        let written = lines(&path).join("\n");
        assert!(written.contains("long enough"), "{written}");
        assert!(written.contains("Rolling logs failed"), "{written}");
        assert!(written.ends_with("more"), "{written}");
        assert!(LogFile::open(dir.path(), None).is_err());
    }
}
