//! What people, programs, monitors and managers are told.

use std::{collections::BTreeMap, fs, path::Path};

use nix::sys::signal::Signal;
use serde_json::Value;
use uftp_tests::{
    Failure, METRICS, Result, ServiceManager, Suite, eventually, patience, write_file,
};

use crate::stage::Stage;

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

    // A receiver that is kept waiting on a busy machine may miss datagrams and ask for them.
    let received = || -> Result<Vec<Value>> {
        let mut told = objects(&fs::read_to_string(&there)?)?;
        told.retain(|object| object["event"] != "naks_sent");
        Ok(told)
    };
    eventually("the receiver's last event", patience(), || {
        let text = fs::read_to_string(&there).unwrap_or_default();
        text.contains("session_finished").then_some(()).ok_or(text)
    })?;
    let told = received()?;
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
    assert_eq!(events(&received()?), course);

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

#[test]
fn metrics_are_served() -> Result<()> {
    let stage = Stage::new("metrics", 2)?;
    let receiver = stage.world.receiver(Suite::Ours, 1).args(&METRICS);
    let receiver = receiver.start()?;
    assert_eq!(stage.send(&["-H", "1"])?.code, Some(0));
    let expected = [
        "uftp_files_total{status=\"copied\"} 1",
        "uftp_file_bytes_total 100000",
        "uftp_sessions_finished_total{outcome=\"confirmed\"} 1",
        "uftp_sessions 0",
        "# TYPE uftp_datagrams_received_total counter",
    ];
    stage.world.metrics(1, &expected)?;
    // The port is taken, and the address is nobody's.
    let dest = stage.world.make_dir("dest")?.to_string_lossy().into_owned();
    for addr in [METRICS[1], "192.0.2.1:9998"] {
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
        .environment("WATCHDOG_USEC", "200000")
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
        .environment("WATCHDOG_USEC", "2000")
        .environment("WATCHDOG_PID", "1")
        .start()?;
    manager.hears("READY=1")?;
    assert_eq!(stage.send(&["-H", "1"])?.code, Some(0));
    receiver.stop()?;
    let heard = manager.all_until("STOPPING=1")?;
    assert!(!heard.iter().any(|h| h.contains("WATCHDOG")), "{heard:?}");
    Ok(())
}
