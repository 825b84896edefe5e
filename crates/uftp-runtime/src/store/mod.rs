//! Received files on disk, confined beneath the destination directories.
//!
//! A file is received under a temporary name, beside its place or in the temp directory, and moved
//! there at once when it is whole: whatever instant this program ends at, the final name holds the
//! old content or the new. It is on the disk by then (see [`Fsync`]). What it takes the place of is kept in the backup directory, if there is
//! one.

mod backup;
mod beneath;
mod durability;
mod name;
mod restart;
mod session;
mod setup;
mod shelf;
mod staging;

use std::path::PathBuf;
use std::sync::Arc;

use uftp_session::files::{FileStore, SessionInfo};

pub use durability::Fsync;
pub use session::DiskSession;
pub use setup::StoreConfig;

use crate::exit::{Exit, Failure};
use crate::script::PostReceive;
use beneath::Dir;
use durability::Flusher;
use staging::Claims;

/// The disk of a receiver.
pub struct DiskStore {
    place: Arc<Place>,
}

/// Where files go, for all sessions.
struct Place {
    roots: Vec<Root>,
    temp: Option<TempDir>,
    script: Option<PostReceive>,
    claims: Claims,
    fsync: Fsync,
    flusher: Option<Flusher>,
}

/// A destination directory.
struct Root {
    path: PathBuf,
    dir: Dir,
    backup: Option<Dir>,
}

/// Where files stay until their session is over.
struct TempDir {
    dir: Dir,
    individually: bool,
}

impl DiskStore {
    /// Opens the directories and tries them out.
    ///
    /// # Errors
    /// A directory that is not absolute, not there, not writable, or does not go with the others.
    pub fn open(config: &StoreConfig) -> Result<DiskStore, Failure> {
        let roots = config.open_roots()?;
        let flusher = match config.fsync {
            Fsync::None => None,
            Fsync::File | Fsync::Session => Some(Flusher::start().map_err(cannot_start)?),
        };
        Ok(DiskStore {
            place: Arc::new(Place {
                temp: config.open_temp(&roots)?,
                roots,
                script: config.post_receive.as_deref().map(PostReceive::new),
                claims: Claims::default(),
                fsync: config.fsync,
                flusher,
            }),
        })
    }
}

fn cannot_start(error: std::io::Error) -> Failure {
    Failure::new(Exit::Resources, format!("can't start a thread: {error}"))
}

impl FileStore for DiskStore {
    type Session = DiskSession;

    fn resumes(&self) -> bool {
        self.place.temp.is_some()
    }

    fn open_session(&mut self, session: &SessionInfo) -> DiskSession {
        DiskSession::new(Arc::clone(&self.place), session)
    }
}

#[cfg(test)]
mod tests;
