//! Where files of a task go: directories for temporary files are small or run no programs on some machines.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use nix::sys::statvfs::{FsFlags, statvfs};
use uftp_tests::{Failure, Result, target_dir};

/// What programs the files of a task are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    Nothing,
    Scripts,
}

/// A directory, absolute, with room for so many bytes: that for temporary files if it will do, else where
/// cargo builds.
///
/// # Errors
/// When neither does, with what is wrong with each.
pub(crate) fn roomy(bytes: u64, runs: Runs) -> Result<PathBuf> {
    first_roomy(&[env::temp_dir(), target_dir()], bytes, runs)
}

fn first_roomy(dirs: &[PathBuf], bytes: u64, runs: Runs) -> Result<PathBuf> {
    let mut wrong = Vec::new();
    for dir in dirs {
        match examine(dir, bytes, runs) {
            Ok(dir) => return Ok(dir),
            Err(reason) => wrong.push(format!("{}: {reason}", dir.display())),
        }
    }
    Err(Failure::new(format!(
        "there is no directory for temporary files (TMPDIR names another):\n{}",
        wrong.join("\n")
    )))
}

fn examine(dir: &Path, bytes: u64, runs: Runs) -> std::result::Result<PathBuf, String> {
    let dir = fs::canonicalize(dir).map_err(|error| error.to_string())?;
    let disk = statvfs(&dir).map_err(|error| error.to_string())?;
    let room = disk.blocks_available() * disk.fragment_size();
    if room < bytes {
        return Err(format!(
            "{} MB are needed, {} MB free",
            bytes.div_ceil(1_000_000),
            room / 1_000_000
        ));
    }
    let tempfile = dir.join(format!("uftp-room-{}", std::process::id()));
    fs::create_dir(&tempfile).map_err(|error| error.to_string())?;
    fs::remove_dir(&tempfile).map_err(|error| error.to_string())?;
    if runs == Runs::Scripts && disk.flags().contains(FsFlags::ST_NOEXEC) {
        return Err("no program may run from it (noexec)".to_owned());
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(dirs: &[&str], bytes: u64, runs: Runs) -> std::result::Result<PathBuf, String> {
        let dirs: Vec<_> = dirs.iter().map(PathBuf::from).collect();
        first_roomy(&dirs, bytes, runs).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_first_with_room_is_taken() {
        let here = fs::canonicalize("src").unwrap();
        for before in ["/proc/nowhere", "/proc", "/dev/null"] {
            assert_eq!(found(&[before, "src"], 1, Runs::Nothing), Ok(here.clone()));
        }
    }

    #[test]
    fn each_is_told_what_is_wrong_with_it() {
        let wrong = found(&["/proc", "/nowhere"], 2_000_001, Runs::Nothing).unwrap_err();
        assert!(
            wrong.contains("/proc: 3 MB are needed, 0 MB free"),
            "{wrong}"
        );
        assert!(wrong.contains("/nowhere: No such file"), "{wrong}");
        // No file can be made there, and no program be run.
        let wrong = found(&["/proc"], 0, Runs::Scripts).unwrap_err();
        assert!(wrong.contains("/proc: "), "{wrong}");
    }
}
