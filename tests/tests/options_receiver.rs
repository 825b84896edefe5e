//! The options of `uftpd`: what each does, seen from outside. Where it matters the reference is given
//! the same command line.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Duration};

use nix::sys::signal::Signal;
use uftp_tests::{
    Daemon, Family, Program, ReceiverSetup, Result, SenderSetup, Suite, World, eventually,
    masked_status, patience, wait_until_listening,
};

const BOUND: Duration = Duration::from_secs(60);
const BOTH: [Suite; 2] = [Suite::Reference, Suite::Ours];
const PORT: u16 = 1044;
const PUBLIC: &str = "230.4.4.1";

/// A sender of the reference on host 0, quick also where nobody answers.
fn sender(world: &World) -> SenderSetup<'_> {
    world
        .sender(Suite::Reference, 0)
        .args(&["-r", "0.02:0.01:1"])
}

/// `uftpd` on host 1 with these options only, listening to this group and port.
fn uftpd(world: &World, suite: Suite, line: &[&str], group: &str, port: u16) -> Result<Program> {
    let mut command = world.command(1, &suite.program("uftpd")?);
    let dest = world.make_dir("dest")?;
    command.args(line).arg("-D").arg(dest);
    let mut program = Program::start("uftpd", command, &world.log_path("uftpd"))?;
    wait_until_listening(&mut program, "uftpd", port, group)?;
    Ok(program)
}

/// Whether host 1 has joined the public group on this interface.
fn is_joined(world: &World, interface: &str) -> Result<bool> {
    let groups = world.run_on(1, "ip", &["-4", "maddr", "show", "dev", interface])?;
    Ok(groups.contains(PUBLIC))
}

/// Where it listens; the first interface gives it its id.
#[test]
fn interfaces() -> Result<()> {
    let world = World::new("interfaces", 2)?;
    let file = world.one_file(5000)?.join("file");
    world.add_interface(1, "extra", "10.88.0.2/24")?;
    for suite in BOTH {
        for (line, on_eth0, on_extra, id) in [
            (&["-I", "extra"][..], false, true, ""),
            (&["-I", "10.88.0.2"], false, true, ""),
            (&["-I", "eth0"], true, false, "10.77.0.2"),
            (&["-I", "extra,eth0"], true, true, "10.88.0.2"),
            (&["-I", "eth0", "-I", "extra"], true, true, "10.77.0.2"),
            (&[], true, true, ""),
        ] {
            let line = [&["-d", "-q"], line].concat();
            let mut receiver = uftpd(&world, suite, &line, PUBLIC, PORT)?;
            assert_eq!(is_joined(&world, "eth0")?, on_eth0, "{suite:?} {line:?}");
            assert_eq!(is_joined(&world, "extra")?, on_extra, "{suite:?} {line:?}");
            assert!(!is_joined(&world, "lo")?, "{suite:?} {line:?}");
            if !id.is_empty() {
                let sent = sender(&world).args(&["-H", id]).file(&file);
                sent.run(BOUND)?.ended_with(0)?;
            }
            receiver.terminate(suite)?;
        }
    }
    Ok(())
}

#[test]
fn groups_port_and_id() -> Result<()> {
    let world = World::new("groups", 2)?;
    let file = world.one_file(5000)?.join("file");
    for suite in BOTH {
        let line = ["-d", "-q", "-I", "eth0", "-U", "a5", "-p", "1055"];
        let line = [&line[..], &["-M", "239.1.1.1,239.1.1.2", "-M", "239.1.1.3"]].concat();
        let mut receiver = uftpd(&world, suite, &line, "239.1.1.3", 1055)?;
        for (group, port, code) in [
            ("239.1.1.1", "1055", 0),
            ("239.1.1.2", "1055", 0),
            ("239.1.1.3", "1055", 0),
            ("239.1.1.1", "1044", 7),
            (PUBLIC, "1055", 7),
        ] {
            let line = ["-H", "0xA5", "-M", group, "-p", port];
            let sent = sender(&world).args(&line).file(&file).run(BOUND)?;
            sent.ended_with(code)?;
        }
        receiver.terminate(suite)?;
    }
    Ok(())
}

