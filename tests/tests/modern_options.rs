//! Options that 4.10.2 does not have, each by what it does.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::User};
use serde_json::Value;
use uftp_tests::{
    Failure, Program, Receiver, Result, ServiceManager, Suite, World, eventually, patience,
    write_file,
};

const BOUND: Duration = Duration::from_secs(60);

/// A world with a file to send.
struct Stage {
    world: World,
    file: PathBuf,
}

/// How a program ended, and what it said where.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Stage {
    fn new(label: &str, hosts: u8) -> Result<Self> {
        let world = World::new(label, hosts)?;
        let file = world.make_dir("content")?.join("file");
        write_file(&file, 100_000)?;
        Ok(Self { world, file })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.dir().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<String> {
        fs::write(self.path(name), text)?;
        Ok(self.path(name).to_string_lossy().into_owned())
    }

    fn command(&self, host: u8, program: &str, args: &[&str]) -> Result<Command> {
        let mut command = self.world.command(host, &Suite::Ours.program(program)?);
        command.args(args).current_dir(self.world.dir());
        Ok(command)
    }

    /// Runs a program to its end, its streams apart.
    fn run(&self, host: u8, program: &str, args: &[&str]) -> Result<Ended> {
        let mut command = self.command(host, program, args)?;
        let (out, err) = (self.path("out"), self.path("err"));
        command.stdin(Stdio::null());
        command
            .stdout(fs::File::create(&out)?)
            .stderr(fs::File::create(&err)?);
        let mut running = Program::start_as_is(program, command, &err)?;
        Ok(Ended {
            code: running.wait(BOUND)?.code,
            out: fs::read_to_string(out)?,
            err: fs::read_to_string(err)?,
        })
    }

    /// Sends the file with these further options, quickly.
    fn send(&self, more: &[&str]) -> Result<Ended> {
        let quick = ["-I", "eth0", "-R", "-1", "-s", "10", "-r", "0.1:0.03:5"];
        let file = self.file.to_string_lossy();
        let args = [&quick[..], more, &[&file]].concat();
        self.run(0, "uftp", &args)
    }

    fn holds(&self, receiver: &Receiver) -> Result<()> {
        assert!(fs::read(receiver.dest().join("file"))? == fs::read(&self.file)?);
        Ok(())
    }
}

fn objects(text: &str) -> Result<Vec<Value>> {
    let read = |line: &str| {
        serde_json::from_str(line).map_err(|error| Failure::io(format!("JSON in {line}"), error))
    };
    text.lines().map(read).collect()
}

fn events(objects: &[Value]) -> Vec<&str> {
    let word = |o: &'_ Value| o["event"].as_str().map(str::len);
    assert!(objects.iter().all(|o| word(o).is_some()));
    objects.iter().filter_map(|o| o["event"].as_str()).collect()
}

fn find<'a>(objects: &'a [Value], event: &str) -> Result<&'a Value> {
    let found = objects.iter().find(|o| o["event"] == event);
    found.ok_or_else(|| Failure::new(format!("no {event} in {objects:?}")))
}

