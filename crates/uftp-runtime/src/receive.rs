//! The program `uftpd`: from command line to exit code.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;
use uftp_net::{Interface, Socket};
use uftp_session::Clock;
use uftp_session::receiver::{Receiver, ReceiverEvent, ReceiverEventKind};
use uftp_session::security::ServerEntry;

use crate::common;
use crate::daemon::{self, PidFile};
use crate::driver::{Control, Daemon, Driver, Tally, Watcher};
use crate::exit::{Exit, Failure};
use crate::herald::Herald;
use crate::keys;
use crate::log::{self, Sink};
use crate::names::Names;
use crate::options::Parsed;
use crate::options::common::LogArgs;
use crate::options::servers;
use crate::options::uftpd::{Args, ReceiveJob};
use crate::say;
use crate::script;
use crate::signals::{Asked, Signals};
use crate::status::StatusOut;
use crate::store::DiskStore;

/// The log of a daemon without `-L`.
const DEFAULT_LOG: &str = "/tmp/uftpd.log";

/// Runs `uftpd` with these words, the program's name first.
pub fn main(words: impl IntoIterator<Item = OsString>) -> Exit {
    let words: Vec<OsString> = words.into_iter().collect();
    common::run(words.clone(), |parsed: Parsed<Args>| match parsed {
        Parsed::Show(text) => common::show(&text),
        Parsed::Run(args) if args.foreground || args.detached_child => run(args),
        Parsed::Run(_) => daemon::launch(&words),
    })
}

fn run(args: Args) -> Result<Exit, Failure> {
    script::close_inherited();
    let sink = Sink::stderr();
    log::install(sink.clone(), args.log.log_level, true);
    common::be_nice(args.priority);
    common::runtime()?.block_on(receive(args, sink))
}

async fn receive(args: Args, sink: Sink) -> Result<Exit, Failure> {
    let process = Process {
        in_background: !args.foreground,
        log: args.log.clone(),
        pid_file: args.pid_file.clone(),
    };
    let status = args.status_file.clone();
    let look_up_names = !args.no_name_lookup;
    // A daemon's working directory changes.
    let lists = args.security.server_list.iter().map(std::path::absolute);
    let lists = lists.collect::<Result<_, _>>().unwrap_or_default();
    let job = args.validate().await?;
    let servers = ServerLists {
        paths: lists,
        source_specific: job.config.security.source_specific,
        fresh: Arc::default(),
    };
    let store = DiskStore::open(&job.store)?;
    let socket = common::bind(&job.socket)?;
    let listener = Listener {
        interfaces: job.interfaces.clone(),
        sources: job.config.security.sources(),
    };
    listener.join_all(&socket, &job.groups)?;
    let mut signals = Signals::catch(true)
        .map_err(|error| Failure::new(Exit::Resources, format!("can't catch signals: {error}")))?;
    let (status, _pid_file) = process.settle(status, &sink)?;
    introduce(&job);

    let now = Instant::now();
    let clock = Clock::new(now, common::wall_clock());
    let receiver = Receiver::new(job.config, store, clock, common::seeded()?, now);
    let control = Control::new()?;
    let names = match look_up_names {
        false => Names::none(),
        true => {
            let (names, resolver) = Names::new();
            tokio::spawn(resolver.run(control.clone()));
            names
        }
    };
    let watcher = ReceiveWatcher {
        herald: Herald::new(status, names),
        listener,
        fresh: servers.fresh.clone(),
    };
    let driver = Driver::new(socket, control.clone(), Daemon::new(receiver), watcher);
    let tally = common::spawn(move || driver.run())?;
    watch(tally, &mut signals, &control, &sink, &servers).await
}

/// Waits for the end of the driver, which only a signal or a broken socket brings.
async fn watch(
    mut tally: oneshot::Receiver<Result<Tally, Failure>>,
    signals: &mut Signals,
    control: &Control,
    sink: &Sink,
    servers: &ServerLists,
) -> Result<Exit, Failure> {
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = &mut tally => {
                return ended.unwrap_or_else(|_| Err(common::thread_died())).map(|_| Exit::Interrupted);
            }
            asked = signals.next() => match asked {
                Asked::Stop(number) => {
                    say!(0, "Exiting on signal {number}");
                    if stopping {
                        return Ok(Exit::Interrupted);
                    }
                    stopping = true;
                    control.stop();
                }
                Asked::Reload => {
                    say!(2, "Opening log and status file anew");
                    if let Err(error) = sink.reopen() {
                        say!(0, "can't open the log file: {error}");
                    }
                    servers.read().await;
                    control.reload();
                }
                Asked::Counters => control.tell_counters(),
            }
        }
    }
}

/// The lists of senders (`-S`), read again on request.
struct ServerLists {
    paths: Vec<PathBuf>,
    source_specific: bool,
    fresh: FreshServers,
}

/// Lists that were read again and are not in use yet.
type FreshServers = Arc<Mutex<Option<Vec<ServerEntry>>>>;

impl ServerLists {
    /// Reads them; what cannot be read leaves the old ones in use.
    async fn read(&self) {
        if self.paths.is_empty() {
            return;
        }
        if self.source_specific {
            say!(
                1,
                "Groups are joined for the senders listed at the start: -S is not read again"
            );
            return;
        }
        match servers::read(&self.paths).await {
            Ok(list) => {
                say!(2, "Listening to {} senders (-S)", list.len());
                *self.fresh.lock().unwrap_or_else(PoisonError::into_inner) = Some(list);
            }
            Err(failure) => say!(0, "The old list stays in use: {failure}"),
        }
    }
}

