//! What `uftpd` and `uftpproxyd` do alike as daemons: from command line to readiness, and then what
//! signals ask for.
//!
//! Around that: going into the background (`background`, `pid_file`), giving up privileges and what was
//! left open (`privileges`, `inherited`), the service manager (`notify`, `liveness`), lists that are read
//! again (`reload`), and the groups and interfaces to listen on (`listener`).

mod background;
mod inherited;
pub(crate) mod listener;
pub(crate) mod liveness;
mod notify;
mod pid_file;
mod privileges;
pub(crate) mod reload;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use uftp_proto::crypto::PrivateKey;

use self::background::Streams;
use self::liveness::Monitor;
use self::pid_file::PidFile;
use self::privileges::Identity;
use crate::common;
use crate::driver::{Driver, Machine, Tally, Watcher};
use crate::exit::{Exit, Failure};
use crate::keys;
use crate::log::{self, Sink, printable};
use crate::metrics;
use crate::options::common::{CommonArgs, LogArgs};
use crate::options::process::ProcessArgs;
use crate::options::{Parsed, Program};
use crate::say;
use crate::session_thread::SessionThread;
use crate::signals::{Asked, Signals};

/// The command line of a daemon.
pub(crate) trait Service: Program {
    /// Its log without `-L`.
    const DEFAULT_LOG: &'static str;

    fn process(&self) -> &ProcessArgs;

    fn common(&self) -> &CommonArgs;

    /// Does the work until the end.
    ///
    /// # Errors
    /// It cannot begin or go on.
    async fn serve(self, sink: Sink) -> Result<Exit, Failure>;
}

/// Runs a daemon with these words, the program's name first.
pub(crate) fn main<T: Service>(words: impl IntoIterator<Item = OsString>) -> Exit {
    let words: Vec<OsString> = words.into_iter().collect();
    common::run(words.clone(), |parsed: Parsed<T>| match parsed {
        Parsed::Show(text) => common::show(&text),
        Parsed::Run(args) if args.process().runs_here() || args.common().general.check => run(args),
        Parsed::Run(args) => background::launch(&words, args.process().pid_file()),
    })
}

fn run<T: Service>(args: T) -> Result<Exit, Failure> {
    let sink = Sink::stderr();
    let log = &args.common().log;
    log::install(sink.clone(), log.log_level, log.look(true));
    be_nice(args.process().priority);
    common::runtime()?.block_on(async {
        if let Some(addr) = args.process().metrics
            && !args.common().general.check
        {
            metrics::serve(addr)?;
        }
        args.serve(sink).await
    })
}

/// Adds to the niceness of this thread and of those it will start. The system may refuse less.
fn be_nice(by: i32) {
    if by != 0
        && let Err(error) = rustix::process::nice(by)
    {
        say!(
            0,
            "Error setting priority to {by} more than it was: {error} (option -N)"
        );
    }
}

/// Says which words of a daemon's command line mean nothing, as in the C programs: most likely a comma
/// was meant, or a letter is missing.
pub(crate) fn tell_ignored(words: &[OsString]) {
    for word in words {
        say!(
            1,
            "{} belongs to no option and means nothing",
            printable(word.as_bytes())
        );
    }
}

/// What the logs of daemons begin with.
pub(crate) fn introduce(keys: &[Arc<PrivateKey>]) {
    keys.iter().for_each(|key| keys::introduce(key));
    say!(2, "UFTP version {}", env!("CARGO_PKG_VERSION"));
}

