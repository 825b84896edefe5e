//! FILEINFO to DONE_CONF: the messages about files.

use super::{TfmccAckInfo, TfmccDataInfo};
use crate::ids::{FileId, Uid};
use crate::time::WireTime;

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileType(pub u8);

impl FileType {
    /// A regular file.
    pub const REGULAR: FileType = FileType(0);
    /// An empty directory.
    pub const DIRECTORY: FileType = FileType(1);
    /// A symbolic link.
    pub const SYMLINK: FileType = FileType(2);
    /// A request to delete (protocols 4 and 5).
    pub const DELETE: FileType = FileType(3);
    /// A question for free disk space (protocols 4 and 5).
    pub const FREESPACE: FileType = FileType(4);
}

/// Announces a file.
#[derive(Clone, PartialEq, Debug)]
pub struct FileInfo {
    /// Its number in the session.
    pub file: FileId,
    /// What it is.
    pub file_type: FileType,
    /// Size in bytes; 0 for all but regular files. 48 bits on the wire.
    pub size: u64,
    /// Modification time, seconds since 1970, 0 if unknown. Protocol 3 (0x31) and 4 send 32
    /// bits, protocol 5 sends 48; a time that does not fit is sent as unknown.
    pub mtime: i64,
    /// Protocol 3 says its geometry: total blocks and sections. Else `None`.
    pub stated_geometry: Option<(u32, u16)>,
    /// Sender's clock. Protocol 3 has none: 0.
    pub timestamp: WireTime,
    /// Name at the receiver, with `/` between components. At most 300 bytes.
    pub name: Vec<u8>,
    /// Target of a symbolic link; else empty. At most 300 bytes.
    pub link: Vec<u8>,
    /// Receivers still expected to answer.
    pub clients: Vec<Uid>,
}

/// A receiver is ready for the file. In protocol 3 an INFO_ACK.
#[derive(Clone, PartialEq, Debug)]
pub struct FileInfoAck {
    /// The file.
    pub file: FileId,
    /// Part of it is there from an earlier run.
    pub partial: bool,
    /// Last sender time heard plus the time it was held. Protocol 3 has none: 0.
    pub echo: WireTime,
    /// From a proxy: whom it answers for.
    pub clients: Vec<Uid>,
}

/// Where in the file a block lies, as the protocol names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockRef {
    /// Protocols 4 and 5: block `block` of section `section`, both from 0.
    InSection {
        /// Section, from 0.
        section: u16,
        /// Block within the section, from 0.
        block: u16,
    },
    /// Protocol 3: block `block` of the file, from 0, sent in pass `pass`.
    InFile {
        /// Pass, from 1.
        pass: u8,
        /// Section, from 0.
        section: u16,
        /// Block within the file, from 0.
        block: u32,
    },
}

/// A block of file data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSeg<'a> {
    /// The file.
    pub file: FileId,
    /// Which block.
    pub at: BlockRef,
    /// Present under TFMCC.
    pub tfmcc: Option<TfmccDataInfo>,
    /// The data: a block size of bytes, fewer in the last block.
    pub data: &'a [u8],
}

/// Asks receivers for the state of a file ([`FileId::SESSION`]: of the session).
#[derive(Clone, PartialEq, Debug)]
pub struct Done {
    /// The file.
    pub file: FileId,
    /// Protocol 3: pass, from 1. Else 0.
    pub pass: u8,
    /// Protocols 4 and 5: last section sent. Protocol 3: the section asked about. From 0; 0 also
    /// for an empty file and for the session.
    pub section: u16,
    /// Receivers asked.
    pub clients: Vec<Uid>,
}

/// What is missing of a section.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Status<'a> {
    /// The file.
    pub file: FileId,
    /// Protocol 3: pass answered, from 1. Else 0.
    pub pass: u8,
    /// Protocol 3: pairs a proxy's STATUS with its PRSTATUS. Else 0.
    pub proxy_seq: u8,
    /// Section, from 0.
    pub section: u16,
    /// Present under TFMCC.
    pub tfmcc: Option<TfmccAckInfo>,
    /// NAK bitmap, see [`BlockMap::write_naks`](crate::nak::BlockMap::write_naks).
    /// Protocol 3: empty when nothing is missing.
    pub naks: &'a [u8],
}

/// Protocol 3: receivers for whom the STATUS with the same file, pass, section and number speaks.
#[derive(Clone, PartialEq, Debug)]
pub struct PrStatus {
    /// The file.
    pub file: FileId,
    /// Pass, from 1.
    pub pass: u8,
    /// Number of the STATUS.
    pub proxy_seq: u8,
    /// Section, from 0.
    pub section: u16,
    /// The receivers.
    pub clients: Vec<Uid>,
}

/// How a file ended at a receiver.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CompleteStatus(pub u8);

impl CompleteStatus {
    /// Received, or done.
    pub const NORMAL: CompleteStatus = CompleteStatus(0);
    /// Already there (sync mode).
    pub const SKIPPED: CompleteStatus = CompleteStatus(1);
    /// An older file was replaced (sync mode).
    pub const OVERWRITE: CompleteStatus = CompleteStatus(2);
    /// Refused.
    pub const REJECTED: CompleteStatus = CompleteStatus(3);
}

/// A receiver has finished a file ([`FileId::SESSION`]: the session).
#[derive(Clone, PartialEq, Debug)]
pub struct Complete {
    /// The file.
    pub file: FileId,
    /// How it ended.
    pub status: CompleteStatus,
    /// Answer to [`FileType::FREESPACE`]: bytes available.
    pub free_space: Option<u64>,
    /// From a proxy: whom it answers for.
    pub clients: Vec<Uid>,
}

/// Names receivers whose completion of the session arrived.
#[derive(Clone, PartialEq, Debug)]
pub struct DoneConf {
    /// The receivers.
    pub clients: Vec<Uid>,
}
