//! A receiver in the background: what it tells who started it, its process id file, its rights,
//! its log.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::{User, mkfifo},
};
use uftp_tests::{
    Daemon, Failure, Program, Result, Suite, World, eventually, mount_privately, patience, runs_as,
    small_disk, write_file,
};

const BOUND: Duration = Duration::from_secs(60);

/// A host with a place for daemons.
struct Stage {
    world: World,
    dest: PathBuf,
    pid_file: PathBuf,
    log: PathBuf,
}

impl Stage {
    fn new(label: &str) -> Result<Self> {
        let world = World::new(label, 2)?;
        let log = world.make_dir("logs")?.join("log");
        Ok(Self {
            dest: world.make_dir("dest")?,
            pid_file: world.dir().join("pid"),
            log,
            world,
        })
    }

    /// Starts `uftpd` with this umask and these further options; the process that was started, at
    /// its end.
    fn launch(&self, umask: &str, more: &[&str]) -> Result<(Option<i32>, String)> {
        self.launch_by(&format!("umask {umask}; exec"), more)
    }

    /// As [`Self::launch`], by this command of the shell.
    fn launch_by(&self, exec: &str, more: &[&str]) -> Result<(Option<i32>, String)> {
        let shell = format!("{exec} \"$0\" \"$@\"");
        let mut command = self.world.command(1, Path::new("sh"));
        command.args(["-c", &shell]);
        command.arg(Suite::Ours.program("uftpd")?);
        command
            .args(["-q", "-U", "1", "-I", "eth0", "-D"])
            .arg(&self.dest);
        command
            .arg("-L")
            .arg(&self.log)
            .arg("-P")
            .arg(&self.pid_file);
        command.args(more);
        let mut parent = Program::start("parent", command, &self.world.log_path("parent"))?;
        Ok((parent.wait(BOUND)?.code, parent.output()))
    }

    /// Starts it, and expects it to serve when the process that was started has ended.
    fn start(&self, umask: &str, more: &[&str]) -> Result<Daemon> {
        let (code, output) = self.launch(umask, more)?;
        if code != Some(0) {
            return Err(Failure::new(format!("it ended with {code:?}: {output}")));
        }
        self.daemon()
    }

    /// The one of the process id file.
    fn daemon(&self) -> Result<Daemon> {
        Daemon::of(&self.pid_file)
    }

    fn send(&self, name: &str) -> Result<()> {
        let file = self.world.make_dir("content")?.join(name);
        write_file(&file, 10_000)?;
        let sender = self.world.sender(Suite::Ours, 0).invite(&[1]).file(&file);
        sender.run(BOUND)?.ended_with(0)
    }
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

#[test]
fn the_process_id_file() -> Result<()> {
    let stage = Stage::new("pidfile")?;
    // What a crash leaves: numbers of no process, or of another program.
    for left in ["999999999\n", &format!("{}\n", std::process::id()), "x"] {
        fs::write(&stage.pid_file, left)?;
        let daemon = stage.start("022", &[])?;
        assert_eq!(mode(&stage.pid_file)?, 0o644);
        assert!(daemon.runs());
        daemon.stop()?;
        assert!(!stage.pid_file.exists(), "it is removed at the end");
    }
    let daemon = stage.start("022", &[])?;
    let (code, output) = stage.launch("022", &["-p", "1045"])?;
    assert_eq!(code, Some(1), "{output}");
    let words = format!("names process {}, which is running already", daemon.pid());
    assert!(output.contains(&words), "{output}");
    let left = fs::read_to_string(&stage.pid_file)?;
    assert_eq!(
        left,
        format!("{}\n", daemon.pid()),
        "the first one's file stays"
    );
    stage.send("file")?;
    daemon.stop()
}

/// What is no file keeps nobody waiting.
#[test]
fn a_process_id_file_that_is_none() -> Result<()> {
    let stage = Stage::new("pidpipe")?;
    mkfifo(&stage.pid_file, Mode::from_bits_truncate(0o644)).map_err(std::io::Error::from)?;
    for (more, words) in [
        (&[][..], "it is a pipe"),
        (&["-P", "/dev/full"], "No space left on device"),
    ] {
        let (code, output) = stage.launch("022", more)?;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("can't write pid file"), "{output}");
        assert!(output.contains(words), "{output}");
    }
    assert!(stage.pid_file.exists());
    Ok(())
}

