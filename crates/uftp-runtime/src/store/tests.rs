use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_proto::{BlockMap, FileId, GroupId, Instance, Uid};
use uftp_session::files::{IncomingFile, Offer, SessionEnd, SessionFiles};

use super::*;

struct World {
    _temp: tempfile::TempDir,
    dest: PathBuf,
    outside: PathBuf,
}

fn world() -> World {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path().join("dest");
    let outside = temp.path().join("outside");
    fs::create_dir(&dest).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), b"keep").unwrap();
    World {
        _temp: temp,
        dest,
        outside,
    }
}

impl World {
    fn session(&self) -> DiskSession {
        self.session_with(|_| {})
    }

    fn session_with(&self, set: impl FnOnce(&mut SessionInfo)) -> DiskSession {
        let mut info = info();
        set(&mut info);
        self.store(|_| {}).open_session(&info)
    }

    fn store(&self, set: impl FnOnce(&mut StoreConfig)) -> DiskStore {
        let mut config = StoreConfig {
            dest_dirs: vec![self.dest.clone()],
            ..StoreConfig::default()
        };
        set(&mut config);
        DiskStore::open(&config).unwrap()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dest.join(name)).unwrap()
    }

    /// Everything in the destination.
    fn entries(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.dest)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn untouched(&self) {
        assert_eq!(fs::read(self.outside.join("victim")).unwrap(), b"keep");
        assert_eq!(fs::read_dir(&self.outside).unwrap().count(), 1);
    }
}

fn info() -> SessionInfo {
    SessionInfo {
        group: GroupId(0xABCD),
        instance: Instance(0),
        resumed: false,
        encrypted: false,
        server: Uid(1),
        server_addr: "10.0.0.1:1044".parse().unwrap(),
        sync: false,
        preview: false,
    }
}

fn incoming(name: impl AsRef<[u8]>, file_type: FileType) -> IncomingFile {
    IncomingFile {
        file: FileId(7),
        file_type,
        name: name.as_ref().to_vec(),
        link: b"target".to_vec(),
        size: 5,
        mtime: 1_000_000_000,
        block_size: 1300,
    }
}

fn file(name: impl AsRef<[u8]>) -> IncomingFile {
    incoming(name, FileType::REGULAR)
}

fn status(offer: &Offer) -> Option<CompleteStatus> {
    match offer {
        Offer::Done { status, .. } | Offer::Accept { status, .. } => Some(*status),
        Offer::Abort(_) => None,
    }
}

fn receive(session: &mut DiskSession, name: &str) {
    let offer = session.offer(&file(name));
    assert!(matches!(offer, Offer::Accept { .. }), "{offer:?}");
    session.write_at(2, b"llo").unwrap();
    session.write_at(0, b"he").unwrap();
    session.finish().unwrap();
}

#[test]
fn a_file_appears_whole_with_its_time_and_mode() {
    let world = world();
    let mut session = world.session();
    session.offer(&file("a/b/f"));
    session.write_at(0, b"hel").unwrap();
    assert_eq!(
        fs::read_dir(world.dest.join("a/b"))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .file_name(),
        "f.~uftp-0000ABCD-0007"
    );
    session.write_at(3, b"lo").unwrap();
    session.finish().unwrap();
    assert_eq!(world.read("a/b/f"), b"hello");
    let meta = fs::metadata(world.dest.join("a/b/f")).unwrap();
    assert_eq!((meta.mtime(), meta.mode() & 0o777), (1_000_000_000, 0o644));
    assert!(session.finish().is_err());
    assert!(session.write_at(0, b"x").is_err());
}

#[test]
fn what_is_given_up_leaves_the_old_file_and_no_trace() {
    let world = world();
    fs::write(world.dest.join("f"), b"old").unwrap();
    for give_up in [
        |s: &mut DiskSession| s.discard(&BlockMap::all_missing(1)),
        |s: &mut DiskSession| s.end(SessionEnd::BrokenOff),
        |s: &mut DiskSession| drop(s.offer(&file("../x"))),
        |_: &mut DiskSession| {},
    ] {
        let mut session = world.session();
        session.offer(&file("f"));
        session.write_at(0, b"new").unwrap();
        give_up(&mut session);
        drop(session);
        assert_eq!(world.entries(), ["f"]);
        assert_eq!(world.read("f"), b"old");
    }
}

