//! One session's files: offers answered (`offer`), files filled and put in their place.

mod offer;
mod over;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use uftp_proto::wire::CompleteStatus;
use uftp_proto::{BlockMap, FileId};
use uftp_session::files::{IncomingFile, Offer, SessionEnd, SessionFiles, SessionInfo};

use super::backup::{self, Stamp};
use super::beneath::Dir;
use super::durability::{Fsync, Rest, SMALL, Touched, Unflushed};
use super::name::{self, Target};
use super::restart::Partial;
use super::script::Call;
use super::staging::{Delivery, Staging};
use super::{Place, Root};
use crate::log::{self, Tag};

/// The disk side of one session.
pub(crate) struct DiskSession {
    pub(super) place: Arc<Place>,
    info: SessionInfo,
    /// When it was announced.
    announced: Stamp,
    /// Its files in the temp directory, if there is one and the first file has been offered.
    pub(super) staging: Option<Staging>,
    open: Option<Arriving>,
    touched: Touched,
    /// Something was not rejected.
    took_something: bool,
}

/// A regular file on its way in.
struct Arriving {
    offered: IncomingFile,
    status: CompleteStatus,
    file: File,
    unflushed: Unflushed,
    rest: Rest,
    /// Where it is now.
    from: Dir,
    temporary: OsString,
    /// Where it is to be.
    parent: Dir,
    target: Target,
}

impl DiskSession {
    pub(super) fn new(place: Arc<Place>, info: &SessionInfo) -> DiskSession {
        DiskSession {
            place,
            info: info.clone(),
            announced: backup::stamp(),
            staging: None,
            open: None,
            touched: Touched::default(),
            took_something: false,
        }
    }

    /// Opens the session's own tree in the temp directory, if files go there first.
    fn stage(&mut self) -> io::Result<()> {
        if let (Some(temp), None) = (&self.place.temp, &self.staging) {
            self.staging = Some(Staging::open(
                &temp.held.dir,
                &self.info,
                &self.place.claims,
            )?);
        }
        Ok(())
    }

    /// The directory that `target` lies beneath.
    fn base(&self, target: &Target) -> io::Result<Dir> {
        match &self.staging {
            Some(staging) => Ok(staging.tree().clone()),
            None => Ok(self.root(target)?.dest.dir.clone()),
        }
    }

    pub(super) fn root(&self, target: &Target) -> io::Result<&Root> {
        let root = self.place.roots.get(target.root);
        root.ok_or_else(|| io::Error::other("there is no destination directory"))
    }

    /// Keeps what is at `target` in the backup directory, if there is one.
    pub(super) fn back_up(&self, parent: &Dir, target: &Target) -> io::Result<()> {
        let root = self.root(target)?;
        let Some(backup) = &root.backup else {
            return Ok(());
        };
        backup::keep(
            &backup.dir,
            &self.announced,
            &root.dest.path,
            parent,
            target,
        )
        .map_err(|error| io::Error::new(error.kind(), format!("no backup was made: {error}")))
    }

    /// Moves a finished entry to its place, where a file, a link or an empty directory may be.
    fn put(&self, from: &Dir, temporary: &OsStr, parent: &Dir, target: &Target) -> io::Result<()> {
        if self.staging.is_none() && temporary == target.entry {
            return Ok(()); // It was filled where it belongs.
        }
        self.back_up(parent, target)?;
        match from.move_to(temporary, parent, &target.entry) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                parent.remove_empty(&target.entry)?;
                from.move_to(temporary, parent, &target.entry)
            }
            Err(busy) if busy.kind() == io::ErrorKind::ResourceBusy => {
                self.pour(from, temporary, parent, target, busy)
            }
            moved => moved,
        }
    }

    /// A name has changed at the destination.
    fn touch(&mut self, target: &Target) -> io::Result<()> {
        if self.place.fsync != Fsync::File || self.staging.is_some() {
            return Ok(());
        }
        self.touched.note(target);
        match self.touched.is_full() {
            true => self.sync_names(),
            false => Ok(()),
        }
    }

    /// Waits until the names that have changed are on the disk.
    fn sync_names(&mut self) -> io::Result<()> {
        let roots = &self.place.roots;
        self.touched
            .sync(|index| roots.get(index).map(|root| &root.dest.dir))
    }

    /// Waits until everything received is on the disk.
    fn sync_all(&self) -> io::Result<()> {
        let mut roots = self.place.roots.iter();
        roots.try_for_each(|root| root.dest.dir.sync_all())
    }

    /// Runs the script, if there is one, with these things received.
    fn run_script(&self, file: FileId, status: CompleteStatus, paths: &[PathBuf]) {
        if let Some(script) = &self.place.script {
            script.run(Call {
                session: Tag { file, ..self.tag() },
                server: self.info.server,
                status,
                paths,
            });
        }
    }

    /// The temp directory gives everything to the destination.
    fn deliver(&mut self) -> io::Result<()> {
        let place = Arc::clone(&self.place);
        let (Some(temp), Some(root)) = (&place.temp, place.roots.first()) else {
            return Ok(());
        };
        if self.info.preview {
            return Ok(());
        }
        // Both are on one file system.
        let lasting = place.fsync != Fsync::None && self.staging.is_some();
        if lasting {
            temp.held.dir.sync_all()?;
        }
        let moved = match &mut self.staging {
            Some(staging) => staging.deliver(&root.dest, temp.delivery)?,
            None => Vec::new(),
        };
        if lasting {
            root.dest.dir.sync_all()?;
        }
        let calls: Vec<&[PathBuf]> = match temp.delivery {
            Delivery::Individual => moved.chunks(1).collect(),
            Delivery::Whole if self.took_something => vec![&moved],
            Delivery::Whole => Vec::new(),
        };
        for paths in calls {
            self.run_script(FileId::SESSION, CompleteStatus::NORMAL, paths);
        }
        Ok(())
    }

    /// `NAME.~uftp-GROUPID-FILEID`, as deployed receivers name it. Another run that is received at
    /// the same time, which anybody can announce, must not have the same.
    fn temporary(&self, file: &IncomingFile, entry: &OsStr) -> OsString {
        let run = match self.info.instance.0 {
            0 => String::new(),
            run => format!("{run:02X}-"),
        };
        let tag = format!(".~uftp-{}-{run}{:04X}", self.info.group, file.file.0);
        name::temporary(entry, &tag)
    }

    /// Removes what arrived of a file that did not arrive whole.
    fn drop_open(&mut self) {
        let Some(arriving) = self.open.take() else {
            return;
        };
        if let Err(error) = arriving.from.remove_file(&arriving.temporary) {
            let name = log::printable(arriving.temporary.as_bytes());
            log::line(
                0,
                Some(self.tag()),
                format_args!("Couldn't remove {name}: {error}"),
            );
        }
    }

    /// Whether the end of a file waits for its content.
    fn finish_waits(&self) -> bool {
        self.place.fsync == Fsync::File && self.staging.is_none()
    }

    pub(super) fn tag(&self) -> Tag {
        Tag::of_session(self.info.group, self.info.instance)
    }
}

