//! Files to which lines are appended for other programs: status files and events.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// A file that lines are appended to, each in one write. A disk that is full for a while costs it the lines
/// of that while.
pub(crate) struct LineFile<W = File> {
    path: OsString,
    file: W,
    /// The last line could not be written.
    failing: bool,
    /// The file ends within a line.
    torn: bool,
}

impl LineFile {
    /// Opens or makes it, mode 0644 less the umask.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn open(path: &OsStr) -> io::Result<LineFile> {
        Ok(LineFile::of(path, open(path)?))
    }

    /// Opens the file of this name: somebody has moved the old one away. A pipe stays as it is, for there may
    /// be nobody at its other end to wait for.
    ///
    /// # Errors
    /// It cannot be opened; the old one stays in use.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        if !is_pipe(Path::new(&self.path)) {
            *self = LineFile::of(&self.path, open(&self.path)?);
        }
        Ok(())
    }

    /// Its name.
    pub(crate) fn path(&self) -> &OsStr {
        &self.path
    }
}

impl<W: Write> LineFile<W> {
    fn of(path: &OsStr, file: W) -> LineFile<W> {
        LineFile {
            path: path.to_owned(),
            file,
            failing: false,
            torn: false,
        }
    }

    /// Writes `line`, given without its line feed.
    ///
    /// # Errors
    /// It cannot be written, as the one before could: to be told once.
    pub(crate) fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let mut text = Vec::with_capacity(line.len() + 2);
        if self.torn {
            text.push(b'\n');
        }
        text.extend_from_slice(line);
        text.push(b'\n');
        let written = self.write_all(&text);
        let was_failing = std::mem::replace(&mut self.failing, written.is_err());
        match written {
            Err(error) if !was_failing => Err(error),
            _ => Ok(()),
        }
    }

    fn write_all(&mut self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match self.file.write(text) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    let (done, left) = text.split_at_checked(n).unwrap_or((text, &[]));
                    self.torn = done.last() != Some(&b'\n');
                    text = left;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether opening what has this name for writing waits for a reader.
pub(crate) fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo())
}

fn open(path: &OsStr) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(path)
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    /// A disk with room for `room` bytes more.
    struct Disk {
        content: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room);
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.content.extend_from_slice(&bytes[..fits]);
            self.room -= fits;
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_the_lines_of_a_while_and_is_told_once() {
        let disk = Disk {
            content: Vec::new(),
            room: 6,
        };
        let mut file = LineFile::of(OsStr::new("status"), disk);
        file.write_line(b"one").unwrap();
        let told = file.write_line(b"two").unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::StorageFull);
        for line in [b"three", b"four."] {
            file.write_line(line).unwrap();
        }
        file.file.room = 100;
        for line in [b"five", b"six."] {
            file.write_line(line).unwrap();
        }
        assert_eq!(file.file.content, b"one\ntw\nfive\nsix.\n");
        file.file.room = 0;
        assert!(file.write_line(b"seven").is_err(), "another time");
        file.file.room = 100;
        file.write_line(b"eight").unwrap();
        assert!(file.file.content.ends_with(b"six.\neight\n"));
    }

    #[test]
    fn a_pipe_is_not_waited_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
        // Both ends at once, so that the first opening does not wait either.
        let both = File::options().read(true).write(true).open(&path).unwrap();
        let mut file = LineFile::open(path.as_os_str()).unwrap();
        drop(both);
        file.reopen().unwrap();
        assert!(file.write_line(b"nobody reads").is_err());
        file.write_line(b"nor this").unwrap();
    }
}