#[test]
fn files_and_links_in_the_place_are_replaced_not_followed() {
    let world = world();
    let victim = world.outside.join("victim");
    symlink(&victim, world.dest.join("f")).unwrap();
    fs::write(world.dest.join("g"), b"older and longer").unwrap();
    fs::create_dir(world.dest.join("h")).unwrap();
    symlink(&victim, world.dest.join("i.~uftp-0000ABCD-0007")).unwrap();
    let mut session = world.session();
    for name in ["f", "g", "h", "i"] {
        receive(&mut session, name);
        assert_eq!(world.read(name), b"hello");
    }
    world.untouched();
}

#[test]
fn nothing_escapes_the_destination() {
    let world = world();
    symlink(&world.outside, world.dest.join("lnk")).unwrap();
    symlink("..", world.dest.join("up")).unwrap();
    let pipe = world.dest.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let before = world.entries();
    let absolute = world.outside.join("victim");
    let beside = format!("{}2/x", world.dest.display());
    let mut session = world.session();
    for name in [
        absolute.to_str().unwrap(),
        &beside,
        "/etc/passwd",
        "..",
        "../outside/victim",
        "a..b/../../outside/victim",
        "a\\..\\x",
        "lnk/victim",
        "lnk/sub/victim",
        "up/outside/victim",
        "pipe/x",
        "",
        ".",
        "//etc//passwd",
        "a\0b",
        &"n".repeat(256),
    ] {
        for kind in [
            FileType::REGULAR,
            FileType::DIRECTORY,
            FileType::SYMLINK,
            FileType::DELETE,
        ] {
            let offer = session.offer(&incoming(name, kind));
            let Offer::Done { status, note, .. } = &offer else {
                panic!("{name:?} {kind:?}: {offer:?}");
            };
            assert_eq!(*status, CompleteStatus::REJECTED, "{name:?} {kind:?}");
            assert!(note.is_some());
        }
    }
    world.untouched();
    assert_eq!(world.entries(), before);
}

#[test]
fn a_file_makes_room_for_a_directory_of_its_name() {
    let world = world();
    for name in ["a", "b", "c", "kept"] {
        fs::write(world.dest.join(name), b"file").unwrap();
    }
    let mut preview = world.session_with(|info| info.preview = true);
    for kind in [FileType::REGULAR, FileType::DIRECTORY, FileType::SYMLINK] {
        preview.offer(&incoming("kept/x", kind));
    }
    let mut session = world.session();
    session.offer(&incoming("kept/x", FileType::DELETE));
    receive(&mut session, "a/deep/er");
    session.offer(&incoming("b/dir", FileType::DIRECTORY));
    session.offer(&incoming("c/link", FileType::SYMLINK));
    assert_eq!(world.read("a/deep/er"), b"hello");
    assert!(world.dest.join("b/dir").is_dir());
    assert!(world.dest.join("c/link").is_symlink());
    assert_eq!(world.read("kept"), b"file");
}

#[test]
fn absolute_names_work_within_a_destination() {
    let world = world();
    let mut session = world.session();
    receive(&mut session, world.dest.join("x/y").to_str().unwrap());
    assert_eq!(world.read("x/y"), b"hello");
}

#[test]
fn full_directories_are_never_replaced() {
    let world = world();
    fs::create_dir(world.dest.join("d")).unwrap();
    fs::write(world.dest.join("d/keep"), b"").unwrap();
    let mut session = world.session();
    for kind in [FileType::REGULAR, FileType::SYMLINK] {
        let offer = session.offer(&incoming("d", kind));
        assert_eq!(status(&offer), Some(CompleteStatus::REJECTED));
    }
    // It may also become full while the file arrives.
    session.offer(&file("e"));
    session.write_at(0, b"hello").unwrap();
    fs::create_dir_all(world.dest.join("e/keep")).unwrap();
    assert!(session.finish().is_err());
    drop(session);
    assert_eq!(world.entries(), ["d", "e"]);
    assert!(world.dest.join("d/keep").exists());
}

