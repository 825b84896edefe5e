//! Received files on disk, confined beneath the destination directories.
//!
//! A file is received under a temporary name, beside its place or in the temp directory, and moved
//! there at once when it is whole: whatever instant this program ends at, the final name holds the
//! old content or the new. It is on the disk by then (see [`Fsync`]). What it takes the place of is
//! kept in the backup directory, if there is one.

mod backup;
mod beneath;
mod durability;
mod held;
mod name;
mod owner;
mod restart;
mod room;
mod script;
mod session;
mod setup;
mod shelf;
mod staging;
mod way;

use std::io;
use std::sync::Arc;

use uftp_proto::wire::FileType;
use uftp_session::files::{FileStore, SessionInfo};

pub(crate) use durability::Fsync;
pub(crate) use session::DiskSession;
pub(crate) use setup::StoreConfig;

use crate::exit::{Exit, Failure};
use crate::log;
use durability::Flusher;
use held::Held;
use script::PostReceive;
use staging::{Claims, Delivery};

/// The disk of a receiver.
pub(crate) struct DiskStore {
    place: Arc<Place>,
}

/// Where files go, for all sessions.
struct Place {
    roots: Vec<Root>,
    temp: Option<TempDir>,
    script: Option<PostReceive>,
    claims: Claims,
    fsync: Fsync,
    flusher: Option<Arc<Flusher>>,
    /// What is replaced may go before its successor has come, if there is no other way.
    old_may_go: bool,
    /// What is rejected, whoever sends it.
    rejected: Vec<FileType>,
}

/// A destination directory.
struct Root {
    dest: Held,
    backup: Option<Held>,
}

/// Where files stay until their session is over.
struct TempDir {
    held: Held,
    delivery: Delivery,
}

impl DiskStore {
    /// Opens the directories and tries them out.
    ///
    /// # Errors
    /// A directory that is not absolute, not there, not writable, or does not go with the others.
    pub(crate) fn open(config: &StoreConfig) -> Result<DiskStore, Failure> {
        let roots = config.open_roots()?;
        let temp = config.open_temp(&roots)?;
        let flusher = match config.fsync {
            // To ask it takes longer than anything it could do.
            _ if roots.iter().all(|root| root.dest.dir.is_in_memory()) => None,
            Fsync::None => None,
            Fsync::File | Fsync::Session => Some(Arc::new(Flusher::start().map_err(cannot_start)?)),
        };
        Ok(DiskStore {
            place: Arc::new(Place {
                temp,
                roots,
                script: config.post_receive.as_deref().map(PostReceive::new),
                claims: Claims::default(),
                fsync: config.fsync,
                flusher,
                old_may_go: !config.temp_file,
                rejected: config.rejected.clone(),
            }),
        })
    }
}

impl Place {
    /// The place as its paths have it now, if one of them stands for another directory than before.
    fn moved(&self) -> io::Result<Option<Place>> {
        let mut any = false;
        let mut look_again = |held: &Held| {
            let (now, is_another) = held.look_again()?;
            any |= is_another;
            Ok::<Held, io::Error>(now)
        };
        let mut roots = Vec::new();
        for root in &self.roots {
            roots.push(Root {
                dest: look_again(&root.dest)?,
                backup: root.backup.as_ref().map(&mut look_again).transpose()?,
            });
        }
        let temp = match &self.temp {
            Some(temp) => Some(TempDir {
                held: look_again(&temp.held)?,
                delivery: temp.delivery,
            }),
            None => None,
        };
        Ok(any.then(|| Place {
            roots,
            temp,
            script: self.script.clone(),
            claims: Arc::clone(&self.claims),
            fsync: self.fsync,
            flusher: self.flusher.clone(),
            old_may_go: self.old_may_go,
            rejected: self.rejected.clone(),
        }))
    }
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::new(Exit::Resources, format!("can't start a thread: {error}"))
}

impl FileStore for DiskStore {
    type Session = DiskSession;

    fn resumes(&self) -> bool {
        self.place.temp.is_some()
    }

    fn open_session(&mut self, session: &SessionInfo) -> DiskSession {
        match self.place.moved() {
            Ok(Some(place)) => {
                self.place = Arc::new(place);
                log::line(
                    1,
                    None,
                    format_args!("A directory is another than before; receiving there"),
                );
            }
            Ok(None) => {}
            Err(error) => log::line(
                0,
                None,
                format_args!("Couldn't look for the directories: {error}"),
            ),
        }
        DiskSession::new(Arc::clone(&self.place), session)
    }
}

#[cfg(test)]
mod tests;
