//! Options that 4.10.2 does not have, each by what it does.

mod stage;
mod told;

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use nix::unistd::User;
use uftp_tests::{Failure, Program, Result, Suite, eventually, patience, write_file};

use stage::Stage;

const BOUND: Duration = Duration::from_secs(60);

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
    let log = stage.path("log");
    let kept = log.display().to_string();
    for (program, args, code) in [
        ("uftpd", &["--check", "-D", &dest, "-I", "eth0"][..], 0),
        ("uftpd", &["--check", "-D", "/no/such", "-I", "eth0"], 1),
        ("uftpd", &["--check", "-D", &dest, "-I", "eth9"], 1),
        ("uftpd", &["--check", "-D", &dest, "-k", "/no/key"], 3),
        ("uftpd", &["--check", "-D", &dest, "-I", "eth0/6"], 2),
        ("uftpproxyd", &["--check", "-r", "-I", "eth0/6"], 2),
        ("uftpproxyd", &["--check", "-c", "-I", "eth0"], 0),
        ("uftpproxyd", &["--check", "-I", "eth0"], 1),
        ("uftp", &["--check", "-H", "0x1", "content/file"], 0),
        ("uftp", &["--check", "-H", &listed, "content/file"], 1),
        ("uftp", &["--check", "-L", &dest, "content/file"], 4),
        ("uftp", &["--check", "-L", &kept, "content/file"], 0),
        ("uftp", &["--check", "-S", "/no/st", "content/file"], 1),
        ("uftp", &["--check", "--events", &dest, "content/file"], 1),
        ("uftp", &["--dry-run", "-L", &kept, "content/file"], 0),
        ("uftpd", &["--check", "-D", &dest, "-L", "/no/log"], 4),
        ("uftpd", &["--check", "-D", &dest, "-d", "-L", "/no/log"], 0),
        ("uftpd", &["--check", "-D", &dest, "-P", "no/pid"], 1),
        ("uftpd", &["--check", "-D", &dest, "-F", "/no/st"], 1),
        ("uftpd", &["--check", "-D", &dest, "-F", &kept], 0),
        ("uftpproxyd", &["--check", "-c", "-L", &dest], 4),
        ("uftpproxyd", &["--check", "-c", "--events", "no/e"], 1),
    ] {
        let ended = stage.run(1, program, args)?;
        assert_eq!(ended.code, Some(code), "{program} {args:?}: {}", ended.err);
        let says = format!("{program}: everything is in order\n");
        let in_order = code == 0 && args[0] == "--check";
        assert_eq!(ended.out == says, in_order, "{}", ended.out);
        assert!(!ended.err.contains("Finishing"), "{}", ended.err);
        assert!(!log.exists(), "{program} {args:?}");
    }
    // The port is taken; a check does not want it.
    let receiver = stage.world.receiver(Suite::Ours, 1).start()?;
    assert_eq!(
        stage.run(1, "uftpd", &["--check", "-D", &dest])?.code,
        Some(0)
    );
    let ended = stage.run(1, "uftpd", &["-d", "-D", &dest])?;
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(
        ended.err.contains("another program has the port"),
        "{}",
        ended.err
    );
    receiver.stop().map(drop)
}

#[test]
fn what_is_not_there_is_told_at_once() -> Result<()> {
    let stage = Stage::new("notthere", 2)?;
    let dest = stage.world.make_dir("dest")?.to_string_lossy().into_owned();
    let script = stage.write("script", "no program")?;
    fs::write(stage.path("content/some"), "some")?;
    let daemon = ["--check", "-I", "eth0", "-D", &dest];
    let with = |more: &[&'static str]| [&daemon[..], more].concat();
    for (program, args, code, says) in [
        (
            "uftp",
            vec!["--check", "content/none", "@FREESPACE"],
            1,
            "Can't find content/none",
        ),
        ("uftp", vec!["--check", "@FREESPACE", "@DELETE:none"], 0, ""),
        // Slashes behind an argument mean nothing.
        ("uftp", vec!["--check", "content/some/"], 0, ""),
        (
            "uftpd",
            with(&["-s", "/no/script"]),
            1,
            "can't run postreceive script /no/script: ENOENT",
        ),
        (
            "uftpd",
            [&daemon[..], &["-s", &script]].concat(),
            1,
            "EACCES",
        ),
        (
            "uftpd",
            with(&["stray", "words"]),
            0,
            "words belongs to no option",
        ),
        (
            "uftpproxyd",
            vec!["--check", "-c", "stray"],
            0,
            "stray belongs to no option",
        ),
    ] {
        let ended = stage.run(1, program, &args)?;
        assert_eq!(ended.code, Some(code), "{program} {args:?}: {}", ended.err);
        assert!(ended.err.contains(says), "{}", ended.err);
    }
    // A session begins all the same: the file may come before its turn.
    let session = ["-s", "10", "-r", "0.01", "content/none"];
    let ended = stage.run(0, "uftp", &session)?;
    assert_eq!(ended.code, Some(7), "{}", ended.err);
    let (found, announced) = (
        ended.err.find("Can't find content/none"),
        ended.err.find("ANNOUNCE 1"),
    );
    assert!(found.is_some() && found < announced, "{}", ended.err);
    Ok(())
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
    let dest = stage.world.make_dir("receiver1.dest")?;
    let temp = stage.world.make_dir("temp")?;
    let given = [&dest, &temp].map(|dir| dir.display().to_string());
    let line = [
        "-I", "eth0", "-D", &given[0], "-T", &given[1], "--user", "nobody",
    ];
    // What it is to write to must be the user's.
    for dir in [&dest, &temp] {
        for mode in ["--check", "-d"] {
            let refused = stage.run(1, "uftpd", &[&[mode], &line[..]].concat())?;
            assert_eq!(refused.code, Some(1), "{mode}: {}", refused.err);
            let words = ["nobody couldn't write to", &dir.to_string_lossy()];
            let told = words.iter().all(|words| refused.err.contains(words));
            assert!(told, "{mode}: {}", refused.err);
        }
        std::os::unix::fs::chown(dir, Some(owner.uid.as_raw()), None)?;
    }
    let checked = stage.run(1, "uftpd", &[&["--check"], &line[..]].concat())?;
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    let mut receiver = stage
        .world
        .receiver(Suite::Ours, 1)
        .args(&["-T", &given[1], "--user", "nobody"])
        .start()?;
    uftp_tests::runs_as(receiver.program().pid(), &owner)?;
    assert_eq!(stage.send(&["-H", "1"])?.code, Some(0));
    stage.holds(&receiver)?;
    let file = fs::metadata(dest.join("file"))?;
    assert_eq!(file.uid(), owner.uid.as_raw());
    receiver.stop().map(drop)
}