/// Too few descriptors are told of at once; if only the soft limit is low, more are taken.
#[test]
fn few_descriptors() -> Result<()> {
    let stage = Stage::new("few")?;
    for most in [6, 7, 12, 23] {
        let (code, output) = stage.launch_by(&format!("ulimit -n {most}; exec"), &[])?;
        assert_eq!(code, Some(5), "{most}: {output}");
        assert!(output.contains("ulimit -n"), "{most}: {output}");
        assert!(!stage.pid_file.exists());
    }
    let (code, output) = stage.launch_by("ulimit -Sn 12; exec", &[])?;
    assert_eq!(code, Some(0), "{output}");
    let daemon = stage.daemon()?;
    stage.send("file")?;
    daemon.stop()
}

/// Of daemons that begin at the same moment one gets the file, and the others end.
#[test]
fn one_process_id_file_for_many() -> Result<()> {
    let stage = Stage::new("pidrace")?;
    let start = |number: u16| {
        let port = (1044 + number).to_string();
        let mut command = stage.world.command(1, &Suite::Ours.program("uftpd")?);
        command.args(["-q", "-I", "eth0", "-p", &port, "-D"]);
        command.arg(&stage.dest).arg("-P").arg(&stage.pid_file);
        command.arg("-L").arg(stage.log.with_extension(&port));
        let name = format!("daemon {number}");
        Program::start(&name, command, &stage.world.log_path(&name))
    };
    let parents = (0..6).map(start).collect::<Result<Vec<_>>>()?;
    let mut well = 0;
    for mut parent in parents {
        match parent.wait(BOUND)?.code {
            Some(0) => well += 1,
            code => assert_eq!(code, Some(1), "{}", parent.output()),
        }
    }
    assert_eq!(well, 1);
    stage.daemon()?.stop()
}

