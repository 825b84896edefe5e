//! What the programs do alike.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use uftp_net::{NetError, Socket, SocketConfig};
use uftp_proto::WireTime;
use uftp_session::{Counters, Refusal};

use crate::exit::{Exit, Failure};
use crate::options::common::DEFAULT_BUFFER_SIZE;
use crate::options::{self, Parsed, Program};
use crate::say;

/// The files, sockets and the like that a program has open beside those it was started with, while it
/// sends or receives in a few directories of a tree.
const FILES_AT_ONCE: usize = 24;

/// Reads the command line and runs `program`; says what went wrong, if anything did.
pub(crate) fn run<T: Program>(
    words: impl IntoIterator<Item = OsString>,
    program: impl FnOnce(Parsed<T>) -> Result<Exit, Failure>,
) -> Exit {
    let ended = options::parse(words).and_then(program);
    ended.unwrap_or_else(|failure| {
        // Standard error may be closed, or be a log by now.
        let _ = writeln!(std::io::stderr(), "{}", options::complaint::<T>(&failure));
        failure.exit
    })
}

/// Sees to it that [`FILES_AT_ONCE`] more can be opened: where they are too few, all are taken that the
/// system would grant.
///
/// # Errors
/// They are still too few.
pub(crate) fn let_enough_open() -> Result<(), Failure> {
    let try_out = || {
        let files = (0..FILES_AT_ONCE).map(|_| fs::File::open("/dev/null"));
        files.collect::<io::Result<Vec<_>>>().map(drop)
    };
    let tried = match try_out() {
        Err(error) if error.raw_os_error() == Some(Errno::EMFILE as i32) => {
            let mut limit = getrlimit(Resource::Nofile);
            limit.current = limit.maximum;
            let raised = setrlimit(Resource::Nofile, limit);
            raised.map_err(io::Error::from).and_then(|()| try_out())
        }
        tried => tried,
    };
    tried.map_err(|error| {
        let text = format!(
            "can't have {FILES_AT_ONCE} files open at once: {error}; allow more (ulimit -n, LimitNOFILE=)"
        );
        Failure::new(Exit::Resources, text)
    })
}

/// Prints what `--help` and `--version` ask for.
pub(crate) fn show(text: &str) -> Result<Exit, Failure> {
    // A reader that has seen enough is no failure.
    let _ = write!(std::io::stdout(), "{text}");
    Ok(Exit::Success)
}

/// Says that `--check` has found nothing wrong.
pub(crate) fn in_order(program: &str) -> Result<Exit, Failure> {
    show(&format!("{program}: everything is in order\n"))
}

/// Whether a file can be opened to append to; it is neither opened nor made.
///
/// # Errors
/// Why not.
pub(crate) fn can_append(path: &Path) -> io::Result<()> {
    let may = |path: &Path, what| {
        faccessat(AT_FDCWD, path, what, AtFlags::AT_EACCESS).map_err(io::Error::from)
    };
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::Error::from(Errno::EISDIR)),
        Ok(_) => may(path, AccessFlags::W_OK),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let dir = path.parent().unwrap_or(path);
            let dir = match dir.as_os_str().is_empty() {
                true => Path::new("."),
                false => dir,
            };
            may(dir, AccessFlags::W_OK | AccessFlags::X_OK)
        }
        Err(error) => Err(error),
    }
}

/// The runtime for signals, timers and names; the session has its own thread.
///
/// # Errors
/// There is none to be had, or nothing could be done with it.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let_enough_open()?;
    // If anything else of OpenSSL came first, it would free its memory as the program ends, under
    // threads that a second signal does not wait for.
    openssl::init();
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Resources, format!("can't start: {error}")))
}

/// The wall clock, for stamps that only their author reads.
pub(crate) fn wall_clock() -> WireTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    WireTime(0).plus(since)
}

/// Makes the socket, and says so if the kernel grants smaller buffers than the user asked for.
///
/// # Errors
/// The socket cannot be made or bound.
pub(crate) fn bind(config: &SocketConfig) -> Result<Socket, Failure> {
    let socket = Socket::bind(config).map_err(|error| {
        let hint = match &error {
            NetError::Bind { source, .. } => match source.kind() {
                ErrorKind::AddrInUse => {
                    "; another program has the port, perhaps uftpd or uftpproxyd: end it, or choose \
                     another port (-p, of uftp -u)"
                }
                ErrorKind::PermissionDenied => {
                    "; ports below 1024 take root or CAP_NET_BIND_SERVICE"
                }
                _ => "",
            },
            _ => "",
        };
        Failure::network(format!("{error}{hint}"))
    })?;
    let granted = socket.granted_buffers();
    let least = granted.recv.min(granted.send);
    if least < config.buffer_size && config.buffer_size != DEFAULT_BUFFER_SIZE {
        say!(
            1,
            "The kernel grants socket buffers of {} bytes for receiving and {} for sending \
             instead of {} (-B); raise net.core.rmem_max and net.core.wmem_max",
            granted.recv,
            granted.send,
            config.buffer_size
        );
    }
    Ok(socket)
}

/// Logs what a session machine has counted.
pub(crate) fn tell_counters(counters: &Counters) {
    let refused = Refusal::ALL.map(|why| format!("{why} {}", counters.refused(why)));
    say!(
        0,
        "Counters: {} datagrams received, {} sent, {} refused ({})",
        counters.received,
        counters.sent,
        counters.refused_in_all(),
        refused.join(", ")
    );
}

/// Randomness from the operating system.
///
/// # Errors
/// The system has none.
pub(crate) fn seeded() -> Result<StdRng, Failure> {
    StdRng::try_from_rng(&mut SysRng).map_err(|error| {
        Failure::new(
            Exit::Resources,
            format!("the system gives no random numbers: {error}"),
        )
    })
}
