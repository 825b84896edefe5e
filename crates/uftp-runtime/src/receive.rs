//! The program `uftpd`: from command line to exit code.

use std::ffi::OsString;
use std::time::Instant;

use uftp_net::Socket;
use uftp_session::Clock;
use uftp_session::receiver::{Receiver, ReceiverEvent, ReceiverEventKind};
use uftp_session::security::ServerEntry;

use crate::common;
use crate::driver::{Control, Daemon, Driver, Watcher};
use crate::events::EventOut;
use crate::exit::{Exit, Failure};
use crate::log::Sink;
use crate::metrics::ReceiverMeters;
use crate::names::Names;
use crate::narrator::Narrator;
use crate::options::common::CommonArgs;
use crate::options::process::ProcessArgs;
use crate::options::uftpd::{Args, ReceiveJob};
use crate::say;
use crate::service::listener::Listener;
use crate::service::liveness::{Liveness, Standing, liveness};
use crate::service::reload::{Fresh, ServerLists};
use crate::service::{self, Home, Service, joined};
use crate::signals::Signals;
use crate::status::StatusOut;
use crate::store::{DiskStore, StoreConfig};

/// Runs `uftpd` with these words, the program's name first.
pub fn main(words: impl IntoIterator<Item = OsString>) -> Exit {
    service::main::<Args>(words)
}

impl Service for Args {
    const DEFAULT_LOG: &'static str = crate::options::uftpd::DEFAULT_LOG;

    fn process(&self) -> &ProcessArgs {
        &self.process
    }

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    async fn serve(self, sink: Sink) -> Result<Exit, Failure> {
        receive(self, sink).await
    }
}

async fn receive(args: Args, sink: Sink) -> Result<Exit, Failure> {
    let home = Home::of(&args)?;
    service::tell_ignored(&args.ignored);
    let job = args.validate().await?;
    let servers = ServerLists::new(job.servers.clone(), job.config.security.source_specific);
    let store = DiskStore::open(&job.store)?;
    let mut listener = Listener::new(job.interfaces.clone(), job.config.sources());
    if args.common.general.check {
        listener.check(&job.groups)?;
        return check(&args, &home, &job.store);
    }
    let signals = Signals::of_daemon()?;
    let socket = common::bind(&job.socket)?;
    listener.join_all(&socket, &job.groups)?;
    let open_files = || {
        let status = StatusOut::open(args.status_file.as_deref(), &sink);
        let status = status.map_err(|failure| failure.about("-F"))?;
        Ok((
            status,
            EventOut::open(args.common.events.events.as_deref())?,
        ))
    };
    let ((status, events), settled) =
        home.settle(signals, &sink, open_files, || job.store.try_out())?;
    introduce(&job);
    // It may be put there later.
    if let Err(failure) = job.store.try_script() {
        say!(1, "{failure}");
    }

    let now = Instant::now();
    let clock = Clock::new(now, common::wall_clock());
    let receiver = Receiver::new(job.config, store, clock, common::seeded()?, now);
    let daemon = Daemon::new(receiver).allowing(args.allow_from);
    let control = Control::new()?;
    listener.follow(args.interface, control.clone());
    let names = match args.no_name_lookup {
        true => Names::none(),
        false => {
            let (names, resolver) = Names::new();
            tokio::spawn(resolver.run(control.clone()));
            names
        }
    };
    let (liveness, monitor) = liveness();
    let watcher = ReceiveWatcher {
        liveness,
        standing: Standing::default(),
        narrator: Narrator::new(status, events, names),
        listener,
        meters: args.process.metrics.map(|_| ReceiverMeters::new()),
        fresh: servers.fresh(),
    };
    let driver = Driver::new(socket, control, daemon, watcher);
    let reload = async || servers.read().await;
    settled.watch(driver, monitor, reload).await
}

/// Looks whether all can be written that will be.
fn check(args: &Args, home: &Home, store: &StoreConfig) -> Result<Exit, Failure> {
    home.try_files(|from| {
        StatusOut::try_out(args.status_file.as_deref(), from)
            .map_err(|failure| failure.about("-F"))?;
        EventOut::try_out(args.common.events.events.as_deref(), from)
    })?;
    home.resign(|| store.try_out())?;
    store.try_script()?;
    common::in_order("uftpd")
}

fn introduce(job: &ReceiveJob) {
    service::introduce(&job.config.security.keys);
    say!(
        2,
        "Listening for {} on {} port {} as {:08X}",
        joined(&job.groups),
        joined(&job.interfaces),
        job.socket.bind.port(),
        job.config.uid.0
    );
    if job.config.security.servers.is_none() {
        say!(2, "No senders are listed (-S): anybody may send");
    }
}

/// Has the events of a receiver told and minds its groups.
struct ReceiveWatcher {
    liveness: Liveness,
    standing: Standing,
    narrator: Narrator,
    listener: Listener,
    meters: Option<ReceiverMeters>,
    fresh: Fresh<Vec<ServerEntry>>,
}

impl Watcher<Daemon<DiskStore>> for ReceiveWatcher {
    fn event(
        &mut self,
        now: Instant,
        machine: &mut Daemon<DiskStore>,
        socket: &Socket,
        event: ReceiverEvent,
    ) {
        if let Some(meters) = &self.meters {
            meters.event(&event);
        }
        self.narrator.event(&event);
        match event.kind {
            ReceiverEventKind::Announced { .. } => self.standing.open += 1,
            ReceiverEventKind::Ended(_) => {
                self.standing.open = self.standing.open.saturating_sub(1);
                self.standing.over += 1;
            }
            ReceiverEventKind::Join(group) | ReceiverEventKind::JoinFrom { group, .. } => {
                if let Err(reason) = self.listener.join(socket, group) {
                    machine.receiver.join_failed(now, group, &reason);
                }
            }
            ReceiverEventKind::Leave(group) => self.listener.leave(socket, group),
            _ => {}
        }
    }

    fn turn(&mut self, _now: Instant, machine: &Daemon<DiskStore>) {
        self.narrator.turn();
        if let Some(meters) = &self.meters {
            meters.read(machine.receiver.counters());
        }
        self.liveness.turn(self.standing);
    }

    fn renew_groups(&mut self, socket: &Socket) {
        self.listener.renew(socket);
    }

    fn reload(&mut self, machine: &mut Daemon<DiskStore>) {
        self.narrator.reopen();
        if let Some(list) = self.fresh.take() {
            machine.receiver.set_servers(Some(list));
        }
    }

    fn tell_counters(&mut self, machine: &Daemon<DiskStore>) {
        common::tell_counters(machine.receiver.counters());
        if machine.turned_away() > 0 {
            say!(
                0,
                "Datagrams turned away (--allow-from): {}",
                machine.turned_away()
            );
        }
    }
}
