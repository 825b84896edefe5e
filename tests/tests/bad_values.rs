//! Values that are refused: exit code 1 (2 where the network's names are concerned, 3 for keys, 4 for
//! logs), with the option and what was expected. Where 4.10.2 refuses too it does so with the same code,
//! and its words are among ours.

use std::{fs, process::Output, time::Duration};

use uftp_runtime::options::{Program, command, uftp, uftp_keymgt, uftpd, uftpproxyd};
use uftp_tests::{Failure, Result, Suite, World};

/// What the reference does with a line.
#[derive(Clone, Copy, PartialEq)]
enum Theirs {
    /// It ends with the same code and says these words.
    Says(&'static str),
    /// It ends with another code.
    Ends(i32),
    /// It takes it for something else and goes on, or is not asked.
    Takes,
}

use Theirs::{Ends, Says, Takes};

/// A command line, the code it ends with, and what is said of it.
type Bad = (&'static str, i32, &'static [&'static str], Theirs);

/// Lines of `uftp`; the file to send is added. Words in which `''` stands for nothing; the lists are
/// made by [`lists`].
const UFTP: &[Bad] = &[
    (
        "-R 0",
        1,
        &["-R (--rate)", "1 to 1073741824"],
        Says("Invalid rate"),
    ),
    (
        "-R -2",
        1,
        &["-R (--rate)", "1 to 1073741824"],
        Says("Invalid rate"),
    ),
    ("-R 1073741825", 1, &["-R (--rate)"], Says("Invalid rate")),
    (
        "-R fast",
        1,
        &["-R (--rate)", "'fast'"],
        Says("Invalid rate"),
    ),
    ("-R 10x", 1, &["-R (--rate)", "'10x'"], Takes),
    ("-R ''", 1, &["-R (--rate)"], Says("Invalid rate")),
    (
        "-C pgmcc",
        1,
        &["-C (--cong", "none or tfmcc"],
        Says("Invalid congestion control type"),
    ),
    (
        "-C ''",
        1,
        &["-C (--cong", "none or tfmcc"],
        Says("Error reading cc_type"),
    ),
    (
        "-C :",
        1,
        &["-C (--cong", "none or tfmcc"],
        Says("Error reading cc_type"),
    ),
    (
        "-C tfmcc:mean=5",
        1,
        &["-C (--cong", "max, min or init"],
        Says("Invalid rate type"),
    ),
    (
        "-C tfmcc:max=0",
        1,
        &["-C (--cong", "1 to 1073741824"],
        Says("Invalid rate"),
    ),
    (
        "-C tfmcc:max",
        1,
        &["-C (--cong", "1 to 1073741824"],
        Says("Invalid rate"),
    ),
    (
        "-C tfmcc:0",
        1,
        &["-C (--cong", "1 to 1073741824"],
        Says("Invalid max rate"),
    ),
    (
        "-C tfmcc:max=1:min=2",
        1,
        &["-C (--cong", "min <= init"],
        Says("Invalid rate"),
    ),
    (
        "-C tfmcc:max=1:init=2",
        1,
        &["-C (--cong", "min <= init"],
        Says("Invalid rate"),
    ),
    (
        "-C tfmcc:min=2:init=1",
        1,
        &["-C (--cong", "min <= init"],
        Says("Invalid rate"),
    ),
    (
        "-L /no/dir/log",
        4,
        &["-L", "/no/dir/log"],
        Says("Can't open log file"),
    ),
    (
        "-g 0",
        1,
        &["-g (--max-log-size)", "1 to 1024"],
        Says("Invalid max log size"),
    ),
    (
        "-g 1025",
        1,
        &["-g (--max-log-size)", "1 to 1024"],
        Says("Invalid max log size"),
    ),
    (
        "-g big",
        1,
        &["-g (--max-log-size)"],
        Says("Invalid max log size"),
    ),
    (
        "-n 0",
        1,
        &["-n (--max-log-count)", "1 to 1000"],
        Says("Invalid max log count"),
    ),
    (
        "-n 1001",
        1,
        &["-n (--max-log-count)", "1 to 1000"],
        Says("Invalid max log count"),
    ),
    (
        "-x -1",
        1,
        &["-x (--log-level)", "0 to 5"],
        Says("Invalid log level"),
    ),
    ("-x loud", 1, &["-x (--log-level)", "0 to 5"], Takes),
    ("-x ''", 1, &["-x (--log-level)", "0 to 5"], Takes),
    (
        "-B 65535",
        1,
        &["-B (--buffer-size)", "65536 to 104857600", "buffer size"],
        Ends(1),
    ),
    (
        "-B 104857601",
        1,
        &["-B (--buffer-size)", "buffer size"],
        Ends(1),
    ),
    (
        "-B much",
        1,
        &["-B (--buffer-size)", "buffer size"],
        Ends(1),
    ),
    (
        "-b 511",
        1,
        &["-b (--block-size)", "512 to 8800"],
        Says("Invalid blocksize"),
    ),
    (
        "-b 8801",
        1,
        &["-b (--block-size)", "512 to 8800"],
        Says("Invalid blocksize"),
    ),
    (
        "-b block",
        1,
        &["-b (--block-size)", "512 to 8800"],
        Says("Invalid blocksize"),
    ),
    ("-t 0", 1, &["-t (--ttl)", "1 to 255"], Says("Invalid ttl")),
    (
        "-t 256",
        1,
        &["-t (--ttl)", "1 to 255"],
        Says("Invalid ttl"),
    ),
    (
        "-t far",
        1,
        &["-t (--ttl)", "1 to 255"],
        Says("Invalid ttl"),
    ),
    (
        "-Q 64",
        1,
        &["-Q (--dscp)", "0 to 63"],
        Says("Invalid dscp"),
    ),
    (
        "-Q -1",
        1,
        &["-Q (--dscp)", "0 to 63"],
        Says("Invalid dscp"),
    ),
    ("-Q first", 1, &["-Q (--dscp)", "0 to 63"], Takes),
    (
        "-I nosuch0",
        1,
        &["-I", "nosuch0"],
        Says("Invalid name/address nosuch0"),
    ),
    (
        "-I 10.99.0.1",
        1,
        &["-I", "not found"],
        Says("Interface 10.99.0.1 not found"),
    ),
    ("-I ''", 1, &["-I"], Takes),
    (
        "-M no.such.invalid",
        2,
        &["-M", "no.such.invalid"],
        Says("Invalid public address"),
    ),
    ("-M ''", 2, &["-M", "Invalid public address"], Takes),
    ("-M ff15::1", 2, &["-M", "-P"], Ends(2)),
    (
        "-P no.such.invalid",
        2,
        &["-P", "no.such.invalid"],
        Says("Invalid private address"),
    ),
    ("-P ''", 2, &["-P", "Invalid private address"], Takes),
    ("-P ff15::1", 2, &["-P", "-M"], Says("IP version mismatch")),
    (
        "-P 10.0.0.x",
        1,
        &["-P", "expected a multicast address"],
        Takes,
    ),
    ("-p http-like", 1, &["-p (--port)", "1 to 65535"], Ends(2)),
    ("-p 0", 1, &["-p (--port)", "1 to 65535"], Takes),
    ("-p 65536", 1, &["-p (--port)", "1 to 65535"], Takes),
    ("-p ''", 1, &["-p (--port)", "1 to 65535"], Takes),
    ("-u any", 1, &["-u (--source-port)", "0 to 65535"], Ends(2)),
    ("-u 65536", 1, &["-u (--source-port)", "0 to 65535"], Takes),
    ("-U me", 1, &["-U (--uid)", "hexadecimal"], Takes),
    ("-U 123456789", 1, &["-U (--uid)", "hexadecimal"], Takes),
    (
        "-U 12345678901234567",
        1,
        &["-U (--uid)", "hexadecimal"],
        Says("Invalid UID"),
    ),
    (
        "-H ''",
        1,
        &["-H", "is empty", "expected at least one"],
        Takes,
    ),
    (
        "-H ,,",
        1,
        &["-H", "is empty", "expected at least one"],
        Takes,
    ),
    ("-H @empty", 1, &["-H", "'@empty' is empty"], Takes),
    (
        "-H @only/remarks",
        1,
        &["-H", "'@only/remarks' is empty"],
        Takes,
    ),
    (
        "-H @/no/list",
        1,
        &["-H", "/no/list"],
        Says("Couldn't open destination list"),
    ),
    ("-H @print", 1, &["-H, print:3", "expected 20"], Takes),
    (
        "-H @long",
        1,
        &["-H, long:2", "expected at most 79"],
        Says("name too long"),
    ),
    (
        "-H zz",
        1,
        &["-H", "expected a host name"],
        Says("Invalid UID zz"),
    ),
    ("-H 0", 1, &["-H", "other than 0"], Takes),
    ("-H 0xffffffff", 1, &["-H", "other than 0"], Takes),
    ("-H ff15::1", 1, &["-H", "expected a host name"], Takes),
    (
        "-j /no/list",
        1,
        &["-j", "/no/list"],
        Says("Couldn't open proxy list"),
    ),
    ("-j ''", 1, &["-j"], Says("Couldn't open proxy list")),
    ("-H 0x1 -j print", 1, &["-j, print:3", "expected 20"], Takes),
    (
        "-F /no/file",
        1,
        &["-F", "/no/file"],
        Says("Failed to open restart file"),
    ),
    ("-F ''", 1, &["-F"], Says("Failed to open restart file")),
    ("-F empty", 1, &["empty"], Ends(1)),
    ("-F any -H 0x1", 1, &["-H and -F"], Ends(1)),
    (
        "-H 0x1 -F any",
        1,
        &["receivers are those"],
        Says("Can't specify both -H and -F"),
    ),
    ("-F any -i remarks", 1, &["both -i and -F"], Ends(1)),
    ("-i remarks -F any", 1, &["both -i and -F"], Ends(1)),
    (
        "-f -z",
        1,
        &["-f", "-z"],
        Says("Cannot use restart mode and sync mode together"),
    ),
    (
        "-f -Z",
        1,
        &["-f", "-Z"],
        Says("Cannot use restart mode and sync mode together"),
    ),
    (
        "-X /no/list",
        1,
        &["-X", "/no/list"],
        Says("Couldn't open exclude list"),
    ),
    ("-X ''", 1, &["-X"], Says("Couldn't open exclude list")),
    (
        "-i /no/list",
        1,
        &["-i", "/no/list"],
        Says("Couldn't open file list"),
    ),
    ("-i ''", 1, &["-i"], Says("Couldn't open file list")),
    ("-i empty", 1, &["-i", "expected at least one file"], Takes),
    (
        "-i remarks -i remarks",
        1,
        &["-i twice"],
        Says("Can't specify both -i and -F"),
    ),
    (
        "-S /no/dir/status",
        1,
        &["-S", "/no/dir/status"],
        Says("Can't open status file"),
    ),
    (
        "-a 0",
        1,
        &["-a (--max-passes)", "1 to 65535"],
        Says("Invalid max passes"),
    ),
    (
        "-a 65536",
        1,
        &["-a (--max-passes)", "1 to 65535"],
        Says("Invalid max passes"),
    ),
    (
        "-m 0",
        1,
        &["-m (--max-nak-count)", "1 to 1000"],
        Says("Invalid max nak count"),
    ),
    (
        "-m 1001",
        1,
        &["-m (--max-nak-count)", "1 to 1000"],
        Says("Invalid max nak count"),
    ),
    (
        "-N -1",
        1,
        &["-N (--max-nak-percent)", "0 to 100"],
        Says("Invalid max_nak_pct"),
    ),
    (
        "-N 101",
        1,
        &["-N (--max-nak-percent)", "0 to 100"],
        Says("Invalid max_nak_pct"),
    ),
    ("-N all", 1, &["-N (--max-nak-percent)", "0 to 100"], Takes),
    (
        "-W 109",
        1,
        &["-W (--tx-weight)", "110 to 10000"],
        Says("Invalid txweight"),
    ),
    (
        "-W 10001",
        1,
        &["-W (--tx-weight)", "110 to 10000"],
        Says("Invalid txweight"),
    ),
    (
        "-r 0",
        1,
        &["-r (--grtt)", "0.001 to 1000"],
        Says("Invalid grtt"),
    ),
    (
        "-r 1001",
        1,
        &["-r (--grtt)", "0.001 to 1000"],
        Says("Invalid grtt"),
    ),
    (
        "-r soon",
        1,
        &["-r (--grtt)", "0.001 to 1000"],
        Says("Invalid grtt"),
    ),
    (
        "-r 1:2",
        1,
        &["-r (--grtt)", "initial:min:max"],
        Says("Missing max_grtt"),
    ),
    (
        "-r 1:0:2",
        1,
        &["-r (--grtt)", "0.001 to 1000"],
        Says("Invalid min_grtt"),
    ),
    (
        "-r 1:1:1001",
        1,
        &["-r (--grtt)", "0.001 to 1000"],
        Says("Invalid max_grtt"),
    ),
    (
        "-r 1:3:2",
        1,
        &["-r (--grtt)", "above"],
        Says("Invalid min_grtt/max_grtt"),
    ),
    (
        "-r 5:1:2",
        1,
        &["-r (--grtt)", "between"],
        Says("Invalid grtt"),
    ),
    ("-r :", 1, &["-r (--grtt)", "0.001 to 1000"], Ends(1)),
    (
        "-s 9",
        1,
        &["-s (--robust)", "10 to 50"],
        Says("Invalid robustness factor"),
    ),
    (
        "-s 51",
        1,
        &["-s (--robust)", "10 to 50"],
        Says("Invalid robustness factor"),
    ),
    (
        "-Y rot13",
        1,
        &["-Y (--cipher)", "aes256-gcm"],
        Says("Invalid keytype"),
    ),
    (
        "-Y ''",
        1,
        &["-Y (--cipher)", "aes256-gcm"],
        Says("Invalid keytype"),
    ),
    (
        "-h md5",
        1,
        &["-h (--hash)", "sha256"],
        Says("Invalid hashtype"),
    ),
    (
        "-w aead",
        1,
        &["-w (--signature)", "keyex"],
        Says("Invalid sigtype"),
    ),
    (
        "-e dh",
        1,
        &["-e (--key-exchange)", "ecdh_ecdsa"],
        Says("Invalid keyextype"),
    ),
    ("-e :", 1, &["-e (--key-exchange)", "ecdh_ecdsa"], Ends(1)),
    (
        "-e ecdh_rsa:curve",
        1,
        &["-e (--key-exchange)", "prime256v1"],
        Says("Invalid curve"),
    ),
    (
        "-Y aes256-gcm -k /no/key",
        3,
        &["-k", "/no/key"],
        Says("failed to open key file"),
    ),
    (
        "-Y aes256-gcm -k remarks",
        3,
        &["-k", "remarks", "uftp_keymgt"],
        Ends(3),
    ),
    (
        "-Y aes256-gcm -e rsa -k remarks -K 1024",
        3,
        &["-k", "remarks"],
        Says("won't overwrite"),
    ),
    (
        "-Y aes256-gcm -e rsa -K 511",
        1,
        &["-K", "512"],
        Says("Invalid new key length"),
    ),
    (
        "-Y aes256-gcm -e rsa -K much",
        1,
        &["-K", "512"],
        Says("Invalid new key length"),
    ),
    (
        "-Y aes256-gcm -e ecdh_ecdsa -K curve",
        1,
        &["-K"],
        Says("Invalid curve"),
    ),
    (
        "--protocol 7",
        1,
        &["--protocol", "expected 3, 4 or 5"],
        Takes,
    ),
    (
        "--min-clients 0",
        1,
        &["--min-clients", "1 to 100000"],
        Takes,
    ),
    (
        "--progress much",
        1,
        &["--progress", "auto, bar, lines, none"],
        Takes,
    ),
    (
        "--print-completions sh",
        1,
        &["--print-completions", "bash"],
        Takes,
    ),
    ("@DELETE:", 1, &["@DELETE:", "expected the name"], Takes),
    ("@DELETE:.", 1, &["@DELETE:.", "expected the name"], Takes),
    ("-8", 1, &["unknown option -8"], Ends(1)),
    ("--nonsense", 1, &["unknown option --nonsense"], Ends(1)),
    ("--rat 5", 1, &["unknown option --rat"], Ends(1)),
];

/// Lines of `uftpd` in the foreground; `-D` and `-I lo` go before them.
const UFTPD: &[Bad] = &[
    (
        "-p 0",
        1,
        &["-p (--port)", "1 to 65535"],
        Says("Invalid port"),
    ),
    ("-p 65536", 1, &["-p (--port)", "1 to 65535"], Takes),
    (
        "-p web",
        1,
        &["-p (--port)", "1 to 65535"],
        Says("Invalid port"),
    ),
    ("-U me", 1, &["-U (--uid)", "hexadecimal"], Takes),
    (
        "-U 12345678901234567",
        1,
        &["-U (--uid)", "hexadecimal"],
        Says("Invalid UID"),
    ),
    (
        "-B 65535",
        1,
        &["-B (--buffer-size)", "65536 to 104857600"],
        Says("Invalid buffer size"),
    ),
    (
        "-B 104857601",
        1,
        &["-B (--buffer-size)"],
        Says("Invalid buffer size"),
    ),
    (
        "-c 10239",
        1,
        &["-c (--cache-size)", "10240 to 20971520"],
        Says("Invalid cache size"),
    ),
    (
        "-c 20971521",
        1,
        &["-c (--cache-size)"],
        Says("Invalid cache size"),
    ),
    (
        "-c lots",
        1,
        &["-c (--cache-size)"],
        Says("Invalid cache size"),
    ),
    (
        "-Q 64",
        1,
        &["-Q (--dscp)", "0 to 63"],
        Says("Invalid dscp"),
    ),
    (
        "-Q -1",
        1,
        &["-Q (--dscp)", "0 to 63"],
        Says("Invalid dscp"),
    ),
    (
        "-x -1",
        1,
        &["-x (--log-level)", "0 to 5"],
        Says("Invalid log level"),
    ),
    (
        "-g 0",
        1,
        &["-g (--max-log-size)", "1 to 1024"],
        Says("Invalid max log size"),
    ),
    (
        "-g 1025",
        1,
        &["-g (--max-log-size)", "1 to 1024"],
        Says("Invalid max log size"),
    ),
    (
        "-n 0",
        1,
        &["-n (--max-log-count)", "1 to 1000"],
        Says("Invalid max log count"),
    ),
    (
        "-n 1001",
        1,
        &["-n (--max-log-count)", "1 to 1000"],
        Says("Invalid max log count"),
    ),
    (
        "-F /no/dir/status",
        1,
        &["-F", "/no/dir/status"],
        Says("Can't open status file"),
    ),
    (
        "-D relative",
        1,
        &["-D"],
        Says("must specify absolute pathname for dest directory"),
    ),
    (
        "-D /no/dir",
        1,
        &["-D", "/no/dir"],
        Says("couldn't write to dest directory"),
    ),
    (
        "-A relative",
        1,
        &["-A"],
        Says("must specify absolute pathname for backup directory"),
    ),
    ("-A /no/dir", 1, &["-A", "/no/dir"], Ends(1)),
    (
        "-A DEST",
        1,
        &["-A"],
        Says("corresponding backup dir and dest dir must be different"),
    ),
    (
        "-A /tmp,/var",
        1,
        &["-A", "-D"],
        Says("Must specify same number of backup directories"),
    ),
    ("-A /dev/shm", 1, &["-A", "same file system"], Ends(1)),
    (
        "-T relative",
        1,
        &["-T"],
        Says("must specify absolute pathname for temp directory"),
    ),
    ("-T /no/dir", 1, &["-T", "/no/dir"], Ends(1)),
    ("-T DEST", 1, &["-T", "must be different"], Ends(1)),
    ("-T /dev/shm", 1, &["-T", "same file system"], Ends(1)),
    (
        "-T /tmp -t",
        1,
        &["received beside"],
        Says("Cannot specify both -t and -T"),
    ),
    ("-T /tmp -A /var", 1, &["-T", "-A"], Ends(1)),
    ("-T /tmp -D /var", 1, &["-T", "-D"], Ends(1)),
    (
        "-s relative",
        1,
        &["-s"],
        Says("must specify absolute pathname for postreceive script"),
    ),
    (
        "-S /no/list",
        1,
        &["-S", "/no/list"],
        Says("Couldn't open server list"),
    ),
    (
        "-S remarks -M 232.1.1.1",
        1,
        &["-S, remarks:3"],
        Says("Invalid server UID here"),
    ),
    (
        "-S alone -M 232.1.1.1",
        1,
        &["-S, alone:1", "uid|address"],
        Ends(1),
    ),
    (
        "-S nobody -M 232.1.1.1",
        1,
        &["-S, nobody:1"],
        Says("Invalid server name/address"),
    ),
    (
        "-S prints -M 232.1.1.1",
        1,
        &["-S, prints:2", "fingerprint"],
        Takes,
    ),
    ("-o", 1, &["-o", "-S"], Ends(1)),
    (
        "-o -S servers",
        1,
        &["-o", "-M", "expected one of 232"],
        Ends(1),
    ),
    (
        "-R no.such.invalid",
        1,
        &["-R"],
        Says("Invalid proxy address"),
    ),
    ("-R /", 1, &["-R"], Says("Invalid host name")),
    ("-R 127.0.0.1/zz", 1, &["-R", "expected 20 bytes"], Takes),
    (
        "-k /no/key",
        3,
        &["-k", "/no/key"],
        Says("failed to open key file"),
    ),
    ("-k remarks", 3, &["-k", "remarks", "uftp_keymgt"], Ends(3)),
    (
        "-K rsa:511",
        1,
        &["-K", "expected 512"],
        Says("Invalid RSA key size"),
    ),
    (
        "-K ec:curve",
        1,
        &["-K", "prime256v1"],
        Says("Invalid EC curve"),
    ),
    (
        "-K dsa:1024",
        1,
        &["-K", "rsa:BITS"],
        Says("Invalid keyinfo entry"),
    ),
    (
        "-K rsa:1024 -k a,b",
        1,
        &["-K", "-k", "expected as many"],
        Ends(1),
    ),
    (
        "-N 20",
        1,
        &["-N (--priority)", "-20 to 19"],
        Says("Invalid priority value"),
    ),
    (
        "-N -21",
        1,
        &["-N (--priority)", "-20 to 19"],
        Says("Invalid priority value"),
    ),
    ("-N low", 1, &["-N (--priority)", "-20 to 19"], Takes),
    (
        "-H no.such.invalid",
        1,
        &["-H"],
        Says("Invalid heartbeat address"),
    ),
    ("-H 127.0.0.1:web", 1, &["-H", "1 to 65535"], Ends(1)),
    (
        "-h 0",
        1,
        &["-h (--heartbeat-interval)", "1 to 3600"],
        Says("Invalid heartbeat interval"),
    ),
    (
        "-h 3601",
        1,
        &["-h (--heartbeat-interval)"],
        Says("Invalid heartbeat interval"),
    ),
    (
        "-I nosuch0",
        1,
        &["-I", "nosuch0"],
        Says("Invalid name/address nosuch0"),
    ),
    (
        "-I 10.99.0.1",
        1,
        &["-I"],
        Says("Interface 10.99.0.1 not found"),
    ),
    (
        "-M no.such.invalid",
        1,
        &["-M"],
        Says("Invalid multicast address"),
    ),
    ("-M 10.0.0.1", 2, &["-M", "not a multicast address"], Takes),
    (
        "--protocol 7",
        1,
        &["--protocol", "expected 3, 4 or 5"],
        Takes,
    ),
    ("-8", 1, &["unknown option -8"], Ends(1)),
    ("--nonsense", 1, &["unknown option --nonsense"], Ends(1)),
];

/// Lines of `uftp_keymgt`. The reference hides failures with keys behind a 0.
const UFTP_KEYMGT: &[Bad] = &[
    (
        "-g rsa:511 new",
        1,
        &["-g", "512 to 8192"],
        Says("Invalid key size"),
    ),
    (
        "-g rsa:many new",
        1,
        &["-g", "512 to 8192"],
        Says("Invalid key size"),
    ),
    (
        "-g ec:curve new",
        1,
        &["-g", "prime256v1"],
        Says("Invalid curve"),
    ),
    (
        "-g dsa:1024 new",
        1,
        &["-g", "rsa:BITS"],
        Says("Invalid key specification"),
    ),
    ("-g ec:prime256v1 /no/dir/new", 1, &["/no/dir/new"], Ends(0)),
    ("-g ec:prime256v1", 1, &[], Says("No keyfile specified")),
    ("-d", 1, &[], Says("No keyfile specified")),
    (
        "-d -g ec:prime256v1 new",
        1,
        &[],
        Says("Can't specify both -g and -d"),
    ),
    ("/no/key", 1, &["/no/key"], Ends(0)),
    (
        "remarks",
        1,
        &["remarks: no such key", "uftp_keymgt"],
        Ends(0),
    ),
    ("-8", 1, &["unknown option -8"], Ends(0)),
];

/// The files that lines name, in the directory they are read in.
fn lists(world: &World) -> Result<()> {
    let long = "n".repeat(80);
    for (name, text) in [
        ("empty", "\n\r\n"),
        ("remarks", "# a remark\n\nhere|are no keys\n"),
        ("print", "# a remark\n0x1\n0x2|zz:11\n"),
        ("long", &format!("0x1\n{long}\n")),
        ("alone", "1\n"),
        ("nobody", "1|no.such.invalid\n"),
        ("prints", "1|10.0.0.1\n2|10.0.0.2|zz:11\n"),
        ("servers", "1|10.0.0.1\n"),
        ("file", "content"),
    ] {
        fs::write(world.dir().join(name), text)?;
    }
    // Where only remarks are meant.
    let only = world.make_dir("only")?;
    fs::write(only.join("remarks"), "# a remark\n")?;
    Ok(())
}

/// What a program of this suite says to a line.
fn output(
    world: &World,
    suite: Suite,
    protocol: Option<&str>,
    program: &str,
    before: &[&str],
    line: &str,
) -> Result<Output> {
    let dest = world.make_dir("dest")?.display().to_string();
    let words = before.iter().copied().chain(line.split(' '));
    let words = words.map(|word| match word {
        "''" => "",
        "DEST" => &dest,
        word => word,
    });
    let mut command = world.command(0, &suite.program(program)?);
    command.current_dir(world.dir()).env_remove("UFTP_PROTOCOL");
    command.envs(protocol.map(|protocol| ("UFTP_PROTOCOL", protocol)));
    command.args(words);
    match program {
        "uftp" if !line.starts_with("-i") && !line.contains("@DELETE") => command.arg("file"),
        _ => &mut command,
    };
    run(command)
}

/// Runs to its end; what goes on although it should not is killed.
fn run(mut command: std::process::Command) -> Result<Output> {
    use std::{os::unix::process::CommandExt as _, process::Stdio, thread, time::Instant};
    let told = format!("{command:?}");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.process_group(0);
    let mut child = command.spawn()?;
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > Duration::from_secs(10) {
            child.kill()?;
            let output = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Failure::new(format!("{told} goes on:\n{said}")));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(child.wait_with_output()?)
}

/// Tries all lines of a program and collects what is not as it should be.
fn refused(program: &str, before: &[&str], table: &[Bad]) -> Result<()> {
    let world = World::new("badvalues", 1)?;
    lists(&world)?;
    let mut wrong = Vec::new();
    let mut check = |suite, protocol, line: &str, code: i32, words: &[&str]| {
        let told = match output(&world, suite, protocol, program, before, line) {
            Err(failure) => failure.to_string(),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
                let quiet = output.stdout.is_empty();
                if output.status.code() == Some(code) && missing.is_empty() && quiet {
                    return;
                }
                format!("{}, without {missing:?}: {said}", output.status)
            }
        };
        let protocol = protocol.unwrap_or("by itself");
        wrong.push(format!("{suite:?} {program} {line} ({protocol}): {told}"));
    };
    for (line, code, words, theirs) in table {
        let phrase = match theirs {
            Says(phrase) => phrase,
            Ends(_) | Takes => "",
        };
        let all = [words, &[phrase][..]].concat();
        for protocol in [Some("4"), None] {
            check(Suite::Ours, protocol, line, *code, &all);
        }
        match theirs {
            Takes => {}
            Says(phrase) => check(Suite::Reference, None, line, *code, &[phrase]),
            Ends(code) => check(Suite::Reference, None, line, *code, &[]),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn of_uftp() -> Result<()> {
    refused("uftp", &["-I", "10.77.0.1"], UFTP)
}

#[test]
fn of_uftpd() -> Result<()> {
    refused("uftpd", &["-d", "-q", "-I", "lo", "-D", "DEST"], UFTPD)
}

#[test]
fn of_uftp_keymgt() -> Result<()> {
    refused("uftp_keymgt", &[], UFTP_KEYMGT)
}

/// An empty value of these is as good as none, as scripts with empty variables have it.
#[test]
fn empty_values_that_are_none() -> Result<()> {
    let world = World::new("emptyvalues", 2)?;
    lists(&world)?;
    let file = world.dir().join("file");
    for suite in [Suite::Reference, Suite::Ours] {
        let options = ["-F", "", "-A", "", "-T", "", "-s", "", "-k", "", "-K", ""];
        let more = ["-H", "", "-M", "", "-I", "", "-P", "", "-L", ""];
        let receiver = world
            .receiver(suite, 1)
            .args(&options)
            .args(&more)
            .start()?;
        let options = [
            "-S", "", "-L", "", "-U", "", "-D", "", "-E", "", "-k", "", "-K", "",
        ];
        let sender = world
            .sender(suite, 0)
            .invite(&[1])
            .args(&options)
            .file(&file);
        sender.run(Duration::from_secs(20))?.ended_with(0)?;
        let sent = fs::read(&file)?;
        assert_eq!(fs::read(receiver.dest().join("file"))?, sent, "{suite:?}");
        receiver.stop()?;
    }
    Ok(())
}

/// Every option that takes a value says so when there is none; every flag says that it takes none.
#[test]
fn values_that_are_missing_or_too_many() -> Result<()> {
    let world = World::new("missing", 1)?;
    one_program::<uftp::Args>(&world)?;
    one_program::<uftpd::Args>(&world)?;
    one_program::<uftpproxyd::Args>(&world)?;
    one_program::<uftp_keymgt::Args>(&world)
}

fn one_program<T: Program>(world: &World) -> Result<()> {
    let command = command::<T>();
    let program = command.get_name().to_owned();
    let said = |words: &[&str]| -> Result<String> {
        let mut command = world.command(0, &Suite::Ours.program(&program)?);
        command.args(words);
        let output = run(command)?;
        assert_eq!(output.status.code(), Some(1), "{program} {words:?}");
        assert_eq!(output.stdout, b"", "{program} {words:?}");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for option in command
        .get_arguments()
        .filter(|option| !option.is_positional())
    {
        let long = option.get_long().map(|long| format!("--{long}"));
        let short = option.get_short().map(|short| format!("-{short}"));
        for name in long.iter().chain(&short) {
            if option.get_action().takes_values() {
                let told = said(&["x", name])?;
                let wanted = "requires an argument";
                assert!(told.contains(name) && told.contains(wanted), "{told}");
            }
        }
        if let (Some(name), false) = (&long, option.get_action().takes_values()) {
            let told = said(&[&format!("{name}=x")])?;
            let wanted = "takes no argument";
            assert!(told.contains(name) && told.contains(wanted), "{told}");
        }
    }
    Ok(())
}
