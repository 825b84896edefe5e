use std::time::Duration;

use uftp_proto::Uid;
use uftp_session::sender::Rate;

use std::os::unix::ffi::OsStringExt;

use super::*;

mod uftpproxyd_lines;

fn words(line: &str) -> Vec<OsString> {
    let program = line.split(' ').next().unwrap();
    assert!(matches!(program, "uftp" | "uftpd" | "uftpproxyd"));
    line.split(' ')
        .map(|w| OsString::from(w.replace('~', " ")))
        .collect()
}

fn uftp(line: &str) -> uftp::Args {
    match parse_as(words(line), false) {
        Ok(Parsed::Run(args)) => args,
        other => panic!("{line}: {other:?}"),
    }
}

fn uftpd(line: &str) -> uftpd::Args {
    match parse_as(words(line), false) {
        Ok(Parsed::Run(args)) => args,
        other => panic!("{line}: {other:?}"),
    }
}

fn complaint_about(line: &str) -> String {
    fn told<T: Program + std::fmt::Debug>(line: &str) -> String {
        let failure = parse_as::<T>(words(line), false).unwrap_err();
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
fn ids_with_dots() {
    for (text, uid) in [
        ("0x001234", 0x1234),
        ("001234", 0x1234),
        ("0.0.18.52", 0x1234),
        ("0A", 10),
    ] {
        let args = uftpd(&format!("uftpd -U {text}"));
        assert_eq!(args.uid, Some(Uid(uid)), "{text}");
    }
    assert!(complaint_about("uftpd -U 0.0.18").contains("Invalid UID"));
}

#[test]
fn words_are_read_as_getopt_reads_them() {
    let args = uftp("uftp -Tqx1 f1 -R -1 -R-1 f2 -x 4 -x3 --rate=7 -- -q");
    assert!(args.timestamps && args.quit_on_error);
    assert_eq!(args.log.log_level, 3);
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
    let Ok(Parsed::Run(args)) = parse_as::<uftp::Args>(line, false) else {
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
        let Ok(Parsed::Run(args)) = parse_as::<uftp::Args>(words(line), true) else {
            panic!("{line}");
        };
        assert_eq!(args.files.join(OsStr::new(" ")), files, "{line}");
    }
}

#[test]
fn good_values() {
    for (line, bytes) in [
        ("uftp -R 1000 f", 128_000),
        ("uftp -R 0x10 f", 2048),
        ("uftp -R 010 f", 1024),
        ("uftp --rate 50M f", 6_250_000),
        ("uftp --kbps 8 f", 1024),
        ("uftp -R 1073741824 f", 137_438_953_472),
    ] {
        assert_eq!(uftp(line).rate, Rate::Fixed(bytes), "{line}");
    }
    assert_eq!(uftp("uftp f").rate, Rate::Fixed(128_000));
    assert_eq!(uftp("uftp -x 99 f").log.log_level, 5);
    assert_eq!(uftp("uftp -Q 0x2e f").socket.dscp, 46);
    assert_eq!(uftp("uftp -U 12345678 f").uid, Some(Uid(0x1234_5678)));
    let ms = Duration::from_millis;
    let grtt = uftp("uftp -r 0.1:0.01:0.2 f").grtt.unwrap();
    assert_eq!(
        (grtt.initial, grtt.min, grtt.max),
        (ms(100), ms(10), ms(200))
    );
    let grtt = uftp("uftp -r 100 f").grtt.unwrap();
    assert_eq!(
        (grtt.initial, grtt.min, grtt.max),
        (ms(100_000), ms(10), ms(15_000))
    );
    for ok in [
        "uftp -b 512 -b 8800 -t 255 -s 10 -s 50 -a 1 -a 65535 -N 0 -m 1000 -W 110 -Y none -C none f",
        "uftp -B 65536 -B 104857600 -p 65535 -u 0 --protocol 4 --progress lines --min-clients 3 f",
    ] {
        uftp(ok);
    }
    uftp("uftp -Y aes256-ccm -h sha512 -w keyex -e ecdh_ecdsa:secp521r1 -c -k f -K secp384r1 f");
    uftpd("uftpd -E -k a,b -K rsa:2048,ec:secp256r1 -S list -o");
    uftpd("uftpd -c 10240 -t -B 65536 -x 0 --protocol 4");
}

#[test]
fn bad_values_name_the_option_and_what_was_expected() {
    for (line, want) in [
        (
            "uftp -R abc f",
            "Invalid rate: expected -1, or Kbps from 1 to 1073741824, or bits per second like 50M (option -R (--rate), value 'abc')",
        ),
        ("uftp -R 0 f", "Invalid rate"),
        ("uftp -R -2 f", "Invalid rate"),
        ("uftp -R 1073741825 f", "Invalid rate"),
        ("uftp -R 0xg f", "Invalid rate"),
        ("uftp -R -1M f", "Invalid rate"),
        ("uftp -R  f", "Invalid rate"),
        (
            "uftp -x -1 f",
            "Invalid log level: expected a number from 0 to 5 (option -x (--log-level), value '-1')",
        ),
        ("uftp -x abc f", "Invalid log level"),
        ("uftp -x 1x f", "Invalid log level"),
        (
            "uftp -b 511 f",
            "Invalid blocksize: expected a number from 512 to 8800",
        ),
        ("uftp -b 8801 f", "Invalid blocksize"),
        ("uftp -t 0 f", "Invalid ttl"),
        ("uftp -t 256 f", "Invalid ttl"),
        ("uftp -s 9 f", "Invalid robustness factor"),
        ("uftp -a 0 f", "Invalid max passes"),
        ("uftp -a 65536 f", "Invalid max passes"),
        ("uftp -N 101 f", "Invalid max_nak_pct"),
        ("uftp -N -5 f", "Invalid max_nak_pct"),
        ("uftp -m 0 f", "Invalid max nak count"),
        ("uftp -W 109 f", "Invalid txweight"),
        ("uftp -B 65535 f", "Invalid buffer size"),
        ("uftp -Q 64 f", "Invalid dscp"),
        ("uftp -p 0 f", "Invalid port"),
        ("uftp -p 70000 f", "Invalid port"),
        ("uftp -u abc f", "Invalid source port"),
        ("uftp -U xyz f", "Invalid UID"),
        ("uftp -U 123456789 f", "Invalid UID"),
        (
            "uftp -r 0 f",
            "Invalid grtt: expected 0.001 to 1000 seconds",
        ),
        ("uftp -r 1:2 f", "Missing max_grtt"),
        ("uftp -r 1:3:2 f", "Invalid min_grtt/max_grtt"),
        ("uftp -r 5:1:2 f", "Invalid grtt"),
        ("uftp -r 1:x:2 f", "Invalid min_grtt"),
        ("uftp -r 1:1:nan f", "Invalid max_grtt"),
        ("uftp -r 1:1:2:3 f", "Invalid grtt"),
        ("uftp -Y rot13 f", "Invalid keytype"),
        ("uftp -h md5 f", "Invalid hashtype"),
        ("uftp -w aead f", "Invalid sigtype"),
        ("uftp -e dh f", "Invalid keyextype"),
        ("uftp -e ecdh_rsa:P-256 f", "Invalid curve"),
        ("uftp -C tfmcc:max=0 f", "Invalid rate"),
        ("uftp -C pgmcc f", "Invalid congestion control type"),
        (
            "uftp --protocol 6 f",
            "Invalid protocol: expected 3, 4 or 5",
        ),
        ("uftp f -R", "option -R (--rate) requires an argument"),
        ("uftp f -w x", "Invalid sigtype"),
        ("uftp -8 f", "unknown option -8"),
        ("uftp --nonsense f", "unknown option --nonsense"),
        ("uftp --rat 5 f", "unknown option --rat"),
        (
            "uftp --sync=1 f",
            "option -z (--sync) takes no argument: '1'",
        ),
        (
            "uftp -g 0 f",
            "Invalid max log size: expected a number from 1 to 1024",
        ),
        ("uftp -g 1025 f", "Invalid max log size"),
        ("uftpd -g 1M", "Invalid max log size"),
        (
            "uftp -n 0 f",
            "Invalid max log count: expected a number from 1 to 1000",
        ),
        ("uftpd -n 1001", "Invalid max log count"),
        ("uftpd -c 10239", "Invalid cache size"),
        ("uftpd -p 1044x", "Invalid port"),
        ("uftpd -N 20", "Invalid priority value"),
        ("uftpd -N -21", "Invalid priority value"),
        ("uftpd -N low", "Invalid priority value"),
        ("uftpd -c 20971521", "Invalid cache size"),
        ("uftpd --protocol 2", "Invalid protocol: expected 3, 4 or 5"),
    ] {
        let message = complaint_about(line);
        let program = line.split(' ').next().unwrap();
        let (first, last) = message.split_once('\n').unwrap();
        assert!(
            first.starts_with(&format!("{program}: {want}")),
            "{line}: {message}"
        );
        let usage = format!("Usage: {program} [options]");
        assert!(
            last.starts_with(&usage) && !last.contains('\n'),
            "{message}"
        );
    }
}

#[test]
fn help_and_version_are_shown() {
    let Ok(Parsed::Show(help)) = parse_as::<uftp::Args>(words("uftp --help"), false) else {
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
    let Ok(Parsed::Show(version)) = parse_as::<uftpd::Args>(words("uftpd --version"), false) else {
        panic!("no version");
    };
    assert!(version.starts_with("uftpd "));
}

#[test]
fn every_option_is_in_help_and_completions() {
    fn check<T: Program + std::fmt::Debug>(name: &str) {
        let Ok(Parsed::Show(help)) = parse_as::<T>(words(&format!("{name} --help")), false) else {
            panic!("no help");
        };
        let all = command::<T>();
        for shell in SHELLS {
            let line = format!("{name} --print-completions {shell}");
            let Ok(Parsed::Show(script)) = parse_as::<T>(words(&line), false) else {
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

#[tokio::test]
async fn what_is_meant_is_checked_as_a_whole() {
    let mut rng = crate::common::seeded().unwrap();
    for (line, code, want) in [
        ("uftp", 1, "there is nothing to send"),
        ("uftp f -H ", 1, "the host list '' is empty"),
        ("uftp f -H ,", 1, "the host list ',' is empty"),
        ("uftp f -H @/no/list", 1, "Couldn't open destination list"),
        ("uftp -i /no/list", 1, "Couldn't open file list"),
        ("uftp f -X /no/list", 1, "Couldn't open exclude list"),
        ("uftp f -H 1 -j /no/list", 1, "Couldn't open proxy list"),
        (
            "uftp -F /no/file",
            1,
            "Failed to open restart file: /no/file",
        ),
        ("uftp -F x -H 1", 1, "Can't specify both -H and -F"),
        ("uftp -H 1 -F x", 1, "Can't specify both -H and -F"),
        ("uftp -F x -i y", 1, "Can't specify both -i and -F"),
        ("uftp -i y -F x", 1, "Can't specify both -i and -F"),
        ("uftp -i x -i y", 1, "Can't specify both -i and -F"),
        (
            "uftp -f -z f",
            1,
            "Cannot use restart mode and sync mode together",
        ),
        (
            "uftp -Z -F x",
            1,
            "Cannot use restart mode and sync mode together",
        ),
        (
            "uftp f --protocol 5 -Y des",
            1,
            "-Y des does not exist in protocol 5, which was chosen (option --protocol)",
        ),
        ("uftp f --protocol 5 -w hmac", 1, "-w hmac does not exist"),
        ("uftp f --protocol 5 -e rsa", 1, "-e rsa does not exist"),
        (
            "uftp f -K rsa:4096",
            1,
            "Invalid new key length: 4096: expected 1024 to 3072 bits in protocol 5",
        ),
        ("uftp f -e secp256k1", 1, "Invalid curve: secp256k1"),
        ("uftp @DELETE:", 1, "@DELETE: would delete everything"),
        ("uftp @DELETE:.", 1, "@DELETE:. would delete everything"),
        ("uftp f -I nosuch0", 1, "Invalid name/address nosuch0"),
        ("uftp f -M 230.4.4.1 -P ff15::1", 2, "IP version mismatch"),
        ("uftp f -M ff15::1", 2, "an IPv6 public address"),
        (
            "uftp f -Y aes256-gcm -k /no/key",
            3,
            "/no/key: failed to open key file",
        ),
        ("uftp f -Y aes256-gcm -K 100", 1, "Invalid new key length"),
        (
            "uftp f -Y aes256-gcm -e ecdh_rsa -K ec:secp256r1",
            3,
            "the session cannot be encrypted: key exchange ecdh_rsa needs an RSA key",
        ),
        (
            "uftp f -Y aes256-gcm -h sha512 -K 512",
            3,
            "the session cannot be encrypted",
        ),
        ("uftp f -P 10.0.0.x", 1, "Invalid private address 10.0.0."),
        (
            "uftp f -I 127.0.0.1 -M ff15::1 -P ff15::x",
            2,
            "IP version mismatch",
        ),
    ] {
        let failure = uftp(line).validate(&mut rng).await.unwrap_err();
        assert!(failure.message.starts_with(want), "{line}: {failure}");
        assert_eq!(failure.exit as u8, code, "{line}: {failure}");
    }
    for (line, code, want) in [
        (
            "uftpd -M 10.0.0.1 -I lo",
            2,
            "10.0.0.1 is not a multicast address",
        ),
        ("uftpd -I lo -t -T /t", 1, "Cannot specify both -t and -T"),
        (
            "uftpd -I lo -s relative",
            1,
            "must specify absolute pathname for postreceive script",
        ),
        ("uftpd -I nosuch0", 1, "Invalid name/address nosuch0"),
        (
            "uftpd -I lo -k /no/key",
            3,
            "/no/key: failed to open key file",
        ),
        (
            "uftpd -I lo -k /no/a,/no/b -K ec:secp256r1",
            1,
            "1 keys are to be made",
        ),
        ("uftpd -I lo -K rsa:100", 1, "Invalid RSA key size"),
        ("uftpd -I lo -o", 1, "SSM mode enabled but no server list"),
        (
            "uftpd -I lo -S /no/list",
            1,
            "Couldn't open server list /no/list",
        ),
        (
            "uftpd -I lo -o -S /dev/null",
            1,
            "Invalid source specific multicast address: 230.4.4.1",
        ),
    ] {
        let failure = uftpd(line).validate().await.unwrap_err();
        assert!(failure.message.starts_with(want), "{line}: {failure}");
        assert_eq!(failure.exit as u8, code, "{line}: {failure}");
    }
}

#[tokio::test]
async fn addresses_and_ids_get_their_defaults() {
    let mut rng = crate::common::seeded().unwrap();
    let job = uftp("uftp f -I 127.0.0.1 -p 99")
        .validate(&mut rng)
        .await
        .unwrap();
    assert_eq!(job.config.uid, Uid(0x7F00_0001));
    assert_eq!(job.config.public, "230.4.4.1:99".parse().unwrap());
    assert!(job.config.private.to_string().starts_with("230.5.5."));
    assert_ne!(job.config.group.0, 0);
    assert_eq!(job.config.clients, None);

    let job = uftp("uftp f -I 127.0.0.1 -M 10.0.0.9 -U 7")
        .validate(&mut rng)
        .await
        .unwrap();
    assert_eq!(job.config.private, job.config.public);
    assert_eq!(job.config.uid, Uid(7));

    let mut drawn = std::collections::HashSet::new();
    for _ in 0..20 {
        let line = "uftp f -I 127.0.0.1 -P 239.x.x.x -H 0x9";
        let job = uftp(line).validate(&mut rng).await.unwrap();
        assert!(job.config.private.to_string().starts_with("239."));
        assert_eq!(job.config.clients.unwrap()[0].uid, Uid(9));
        drawn.insert(job.config.private);
    }
    assert!(drawn.len() > 10);

    let job = uftpd("uftpd -I lo -D /a,/b -D /c -M 230.4.4.1,230.4.4.1")
        .validate()
        .await
        .unwrap();
    assert_eq!(job.config.uid, Uid(0x7F00_0001));
    assert_eq!(job.groups.len(), 1);
    assert_eq!(job.store.dest_dirs.len(), 3);
    let job = uftpd("uftpd -I lo -D ").validate().await.unwrap();
    assert_eq!(job.store.dest_dirs, [std::path::PathBuf::from("/tmp")]);

    let line = "uftpd -I lo -D /d -A /a, -A /b -i -s /bin/true -T /t -T /u -N -5 -c 20971520";
    let args = uftpd(line);
    assert_eq!(args.process.priority, -5);
    let job = args.validate().await.unwrap();
    assert_eq!(job.config.cache_size, 20_971_520);
    let store = crate::store::StoreConfig {
        dest_dirs: vec!["/d".into()],
        backup_dirs: vec!["/a".into(), "/b".into()],
        temp_dir: Some("/u".into()),
        move_individually: true,
        post_receive: Some("/bin/true".into()),
        fsync: crate::store::Fsync::File,
    };
    assert_eq!(job.store, store);
    let job = uftpd("uftpd -I lo -A  -t -T  -s ")
        .validate()
        .await
        .unwrap();
    assert!(job.store.backup_dirs.is_empty() && job.store.temp_dir.is_none());
}
