//! Where received files go: checked against the generator byte by byte, not kept.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use uftp_proto::geometry::Sectioning;
use uftp_proto::wire::{CompleteStatus, FileType};
use uftp_proto::{BlockMap, Geometry};
use uftp_session::files::{
    FileStore, IncomingFile, Offer, SendItem, SessionEnd, SessionFiles, SessionInfo,
};

use crate::content::Content;

/// A receiver's disk. Clones share one content.
#[derive(Clone, Debug, Default)]
pub struct MemStore {
    shared: Rc<RefCell<Shared>>,
}

/// What a [`MemStore`] has seen.
#[derive(Debug, Default)]
pub struct Shared {
    /// What stands under its final name, in order of arrival.
    pub stored: Vec<StoredFile>,
    /// Names of regular files that were begun and given up.
    pub discarded: Vec<Vec<u8>>,
    /// Files being written now.
    pub open: usize,
    /// Sessions opened and not ended.
    pub sessions: usize,
    /// How sessions ended, in order.
    pub ended: Vec<SessionEnd>,
    /// What must never happen: wrong bytes, writes past the end, finishing with holes.
    pub violations: Vec<String>,
    /// Bytes written that had been written before.
    pub rewritten: u64,
    /// What shall go wrong.
    pub faults: Faults,
    /// Blocks of every file that are there from a run before.
    kept: Option<Kept>,
}

/// Whether a block of a file is there, by its number in the file.
pub type Kept = fn(u32) -> bool;

/// What a disk shall do wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Writes fail once this many bytes are written, over all files.
    pub full_after: Option<u64>,
    /// Closing this file fails.
    pub unfinishable: Option<Vec<u8>>,
    /// This file is refused.
    pub reject: Option<Vec<u8>>,
    /// This file is there already.
    pub skip: Option<Vec<u8>>,
    /// At this file the session cannot go on.
    pub abort_at: Option<Vec<u8>>,
}

/// A file, directory or link in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredFile {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is.
    pub file_type: FileType,
    /// Size in bytes; every one of them was checked.
    pub size: u64,
    /// Modification time.
    pub mtime: i64,
    /// Target of a link.
    pub link: Vec<u8>,
}

impl StoredFile {
    /// What must be stored when `item` was sent.
    pub fn expected(item: &SendItem) -> StoredFile {
        StoredFile {
            name: item.name.clone(),
            file_type: item.file_type,
            size: item.size,
            mtime: item.mtime,
            link: item.link.clone(),
        }
    }
}

impl MemStore {
    /// A disk on which this shall go wrong.
    pub fn with_faults(faults: Faults) -> Self {
        let store = MemStore::default();
        store.shared.borrow_mut().faults = faults;
        store
    }

    /// A disk on which a run before left these blocks of every file.
    pub fn with_kept(kept: Kept) -> Self {
        let store = MemStore::default();
        store.shared.borrow_mut().kept = Some(kept);
        store
    }

    /// What it has seen.
    pub fn look(&self) -> Ref<'_, Shared> {
        self.shared.borrow()
    }

    /// Panics unless exactly `items` are stored, whole and in order, nothing is half done and no
    /// rule was broken.
    pub fn assert_holds(&self, items: &[SendItem]) {
        let seen = self.look();
        assert_eq!(seen.violations, [""; 0]);
        let expected: Vec<_> = items.iter().map(StoredFile::expected).collect();
        assert_eq!(seen.stored, expected);
        assert_eq!((seen.open, seen.rewritten), (0, 0));
        assert_eq!(seen.discarded, [[0; 0]; 0]);
    }

    /// Panics if a rule was broken, a file is still open, or anything is stored that is not
    /// whole and one of `items`.
    pub fn assert_sound(&self, items: &[SendItem]) {
        let seen = self.look();
        assert_eq!(seen.violations, [""; 0]);
        assert_eq!(seen.open, 0, "files left open");
        for stored in &seen.stored {
            let known = items.iter().any(|i| StoredFile::expected(i) == *stored);
            assert!(known, "stored {stored:?}, which nobody sent");
        }
    }

    /// Panics if a rule was broken, but that bytes are not those of the sender: who was told lies may
    /// keep them. Panics too if a file or a session is still open.
    pub fn assert_lawful(&self) {
        let seen = self.look();
        let broken = seen
            .violations
            .iter()
            .find(|v| !v.starts_with("wrong bytes"));
        assert_eq!(broken, None);
        assert_eq!((seen.open, seen.sessions), (0, 0));
    }
}

