//! Sessions in the clear, which anybody can announce, beside encrypted ones of their number.

use super::temp_dir::{Staged, interrupted, staged, ten};
use super::*;
use crate::store::restart::{Restart, tests::version_1};

fn run(staged: &Staged, instance: u8, encrypted: bool) -> DiskSession {
    staged.session(|info| {
        (info.instance, info.resumed) = (Instance(instance), instance > 0);
        info.encrypted = encrypted;
    })
}

/// A first run has left a file and part of another.
fn left(encrypted: bool) -> Staged {
    let staged = staged();
    let mut first = run(&staged, 0, encrypted);
    receive(&mut first, "whole");
    interrupted(&mut first, "part");
    staged
}

/// Whether a session goes on from what [`left`] has made.
fn goes_on(session: &mut DiskSession) -> bool {
    let whole = matches!(session.offer(&file("whole")), Offer::Done { .. });
    let part = session.offer(&ten("part"));
    let part = matches!(part, Offer::Accept { missing, .. } if missing.is_some());
    assert_eq!(whole, part);
    whole
}

/// Content of everything below the temp directory.
fn content(staged: &Staged) -> Vec<(PathBuf, Vec<u8>)> {
    fn collect(dir: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => collect(&path, all),
                false => all.push((path.clone(), fs::read(&path).unwrap())),
            }
        }
    }
    let mut all = Vec::new();
    collect(&staged.temp, &mut all);
    all.sort();
    all
}

#[test]
fn a_run_goes_on_from_one_of_its_kind_only() {
    for (before, after) in [(true, true), (false, false), (true, false), (false, true)] {
        let staged = left(before);
        let mut second = run(&staged, 1, after);
        assert_eq!(goes_on(&mut second), before == after, "{before} {after}");
    }
}

/// Whatever a session of the other kind does: receives anew, is interrupted, ends well.
#[test]
fn what_one_kind_left_is_there_for_it_whatever_the_other_does() {
    for encrypted in [true, false] {
        let staged = left(encrypted);
        let before = content(&staged);
        assert_eq!(before.len(), 3, "{before:?}");
        let kept = |when: &str| {
            let now = content(&staged);
            for part in &before {
                assert!(now.contains(part), "{when}, {encrypted}: {part:?}");
            }
        };
        let mut other = run(&staged, 1, !encrypted);
        assert!(!goes_on(&mut other));
        kept("while it comes");
        other.end(SessionEnd::BrokenOff);
        kept("nothing came");
        let mut other = run(&staged, 0, !encrypted);
        let offer = other.offer(&file("whole"));
        assert!(matches!(offer, Offer::Accept { .. }), "{offer:?}");
        other.write_at(0, b"false").unwrap();
        other.finish().unwrap();
        interrupted(&mut other, "part");
        kept("interrupted");
        let mut other = run(&staged, 7, !encrypted);
        assert!(goes_on(&mut other), "it has its own");
        other.end(SessionEnd::BrokenOff);
        let mut other = run(&staged, 0, !encrypted);
        receive(&mut other, "own");
        other.commit().unwrap();
        other.end(SessionEnd::Complete);
        assert_eq!(staged.world.read("own"), b"hello", "nothing is lost");
        assert_eq!(content(&staged), before);

        let mut later = run(&staged, 1, encrypted);
        assert!(goes_on(&mut later));
        later.write_at(40, &[2; 60]).unwrap();
        later.finish().unwrap();
        later.commit().unwrap();
        later.end(SessionEnd::Complete);
        assert_eq!(staged.world.read("whole"), b"hello");
        assert_eq!(
            staged.world.read("part"),
            [[1; 40].as_slice(), &[2; 60]].concat()
        );
        assert_eq!(staged.temp_entries(), [""; 0]);
    }
}

#[test]
fn both_kinds_are_received_at_the_same_time() {
    let staged = staged();
    let mut store = staged.store();
    let mut sessions = [false, true].map(|encrypted| {
        let mut session = store.open_session(&SessionInfo {
            encrypted,
            instance: Instance(encrypted.into()),
            ..info()
        });
        let name = format!("{encrypted}");
        assert!(matches!(session.offer(&file(&name)), Offer::Accept { .. }));
        (session, name)
    });
    for (session, name) in &mut sessions {
        session.write_at(0, &name.as_bytes()[..4]).unwrap();
        session.write_at(4, b"!").unwrap();
        session.finish().unwrap();
        session.commit().unwrap();
        session.end(SessionEnd::Complete);
    }
    assert_eq!(staged.world.read("true"), b"true!");
    assert_eq!(staged.world.read("false"), b"fals!");
    assert_eq!(staged.temp_entries(), [""; 0]);
}

