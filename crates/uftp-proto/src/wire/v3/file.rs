//! FILEINFO to DONE_CONF: the messages about files (wire-v3 §4.8, §4.10–4.15).

use super::{read_list, write_count, write_ids};
use crate::ids::FileId;
use crate::time::WireTime;
use crate::wire::fields::{TEXT_FIELD, check_text, time_to_32, until_zero};
use crate::wire::header::{Function, Version};
use crate::wire::message::{
    BlockRef, Complete, CompleteStatus, Done, DoneConf, FileInfo, FileSeg, FileType, PrStatus,
    Status,
};
use crate::wire::reader::{DecodeError, Problem, Reader};
use crate::wire::writer::{EncodeError, Writer};

pub(super) fn read_file_info(version: Version, mut r: Reader<'_>) -> Result<FileInfo, DecodeError> {
    let file_type = FileType(r.u8("file type")?);
    let file = FileId(r.u16("file id")?);
    let blocks = r.u32("total blocks")?;
    let sections = r.u16("total sections")?;
    let count = usize::from(r.u16("destination count")?);
    let size = r.u64("file size")?;
    let mtime = match version {
        Version::V3Sync => i64::from(r.u32("file time")?),
        _ => 0,
    };
    let text = r.bytes("file name", TEXT_FIELD)?;
    let (name, behind) = terminated(&r, "file name", text)?;
    let link = if file_type == FileType::SYMLINK {
        terminated(&r, "link", behind)?.0
    } else {
        &[]
    };
    Ok(FileInfo {
        file,
        file_type,
        size,
        mtime,
        stated_geometry: Some((blocks, sections)),
        timestamp: WireTime(0),
        name: name.to_vec(),
        link: link.to_vec(),
        clients: read_list(r, count)?,
    })
}

pub(super) fn write_file_info(
    version: Version,
    m: &FileInfo,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    let Some((blocks, sections)) = m.stated_geometry else {
        return Err(EncodeError::NotInProtocol("FILEINFO without geometry"));
    };
    let known = [FileType::REGULAR, FileType::DIRECTORY, FileType::SYMLINK];
    if !known.contains(&m.file_type) {
        return Err(EncodeError::NotInProtocol("file type of this kind"));
    }
    // Name and link share the field, each with a zero byte behind it.
    check_text("file name", &m.name, TEXT_FIELD - 1)?;
    let room = (TEXT_FIELD - 1).saturating_sub(m.name.len());
    let link_room = room.saturating_sub(1);
    check_text("link", &m.link, link_room)?;

    w.u8(m.file_type.0);
    w.u16(m.file.0);
    w.u32(blocks);
    w.u16(sections);
    write_count(w, &m.clients)?;
    w.u64(m.size);
    if version == Version::V3Sync {
        w.u32(time_to_32(m.mtime));
    }
    w.bytes(&m.name);
    w.zeros(1);
    w.bytes(&m.link);
    w.zeros(room.saturating_sub(m.link.len()));
    write_ids(w, &m.clients)
}

