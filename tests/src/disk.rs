//! Disks of a test's own: small ones, and one whose power can be cut.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use nix::sched::{CloneFlags, unshare};

use crate::{Failure, Result, World, command::run};

/// From now on, what this thread and the programs it starts mount is seen by them alone and gone
/// with them.
///
/// # Errors
/// When the kernel refuses.
pub fn mount_privately() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)
        .map_err(|error| Failure::io("a mount namespace of the test's own", error))?;
    run("mount", &["--make-rprivate", "/"], "").map(drop)
}

/// A disk in memory of so many bytes, as the directory `name` of `world`.
///
/// # Errors
/// When it cannot be mounted.
pub fn small_disk(world: &World, name: &str, bytes: u64) -> Result<PathBuf> {
    let dir = world.make_dir(name)?;
    let size = format!("size={bytes}");
    let args = ["-t", "tmpfs", "-o", &size, "none", &dir.to_string_lossy()];
    run("mount", &args, "")?;
    Ok(dir)
}

/// Mounts the file `what` over the file `there`.
///
/// # Errors
/// When it cannot be mounted.
pub fn mount_over(what: &Path, there: &Path) -> Result<()> {
    let args = ["--bind", &what.to_string_lossy(), &there.to_string_lossy()];
    run("mount", &args, "").map(drop)
}

/// A disk whose power can be cut: an ext4 file system in a file, which has what the system has
/// written out and not what it still keeps in memory.
pub struct Disk {
    image: PathBuf,
    dir: PathBuf,
}

impl Disk {
    /// Makes a disk of so many megabytes and mounts it as the directory `name` of `world`.
    ///
    /// # Errors
    /// When it cannot be made or mounted.
    pub fn new(world: &World, name: &str, megabytes: u64) -> Result<Self> {
        let dir = world.make_dir(name)?;
        let image = dir.with_extension("image");
        let made = File::create(&image).and_then(|file| file.set_len(megabytes << 20));
        made.map_err(|error| Failure::io(format!("creating {}", image.display()), error))?;
        run("mkfs.ext4", &["-q", "-F", &image.to_string_lossy()], "")?;
        mount_image(&image, &dir)?;
        run("sync", &["-f", &dir.to_string_lossy()], "")?;
        Ok(Self { image, dir })
    }

    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What would be on it if the power were cut now, mounted as the directory `name` of `world`.
    ///
    /// # Errors
    /// When the copy cannot be made or mounted.
    pub fn after_power_cut(&self, world: &World, name: &str) -> Result<PathBuf> {
        let dir = world.make_dir(name)?;
        let copy = dir.with_extension("image");
        fs::copy(&self.image, &copy)
            .map_err(|error| Failure::io(format!("copying to {}", copy.display()), error))?;
        mount_image(&copy, &dir)?;
        Ok(dir)
    }
}

fn mount_image(image: &Path, dir: &Path) -> Result<()> {
    let (image, dir) = (image.to_string_lossy(), dir.to_string_lossy());
    run("mount", &["-o", "loop", &image, &dir], "").map(drop)
}
