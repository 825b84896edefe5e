//! Files in memory to send.

use std::io::{self, IoSliceMut};

use uftp_proto::wire::FileType;
use uftp_session::files::{FileSource, SendItem};

/// Files in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) items: std::collections::VecDeque<(SendItem, Vec<u8>)>,
    current: Vec<u8>,
    /// Reading from this offset on fails.
    pub(crate) broken_at: Option<u64>,
    pub(crate) reads: std::rc::Rc<std::cell::Cell<usize>>,
}

impl FileSource for Memory {
    fn next_item(&mut self) -> Option<SendItem> {
        let (item, data) = self.items.pop_front()?;
        self.current = data;
        Some(item)
    }

    fn read_at(&mut self, offset: u64, bufs: &mut [IoSliceMut<'_>]) -> io::Result<()> {
        self.reads.set(self.reads.get() + 1);
        let mut at = offset as usize;
        for buf in bufs {
            if self.broken_at.is_some_and(|broken| at as u64 >= broken) {
                return Err(io::Error::other("bad sector"));
            }
            let end = at + buf.len();
            let data = self
                .current
                .get(at..end)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buf.copy_from_slice(data);
            at = end;
        }
        Ok(())
    }
}

impl Memory {
    pub(crate) fn file(mut self, name: &str, data: Vec<u8>) -> Self {
        let item = SendItem {
            source: name.into(),
            name: name.into(),
            file_type: FileType::REGULAR,
            size: data.len() as u64,
            mtime: 1_000_000,
            link: Vec::new(),
        };
        self.items.push_back((item, data));
        self
    }

    pub(crate) fn other(mut self, name: &str, file_type: FileType, link: &str) -> Self {
        let item = SendItem {
            source: name.into(),
            name: name.into(),
            file_type,
            size: 0,
            mtime: 0,
            link: link.into(),
        };
        self.items.push_back((item, Vec::new()));
        self
    }
}

/// Bytes that differ from block to block.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}
