use super::*;

pub(super) struct Staged {
    pub(super) world: World,
    pub(super) temp: PathBuf,
    individually: bool,
}

pub(super) fn staged() -> Staged {
    let world = world();
    let temp = world.dest.with_file_name("temp");
    fs::create_dir(&temp).unwrap();
    Staged {
        world,
        temp,
        individually: false,
    }
}

impl Staged {
    fn run(&self, instance: u8) -> DiskSession {
        self.session(|info| (info.instance, info.resumed) = (Instance(instance), instance > 0))
    }

    pub(super) fn session(&self, set: impl FnOnce(&mut SessionInfo)) -> DiskSession {
        let mut info = info();
        set(&mut info);
        self.store().open_session(&info)
    }

    pub(super) fn store(&self) -> DiskStore {
        self.world.store(|config| {
            config.temp_dir = Some(self.temp.clone());
            config.move_individually = self.individually;
        })
    }

    pub(super) fn temp_entries(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.temp)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn tree(&self, name: &str) -> PathBuf {
        self.temp.join("_group_0000ABCD").join(name)
    }

    fn write(&self, name: &str) {
        let path = self.world.dest.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"old").unwrap();
    }
}

/// Ten blocks of ten bytes.
pub(super) fn ten(name: &str) -> IncomingFile {
    IncomingFile {
        size: 100,
        block_size: 10,
        ..file(name)
    }
}

/// Receives blocks 0 to 3 of `name` and is interrupted.
pub(super) fn interrupted(session: &mut DiskSession, name: &str) {
    assert!(matches!(
        session.offer(&ten(name)),
        Offer::Accept { missing: None, .. }
    ));
    session.write_at(0, &[1; 40]).unwrap();
    let mut missing = BlockMap::all_missing(10);
    for block in 0..4 {
        missing.clear(block);
    }
    session.discard(&missing);
    session.end(SessionEnd::BrokenOff);
}

#[test]
fn files_stay_apart_until_the_session_is_over() {
    let staged = staged();
    staged.write("tree/kept/x");
    staged.write("f");
    let mut session = staged.run(0);
    receive(&mut session, "tree/a/b");
    receive(&mut session, "f");
    session.offer(&incoming("e", FileType::DIRECTORY));
    session.offer(&incoming("l", FileType::SYMLINK));
    assert_eq!(fs::read(staged.tree("tree/a/b")).unwrap(), b"hello");
    assert_eq!(staged.world.read("f"), b"old");
    assert_eq!(staged.world.entries(), ["f", "tree"]);
    session.commit().unwrap();
    assert_eq!(staged.world.entries(), ["e", "f", "l", "tree"]);
    assert_eq!(staged.world.read("f"), b"hello");
    assert_eq!(staged.world.read("tree/a/b"), b"hello");
    assert!(
        !staged.world.dest.join("tree/kept").exists(),
        "trees are replaced whole"
    );
    session.end(SessionEnd::Complete);
    assert_eq!(staged.temp_entries(), [""; 0]);
}

#[test]
fn one_by_one_what_else_is_there_stays() {
    let mut staged = staged();
    staged.individually = true;
    staged.write("tree/kept/x");
    staged.write("tree/a/c");
    staged.write("f/y");
    staged.write("file");
    let mut session = staged.run(0);
    receive(&mut session, "tree/a/b");
    receive(&mut session, "tree/a/c");
    receive(&mut session, "file/now/dir");
    session.offer(&incoming("tree/kept", FileType::DIRECTORY));
    session.offer(&incoming("tree/empty", FileType::DIRECTORY));
    session.commit().unwrap();
    session.end(SessionEnd::Complete);
    for (name, content) in [
        ("tree/kept/x", "old"),
        ("tree/a/b", "hello"),
        ("tree/a/c", "hello"),
        ("file/now/dir", "hello"),
        ("f/y", "old"),
    ] {
        assert_eq!(staged.world.read(name), content.as_bytes(), "{name}");
    }
    assert!(staged.world.dest.join("tree/empty").is_dir());
    assert_eq!(staged.temp_entries(), [""; 0]);

    // A tree in the place of a file is told, and the file kept.
    let mut session = staged.run(0);
    receive(&mut session, "f");
    receive(&mut session, "g");
    let error = session.commit().unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    session.end(SessionEnd::BrokenOff);
    assert_eq!(staged.world.read("f/y"), b"old");
    assert_eq!(staged.world.read("g"), b"hello");
    assert_eq!(fs::read(staged.tree("f")).unwrap(), b"hello");
}