#[test]
fn what_the_operator_does_not_want_is_rejected() {
    let world = world();
    fs::write(world.dest.join("f"), b"here").unwrap();
    for (unwanted, taken) in [
        (FileType::SYMLINK, FileType::DELETE),
        (FileType::DELETE, FileType::SYMLINK),
    ] {
        let mut store = world.store(|config| config.rejected = vec![unwanted]);
        let mut session = store.open_session(&info());
        let offer = session.offer(&incoming("f", unwanted));
        assert_eq!(status(&offer), Some(CompleteStatus::REJECTED));
        assert_eq!(world.read("f"), b"here");
        let offer = session.offer(&incoming("g", taken));
        assert_eq!(status(&offer), Some(CompleteStatus::NORMAL));
    }
}

#[test]
fn directories_and_links_are_made_once() {
    let world = world();
    fs::write(world.dest.join("was-file"), b"").unwrap();
    let mut session = world.session();
    for (name, want) in [
        ("p/d", CompleteStatus::NORMAL),
        ("p/d", CompleteStatus::SKIPPED),
        ("was-file", CompleteStatus::NORMAL),
    ] {
        let offer = session.offer(&incoming(name, FileType::DIRECTORY));
        assert_eq!(status(&offer), Some(want), "{name}");
        assert!(world.dest.join(name).is_dir());
    }
    for _ in 0..2 {
        let offer = session.offer(&incoming("p/l", FileType::SYMLINK));
        assert_eq!(status(&offer), Some(CompleteStatus::NORMAL));
        assert_eq!(
            fs::read_link(world.dest.join("p/l")).unwrap(),
            Path::new("target")
        );
    }
    let mut no_text = incoming("p/m", FileType::SYMLINK);
    no_text.link.clear();
    assert_eq!(
        status(&session.offer(&no_text)),
        Some(CompleteStatus::REJECTED)
    );
    assert_eq!(fs::read_dir(world.dest.join("p")).unwrap().count(), 2);
}

#[test]
fn deletion_takes_trees_but_not_what_links_lead_to() {
    let world = world();
    fs::create_dir_all(world.dest.join("a/b/c")).unwrap();
    fs::write(world.dest.join("a/b/f"), b"").unwrap();
    symlink(&world.outside, world.dest.join("a/b/lnk")).unwrap();
    let mut session = world.session();
    for name in ["a/b", "gone", "gone/too"] {
        let offer = session.offer(&incoming(name, FileType::DELETE));
        assert_eq!(status(&offer), Some(CompleteStatus::NORMAL), "{name}");
    }
    assert_eq!(world.entries(), ["a"]);
    assert_eq!(fs::read_dir(world.dest.join("a")).unwrap().count(), 0);
    world.untouched();
}

#[test]
fn space_is_told_and_minded() {
    let world = world();
    let mut session = world.session();
    let Offer::Done { free_space, .. } = session.offer(&incoming(".", FileType::FREESPACE)) else {
        panic!("not answered");
    };
    assert!(free_space.unwrap() > 0);
    let mut huge = file("dir/huge");
    huge.size = u64::MAX >> 16;
    assert_eq!(
        session.offer(&huge),
        Offer::Abort("Not enough disk space".into())
    );
    assert_eq!(
        session.offer(&incoming("x", FileType(9))),
        Offer::Abort("Invalid file type".into())
    );
    assert!(world.entries().is_empty());
}

#[test]
fn sync_compares_time_then_size_and_preview_changes_nothing() {
    let world = world();
    let mut session = world.session();
    receive(&mut session, "same");
    let mut sync = world.session_with(|i| i.sync = true);
    let mut older = file("same");
    older.mtime -= 1;
    let mut newer = file("same");
    newer.mtime += 1;
    let mut longer = file("same");
    longer.size += 1;
    for (offered, want) in [
        (file("same"), CompleteStatus::SKIPPED),
        (older, CompleteStatus::SKIPPED),
        (newer.clone(), CompleteStatus::OVERWRITE),
        (longer, CompleteStatus::OVERWRITE),
        (file("new"), CompleteStatus::NORMAL),
    ] {
        assert_eq!(status(&sync.offer(&offered)), Some(want), "{offered:?}");
    }
    drop(sync);
    let mut preview = world.session_with(|i| (i.sync, i.preview) = (true, true));
    assert_eq!(
        status(&preview.offer(&newer)),
        Some(CompleteStatus::OVERWRITE)
    );
    for kind in [
        FileType::REGULAR,
        FileType::DIRECTORY,
        FileType::SYMLINK,
        FileType::DELETE,
    ] {
        let offer = preview.offer(&incoming("a/b", kind));
        assert_eq!(status(&offer), Some(CompleteStatus::NORMAL));
    }
    preview.offer(&incoming("same", FileType::DELETE));
    assert_eq!(world.entries(), ["same"]);
}

