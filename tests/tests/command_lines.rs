//! Command lines that people use (cli §9.1), and log files of the programs.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::Duration,
};

use nix::sys::signal::Signal;
use uftp_tests::{
    Failure, Family, Program, Result, Suite, World, compare_trees, eventually, patience,
    wait_until_listening, write_file,
};

/// The longest of them repeats its announcements fifty times.
const BOUND: Duration = Duration::from_secs(120);
const PORT: u16 = 1044;
const GROUP: &str = "239.1.2.3";

fn ours(world: &World, host: u8, program: &str, args: &[&str]) -> Result<Command> {
    let mut command = world.command(host, &Suite::Ours.program(program)?);
    command.current_dir(world.dir()).args(args);
    Ok(command)
}

fn start(world: &World, name: &str, command: Command) -> Result<Program> {
    Program::start(name, command, &world.log_path(name))
}

fn address(world: &World, host: u8) -> String {
    world.address(host, Family::V4).to_string()
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| Failure::io(format!("reading {}", path.display()), e))
}

/// A factory's server: restarted for ever, silent, its status file read while it runs.
#[test]
fn a_factory_server() -> Result<()> {
    let world = World::new("factory", 2)?;
    let (content, dest) = (world.make_dir("content")?, world.make_dir("dest")?);
    write_file(&content.join("bundle"), 2_000_000)?;
    let (here, there) = (address(&world, 0), address(&world, 1));
    let line = ["-d", "-q", "-I", &there, "-M", GROUP, "-p", "5000"];
    let into = dest.to_string_lossy();
    let more = ["-U", "0x00000007", "-D", &into, "-F", "received"];
    let line = [&line[..], &more].concat();
    let mut receiver = start(&world, "uftpd", ours(&world, 1, "uftpd", &line)?)?;
    wait_until_listening(&mut receiver, "uftpd", 5000, GROUP)?;

    let line = [
        "-M", GROUP, "-P", GROUP, "-t", "10", "-u", "5001", "-p", "5000",
    ];
    let more = [
        "-x", "0", "-S", "status", "-C", "tfmcc", "-s", "50", "-I", &here,
    ];
    let line = [&line[..], &more, &["content/bundle"]].concat();
    let mut server = start(&world, "uftp", ours(&world, 0, "uftp", &line)?)?;
    let status = world.dir().join("status");
    eventually("a line while it runs", BOUND, || {
        match text(&status).unwrap_or_default() {
            lines if lines.starts_with("CONNECT;success;0x00000007\n") => Ok(()),
            other => Err(other),
        }
    })?;
    assert_eq!(server.wait(BOUND)?.code, Some(0), "{}", server.output());
    assert_eq!(server.output(), "", "-x 0 and all went well");
    assert!(text(&status)?.contains("RESULT;0x00000007;bundle;1953KB;copy;"));
    compare_trees(&content, &dest).map_err(Failure::new)?;
    let received = text(&world.dir().join("received"))?;
    assert!(received.contains(";bundle;1953KB;copied\n"), "{received}");
    Ok(())
}

/// To one host through a firewall; the words are grepped for.
#[test]
fn unicast_through_a_firewall() -> Result<()> {
    let world = World::new("firewall", 2)?;
    let (content, dest) = (world.make_dir("content")?, world.make_dir("dest")?);
    write_file(&content.join("file"), 200_000)?;
    let there = address(&world, 1);
    let into = dest.to_string_lossy();
    let line = ["-D", &into, "-d", "-p", "443", "-I", &there];
    let mut receiver = start(&world, "uftpd", ours(&world, 1, "uftpd", &line)?)?;
    wait_until_listening(&mut receiver, "uftpd", 443, "230.4.4.1")?;
    let line = ["-M", &there, "-p", "443", "-R", "20000", "-Y", "none"];
    let line = [&line[..], &["-x", "2", "-s", "10", "content/file"]].concat();
    let mut sender = start(&world, "uftp", ours(&world, 0, "uftp", &line)?)?;
    assert_eq!(sender.wait(BOUND)?.code, Some(0), "{}", sender.output());
    let log = sender.output();
    for word in [
        "Transfer",
        "Bytes",
        "sending as",
        "Sending section",
        "Total",
        "throughput",
    ] {
        assert!(log.contains(word), "{word} in {log}");
    }
    compare_trees(&content, &dest).map_err(Failure::new)
}