#[test]
fn absolute_names_are_refused() {
    let staged = staged();
    let mut session = staged.run(0);
    for dir in [&staged.world.dest, &staged.temp] {
        let offer = session.offer(&file(dir.join("x").to_str().unwrap()));
        assert_eq!(status(&offer), Some(CompleteStatus::REJECTED));
    }
}

#[test]
fn deletion_and_sync_look_at_the_temp_directory_only() {
    let staged = staged();
    staged.write("f");
    let mut session = staged.session(|info| info.sync = true);
    receive(&mut session, "f");
    let offer = session.offer(&incoming("f", FileType::DELETE));
    assert_eq!(status(&offer), Some(CompleteStatus::NORMAL));
    session.commit().unwrap();
    session.end(SessionEnd::Complete);
    assert_eq!(staged.world.read("f"), b"old");

    let mut preview = staged.session(|info| (info.sync, info.preview) = (true, true));
    let offer = preview.offer(&file("f"));
    assert_eq!(status(&offer), Some(CompleteStatus::NORMAL));
    preview.commit().unwrap();
    preview.end(SessionEnd::Complete);
    assert_eq!(
        (staged.temp_entries(), staged.world.read("f")),
        (vec![], b"old".to_vec())
    );
}

#[test]
fn a_later_run_goes_on_where_the_first_stopped() {
    let staged = staged();
    let mut first = staged.run(0);
    receive(&mut first, "whole");
    interrupted(&mut first, "part");
    assert_eq!(
        staged.temp_entries(),
        [
            "_group_0000ABCD",
            "_group_0000ABCD_partial",
            "_group_0000ABCD_restart"
        ]
    );
    assert!(staged.world.entries().is_empty());

    let mut second = staged.run(1);
    let offer = second.offer(&file("whole"));
    assert!(
        matches!(
            offer,
            Offer::Done {
                status: CompleteStatus::NORMAL,
                ..
            }
        ),
        "{offer:?}"
    );
    let Offer::Accept {
        missing: Some(missing),
        ..
    } = second.offer(&ten("part"))
    else {
        panic!("not resumed");
    };
    assert_eq!(
        (missing.missing(), missing.next_missing(0..10)),
        (6, Some(4))
    );
    second.write_at(40, &[2; 60]).unwrap();
    second.finish().unwrap();
    second.commit().unwrap();
    second.end(SessionEnd::Complete);
    assert_eq!(
        staged.world.read("part"),
        [[1; 40].as_slice(), &[2; 60]].concat()
    );
    assert_eq!(staged.world.read("whole"), b"hello");
    assert_eq!(staged.temp_entries(), [""; 0]);
}

#[test]
fn interruptions_may_follow_each_other() {
    let staged = staged();
    interrupted(&mut staged.run(0), "part");
    let mut second = staged.run(1);
    assert!(matches!(
        second.offer(&ten("part")),
        Offer::Accept {
            missing: Some(_),
            ..
        }
    ));
    second.write_at(40, &[2; 10]).unwrap();
    let mut missing = BlockMap::none_missing(10);
    missing.set(9);
    second.discard(&missing);
    second.end(SessionEnd::BrokenOff);
    let mut third = staged.run(2);
    let Offer::Accept {
        missing: Some(missing),
        ..
    } = third.offer(&ten("part"))
    else {
        panic!("not resumed");
    };
    assert_eq!(missing.missing(), 1);
    // Never announced again: nothing of it arrives.
    third.discard(&missing);
    third.commit().unwrap();
    third.end(SessionEnd::Complete);
    assert!(staged.world.entries().is_empty());
    assert_eq!(staged.temp_entries(), [""; 0]);
}

#[test]
fn runs_without_numbers_go_on_from_each_other() {
    let staged = staged();
    let mut first = staged.run(0);
    interrupted(&mut first, "part");
    for _ in 0..2 {
        let mut later = staged.session(|info| info.resumed = true);
        let Offer::Accept { missing, .. } = later.offer(&ten("part")) else {
            panic!("not accepted");
        };
        let missing = missing.unwrap();
        assert_eq!(missing.missing(), 6);
        later.discard(&missing);
        later.end(SessionEnd::BrokenOff);
    }
}