pub(super) fn read_file_seg(mut r: Reader<'_>) -> Result<FileSeg<'_>, DecodeError> {
    r.u8("reserved")?;
    let file = FileId(r.u16("file id")?);
    let pass = r.u8("pass")?;
    r.u8("reserved")?;
    Ok(FileSeg {
        file,
        at: BlockRef::InFile {
            pass,
            section: read_section(&mut r)?,
            block: r.u32("block number")?,
        },
        tfmcc: None,
        data: r.rest(),
    })
}

/// Bytes of a FILESEG before the file data.
pub(in crate::wire) const FILESEG_HEAD: usize = 12;

pub(in crate::wire) fn write_fileseg_head(
    version: Version,
    file: FileId,
    at: BlockRef,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    super::start(version, Function::FileSeg, w)?;
    write_block_ref(file, at, w)
}

pub(super) fn write_file_seg(m: &FileSeg<'_>, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    write_block_ref(m.file, m.at, w)?;
    w.bytes(m.data);
    Ok(())
}

fn write_block_ref(file: FileId, at: BlockRef, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    let BlockRef::InFile {
        pass,
        section,
        block,
    } = at
    else {
        return Err(EncodeError::NotInProtocol("block number within a section"));
    };
    w.u8(0);
    w.u16(file.0);
    w.u8(pass);
    w.u8(0);
    write_section(section, w)?;
    w.u32(block);
    Ok(())
}

/// Sections count from 1 on the wire, from 0 in the vocabulary.
fn read_section(r: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let number = r.u16("section")?;
    let zero = r.error("section", Problem::Value(0));
    number.checked_sub(1).ok_or(zero)
}

fn write_section(section: u16, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    let number = section.checked_add(1).ok_or(EncodeError::TooBig {
        field: "section",
        value: section.into(),
        max: usize::from(u16::MAX) - 1,
    })?;
    w.u16(number);
    Ok(())
}

pub(super) fn read_done(mut r: Reader<'_>) -> Result<Done, DecodeError> {
    let pass = r.u8("pass")?;
    let section = read_section(&mut r)?;
    let file = FileId(r.u16("file id")?);
    let count = usize::from(r.u16("destination count")?);
    Ok(Done {
        file,
        pass,
        section,
        clients: read_list(r, count)?,
    })
}

pub(super) fn write_done(m: &Done, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.u8(m.pass);
    write_section(m.section, w)?;
    w.u16(m.file.0);
    write_count(w, &m.clients)?;
    write_ids(w, &m.clients)
}

/// The bitmap is there exactly when the count of its bits is not 0. Deployed proxies that log much
/// count 0 whatever is missing (wire-v3 §11): what the bitmap names counts.
pub(super) fn read_status(mut r: Reader<'_>) -> Result<Status<'_>, DecodeError> {
    r.u8("reserved")?;
    let file = FileId(r.u16("file id")?);
    let pass = r.u8("pass")?;
    let proxy_seq = r.u8("seq number")?;
    let section = read_section(&mut r)?;
    let count = r.u32("nak count")?;
    let bitmap = r.rest();
    let naks = match (count, bitmap.iter().all(|byte| *byte == 0)) {
        (_, false) => bitmap,
        (0, true) => &[],
        // Blocks that are counted and not named are no less missing: this is not a report of none.
        (_, true) => return Err(r.error("nak count", Problem::Value(count))),
    };
    Ok(Status {
        file,
        pass,
        proxy_seq,
        section,
        tfmcc: None,
        naks,
    })
}

pub(super) fn write_status(m: &Status<'_>, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    // A bitmap is no longer than a datagram.
    let count: u32 = m.naks.iter().map(|byte| byte.count_ones()).sum();
    w.u8(0);
    w.u16(m.file.0);
    w.u8(m.pass);
    w.u8(m.proxy_seq);
    write_section(m.section, w)?;
    w.u32(count);
    if count > 0 {
        w.bytes(m.naks);
    }
    Ok(())
}

pub(super) fn read_pr_status(mut r: Reader<'_>) -> Result<PrStatus, DecodeError> {
    r.u8("reserved")?;
    let file = FileId(r.u16("file id")?);
    let pass = r.u8("pass")?;
    let proxy_seq = r.u8("seq number")?;
    let section = read_section(&mut r)?;
    let count = usize::from(r.u16("destination count")?);
    r.u16("reserved")?;
    Ok(PrStatus {
        file,
        pass,
        proxy_seq,
        section,
        clients: read_list(r, count)?,
    })
}

pub(super) fn write_pr_status(m: &PrStatus, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.u8(0);
    w.u16(m.file.0);
    w.u8(m.pass);
    w.u8(m.proxy_seq);
    write_section(m.section, w)?;
    write_count(w, &m.clients)?;
    w.u16(0);
    write_ids(w, &m.clients)
}

pub(super) fn read_complete(mut r: Reader<'_>) -> Result<Complete, DecodeError> {
    let status = CompleteStatus(r.u8("status")?);
    let file = FileId(r.u16("file id")?);
    let count = usize::from(r.u16("destination count")?);
    r.u16("reserved")?;
    Ok(Complete {
        file,
        status,
        free_space: None,
        clients: read_list(r, count)?,
    })
}

pub(super) fn write_complete(m: &Complete, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.u8(m.status.0);
    w.u16(m.file.0);
    write_count(w, &m.clients)?;
    w.u16(0);
    write_ids(w, &m.clients)
}

pub(super) fn read_done_conf(mut r: Reader<'_>) -> Result<DoneConf, DecodeError> {
    r.u8("reserved")?;
    r.u16("file id")?;
    let count = usize::from(r.u16("destination count")?);
    r.u16("reserved")?;
    Ok(DoneConf {
        clients: read_list(r, count)?,
    })
}

pub(super) fn write_done_conf(m: &DoneConf, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.u8(0);
    w.u16(FileId::SESSION.0);
    write_count(w, &m.clients)?;
    w.u16(0);
    write_ids(w, &m.clients)
}

/// What stands before the first zero byte of `text`, and what stands behind it.
fn terminated<'a>(
    r: &Reader<'_>,
    field: &'static str,
    text: &'a [u8],
) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    let string = until_zero(text);
    let behind = text.get(string.len() + 1..).ok_or(r.error(
        field,
        Problem::Short {
            need: string.len() + 1,
            have: text.len(),
        },
    ))?;
    Ok((string, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A STATUS that counts `count` and has this bitmap.
    fn status(count: u32, bitmap: &[u8]) -> Vec<u8> {
        [&[0, 0, 1, 1, 0, 0, 1][..], &count.to_be_bytes(), bitmap].concat()
    }

    fn naks(message: &[u8]) -> Option<&[u8]> {
        let r = Reader::new(Some(Function::Status), message);
        read_status(r).ok().map(|status| status.naks)
    }

    #[test]
    fn what_the_bitmap_names_is_missing_whatever_is_counted() {
        assert_eq!(naks(&status(0, &[])), Some(&[][..]));
        assert_eq!(naks(&status(3, &[7, 0])), Some(&[7, 0][..]));
        assert_eq!(naks(&status(0, &[7, 0])), Some(&[7, 0][..]));
        assert_eq!(naks(&status(0, &[0, 0])), Some(&[][..]));
        assert_eq!(naks(&status(3, &[0, 0])), None);
        assert_eq!(naks(&status(3, &[])), None);
    }
}