/// Without a temp directory, too.
#[test]
fn runs_that_come_at_the_same_time_do_not_share_a_temporary_file() {
    let world = world();
    let mut honest = world.session_with(|info| info.encrypted = true);
    let mut forged = world.session_with(|info| info.instance = Instance(1));
    for session in [&mut honest, &mut forged] {
        assert!(matches!(session.offer(&file("f")), Offer::Accept { .. }));
    }
    forged.write_at(0, b"false").unwrap();
    honest.write_at(0, b"hello").unwrap();
    honest.finish().unwrap();
    assert_eq!(world.read("f"), b"hello");
    forged.end(SessionEnd::BrokenOff);
    assert_eq!(world.entries(), ["f"]);
}

/// What earlier versions left: encrypted sessions were kept where plain ones are.
#[test]
fn what_an_encrypted_run_of_an_earlier_version_left_is_kept() {
    let old = || {
        let staged = left(true);
        for what in ["", "_partial", "_restart"] {
            let entry = |kind| staged.temp.join(format!("_group_0000ABCD{kind}{what}"));
            fs::rename(entry("_encrypted"), entry("")).unwrap();
        }
        staged
    };
    let staged = old();
    let mut plain = run(&staged, 1, false);
    assert!(!goes_on(&mut plain));
    plain.end(SessionEnd::BrokenOff);
    assert!(goes_on(&mut run(&staged, 1, true)));
    assert!(goes_on(&mut run(&old(), 1, true)));

    // Interrupted while it was moved.
    let staged = old();
    let entry = |kind| staged.temp.join(format!("_group_0000ABCD{kind}"));
    fs::rename(entry(""), entry("_encrypted")).unwrap();
    assert!(!goes_on(&mut run(&staged, 1, false)));
    assert!(goes_on(&mut run(&staged, 1, true)));

    // Neither is removed for the other.
    let staged = old();
    let restart = entry_of(&staged, "_restart");
    fs::copy(&restart, entry_of(&staged, "_encrypted_restart")).unwrap();
    let before = content(&staged);
    for encrypted in [false, true] {
        let Offer::Done { status, note, .. } = run(&staged, 1, encrypted).offer(&file("f")) else {
            panic!("taken");
        };
        assert_eq!(status, CompleteStatus::REJECTED);
        let note = note.unwrap();
        assert!(note.contains("_group_0000ABCD_restart and"), "{note}");
    }
    assert_eq!(content(&staged), before);
}

fn entry_of(staged: &Staged, what: &str) -> PathBuf {
    staged.temp.join(format!("_group_0000ABCD{what}"))
}

/// Version 1 of the restart file did not say whether the session was encrypted.
#[test]
fn what_the_version_before_left_is_gone_on_from_in_the_clear_only() {
    let old = || {
        let staged = left(false);
        let path = entry_of(&staged, "_restart");
        let dir = super::super::beneath::Dir::open(&staged.temp).unwrap();
        let restart = Restart::load(&dir, path.file_name().unwrap()).unwrap();
        fs::write(path, version_1(&restart.unwrap())).unwrap();
        staged
    };
    assert!(goes_on(&mut run(&old(), 1, false)));
    assert!(!goes_on(&mut run(&old(), 1, true)));
}

/// Whoever may write to the temp directory must not choose which file a part is written to.
#[test]
fn a_part_with_another_name_is_not_written_to() {
    let staged = left(false);
    let parts = staged.temp.join("_group_0000ABCD_partial");
    let part = fs::read_dir(&parts).unwrap().next().unwrap().unwrap();
    let other = staged.temp.with_file_name("other");
    fs::hard_link(part.path(), &other).unwrap();
    let before = fs::read(&other).unwrap();
    let mut second = run(&staged, 1, false);
    let offer = second.offer(&ten("part"));
    assert!(matches!(offer, Offer::Accept { missing: None, .. }));
    second.write_at(0, &[2; 100]).unwrap();
    second.finish().unwrap();
    second.commit().unwrap();
    assert_eq!(staged.world.read("part"), [2; 100]);
    assert_eq!(fs::read(&other).unwrap(), before);
}

/// Nor what is gone on from, or what comes to be in the place of a received file.
#[test]
fn what_belongs_to_somebody_else_is_not_gone_on_from() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    for name in ["", "_partial", "_restart"] {
        let staged = left(false);
        let path = staged.temp.join(format!("_group_0000ABCD{name}"));
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        let mut second = run(&staged, 1, false);
        assert!(!goes_on(&mut second), "{name}");
        second.end(SessionEnd::BrokenOff);
    }
}