impl Arriving {
    /// All bytes are written: whether they are known to be on the disk.
    fn is_on_disk(&self) -> bool {
        match self.offered.size {
            0 => true,
            // The disk may have told the flusher of an error before, and tells each of one once.
            size => size <= SMALL && self.rest.is_seen(),
        }
    }
}

impl SessionFiles for DiskSession {
    fn offer(&mut self, file: &IncomingFile) -> Offer {
        match self.consider(file) {
            Ok(offer) => {
                self.took_something = true;
                offer
            }
            Err(why) => Offer::Done {
                status: CompleteStatus::REJECTED,
                free_space: None,
                note: Some(why.to_string()),
            },
        }
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let arriving = self.open.as_mut().ok_or_else(nothing_open)?;
        arriving.file.write_all_at(data, offset)?;
        let flusher = self.place.flusher.as_deref();
        arriving.unflushed.add(data.len(), &arriving.file, flusher);
        Ok(())
    }

    fn is_at_rest(&mut self, patience: Duration) -> bool {
        let finish_waits = self.finish_waits();
        let (Some(arriving), Some(flusher)) = (&mut self.open, &self.place.flusher) else {
            return true;
        };
        // However small it is, the disk may be busy with what is not ours. What nobody waits for at
        // its end may stay on its way if it is small; the end of the session would wait long for more.
        if arriving.offered.size <= SMALL && !finish_waits {
            return true;
        }
        arriving.rest.is_reached(&arriving.file, flusher, patience)
    }

    fn finish(&mut self) -> io::Result<()> {
        let arriving = self.open.as_ref().ok_or_else(nothing_open)?;
        if arriving.offered.mtime != 0 {
            self.set_time(&arriving.file, arriving.offered.mtime)?;
        }
        let staged = self.staging.is_some();
        if self.finish_waits() && !arriving.is_on_disk() {
            arriving.file.sync_data()?;
        }
        let Arriving {
            from,
            temporary,
            parent,
            target,
            ..
        } = arriving;
        self.put(from, temporary, parent, target)?;
        let Some(arrived) = self.open.take() else {
            return Ok(());
        };
        self.touch(&arrived.target)?;
        if !staged {
            let root = &self.root(&arrived.target)?.dest.path;
            let path = root.join(arrived.target.path());
            self.run_script(arrived.offered.file, arrived.status, &[path]);
        }
        Ok(())
    }

    fn discard(&mut self, missing: &BlockMap) {
        let kept = missing.missing() < missing.len();
        if let Some(staging) = self.staging.as_mut().filter(|_| kept)
            && let Some(arriving) = self.open.take()
        {
            let partial = Partial {
                part: arriving.temporary,
                name: arriving.offered.name,
                size: arriving.offered.size,
                mtime: arriving.offered.mtime,
                block_size: arriving.offered.block_size,
                missing: missing.clone(),
            };
            if let Err(error) = staging.keep(partial) {
                let text = format_args!("Couldn't keep what was received: {error}");
                log::line(0, Some(self.tag()), text);
            }
        }
        self.drop_open();
    }

    fn commit(&mut self) -> io::Result<()> {
        self.drop_open();
        match self.place.fsync {
            _ if self.place.temp.is_some() => self.deliver(),
            Fsync::File => self.sync_names(),
            Fsync::Session => self.sync_all(),
            Fsync::None => Ok(()),
        }
    }

    fn end(&mut self, _how: SessionEnd) {
        self.drop_open();
        if let Some(staging) = self.staging.take() {
            staging.end();
        }
    }
}

impl Drop for DiskSession {
    fn drop(&mut self) {
        self.drop_open();
    }
}

fn nothing_open() -> io::Error {
    io::Error::other("no file is open")
}
