use std::os::unix::ffi::OsStringExt;

use uftp_proto::Uid;
use uftp_session::sender::Rate;

use super::*;

mod defaults;
mod meaning;
mod uftpproxyd_lines;
mod values;

fn words(line: &str) -> Vec<OsString> {
    let program = line.split(' ').next().unwrap();
    assert!(matches!(program, "uftp" | "uftpd" | "uftpproxyd"));
    line.split(' ')
        .map(|w| OsString::from(w.replace('~', " ")))
        .collect()
}

fn uftp(line: &str) -> uftp::Args {
    match parse_as(words(line), Order::Permute) {
        Ok(Parsed::Run(args)) => args,
        other => panic!("{line}: {other:?}"),
    }
}

fn uftpd(line: &str) -> uftpd::Args {
    match parse_as(words(line), Order::Permute) {
        Ok(Parsed::Run(args)) => args,
        other => panic!("{line}: {other:?}"),
    }
}

fn complaint_about(line: &str) -> String {
    fn told<T: Program + std::fmt::Debug>(line: &str) -> String {
        let failure = parse_as::<T>(words(line), Order::Permute).unwrap_err();
        assert_eq!(failure.exit, Exit::CommandLine);
        complaint::<T>(&failure)
    }
    match line.split(' ').next() {
        Some("uftpproxyd") => told::<uftpproxyd::Args>(line),
        Some("uftpd") => told::<uftpd::Args>(line),
        _ => told::<uftp::Args>(line),
    }
}

#[test]
fn the_definitions_are_sound() {
    command::<uftp::Args>().debug_assert();
    command::<uftpproxyd::Args>().debug_assert();
    command::<uftpd::Args>().debug_assert();
}

#[test]
fn words_are_read_as_getopt_reads_them() {
    let args = uftp("uftp -Tqx1 f1 -R -1 -R-1 f2 -x 4 -x3 --rate=7 -- -q");
    assert!(args.timestamps && args.quit_on_error);
    assert_eq!(args.common.log.log_level, 3);
    assert_eq!(args.rate, Rate::Fixed(7 * 128));
    assert_eq!(args.files, ["f1", "f2", "-q"]);
    let args = uftp("uftp -D -x -S -- f");
    assert_eq!(args.dest_name.unwrap(), "-x");
    assert_eq!(args.files, ["f"]);
    let args = uftp("uftp -H a,b -H @c -qq f -E /x -E /y");
    assert_eq!(args.hosts, ["a,b", "@c"]);
    assert_eq!(args.base_dir, ["/x", "/y"]);
    let args =
        uftpd("uftpd -d -q -I eth0,10.0.0.1 -M 230.4.4.1 -I lo -U 0x0000000A -D /d/ ignored");
    assert_eq!(args.interface, ["eth0", "10.0.0.1", "lo"]);
    assert_eq!(args.uid, Some(Uid(10)));
}

#[test]
fn file_names_need_not_be_text() {
    let mut line = words("uftp f -D");
    line.push(OsString::from_vec(b"d\xff".to_vec()));
    line.push(OsString::from_vec(b"\xfe".to_vec()));
    let Ok(Parsed::Run(args)) = parse_as::<uftp::Args>(line, Order::Permute) else {
        panic!("refused");
    };
    assert_eq!(args.files[1].as_bytes(), b"\xfe");
    assert_eq!(args.dest_name.unwrap().as_bytes(), b"d\xff");
}

#[test]
fn posixly_correct_stops_at_the_first_file() {
    for (line, files) in [
        ("uftp -x 1 f -x 2", "f -x 2"),
        ("uftp -x1 - -x", "- -x"),
        ("uftp -qT -R -1 f -q", "f -q"),
        ("uftp --rate 5 --log-level=3 f --rate", "f --rate"),
        ("uftp -q -- -x", "-x"),
    ] {
        let Ok(Parsed::Run(args)) = parse_as::<uftp::Args>(words(line), Order::OptionsFirst) else {
            panic!("{line}");
        };
        assert_eq!(args.files.join(OsStr::new(" ")), files, "{line}");
    }
}

