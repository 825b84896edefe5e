//! What a receiver survives: interfaces that come and go, full disks, clocks that jump, too few
//! descriptors.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use uftp_tests::{
    Failure, Receiver, Result, Suite, World, eventually, mount_privately, patience, run,
    small_disk, write_file,
};

const BOUND: Duration = Duration::from_secs(60);

/// Sends the file `name` of so many bytes to the receivers on these hosts, and expects success.
fn send(world: &World, name: &str, size: u64, hosts: &[u8]) -> Result<PathBuf> {
    let file = world.make_dir("content")?.join(name);
    write_file(&file, size)?;
    let sender = world.sender(Suite::Ours, 0).invite(hosts).file(&file);
    sender.run(BOUND)?.ended_with(0)?;
    Ok(file)
}

fn has(receiver: &Receiver, sent: &Path) -> Result<()> {
    let name = sent.file_name().unwrap_or_default();
    let received = fs::read(receiver.dest().join(name))?;
    assert!(received == fs::read(sent)?, "{name:?} differs");
    Ok(())
}

/// Waits until the log of the receiver has these words so many times.
fn says(receiver: &mut Receiver, words: &str, times: usize) -> Result<()> {
    eventually(words, patience(), || {
        let log = receiver.program().output();
        match log.matches(words).count() {
            n if n >= times => Ok(()),
            n => Err(format!("it said so {n} times:\n{log}")),
        }
    })
}

/// Each receiver tells for the `round`th time that its interface has come, and receives a file that is
/// sent to `hosts`.
fn hear_again(world: &World, receivers: &mut [Receiver], hosts: &str, round: usize) -> Result<()> {
    for receiver in &mut *receivers {
        says(receiver, "which has come", round)?;
    }
    let file = world.make_dir("content")?.join(format!("file{round}"));
    write_file(&file, 100_000)?;
    let sender = world.sender(Suite::Ours, 0).args(&["-H", hosts]);
    sender.file(&file).run(BOUND)?.ended_with(0)?;
    receivers
        .iter()
        .try_for_each(|receiver| has(receiver, &file))
}

/// Waits until the file on its way into the receiver has so many bytes.
fn arriving(receiver: &Receiver, bytes: u64) -> Result<PathBuf> {
    eventually("file data", patience(), || {
        let entries = fs::read_dir(receiver.dest()).map_err(|e| e.to_string())?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut parts = paths.filter(|path| path.to_string_lossy().contains(".~uftp-"));
        match parts.next() {
            Some(part) if fs::metadata(&part).is_ok_and(|m| m.len() >= bytes) => Ok(part),
            part => Err(format!("there is only {part:?}")),
        }
    })
}

/// An interface that goes down and comes back in the middle of a transfer costs only time.
#[test]
fn its_interface_goes_down_and_comes_back() -> Result<()> {
    let world = World::new("updown", 3)?;
    let mut receiver = world
        .receiver(Suite::Ours, 1)
        .args(&["-c", "10240"])
        .start()?;
    let by_itself = world.receiver(Suite::Ours, 2).by_itself().start()?;
    let file = world.make_dir("content")?.join("file");
    write_file(&file, 3_000_000)?;
    let sender = world.sender(Suite::Ours, 0).rate("16000").file(&file);
    let sender = sender.args(&["-s", "50"]).start()?;
    arriving(&receiver, 300_000)?;
    for host in [1, 2] {
        world.interface_down(host)?;
    }
    // Only what the sender says meanwhile is lost; it is far from the end.
    for host in [1, 2] {
        world.interface_up(host)?;
    }
    sender.finish(BOUND)?.ended_with(0)?;
    for receiver in [&receiver, &by_itself] {
        has(receiver, &file)?;
    }
    receiver.program().signal(Signal::SIGUSR1);
    says(&mut receiver, "Counters: ", 1)?;
    for receiver in [receiver, by_itself] {
        receiver.stop()?;
    }
    Ok(())
}

/// Groups are joined on an interface that takes the place of the one that was there at the start.
#[test]
fn its_interface_is_replaced_by_another_of_its_name() -> Result<()> {
    let world = World::new("replug", 4)?;
    let named = world.receiver(Suite::Ours, 1).args(&["-I", "eth0"]);
    let mut receivers = [
        named.start()?,
        world.receiver(Suite::Ours, 2).start()?,
        world.receiver(Suite::Ours, 3).by_itself().start()?,
    ];
    let hosts = [1, 2, 3];
    for round in 1..=2 {
        for host in hosts {
            world.replace_interface(host)?;
        }
        // The third has the id of its address.
        hear_again(&world, &mut receivers, "1,2,10.77.0.4", round)?;
    }
    for receiver in receivers {
        receiver.stop()?;
    }
    Ok(())
}