/// The sender's name in the status file, found in the hosts file, unless `-q` forbids to look.
#[test]
fn names_of_senders() -> Result<()> {
    let world = World::new("names", 2)?;
    let file = world.one_file(5000)?.join("file");
    // All there is of /etc: a machine may have no hosts file, or ask elsewhere first.
    let etc = world.make_dir("etc")?;
    fs::write(
        etc.join("hosts"),
        "127.0.0.1 localhost\n10.77.0.1 sender.example\n",
    )?;
    fs::write(etc.join("nsswitch.conf"), "hosts: files\n")?;
    for suite in BOTH {
        for (quiet, name) in [(&[][..], "sender.example"), (&["-q"][..], "10.77.0.1")] {
            let status = world.dir().join("status");
            let _ = fs::remove_file(&status);
            // A namespace of `ip netns` has mounts of its own.
            let script = "mount --bind \"$0\" /etc && exec \"$@\"";
            let mut command = world.command(1, Path::new("sh"));
            command.arg("-c").arg(script).arg(&etc);
            command.arg(suite.program("uftpd")?);
            command
                .args(["-d", "-U", "1", "-I", "eth0", "-F"])
                .arg(&status);
            command.args(quiet).arg("-D").arg(world.make_dir("dest")?);
            let mut receiver = Program::start("uftpd", command, &world.log_path("uftpd"))?;
            wait_until_listening(&mut receiver, "uftpd", PORT, PUBLIC)?;
            let sent = sender(&world).invite(&[1]).file(&file).run(BOUND)?;
            sent.ended_with(0)?;
            let line = eventually("a line CONNECT", patience(), || {
                let text = fs::read_to_string(&status).map_err(|error| error.to_string())?;
                let line = text.lines().find(|line| line.starts_with("CONNECT;"));
                line.map(str::to_owned).ok_or(text)
            })?;
            let wanted = format!(";10.77.0.1;{name}");
            assert!(line.ends_with(&wanted), "{suite:?} {quiet:?}: {line}");
            receiver.terminate(suite)?;
        }
    }
    Ok(())
}

#[test]
fn buffer_size() -> Result<()> {
    let world = World::new("rbuffer", 2)?;
    for suite in BOTH {
        let line = ["-d", "-q", "-I", "eth0", "-B", "65536"];
        let mut receiver = uftpd(&world, suite, &line, PUBLIC, PORT)?;
        let sockets = world.run_on(1, "ss", &["-uamn"])?;
        assert!(sockets.contains("rb131072,"), "{suite:?}: {sockets}");
        receiver.terminate(suite)?;
    }
    Ok(())
}

/// What a receiver answers carries the code point.
#[test]
fn dscp() -> Result<()> {
    let world = World::new("rdscp", 2)?;
    let file = world.one_file(5000)?.join("file");
    for suite in BOTH {
        let line = ["-d", "-q", "-I", "eth0", "-U", "1", "-Q", "46"];
        let mut receiver = uftpd(&world, suite, &line, PUBLIC, PORT)?;
        let which = ["udp sport 1044 ip dscp 46", "udp sport 1044 ip dscp != 46"];
        world.count_incoming(0, &which)?;
        let sent = sender(&world).invite(&[1]).file(&file).run(BOUND)?;
        sent.ended_with(0)?;
        assert!(
            matches!(world.counted(0)?.as_slice(), [3..=u64::MAX, 0]),
            "{suite:?}"
        );
        receiver.terminate(suite)?;
    }
    Ok(())
}

/// A session with this receiver; its log.
fn session_with(world: &World, setup: ReceiverSetup<'_>, file: &Path) -> Result<String> {
    let mut receiver = setup.start()?;
    let sent = sender(world).invite(&[1]).file(file).run(BOUND)?;
    sent.ended_with(0)?;
    receiver.program().signal(Signal::SIGTERM);
    receiver.program().wait(patience())?;
    Ok(receiver.program().output())
}

/// The level decides how much there is to read; every line has the time.
#[test]
fn log_level() -> Result<()> {
    let world = World::new("rlevels", 2)?;
    let file = world.one_file(5000)?.join("file");
    for suite in BOTH {
        let mut counts = Vec::new();
        for level in ["0", "2", "5"] {
            let setup = world.receiver(suite, 1).args(&["-x", level]);
            let log = session_with(&world, setup, &file)?;
            let told = log.contains("Name of file to receive: file\n");
            assert_eq!(told, level != "0", "{suite:?} -x {level}: {log}");
            let stamped = |line: &str| line.starts_with("20") && line.contains(": ");
            assert!(log.lines().all(stamped), "{suite:?} -x {level}: {log}");
            counts.push(log.lines().count());
        }
        assert!(
            counts.is_sorted() && counts[0] < counts[2],
            "{suite:?} {counts:?}"
        );
    }
    Ok(())
}