/// Several things in a line of the log.
pub(crate) fn joined(list: &[impl ToString]) -> String {
    let texts: Vec<_> = list.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// Where a daemon settles when all has gone well so far.
pub(crate) struct Home {
    in_background: bool,
    log: LogArgs,
    default_log: &'static str,
    pid_file: Option<PathBuf>,
    user: Option<Identity>,
}

impl Home {
    /// As the command line says.
    ///
    /// # Errors
    /// It names a user there is none of.
    pub(crate) fn of<T: Service>(args: &T) -> Result<Home, Failure> {
        let user = args.process().user.as_deref();
        Ok(Home {
            pid_file: args.process().pid_file().map(Path::to_owned),
            user: user.map(Identity::of).transpose()?,
            in_background: !args.process().foreground,
            log: args.common().log.clone(),
            default_log: T::DEFAULT_LOG,
        })
    }

    /// Goes into the background if it is to be so, where paths of log, pid file and what `also` opens are
    /// meant from `/`; lets go of what it was started with; then without privileges if that is wanted, as
    /// in [`resign`](Self::resign). Whatever needs them is done before.
    ///
    /// # Errors
    /// A file cannot be opened, or the system refuses.
    pub(crate) fn settle<T>(
        self,
        signals: Signals,
        sink: &Sink,
        also: impl FnOnce() -> Result<T, Failure>,
        can_go_on: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(T, Settled), Failure> {
        let mut settled = Settled {
            signals,
            sink: sink.clone(),
            streams: None,
            _pid_file: None,
        };
        if !self.in_background {
            let opened = also()?;
            inherited::close();
            self.resign(can_go_on)?;
            return Ok((opened, settled));
        }
        background::detach()?;
        let option = self.log.file();
        let log = background::open_log(option, self.default_log, self.log.rolling())?;
        let opened = also()?;
        let pid_file = self.pid_file.as_deref().map(PidFile::write).transpose()?;
        let streams = Streams::open(&log)?;
        inherited::close();
        self.resign(|| {
            can_go_on()?;
            log.try_rolling().map_err(|error| {
                let text = format!(
                    "can't roll the log: {error}; name one in a directory of that user's own by -L \
                     (options -g and --user)"
                );
                Failure::new(Exit::Log, text)
            })
        })?;
        sink.redirect(log);
        (settled.streams, settled._pid_file) = (Some(streams), pid_file);
        Ok((opened, settled))
    }

    /// Whether log and pid file can be written, and what `also` looks at, which is told where paths begin.
    ///
    /// # Errors
    /// One of them cannot.
    pub(crate) fn try_files(
        &self,
        also: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !self.in_background {
            return also(Path::new(""));
        }
        let from = Path::new("/");
        let log = from.join(self.log.file().unwrap_or(OsStr::new(self.default_log)));
        common::can_append(&log).map_err(|error| log::not_open(&log, &error))?;
        if let Some(path) = &self.pid_file {
            PidFile::try_out(&from.join(path))?;
        }
        also(from)
    }

    /// Goes on without privileges, if that is wanted, and finds out whether it `can_go_on` with what
    /// is needed later.
    ///
    /// # Errors
    /// The system refuses, or it cannot.
    pub(crate) fn resign(
        &self,
        can_go_on: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(user) = &self.user else {
            return Ok(());
        };
        user.assume()?;
        can_go_on().map_err(|failure| {
            let text = format!("{} {}", user.name(), failure.message);
            Failure::new(failure.exit, text)
        })
    }
}

/// A daemon that has settled. Its pid file lasts as long as this.
pub(crate) struct Settled {
    signals: Signals,
    sink: Sink,
    /// In the background, until the one who started it has been told that it serves.
    streams: Option<Streams>,
    _pid_file: Option<PidFile>,
}

impl Settled {
    /// Lets `driver` run in a thread of its own and waits for its end, which only a signal or a
    /// broken socket brings; whoever started the daemon learns that it serves when nothing can go
    /// wrong with that any more. `reload` reads the lists again. What `monitor` hears goes to the
    /// service manager.
    ///
    /// # Errors
    /// The driver's, or it could not begin.
    pub(crate) async fn watch<M: Machine + Send + 'static, W: Watcher<M> + Send + 'static>(
        mut self,
        driver: Driver<M, W>,
        monitor: Monitor,
        reload: impl AsyncFn(),
    ) -> Result<Exit, Failure> {
        let control = driver.control().clone();
        let (go, gate) = mpsc::channel();
        let mut tally = SessionThread::start(move || match gate.recv() {
            Ok(()) => driver.run(),
            // It does not come to that.
            Err(mpsc::RecvError) => Ok(Tally::default()),
        })?;
        if let Some(streams) = self.streams.take()
            && let Err(failure) = background::report_ready(streams, &self.sink)
        {
            drop(go);
            tally.ended().await??;
            return Err(failure);
        }
        // The thread waits for nothing else.
        let _ = go.send(());
        notify::ready(&monitor.status());
        if notify::is_wanted() {
            tokio::spawn(monitor.clone().run(control.clone()));
        }
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = tally.ended() => return ended.flatten().map(|_| Exit::Interrupted),
                asked = self.signals.next() => match asked {
                    Asked::Stop(number) => {
                        say!(0, "Exiting on signal {number}");
                        if stopping {
                            return Ok(Exit::Interrupted);
                        }
                        stopping = true;
                        notify::stopping();
                        control.stop();
                    }
                    Asked::Reload => {
                        say!(2, "Opening log and status file anew");
                        notify::reloading();
                        if let Err(failure) = self.sink.reopen() {
                            say!(0, "{failure}");
                        }
                        reload().await;
                        control.reload();
                        notify::ready(&monitor.status());
                    }
                    Asked::Counters => control.tell_counters(),
                }
            }
        }
    }
}
