//! Where file bytes come from and go to. On disk in `uftp-runtime`, in memory in `uftp-sim`.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::time::Duration;

use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_proto::{FileId, GroupId, Instance, Uid};

/// One thing to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SendItem {
    /// What the user called it, for logs.
    pub source: String,
    /// Its name at the receivers, `/` between components; at most 300 bytes.
    pub name: Vec<u8>,
    /// What it is.
    pub file_type: FileType,
    /// Size in bytes of a regular file, else 0.
    pub size: u64,
    /// Modification time of a regular file, seconds since 1970, else 0.
    pub mtime: i64,
    /// Target of a symbolic link, else empty; at most 300 bytes.
    pub link: Vec<u8>,
}

/// The files of a sender, one after another.
pub trait FileSource {
    /// Closes the current item and opens the next. `None` when all have been sent.
    /// What cannot be opened is skipped and reported by the implementation.
    fn next_item(&mut self) -> Option<SendItem>;

    /// Fills `bufs` in turn with consecutive bytes of the current regular file from `offset` on.
    ///
    /// # Errors
    /// Any error of the system; [`io::ErrorKind::UnexpectedEof`] if the file has become shorter.
    fn read_at(&mut self, offset: u64, bufs: &mut [IoSliceMut<'_>]) -> io::Result<()>;
}

/// What a receiver knows of the session files come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    /// The session.
    pub group: GroupId,
    /// Its restart counter.
    pub instance: Instance,
    /// It goes on where an earlier run stopped.
    pub resumed: bool,
    /// What it brings comes encrypted.
    pub encrypted: bool,
    /// Its sender.
    pub server: Uid,
    /// Where the sender's ANNOUNCE came from.
    pub server_addr: SocketAddr,
    /// Files that are there already are to be skipped.
    pub sync: bool,
    /// Nothing is to be changed; answers tell what would be done.
    pub preview: bool,
}

/// A file offered to a receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IncomingFile {
    /// Its number in the session.
    pub file: FileId,
    /// What it is.
    pub file_type: FileType,
    /// Name as received: any bytes, never trusted.
    pub name: Vec<u8>,
    /// Target of a symbolic link as received.
    pub link: Vec<u8>,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, seconds since 1970, 0 if unknown.
    pub mtime: i64,
    /// Bytes per block, so that a store can match what it kept of an earlier run.
    pub block_size: u16,
}

/// A store's answer to an offered file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Offer {
    /// Send it: a regular file is open for writing.
    Accept {
        /// How it will be reported once received: normal, or overwrite in sync mode.
        status: CompleteStatus,
        /// Blocks still missing from an earlier run; `None` when all are.
        missing: Option<uftp_proto::BlockMap>,
    },
    /// Nothing to send: the answer is final.
    Done {
        /// Normal, skipped, overwrite or rejected.
        status: CompleteStatus,
        /// Answer to a question for free space, bytes.
        free_space: Option<u64>,
        /// For the log: why it was rejected or skipped.
        note: Option<String>,
    },
    /// The session cannot go on for this receiver; the text goes to the sender.
    Abort(String),
}

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionEnd {
    /// Its sender has confirmed that all is well, or is presumed to have.
    Complete,
    /// It was broken off, by either side, or gave way to another.
    BrokenOff,
}

/// The disk side of one session at a receiver. At most one file is open at a time.
pub trait SessionFiles {
    /// Considers an offered file: checks its name, makes directories and links, opens regular
    /// files. Called once per file.
    fn offer(&mut self, file: &IncomingFile) -> Offer;

    /// Writes `data` at `offset` of the open file.
    ///
    /// # Errors
    /// Any error of the system. The session is then aborted: a receiver never reports complete
    /// what is not on disk.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// All bytes are written: whether what was written has come to rest on its medium, so that
    /// [`finish`](Self::finish) need not wait for that. Waits for it no longer than `patience`; as long
    /// as it has not the file counts as incomplete, and this is called again.
    fn is_at_rest(&mut self, patience: Duration) -> bool {
        let _ = patience;
        true
    }

    /// All bytes are written: closes the file and puts it in its place.
    ///
    /// # Errors
    /// Any error of the system; the file then counts as not received.
    fn finish(&mut self) -> io::Result<()>;

    /// Gives up the open file, if any. `missing` says which blocks never came, for a later run.
    fn discard(&mut self, missing: &uftp_proto::BlockMap);

    /// The sender says that it has nothing more: what was received is put in its final place, if it
    /// is not there yet. Called once, before the sender is told that all is well.
    ///
    /// # Errors
    /// Any error of the system; the session is then aborted.
    fn commit(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The session is over. Called once, last of all.
    fn end(&mut self, how: SessionEnd);
}

/// Makes the disk side of sessions.
pub trait FileStore {
    /// The disk side of one session.
    type Session: SessionFiles;

    /// Whether what one run of a session received is there for the next. Then the next is not
    /// begun before the earlier one is over.
    fn resumes(&self) -> bool {
        false
    }

    /// A session was announced and accepted.
    fn open_session(&mut self, session: &SessionInfo) -> Self::Session;
}
