//! The options of `uftp`: what each does, seen from outside. Where it matters the reference is given
//! the same command line.

use std::{fs, path::Path, process::Command, time::Duration};

use uftp_tests::{
    Failure, Family, Receiver, Result, SenderSetup, Suite, World, eventually, masked_status,
    patience,
};

const BOUND: Duration = Duration::from_secs(60);
const BOTH: [Suite; 2] = [Suite::Reference, Suite::Ours];

/// A sender of this suite on host 0, quick also where nobody answers.
fn sender(world: &World, suite: Suite) -> SenderSetup<'_> {
    world.sender(suite, 0).args(&["-r", "0.02:0.01:1"])
}

/// What the program in this host's place has printed.
fn log(world: &World) -> Result<String> {
    Ok(fs::read_to_string(world.log_path("sender0"))?)
}

/// A command line, how it ends, which of the packets that arrive show it, and which would belie it.
struct Wire {
    line: &'static [&'static str],
    code: i32,
    shows: &'static str,
    never: &'static str,
}

/// Fields of the packet header as nftables sees them: bits from the start of the UDP header.
macro_rules! wire {
    ($line:expr, $code:expr, $shows:expr, $never:expr) => {
        Wire {
            line: &$line,
            code: $code,
            shows: concat!("udp dport 1044 ", $shows),
            never: concat!("udp dport 1044 ", $never),
        }
    };
}

const WIRE: [Wire; 17] = [
    wire!([], 0, "ip daddr 230.5.5.0/24", "ip ttl != 1"),
    wire!([], 0, "udp length 1332", "udp length > 1332"),
    wire!(["-t", "9"], 0, "ip ttl 9", "ip ttl != 9"),
    wire!(["-t", "255"], 0, "ip ttl 255", "ip ttl != 255"),
    wire!(["-Q", "46"], 0, "ip dscp 46", "ip dscp != 46"),
    wire!(["-Q", "0x2e"], 0, "ip dscp 46", "ip dscp != 46"),
    wire!(["-b", "1000"], 0, "udp length 1032", "udp length > 1032"),
    wire!(["-u", "5555"], 0, "udp sport 5555", "udp sport != 5555"),
    wire!(
        ["-M", "239.1.2.3"],
        7,
        "ip daddr 239.1.2.3",
        "ip daddr 230.4.4.1"
    ),
    wire!(
        ["-M", "10.77.0.2"],
        0,
        "ip daddr 10.77.0.2",
        "ip daddr 224.0.0.0/4"
    ),
    wire!(
        ["-P", "239.7.7.7"],
        0,
        "ip daddr 239.7.7.7",
        "ip daddr 230.5.5.0/24"
    ),
    wire!(
        ["-P", "239.9.x.x"],
        0,
        "ip daddr 239.9.0.0/16",
        "ip daddr 230.5.5.0/24"
    ),
    wire!(
        ["-U", "ABC12"],
        0,
        "@th,96,32 0xabc12",
        "@th,96,32 != 0xabc12"
    ),
    // The quantised round trip time: half a second, and the least that it may be.
    wire!(["-r", "0.5:0.4:1"], 0, "@th,168,8 157", "@th,168,8 < 154"),
    wire!(["-C", "tfmcc"], 0, "ip ecn ect0", "ip ecn not-ect"),
    wire!(["-C", "none"], 0, "ip ecn not-ect", "ip ecn ect0"),
    // Protocol 4, told from the others by the first byte.
    wire!(["-q"], 0, "@th,64,8 0x40", "@th,64,8 != 0x40"),
];

#[test]
fn packets_are_as_the_options_say() -> Result<()> {
    let world = World::new("wire", 2)?;
    let file = world.one_file(5000)?.join("file");
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    for suite in BOTH {
        for Wire {
            line,
            code,
            shows,
            never,
        } in &WIRE
        {
            world.count_incoming(1, &[shows, never])?;
            let sent = sender(&world, suite).invite(&[1]).args(line).file(&file);
            sent.run(BOUND)?.ended_with(*code)?;
            let counted = world.counted(1)?;
            let [shown, belied] = counted.as_slice() else {
                return Err(Failure::new(format!("two counters, not {counted:?}")));
            };
            assert!(
                *shown > 0 && *belied == 0,
                "{suite:?} {line:?}: {shown} packets with {shows}, {belied} with {never}"
            );
        }
    }
    receiver.stop().map(drop)
}

