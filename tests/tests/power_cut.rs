//! What a receiver leaves when the power is cut: nothing short under a final name, and all of what
//! the sender was told is well.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use uftp_tests::{
    Disk, Failure, Receiver, Result, Suite, World, compare_trees, eventually, mount_privately,
    patience, write_file,
};

const BOUND: Duration = Duration::from_secs(60);

/// Files sent, the last one the largest.
const FILES: u64 = 8;

/// A receiver on a disk of its own, and what is sent to it.
struct Stage {
    world: World,
    disk: Disk,
    content: PathBuf,
    receiver: Receiver,
}

impl Stage {
    fn new(label: &str, args: &[&str]) -> Result<Self> {
        mount_privately()?;
        let world = World::new(label, 2)?;
        let disk = Disk::new(&world, "disk", 96)?;
        for name in ["dest", "temp"] {
            fs::create_dir(disk.dir().join(name))?;
        }
        symlink(disk.dir().join("dest"), world.dir().join("receiver1.dest"))?;
        let content = world.make_dir("content")?;
        for n in 1..FILES {
            write_file(&content.join(format!("file{n}")), n * 40_000)?;
        }
        fs::create_dir_all(content.join("z/deep"))?;
        write_file(&content.join("z/deep/large"), 24_000_000)?;
        let temp = disk.dir().join("temp").to_string_lossy().into_owned();
        let args: Vec<&str> = args
            .iter()
            .map(|arg| if *arg == "TEMP" { &temp } else { *arg })
            .collect();
        let receiver = world.receiver(Suite::Ours, 1).args(&args).start()?;
        Ok(Self {
            world,
            disk,
            content,
            receiver,
        })
    }

    /// All that was sent is there after a power cut that follows the sender's success.
    fn keeps_what_was_confirmed(self) -> Result<()> {
        let sender = self.world.sender(Suite::Ours, 0).rate("-1");
        sender.files_of(&self.content)?.run(BOUND)?.ended_with(0)?;
        let left = self.disk.after_power_cut(&self.world, "left")?;
        compare_trees(&self.content, &left.join("dest")).map_err(Failure::new)?;
        self.receiver.stop().map(drop)
    }
}

#[test]
fn after_a_session() -> Result<()> {
    Stage::new("cut", &[])?.keeps_what_was_confirmed()
}

#[test]
fn after_a_session_with_one_wait_at_its_end() -> Result<()> {
    Stage::new("cutsession", &["--fsync", "session"])?.keeps_what_was_confirmed()
}

#[test]
fn after_a_session_with_a_temp_dir() -> Result<()> {
    Stage::new("cuttemp", &["-T", "TEMP"])?.keeps_what_was_confirmed()
}

/// In the middle of a session each name there is has its whole content.
#[test]
fn within_a_session() -> Result<()> {
    let mut stage = Stage::new("cutwithin", &[])?;
    let sender = stage.world.sender(Suite::Ours, 0).rate("40000");
    // The disk is copied while the receiver stands still, however long that takes.
    let sender = sender.invite(&[1]).args(&["-s", "50", "-r", "0.3:0.3:5"]);
    let sender = sender.files_of(&stage.content)?.start()?;
    eventually("half of the files", patience(), || {
        let lines = stage.receiver.status().map_err(|e| e.to_string())?;
        let done = lines.iter().filter(|line| line.kind() == "RESULT").count();
        if done >= 4 {
            Ok(())
        } else {
            Err(format!("{done} are there"))
        }
    })?;
    stage.receiver.program().signal(Signal::SIGSTOP);
    let left = stage.disk.after_power_cut(&stage.world, "left");
    stage.receiver.program().signal(Signal::SIGCONT);
    let left = left?.join("dest");
    let mut whole = 0;
    for entry in fs::read_dir(&left)? {
        let name = entry?.file_name();
        let temporary = name.to_string_lossy().contains(".~uftp-");
        if !temporary && left.join(&name).is_file() {
            assert!(
                same(&left.join(&name), &stage.content.join(&name))?,
                "{name:?} is not whole"
            );
            whole += 1;
        }
    }
    // The name of the fourth file may come to the disk only with the fifth file's content.
    assert!(whole >= 3, "only {whole} names are there");
    sender.finish(BOUND)?.ended_with(0)?;
    stage.receiver.stop().map(drop)
}

fn same(a: &Path, b: &Path) -> Result<bool> {
    Ok(fs::read(a)? == fs::read(b)?)
}