/// `uftp -R -1 DIR/`, `uftpd -D DIR/`: slashes at the end, as shells complete them.
#[test]
fn trailing_slashes() -> Result<()> {
    let world = World::new("slashes", 2)?;
    let (content, dest) = (world.make_dir("content")?, world.make_dir("dest")?);
    write_file(&content.join("file"), 100_000)?;
    let (here, there) = (address(&world, 0), address(&world, 1));
    let into = format!("{}/", dest.display());
    let line = ["-d", "-q", "-I", &there, "-D", &into];
    let mut receiver = start(&world, "uftpd", ours(&world, 1, "uftpd", &line)?)?;
    wait_until_listening(&mut receiver, "uftpd", PORT, "230.4.4.1")?;
    let line = ["-R", "-1", "-s", "10", "-I", &here, "content/"];
    let mut sender = start(&world, "uftp", ours(&world, 0, "uftp", &line)?)?;
    assert_eq!(sender.wait(BOUND)?.code, Some(0), "{}", sender.output());
    compare_trees(&content, &dest.join("content")).map_err(Failure::new)
}

/// A sender's log: nothing on the terminal, time stamps, rolled when it is too large.
#[test]
fn a_log_file_is_rolled() -> Result<()> {
    let world = World::new("rolled", 1)?;
    write_file(&world.dir().join("file"), 10)?;
    let log = world.dir().join("log");
    // The size of an existing log counts.
    File::create(&log)
        .and_then(|file| file.set_len(1_000_001))
        .map_err(|error| Failure::io("making a log", error))?;
    let line = ["-L", "log", "-g", "1", "-n", "2", "-H", "0x5", "-s", "10"];
    let line = [&line[..], &["-r", "0.01", "file"]].concat();
    let mut sender = start(&world, "uftp", ours(&world, 0, "uftp", &line)?)?;
    assert_eq!(sender.wait(BOUND)?.code, Some(7));
    assert_eq!(sender.output(), "", "standard error is the log");
    let old = text(&world.dir().join("log.1"))?;
    assert!(old.trim_end().ends_with(": Switching to new log"));
    let new = text(&log)?;
    let first = new.lines().next().unwrap_or_default();
    assert!(first.ends_with(": Switch to new log complete"), "{first}");
    assert!(new.contains("]: Announce timed out\n"), "{new}");
    assert!(!world.dir().join("log.2").exists());
    Ok(())
}

/// SIGHUP has a receiver read its list of senders again.
#[test]
fn a_receiver_reads_its_list_of_senders_again() -> Result<()> {
    let world = World::new("relist", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 1000)?;
    let list = world.dir().join("servers");
    let write = |lines: &str| fs::write(&list, lines).map_err(|e| Failure::io("a list", e));
    write("00000099|10.0.0.99\n")?;
    let path = list.to_string_lossy().into_owned();
    let mut receiver = world
        .receiver(Suite::Ours, 1)
        .args(&["-S", &path])
        .start()?;
    let send = || {
        let setup = world.sender(Suite::Ours, 0).args(&["-U", "0x77"]);
        setup.files_of(&content)?.run(BOUND)
    };
    send()?.ended_with(7)?;
    write("00000099|10.0.0.99\nno line\n")?;
    receiver.program().signal(Signal::SIGHUP);
    let said = |receiver: &mut uftp_tests::Receiver, words: &str| {
        eventually(words, patience(), || match receiver.program().output() {
            log if log.contains(words) => Ok(()),
            log => Err(log),
        })
    };
    said(&mut receiver, "The old list stays in use")?;
    let here = address(&world, 0);
    write(&format!("00000099|10.0.0.99\n00000077|{here}\n"))?;
    receiver.program().signal(Signal::SIGHUP);
    said(&mut receiver, "Listening to 2 senders")?;
    send()?.ended_with(0)?;
    receiver.holds(&content)?;
    receiver.stop().map(drop)
}

/// SIGHUP has a receiver write its status file anew, SIGUSR1 has it tell its counters, SIGTERM
/// ends it with 6.
#[test]
fn a_receiver_heeds_its_signals() -> Result<()> {
    let world = World::new("signals", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 1000)?;
    let mut receiver = world.receiver(Suite::Ours, 1).start()?;
    let status = world.dir().join("receiver1.status");
    let moved = world.dir().join("moved.status");
    let send = || world.sender(Suite::Ours, 0).files_of(&content)?.run(BOUND);
    send()?.ended_with(0)?;
    receiver.reported_copied(1)?;
    fs::rename(&status, &moved).map_err(|e| Failure::io("moving the status file", e))?;
    receiver.program().signal(Signal::SIGHUP);
    eventually("a new status file", patience(), || {
        status
            .exists()
            .then_some(())
            .ok_or("there is none".to_owned())
    })?;
    send()?.ended_with(0)?;
    receiver.reported_copied(1)?;
    assert_eq!(text(&moved)?.lines().count(), 2);
    receiver.program().signal(Signal::SIGUSR1);
    eventually("the counters", patience(), || {
        match receiver.program().output() {
            log if log.contains("Counters: ") => Ok(()),
            log => Err(log),
        }
    })?;
    receiver.stop().map(drop)
}
