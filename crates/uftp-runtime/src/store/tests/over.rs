use nix::unistd::{Uid as User, setfsuid};

use super::*;

/// Somebody who is not the owner of what this test makes.
const NOBODY: u32 = 65534;

/// Whether this thread is another user now, where files are concerned. Only root can be.
fn become_nobody() -> bool {
    setfsuid(User::from_raw(NOBODY));
    setfsuid(User::from_raw(NOBODY)).as_raw() == NOBODY
}

fn writable_by_all(path: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(path, mode).unwrap();
}

#[test]
fn a_file_in_a_directory_that_takes_no_new_ones_is_written_over() {
    let world = world();
    fs::write(world.dest.join("f"), b"a longer one").unwrap();
    writable_by_all(&world.dest.join("f"));
    fs::write(world.dest.join("not to be written"), b"old").unwrap();
    let mut session = world.session();
    let mut keeping = world
        .store(|config| config.temp_file = true)
        .open_session(&info());
    if !become_nobody() {
        return; // directories do not refuse their owner
    }
    let rejected = |session: &mut DiskSession, name: &str| {
        let offer = session.offer(&file(name));
        assert_eq!(status(&offer), Some(CompleteStatus::REJECTED), "{offer:?}");
    };
    rejected(&mut session, "new");
    rejected(&mut session, "not to be written");
    rejected(&mut keeping, "f");
    receive(&mut session, "f");
    session.commit().unwrap();
    setfsuid(User::from_raw(0));
    assert_eq!(world.read("f"), b"hello");
    assert_eq!(world.read("not to be written"), b"old");
    assert_eq!(world.entries(), ["f", "not to be written"]);
}

#[test]
fn only_what_is_written_over_elsewhere_hands_on_its_owner() {
    let world = world();
    let there = world.dest.join("f");
    let owner_after = |set: fn(&mut StoreConfig), sync: bool| {
        fs::write(&there, b"old").unwrap();
        if std::os::unix::fs::chown(&there, Some(NOBODY), Some(NOBODY)).is_err() {
            return None; // not root
        }
        let mut session = world
            .store(set)
            .open_session(&SessionInfo { sync, ..info() });
        let mut newer = file("f");
        newer.mtime = i64::from(i32::MAX);
        session.offer(&newer);
        session.write_at(0, b"hello").unwrap();
        session.finish().unwrap();
        assert_eq!(world.read("f"), b"hello");
        let meta = fs::metadata(&there).unwrap();
        Some((meta.uid(), meta.gid(), meta.mode() & 0o777))
    };
    let Some(plain) = owner_after(|_| {}, false) else {
        return;
    };
    assert_eq!(plain, (NOBODY, NOBODY, 0o644));
    assert_eq!(owner_after(|_| {}, true), Some((0, 0, 0o644)));
    let kept = owner_after(|config| config.temp_file = true, false);
    assert_eq!(kept, Some((0, 0, 0o644)));
}