#[test]
fn status_lines_in_the_log() -> Result<()> {
    let world = World::new("ratlog", 2)?;
    let file = world.one_file(5000)?.join("file");
    let mut told = Vec::new();
    for suite in BOTH {
        let setup = world.receiver(suite, 1).args(&["-F", "@LOG"]);
        let log = session_with(&world, setup, &file)?;
        let status = |line: &&str| line.starts_with("CONNECT;") || line.starts_with("RESULT;");
        let lines: Vec<_> = log.lines().filter(status).collect();
        told.push(masked_status(&lines.join("\n")));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].len(), 2, "{told:?}");
    Ok(())
}

/// Log, archives and pid file of a daemon; in the foreground there is none of that.
#[test]
fn log_archives_and_pid_file() -> Result<()> {
    let world = World::new("rarchives", 2)?;
    for suite in BOTH {
        let dir = world.make_dir(suite.name())?;
        let dest = world.make_dir("dest")?;
        let (log, pid_file) = (dir.join("log"), dir.join("pid"));
        let command = |foreground: &[&str]| -> Result<Command> {
            let mut command = world.command(1, &suite.program("uftpd")?);
            command
                .args(foreground)
                .args(["-q", "-I", "eth0", "-g", "1", "-n", "1"]);
            command
                .arg("-D")
                .arg(&dest)
                .arg("-L")
                .arg(&log)
                .arg("-P")
                .arg(&pid_file);
            Ok(command)
        };
        let mut running = Program::start("uftpd", command(&["-d"])?, &world.log_path("uftpd"))?;
        wait_until_listening(&mut running, "uftpd", PORT, PUBLIC)?;
        assert!(!log.exists() && !pid_file.exists(), "{suite:?}");
        // Killed: 4.10.2 may hang for good if it is told to end as soon as it has started.
        drop(running);

        fs::write(&log, vec![b'\n'; 1_000_001])?;
        fs::write(dir.join("log.1"), "older")?;
        let mut parent = Program::start("parent", command(&[])?, &world.log_path("parent"))?;
        assert_eq!(parent.wait(BOUND)?.code, Some(0), "{}", parent.output());
        let daemon = eventually("the pid file", patience(), || {
            Daemon::of(&pid_file).map_err(|failure| failure.to_string())
        })?;
        let comm = fs::read_to_string(format!("/proc/{}/comm", daemon.pid()))?;
        assert_eq!(comm, "uftpd\n", "what pgrep -x looks for");
        eventually("the log to be rolled", patience(), || {
            let old = fs::metadata(dir.join("log.1")).map_err(|error| error.to_string())?;
            let rolled = old.len() > 1_000_000 && log.exists();
            rolled.then_some(()).ok_or(format!("{} bytes", old.len()))
        })?;
        assert!(!dir.join("log.2").exists());
        if suite == Suite::Ours {
            let mode = fs::metadata(&pid_file)?.permissions().mode() & 0o777;
            assert_eq!(mode, 0o644);
        }
        // As above.
        daemon.signal(Signal::SIGKILL);
    }
    Ok(())
}

/// Listed senders are heard by source specific groups, others are not. With `-o` the groups must be such.
#[test]
fn senders_and_source_specific_groups() -> Result<()> {
    let world = World::new("sources", 3)?;
    let file = world.one_file(5000)?.join("file");
    let list = world.dir().join("servers");
    // A group that is made for it, or for IPv6 not well-known, will do for the data.
    for (family, public, private) in [
        (Family::V4, "232.1.1.1", "232.1.1.2"),
        (Family::V6, "ff35::1:1", "ff15::1:2"),
    ] {
        let sender = world.address(0, family);
        fs::write(&list, format!("# ours\n0A4D0001|{sender}\n"))?;
        let list = list.display().to_string();
        let groups = ["-M", public, "-P", private, "-r", "0.02:0.01:1"];
        let here = world.address(1, family).to_string();
        for (suite, more) in [
            (Suite::Reference, &[][..]),
            (Suite::Ours, &[]),
            (Suite::Ours, &["-o"]),
        ] {
            let line = ["-d", "-q", "-I", &here, "-U", "1", "-M", public];
            let line = [&line[..], &["-S", &list], more].concat();
            let mut receiver = uftpd(&world, suite, &line, public, PORT)?;
            for (host, code) in [(0, 0), (2, 7)] {
                let sent = world.sender(Suite::Reference, host).family(family);
                let sent = sent.invite(&[1]).args(&groups).file(&file);
                // The sender is listed by its id, which an IPv6 address is not.
                let sent = sent.args(&["-U", &format!("0A4D000{}", host + 1)]);
                sent.run(BOUND)?.ended_with(code)?;
            }
            receiver.terminate(suite)?;
        }
    }
    Ok(())
}

