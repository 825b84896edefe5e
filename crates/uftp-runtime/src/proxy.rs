//! The program `uftpproxyd`: from command line to exit code.

use std::ffi::OsString;
use std::time::Instant;

use uftp_net::Socket;
use uftp_session::Clock;
use uftp_session::proxy::{Downstream, Proxy, ProxyConfig, ProxyEvent, ProxyEventKind, Role};
use uftp_session::security::ServerEntry;

use crate::common;
use crate::driver::{Control, Driver, Relay, Watcher};
use crate::events::{EventOut, ProxyEvents};
use crate::exit::{Exit, Failure};
use crate::log::Sink;
use crate::metrics::ProxyMeters;
use crate::names;
use crate::options::clients::Clients;
use crate::options::common::CommonArgs;
use crate::options::process::ProcessArgs;
use crate::options::uftpproxyd::{Args, ProxyJob};
use crate::proxy_sessions::ProxySessions;
use crate::say;
use crate::service::listener::Listener;
use crate::service::liveness::{Liveness, liveness};
use crate::service::reload::{ClientLists, Fresh, ServerLists};
use crate::service::{self, Home, Service, joined};
use crate::signals::Signals;
use crate::story::ProxyStory;

/// Runs `uftpproxyd` with these words, the program's name first.
pub fn main(words: impl IntoIterator<Item = OsString>) -> Exit {
    service::main::<Args>(words)
}

impl Service for Args {
    const DEFAULT_LOG: &'static str = crate::options::uftpproxyd::DEFAULT_LOG;

    fn process(&self) -> &ProcessArgs {
        &self.process
    }

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    async fn serve(self, sink: Sink) -> Result<Exit, Failure> {
        relay(self, sink).await
    }
}

async fn relay(args: Args, sink: Sink) -> Result<Exit, Failure> {
    let home = Home::of(&args)?;
    service::tell_ignored(&args.ignored);
    let job = args.validate().await?;
    let security = &job.config.security;
    let servers = ServerLists::new(job.lists.servers.clone(), security.source_specific);
    let clients = ClientLists::new(job.lists.clients.clone());
    let mut listener = Listener::new(job.interfaces.clone(), security.sources());
    let events = args.common.events.events.as_deref();
    if args.common.general.check {
        listener.check(&job.groups)?;
        home.try_files(|from| EventOut::try_out(events, from))?;
        home.resign(|| Ok(()))?;
        return common::in_order("uftpproxyd");
    }
    let signals = Signals::of_daemon()?;
    let socket = common::bind(&job.socket)?;
    listener.join_all(&socket, &job.groups)?;
    let (events, settled) = home.settle(signals, &sink, || EventOut::open(events), || Ok(()))?;
    introduce(&job);

    let now = Instant::now();
    let clock = Clock::new(now, common::wall_clock());
    let proxy_sessions = ProxySessions::new(job.config.uid, &job.config.role);
    let proxy = Proxy::new(job.config, clock, common::seeded()?, now);
    let control = Control::new()?;
    listener.follow(args.interface, control.clone());
    let (liveness, monitor) = liveness();
    let watcher = ProxyWatcher {
        liveness,
        story: ProxyStory::default(),
        events: ProxyEvents::new(events),
        proxy_sessions,
        listener,
        meters: args.process.metrics.map(|_| ProxyMeters::new()),
        servers: servers.fresh(),
        clients: clients.fresh(),
    };
    let driver = Driver::new(socket, control, Relay::new(proxy), watcher);
    let reload = async || {
        servers.read().await;
        clients.read().await;
    };
    settled.watch(driver, monitor, reload).await
}

fn introduce(job: &ProxyJob) {
    let config = &job.config;
    service::introduce(&config.security.keys);
    let port = config.port;
    let on = joined(&job.interfaces);
    let hears = match job.groups.is_empty() {
        true => format!("listening on port {port}"),
        false => format!("listening for {} on {on} port {port}", joined(&job.groups)),
    };
    say!(2, "{}, {hears} as {:08X}", role(config), config.uid.0);
    if let Role::Response {
        dh_key: Some(key), ..
    } = &config.role
    {
        say!(2, "Key agreement with receivers: {}", key.kind());
    }
    let servers = &config.security.servers;
    if servers
        .iter()
        .flatten()
        .any(|server| server.proxy.is_some())
    {
        say!(
            1,
            "-S names proxies that senders are answered through: only receivers are, a proxy answers \
             whoever it hears a session from"
        );
    }
    let listed = servers.is_some() || config.clients.is_some();
    if listed && !config.strict {
        say!(
            1,
            "-S and -C hold in encrypted sessions only, -C where receivers must prove themselves; \
             --strict refuses all others"
        );
    }
    for upstream in &config.heartbeats.upstreams {
        let seconds = config.heartbeats.interval.as_secs();
        let upstream = names::endpoint(*upstream);
        say!(2, "Sending heartbeats to {upstream} every {seconds} s");
    }
}

fn role(config: &ProxyConfig) -> String {
    match &config.role {
        Role::Server {
            downstream: Downstream::Fixed(addr),
            ..
        } => format!("Server proxy for {}", names::endpoint(*addr)),
        Role::Server {
            downstream: Downstream::Learned(print),
            ..
        } => format!("Server proxy for whoever has the key {print}"),
        Role::Client { port, .. } => format!("Client proxy for receivers on port {port}"),
        Role::Response { .. } => "Response proxy".to_owned(),
    }
}

/// Has the events of a proxy told and minds its groups.
struct ProxyWatcher {
    liveness: Liveness,
    story: ProxyStory,
    events: ProxyEvents,
    proxy_sessions: ProxySessions,
    listener: Listener,
    meters: Option<ProxyMeters>,
    servers: Fresh<Vec<ServerEntry>>,
    clients: Fresh<Clients>,
}

impl Watcher<Relay> for ProxyWatcher {
    fn event(&mut self, now: Instant, machine: &mut Relay, socket: &Socket, event: ProxyEvent) {
        self.story.event(now, &event);
        let closed = self.proxy_sessions.note(&event);
        self.events.event(&event, closed.as_ref());
        if let Some(meters) = &self.meters {
            meters.event(&event, &self.proxy_sessions, closed.as_ref());
        }
        match event.kind {
            ProxyEventKind::Join(group) | ProxyEventKind::JoinFrom { group, .. } => {
                if let Err(reason) = self.listener.join(socket, group) {
                    machine.proxy.join_failed(now, group, &reason);
                }
            }
            ProxyEventKind::Leave(group) => self.listener.leave(socket, group),
            _ => {}
        }
    }

    fn turn(&mut self, now: Instant, machine: &Relay) {
        self.story.turn(now);
        if let Some(meters) = &self.meters {
            meters.read(machine.proxy.counters(), machine.proxy.traffic());
        }
        self.liveness.turn(self.proxy_sessions.standing());
    }

    fn renew_groups(&mut self, socket: &Socket) {
        self.listener.renew(socket);
    }

    fn reload(&mut self, machine: &mut Relay) {
        self.events.reopen();
        if let Some(list) = self.servers.take() {
            machine.proxy.set_servers(Some(list));
        }
        if let Some(list) = self.clients.take() {
            machine.proxy.set_clients(Some(list));
        }
    }

    fn tell_counters(&mut self, machine: &Relay) {
        common::tell_counters(machine.proxy.counters());
        match machine.proxy.downstream() {
            Some(addr) => say!(0, "Downstream is {}", names::endpoint(addr)),
            None => say!(0, "No downstream address"),
        }
    }
}