fn introduce(job: &ReceiveJob) {
    job.config
        .security
        .keys
        .iter()
        .for_each(|key| keys::introduce(key));
    say!(2, "UFTP version {}", env!("CARGO_PKG_VERSION"));
    let join = |list: Vec<String>| list.join(", ");
    let groups = join(job.groups.iter().map(ToString::to_string).collect());
    let interfaces = join(job.interfaces.iter().map(ToString::to_string).collect());
    say!(
        2,
        "Listening for {groups} on {interfaces} port {} as {:08X}",
        job.socket.bind.port(),
        job.config.uid.0
    );
}

/// What a daemon does to itself.
struct Process {
    in_background: bool,
    log: LogArgs,
    pid_file: Option<OsString>,
}

impl Process {
    /// All has gone well so far: into the background if it is to be so. Paths of log, pid file
    /// and status file are meant from `/` then.
    fn settle(
        self,
        status: Option<OsString>,
        sink: &Sink,
    ) -> Result<(StatusOut, Option<PidFile>), Failure> {
        if !self.in_background {
            return Ok((StatusOut::open(status.as_deref(), sink)?, None));
        }
        daemon::detach()?;
        let option = self.log.log_file.as_deref();
        let log = daemon::open_log(option, DEFAULT_LOG, self.log.rolling())?;
        let status = StatusOut::open(status.as_deref(), sink)?;
        let pid_file = self
            .pid_file
            .map(|path| PidFile::write(Path::new(&path)))
            .transpose()?;
        daemon::report_ready(log, sink)?;
        Ok((status, pid_file))
    }
}

/// The interfaces groups are joined on.
struct Listener {
    interfaces: Vec<Interface>,
    /// Whose packets groups are joined for; `None` for everybody's.
    sources: Option<Vec<IpAddr>>,
}

impl Listener {
    /// Joins the groups announcements come to.
    fn join_all(&self, socket: &Socket, groups: &[IpAddr]) -> Result<(), Failure> {
        for group in groups {
            self.join(socket, *group).map_err(Failure::network)?;
        }
        Ok(())
    }

    /// Joins one group on every interface that speaks its family; one success is enough.
    fn join(&self, socket: &Socket, group: IpAddr) -> Result<(), String> {
        let family = if group.is_ipv4() { "IPv4" } else { "IPv6" };
        let mut failed = format!("cannot join {group}: no interface of -I has an {family} address");
        let mut joined = false;
        for interface in self.speaking(group) {
            for done in self.each_source(group, |source| match source {
                None => socket.join(group, interface),
                Some(source) => socket.join_source(group, source, interface),
            }) {
                match done {
                    Ok(()) => joined = true,
                    Err(error) => {
                        say!(1, "{error}");
                        failed = error.to_string();
                    }
                }
            }
        }
        if joined { Ok(()) } else { Err(failed) }
    }

    fn leave(&self, socket: &Socket, group: IpAddr) {
        for interface in self.speaking(group) {
            let done = self.each_source(group, |source| match source {
                None => socket.leave(group, interface),
                Some(source) => socket.leave_source(group, source, interface),
            });
            for error in done.into_iter().filter_map(Result::err) {
                say!(3, "{error}");
            }
        }
    }

    /// Does something for each source a group is joined for, or once for all.
    fn each_source<T>(&self, group: IpAddr, act: impl Fn(Option<IpAddr>) -> T) -> Vec<T> {
        match &self.sources {
            None => vec![act(None)],
            Some(sources) => {
                let alike = |s: &&IpAddr| s.is_ipv4() == group.is_ipv4();
                let sources = sources.iter().filter(alike);
                sources.map(|source| act(Some(*source))).collect()
            }
        }
    }

    fn speaking(&self, group: IpAddr) -> impl Iterator<Item = &Interface> {
        self.interfaces
            .iter()
            .filter(move |i| i.first_like(group).is_some())
    }
}

/// Has the events of a receiver told and minds its groups.
struct ReceiveWatcher {
    herald: Herald,
    listener: Listener,
    fresh: FreshServers,
}

impl Watcher<Daemon<DiskStore>> for ReceiveWatcher {
    fn event(
        &mut self,
        now: Instant,
        machine: &mut Daemon<DiskStore>,
        socket: &Socket,
        event: ReceiverEvent,
    ) {
        let kind = event.kind.clone();
        self.herald.event(event);
        match kind {
            ReceiverEventKind::Join(group) | ReceiverEventKind::JoinFrom { group, .. } => {
                if let Err(reason) = self.listener.join(socket, group) {
                    machine.receiver.join_failed(now, group, &reason);
                }
            }
            ReceiverEventKind::Leave(group) => self.listener.leave(socket, group),
            _ => {}
        }
    }

    fn turn(&mut self, _now: Instant, _machine: &Daemon<DiskStore>) {
        self.herald.turn();
    }

    fn reload(&mut self, machine: &mut Daemon<DiskStore>) {
        self.herald.reopen();
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = fresh.take() {
            machine.receiver.set_servers(Some(list));
        }
    }

    fn tell_counters(&mut self, machine: &Daemon<DiskStore>) {
        common::tell_counters(machine.receiver.counters());
    }
}