#[test]
fn what_does_not_match_is_received_anew() {
    for (what, instance, server, spoil) in [
        ("same run", 0, 1, None),
        ("other sender", 1, 2, None),
        (
            "damaged",
            1,
            1,
            Some(b"UFTP receiver restart, version 2\nxxx".to_vec()),
        ),
        ("foreign", 1, 1, Some(vec![0; 336])),
    ] {
        let staged = staged();
        let mut first = staged.run(0);
        receive(&mut first, "stale");
        interrupted(&mut first, "part");
        if let Some(bytes) = spoil {
            fs::write(staged.temp.join("_group_0000ABCD_restart"), bytes).unwrap();
        }
        let mut second = staged.session(|i| {
            (i.instance, i.resumed, i.server) = (Instance(instance), instance > 0, Uid(server))
        });
        let offer = second.offer(&ten("part"));
        assert!(
            matches!(offer, Offer::Accept { missing: None, .. }),
            "{what}"
        );
        second.end(SessionEnd::BrokenOff);
        assert_eq!(staged.temp_entries(), [""; 0], "{what}");
    }
    for change in [
        |f: &mut IncomingFile| f.size = 99,
        |f: &mut IncomingFile| f.mtime += 1,
        |f: &mut IncomingFile| f.block_size = 20,
        |f: &mut IncomingFile| f.name = b"other".to_vec(),
    ] {
        let staged = staged();
        let mut first = staged.run(0);
        interrupted(&mut first, "part");
        let mut changed = ten("part");
        change(&mut changed);
        let offer = staged.run(1).offer(&changed);
        assert!(
            matches!(offer, Offer::Accept { missing: None, .. }),
            "{changed:?}"
        );
    }
    // A file that was there whole, but has changed at the sender since.
    let staged = staged();
    let mut first = staged.run(0);
    receive(&mut first, "whole");
    first.end(SessionEnd::BrokenOff);
    let mut newer = file("whole");
    newer.mtime += 1;
    assert!(matches!(staged.run(1).offer(&newer), Offer::Accept { .. }));
}

#[test]
fn two_sessions_of_one_number_do_not_mix() {
    let staged = staged();
    let mut store = staged.store();
    let mut one = store.open_session(&info());
    let mut other = store.open_session(&SessionInfo {
        instance: Instance(1),
        resumed: true,
        server: Uid(2),
        ..info()
    });
    receive(&mut one, "f");
    let offer = other.offer(&file("f"));
    assert_eq!(status(&offer), Some(CompleteStatus::REJECTED));
    other.end(SessionEnd::BrokenOff);
    one.commit().unwrap();
    one.end(SessionEnd::Complete);
    assert_eq!(staged.world.read("f"), b"hello");
}

#[test]
fn a_temp_directory_must_go_with_the_rest() {
    let staged = staged();
    let (dest, temp) = (staged.world.dest.clone(), staged.temp.clone());
    let other_system = tempfile::tempdir_in("/dev/shm").unwrap();
    let with = |temp: &Path| StoreConfig {
        dest_dirs: vec![dest.clone()],
        temp_dir: Some(temp.to_owned()),
        ..StoreConfig::default()
    };
    for (config, words) in [
        (
            with(Path::new("relative")),
            "must specify absolute pathname for temp",
        ),
        (
            with(&dest.join("missing")),
            "couldn't write to temp directory",
        ),
        (with(&dest), "temp dir and dest dir must be different"),
        (with(other_system.path()), "must be on the same file system"),
        (
            StoreConfig {
                backup_dirs: vec![staged.world.outside.clone()],
                ..with(&temp)
            },
            "Cannot specify both -T and -A",
        ),
        (
            StoreConfig {
                dest_dirs: vec![dest.clone(), staged.world.outside.clone()],
                ..with(&temp)
            },
            "more than one dest directory",
        ),
    ] {
        let Err(failure) = DiskStore::open(&config) else {
            panic!("opened {config:?}");
        };
        assert!(failure.message.contains(words), "{failure}");
        assert_eq!(failure.exit, crate::exit::Exit::CommandLine);
    }
}
