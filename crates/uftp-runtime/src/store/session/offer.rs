//! What becomes of an offered file: taken, answered at once, or rejected.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_session::files::{IncomingFile, Offer};

use super::{Arriving, DiskSession};
use crate::store::beneath::{Dir, Entry};
use crate::store::durability::{Rest, Unflushed};
use crate::store::name::{self, Target};
use crate::store::way;

/// An answer, or why the file is rejected.
pub(super) type Answer = Result<Offer, Rejection>;

/// Why a file is rejected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error(transparent)]
    Name(#[from] name::NameError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a directory that is not empty has its name")]
    DirectoryInPlace,
    #[error("the link text is empty")]
    EmptyLink,
    #[error("this receiver takes none (--no-links, --no-delete)")]
    Unwanted,
}

impl DiskSession {
    pub(super) fn consider(&mut self, file: &IncomingFile) -> Answer {
        self.drop_open();
        if file.file_type == FileType::FREESPACE {
            return Ok(self.free_space());
        }
        if self.place.rejected.contains(&file.file_type) {
            return Err(Rejection::Unwanted);
        }
        let target = name::resolve(&file.name, &self.roots_for_absolute_names())?;
        self.stage()?;
        match file.file_type {
            FileType::REGULAR => self.regular(file, target),
            FileType::DIRECTORY => self.directory(&target),
            FileType::SYMLINK => self.link(file, &target),
            FileType::DELETE => self.delete(&target),
            _ => Ok(Offer::Abort("Invalid file type".into())),
        }
    }

    /// Directories that absolute names may lie in: none while files go elsewhere first.
    fn roots_for_absolute_names(&self) -> Vec<&Path> {
        match self.place.temp {
            Some(_) => Vec::new(),
            None => self
                .place
                .roots
                .iter()
                .map(|r| r.dest.path.as_path())
                .collect(),
        }
    }

    fn regular(&mut self, file: &IncomingFile, target: Target) -> Answer {
        let base = self.base(&target)?;
        let way = base.way(&target.parents)?;
        let there = way::entry(&way, &target)?;
        let staging = self.staging.as_ref();
        if staging.is_some_and(|staging| staging.has_whole(there, file)) {
            return Ok(done(CompleteStatus::NORMAL));
        }
        let status = if self.info.sync {
            compare(there, file)
        } else {
            CompleteStatus::NORMAL
        };
        if status == CompleteStatus::SKIPPED || self.info.preview {
            return Ok(done(status));
        }
        let to_come = file.size - staging.map_or(0, |staging| staging.present(file));
        if !self.has_room(&way, &target, there, to_come)? {
            return Ok(Offer::Abort("Not enough disk space".into()));
        }
        let parent = self.parent(&base, way, &target)?;
        self.refuse_full_directory(&parent, &target, there)?;
        let temporary = self.temporary(file, &target.entry);
        let mut missing = None;
        let (opened, from, temporary) = match &mut self.staging {
            Some(staging) => {
                let opened = staging.begin(file)?;
                missing = opened.earlier.map(|partial| partial.missing);
                (opened.file, opened.parts, opened.part)
            }
            None => {
                let (opened, name) = self.begin(&parent, &target, there, temporary)?;
                (opened, parent.clone(), name)
            }
        };
        self.open = Some(Arriving {
            offered: file.clone(),
            status,
            file: opened,
            unflushed: Unflushed::default(),
            rest: Rest::default(),
            from,
            temporary,
            parent,
            target,
        });
        Ok(Offer::Accept { status, missing })
    }

    fn directory(&mut self, target: &Target) -> Answer {
        let base = self.base(target)?;
        if self.info.preview {
            let parent = base.descend(&target.parents)?;
            let there = parent.map(|p| p.look(&target.entry)).transpose()?;
            return Ok(done(match there {
                Some(Entry::Directory { .. }) => CompleteStatus::SKIPPED,
                _ => CompleteStatus::NORMAL,
            }));
        }
        let parent = self.parent(&base, base.way(&target.parents)?, target)?;
        match parent.look(&target.entry)? {
            Entry::Directory { .. } => return Ok(done(CompleteStatus::SKIPPED)),
            Entry::Absent => {}
            Entry::Regular { .. } | Entry::Other { .. } => {
                self.back_up(&parent, target)?;
                parent.remove_file(&target.entry)?;
            }
        }
        parent.make(&target.entry).map_err(io::Error::from)?;
        self.touch(target)?;
        Ok(done(CompleteStatus::NORMAL))
    }

    fn link(&mut self, file: &IncomingFile, target: &Target) -> Answer {
        if file.link.is_empty() {
            return Err(Rejection::EmptyLink);
        }
        if file.link.contains(&0) {
            return Err(name::NameError::Nul.into());
        }
        if !self.info.preview {
            let base = self.base(target)?;
            let parent = self.parent(&base, base.way(&target.parents)?, target)?;
            let there = parent.look(&target.entry)?;
            self.refuse_full_directory(&parent, target, there)?;
            let temporary = self.temporary(file, &target.entry);
            parent.remove_file(&temporary)?;
            parent.link(&temporary, OsStr::from_bytes(&file.link))?;
            let put = self.put(&parent, &temporary, &parent, target);
            if let Err(why) = put {
                // Whether or not that can be tidied up, the first error is the one to tell.
                let _ = parent.remove_file(&temporary);
                return Err(why.into());
            }
            self.touch(target)?;
        }
        Ok(done(CompleteStatus::NORMAL))
    }

    fn delete(&mut self, target: &Target) -> Answer {
        if !self.info.preview
            && let Some(parent) = self.base(target)?.descend(&target.parents)?
        {
            self.back_up(&parent, target)?;
            parent.remove_tree(&target.entry)?;
            self.touch(target)?;
        }
        Ok(done(CompleteStatus::NORMAL))
    }

    /// Without a backup a file never takes the place of a tree: what is in it would be lost
    /// without a word.
    fn refuse_full_directory(
        &self,
        parent: &Dir,
        target: &Target,
        there: Entry,
    ) -> Result<(), Rejection> {
        let lost = self.root(target)?.backup.is_none();
        match there {
            Entry::Directory { .. } if lost && !parent.is_empty(&target.entry)? => {
                Err(Rejection::DirectoryInPlace)
            }
            _ => Ok(()),
        }
    }
}

/// What a file in sync mode is to what is there (behaviour-sender-receiver §5.5.1). What is newer stays, whatever it
/// is: of a link its own time counts.
fn compare(there: Entry, offered: &IncomingFile) -> CompleteStatus {
    match there {
        Entry::Absent => CompleteStatus::NORMAL,
        Entry::Regular { mtime, .. } | Entry::Directory { mtime } | Entry::Other { mtime }
            if mtime > offered.mtime =>
        {
            CompleteStatus::SKIPPED
        }
        Entry::Regular { size, mtime } if mtime == offered.mtime && size == offered.size => {
            CompleteStatus::SKIPPED
        }
        _ => CompleteStatus::OVERWRITE,
    }
}

fn done(status: CompleteStatus) -> Offer {
    Offer::Done {
        status,
        free_space: None,
        note: None,
    }
}