/// Datagrams go to the port that is named.
#[test]
fn port() -> Result<()> {
    let world = World::new("port", 2)?;
    let file = world.one_file(5000)?.join("file");
    for suite in BOTH {
        world.count_incoming(1, &["udp dport 1055", "udp dport 1044"])?;
        let sent = sender(&world, suite).args(&["-p", "1055"]).file(&file);
        sent.run(BOUND)?.ended_with(7)?;
        assert!(
            matches!(world.counted(1)?.as_slice(), [1..=u64::MAX, 0]),
            "{suite:?}"
        );
    }
    Ok(())
}

/// Hop limits above 127, which 4.10.2 cannot set.
#[test]
fn hop_limit_of_ipv6() -> Result<()> {
    let world = World::new("hops", 2)?;
    let file = world.one_file(5000)?.join("file");
    world.count_incoming(1, &["udp dport 1044 ip6 hoplimit 200"])?;
    let sent = sender(&world, Suite::Ours).family(Family::V6);
    let sent = sent.args(&["-t", "200"]).file(&file).run(BOUND)?;
    sent.ended_with(7)?;
    assert!(world.counted(1)?.iter().sum::<u64>() > 0);
    Ok(())
}

/// An open group is announced as often as the robustness factor says.
#[test]
fn robustness_factor() -> Result<()> {
    let world = World::new("robust", 2)?;
    let file = world.one_file(5000)?.join("file");
    for suite in BOTH {
        world.count_incoming(1, &["udp dport 1044 @th,72,8 1"])?;
        let sent = sender(&world, suite).args(&["-s", "12"]).file(&file);
        sent.run(BOUND)?.ended_with(7)?;
        assert_eq!(world.counted(1)?, [12], "{suite:?}");
        let log = log(&world)?;
        assert!(log.contains("Sending ANNOUNCE 12\n"), "{log}");
        assert!(!log.contains("Sending ANNOUNCE 13"), "{log}");
    }
    Ok(())
}

/// By name or by address; the own id follows.
#[test]
fn interface() -> Result<()> {
    let world = World::new("interface", 2)?;
    let file = world.one_file(5000)?.join("file");
    world.add_interface(0, "extra", "10.88.0.1/24")?;
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    for suite in BOTH {
        let mut ids = Vec::new();
        for (name, code) in [
            ("extra", 7),
            ("10.88.0.1", 7),
            ("eth0", 0),
            ("10.77.0.1", 0),
        ] {
            world.count_incoming(1, &["udp dport 1044"])?;
            let sent = sender(&world, suite).by_itself().invite(&[1]);
            let sent = sent.args(&["-I", name]).file(&file).run(BOUND)?;
            sent.ended_with(code)?;
            assert_eq!(world.counted(1)? == [0], code == 7, "{suite:?} {name}");
            if code == 0 {
                ids.extend(last_connect(&receiver)?);
            }
        }
        assert_eq!(ids, ["0A4D0001", "0A4D0001"], "{suite:?}");
    }
    receiver.stop().map(drop)
}

/// The sender's id in the last line CONNECT.
fn last_connect(receiver: &Receiver) -> Result<Option<String>> {
    let lines = receiver.status()?;
    let mut connects = lines.iter().filter(|line| line.kind() == "CONNECT");
    Ok(connects.next_back().map(|line| line.field(2).to_owned()))
}

/// The kernel shows twice what was asked for, up to its limit.
#[test]
fn buffer_size() -> Result<()> {
    let world = World::new("buffers", 1)?;
    let file = world.one_file(10)?.join("file");
    for suite in BOTH {
        let sent = sender(&world, suite).args(&["-B", "65536", "-r", "1"]);
        let running = sent.file(&file).start()?;
        for buffer in ["rb131072,", "tb131072,"] {
            eventually(buffer, patience(), || {
                let sockets = world.run_on(0, "ss", &["-uamn"]);
                let sockets = sockets.map_err(|failure| failure.to_string())?;
                sockets.contains(buffer).then_some(()).ok_or(sockets)
            })?;
        }
        drop(running);
    }
    Ok(())
}

/// A lower rate bounds the speed of all that is sent, also the greatest rate of TFMCC.
#[test]
fn rate_and_its_bounds_under_congestion_control() -> Result<()> {
    let world = World::new("bounds", 2)?;
    let file = world.one_file(200_000)?.join("file");
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    for suite in BOTH {
        // 250 KB/s
        for line in [
            &["-R", "2000"][..],
            &["-R", "0x7d0"],
            &["-C", "tfmcc:max=2000:min=1000:init=1500"],
            &["-C", "tfmcc:2000"],
        ] {
            let sent = sender(&world, suite).rate("999999").invite(&[1]);
            let sent = sent.args(line).file(&file).run(BOUND)?;
            sent.ended_with(0)?;
            let mut results = sent.status.iter().filter(|line| line.kind() == "RESULT");
            let speed = results.next_back().map(|line| line.field(5).to_owned());
            let speed = speed.unwrap_or_default();
            let kilobytes: f64 = speed.trim_end_matches("KB/s").parse().unwrap_or(f64::MAX);
            assert!(kilobytes <= 250.0, "{suite:?} {line:?}: {speed}");
        }
    }
    receiver.stop().map(drop)
}