/// Any of several keys serves the session it fits; with `-k` and `-K` they are made and kept.
#[test]
fn several_keys() -> Result<()> {
    let world = World::new("rkeys", 2)?;
    let file = world.one_file(5000)?.join("file");
    for suite in BOTH {
        let paths = ["a", "b"].map(|name| {
            let path = world.dir().join(format!("{}-{name}.pem", suite.name()));
            path.display().to_string()
        });
        let files = paths.join(",");
        for make in [&["-K", "rsa:1024", "-K", "ec:secp384r1"][..], &[]] {
            let line = ["-d", "-q", "-I", "eth0", "-U", "1", "-k", &files];
            let line = [&line[..], make].concat();
            let mut receiver = uftpd(&world, suite, &line, PUBLIC, PORT)?;
            for (exchange, key) in [("rsa", "1024"), ("ecdh_ecdsa", "secp384r1")] {
                let cipher = ["-Y", "aes256-gcm", "-h", "sha256", "-c"];
                let sent = sender(&world).invite(&[1]).args(&cipher);
                let sent = sent.args(&["-e", exchange, "-K", key]).file(&file);
                sent.run(BOUND)?.ended_with(0)?;
            }
            receiver.terminate(suite)?;
            let told = receiver.output();
            for path in &paths {
                let shown = Command::new(Suite::Ours.program("uftp_keymgt")?)
                    .arg(path)
                    .output()?;
                let shown = String::from_utf8_lossy(&shown.stderr).into_owned();
                let print = shown.trim_end().rsplit(' ').next().unwrap_or_default();
                assert!(told.contains(print), "{suite:?}: {print} is not in {told}");
            }
        }
    }
    Ok(())
}

/// Heartbeats come to each host, also to one on another port, and go on.
#[test]
fn heartbeats() -> Result<()> {
    let world = World::new("beats", 3)?;
    for suite in BOTH {
        for host in [0, 2] {
            world.count_incoming(host, &["udp dport { 1044, 1066 } @th,72,8 14"])?;
        }
        let line = ["-d", "-q", "-I", "eth0", "-h", "1"];
        let line = [&line[..], &["-H", "10.77.0.1,10.77.0.3:1066"]].concat();
        let mut receiver = uftpd(&world, suite, &line, PUBLIC, PORT)?;
        for host in [0, 2] {
            eventually("two heartbeats", patience(), || {
                let counted = world.counted(host).map_err(|failure| failure.to_string())?;
                let enough = matches!(counted.as_slice(), [2..=u64::MAX]);
                enough
                    .then_some(())
                    .ok_or(format!("{suite:?}: {counted:?}"))
            })?;
        }
        receiver.terminate(suite)?;
    }
    Ok(())
}

/// A response proxy is asked for its key, and only it is answered.
#[test]
fn response_proxy() -> Result<()> {
    let world = World::new("response", 3)?;
    let file = world.one_file(5000)?.join("file");
    for (suite, option) in [
        (Suite::Reference, "-R"),
        (Suite::Ours, "-R"),
        (Suite::Ours, "-r"),
    ] {
        world.count_incoming(
            2,
            &["udp dport 1044 @th,72,8 16", "udp dport 1044 @th,72,8 2"],
        )?;
        let line = ["-d", "-q", "-I", "eth0", "-U", "1", option, "10.77.0.3"];
        let mut receiver = uftpd(&world, suite, &line, PUBLIC, PORT)?;
        // The proxy does not pass on that somebody registered.
        let sent = sender(&world).invite(&[1]).file(&file).run(BOUND)?;
        sent.ended_with(7)?;
        let counted = world.counted(2)?;
        let both = counted.len() == 2 && counted.iter().all(|count| *count > 0);
        assert!(both, "{suite:?} {option}: {counted:?}");
        receiver.terminate(suite)?;
    }
    Ok(())
}

/// Key stores are a thing of Windows.
#[test]
fn system_keys_change_nothing() -> Result<()> {
    let world = World::new("rsystem", 2)?;
    let file = world.one_file(5000)?.join("file");
    for suite in BOTH {
        let setup = world.receiver(suite, 1).args(&["-m"]);
        let log = session_with(&world, setup, &file)?;
        assert!(log.contains("File transfer complete"), "{suite:?}: {log}");
    }
    Ok(())
}

/// Words that are no options mean nothing, wherever they stand.
#[test]
fn other_words_are_ignored() -> Result<()> {
    let world = World::new("words", 2)?;
    for suite in BOTH {
        let line = ["what", "-d", "ever", "-q", "-I", "eth0"];
        let mut receiver = uftpd(&world, suite, &line, PUBLIC, PORT)?;
        receiver.terminate(suite)?;
    }
    Ok(())
}
