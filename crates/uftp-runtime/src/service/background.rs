//! Going into the background, with an honest answer to whoever started us (cli §8.1).
//!
//! The parent runs the same program again, detached, and waits for its verdict: one byte on the
//! pipe that is the child's standard output when it serves, or the child's exit code.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, dup2_stdin, dup2_stdout, geteuid, setsid};

use super::pid_file::PidFile;
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
    common::let_enough_open()?;
    let program = std::env::current_exe().map_err(cannot_go)?;
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
        .map_err(cannot_go)?;
    let mut verdict = [0; 1];
    let ready = child
        .stdout
        .take()
        .is_some_and(|mut pipe| pipe.read_exact(&mut verdict).is_ok());
    if ready {
        return Ok(Exit::Success);
    }
    let ended = child.wait().map_err(cannot_go)?;
    // A path is meant from where the child was.
    if let Some(path) = pid_file {
        PidFile::remove_of(&Path::new("/").join(path), child.id());
    }
    Ok(Exit::from_code(ended.code()))
}

/// The child's first step: away from terminal and working directory.
///
/// # Errors
/// The system refuses.
pub(crate) fn detach() -> Result<(), Failure> {
    umask(Mode::from_bits_truncate(0o022));
    setsid()
        .and_then(|_| chdir("/"))
        .map_err(|error| cannot_go(error.into()))
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
                verdict: std::io::stdout().as_fd().try_clone_to_owned()?.into(),
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

fn cannot_go(error: io::Error) -> Failure {
    Failure::new(
        Exit::Resources,
        format!("can't go into the background: {error}"),
    )
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

#[cfg(test)]
mod tests {
    use super::*;

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
