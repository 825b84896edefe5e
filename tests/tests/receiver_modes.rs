//! What `uftpd` does with received files, by its options, when the reference sends.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use uftp_tests::{
    Content, Failure, Receiver, Result, SenderSetup, Suite, World, compare_trees, eventually,
    patience, write_file, write_tree,
};

const BOUND: Duration = Duration::from_secs(60);

/// A world with one receiver of ours, and content to send to it.
struct Stage {
    world: World,
    content: PathBuf,
    receiver: Receiver,
}

impl Stage {
    /// A stage whose receiver has these options. `DIR/name` among them is a directory of this world
    /// that is made.
    fn new(label: &str, args: &[&str]) -> Result<Self> {
        let world = World::new(label, 2)?;
        let content = world.make_dir("content")?;
        let args = world.words_with_dirs(args)?;
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let receiver = world.receiver(Suite::Ours, 1).args(&args).start()?;
        Ok(Self {
            world,
            content,
            receiver,
        })
    }

    fn sender(&self) -> SenderSetup<'_> {
        self.world.sender(Suite::Reference, 0)
    }

    /// Sends a file of this size under this name and expects it to be taken.
    fn send(&self, name: &str, size: u64) -> Result<()> {
        write_file(&self.content.join(name), size)?;
        let sender = self.sender().file(&self.content.join(name));
        sender.run(BOUND)?.ended_with(0)
    }

    fn dest(&self, name: &str) -> PathBuf {
        self.receiver.dest().join(name)
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.world.dir().join(name)
    }

    /// The last word of every line RESULT in the receiver's status file.
    fn results(&self) -> Result<Vec<String>> {
        let lines = self.receiver.status()?;
        let results = lines.iter().filter(|line| line.kind() == "RESULT");
        Ok(results.map(|line| line.field(6).to_owned()).collect())
    }
}

/// Everything below `dir`, files and directories, sorted.
fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut to_visit = vec![dir.to_owned()];
    while let Some(dir) = to_visit.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                to_visit.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn temp_file() -> Result<()> {
    let stage = Stage::new("tempfile", &["-t"])?;
    fs::write(stage.dest("big"), "old")?;
    write_file(&stage.content.join("big"), 6_000_000)?;
    let sender = stage
        .sender()
        .rate("24000")
        .file(&stage.content.join("big"));
    let sender = sender.start()?;
    stage.world.until_received(1, 2_000_000)?;
    let names = below(stage.receiver.dest())?;
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names[1].to_string_lossy().contains("big.~uftp-"),
        "{names:?}"
    );
    assert_eq!(fs::read(stage.dest("big"))?, b"old");
    sender.finish(BOUND)?.ended_with(0)?;
    stage.receiver.holds(&stage.content)?;
    stage.receiver.stop().map(drop)
}

#[test]
fn temp_dir() -> Result<()> {
    let stage = Stage::new("tempdir", &["-T", "DIR/temp"])?;
    fs::create_dir(stage.dest("tree"))?;
    fs::write(stage.dest("tree/old"), "replaced with its directory")?;
    write_tree(
        &stage.content,
        &[
            Content::File("tree/a", 5_000_000),
            Content::File("tree/sub/b", 10_000),
            Content::Directory("tree/empty"),
            Content::Link("tree/link", "a"),
            Content::File("zlast", 1_000_000),
        ],
    )?;
    let sender = stage.sender().rate("24000").files_of(&stage.content)?;
    let sender = sender.start()?;
    stage.world.until_received(1, 2_000_000)?;
    let names = below(stage.receiver.dest())?;
    assert_eq!(names, [stage.dest("tree"), stage.dest("tree/old")]);
    sender.finish(BOUND)?.ended_with(0)?;
    stage.receiver.holds(&stage.content)?;
    eventually("an empty temp directory", patience(), || {
        let left = below(&stage.dir("temp")).map_err(|e| e.to_string())?;
        left.is_empty().then_some(()).ok_or(format!("{left:?}"))
    })?;
    stage.receiver.stop().map(drop)
}

#[test]
fn backup() -> Result<()> {
    let stage = Stage::new("backup", &["-A", "DIR/kept"])?;
    fs::write(stage.dest("file"), "old")?;
    fs::write(stage.dest("gone"), "deleted")?;
    stage.send("file", 10_000)?;
    let sender = stage.sender().args(&["@DELETE:gone"]);
    sender.run(BOUND)?.ended_with(0)?;
    stage.receiver.holds(&stage.content)?;
    for (name, content) in [("file", "old"), ("gone", "deleted")] {
        let full = stage.dest(name);
        let relative = full.strip_prefix("/").unwrap_or(&full);
        let kept = below(&stage.dir("kept"))?;
        let kept: Vec<_> = kept
            .iter()
            .filter(|path| path.ends_with(relative))
            .collect();
        assert_eq!(kept.len(), 1, "one backup of {name}");
        assert_eq!(fs::read_to_string(kept[0])?, content);
    }
    stage.receiver.stop().map(drop)
}

