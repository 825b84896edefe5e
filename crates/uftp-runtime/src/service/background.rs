//! Going into the background, with an honest answer to whoever started us (cli §8.1, §8.2).
//!
//! The parent runs the same program again, detached, and waits for its verdict: one byte on the
//! pipe that is the child's standard output when it serves, or the child's exit code.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, dup, dup2_stdin, dup2_stdout, geteuid, setsid};

use crate::common;
use crate::exit::{Exit, Failure};
use crate::log::{self, LogFile, Rolling, Sink};

/// The option by which the child knows what it is.
pub(crate) const CHILD_OPTION: &str = "--detached-child";

/// Starts this program again in the background and waits until it serves. The exit code for the
/// one who started us. A child that fails leaves no `pid_file`, though it may have become somebody
/// who cannot remove it.
///
/// # Errors
/// The child cannot be started; what it finds wrong it says itself.
pub(crate) fn launch(words: &[OsString], pid_file: Option<&Path>) -> Result<Exit, Failure> {
    let cannot = |error: io::Error| {
        Failure::new(
            Exit::Resources,
            format!("can't go into the background: {error}"),
        )
    };
    let program = std::env::current_exe().map_err(cannot)?;
    let name = words
        .first()
        .cloned()
        .unwrap_or_else(|| program.clone().into());
    let mut child = Command::new(program)
        .arg0(name)
        .arg(CHILD_OPTION)
        .args(words.iter().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    let mut verdict = [0; 1];
    let ready = child
        .stdout
        .take()
        .is_some_and(|mut pipe| pipe.read_exact(&mut verdict).is_ok());
    if ready {
        return Ok(Exit::Success);
    }
    let ended = child.wait().map_err(cannot)?;
    // A path is meant from where the child was.
    if let Some(path) = pid_file.map(|path| Path::new("/").join(path))
        && named_in(&path) == Some(child.id())
    {
        let _ = fs::remove_file(path);
    }
    Ok(Exit::from_code(ended.code()))
}

/// The child's first step: away from terminal and working directory.
///
/// # Errors
/// The system refuses.
pub(crate) fn detach() -> Result<(), Failure> {
    umask(Mode::from_bits_truncate(0o022));
    setsid().and_then(|_| chdir("/")).map_err(|error| {
        Failure::new(
            Exit::Resources,
            format!("can't go into the background: {error}"),
        )
    })
}

/// What the child's standard streams will be, and where its parent waits.
pub(crate) struct Streams {
    verdict: File,
    stderr: File,
    null: File,
}

impl Streams {
    /// What is written to standard error will go to `log`, and the others nowhere. Nothing is to
    /// be opened any more by then.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn open(log: &LogFile) -> Result<Streams, Failure> {
        let open = || -> io::Result<Streams> {
            Ok(Streams {
                verdict: dup(std::io::stdout())?.into(),
                stderr: log.another()?,
                null: File::options().read(true).write(true).open("/dev/null")?,
            })
        };
        open().map_err(cannot_let_go)
    }
}

/// The child serves: lets go of its parent's files, and tells it. `sink` writes to the log already.
///
/// # Errors
/// The system refuses; the parent has not been told.
pub(crate) fn report_ready(streams: Streams, sink: &Sink) -> Result<(), Failure> {
    let Streams {
        mut verdict,
        stderr,
        null,
    } = streams;
    let done = || -> io::Result<()> {
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        sink.hold_stderr_as(&stderr)
    };
    done().map_err(cannot_let_go)?;
    // The parent may have been killed; then there is nobody to tell.
    let _ = verdict.write_all(b"!");
    Ok(())
}

fn cannot_let_go(error: io::Error) -> Failure {
    Failure::new(
        Exit::Resources,
        format!("can't let go of the terminal: {error}"),
    )
}

/// Opens the log of a daemon for appending. The default place may be written by anybody, so a
/// link there is not followed.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn open_log(
    option: Option<&OsStr>,
    default: &str,
    rolling: Option<Rolling>,
) -> Result<LogFile, Failure> {
    let path = Path::new(option.unwrap_or(OsStr::new(default)));
    let flags = match option {
        Some(_) => OFlag::empty(),
        None => OFlag::O_NOFOLLOW,
    };
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(flags.bits())
        .open(path)
        .and_then(|file| {
            // Nobody but its owner can put a link in its place where anybody may write.
            let own = option.is_some() || file.metadata()?.uid() == geteuid().as_raw();
            own.then_some(())
                .ok_or_else(|| io::Error::other("it belongs to somebody else"))
        })
        .and_then(|()| LogFile::open(path, rolling))
        .map_err(|error| log::not_open(path, &error))
}

/// A pid file, removed when dropped.
pub(crate) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes our process id to `path`, mode 0644.
    ///
    /// # Errors
    /// It names a living process of the same program, or cannot be written.
    pub(crate) fn write(path: &Path) -> Result<PidFile, Failure> {
        let own = std::process::id();
        if let Some(pid) = living_namesake(path, own) {
            return Err(Failure::command_line(format!(
                "{} names process {pid}, which is running already (option -P)",
                path.display()
            )));
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            // Whoever may write to its directory must not choose what is overwritten.
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
            .and_then(|mut file| file.write_all(format!("{own}\n").as_bytes()))
            .map_err(|error| not_written(path, &error))?;
        Ok(PidFile {
            path: path.to_owned(),
        })
    }

    /// Whether `path` can be written to; it is not, and whom it names does not matter.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn try_out(path: &Path) -> Result<(), Failure> {
        common::can_append(path).map_err(|error| not_written(path, &error))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // An init script may have removed it already, and another daemon made its own.
        if named_in(&self.path) == Some(std::process::id()) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::command_line(format!("can't write pid file {path}: {error} (option -P)"))
}

/// The process that the pid file names.
fn named_in(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The process other than `own` that the pid file names, if it lives and runs this program.
fn living_namesake(path: &Path, own: u32) -> Option<u32> {
    let pid = named_in(path)?;
    let name = |pid: &str| fs::read(format!("/proc/{pid}/comm")).ok();
    let same = name(&pid.to_string())? == name("self")?;
    (same && pid != own).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_lasts_as_long_as_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        for before in ["", "no number", "999999999\n", "1\n"] {
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
        assert_eq!(living_namesake(&path, ours), None);
        assert_eq!(living_namesake(&path, ours + 1), Some(ours));
    }

    #[test]
    fn a_pid_file_is_not_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let failure = PidFile::write(&link).err().unwrap();
        assert!(failure.to_string().contains("(option -P)"), "{failure}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn the_default_log_is_not_opened_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(open_log(None, link.to_str().unwrap(), None).is_err());
        assert!(!target.exists());
        let failure = open_log(Some(dir.path().as_os_str()), "", None)
            .err()
            .unwrap();
        assert_eq!(failure.exit, Exit::Log);
        open_log(Some(link.as_os_str()), "", None).unwrap();
        assert!(target.exists());
    }
}
