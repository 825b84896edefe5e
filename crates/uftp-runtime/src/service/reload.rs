//! What a running daemon looks up again: lists, when it is asked to.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use uftp_session::security::ServerEntry;

use crate::options::clients::{self, Clients};
use crate::options::servers;
use crate::say;

/// What was read again and is not in use yet, on its way to the session thread.
pub(crate) struct Fresh<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Fresh<T> {
    fn clone(&self) -> Self {
        Fresh(Arc::clone(&self.0))
    }
}

impl<T> Default for Fresh<T> {
    fn default() -> Self {
        Fresh(Arc::default())
    }
}

impl<T> Fresh<T> {
    /// For the session thread to take.
    pub(crate) fn put(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    /// What has come since this was last asked.
    pub(crate) fn take(&self) -> Option<T> {
        let mut fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.take()
    }
}

/// The lists of senders (`-S`).
pub(crate) struct ServerLists {
    paths: Vec<PathBuf>,
    source_specific: bool,
    fresh: Fresh<Vec<ServerEntry>>,
}

impl ServerLists {
    /// Lists in these files. If groups are `source_specific`, they stay joined for those listed
    /// at the start.
    pub(crate) fn new(paths: Vec<PathBuf>, source_specific: bool) -> Self {
        ServerLists {
            paths,
            source_specific,
            fresh: Fresh::default(),
        }
    }

    /// Where the lists will be when they were read.
    pub(crate) fn fresh(&self) -> Fresh<Vec<ServerEntry>> {
        self.fresh.clone()
    }

    /// Reads them; what cannot be read leaves the old ones in use.
    pub(crate) async fn read(&self) {
        if self.paths.is_empty() {
            return;
        }
        if self.source_specific {
            say!(
                1,
                "Groups are joined for the senders listed at the start: -S is not read again"
            );
            return;
        }
        if !can_be_read_again(&self.paths) {
            return;
        }
        match servers::read(&self.paths).await {
            Ok(list) => {
                say!(2, "Listening to {} senders (-S)", list.entries.len());
                self.fresh.put(list.entries);
            }
            Err(failure) => say!(0, "The old list stays in use: {failure}"),
        }
    }
}

/// The lists of clients of a proxy (`-C`).
pub(crate) struct ClientLists {
    paths: Vec<PathBuf>,
    fresh: Fresh<Clients>,
}

impl ClientLists {
    /// Lists in these files.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        ClientLists {
            paths,
            fresh: Fresh::default(),
        }
    }

    /// Where the lists will be when they were read.
    pub(crate) fn fresh(&self) -> Fresh<Clients> {
        self.fresh.clone()
    }

    /// Reads them; what cannot be read leaves the old ones in use.
    pub(crate) async fn read(&self) {
        if self.paths.is_empty() {
            return;
        }
        if !can_be_read_again(&self.paths) {
            return;
        }
        match clients::read(&self.paths).await {
            Ok(list) => {
                say!(
                    2,
                    "Serving {} receivers that prove themselves (-C)",
                    list.len()
                );
                self.fresh.put(list);
            }
            Err(failure) => say!(0, "The old list stays in use: {failure}"),
        }
    }
}

/// Whether all of them are files, or not there, which is told by who reads them; says if not. Whoever is to write
/// to a pipe may be gone, and nothing else would be heard meanwhile.
fn can_be_read_again(lists: &[PathBuf]) -> bool {
    let no_file = |path: &&PathBuf| fs::metadata(path).is_ok_and(|there| !there.is_file());
    let found = lists.iter().find(no_file);
    if let Some(path) = found {
        say!(
            0,
            "The old list stays in use: {} is no file that could be read again",
            path.display()
        );
    }
    found.is_none()
}
