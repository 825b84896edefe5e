//! What `uftpproxyd` has that the reference's has not, and the options that it shares with others.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use nix::{sys::signal::Signal, unistd::User};
use serde_json::Value;
use uftp_tests::{
    Daemon, Failure, Family, METRICS, Program, ProxyRole, Result, ServiceManager, Suite, World,
    eventually, patience, runs_as, uid, wait_until_bound, write_file,
};

use crate::{
    daemon::ends,
    restart::begun,
    stage::BOUND,
    tunnel::{FAR, NEAR, RECEIVERS, Tunnel},
};

/// The events in a file, once `last` is among them.
fn told(path: &Path, last: &str) -> Result<Vec<Value>> {
    eventually(last, patience(), || {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.contains(last).then_some(()).ok_or(text)
    })?;
    let text = fs::read_to_string(path)?;
    let read = |line: &str| {
        serde_json::from_str(line).map_err(|error| Failure::io(format!("JSON in {line}"), error))
    };
    text.lines().map(read).collect()
}

fn words(objects: &[Value]) -> Vec<&str> {
    objects.iter().filter_map(|o| o["event"].as_str()).collect()
}

fn find<'a>(objects: &'a [Value], event: &str) -> Result<&'a Value> {
    let found = objects.iter().find(|o| o["event"] == event);
    found.ok_or_else(|| Failure::new(format!("no {event} in {objects:?}")))
}

/// The number behind a metric's name and labels.
fn number(text: &str, metric: &str) -> Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(metric));
    value
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| Failure::new(format!("no {metric} in {text}")))
}

/// `--events`, `--metrics`, and word to the service manager: of a session that goes well, and of
/// one that the sender is killed in.
#[test]
fn programs_monitors_and_managers_are_told() -> Result<()> {
    let tunnel = Tunnel::new("told")?;
    let world = &tunnel.world;
    let role = ProxyRole::Server(tunnel.far(Family::V4));
    let path = |name: &str| world.dir().join(name);
    let (near_told, far_told) = (path("near.json"), path("far.json"));
    let options = |file: &Path| {
        let file = file.to_string_lossy().into_owned();
        let [metrics, port] = METRICS;
        ["--events", &file, metrics, port].map(str::to_owned)
    };
    let _near = world
        .proxy(Suite::Ours, NEAR, role)
        .args(&options(&near_told))
        .start()?;
    let manager = ServiceManager::new(&path("notify"))?;
    let mut far = world
        .proxy(Suite::Ours, FAR, ProxyRole::Client)
        .args(&options(&far_told))
        .environment("NOTIFY_SOCKET", manager.path())
        .environment("WATCHDOG_USEC", "200000")
        .start()?;
    manager.hears("READY=1")?;
    manager.hears("WATCHDOG=1")?;
    tunnel.carries(tunnel.receivers()?, |sender| sender)?;
    manager.hears("STATUS=Sessions: 0 under way with 0 receivers, 1 over")?;
    manager.hears("WATCHDOG=1")?;

    let objects = told(&far_told, "session_finished")?;
    for object in &objects {
        assert_eq!(object["version"], 1);
        assert_eq!(object["group"], objects[0]["group"]);
        assert_eq!(object["instance"], 0);
    }
    let order = words(&objects);
    assert_eq!(order.first(), Some(&"session_started"));
    assert_eq!(order.last(), Some(&"session_finished"));
    let started = find(&objects, "session_started")?;
    assert_eq!(started["server"], "0x0A4D0001");
    assert_eq!(started["public"], "230.4.4.1");
    let mut registered: Vec<_> = objects
        .iter()
        .filter(|o| o["event"] == "client_registered")
        .filter_map(|o| o["client"].as_str())
        .collect();
    registered.sort_unstable();
    assert_eq!(registered, RECEIVERS.map(uid));
    let copied = objects
        .iter()
        .filter(|o| o["event"] == "complete_sent" && o["file"] == 1 && o["status"] == "copied");
    assert!(copied.count() > 0, "{objects:?}");
    let finished = find(&objects, "session_finished")?;
    assert_eq!(finished["outcome"], "completed");
    assert_eq!(finished["clients"], 2);
    // A server proxy does not look into what it carries.
    let objects = told(&near_told, "session_finished")?;
    assert_eq!(words(&objects), ["session_started", "session_finished"]);
    assert_eq!(objects[1]["outcome"], "silent");

    let counts = world.metrics(
        FAR,
        &[
            "uftp_sessions 0",
            "uftp_clients 0",
            "uftp_sessions_refused_total 0",
            "uftp_sessions_finished_total{outcome=\"completed\"} 1",
        ],
    )?;
    let answers = number(&counts, "uftp_answers_gathered_total")?;
    let sent = number(&counts, "uftp_answers_sent_total")?;
    assert!(answers >= 6 && sent >= 3 && sent < answers, "{counts}");
    let down = number(&counts, "uftp_proxied_bytes_total{direction=\"down\"}")?;
    assert!((100_000..200_000).contains(&down), "{counts}");
    let up = number(&counts, "uftp_proxied_datagrams_total{direction=\"up\"}")?;
    assert!(up >= sent, "{counts}");
    let lines = ["uftp_sessions_finished_total{outcome=\"silent\"} 1"];
    let counts = world.metrics(NEAR, &lines)?;
    assert_eq!(
        number(&counts, "uftp_proxied_datagrams_total{direction=\"up\"}")?,
        up,
        "all that the one says passes through the other"
    );

    // While a session is under way; it ends with the proxy.
    let file = path("large");
    write_file(&file, 10_000_000)?;
    let receivers = tunnel.receivers()?;
    let mut sending = tunnel.sender()?.rate("8000").file(&file).start()?;
    // The sender has heard of them.
    sending.program().says("Sending section 0")?;
    world.metrics(FAR, &["uftp_sessions 1", "uftp_clients 2"])?;
    manager.hears("STATUS=Sessions: 1 under way with 2 receivers, 1 over")?;
    fs::rename(&far_told, path("moved"))?;
    far.program().signal(Signal::SIGHUP);
    manager.hears("RELOADING=1")?;
    let ready = manager.hears("READY=1")?;
    assert!(ready.contains("STATUS=Sessions: 1 under way"), "{ready}");
    far.stop()?;
    manager.hears("STOPPING=1")?;
    let objects = told(&far_told, "session_finished")?;
    assert_eq!(find(&objects, "session_finished")?["outcome"], "stopped");
    sending.finish(BOUND)?.ended_with(9)?;
    drop(receivers);
    Ok(())
}

