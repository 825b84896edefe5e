//! What a daemon is to the system: a process in the background, which tells a service manager how it
//! does, and is a user's.

use std::{
    ffi::CString,
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Gid, Pid, User, getgrouplist},
};

use crate::{Failure, Result, eventually, patience};

/// A process in the background, which the test has not started itself; told to end when this is dropped.
pub struct Daemon {
    pid: Pid,
}

impl Daemon {
    /// The one whose process id is in this file.
    ///
    /// # Errors
    /// When there is no number in it.
    pub fn of(pid_file: &Path) -> Result<Self> {
        let text = fs::read_to_string(pid_file)
            .map_err(|error| Failure::io(format!("reading {}", pid_file.display()), error))?;
        let number = text
            .trim_end()
            .parse()
            .map_err(|error| Failure::io(format!("{} has {text:?}", pid_file.display()), error))?;
        Ok(Self {
            pid: Pid::from_raw(number),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Whether it is there.
    pub fn runs(&self) -> bool {
        Path::new(&format!("/proc/{}", self.pid)).exists()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // That it has ended shows elsewhere.
        let _ = kill(self.pid, signal);
    }

    /// Tells it to stop, and waits until it has.
    ///
    /// # Errors
    /// When it runs on.
    pub fn stop(self) -> Result<()> {
        self.signal(Signal::SIGTERM);
        eventually("the end of the daemon", patience(), || match self.runs() {
            true => Err("it runs on".to_owned()),
            false => Ok(()),
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.runs() {
            self.signal(Signal::SIGTERM);
        }
    }
}

/// Listens where a service manager does (`NOTIFY_SOCKET`).
pub struct ServiceManager {
    path: PathBuf,
    socket: UnixDatagram,
}

impl ServiceManager {
    /// Listens at this path.
    ///
    /// # Errors
    /// When that is not to be had.
    pub fn new(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(patience()))?;
        let path = path.to_owned();
        Ok(Self { path, socket })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for a message with these words, past all others. The whole message.
    ///
    /// # Errors
    /// When none comes.
    pub fn hears(&self, words: &str) -> Result<String> {
        let mut heard = self.all_until(words)?;
        Ok(heard.pop().unwrap_or_default())
    }

    /// All messages to the one with these words.
    ///
    /// # Errors
    /// When that does not come.
    pub fn all_until(&self, words: &str) -> Result<Vec<String>> {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        // A watchdog's word comes a few times a second.
        while heard.len() < 10_000 {
            let length = self.socket.recv(&mut buffer).map_err(|error| {
                Failure::io(format!("waiting for {words:?} after {heard:?}"), error)
            })?;
            let text = buffer.get(..length).unwrap_or_default();
            let text = String::from_utf8_lossy(text).into_owned();
            let found = text.contains(words);
            heard.push(text);
            if found {
                return Ok(heard);
            }
        }
        Err(Failure::new(format!("never heard {words:?}")))
    }
}

/// Waits until all threads of a process run as this user, with no way back, no capabilities and no
/// other groups than the user's.
///
/// # Errors
/// What is otherwise.
pub fn runs_as(pid: i32, user: &User) -> Result<()> {
    let name = CString::new(user.name.as_str()).map_err(std::io::Error::from)?;
    let groups = getgrouplist(&name, user.gid).map_err(std::io::Error::from)?;
    let groups: Vec<u32> = groups.into_iter().map(Gid::as_raw).collect();
    let what = format!("process {pid} to run as {}", user.name);
    eventually(&what, patience(), || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
        for task in tasks {
            let path = task.map_err(|error| error.to_string())?.path();
            let status = fs::read_to_string(path.join("status"));
            let status = status.map_err(|error| error.to_string())?;
            if !is_of(&status, user, &groups) {
                return Err(status);
            }
        }
        Ok(())
    })
}

/// Whether a thread with this status in `/proc` is the user's, who has these groups, and nothing more.
fn is_of(status: &str, user: &User, groups: &[u32]) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let numbers = |name: &str| -> Vec<u32> {
        let words = field(name).unwrap_or_default().split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    numbers("Uid:") == [user.uid.as_raw(); 4]
        && numbers("Gid:") == [user.gid.as_raw(); 4]
        && numbers("Groups:")
            .iter()
            .all(|group| groups.contains(group))
        && field("CapPrm:").is_some_and(|set| set.trim().trim_matches('0').is_empty())
}