#[test]
fn help_and_version_are_shown() {
    let Ok(Parsed::Show(help)) = parse_as::<uftp::Args>(words("uftp --help"), Order::Permute)
    else {
        panic!("no help");
    };
    for word in [
        "-R, --rate <KBPS>",
        "Receivers:",
        "-H, --hosts",
        "--version",
    ] {
        assert!(help.contains(word), "{word} in {help}");
    }
    let Ok(Parsed::Show(version)) =
        parse_as::<uftpd::Args>(words("uftpd --version"), Order::Permute)
    else {
        panic!("no version");
    };
    assert!(version.starts_with("uftpd "));
}

#[test]
fn every_option_is_in_help_and_completions() {
    fn check<T: Program + std::fmt::Debug>(name: &str) {
        let Ok(Parsed::Show(help)) =
            parse_as::<T>(words(&format!("{name} --help")), Order::Permute)
        else {
            panic!("no help");
        };
        let all = command::<T>();
        for shell in SHELLS {
            let line = format!("{name} --print-completions {shell}");
            let Ok(Parsed::Show(script)) = parse_as::<T>(words(&line), Order::Permute) else {
                panic!("{line}");
            };
            assert!(script.contains(name));
            for option in all.get_arguments().filter(|a| !a.is_hide_set()) {
                let Some(long) = option.get_long() else {
                    continue;
                };
                assert!(script.contains(long), "{long} for {shell}");
                assert!(help.contains(&format!("--{long}")), "{long} in {help}");
                assert!(option.get_help().is_some(), "{long}");
            }
        }
    }
    check::<uftp::Args>("uftp");
    check::<uftpd::Args>("uftpd");
    check::<uftpproxyd::Args>("uftpproxyd");
    let bad = complaint_about("uftp --print-completions tcsh f");
    assert!(bad.contains("--print-completions"), "{bad}");
}

/// Letters that the manuals of 4.10.2 list (cli §2.1, §3.1) and the names they have here.
#[test]
fn every_letter_has_its_long_name() {
    for (command, table) in [
        (
            command::<uftp::Args>(),
            "R rate, C congestion-control, L log-file, g max-log-size, n max-log-count, \
             T timestamps, x log-level, B buffer-size, b block-size, t ttl, Q dscp, I interface, \
             M public-address, P private-address, p port, u source-port, U uid, H hosts, \
             j proxy-list, F restart, f restartable, X exclude-from, i files-from, D dest-name, \
             o dest-is-dir, E base-dir, l follow-links, z sync, Z sync-preview, S status-file, \
             q quit-on-error, a max-passes, m max-nak-count, N max-nak-percent, W tx-weight, \
             r grtt, s robust, Y cipher, y system-keys",
        ),
        (
            command::<uftpd::Args>(),
            "d foreground, p port, U uid, B buffer-size, c cache-size, E require-encryption, \
             Q dscp, x log-level, L log-file, g max-log-size, n max-log-count, F status-file, \
             P pid-file, q no-name-lookup, D dest-dir, t temp-file, I interface, \
             M public-address, R response-proxy, H heartbeat-host, h heartbeat-interval, \
             k key-file, K new-key, S server-list, o ssm, m system-keys, N priority",
        ),
        (
            command::<uftpproxyd::Args>(),
            "s server-proxy, c client-proxy, r response-proxy, d foreground, x log-level, \
             L log-file, g max-log-size, n max-log-count, P pid-file, N priority, m system-keys, \
             p port, q dest-port, t ttl, Q dscp, B buffer-size, U uid, O out-interface, \
             I interface, M public-address, H heartbeat-host, h heartbeat-interval, \
             C client-list, S server-list, o ssm, e ecdh-curve, k key-file, K new-key",
        ),
    ] {
        for entry in table.split(", ") {
            let (letter, long) = entry.split_once(' ').unwrap();
            let found = command
                .get_arguments()
                .find(|a| a.get_long() == Some(long))
                .unwrap_or_else(|| panic!("--{long}"));
            assert_eq!(found.get_short(), letter.chars().next(), "--{long}");
        }
    }
    assert!(uftpd("uftpd --debug").process.foreground);
}