/// Lists may be among the files it was started with (`-S <(COMMAND)` of a shell). It has none of these later.
#[test]
fn what_it_was_started_with() -> Result<()> {
    let stage = Stage::new("inherited")?;
    let list = stage.world.dir().join("list");
    fs::write(&list, "0000000A|10.0.0.1|0\n")?;
    let exec = format!("exec 9<'{}' 8>&9; exec", list.display());
    let (code, output) = stage.launch_by(&exec, &["-S", "/dev/fd/9"])?;
    assert_eq!(code, Some(0), "{output}");
    let daemon = stage.daemon()?;
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid()))?;
    let open: Vec<PathBuf> = open
        .map(|entry| fs::read_link(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    assert!(!open.contains(&list), "{open:?}");
    daemon.stop()
}

/// Asked to read its files again it does not wait for the other ends of pipes.
#[test]
fn pipes_are_not_read_again() -> Result<()> {
    let stage = Stage::new("pipes")?;
    let pipe = |name: &str| -> Result<String> {
        let path = stage.world.dir().join(name);
        mkfifo(&path, Mode::from_bits_truncate(0o644)).map_err(std::io::Error::from)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let (list, status) = (pipe("list")?, pipe("status")?);
    let daemon = std::thread::scope(|scope| {
        // These wait for the daemon, as it does for them.
        scope.spawn(|| fs::write(&list, "0000000A|10.0.0.1|0\n"));
        scope.spawn(|| fs::read(&status));
        let daemon = stage.start("022", &["-S", &list, "-F", &status])?;
        daemon.signal(Signal::SIGHUP);
        let told = eventually("the old list to stay", patience(), || {
            let log = fs::read_to_string(&stage.log).unwrap_or_default();
            let told = log.contains("is no file that could be read again");
            told.then_some(()).ok_or(log)
        });
        daemon.signal(Signal::SIGTERM);
        told.map(|()| daemon)
    })?;
    daemon.stop()
}

/// Whoever starts it learns what it found wrong in the background.
#[test]
fn the_verdict() -> Result<()> {
    let stage = Stage::new("verdict")?;
    let nowhere = stage.world.dir().join("no/such/place");
    let nowhere = nowhere.to_string_lossy().into_owned();
    for (more, code) in [
        (["-L", &nowhere], 4),
        (["-P", &nowhere], 1),
        (["-F", &nowhere], 1),
        (["-I", "eth9"], 1),
    ] {
        let (ended, output) = stage.launch("022", &more)?;
        assert_eq!(ended, Some(code), "{more:?}: {output}");
        assert!(output.contains(more[1]), "{more:?}: {output}");
        assert!(!stage.pid_file.exists(), "{more:?}");
    }
    let daemon = stage.start("022", &[])?;
    let second = stage
        .world
        .dir()
        .join("pid2")
        .to_string_lossy()
        .into_owned();
    let (ended, output) = stage.launch("022", &["-P", &second])?;
    assert_eq!(ended, Some(2), "{output}");
    daemon.stop()
}

/// It is said to serve when it does, not before: here it may open all its files and then not begin the
/// thread that would serve. What it leaves it may not remove itself by then.
#[test]
fn ready_means_that_it_serves() -> Result<()> {
    let stage = Stage::new("ready")?;
    fs::set_permissions(&stage.dest, Permissions::from_mode(0o777))?;
    let user = ["--user", "nobody"];
    // Two threads are there, which count from the moment on at which they are nobody's.
    let (code, output) = stage.launch_by("exec prlimit --nproc=1", &user)?;
    assert_eq!(code, Some(5), "{output}");
    assert!(output.contains("can't start a thread"), "{output}");
    assert!(!stage.pid_file.exists());
    // Limits do not concern root.
    let (code, output) = stage.launch_by("exec prlimit --nproc=1", &[])?;
    assert_eq!(code, Some(0), "{output}");
    let daemon = stage.daemon()?;
    stage.send("file")?;
    daemon.stop()
}

/// `-g` and `--user`: the log is rolled by who the daemon has become, which must be able to.
#[test]
fn its_log_is_rolled_without_privileges() -> Result<()> {
    let stage = Stage::new("rolled")?;
    fs::set_permissions(&stage.dest, Permissions::from_mode(0o777))?;
    let logs = stage.world.dir().join("logs");
    let nobody = User::from_name("nobody").map_err(std::io::Error::from)?;
    let nobody = nobody.ok_or_else(|| Failure::new("there is no user nobody"))?;
    let args = ["-g", "1", "-n", "2", "--user", "nobody"];
    let archive = |n: u8| logs.join(format!("log.{n}"));
    let full = || fs::write(&stage.log, vec![b'\n'; 1_000_001]);
    let refused = |words: &str| -> Result<()> {
        let (code, output) = stage.launch("022", &args)?;
        assert_eq!(code, Some(4), "{output}");
        let told = [
            "nobody can't roll the log: ",
            words,
            "options -g and --user",
        ];
        assert!(told.iter().all(|t| output.contains(t)), "{output}");
        assert!(!stage.pid_file.exists());
        assert!(!archive(1).exists());
        Ok(())
    };
    refused("it may not make files in")?;
    // Anybody may make files there, but not rename those of root.
    fs::set_permissions(&logs, Permissions::from_mode(0o1777))?;
    refused("belongs to another, and")?;
    // Without -g the log is only written, and root has opened it.
    stage.start("022", &["--user", "nobody"])?.stop()?;

    // A directory of its own; the log is root's, and full.
    chown(&logs, Some(nobody.uid.as_raw()), None)?;
    fs::set_permissions(&logs, Permissions::from_mode(0o755))?;
    for start in [0, 1] {
        full()?;
        let daemon = stage.start("022", &args)?;
        runs_as(daemon.pid(), &nobody)?;
        stage.send(&format!("file{start}"))?;
        eventually("the log to be rolled", patience(), || {
            let old = fs::metadata(archive(1)).map_err(|error| error.to_string())?;
            let log = fs::read_to_string(&stage.log).map_err(|error| error.to_string())?;
            let well = old.len() > 1_000_000 && log.contains("COMPLETE sent");
            well.then_some(()).ok_or(log)
        })?;
        assert_eq!(archive(2).exists(), start == 1);
        assert_eq!(fs::metadata(&stage.log)?.uid(), nobody.uid.as_raw());
        let log = fs::read_to_string(&stage.log)?;
        assert!(!log.contains("failed"), "{log}");
        daemon.stop()?;
        // It is not the daemon's to remove.
        fs::remove_file(&stage.pid_file)?;
    }
    Ok(())
}

/// Its files have the same rights, whoever starts it.
#[test]
fn the_rights_of_its_files() -> Result<()> {
    for umask in ["0", "077"] {
        let stage = Stage::new(&format!("umask{umask}"))?;
        let status = stage
            .world
            .dir()
            .join("status")
            .to_string_lossy()
            .into_owned();
        let daemon = stage.start(umask, &["-F", &status])?;
        let tree = stage.world.make_dir("tree")?;
        write_file(&tree.join("file"), 10)?;
        fs::create_dir(tree.join("empty"))?;
        let sender = stage.world.sender(Suite::Ours, 0).file(&tree);
        sender.run(BOUND)?.ended_with(0)?;
        let dest = stage.dest.join("tree");
        for (path, rights) in [
            (stage.log.as_path(), 0o644),
            (Path::new(&status), 0o644),
            (&stage.pid_file, 0o644),
            (&dest, 0o755),
            (&dest.join("file"), 0o644),
            (&dest.join("empty"), 0o755),
        ] {
            assert_eq!(mode(path)?, rights, "{} {umask}", path.display());
        }
        daemon.stop()?;
    }
    Ok(())
}

/// A disk that is full for a while costs log and status file what was to be written meanwhile, and says so; files
/// arrive, and later all is written again.
#[test]
fn the_disk_of_its_log_fills_up() -> Result<()> {
    mount_privately()?;
    let stage = Stage::new("logfull")?;
    let small = small_disk(&stage.world, "small", 128 << 10)?;
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let (log, status) = (text(small.join("log")), text(small.join("status")));
    let daemon = stage.start("022", &["-L", &log, "-F", &status, "-x", "5"])?;
    let filler = small.join("filler");
    assert!(fs::write(&filler, vec![1; 256 << 10]).is_err());
    for name in ["one", "two", "three", "four"] {
        stage.send(name)?;
    }
    fs::remove_file(&filler)?;
    stage.send("five")?;
    eventually("log and status file to go on", patience(), || {
        let [log, status] =
            [&log, &status].map(|path| fs::read_to_string(path).unwrap_or_default());
        let whole = log.contains("lines of the log are lost here")
            && log.contains("Name of file to receive: five")
            && status.lines().any(|line| line.contains(";five;9KB;copied"));
        whole.then_some(()).ok_or(format!("{log}{status}"))
    })?;
    for name in ["one", "two", "three", "four", "five"] {
        assert!(stage.dest.join(name).exists(), "{name}");
    }
    daemon.stop()
}

/// The directory of its log may go and come: it serves on, and logs again when it is told to.
#[test]
fn its_log_directory_goes() -> Result<()> {
    let stage = Stage::new("nologs")?;
    let daemon = stage.start("022", &[])?;
    stage.send("one")?;
    let logs = stage.world.dir().join("logs");
    fs::remove_dir_all(&logs)?;
    daemon.signal(Signal::SIGHUP);
    stage.send("two")?;
    fs::create_dir(&logs)?;
    daemon.signal(Signal::SIGHUP);
    eventually("a new log", patience(), || {
        stage
            .log
            .exists()
            .then_some(())
            .ok_or_else(|| "there is none".to_owned())
    })?;
    daemon.signal(Signal::SIGUSR1);
    stage.send("three")?;
    eventually("the story of the third file", patience(), || {
        let log = fs::read_to_string(&stage.log).unwrap_or_default();
        let told = [
            "Name of file to receive: three",
            "Counters: ",
            "COMPLETE sent",
        ];
        match told.iter().all(|words| log.contains(words)) {
            true => Ok(()),
            false => Err(log),
        }
    })?;
    for name in ["one", "two", "three"] {
        assert!(stage.dest.join(name).exists(), "{name}");
    }
    daemon.stop()
}

/// Whoever sees that it has its socket may stop it: from then on it ends as it should.
#[test]
fn stopped_as_it_begins() -> Result<()> {
    let world = World::new("begins", 1)?;
    let dest = world.make_dir("dest")?;
    for _ in 0..40 {
        let mut command = world.command(0, &Suite::Ours.program("uftpd")?);
        command.args(["-d", "-I", "eth0", "-D"]).arg(&dest);
        let mut program = Program::start("uftpd", command, &world.log_path("uftpd"))?;
        let sockets = format!("/proc/{}/net/udp", program.pid());
        let begun = Instant::now();
        // Without a pause: it is the first moments that count.
        while !fs::read_to_string(&sockets)?.contains(":0414 ") && begun.elapsed() < BOUND {}
        program.signal(Signal::SIGTERM);
        let exit = program.wait(BOUND)?;
        assert_eq!(exit.code, Some(6), "{exit:?}: {}", program.output());
    }
    Ok(())
}