#[test]
fn sync_leaves_what_is_newer_whatever_it_is() {
    let world = world();
    std::fs::create_dir(world.dest.join("dir")).unwrap();
    std::os::unix::fs::symlink("nowhere", world.dest.join("link")).unwrap();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    for (mtime, want) in [
        (now - 1000, CompleteStatus::SKIPPED),
        (now + 1000, CompleteStatus::OVERWRITE),
    ] {
        for name in ["dir", "link"] {
            let mut offered = file(name);
            offered.mtime = mtime;
            for preview in [true, false] {
                let mut sync = world.session_with(|i| (i.sync, i.preview) = (true, preview));
                assert_eq!(status(&sync.offer(&offered)), Some(want), "{name} {mtime}");
            }
        }
    }
}

#[test]
fn unusable_destinations_are_told_apart() {
    let world = world();
    for (path, words) in [
        (PathBuf::from("relative"), "absolute"),
        (
            world.dest.join("missing"),
            "couldn't write to dest directory",
        ),
        (
            world.outside.join("victim"),
            "couldn't write to dest directory",
        ),
    ] {
        let config = StoreConfig {
            dest_dirs: vec![path],
            ..StoreConfig::default()
        };
        let Err(failure) = DiskStore::open(&config) else {
            panic!("opened");
        };
        assert!(failure.message.contains(words), "{failure}");
        assert_eq!(failure.exit, crate::exit::Exit::CommandLine);
    }
}

mod backups;
mod over;
mod scripts;
mod temp_dir;
mod trust;

#[test]
fn directories_are_where_their_paths_are_when_a_session_begins() {
    let world = world();
    let backup = world.outside.join("backup");
    fs::create_dir(&backup).unwrap();
    let mut store = world.store(|config| config.backup_dirs.push(backup.clone()));
    let mut before = store.open_session(&info());
    fs::remove_dir_all(&world.dest).unwrap();
    fs::remove_dir_all(&backup).unwrap();
    let mut after = store.open_session(&info());
    receive(&mut after, "f");
    receive(&mut after, "f");
    assert_eq!(world.entries(), ["f"]);
    assert_eq!(fs::read_dir(&backup).unwrap().count(), 1);
    let offer = before.offer(&file("g"));
    assert_eq!(status(&offer), Some(CompleteStatus::REJECTED), "{offer:?}");

    let elsewhere = world.outside.join("elsewhere");
    fs::rename(&world.dest, &elsewhere).unwrap();
    symlink(&elsewhere, &world.dest).unwrap();
    receive(&mut store.open_session(&info()), "behind a link");
    fs::remove_file(&world.dest).unwrap();
    fs::write(&world.dest, b"not a directory").unwrap();
    receive(&mut store.open_session(&info()), "held");
    for name in ["f", "behind a link", "held"] {
        assert_eq!(fs::read(elsewhere.join(name)).unwrap(), b"hello");
    }
}

#[test]
fn a_small_file_does_not_keep_others_waiting_for_a_busy_disk() {
    let world = world();
    for (fsync, waits) in [
        (Fsync::File, true),
        (Fsync::Session, false),
        (Fsync::None, false),
    ] {
        let mut store = world.store(|config| config.fsync = fsync);
        let (flusher, orders) = Flusher::stalled();
        let place = Arc::get_mut(&mut store.place).unwrap();
        // Whatever disk these tests run on.
        place.flusher = (fsync != Fsync::None).then(|| Arc::new(flusher));
        let mut session = store.open_session(&info());
        session.offer(&file("f"));
        session.write_at(0, b"hello").unwrap();
        let soon = Duration::from_millis(1);
        assert_eq!(session.is_at_rest(soon), !waits, "{fsync:?}");
        drop(orders);
        assert!(session.is_at_rest(soon), "{fsync:?}");
        session.finish().unwrap();
        assert_eq!(world.read("f"), b"hello");
    }
}