/// `--user`: proxies carry sessions as somebody else, also in the background.
#[test]
fn privileges_are_given_up() -> Result<()> {
    let tunnel = Tunnel::new("nobody")?;
    let world = &tunnel.world;
    let user = User::from_name("nobody")
        .map_err(std::io::Error::from)?
        .ok_or_else(|| Failure::new("there is no user nobody"))?;
    let args = ["--user", "nobody"];
    let role = ProxyRole::Server(tunnel.far(Family::V4));
    let mut near = world.proxy(Suite::Ours, NEAR, role).args(&args).start()?;
    let far = world.proxy(Suite::Ours, FAR, ProxyRole::Client);
    let mut far = far.args(&args).start()?;
    for proxy in [&mut near, &mut far] {
        runs_as(proxy.program().pid(), &user)?;
    }
    tunnel.carries(tunnel.receivers()?, |sender| sender)?;
    near.stop()?;
    far.stop()?;

    // In the background, with files that only root may open.
    let (log, pid_file) = (world.log_path("daemon"), world.dir().join("pid"));
    let (log_name, pid_name) = (log.to_string_lossy(), pid_file.to_string_lossy());
    let files = ["-L", &log_name, "-P", &pid_name];
    let line = [&["-c", "-p", "3000"], &args[..], &files].concat();
    ends(world, &line, 0, "")?;
    let daemon = Daemon::of(&pid_file)?;
    runs_as(daemon.pid(), &user)?;
    let logged = |words: &str| {
        eventually(words, patience(), || {
            let text = fs::read_to_string(&log).map_err(|error| error.to_string())?;
            text.contains(words).then_some(()).ok_or(text)
        })
    };
    daemon.signal(Signal::SIGHUP);
    logged("Can't open log file")?;
    daemon.signal(Signal::SIGTERM);
    logged("Exiting on signal 15")?;

    ends(world, &["-c", "--check", "--user", "x"], 1, "no user x")?;
    // Who has not the privileges becomes nobody else.
    let line = ["-d", "-c", "-p", "2000", "--user", "daemon"];
    let mut command = world.command(1, Path::new("setpriv"));
    command
        .args(["--bounding-set=-setuid,-setgid"])
        .arg(Suite::Ours.program("uftpproxyd")?)
        .args(line);
    let mut refused = Program::start("uftpproxyd", command, &world.log_path("refused"))?;
    assert_eq!(refused.wait(BOUND)?.code, Some(1));
    let words = "can't become daemon: that takes the privileges of root";
    assert!(refused.output().contains(words), "{}", refused.output());
    Ok(())
}

