//! Files to send, made up.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};

use uftp_proto::wire::FileType;
use uftp_session::files::{FileSource, SendItem};

use crate::content::Content;

/// A list of files whose bytes are generated from their names.
#[derive(Clone, Debug, Default)]
pub struct MemSource {
    items: VecDeque<SendItem>,
    current: Option<SendItem>,
    /// Reading at or past this offset of any file fails: the file has become shorter.
    pub shrunk_to: Option<u64>,
}

impl MemSource {
    /// Sends `items` in order.
    pub fn new(items: impl IntoIterator<Item = SendItem>) -> Self {
        MemSource {
            items: items.into_iter().collect(),
            ..MemSource::default()
        }
    }
}

/// A regular file of `size` bytes.
pub fn file(name: &str, size: u64) -> SendItem {
    SendItem {
        size,
        mtime: 1_700_000_000,
        ..item(name, FileType::REGULAR)
    }
}

/// An empty directory.
pub fn directory(name: &str) -> SendItem {
    item(name, FileType::DIRECTORY)
}

/// A symbolic link.
pub fn link(name: &str, target: &str) -> SendItem {
    SendItem {
        link: target.into(),
        ..item(name, FileType::SYMLINK)
    }
}

/// Anything else.
pub fn item(name: &str, file_type: FileType) -> SendItem {
    SendItem {
        source: format!("./{name}"),
        name: name.into(),
        file_type,
        size: 0,
        mtime: 0,
        link: Vec::new(),
    }
}

impl FileSource for MemSource {
    fn next_item(&mut self) -> Option<SendItem> {
        self.current = self.items.pop_front();
        self.current.clone()
    }

    fn read_at(&mut self, offset: u64, bufs: &mut [IoSliceMut<'_>]) -> io::Result<()> {
        let item = self.current.as_ref().expect("no file is open");
        assert_eq!(item.file_type, FileType::REGULAR, "{item:?} has no bytes");
        let wanted: usize = bufs.iter().map(|b| b.len()).sum();
        let end = offset + wanted as u64;
        assert!(end <= item.size, "read to {end} of {item:?}");
        if self.shrunk_to.is_some_and(|size| end > size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let content = Content::of(&item.name);
        let mut at = offset;
        for buf in bufs {
            content.fill(at, buf);
            at += buf.len() as u64;
        }
        Ok(())
    }
}
