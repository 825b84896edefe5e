//! `cargo xtask demo`: the main job for real, on this machine alone.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use nix::{
    sched::{CloneFlags, unshare},
    unistd::{getegid, geteuid},
};
use uftp_tests::{
    Failure, Program, Result, first_difference, run, wait_until_listening, without_settings,
    write_file,
};

use crate::{
    options::Options,
    packages::{Need, install_missing},
    programs::build,
    room::{Runs, roomy},
};

/// Bytes of the file made when none is named.
const SAMPLE: u64 = 100_000_000;

/// The port and the group of the demonstration, the programs' own defaults.
const PORT: u16 = 1044;
const GROUP: &str = "230.4.4.1";

/// The longest the transfer may take.
const BOUND: Duration = Duration::from_secs(3600);

/// Builds the programs, sends a file from one to the other, compares, and says how it went.
pub(crate) fn demo(options: &mut Options) -> Result<ExitCode> {
    let named = options.next().map(PathBuf::from);
    if let Some(more) = options.next() {
        return Err(Failure::new(format!(
            "demo sends one file, what is {more:?}?"
        )));
    }
    let named = named.map(|file| regular_file(&file)).transpose()?;
    install_missing(Need::Demo)?;
    let programs = build(true)?;
    println!("{}", enter_namespace());

    // What is made here: a copy, and what it is a copy of.
    let bytes = match &named {
        Some(file) => length(file)?,
        None => 2 * SAMPLE,
    };
    let dir = Directory::new(bytes)?;
    let file = match named {
        Some(file) => file,
        None => {
            let sample = dir.path.join("sample");
            println!("making a sample of {} MB", SAMPLE / 1_000_000);
            write_file(&sample, SAMPLE)?;
            sample
        }
    };
    transfer(&programs, &dir, &file)
}

fn regular_file(file: &Path) -> Result<PathBuf> {
    let doing = || format!("the file to send, {}", file.display());
    let path = fs::canonicalize(file).map_err(|error| Failure::io(doing(), error))?;
    if path.is_file() {
        Ok(path)
    } else {
        Err(Failure::new(format!("{}: not a regular file", doing())))
    }
}

fn length(file: &Path) -> Result<u64> {
    let meta = fs::metadata(file);
    meta.map(|meta| meta.len())
        .map_err(|error| Failure::io(format!("reading {}", file.display()), error))
}

fn transfer(programs: &Path, dir: &Directory, file: &Path) -> Result<ExitCode> {
    let dest = dir.path.join("received");
    fs::create_dir(&dest)
        .map_err(|error| Failure::io(format!("creating {}", dest.display()), error))?;
    let size = length(file)?;

    let log = dir.path.join("uftpd.log");
    let mut uftpd = Command::new(programs.join("uftpd"));
    without_settings(&mut uftpd)
        // It takes nothing that is not encrypted.
        .args(["-d", "-q", "-E", "-I", "127.0.0.1"])
        .args(["-U", "0x00000001", "-D"])
        .arg(&dest);
    told(&uftpd);
    let mut receiver = Program::start("uftpd", uftpd, &log)?;
    wait_until_listening(&mut receiver, "uftpd", PORT, GROUP)?;

    let mut uftp = Command::new(programs.join("uftp"));
    without_settings(&mut uftp)
        .args(["-I", "127.0.0.1", "-R", "-1", "-H", "0x00000001"])
        .arg(file);
    told(&uftp);
    let exit = Program::start_as_is("uftp", uftp, Path::new(""))?.wait(BOUND)?;

    let verdict = if exit.code == Some(0) {
        identical(file, &dest)
    } else {
        Err(format!("uftp failed: {exit:?}"))
    };
    match verdict {
        Ok(received) => {
            println!(
                "\nreceived {} bytes in {:.2} s, {:.1} MB/s, encrypted on the way, identical to what \
                 was sent",
                received,
                exit.elapsed.as_secs_f64(),
                size as f64 / 1e6 / exit.elapsed.as_secs_f64()
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(reason) => {
            println!("\nwhat uftpd said:\n{}", receiver.output());
            Err(Failure::new(format!("the demonstration failed: {reason}")))
        }
    }
}

/// Compares what was sent with what lies in `dest`; the length when they are the same.
fn identical(file: &Path, dest: &Path) -> std::result::Result<u64, String> {
    let received = dest.join(file.file_name().unwrap_or_default());
    let length = |path: &Path| {
        fs::metadata(path)
            .map(|meta| meta.len())
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    let (wanted, got) = (length(file)?, length(&received)?);
    if wanted != got {
        return Err(format!("{got} bytes arrived of {wanted}"));
    }
    match first_difference(file, &received)? {
        None => Ok(got),
        Some(offset) => Err(format!("what arrived differs from byte {offset}")),
    }
}

/// Shows the command as a person would type it.
fn told(command: &Command) {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    println!("$ {}", words.join(" "));
    let _ = std::io::stdout().flush();
}

/// Moves this process into a network namespace with nothing but a loopback interface, if that is
/// possible, and says where the transfer will happen.
fn enter_namespace() -> String {
    let entered = if geteuid().is_root() {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| Failure::io("unshare", error))
    } else {
        enter_as_user()
    };
    let ready = entered.and_then(|()| {
        run(
            "ip",
            &["-batch", "-"],
            "link set lo up multicast on\nroute add 224.0.0.0/4 dev lo\n",
        )
    });
    match ready {
        Ok(_) => "the transfer happens on the loopback interface of a network namespace".to_owned(),
        Err(failure) => format!(
            "the transfer happens on the machine's loopback interface, as there can be no namespace ({failure})"
        ),
    }
}

/// A user's way: a user namespace, in which this user counts as root.
///
/// Where users may make one but not use it (Ubuntu, sandboxes) this process could not leave it again, so another
/// one goes first.
fn enter_as_user() -> Result<()> {
    let trial = ["--map-root-user", "--net", "ip", "link", "set", "lo", "up"];
    run("unshare", &trial, "")?;
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|error| Failure::io("unshare", error))?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        let path = format!("/proc/self/{file}");
        fs::write(&path, text).map_err(|error| Failure::io(&path, error))?;
    }
    Ok(())
}

/// The demonstration's directory, removed at the end.
struct Directory {
    path: PathBuf,
}

impl Directory {
    /// One with room for so many bytes.
    fn new(bytes: u64) -> Result<Self> {
        let parent = roomy(bytes, Runs::Nothing)?;
        let path = parent.join(format!("uftp-demo-{}", std::process::id()));
        fs::create_dir(&path)
            .map_err(|error| Failure::io(format!("creating {}", path.display()), error))?;
        Ok(Self { path })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
