//! Directories of the operator's choice, held open, and looked for again by their paths: what is
//! cleaned away, mounted over or linked elsewhere while a receiver runs is found by the next session.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::beneath::Dir;
use crate::log;

/// An open directory and the path it is known by.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) path: PathBuf,
    pub(super) dir: Dir,
}

impl Held {
    /// What the path stands for now, and whether that is another directory. One that is gone is made
    /// again, as the C programs do; one that cannot be opened stays what it was.
    pub(super) fn look_again(&self) -> io::Result<(Held, bool)> {
        let moved = match open_or_make(&self.path) {
            Ok(dir) => (!dir.is(&self.dir)?).then_some(dir),
            Err(error) => {
                let path = self.path.display();
                log::line(0, None, format_args!("Couldn't open {path} again: {error}"));
                None
            }
        };
        let is_another = moved.is_some();
        let dir = moved.unwrap_or_else(|| self.dir.clone());
        let path = self.path.clone();
        Ok((Held { path, dir }, is_another))
    }
}

fn open_or_make(path: &Path) -> io::Result<Dir> {
    match Dir::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o755).create(path)?;
            Dir::open(path)
        }
        opened => opened,
    }
}