/// `--max-sessions`: one more is refused, and all hear of it.
#[test]
fn more_sessions_than_it_may_have() -> Result<()> {
    let tunnel = Tunnel::new("sessions")?;
    let world = &tunnel.world;
    let events = world.dir().join("events");
    let role = ProxyRole::Server(tunnel.far(Family::V4));
    let near = world
        .proxy(Suite::Ours, NEAR, role)
        .args(&["--max-sessions", "1", "--events", &events.to_string_lossy()])
        .args(&METRICS);
    let near = near.start()?;
    let _far = world.proxy(Suite::Ours, FAR, ProxyRole::Client).start()?;
    let receivers = tunnel.receivers()?;
    let (large, small) = (world.dir().join("large"), world.dir().join("small"));
    write_file(&large, 3_000_000)?;
    write_file(&small, 1000)?;
    let first = tunnel.sender()?.rate("8000").file(&large).start()?;
    receivers.iter().try_for_each(begun)?;
    let second = tunnel.sender()?.args(&["-s", "10"]).file(&small);
    second.run(BOUND)?.ended_with(7)?;
    near.says("Too many sessions at proxy")?;
    first.finish(BOUND)?.ended_with(0)?;
    let refused = told(&events, "session_refused")?;
    let refused = find(&refused, "session_refused")?;
    assert_eq!(refused["reason"], "Too many sessions at proxy");
    assert_eq!(refused["address"], "10.77.0.1");
    let counts = world.metrics(NEAR, &["uftp_sessions_refused_total"])?;
    assert!(number(&counts, "uftp_sessions_refused_total")? > 0);
    assert!(counts.contains("uftp_datagrams_refused_total{reason=\"limit\"}"));
    Ok(())
}

/// `--admit-anybody`: answers may come from another address than things are passed on to.
#[test]
fn answers_of_another_address() -> Result<()> {
    let tunnel = Tunnel::new("anybody")?;
    let world = &tunnel.world;
    let IpAddr::V4(own) = tunnel.far(Family::V4) else {
        return Err(Failure::new("an IPv4 address was asked for"));
    };
    let [a, b, c, _] = own.octets();
    let second = Ipv4Addr::new(a, b, c, 99);
    let added = format!("{second}/24");
    world.run_on(FAR, "ip", &["address", "add", &added, "dev", "eth0"])?;
    let role = || ProxyRole::Server(second.into());
    let _far = world.proxy(Suite::Ours, FAR, ProxyRole::Client).start()?;
    let near = world.proxy(Suite::Ours, NEAR, role()).start()?;
    let receivers = tunnel.receivers()?;
    let file = world.dir().join("file");
    write_file(&file, 1000)?;
    let unheard = tunnel.sender()?.args(&["-s", "10"]).file(&file);
    unheard.run(BOUND)?.ended_with(7)?;
    near.stop()?;
    let near = world.proxy(Suite::Ours, NEAR, role());
    let _near = near.args(&["--admit-anybody"]).start()?;
    tunnel.carries(receivers, |sender| sender)
}

/// Options that all daemons have, from all the places that options come from.
#[test]
fn what_all_daemons_have() -> Result<()> {
    let world = World::new("alike", 2)?;
    let config = world.dir().join("config.toml");
    fs::write(
        &config,
        "client-proxy = true\nbuffer-size = 65536\nport = 1\n",
    )?;
    let config = config.to_string_lossy().into_owned();
    let start = |line: &[&str]| -> Result<Program> {
        let mut command = world.command(1, &Suite::Ours.program("uftpproxyd")?);
        command.args(["what", "-d", "ever", "-m", "-I", "eth0"]);
        command.args(["--config", &config]).args(line);
        command.env("UFTP_PORT", "1056").env("UFTP_OFFLOAD", "off");
        let mut program = Program::start("uftpproxyd", command, &world.log_path("alike"))?;
        wait_until_bound(&mut program, "uftpproxyd", 1056)?;
        Ok(program)
    };
    let end = |mut program: Program| -> Result<String> {
        program.signal(Signal::SIGTERM);
        assert_eq!(program.wait(patience())?.code, Some(6));
        Ok(program.output())
    };
    let niceness = |program: &Program| -> Result<i32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid()))?;
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let nice = fields.split_whitespace().nth(16);
        nice.and_then(|nice| nice.parse().ok())
            .ok_or_else(|| Failure::new(stat.clone()))
    };
    let usual = start(&["--color", "always"])?;
    let before = niceness(&usual)?;
    let said = end(usual)?;
    let (_, red) = said.split_once("\x1b[31m").unwrap_or_default();
    assert!(red.contains("Exiting on signal 15"), "{said}");
    assert!(!said.contains("one datagram a call"), "{said}");
    let patient = start(&["-N", "3", "--log-format", "json", "-x", "3"])?;
    assert_eq!(niceness(&patient)?, (before + 3).min(19));
    let sockets = world.run_on(1, "ss", &["-uamn"])?;
    assert!(sockets.contains("rb131072,"), "{sockets}");
    let mut levels = BTreeSet::new();
    for line in end(patient)?.lines() {
        let object: Value = serde_json::from_str(line)
            .map_err(|error| Failure::io(format!("JSON in {line}"), error))?;
        levels.extend(object["level"].as_u64());
        if object["level"] == 3 {
            let message = object["message"].as_str().unwrap_or_default();
            let off = "sends one datagram a call, receives one datagram a call";
            assert!(message.contains(off), "{message}");
        }
    }
    assert_eq!(levels, BTreeSet::from([0, 1, 2, 3]));
    Ok(())
}