/// A sender and a receiver tell programs their story.
#[test]
fn events_are_told() -> Result<()> {
    let stage = Stage::new("events", 3)?;
    let there = stage.path("there").to_string_lossy().into_owned();
    let receiver = stage
        .world
        .receiver(Suite::Ours, 1)
        .args(&["--events", &there]);
    let mut receiver = receiver.start()?;
    let sent = stage.send(&["-H", "1,0x9", "--events", "-"])?;
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    let told = objects(&sent.out)?;
    let words = events(&told);
    assert_eq!(words.first(), Some(&"session_started"));
    assert_eq!(words.last(), Some(&"session_finished"));
    for object in &told {
        assert_eq!(object["version"], 1);
        assert_eq!(object["group"], told[0]["group"]);
    }
    let connected: BTreeMap<_, _> = told
        .iter()
        .filter(|o| o["event"] == "client_connected")
        .map(|o| (o["client"].as_str(), o["connected"].as_bool()))
        .collect();
    let both = [
        (Some("0x00000001"), Some(true)),
        (Some("0x00000009"), Some(false)),
    ];
    assert_eq!(connected, BTreeMap::from(both));
    let finished = find(&told, "file_finished")?;
    assert_eq!(finished["name"], "file");
    assert_eq!(finished["size"], 100_000);
    let statuses: Vec<_> = finished["results"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|r| r["status"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(statuses, ["copied", "mute"]);
    assert_eq!(find(&told, "session_finished")?["exit_code"], 0);

    eventually("the receiver's last event", patience(), || {
        let text = fs::read_to_string(&there).unwrap_or_default();
        text.contains("session_finished").then_some(()).ok_or(text)
    })?;
    let text = fs::read_to_string(&there)?;
    let told = objects(&text)?;
    let words = events(&told);
    let course = [
        "session_started",
        "session_confirmed",
        "file_started",
        "file_finished",
        "session_finished",
    ];
    assert_eq!(words, course);
    assert_eq!(find(&told, "file_finished")?["status"], "copied");
    assert_eq!(find(&told, "session_finished")?["bytes"], 100_000);

    // A file that was moved away is opened anew on request.
    fs::rename(&there, stage.path("moved"))?;
    receiver.program().signal(Signal::SIGHUP);
    eventually("a new file of events", patience(), || {
        Path::new(&there)
            .exists()
            .then_some(())
            .ok_or_else(|| "there is none".to_owned())
    })?;
    assert_eq!(stage.send(&["-H", "1"])?.code, Some(0));
    receiver.stop()?;
    assert_eq!(fs::read_to_string(&there)?.lines().count(), course.len());

    // A killed sender's receiver says that and why.
    let sent = stage.send(&["-H", "9", "--events", &stage.path("none").to_string_lossy()])?;
    assert_eq!(sent.code, Some(7));
    let told = objects(&fs::read_to_string(stage.path("none"))?)?;
    assert_eq!(
        find(&told, "session_finished")?["outcome"],
        "nobody_registered"
    );
    Ok(())
}

/// A long transfer tells how far it is.
#[test]
fn events_tell_progress() -> Result<()> {
    let stage = Stage::new("progressing", 2)?;
    write_file(&stage.file, 3_000_000)?;
    let receiver = stage.world.receiver(Suite::Ours, 1).start()?;
    let sent = stage.send(&["-H", "1", "-R", "8000", "--events", "-"])?;
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    let told = objects(&sent.out)?;
    let sizes: Vec<_> = told
        .iter()
        .filter(|o| o["event"] == "progress")
        .filter_map(|o| o["sent"].as_u64())
        .collect();
    assert!(!sizes.is_empty() && sizes.is_sorted(), "{sizes:?}");
    assert!(
        sizes.iter().all(|&sent| 0 < sent && sent <= 3_000_000),
        "{sizes:?}"
    );
    receiver.stop().map(drop)
}

/// Files and the environment set options; what is typed beats them.
#[test]
fn options_come_from_a_file_and_the_environment() -> Result<()> {
    let stage = Stage::new("config", 2)?;
    let dest = stage.path("receiver1.dest").to_string_lossy().into_owned();
    let text = format!("dest-dir = '{dest}'\nport = 1055\nno-name-lookup = true\nuid = '1'\n");
    let config = stage.write("uftpd.toml", &text)?;
    fs::create_dir(&dest)?;
    let mut command = stage.command(1, "uftpd", &["-d", "--config", &config])?;
    command.env("UFTP_PORT", "1056").env("UFTP_LOG_LEVEL", "3");
    let mut receiver = Program::start("uftpd", command, &stage.world.log_path("uftpd"))?;
    uftp_tests::wait_until_listening(&mut receiver, "uftpd", 1056, "230.4.4.1")?;
    let mine = stage.write("mine.toml", "port = 1\nhosts = ['1', '0x9']\nsync = true\n")?;
    let sent = stage.send(&["--config", &mine, "-p", "1056", "-H", "0x1"])?;
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    assert!(Path::new(&dest).join("file").exists());
    let again = stage.send(&["--config", &mine, "-p", "1056", "-H", "0x1"])?;
    assert!(
        again.err.contains("Skipped"),
        "the file's sync holds: {}",
        again.err
    );
    for (text, words) in [
        ("port = 'x'", "mine.toml: Invalid port"),
        ("unknown = 1", "mine.toml: unknown option 'unknown'"),
    ] {
        stage.write("mine.toml", text)?;
        let sent = stage.send(&["--config", &mine])?;
        assert_eq!(sent.code, Some(1));
        assert!(sent.err.contains(words), "{}", sent.err);
    }
    Ok(())
}

/// What is wrong is found without sending or receiving anything.
#[test]
fn a_check_starts_nothing() -> Result<()> {
    let stage = Stage::new("check", 2)?;
    let dest = stage.world.make_dir("dest")?.to_string_lossy().into_owned();
    let list = stage.write("hosts", "0x1|not a fingerprint\n")?;
    let listed = format!("@{list}");
    for (program, args, code) in [
        ("uftpd", &["--check", "-D", &dest, "-I", "eth0"][..], 0),
        ("uftpd", &["--check", "-D", "/no/such", "-I", "eth0"], 1),
        ("uftpd", &["--check", "-D", &dest, "-I", "eth9"], 1),
        ("uftpd", &["--check", "-D", &dest, "-k", "/no/key"], 3),
        ("uftpproxyd", &["--check", "-c", "-I", "eth0"], 0),
        ("uftpproxyd", &["--check", "-I", "eth0"], 1),
        ("uftp", &["--check", "-H", "0x1", "content/file"], 0),
        ("uftp", &["--check", "-H", &listed, "content/file"], 1),
    ] {
        let ended = stage.run(1, program, args)?;
        assert_eq!(ended.code, Some(code), "{program} {args:?}: {}", ended.err);
        let says = format!("{program}: everything is in order\n");
        assert_eq!(ended.out == says, code == 0, "{}", ended.out);
    }
    // The port is taken; a check does not want it.
    let receiver = stage.world.receiver(Suite::Ours, 1).start()?;
    assert_eq!(
        stage.run(1, "uftpd", &["--check", "-D", &dest])?.code,
        Some(0)
    );
    receiver.stop().map(drop)
}

#[test]
fn a_dry_run_shows_what_would_be_sent() -> Result<()> {
    let stage = Stage::new("dry", 1)?;
    fs::create_dir(stage.path("content/empty"))?;
    std::os::unix::fs::symlink("file", stage.path("content/link"))?;
    let ended = stage.run(
        0,
        "uftp",
        &["--dry-run", "-D", "to", "content", "@DELETE:old"],
    )?;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let mut lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines.pop(), Some("4 items, 100000 bytes"));
    lines.sort_unstable();
    let expected = [
        "delete\t0\tto/old",
        "directory\t0\tto/content/empty",
        "file\t100000\tto/content/file",
        "link\t0\tto/content/link",
    ];
    assert_eq!(lines, expected);
    assert!(!ended.err.contains("ANNOUNCE"));
    assert_eq!(stage.run(0, "uftp", &["--dry-run", "none"])?.code, Some(10));
    Ok(())
}

/// Who failed counts, though somebody else was served.
#[test]
fn strictness_is_in_the_exit_code() -> Result<()> {
    let stage = Stage::new("strict", 2)?;
    let receiver = stage.world.receiver(Suite::Ours, 1).start()?;
    let missing = stage.path("missing").to_string_lossy().into_owned();
    for (args, lenient, strict) in [
        (&["-H", "1"][..], 0, 0),
        (&["-H", "1,9"], 0, 9),
        (&["-H", "1", &missing], 0, 10),
        (&["-H", "9"], 7, 7),
    ] {
        assert_eq!(stage.send(args)?.code, Some(lenient), "{args:?}");
        let args = [&["--strict"], args].concat();
        assert_eq!(stage.send(&args)?.code, Some(strict), "{args:?}");
    }
    receiver.stop().map(drop)
}

#[test]
fn log_lines_can_be_objects_and_coloured() -> Result<()> {
    let stage = Stage::new("logformat", 1)?;
    let sent = stage.send(&["-H", "9", "--log-format", "json"])?;
    let lines = objects(&sent.err)?;
    let words: Vec<_> = lines.iter().filter_map(|l| l["message"].as_str()).collect();
    assert!(words.contains(&"Announce timed out"), "{words:?}");
    assert!(
        lines
            .iter()
            .any(|l| l["level"] == 2 && l["session"].is_string())
    );
    let plain = stage.send(&["-H", "9"])?;
    assert!(!plain.err.contains('\x1b'), "no terminal, no colour");
    let coloured = stage.send(&["-H", "9", "--color", "always"])?;
    let red = "\x1b[31mAnnounce timed out\x1b[0m\n";
    assert!(coloured.err.contains(red), "{}", coloured.err);
    Ok(())
}

/// Lines, and a bar that goes with the transfer it tells of.
#[test]
fn progress_is_shown() -> Result<()> {
    let stage = Stage::new("progress", 2)?;
    write_file(&stage.file, 2_000_000)?;
    let receiver = stage.world.receiver(Suite::Ours, 1).start()?;
    let sent = stage.send(&["-H", "1", "-R", "16000", "--progress", "bar"])?;
    let (transfer, rest) = sent.err.split_once("Transfer status:").unwrap_or_default();
    let drawn = transfer.matches("[").count();
    assert!(drawn > 0, "{}", sent.err);
    assert!(
        !rest.contains('%'),
        "a bar stays after the transfer: {rest}"
    );
    receiver.stop().map(drop)
}

/// Announcing lasts as long as is asked for, and only until those who are waited for have come.
#[test]
fn the_time_of_announcing_is_bounded() -> Result<()> {
    let stage = Stage::new("announcing", 2)?;
    // Without the option this would end after ten announcements, in three seconds at most.
    let mut command = stage.command(0, "uftp", &["-I", "eth0", "-s", "10", "-r", "0.02:0.01:1"])?;
    command
        .args(["-H", "1", "--announce-timeout", "60"])
        .arg(&stage.file);
    let mut sender = Program::start("uftp", command, &stage.world.log_path("uftp"))?;
    eventually("the fifteenth announcement", patience(), || {
        let log = sender.output();
        log.contains("Sending ANNOUNCE 15").then_some(()).ok_or(log)
    })?;
    let receiver = stage.world.receiver(Suite::Ours, 1).start()?;
    assert_eq!(sender.wait(BOUND)?.code, Some(0));
    stage.holds(&receiver)?;
    receiver.stop()?;
    // Fewer than the robustness factor asks for.
    let sent = stage.send(&["-s", "50", "-H", "1", "--announce-timeout", "1"])?;
    assert_eq!(sent.code, Some(7));
    assert!(!sent.err.contains("Sending ANNOUNCE 20"), "{}", sent.err);
    Ok(())
}

#[test]
fn sessions_at_once_and_their_sources_are_limited() -> Result<()> {
    let stage = Stage::new("limits", 3)?;
    let limited = [
        "--max-sessions",
        "1",
        "--allow-from",
        "10.77.0.1,192.0.2.0/24",
    ];
    let mut receiver = stage
        .world
        .receiver(Suite::Ours, 1)
        .args(&limited)
        .start()?;
    let file = stage.path("content/large");
    write_file(&file, 3_000_000)?;
    let first = stage.world.sender(Suite::Ours, 0).rate("8000").invite(&[1]);
    let first = first.file(&file).start()?;
    eventually("the first session", patience(), || {
        let log = receiver.program().output();
        log.contains("Name of file to receive")
            .then_some(())
            .ok_or(log)
    })?;
    let second = stage.send(&["-H", "1"])?;
    assert_eq!(second.code, Some(7), "{}", second.err);
    first.finish(BOUND)?.ended_with(0)?;
    assert_eq!(stage.send(&["-H", "1"])?.code, Some(0));

    let elsewhere = stage.world.sender(Suite::Ours, 2).invite(&[1]);
    elsewhere.file(&stage.file).run(BOUND)?.ended_with(7)?;
    let log = receiver.program().output();
    assert!(
        log.contains("Turning away datagrams from 10.77.0.3"),
        "{log}"
    );
    receiver.stop().map(drop)
}

/// What one program asks of another over HTTP.
fn get(stage: &Stage, host: u8, port: u16) -> Result<String> {
    // In the namespace of the host, with what every shell there is can do.
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; \
         printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    );
    let mut command = stage.world.command(host, Path::new("bash"));
    let output = command.args(["-c", &script]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn metrics_are_served() -> Result<()> {
    let stage = Stage::new("metrics", 2)?;
    let receiver = stage
        .world
        .receiver(Suite::Ours, 1)
        .args(&["--metrics", "9999"]);
    let receiver = receiver.start()?;
    assert_eq!(stage.send(&["-H", "1"])?.code, Some(0));
    let expected = [
        "uftp_files_total{status=\"copied\"} 1",
        "uftp_file_bytes_total 100000",
        "uftp_sessions_finished_total{outcome=\"confirmed\"} 1",
        "uftp_sessions 0",
        "# TYPE uftp_datagrams_received_total counter",
    ];
    eventually("the counts of a session", patience(), || {
        let text = get(&stage, 1, 9999).map_err(|failure| failure.to_string())?;
        match expected.iter().all(|line| text.contains(line)) {
            true => Ok(()),
            false => Err(text),
        }
    })?;
    // The port is taken, and the address is nobody's.
    let dest = stage.world.make_dir("dest")?.to_string_lossy().into_owned();
    for addr in ["9999", "192.0.2.1:9998"] {
        let args = ["-d", "-p", "1099", "-D", &dest, "--metrics", addr];
        let ended = stage.run(1, "uftpd", &args)?;
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert!(ended.err.contains("can't serve metrics"), "{}", ended.err);
    }
    receiver.stop().map(drop)
}

/// A service manager is told when the daemon serves, reads its files anew, and stops; what it does
/// meanwhile; and, if there is a watchdog, that it lives.
#[test]
fn the_service_manager_is_told() -> Result<()> {
    let stage = Stage::new("notify", 2)?;
    let manager = ServiceManager::new(&stage.path("notify"))?;
    let mut receiver = stage
        .world
        .receiver(Suite::Ours, 1)
        .environment("NOTIFY_SOCKET", manager.path())
        .environment("WATCHDOG_USEC", Path::new("200000"))
        .start()?;
    manager.hears("READY=1")?;
    manager.hears("WATCHDOG=1")?;
    // It was true: the receiver serves at once.
    assert_eq!(stage.send(&["-H", "1"])?.code, Some(0));
    manager.hears("STATUS=Sessions: 0 under way, 1 over")?;
    receiver.program().signal(Signal::SIGHUP);
    manager.hears("RELOADING=1")?;
    let ready = manager.hears("READY=1")?;
    assert!(ready.contains("1 over"), "{ready}");
    // It goes on saying so.
    manager.hears("WATCHDOG=1")?;
    manager.hears("WATCHDOG=1")?;
    receiver.stop()?;
    manager.hears("STOPPING=1")?;
    // What another process is to be watched for is not said for it.
    let receiver = stage
        .world
        .receiver(Suite::Ours, 1)
        .environment("NOTIFY_SOCKET", manager.path())
        .environment("WATCHDOG_USEC", Path::new("2000"))
        .environment("WATCHDOG_PID", Path::new("1"))
        .start()?;
    manager.hears("READY=1")?;
    assert_eq!(stage.send(&["-H", "1"])?.code, Some(0));
    receiver.stop()?;
    let heard = manager.all_until("STOPPING=1")?;
    assert!(!heard.iter().any(|h| h.contains("WATCHDOG")), "{heard:?}");
    Ok(())
}

/// A daemon started by root goes on as somebody else.
#[test]
fn privileges_are_given_up() -> Result<()> {
    let stage = Stage::new("user", 2)?;
    let unknown = stage.run(1, "uftpd", &["--check", "--user", "no-such-user"])?;
    assert_eq!(unknown.code, Some(1), "{}", unknown.err);
    assert!(unknown.err.contains("there is no user no-such-user"));

    let owner = User::from_name("nobody")
        .map_err(std::io::Error::from)?
        .ok_or_else(|| Failure::new("there is no user nobody"))?;
    let mut receiver = stage
        .world
        .receiver(Suite::Ours, 1)
        .args(&["--user", "nobody"])
        .start()?;
    let dest = receiver.dest().to_owned();
    std::os::unix::fs::chown(&dest, Some(owner.uid.as_raw()), None)?;
    uftp_tests::runs_as(receiver.program().pid(), &owner)?;
    assert_eq!(stage.send(&["-H", "1"])?.code, Some(0));
    stage.holds(&receiver)?;
    let file = fs::metadata(dest.join("file"))?;
    assert_eq!(file.uid(), owner.uid.as_raw());
    receiver.stop().map(drop)
}
