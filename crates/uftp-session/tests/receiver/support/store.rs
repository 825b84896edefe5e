//! A disk in memory that can be told to fail.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use uftp_proto::BlockMap;
use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_session::files::{FileStore, IncomingFile, Offer, SessionEnd, SessionFiles, SessionInfo};

/// Decides over an offered file.
pub(crate) type OfferFn = Box<dyn FnMut(&IncomingFile) -> Offer>;

#[derive(Clone, Default)]
pub(crate) struct MemStore {
    shared: Rc<RefCell<Shared>>,
}

/// What happened to the disk.
pub(crate) struct Shared {
    /// Finished files.
    pub(crate) files: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Names offered, in order.
    pub(crate) offered: Vec<Vec<u8>>,
    /// Given up, with the number of blocks missing.
    pub(crate) discarded: Vec<(Vec<u8>, u32)>,
    /// How sessions ended.
    pub(crate) ended: Vec<SessionEnd>,
    /// Writes made.
    pub(crate) writes: usize,
    /// Bytes the disk has room for.
    pub(crate) room: usize,
    /// Times the disk says of a whole file that it is not done with it.
    pub(crate) busy: u32,
    pub(crate) finish_fails: bool,
    pub(crate) commit_fails: bool,
    /// Times everything was put in its final place.
    pub(crate) commits: usize,
    /// The next run of a session finds what this one received.
    pub(crate) resumes: bool,
    /// Files get no memory; they cannot be written.
    pub(crate) lazy: bool,
    pub(crate) decide: OfferFn,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            files: BTreeMap::new(),
            offered: Vec::new(),
            discarded: Vec::new(),
            ended: Vec::new(),
            writes: 0,
            room: usize::MAX,
            busy: 0,
            finish_fails: false,
            commit_fails: false,
            commits: 0,
            resumes: false,
            lazy: false,
            decide: Box::new(ordinary),
        }
    }
}

/// Regular files are received, all else is done at once.
fn ordinary(file: &IncomingFile) -> Offer {
    match file.file_type {
        FileType::REGULAR => Offer::Accept {
            status: CompleteStatus::NORMAL,
            missing: None,
        },
        _ => Offer::Done {
            status: CompleteStatus::NORMAL,
            free_space: (file.file_type == FileType::FREESPACE).then_some(12345),
            note: None,
        },
    }
}

impl MemStore {
    pub(crate) fn look(&self) -> Ref<'_, Shared> {
        self.shared.borrow()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut self.shared.borrow_mut());
    }
}

impl FileStore for MemStore {
    type Session = MemFiles;

    fn resumes(&self) -> bool {
        self.shared.borrow().resumes
    }

    fn open_session(&mut self, _: &SessionInfo) -> MemFiles {
        MemFiles {
            shared: self.shared.clone(),
            open: None,
        }
    }
}

pub(crate) struct MemFiles {
    shared: Rc<RefCell<Shared>>,
    open: Option<(Vec<u8>, Vec<u8>)>,
}

impl SessionFiles for MemFiles {
    fn offer(&mut self, file: &IncomingFile) -> Offer {
        assert!(self.open.is_none(), "one file at a time");
        let mut shared = self.shared.borrow_mut();
        shared.offered.push(file.name.clone());
        let offer = (shared.decide)(file);
        if let Offer::Accept { .. } = offer {
            let size = if shared.lazy { 0 } else { file.size as usize };
            self.open = Some((file.name.clone(), vec![0; size]));
        }
        offer
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut shared = self.shared.borrow_mut();
        let (_, bytes) = self.open.as_mut().expect("a file is open");
        let range = offset as usize..offset as usize + data.len();
        if range.end > shared.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        shared.writes += 1;
        bytes[range].copy_from_slice(data);
        Ok(())
    }

    fn is_at_rest(&mut self, _: Duration) -> bool {
        let mut shared = self.shared.borrow_mut();
        let busy = shared.busy > 0;
        shared.busy = shared.busy.saturating_sub(1);
        !busy
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut shared = self.shared.borrow_mut();
        if shared.finish_fails {
            return Err(io::Error::other("the disk is on fire"));
        }
        let (name, bytes) = self.open.take().expect("a file is open");
        shared.files.insert(name, bytes);
        Ok(())
    }

    fn commit(&mut self) -> io::Result<()> {
        let mut shared = self.shared.borrow_mut();
        shared.commits += 1;
        match shared.commit_fails {
            true => Err(io::Error::other("the disk is on fire")),
            false => Ok(()),
        }
    }

    fn discard(&mut self, missing: &BlockMap) {
        if let Some((name, _)) = self.open.take() {
            let mut shared = self.shared.borrow_mut();
            shared.discarded.push((name, missing.missing()));
        }
    }

    fn end(&mut self, how: SessionEnd) {
        assert!(self.open.is_none(), "nothing is left open");
        self.shared.borrow_mut().ended.push(how);
    }
}
