//! Values, one by one.

use std::time::Duration;

use uftp_proto::Uid;
use uftp_proto::wire::Version;
use uftp_session::sender::Rate;

use super::{complaint_about, uftp, uftpd};

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
    assert_eq!(uftp("uftp -x 99 f").common.log.log_level, 5);
    assert_eq!(uftp("uftp -Q 0x2e f").common.socket.dscp, 46);
    assert_eq!(uftp("uftp -U 12345678 f").uid, Some(Uid(0x1234_5678)));
    let ms = Duration::from_millis;
    let grtt = uftp("uftp -r 0.1:0.01:0.2 f").grtt.unwrap();
    assert_eq!(
        (grtt.initial, grtt.min, grtt.max),
        (ms(100), ms(10), ms(200))
    );
    for line in ["uftp -r 100 f", "uftp -r 100:: f"] {
        let grtt = uftp(line).grtt.unwrap();
        let (min, max) = (ms(10), ms(15_000));
        assert_eq!((grtt.initial, grtt.min, grtt.max), (ms(100_000), min, max));
    }
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
fn protocols_by_the_versions_of_their_programs() {
    for (version, texts) in [
        (Version::V3, &["3", "3.0", "3.4", "3.4.3"][..]),
        (Version::V3Sync, &["3.5", "3.6", "3.6.1", "3.7"]),
        (Version::V4, &["4", "4.0", "4.10", "4.10.2"]),
        (Version::V5, &["5", "5.0", "5.0.1"]),
    ] {
        for text in texts {
            let args = uftp(&format!("uftp f --protocol {text}"));
            assert_eq!(args.protocol, Some(version), "{text}");
        }
    }
    for text in ["3.8", "3.", "+3", "4.11", "5.1", "5.0.1.2", "2", ""] {
        let message = complaint_about(&format!("uftp f --protocol={text}"));
        assert!(message.contains("3.5 to 3.7"), "{message}");
    }
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
        ("uftp -r : f", "Invalid grtt"),
        ("uftp -r 1:2 f", "Missing max_grtt"),
        ("uftp -r :1:2 f", "Missing max_grtt"),
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
