use super::*;

struct Kept {
    world: World,
    backup: PathBuf,
}

fn kept() -> Kept {
    let world = world();
    let backup = world.dest.with_file_name("backup");
    fs::create_dir(&backup).unwrap();
    Kept { world, backup }
}

impl Kept {
    fn session(&self) -> DiskSession {
        let backup = self.backup.clone();
        self.world
            .store(|config| config.backup_dirs = vec![backup])
            .open_session(&info())
    }

    /// The one session's copy of the destination.
    fn copy(&self) -> PathBuf {
        let only = |dir: &Path| {
            let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(Result::unwrap).collect();
            assert_eq!(entries.len(), 1, "{dir:?}");
            entries.remove(0)
        };
        let (day, second) = (only(&self.backup), only(&only(&self.backup).path()));
        for (name, digits) in [(day.file_name(), 8), (second.file_name(), 6)] {
            let name = name.into_string().unwrap();
            assert!(name.len() == digits && name.bytes().all(|b| b.is_ascii_digit()));
        }
        second
            .path()
            .join(self.world.dest.strip_prefix("/").unwrap())
    }
}

#[test]
fn everything_that_is_replaced_or_deleted_is_kept() {
    let kept = kept();
    let dest = &kept.world.dest;
    fs::create_dir_all(dest.join("d/sub")).unwrap();
    fs::write(dest.join("d/sub/f"), b"old").unwrap();
    fs::create_dir_all(dest.join("tree/sub")).unwrap();
    fs::write(dest.join("tree/sub/g"), b"in tree").unwrap();
    fs::write(dest.join("was-file"), b"file").unwrap();
    fs::write(dest.join("gone"), b"deleted").unwrap();
    fs::write(dest.join("other"), b"stays").unwrap();
    symlink("elsewhere", dest.join("link")).unwrap();
    let mut session = kept.session();
    // A tree may be replaced by a file, as nothing of it is lost.
    for name in ["d/sub/f", "tree", "new"] {
        receive(&mut session, name);
        assert_eq!(kept.world.read(name), b"hello");
    }
    for (name, kind) in [
        ("was-file", FileType::DIRECTORY),
        ("link", FileType::SYMLINK),
        ("gone", FileType::DELETE),
        ("absent", FileType::DELETE),
    ] {
        let offer = session.offer(&incoming(name, kind));
        assert_eq!(status(&offer), Some(CompleteStatus::NORMAL), "{name}");
    }
    let copy = kept.copy();
    for (name, content) in [
        ("d/sub/f", "old"),
        ("tree/sub/g", "in tree"),
        ("was-file", "file"),
        ("gone", "deleted"),
    ] {
        assert_eq!(fs::read_to_string(copy.join(name)).unwrap(), content);
    }
    assert_eq!(
        fs::read_link(copy.join("link")).unwrap(),
        Path::new("elsewhere")
    );
    assert_eq!(fs::read_dir(&copy).unwrap().count(), 5);
    assert!(!dest.join("gone").exists());
    assert_eq!(kept.world.read("other"), b"stays");
}

#[test]
fn an_older_backup_of_the_name_is_replaced() {
    let kept = kept();
    fs::write(kept.world.dest.join("f"), b"first").unwrap();
    let mut session = kept.session();
    receive(&mut session, "f");
    assert_eq!(fs::read(kept.copy().join("f")).unwrap(), b"first");
    fs::write(kept.world.dest.join("f"), b"second").unwrap();
    receive(&mut session, "f");
    assert_eq!(fs::read(kept.copy().join("f")).unwrap(), b"second");
    fs::remove_file(kept.world.dest.join("f")).unwrap();
    fs::create_dir_all(kept.world.dest.join("f/x")).unwrap();
    receive(&mut session, "f");
    assert!(kept.copy().join("f/x").is_dir());
    fs::write(kept.world.dest.join("f"), b"last").unwrap();
    receive(&mut session, "f");
    assert_eq!(fs::read(kept.copy().join("f")).unwrap(), b"last");
    assert_eq!(fs::read_dir(kept.copy()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_kept_is_not_replaced() {
    let kept = kept();
    let dest = &kept.world.dest;
    let mut session = kept.session();
    for name in ["f", "l", "d", "x"] {
        fs::write(dest.join(name), b"old").unwrap();
    }
    session.offer(&file("f"));
    session.write_at(0, b"hello").unwrap();
    // The day's directory cannot be made, as a file has its name.
    fs::write(kept.backup.join(session_day()), b"").unwrap();
    let error = session.finish().unwrap_err().to_string();
    assert!(error.contains("no backup was made"), "{error}");
    session.discard(&BlockMap::none_missing(1));
    for (name, kind) in [
        ("l", FileType::SYMLINK),
        ("d", FileType::DIRECTORY),
        ("x", FileType::DELETE),
    ] {
        let offer = session.offer(&incoming(name, kind));
        assert_eq!(status(&offer), Some(CompleteStatus::REJECTED), "{name}");
    }
    assert_eq!(kept.world.entries(), ["d", "f", "l", "x"]);
    for name in ["f", "l", "d", "x"] {
        assert_eq!(kept.world.read(name), b"old");
    }
}

fn session_day() -> std::ffi::OsString {
    let [day, _] = backup::stamp();
    day
}

#[test]
fn backup_directories_must_go_with_the_destinations() {
    let kept = kept();
    let dest = kept.world.dest.clone();
    let other_system = tempfile::tempdir_in("/dev/shm").unwrap();
    for (backups, words) in [
        (vec!["relative".into()], "must specify absolute pathname"),
        (
            vec![dest.join("missing")],
            "couldn't write to backup directory",
        ),
        (
            vec![dest.clone()],
            "backup dir and dest dir must be different",
        ),
        (
            vec![kept.backup.clone(), dest.clone()],
            "Must specify same number of backup directories",
        ),
        (
            vec![other_system.path().to_owned()],
            "must be on the same file system",
        ),
    ] {
        let config = StoreConfig {
            dest_dirs: vec![dest.clone()],
            backup_dirs: backups,
            ..StoreConfig::default()
        };
        let Err(failure) = DiskStore::open(&config) else {
            panic!("opened {config:?}");
        };
        assert!(failure.message.contains(words), "{failure}");
        assert_eq!(failure.exit, crate::exit::Exit::CommandLine);
    }
    assert!(kept.world.entries().is_empty(), "trying out leaves nothing");
    assert_eq!(fs::read_dir(other_system.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_makes_room_for_a_directory_is_kept() {
    let kept = kept();
    fs::write(kept.world.dest.join("a"), b"file").unwrap();
    receive(&mut kept.session(), "a/b");
    assert_eq!(kept.world.read("a/b"), b"hello");
    assert_eq!(fs::read(kept.copy().join("a")).unwrap(), b"file");
}