/// `-1` is as fast as it goes, and said to be.
#[test]
fn full_speed() -> Result<()> {
    let world = World::new("full", 2)?;
    let file = world.one_file(200_000)?.join("file");
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    for suite in BOTH {
        let sent = sender(&world, suite).rate("-1").invite(&[1]);
        sent.file(&file).run(BOUND)?.ended_with(0)?;
        let log = log(&world)?;
        assert!(
            log.contains("Transfer rate: full interface speed\n"),
            "{log}"
        );
    }
    receiver.stop().map(drop)
}

/// With time stamps every line has one, without none; the level decides how much there is.
#[test]
fn timestamps_and_log_level() -> Result<()> {
    let world = World::new("levels", 2)?;
    let file = world.one_file(5000)?.join("file");
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    for suite in BOTH {
        let mut counts = Vec::new();
        for level in ["0", "1", "2", "3", "5", "99"] {
            let line = ["-H", "0x1,0x2", "-T", "-x", level];
            let sent = sender(&world, suite).args(&line).file(&file);
            sent.run(BOUND)?.ended_with(0)?;
            let log = log(&world)?;
            assert!(log.lines().all(is_stamped), "{suite:?} -x {level}:\n{log}");
            let told = |words: &str| log.contains(words);
            let story = !["0", "1"].contains(&level);
            assert_eq!(
                told("Sending file\n"),
                story,
                "{suite:?} -x {level}:\n{log}"
            );
            assert_eq!(
                told("0x2             Mute\n"),
                !story,
                "{suite:?} -x {level}:\n{log}"
            );
            counts.push(log.lines().count());
        }
        let [_, quiet, story, more, all, most] = counts.as_slice() else {
            return Err(Failure::new("six levels"));
        };
        let grows = quiet < story && story < more && more < all && more < most;
        assert!(grows, "{suite:?} {counts:?}");
        let sent = sender(&world, suite).invite(&[1]).file(&file);
        sent.run(BOUND)?.ended_with(0)?;
        let log = log(&world)?;
        assert!(!log.lines().any(is_stamped), "{suite:?}:\n{log}");
        assert!(log.contains("\nStarting at "), "{suite:?}:\n{log}");
    }
    receiver.stop().map(drop)
}

/// `2026/11/21 06:48:14.990613: `
fn is_stamped(line: &str) -> bool {
    let shape = "dddd/dd/dd dd:dd:dd.dddddd: ";
    line.len() >= shape.len()
        && shape
            .chars()
            .zip(line.chars())
            .all(|(wanted, c)| match wanted {
                'd' => c.is_ascii_digit(),
                other => c == other,
            })
}

/// Status lines go into the log, without time stamps even there.
#[test]
fn status_lines_in_the_log() -> Result<()> {
    let world = World::new("atlog", 2)?;
    let file = world.one_file(5000)?.join("file");
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    let mut told = Vec::new();
    for suite in BOTH {
        let sent = sender(&world, suite).invite(&[1]).file(&file);
        let sent = sent.args(&["-T", "-S", "@LOG"]).run(BOUND)?;
        sent.ended_with(0)?;
        let log = log(&world)?;
        let status: Vec<_> = log.lines().filter(|line| !is_stamped(line)).collect();
        told.push(masked_status(&status.join("\n")));
        assert!(!Path::new("@LOG").exists());
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].len(), 4, "{told:?}");
    receiver.stop().map(drop)
}

/// The archives of a log are no more than asked for.
#[test]
fn log_files_and_their_number() -> Result<()> {
    let world = World::new("archives", 1)?;
    let file = world.one_file(10)?.join("file");
    for suite in BOTH {
        let dir = world.make_dir(suite.name())?;
        let log = dir.join("log");
        fs::write(&log, vec![b'\n'; 1_000_001])?;
        fs::write(dir.join("log.1"), "older")?;
        fs::write(dir.join("log.2"), "oldest")?;
        let path = log.display().to_string();
        let line = ["-L", &path, "-g", "1", "-n", "2", "-H", "0x5"];
        let mut running = sender(&world, suite).args(&line).file(&file).start()?;
        assert_eq!(running.program().wait(BOUND)?.code, Some(7));
        assert_eq!(running.program().output(), "", "standard error is the log");
        assert!(fs::read_to_string(&log)?.lines().all(is_stamped));
        assert!(fs::metadata(dir.join("log.1"))?.len() > 1_000_000);
        assert_eq!(fs::read_to_string(dir.join("log.2"))?, "older");
        assert!(!dir.join("log.3").exists());
    }
    Ok(())
}