/// When it is looked up it is as before, and yet nothing is joined on it any more.
#[test]
fn its_interface_goes_and_comes_back_in_an_instant() -> Result<()> {
    let world = World::new("snatch", 3)?;
    let mut receivers = [
        world
            .receiver(Suite::Ours, 1)
            .args(&["-I", "eth0"])
            .start()?,
        world.receiver(Suite::Ours, 2).by_itself().start()?,
    ];
    for round in 1..=2 {
        for host in [1, 2] {
            world.snatch_interface(host)?;
        }
        hear_again(&world, &mut receivers, "1,10.77.0.3", round)?;
    }
    for receiver in receivers {
        receiver.stop()?;
    }
    Ok(())
}

/// A disk that somebody else fills in the middle of a transfer ends that session, with a reason
/// for its sender, and no other.
#[test]
fn its_disk_fills_up() -> Result<()> {
    mount_privately()?;
    let world = World::new("full", 2)?;
    let dest = small_disk(&world, "receiver1.dest", 8 << 20)?;
    let mut receiver = world
        .receiver(Suite::Ours, 1)
        .args(&["-c", "10240"])
        .start()?;
    let file = world.make_dir("content")?.join("large");
    write_file(&file, 6_000_000)?;
    let send = || {
        world
            .sender(Suite::Ours, 0)
            .rate("16000")
            .file(&file)
            .start()
    };
    let mut sender = send()?;
    let part = arriving(&receiver, 500_000)?;
    let filler = dest.join("filler");
    // All there is, whatever the page size.
    assert!(fs::write(&filler, vec![1; 9 << 20]).is_err());
    let exit = sender.program().wait(BOUND)?;
    assert_eq!(exit.code, Some(9), "the sender lost its only receiver");
    let log = sender.program().output();
    assert!(log.contains("Not enough disk space"), "{log}");
    says(&mut receiver, "Not enough disk space", 1)?;
    assert!(!part.exists(), "what came of it is removed");
    assert!(!dest.join("large").exists());

    // Too little from the start.
    let mut sender = send()?;
    assert_eq!(sender.program().wait(BOUND)?.code, Some(8));
    fs::remove_file(&filler)?;
    send()?.finish(BOUND)?.ended_with(0)?;
    has(&receiver, &file)?;
    receiver.stop().map(drop)
}

/// Where the clock of a program is set.
struct Clock(PathBuf);

impl Clock {
    fn new(world: &World, name: &str) -> Result<Clock> {
        let clock = Clock(world.dir().join(name));
        clock.set("+0")?;
        Ok(clock)
    }

    /// Sets the clock this far from the true time.
    fn set(&self, offset: &str) -> Result<()> {
        // At once, so that the program never reads half of it.
        let fresh = self.0.with_extension("fresh");
        fs::write(&fresh, offset)?;
        fs::rename(&fresh, &self.0).map_err(Failure::from)
    }

    fn environment(&self) -> Result<Vec<(&'static str, PathBuf)>> {
        let files = run("dpkg", &["-L", "libfaketime"], "")?;
        let library = files
            .lines()
            .find(|file| file.ends_with("/libfaketime.so.1"));
        let library = library.ok_or_else(|| Failure::new("libfaketime has no library"))?;
        Ok(vec![
            ("LD_PRELOAD", library.into()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.clone()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ])
    }
}

/// What libfaketime shares under the number of a process. Loaded for the command that enters the host, too, it
/// leaves that there when the program takes its place.
struct Shared(i32);

impl Drop for Shared {
    fn drop(&mut self) {
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            let _ = fs::remove_file(format!("/dev/shm/{name}{}", self.0));
        }
    }
}