#[test]
fn sync_and_preview() -> Result<()> {
    let stage = Stage::new("sync", &["-A", "DIR/kept"])?;
    let file = stage.content.join("file");
    write_file(&file, 10_000)?;
    // Content, time, the sender's mode, and what both call the result.
    for (old, mode, word, told) in [
        (None, "-Z", "copy", "copied"),
        (None, "-z", "copy", "copied"),
        (Some(false), "-z", "skipped", "skipped"),
        (Some(true), "-Z", "overwritten", "overwritten"),
        (Some(true), "-z", "overwritten", "overwritten"),
        (Some(false), "-z", "skipped", "skipped"),
    ] {
        if old == Some(true) {
            // As long as what is sent, but older.
            let there = fs::File::create(stage.dest("file"))?;
            there.set_len(10_000)?;
            there.set_modified(std::time::UNIX_EPOCH)?;
        }
        let before = below(stage.receiver.dest())?;
        let content = before.first().map(fs::read).transpose()?;
        let sent = stage.sender().args(&[mode]).file(&file).run(BOUND)?;
        let results: Vec<_> = sent
            .status
            .iter()
            .filter(|l| l.kind() == "RESULT")
            .collect();
        let last = results.last().map(|line| line.field(4));
        assert_eq!(last, Some(word), "{old:?} {mode}");
        assert_eq!(stage.results()?.last().map(String::as_str), Some(told));
        if mode == "-Z" {
            assert_eq!(below(stage.receiver.dest())?, before);
            assert_eq!(before.first().map(fs::read).transpose()?, content);
        } else {
            stage.receiver.holds(&stage.content)?;
        }
    }
    let kept = below(&stage.dir("kept"))?;
    let kept: Vec<_> = kept.iter().filter(|path| path.is_file()).collect();
    assert_eq!(
        kept.len(),
        1,
        "one backup, of the one overwritten: {kept:?}"
    );
    assert_eq!(fs::read(kept[0])?, [0; 10_000]);
    stage.receiver.stop().map(drop)
}

#[test]
fn metafiles() -> Result<()> {
    let stage = Stage::new("meta", &[])?;
    fs::create_dir_all(stage.dest("tree/sub"))?;
    fs::write(stage.dest("tree/sub/f"), "f")?;
    fs::write(stage.dest("kept"), "kept")?;
    for args in [&["@DELETE:absent"][..], &["-D", "tree/sub", "@DELETE:any"]] {
        stage.sender().args(args).run(BOUND)?.ended_with(0)?;
    }
    assert_eq!(
        below(stage.receiver.dest())?,
        [stage.dest("kept"), stage.dest("tree")]
    );
    let sent = stage.sender().args(&["@FREESPACE"]).run(BOUND)?;
    sent.ended_with(0)?;
    let line = sent.status.iter().find(|line| line.kind() == "FREESPACE");
    let free = line.and_then(|line| line.field(2).parse::<u64>().ok());
    assert!(free.is_some_and(|free| free > 0), "{:?}", sent.status);
    stage.receiver.stop().map(drop)
}

