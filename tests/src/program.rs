//! One running program of a test: bounded in time, ended by its own process id, its output kept.

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use wait4::Wait4;

use crate::{Failure, Result, Suite, eventually, patience};

/// How a program ended and what it used.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// From start to end.
    pub elapsed: Duration,
    /// Processor time, user and system together.
    pub cpu: Duration,
    /// Largest resident set in bytes.
    pub peak_rss: u64,
}

/// A program that was started and is ended at the latest when this is dropped.
pub struct Program {
    name: String,
    pid: Pid,
    log: PathBuf,
    reaped: Arc<Mutex<bool>>,
    ended: mpsc::Receiver<std::io::Result<Exit>>,
    exit: Option<Exit>,
    waiter: Option<JoinHandle<()>>,
}

impl Program {
    /// Starts `command` under the name the messages shall use, with both output streams in `log`.
    ///
    /// # Errors
    /// When the log cannot be made or the program not be started.
    pub fn start(name: &str, command: Command, log: &Path) -> Result<Self> {
        Self::start_with_input(name, command, log, Stdio::null())
    }

    /// As [`Program::start`], with this standard input.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub(crate) fn start_with_input(
        name: &str,
        mut command: Command,
        log: &Path,
        input: Stdio,
    ) -> Result<Self> {
        let out = File::create(log)
            .map_err(|error| Failure::io(format!("creating {}", log.display()), error))?;
        let err = out
            .try_clone()
            .map_err(|error| Failure::io(format!("sharing {}", log.display()), error))?;
        command.stdin(input).stdout(out).stderr(err);
        Self::start_as_is(name, command, log)
    }

    /// Starts `command` with its streams as they were set by the caller; `log` is only remembered.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start_as_is(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let started = Instant::now();
        let child = command
            .spawn()
            .map_err(|error| Failure::io(format!("cannot start {name} by {command:?}"), error))?;
        let pid = i32::try_from(child.id())
            .map(Pid::from_raw)
            .map_err(|error| Failure::io(format!("process id of {name}"), error))?;
        let reaped = Arc::new(Mutex::new(false));
        let (sender, ended) = mpsc::channel();
        let waiter = thread::spawn({
            let reaped = Arc::clone(&reaped);
            // The receiver is gone only when nobody wants to know any more.
            move || drop(sender.send(reap(child, pid, started, &reaped)))
        });
        Ok(Self {
            name: name.to_owned(),
            pid,
            log: log.to_owned(),
            reaped,
            ended,
            exit: None,
            waiter: Some(waiter),
        })
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// What the kernel says it does: `R` for runs, `S` for sleeps until something comes, `D` for is busy
    /// with a disk, and so on; `None` when it has ended.
    pub(crate) fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // Behind its name, in which anything may stand.
        let (_, behind) = stat.rsplit_once(')')?;
        behind.trim_start().chars().next()
    }

    /// All it has printed so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log).map_or_else(
            |error| format!("(cannot read {}: {error})", self.log.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Waits until it has said something.
    ///
    /// # Errors
    /// All it said instead.
    pub fn says(&self, words: &str) -> Result<()> {
        let name = self.name();
        eventually(&format!("{name} to say {words:?}"), patience(), || {
            let said = self.output();
            match said.contains(words) {
                true => Ok(()),
                false => Err(format!("it said:\n{said}")),
            }
        })
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> Option<Exit> {
        if self.exit.is_none() {
            self.exit = self.ended.try_recv().ok().and_then(std::io::Result::ok);
        }
        self.exit.clone()
    }

    /// Waits for its end, at most for `within`; a program that overstays is killed.
    ///
    /// # Errors
    /// When it overstays.
    pub fn wait(&mut self, within: Duration) -> Result<Exit> {
        if let Some(exit) = &self.exit {
            return Ok(exit.clone());
        }
        match self.ended.recv_timeout(within) {
            Ok(Ok(exit)) => {
                self.exit = Some(exit.clone());
                Ok(exit)
            }
            Ok(Err(error)) => Err(Failure::io(format!("waiting for {}", self.name), error)),
            Err(_) => {
                self.signal(Signal::SIGKILL);
                Err(Failure::new(format!(
                    "{} did not end within {:.0} s and was killed",
                    self.name,
                    within.as_secs_f64()
                )))
            }
        }
    }

    /// Tells a daemon of `suite` to stop, as a service manager would, and expects exit code 6 of it. The
    /// reference may end as it likes: it is known to crash while stopping.
    ///
    /// # Errors
    /// When it had ended before, or ends otherwise.
    pub(crate) fn stop(mut self, suite: Suite) -> Result<Exit> {
        if let Some(exit) = self.try_wait() {
            let name = &self.name;
            return Err(Failure::new(format!("{name} had already ended: {exit:?}")));
        }
        let exit = self.terminate(suite)?;
        match (suite, exit.code) {
            (Suite::Ours, Some(6)) | (Suite::Reference, _) => Ok(exit),
            _ => Err(Failure::new(format!(
                "{} was told to stop and ended as {exit:?}, not with exit code 6",
                self.name
            ))),
        }
    }

    /// Tells a program of `suite` to end, and waits until it has. The reference is told once a second: it does
    /// not notice a signal that comes in the instant before it waits for datagrams.
    ///
    /// # Errors
    /// When it overstays; then it is killed.
    pub fn terminate(&mut self, suite: Suite) -> Result<Exit> {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM);
        while suite == Suite::Reference && begun.elapsed() < patience() {
            let second = Duration::from_secs(1);
            let ended = || self.try_wait().ok_or_else(|| "it runs on".to_owned());
            if let Ok(exit) = eventually("its end", second, ended) {
                return Ok(exit);
            }
            self.signal(Signal::SIGTERM);
        }
        self.wait(patience())
    }

    /// Sends it a signal; nothing happens when it has already ended.
    pub fn signal(&self, signal: Signal) {
        // Holding the lock keeps the process id from being reaped, and so from meaning another process.
        let reaped = lock(&self.reaped);
        if !*reaped {
            let _ = kill(self.pid, signal);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
    }
}

/// Waits for the end of `child` and takes its account, with `reaped` telling when its id is free again.
fn reap(
    mut child: Child,
    pid: Pid,
    started: Instant,
    reaped: &Mutex<bool>,
) -> std::io::Result<Exit> {
    let ended = loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other,
        }
    };
    let elapsed = started.elapsed();
    let mut reaped = lock(reaped);
    *reaped = true;
    ended?;
    let used = child.wait4()?;
    Ok(Exit {
        code: used.status.code(),
        signal: used.status.signal(),
        elapsed,
        cpu: used.rusage.utime + used.rusage.stime,
        peak_rss: used.rusage.maxrss,
    })
}

fn lock(mutex: &Mutex<bool>) -> MutexGuard<'_, bool> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