impl FileStore for MemStore {
    type Session = MemSession;

    fn open_session(&mut self, _session: &SessionInfo) -> MemSession {
        self.shared.borrow_mut().sessions += 1;
        MemSession {
            shared: Rc::clone(&self.shared),
            open: None,
            ended: false,
        }
    }
}

/// The disk side of one session.
#[derive(Debug)]
pub struct MemSession {
    shared: Rc<RefCell<Shared>>,
    open: Option<OpenFile>,
    ended: bool,
}

#[derive(Debug)]
struct OpenFile {
    becomes: StoredFile,
    written: Ranges,
}

impl MemSession {
    fn violation(&self, text: String) {
        self.shared.borrow_mut().violations.push(text);
    }

    fn store(&self, file: StoredFile) {
        self.shared.borrow_mut().stored.push(file);
    }
}

impl SessionFiles for MemSession {
    fn offer(&mut self, file: &IncomingFile) -> Offer {
        if self.ended || self.open.is_some() {
            self.violation(format!(
                "offered {file:?} while another is open or at the end"
            ));
        }
        let faults = self.shared.borrow().faults.clone();
        let is = |fault: &Option<Vec<u8>>| fault.as_ref() == Some(&file.name);
        if is(&faults.abort_at) {
            return Offer::Abort("Not enough disk space".into());
        }
        if is(&faults.reject) {
            return done(CompleteStatus::REJECTED);
        }
        if is(&faults.skip) {
            return done(CompleteStatus::SKIPPED);
        }
        let becomes = StoredFile {
            name: file.name.clone(),
            file_type: file.file_type,
            size: file.size,
            mtime: file.mtime,
            link: file.link.clone(),
        };
        match file.file_type {
            FileType::REGULAR => {
                let mut shared = self.shared.borrow_mut();
                shared.open += 1;
                let (missing, written) = match shared.kept {
                    Some(kept) => left_by_a_run(file, kept),
                    None => (None, Ranges::default()),
                };
                self.open = Some(OpenFile { becomes, written });
                Offer::Accept {
                    status: CompleteStatus::NORMAL,
                    missing,
                }
            }
            FileType::FREESPACE => Offer::Done {
                status: CompleteStatus::NORMAL,
                free_space: Some(1 << 40),
                note: None,
            },
            _ => {
                self.store(becomes);
                done(CompleteStatus::NORMAL)
            }
        }
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut shared = self.shared.borrow_mut();
        if let Some(left) = &mut shared.faults.full_after {
            *left = left
                .checked_sub(data.len() as u64)
                .ok_or(io::ErrorKind::StorageFull)?;
        }
        let Some(open) = &mut self.open else {
            let text = format!("wrote {} bytes at {offset} of no file", data.len());
            shared.violations.push(text);
            return Ok(());
        };
        let end = offset + data.len() as u64;
        let file = &open.becomes;
        if end > file.size {
            let text = format!("wrote {offset}..{end} of {file:?}");
            shared.violations.push(text);
        }
        if !Content::of(&file.name).matches(offset, data) {
            let text = format!("wrong bytes in {offset}..{end} of {file:?}");
            shared.violations.push(text);
        }
        shared.rewritten += open.written.add(offset, end);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            self.violation("finished no file".into());
            return Ok(());
        };
        let mut shared = self.shared.borrow_mut();
        shared.open -= 1;
        if shared.faults.unfinishable.as_ref() == Some(&open.becomes.name) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if !open.written.covers(open.becomes.size) {
            let text = format!("finished with holes: {open:?}");
            shared.violations.push(text);
        }
        shared.stored.push(open.becomes);
        Ok(())
    }

    fn discard(&mut self, _missing: &BlockMap) {
        if let Some(open) = self.open.take() {
            let mut shared = self.shared.borrow_mut();
            shared.open -= 1;
            shared.discarded.push(open.becomes.name);
        }
    }

    fn end(&mut self, how: SessionEnd) {
        if self.ended {
            self.violation("ended a session twice".into());
        }
        if let Some(open) = &self.open {
            self.violation(format!("ended a session inside {open:?}"));
        }
        self.ended = true;
        let mut shared = self.shared.borrow_mut();
        shared.sessions -= 1;
        shared.ended.push(how);
    }
}

