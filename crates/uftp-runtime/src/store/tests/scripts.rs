use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::*;

/// A world whose receiver runs a script that notes how it was called.
struct Noted {
    world: World,
    script: PathBuf,
}

fn noted() -> Noted {
    let world = world();
    let script = world.outside.with_file_name("script");
    let notes = world.outside.with_file_name("notes");
    fs::create_dir(&notes).unwrap();
    // Each call writes its own file, whole, by a rename.
    let text = format!(
        r#"#!/bin/sh
out={notes}/$$
std=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2)
open=$(ls -l /proc/$$/fd | sed -n 's/.* -> //p' | tr '\n' ' ')
{{
    printf '%s|' "$@"
    echo
    echo "$UFTP_GROUP_ID $UFTP_SERVER_UID $UFTP_STATUS"
    echo $std
    echo $open
    grep SigIgn /proc/$$/status
}} > $out.tmp
mv $out.tmp $out.note
"#,
        notes = notes.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    Noted { world, script }
}

impl Noted {
    fn store(&self, set: impl FnOnce(&mut StoreConfig)) -> DiskStore {
        self.world.store(|config| {
            config.post_receive = Some(self.script.clone());
            set(config);
        })
    }

    /// What was noted in `count` calls, sorted; there are no more.
    fn calls(&self, count: usize) -> Vec<String> {
        let dir = self.world.outside.with_file_name("notes");
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let mut found: Vec<String> = fs::read_dir(&dir)
                .unwrap()
                .map(|e| e.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == "note"))
                .map(|path| fs::read_to_string(path).unwrap())
                .collect();
            if found.len() >= count || Instant::now() > until {
                assert_eq!(found.len(), count, "{found:?}");
                found.sort();
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn path(&self, name: &str) -> String {
        self.world.dest.join(name).display().to_string()
    }
}

fn words(call: &str) -> &str {
    call.lines().next().unwrap()
}

#[test]
fn it_runs_for_each_file_in_clean_surroundings() {
    let noted = noted();
    let mut session = noted.store(|_| {}).open_session(&info());
    for kind in [FileType::DIRECTORY, FileType::SYMLINK, FileType::DELETE] {
        session.offer(&incoming("no call", kind));
    }
    session.offer(&file("../rejected"));
    receive(&mut session, "a/b");
    receive(&mut session, "with space");
    session.commit().unwrap();
    session.end(SessionEnd::Complete);
    let calls = noted.calls(2);
    assert_eq!(
        words(&calls[0]),
        format!("-I|0000ABCD|{}|", noted.path("a/b"))
    );
    assert_eq!(
        words(&calls[1]),
        format!("-I|0000ABCD|{}|", noted.path("with space"))
    );
    let lines: Vec<&str> = calls[0].lines().collect();
    assert_eq!(lines[1], "0000ABCD 00000001 copied");
    assert_eq!(lines[2], "/dev/null /dev/null /dev/null");
    // Of all that is open in this world only the shell's own script.
    let script = noted.script.to_str().unwrap();
    let world = noted.script.parent().unwrap().to_str().unwrap();
    let mut open = lines[3]
        .split(' ')
        .filter(|target| target.starts_with(world));
    assert!(open.all(|target| target == script), "{}", lines[3]);
    // This program ignores SIGPIPE, number 13.
    let ignored = lines[4].strip_prefix("SigIgn:\t").unwrap();
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 1 << 12, 0);
}

#[test]
fn it_runs_once_for_a_session_with_a_temp_directory() {
    let noted = noted();
    let temp = noted.world.outside.with_file_name("temp");
    fs::create_dir(&temp).unwrap();
    let mut store = noted.store(|config| config.temp_dir = Some(temp));
    let mut session = store.open_session(&info());
    receive(&mut session, "t/a");
    receive(&mut session, "t/b");
    session.commit().unwrap();
    session.end(SessionEnd::Complete);
    let calls = noted.calls(1);
    assert_eq!(
        words(&calls[0]),
        format!("-I|0000ABCD|{}|", noted.path("t"))
    );
    // Also when there is nothing to tell, but not if nothing was taken, which might take the place
    // of the call that is to come in `calls`.
    for (kind, name) in [(FileType::REGULAR, "../x"), (FileType::DELETE, "x")] {
        let mut session = store.open_session(&info());
        session.offer(&incoming(name, kind));
        session.commit().unwrap();
        session.end(SessionEnd::Complete);
    }
    assert_eq!(words(&noted.calls(2)[0]), "-I|0000ABCD|");
}

#[test]
fn it_runs_for_each_thing_moved_individually() {
    let noted = noted();
    let temp = noted.world.outside.with_file_name("temp");
    fs::create_dir(&temp).unwrap();
    let mut store = noted.store(|config| {
        config.temp_dir = Some(temp);
        config.move_individually = true;
    });
    let mut session = store.open_session(&info());
    receive(&mut session, "t/a");
    session.offer(&incoming("t/e", FileType::DIRECTORY));
    session.offer(&incoming("t/l", FileType::SYMLINK));
    session.commit().unwrap();
    session.end(SessionEnd::Complete);
    let calls = noted.calls(3);
    for (call, name) in calls.iter().zip(["t/a", "t/e", "t/l"]) {
        assert_eq!(words(call), format!("-I|0000ABCD|{}|", noted.path(name)));
    }
}

#[test]
fn it_tells_what_was_overwritten_and_may_be_missing() {
    let noted = noted();
    let sync = SessionInfo {
        sync: true,
        ..info()
    };
    let mut session = noted.store(|_| {}).open_session(&sync);
    fs::write(noted.world.dest.join("f"), b"old").unwrap();
    let mut newer = file("f");
    newer.mtime = i64::from(i32::MAX);
    session.offer(&newer);
    session.write_at(0, b"hello").unwrap();
    session.finish().unwrap();
    assert!(noted.calls(1)[0].contains("overwritten"));

    fs::remove_file(&noted.script).unwrap();
    let mut session = noted.store(|_| {}).open_session(&info());
    receive(&mut session, "g");
    assert_eq!(noted.world.read("g"), b"hello");
}
