//! Pid files (cli §8.2): ours until the end, and never two daemons' at once.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use rustix::fs::{FlockOperation, fcntl_lock};

use crate::common;
use crate::exit::Failure;

/// How often a daemon that ends may take the file away between our opening and locking it.
const TRIES: usize = 10;

/// More than any process id has, with its line feed.
const MAX_LEN: u64 = 32;

/// A pid file, removed when dropped.
pub(super) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes our process id to `path`, mode 0644.
    ///
    /// # Errors
    /// It names a living process of the same program, is no file, may be somebody else's, or cannot be
    /// written.
    pub(super) fn write(path: &Path) -> Result<PidFile, Failure> {
        let own = std::process::id();
        let cannot = |error: io::Error| not_written(path, &error);
        for _ in 0..TRIES {
            let mut file = open(path).map_err(cannot)?;
            suits(path, &file.metadata().map_err(cannot)?).map_err(cannot)?;
            // Of two daemons that begin together the second one sees what the first one wrote. Tools that
            // keep a file for as long as a program runs use other locks (flock).
            fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
                let error = io::Error::from(error);
                match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied => {
                        cannot(io::Error::other("another program is writing it"))
                    }
                    _ => cannot(error),
                }
            })?;
            if !is_still_at(path, &file) {
                continue;
            }
            if let Some(pid) = living_namesake(&mut file, own) {
                return Err(Failure::command_line(format!(
                    "{} names process {pid}, which is running already (option -P)",
                    path.display()
                )));
            }
            replace(&mut file, &format!("{own}\n")).map_err(cannot)?;
            return Ok(PidFile {
                path: path.to_owned(),
            });
        }
        Err(cannot(io::Error::other("it is removed again and again")))
    }

    /// Whether `path` can be written to; it is not, and whom it names does not matter.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn try_out(path: &Path) -> Result<(), Failure> {
        let suitable = || match fs::symlink_metadata(path) {
            Ok(there) if !there.is_dir() => suits(path, &there),
            _ => Ok(()),
        };
        suitable()
            .and_then(|()| common::can_append(path))
            .map_err(|error| not_written(path, &error))
    }

    /// Removes `path` if it names the process `id`.
    pub(super) fn remove_of(path: &Path, id: u32) {
        if read_only(path)
            .ok()
            .and_then(|mut file| named_in(&mut file))
            == Some(id)
        {
            // Whoever cannot remove it cannot write another one either.
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // An init script may have removed it already, and another daemon made its own.
        PidFile::remove_of(&self.path, std::process::id());
    }
}

/// Opens it as it is, or a new one. Whoever may write to its directory must neither choose what is
/// overwritten nor make us wait.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(flags.bits())
        .open(path)
}

fn read_only(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
}

/// Whether what is `there` may be a pid file at all: a file, or a device as `/dev/null`. In a directory that
/// everybody may write to, a file of somebody else would have us killed, or others by who reads it.
fn suits(path: &Path, there: &Metadata) -> io::Result<()> {
    let kind = there.file_type();
    if kind.is_symlink() {
        return Err(io::Error::other("it is a symbolic link"));
    }
    if kind.is_fifo() {
        return Err(io::Error::other("it is a pipe"));
    }
    if !kind.is_file() && !kind.is_char_device() {
        return Err(io::Error::other("it is no file"));
    }
    let (dir, euid) = (containing(path)?, geteuid().as_raw());
    let foreign = there.uid() != euid && there.uid() != dir.uid();
    if kind.is_file() && dir.mode() & 0o1002 == 0o1002 && (foreign || there.nlink() > 1) {
        return Err(io::Error::other(
            "it may be somebody else's, in a directory that everybody may write to; remove it",
        ));
    }
    Ok(())
}

fn containing(path: &Path) -> io::Result<Metadata> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    fs::metadata(dir.unwrap_or(Path::new(".")))
}

fn is_still_at(path: &Path, file: &File) -> bool {
    let identity = |of: Metadata| (of.dev(), of.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => identity(ours) == identity(there),
        _ => false,
    }
}

fn replace(file: &mut File, text: &str) -> io::Result<()> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
        io::Seek::rewind(file)?;
    }
    file.write_all(text.as_bytes())
}

/// The process that the pid file names.
fn named_in(file: &mut File) -> Option<u32> {
    // A device would go on for ever.
    file.metadata().ok().filter(Metadata::is_file)?;
    let mut text = String::new();
    file.take(MAX_LEN).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The process other than `own` that the pid file names, if it lives and runs this program.
fn living_namesake(file: &mut File, own: u32) -> Option<u32> {
    let pid = named_in(file)?;
    let name = |pid: &str| fs::read(format!("/proc/{pid}/comm")).ok();
    let same = name(&pid.to_string())? == name("self")?;
    (same && pid != own).then_some(pid)
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::command_line(format!("can't write pid file {path}: {error} (option -P)"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    fn refused(path: &Path) -> String {
        let (written, tried) = (PidFile::write(path), PidFile::try_out(path));
        assert!(tried.is_err(), "--check says another thing of {path:?}");
        written.err().unwrap().to_string()
    }

    #[test]
    fn a_pid_file_lasts_as_long_as_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let long = "9".repeat(5000);
        for before in ["", "no number", "999999999\n", "1\n", &long] {
            fs::write(&path, before).unwrap();
            let file = PidFile::write(&path).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text, format!("{}\n", std::process::id()));
            drop(file);
            assert!(!path.exists());
        }
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n", "it is another's");
        assert!(PidFile::write(dir.path()).is_err());
    }

    #[test]
    fn a_pid_file_of_a_running_namesake_is_respected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let ours = std::process::id();
        fs::write(&path, format!("{ours}\n")).unwrap();
        let asked = |own| living_namesake(&mut File::open(&path).unwrap(), own);
        assert_eq!(asked(ours), None);
        assert_eq!(asked(ours + 1), Some(ours));
    }

    #[test]
    fn a_pid_file_is_not_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        assert!(refused(&link).contains("(option -P)"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        let (nowhere, dangling) = (dir.path().join("nowhere"), dir.path().join("dangling"));
        symlink(&nowhere, &dangling).unwrap();
        refused(&dangling);
        assert!(!nowhere.exists());
    }

    #[test]
    fn what_would_keep_a_daemon_waiting_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mkfifo(&pipe, Mode::from_bits_truncate(0o644)).unwrap();
        assert!(refused(&pipe).contains("it is a pipe"));
        PidFile::remove_of(&pipe, 1);
        assert!(pipe.exists());
        let failure = PidFile::write(Path::new("/dev/full")).err().unwrap();
        assert!(failure.to_string().contains("No space left"), "{failure}");
        drop(PidFile::write(Path::new("/dev/null")).unwrap());
        assert!(Path::new("/dev/null").exists());
    }

    #[test]
    fn where_everybody_writes_a_file_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o1777)).unwrap();
        let (path, other) = (dir.path().join("pid"), dir.path().join("other"));
        fs::write(&other, "text").unwrap();
        fs::hard_link(&other, &path).unwrap();
        assert!(refused(&path).contains("somebody else"));
        assert_eq!(fs::read_to_string(&other).unwrap(), "text");
        fs::remove_file(&other).unwrap();
        if chown(&path, Some(65534), None).is_err() {
            return; // nobody but root may, and to others no file is given
        }
        assert!(refused(&path).contains("somebody else"));
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        drop(PidFile::write(&path).unwrap());
    }
}
