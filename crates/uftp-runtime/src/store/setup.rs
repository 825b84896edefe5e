//! The directories of a receiver, opened and tried out before anything is received (cli §3.1).

use std::io;
use std::path::{Path, PathBuf};

use uftp_proto::wire::FileType;

use super::beneath::{Dir, scratch};
use super::held::Held;
use super::script::PostReceive;
use super::staging::Delivery;
use super::{Fsync, Root, TempDir};
use crate::exit::Failure;

/// Where received files go, and what else is done with them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct StoreConfig {
    /// The first takes all relative names, the others only absolute names that lie in them.
    pub dest_dirs: Vec<PathBuf>,
    /// For each destination where replaced files are kept; empty if they are not.
    pub backup_dirs: Vec<PathBuf>,
    /// Keep what is replaced until its successor has come, even if the disk has no room for both.
    pub temp_file: bool,
    /// Where files stay until their session is over.
    pub temp_dir: Option<PathBuf>,
    /// Move file by file out of `temp_dir`, instead of replacing whole directories.
    pub move_individually: bool,
    /// The program to run with what was received.
    pub post_receive: Option<PathBuf>,
    /// What is waited for until it is on the disk.
    pub fsync: Fsync,
    /// What is rejected, whoever sends it.
    pub rejected: Vec<FileType>,
}

impl StoreConfig {
    /// Tries the directories, by who this process now is.
    ///
    /// # Errors
    /// One is not writable, or does not go with the others.
    pub(crate) fn try_out(&self) -> Result<(), Failure> {
        let roots = self.open_roots()?;
        self.open_temp(&roots).map(drop)
    }

    /// Looks whether this user can run what `-s` names.
    ///
    /// # Errors
    /// It is not there, or may not be run.
    pub(crate) fn try_script(&self) -> Result<(), Failure> {
        self.post_receive
            .as_deref()
            .map_or(Ok(()), PostReceive::try_out)
    }

    /// Opens and tries the destination and backup directories.
    pub(super) fn open_roots(&self) -> Result<Vec<Root>, Failure> {
        let backups = self.backup_dirs.len();
        if backups > 0 && backups != self.dest_dirs.len() {
            return Err(Failure::command_line(format!(
                "Must specify same number of backup directories (-A) as dest directories (-D): \
                 {} and {}",
                backups,
                self.dest_dirs.len()
            )));
        }
        let mut roots = Vec::new();
        for (index, path) in self.dest_dirs.iter().enumerate() {
            let dest = open(path, &DEST)?;
            let backup = self
                .backup_dirs
                .get(index)
                .map(|backup| open_beside(backup, &BACKUP, &dest))
                .transpose()?;
            roots.push(Root { dest, backup });
        }
        Ok(roots)
    }

    /// Opens and tries the temp directory, if there is one.
    pub(super) fn open_temp(&self, roots: &[Root]) -> Result<Option<TempDir>, Failure> {
        let (Some(path), Some(root)) = (&self.temp_dir, roots.first()) else {
            return Ok(None);
        };
        if !self.backup_dirs.is_empty() {
            return Err(Failure::command_line(
                "Cannot specify both -T and -A: a temp directory leaves no backups",
            ));
        }
        if roots.len() > 1 {
            return Err(Failure::command_line(
                "Cannot specify -T with more than one dest directory (-D)",
            ));
        }
        Ok(Some(TempDir {
            held: open_beside(path, &TEMP, &root.dest)?,
            delivery: match self.move_individually {
                true => Delivery::Individual,
                false => Delivery::Whole,
            },
        }))
    }
}

/// What a directory is for, and the option that names it.
struct Kind {
    name: &'static str,
    option: &'static str,
}

const DEST: Kind = Kind {
    name: "dest",
    option: "-D",
};
const BACKUP: Kind = Kind {
    name: "backup",
    option: "-A",
};
const TEMP: Kind = Kind {
    name: "temp",
    option: "-T",
};

/// Opens a directory of this kind, in which it must be possible to make files.
fn open(path: &Path, kind: &Kind) -> Result<Held, Failure> {
    let Kind { name, option } = kind;
    if !path.is_absolute() {
        return Err(Failure::command_line(format!(
            "must specify absolute pathname for {name} directory, not {}",
            path.display()
        ))
        .about(option));
    }
    let tried = Dir::open(path).and_then(|dir| {
        let scratch = scratch();
        dir.remove_file(&scratch)?;
        dir.create(&scratch)?;
        dir.remove_file(&scratch)?;
        Ok(Held {
            path: path.to_owned(),
            dir,
        })
    });
    tried.map_err(|error| {
        Failure::command_line(format!(
            "couldn't write to {name} directory: {}: {error}",
            path.display()
        ))
        .about(option)
    })
}

/// Opens a directory of this kind, which must be another than `dest`, but on its file system.
fn open_beside(path: &Path, kind: &Kind, dest: &Held) -> Result<Held, Failure> {
    let Kind { name, option } = kind;
    let held = open(path, kind)?;
    let (dir, dest_path, dest) = (&held.dir, &dest.path, &dest.dir);
    let trouble = |what: String| {
        Failure::command_line(format!(
            "{what}: {} and {}",
            path.display(),
            dest_path.display()
        ))
        .about(option)
    };
    if dir.is(dest).unwrap_or(false) {
        let what = format!("corresponding {name} dir and dest dir must be different");
        return Err(trouble(what));
    }
    match try_move(dir, dest).and_then(|()| try_move(dest, dir)) {
        Ok(()) => Ok(held),
        Err(error) => Err(trouble(format!(
            "couldn't move files between {name} directory and dest directory ({error}); both must \
             be on the same file system"
        ))),
    }
}

fn try_move(from: &Dir, to: &Dir) -> io::Result<()> {
    let scratch = scratch();
    from.remove_file(&scratch)?;
    from.create(&scratch)?;
    let moved = from.move_to(&scratch, to, &scratch);
    from.remove_file(&scratch)?;
    moved?;
    to.remove_file(&scratch)
}