/// What is missing of a file of which these blocks are there, and what is not.
fn left_by_a_run(file: &IncomingFile, kept: Kept) -> (Option<BlockMap>, Ranges) {
    let geometry = Geometry::new(file.size, file.block_size, Sectioning::Balanced)
        .expect("receivers offer what can be cut");
    let mut missing = BlockMap::all_missing(geometry.blocks());
    let mut written = Ranges::default();
    for block in (0..geometry.blocks()).filter(|block| kept(*block)) {
        missing.clear(block);
        let start = geometry.offset(block);
        written.add(start, start + geometry.block_len(block) as u64);
    }
    (Some(missing), written)
}

fn done(status: CompleteStatus) -> Offer {
    Offer::Done {
        status,
        free_space: None,
        note: None,
    }
}

/// Ranges of bytes, merged when they touch: start to end.
#[derive(Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `start..end`; returns how many of its bytes were in before.
    fn add(&mut self, mut start: u64, mut end: u64) -> u64 {
        let mut before = 0;
        let len = end - start;
        if len == 0 {
            return 0;
        }
        let (want_start, want_end) = (start, end);
        while let Some((&s, &e)) = self.0.range(..=end).next_back() {
            if e < start {
                break;
            }
            before += e.min(want_end).saturating_sub(s.max(want_start));
            start = start.min(s);
            end = end.max(e);
            self.0.remove(&s);
        }
        self.0.insert(start, end);
        before
    }

    /// Whether it is all of `0..size` and nothing else.
    fn covers(&self, size: u64) -> bool {
        match size {
            0 => self.0.is_empty(),
            _ => self.0.len() == 1 && self.0.get(&0) == Some(&size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source;
    use uftp_proto::{FileId, GroupId, Instance, Uid};

    fn session(store: &MemStore) -> MemSession {
        store.clone().open_session(&SessionInfo {
            group: GroupId(1),
            instance: Instance(0),
            resumed: false,
            encrypted: false,
            server: Uid(1),
            server_addr: ([10, 0, 0, 1], 1).into(),
            sync: false,
            preview: false,
        })
    }

    fn incoming(item: &SendItem) -> IncomingFile {
        IncomingFile {
            file: FileId(1),
            file_type: item.file_type,
            name: item.name.clone(),
            link: item.link.clone(),
            size: item.size,
            mtime: item.mtime,
            block_size: 100,
        }
    }

    fn bytes(item: &SendItem, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        Content::of(&item.name).fill(offset, &mut bytes);
        bytes
    }

    #[test]
    fn whole_file_in_any_order_is_identical() {
        let store = MemStore::default();
        let item = source::file("f", 250);
        let mut session = session(&store);
        assert!(matches!(
            session.offer(&incoming(&item)),
            Offer::Accept { .. }
        ));
        for (offset, len) in [(200, 50), (0, 100), (100, 100)] {
            session
                .write_at(offset, &bytes(&item, offset, len))
                .unwrap();
        }
        session.finish().unwrap();
        session.end(SessionEnd::Complete);
        store.assert_holds(&[item]);
    }

    #[test]
    fn what_a_receiver_must_not_do_is_noticed() {
        let item = source::file("f", 250);
        let broken = |steps: &dyn Fn(&mut MemSession)| {
            let store = MemStore::default();
            let mut session = session(&store);
            session.offer(&incoming(&item));
            steps(&mut session);
            let seen = store.look();
            seen.violations.len() as u64 + seen.rewritten
        };
        let write = |s: &mut MemSession, at, len| s.write_at(at, &bytes(&item, at, len)).unwrap();
        assert_eq!(broken(&|s| write(s, 0, 250)), 0);
        assert_eq!(broken(&|s| write(s, 200, 51)), 1, "past the end");
        assert_eq!(
            broken(&|s| s.write_at(0, &[0; 9]).unwrap()),
            1,
            "wrong bytes"
        );
        assert_eq!(broken(&|s| s.finish().unwrap()), 1, "holes");
        assert_eq!(
            broken(&|s| s.end(SessionEnd::BrokenOff)),
            1,
            "end inside a file"
        );
        let overlap = |s: &mut MemSession| {
            for (offset, len) in [(0, 100), (150, 50), (90, 70)] {
                write(s, offset, len);
            }
        };
        assert_eq!(broken(&overlap), 20, "rewritten bytes");
    }
}