/// The key of the file is the one in use; with `-K` it is made and stored there.
#[test]
fn key_files() -> Result<()> {
    let world = World::new("keyfile", 2)?;
    let file = world.one_file(5000)?.join("file");
    let receiver = world.receiver(Suite::Reference, 1);
    let receiver = receiver.args(&["-K", "rsa:1024,ec:secp384r1"]).start()?;
    for suite in BOTH {
        for (exchange, new) in [("rsa", "1024"), ("ecdh_ecdsa", "secp384r1")] {
            let key = world.dir().join(format!("{}-{exchange}.pem", suite.name()));
            let path = key.display().to_string();
            let with = [
                "-Y",
                "aes256-gcm",
                "-h",
                "sha256",
                "-e",
                exchange,
                "-k",
                &path,
            ];
            let send = |more: &[&str]| -> Result<String> {
                let sent = sender(&world, suite).invite(&[1]).args(&with).args(more);
                sent.file(&file).run(BOUND)?.ended_with(0)?;
                let log = log(&world)?;
                let print = log.split("fingerprint ").nth(1).map(|rest| &rest[..59]);
                Ok(print.unwrap_or(&log).to_owned())
            };
            let made = send(&["-K", new])?;
            assert_eq!(send(&[])?, made, "{suite:?} {exchange}");
            let shown = Command::new(Suite::Ours.program("uftp_keymgt")?)
                .arg(&key)
                .output()?;
            let shown = String::from_utf8_lossy(&shown.stderr).into_owned();
            assert!(shown.contains(&made), "{shown} has not {made}");
        }
    }
    receiver.stop().map(drop)
}

/// An open group that has enough receivers does not wait for more.
#[test]
fn enough_receivers() -> Result<()> {
    let world = World::new("enough", 2)?;
    let file = world.one_file(5000)?.join("file");
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    let sent = sender(&world, Suite::Ours).args(&["--min-clients", "1", "-s", "50"]);
    sent.file(&file).run(BOUND)?.ended_with(0)?;
    let log = log(&world)?;
    assert!(!log.contains("Sending ANNOUNCE 50"), "{log}");
    receiver.stop().map(drop)
}

#[test]
fn progress() -> Result<()> {
    let world = World::new("progress", 2)?;
    let file = world.one_file(300_000)?.join("file");
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    for (how, shown) in [("bar", true), ("none", false), ("auto", false)] {
        let sent = sender(&world, Suite::Ours).invite(&[1]).rate("3000");
        let sent = sent.args(&["--progress", how]).file(&file);
        sent.run(BOUND)?.ended_with(0)?;
        let log = log(&world)?;
        assert_eq!(log.contains("file [#"), shown, "{how}: {log}");
    }
    receiver.stop().map(drop)
}

/// Key stores are a thing of Windows.
#[test]
fn system_keys_change_nothing() -> Result<()> {
    let world = World::new("system", 2)?;
    let file = world.one_file(5000)?.join("file");
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    for suite in BOTH {
        let sent = sender(&world, suite).invite(&[1]).args(&["-y"]).file(&file);
        sent.run(BOUND)?.ended_with(0)?;
    }
    receiver.stop().map(drop)
}

/// The whole range of passes is usable; the reference keeps it in eight bits.
#[test]
fn many_passes() -> Result<()> {
    let world = World::new("passes", 2)?;
    let file = world.one_file(100_000)?.join("file");
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    world.lose_incoming_data(1, 1044, 500)?;
    let sent = sender(&world, Suite::Ours)
        .invite(&[1])
        .args(&["-a", "256"]);
    sent.file(&file).run(BOUND)?.ended_with(0)?;
    receiver.stop().map(drop)
}

/// What is asked of a program goes to standard output, and nothing else happens.
#[test]
fn help_version_and_completions() -> Result<()> {
    let world = World::new("asking", 1)?;
    for program in ["uftp", "uftpd", "uftpproxyd", "uftp_keymgt"] {
        for (question, answer) in [
            (&["--help"][..], "Usage: "),
            (&["--version"], program),
            (&["--print-completions", "bash"], "complete -F"),
        ] {
            let mut command = world.command(0, &Suite::Ours.program(program)?);
            let output = command.args(question).output()?;
            assert_eq!(output.status.code(), Some(0), "{program} {question:?}");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains(answer), "{program} {question:?}: {text}");
            assert_eq!(output.stderr, b"");
        }
    }
    Ok(())
}
