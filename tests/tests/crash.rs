//! A receiver killed at any instant leaves under each name the old file or the new one, whole.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use uftp_tests::{Failure, Result, Suite, World, patience, write_file};

/// How often the receiver is killed.
const ROUNDS: usize = 50;

/// Files sent, in the order of their numbers.
const FILES: usize = 12;

/// The sender's rate, as `-R` wants it.
const RATE: &str = "80000";

#[test]
fn without_options() -> Result<()> {
    let seen = Crashes::new("crash", &[])?.run()?;
    assert!(seen.old > 0 && seen.new > 0 && seen.mixed > 0, "{seen:?}");
    Ok(())
}

#[test]
fn with_backups() -> Result<()> {
    let seen = Crashes::new("crashbackup", &["-A"])?.run()?;
    assert!(seen.old > 0 && seen.new > 0 && seen.mixed > 0, "{seen:?}");
    Ok(())
}

#[test]
fn with_a_temp_dir() -> Result<()> {
    let seen = Crashes::new("crashtemp", &["-T"])?.run()?;
    assert!(seen.old > 0 && seen.new > 0, "{seen:?}");
    Ok(())
}

struct Crashes {
    world: World,
    old: PathBuf,
    new: PathBuf,
    dest: PathBuf,
    /// Directory of the option, if there is one.
    beside: PathBuf,
    args: Vec<String>,
    /// Longest life of a receiver after the sender has started.
    longest: Duration,
    seed: u64,
}

/// Files found old and new over all rounds, and rounds in which there were both.
#[derive(Debug, Default)]
struct Seen {
    old: usize,
    new: usize,
    mixed: usize,
}

impl Crashes {
    fn new(label: &str, option: &[&str]) -> Result<Self> {
        let world = World::new(label, 2)?;
        let (old, new) = (world.make_dir("old")?, world.make_dir("new")?);
        for name in names() {
            write_file(&old.join(&name), 150_000)?;
            write_file(&new.join(&name), 200_000)?;
        }
        let beside = world.make_dir("beside")?;
        let mut args: Vec<String> = option.iter().map(|&option| option.to_owned()).collect();
        if !args.is_empty() {
            args.push(beside.display().to_string());
        }
        let seed = std::process::id().into();
        eprintln!("seed {seed}");
        Ok(Self {
            dest: world.make_dir("receiver1.dest")?,
            world,
            old,
            new,
            beside,
            args,
            longest: Duration::ZERO,
            seed,
        })
    }

    fn run(mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        self.longest = self.whole_transfer()?.mul_f64(1.3);
        for round in 0..ROUNDS {
            empty(&self.dest)?;
            empty(&self.beside)?;
            for name in names() {
                fs::copy(self.old.join(&name), self.dest.join(&name))?;
            }
            self.crash()?;
            self.look(&mut seen)
                .map_err(|failure| Failure::new(format!("round {round}: {failure}")))?;
        }
        eprintln!("{seen:?} with lives up to {:?}", self.longest);
        Ok(seen)
    }

    /// What one transfer takes that is not disturbed.
    fn whole_transfer(&self) -> Result<Duration> {
        let receiver = self.world.receiver(Suite::Ours, 1).start()?;
        let sender = self.world.sender(Suite::Ours, 0).invite(&[1]);
        let sender = sender.rate(RATE).files_of(&self.new)?;
        let start = Instant::now();
        sender.run(patience())?.ended_with(0)?;
        let took = start.elapsed();
        receiver.stop()?;
        Ok(took)
    }

    /// One transfer that ends with the receiver's.
    fn crash(&mut self) -> Result<()> {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let mut receiver = self.world.receiver(Suite::Ours, 1).args(&args).start()?;
        let sender = self.world.sender(Suite::Ours, 0).invite(&[1]);
        let mut sender = sender.rate(RATE).files_of(&self.new)?.start()?;
        let (start, life) = (Instant::now(), self.next_life());
        sleep(life.saturating_sub(start.elapsed()));
        receiver.program().signal(Signal::SIGKILL);
        receiver.program().wait(patience())?;
        sender.program().signal(Signal::SIGKILL);
        sender.program().wait(patience())?;
        Ok(())
    }

    fn next_life(&mut self) -> Duration {
        // Knuth's multiplier; the high bits are random enough.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005) + 1;
        self.longest
            .mul_f64((self.seed >> 11) as f64 / (1u64 << 53) as f64)
    }

    fn look(&self, seen: &mut Seen) -> Result<()> {
        let (mut old, mut new) = (0, 0);
        for name in names() {
            let found = fs::read(self.dest.join(&name))
                .map_err(|error| Failure::new(format!("{name}: {error}")))?;
            let before = fs::read(self.old.join(&name))?;
            if found == before {
                old += 1;
            } else if found == fs::read(self.new.join(&name))? {
                new += 1;
                self.has_backup(&name, &before)?;
            } else {
                let len = found.len();
                return Err(Failure::new(format!("{name} is neither: {len} bytes")));
            }
        }
        for entry in fs::read_dir(&self.dest)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let temporary = name.contains(".~uftp-") && self.args.first().is_none_or(|a| a != "-T");
            if !temporary && !names().any(|known| known == name) {
                return Err(Failure::new(format!("{name} was left behind")));
            }
        }
        seen.old += old;
        seen.new += new;
        seen.mixed += usize::from(old > 0 && new > 0);
        Ok(())
    }

    /// With `-A` what was replaced is in the backup directory, whole.
    fn has_backup(&self, name: &str, content: &[u8]) -> Result<()> {
        if self.args.first().is_none_or(|option| option != "-A") {
            return Ok(());
        }
        let file = self.dest.join(name);
        let full = file.strip_prefix("/").unwrap_or(&file);
        for day in fs::read_dir(&self.beside)? {
            for second in fs::read_dir(day?.path())? {
                if is(&second?.path().join(full), content) {
                    return Ok(());
                }
            }
        }
        Err(Failure::new(format!(
            "{name} was replaced without a backup"
        )))
    }
}

fn names() -> impl Iterator<Item = String> {
    (0..FILES).map(|n| format!("file{n:02}"))
}

fn is(path: &Path, content: &[u8]) -> bool {
    fs::read(path).is_ok_and(|found| found == content)
}

fn empty(dir: &Path) -> Result<()> {
    fs::remove_dir_all(dir)?;
    fs::create_dir(dir).map_err(Failure::from)
}