#[test]
fn post_receive() -> Result<()> {
    let world = World::new("script", 2)?;
    let content = world.make_dir("content")?;
    let (script, notes) = (world.dir().join("script"), world.dir().join("notes"));
    let text = format!(
        "#!/bin/sh\necho \"$@ $UFTP_STATUS $(ls /proc/$$/fd | tr '\\n' ' ')\" >> {}\n",
        notes.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let receiver = world.receiver(Suite::Ours, 1);
    let mut receiver = receiver
        .args(&["-s", &script.display().to_string()])
        .start()?;
    write_file(&content.join("file"), 10_000)?;
    let sender = world.sender(Suite::Reference, 0).files_of(&content)?;
    sender.run(BOUND)?.ended_with(0)?;
    let note = eventually("the script to run", patience(), || {
        let text = fs::read_to_string(&notes).map_err(|error| error.to_string())?;
        text.ends_with('\n').then_some(()).ok_or("no line yet")?;
        Ok(text)
    })?;
    let group = receiver.status()?.first().map(|l| l.field(3).to_owned());
    let path = receiver.dest().join("file");
    let called = format!(
        "-I {} {} copied ",
        group.unwrap_or_default(),
        path.display()
    );
    assert!(note.starts_with(&called), "{note}");
    // 10 is where the shell keeps the script, 3 and 4 the pipe it lists them by.
    let open = note.trim_start_matches(&called).split_whitespace();
    let alien: Vec<_> = open
        .filter(|fd| !["0", "1", "2", "3", "4", "10"].contains(fd))
        .collect();
    assert!(alien.is_empty(), "open in the script: {alien:?}");
    // Nobody is left unburied.
    let children = format!(
        "/proc/{pid}/task/{pid}/children",
        pid = receiver.program().pid()
    );
    eventually("no child", patience(), || {
        let children = fs::read_to_string(&children).map_err(|error| error.to_string())?;
        children.is_empty().then_some(()).ok_or(children)
    })?;
    receiver.stop().map(drop)
}

/// The sender is interrupted at half, and the next run sends only what is missing.
#[test]
fn restart_after_an_interrupted_sender() -> Result<()> {
    restart(|_, sender| {
        sender.signal(Signal::SIGINT);
        Ok(())
    })
}

/// The receiver is told to stop at half, and started again for the next run.
#[test]
fn restart_after_an_interrupted_receiver() -> Result<()> {
    restart(|stage, _| {
        let args = ["-T", &stage.dir("temp").display().to_string()].map(str::to_owned);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        stage.receiver.program().signal(Signal::SIGTERM);
        stage.receiver.program().wait(patience())?;
        stage.receiver = stage.world.receiver(Suite::Ours, 1).args(&args).start()?;
        Ok(())
    })
}

fn restart(interrupt: impl FnOnce(&mut Stage, &uftp_tests::Program) -> Result<()>) -> Result<()> {
    const SIZE: u64 = 6_000_000;
    let mut stage = Stage::new("restart", &["-T", "DIR/temp"])?;
    let (afile, big) = (stage.content.join("afile"), stage.content.join("big"));
    write_file(&afile, 300_000)?;
    write_file(&big, SIZE)?;
    // The sender's restart file goes into its working directory.
    let runs = stage.world.make_dir("runs")?;
    let wrapper = stage.dir("uftp");
    let text = format!(
        "#!/bin/sh\ncd \"{}\" && exec \"{}\" \"$@\"\n",
        runs.display(),
        Suite::Reference.program("uftp")?.display()
    );
    fs::write(&wrapper, text)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;

    let world_sender = stage.world.sender(Suite::Reference, 0);
    let sender = world_sender.program(wrapper.clone()).rate("16000");
    let sender = sender.args(&["-f"]).file(&afile).file(&big).start();
    let mut sender = sender?;
    stage.world.until_received(1, 300_000 + SIZE / 2)?;
    interrupt(&mut stage, sender.program())?;
    sender.program().wait(BOUND)?;
    stage.receiver.holds_nothing(Duration::ZERO)?;
    let is_restart = |path: &&PathBuf| path.to_string_lossy().ends_with("_restart");
    let kept = eventually("the receiver's restart file", patience(), || {
        let left = below(&stage.dir("temp")).map_err(|e| e.to_string())?;
        left.iter()
            .find(is_restart)
            .cloned()
            .ok_or(format!("{left:?}"))
    })?;
    let file = below(&runs)?.into_iter().find(|path| is_restart(&path));
    let file = file.ok_or_else(|| Failure::new("the sender wrote no restart file"))?;
    assert_eq!(file.file_name(), kept.file_name());

    let before = stage.world.received_bytes(1)?;
    let sender = stage.world.sender(Suite::Reference, 0).program(wrapper);
    let sender = sender.args(&["-F", &file.display().to_string()]);
    sender.run(BOUND)?.ended_with(0)?;
    let came = stage.world.received_bytes(1)? - before;
    assert!(came < SIZE * 6 / 10, "{came} bytes came in the second run");
    compare_trees(&stage.content, stage.receiver.dest()).map_err(Failure::new)?;
    eventually("an empty temp directory", patience(), || {
        let left = below(&stage.dir("temp")).map_err(|e| e.to_string())?;
        left.is_empty().then_some(()).ok_or(format!("{left:?}"))
    })?;
    stage.receiver.stop().map(drop)
}

#[test]
fn write_cache() -> Result<()> {
    for (args, written) in [(&["-c", "10240"][..], true), (&["-c", "1048576"], false)] {
        let stage = Stage::new("cache", args)?;
        write_file(&stage.content.join("file"), 900_000)?;
        let sender = stage.sender().rate("4000").files_of(&stage.content)?;
        let sender = sender.start()?;
        stage.world.until_received(1, 300_000)?;
        let part = below(stage.receiver.dest())?;
        let length = fs::metadata(&part[0])?.len();
        assert_eq!(
            length > 100_000,
            written,
            "{args:?}: {length} bytes on disk"
        );
        sender.finish(BOUND)?.ended_with(0)?;
        stage.receiver.holds(&stage.content)?;
        stage.receiver.stop()?;
    }
    Ok(())
}

#[test]
fn priority() -> Result<()> {
    let mut niceness = Vec::new();
    for args in [&[][..], &["-N", "3"]] {
        let mut stage = Stage::new("priority", args)?;
        let tasks = format!("/proc/{}/task", stage.receiver.program().pid());
        let mut of_threads = Vec::new();
        for task in fs::read_dir(tasks)? {
            let stat = fs::read_to_string(task?.path().join("stat"))?;
            // The name may have blanks; after it the niceness is the seventeenth.
            let fields = stat.rsplit(')').next().unwrap_or_default();
            let nice = fields.split_whitespace().nth(16);
            of_threads.push(nice.and_then(|nice| nice.parse::<i32>().ok()));
        }
        of_threads.dedup();
        assert_eq!(of_threads.len(), 1, "all threads alike: {of_threads:?}");
        niceness.push(of_threads[0].unwrap_or_default());
        stage.receiver.stop()?;
    }
    assert_eq!(niceness[1], (niceness[0] + 3).min(19));
    Ok(())
}