/// The system's time may jump by hours, both ways and at both ends, in the middle of an encrypted
/// session and between two.
#[test]
fn the_clocks_jump() -> Result<()> {
    let world = World::new("clocks", 2)?;
    let (here, there) = (Clock::new(&world, "clock0")?, Clock::new(&world, "clock1")?);
    let mut receiver = world.receiver(Suite::Ours, 1).args(&["-c", "10240"]);
    for (name, value) in there.environment()? {
        receiver = receiver.environment(name, &value);
    }
    let mut receiver = receiver.start()?;
    let _receivers = Shared(receiver.program().pid());
    let file = world.make_dir("content")?.join("file");
    write_file(&file, 3_000_000)?;
    for (round, (mine, its)) in [("+3h", "-2h"), ("-5h", "+40d")].into_iter().enumerate() {
        let mut sender = world.sender(Suite::Ours, 0).rate("16000").file(&file);
        for (name, value) in here.environment()? {
            sender = sender.environment(name, &value);
        }
        let cipher = [
            "-Y",
            "aes256-gcm",
            "-C",
            "tfmcc:min=8000:init=16000:max=16000",
        ];
        let mut sender = sender.args(&cipher).start()?;
        let _senders = Shared(sender.program().pid());
        arriving(&receiver, 300_000)?;
        here.set(mine)?;
        there.set(its)?;
        sender.finish(BOUND)?.ended_with(0)?;
        has(&receiver, &file)?;
        fs::remove_file(receiver.dest().join("file"))?;
        says(&mut receiver, "Group file transfer confirmed", round + 1)?;
    }
    // The clock was really set: the log has the stamps of another day.
    let log = receiver.program().output();
    let days: std::collections::BTreeSet<_> =
        log.lines().filter_map(|line| line.get(..10)).collect();
    assert!(days.len() > 1, "{days:?}");
    receiver.stop().map(drop)
}

/// Without a descriptor for the file the receiver says so to the sender, and goes on when it has
/// some again.
#[test]
fn its_descriptors_run_out() -> Result<()> {
    let world = World::new("descriptors", 2)?;
    let mut receiver = world.receiver(Suite::Ours, 1).start()?;
    send(&world, "before", 10_000, &[1])?;
    let pid = receiver.program().pid().to_string();
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let limit = |most: usize| {
        let soft = format!("--nofile={most}:");
        run("prlimit", &["--pid", &pid, &soft], "").map(drop)
    };
    limit(open)?;
    let file = world.make_dir("content")?.join("without");
    write_file(&file, 10_000)?;
    let mut sender = world
        .sender(Suite::Ours, 0)
        .invite(&[1])
        .file(&file)
        .start()?;
    let exit = sender.program().wait(BOUND)?;
    assert_ne!(exit.code, Some(0));
    says(&mut receiver, "Too many open files", 1)?;
    limit(1024)?;
    let after = send(&world, "after", 10_000, &[1])?;
    has(&receiver, &after)?;
    receiver.stop().map(drop)
}

/// A file larger than the receiver may make one (`ulimit -f`, `LimitFSIZE=`) ends its session, not the receiver.
#[test]
fn a_file_is_larger_than_it_may_write() -> Result<()> {
    let world = World::new("fsize", 2)?;
    let mut receiver = world.receiver(Suite::Ours, 1).start()?;
    let pid = receiver.program().pid().to_string();
    run("prlimit", &["--pid", &pid, "--fsize=1000000:"], "")?;
    let file = world.make_dir("content")?.join("large");
    write_file(&file, 3_000_000)?;
    let sender = world.sender(Suite::Ours, 0).invite(&[1]).file(&file);
    let mut sender = sender.start()?;
    assert_eq!(sender.program().wait(BOUND)?.code, Some(9));
    let log = sender.program().output();
    assert!(log.contains("File too large"), "{log}");
    let after = send(&world, "after", 10_000, &[1])?;
    has(&receiver, &after)?;
    receiver.stop().map(drop)
}

/// Told to stop in the middle of a transfer, it tells the sender, which does not wait in vain.
#[test]
fn it_is_told_to_stop() -> Result<()> {
    let world = World::new("stop", 2)?;
    let receiver = world
        .receiver(Suite::Ours, 1)
        .args(&["-c", "10240"])
        .start()?;
    let file = world.make_dir("content")?.join("file");
    write_file(&file, 6_000_000)?;
    let sender = world.sender(Suite::Ours, 0).rate("8000").file(&file);
    let mut sender = sender.start()?;
    arriving(&receiver, 100_000)?;
    let dest = receiver.dest().to_owned();
    receiver.stop()?;
    let exit = sender.program().wait(BOUND)?;
    assert_eq!(exit.code, Some(9));
    let log = sender.program().output();
    assert!(log.contains("Transfer aborted by 0x00000001"), "{log}");
    assert_eq!(fs::read_dir(dest)?.count(), 0, "nothing is left of it");
    Ok(())
}
