//! The reference programs: Debian's package `uftp`, unpacked and never installed, so that its
//! service does not start.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::{Failure, Result, building::target_dir, command};

/// The directory with the reference's `uftp` and `uftpd`.
///
/// It is `UFTP_REFERENCE_DIR` if that is set. Otherwise Debian's package is downloaded by `apt-get`
/// and unpacked below the target directory, once for all tests that run at the same time.
///
/// # Errors
/// When the programs are not where the variable says, or the package cannot be had, saying why.
pub fn reference_dir() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("UFTP_REFERENCE_DIR") {
        let dir = PathBuf::from(dir);
        return if is_complete(&dir) {
            Ok(dir)
        } else {
            Err(Failure::new(format!(
                "UFTP_REFERENCE_DIR is {}, but uftp and uftpd are not both there",
                dir.display()
            )))
        };
    }
    let root = root();
    let programs = root.join("usr/bin");
    let _lock = lock(&root)?;
    if !is_complete(&programs) {
        let package = download(&root)?;
        run_in(&root, "dpkg", &["-x", &package.to_string_lossy(), "."])?;
    }
    if is_complete(&programs) {
        Ok(programs)
    } else {
        Err(Failure::new(format!(
            "the package uftp was unpacked in {}, but has no usr/bin/uftp and usr/bin/uftpd",
            root.display()
        )))
    }
}

/// Debian's package itself, downloaded if it is not there yet.
///
/// # Errors
/// When it cannot be had, saying why.
pub fn reference_package() -> Result<PathBuf> {
    let root = root();
    let _lock = lock(&root)?;
    package_in(&root)?.map_or_else(|| download(&root), Ok)
}

fn root() -> PathBuf {
    target_dir().join("reference")
}

/// Nobody else unpacks while this is held.
fn lock(root: &Path) -> Result<File> {
    fs::create_dir_all(root)
        .map_err(|error| Failure::io(format!("creating {}", root.display()), error))?;
    let lock = root.join(".lock");
    let lock = File::create(&lock)
        .map_err(|error| Failure::io(format!("creating {}", lock.display()), error))?;
    lock.lock()
        .map_err(|error| Failure::io("locking the reference directory", error))?;
    Ok(lock)
}

fn is_complete(dir: &Path) -> bool {
    dir.join("uftp").is_file() && dir.join("uftpd").is_file()
}

/// Downloads the package into `root`; its path.
fn download(root: &Path) -> Result<PathBuf> {
    run_in(root, "apt-get", &["download", "uftp"]).map_err(|failure| {
        Failure::new(format!(
            "{failure}\nThe reference programs are Debian's package uftp 4.10.2. Run `apt-get update`, \
             or unpack the package elsewhere and name its usr/bin in UFTP_REFERENCE_DIR."
        ))
    })?;
    package_in(root)?.ok_or_else(|| Failure::new(format!("no uftp_*.deb in {}", root.display())))
}

fn package_in(root: &Path) -> Result<Option<PathBuf>> {
    let mut entries = fs::read_dir(root)
        .map_err(|error| Failure::io(format!("reading {}", root.display()), error))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let package = entries.find(|name| name.starts_with("uftp_") && name.ends_with(".deb"));
    Ok(package.map(|name| root.join(name)))
}

fn run_in(dir: &Path, program: &str, args: &[&str]) -> Result<()> {
    let told = format!("{program} {}", args.join(" "));
    let output = command(program)
        .args(args)
        .current_dir(dir)
        .output()
        .map_err(|error| Failure::io(format!("cannot start `{told}`"), error))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "`{told}` failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )))
    }
}
