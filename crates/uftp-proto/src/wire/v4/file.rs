//! FILEINFO to DONE_CONF: the messages about files (wire-v4 §4.8–4.14, wire-v5 §5.8–5.14).

use super::frame::Head;
use super::{Dialect, extension, frame};
use crate::ids::FileId;
use crate::wire::fields::{
    TEXT_FIELD, check_text, read_ids, time_to_32, until_zero, write_ids, write_padded,
};
use crate::wire::header::Function;
use crate::wire::message::{
    BlockRef, Complete, CompleteStatus, Done, DoneConf, FileInfo, FileInfoAck, FileSeg, FileType,
    Status, TfmccDataInfo,
};
use crate::wire::reader::{DecodeError, Problem, Reader};
use crate::wire::writer::{EncodeError, Writer};

/// Bytes of headers before the fields that differ in length and before extensions.
pub(super) const FILE_INFO: usize = 28;
pub(super) const FILE_INFO_ACK: usize = 16;
pub(super) const FILE_SEG: usize = 8;
pub(super) const DONE: usize = 8;
pub(super) const STATUS: usize = 8;
pub(super) const COMPLETE: usize = 8;
pub(super) const DONE_CONF: usize = 4;

const PARTIAL: u8 = 0x01;

/// Most bytes a file may have: its size travels in 48 bits.
const MAX_SIZE: u64 = (1 << 48) - 1;

/// Deployed receivers tolerate no extension here: the header must end with the link.
pub(super) fn read_file_info(
    dialect: Dialect,
    Head { mut head, body }: Head<'_>,
) -> Result<FileInfo, DecodeError> {
    let file = FileId(head.u16("file_id")?);
    let file_type = FileType(head.u8("ftype")?);
    head.u8("reserved")?;
    let time_high = head.u16("reserved or ftstamp")?;
    let name_len = usize::from(head.u8("namelen")?) * 4;
    let link_len = usize::from(head.u8("linklen")?) * 4;
    let size = u64::from(head.u16("fsize")?) << 32 | u64::from(head.u32("fsize")?);
    let time_low = head.u32("ftstamp")?;
    let timestamp = dialect.read_time(&mut head, "tstamp")?;
    let says = head.left();
    let expected = name_len + link_len;
    if says != expected {
        return Err(head.error(
            "hlen",
            Problem::HeaderSize {
                says: FILE_INFO + says,
                need: FILE_INFO + expected,
            },
        ));
    }
    let name = read_text(&mut head, "name", name_len)?;
    let link = read_text(&mut head, "linkname", link_len)?;
    Ok(FileInfo {
        file,
        file_type,
        size,
        mtime: match dialect {
            Dialect::Four => i64::from(time_low),
            Dialect::Five => time_from_48(time_high, time_low),
        },
        stated_geometry: None,
        timestamp,
        name,
        link,
        clients: read_ids(body),
    })
}

pub(super) fn write_file_info(
    dialect: Dialect,
    m: &FileInfo,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    check_text("name", &m.name, TEXT_FIELD)?;
    check_text("linkname", &m.link, TEXT_FIELD)?;
    if m.size > MAX_SIZE {
        return Err(EncodeError::TooBig {
            field: "fsize",
            value: usize::try_from(m.size).unwrap_or(usize::MAX),
            max: usize::try_from(MAX_SIZE).unwrap_or(usize::MAX),
        });
    }
    let name_len = m.name.len().next_multiple_of(4);
    let link_len = m.link.len().next_multiple_of(4);
    let (time_high, time_low) = match dialect {
        Dialect::Four => (0, time_to_32(m.mtime)),
        Dialect::Five => time_to_48(m.mtime),
    };

    dialect.start(w, Function::FileInfo, FILE_INFO + name_len + link_len)?;
    w.u16(m.file.0);
    w.u8(m.file_type.0);
    w.u8(0);
    w.u16(time_high);
    w.u8(frame::words("namelen", name_len)?);
    w.u8(frame::words("linklen", link_len)?);
    w.u16((m.size >> 32) as u16); // 48 bits, checked above
    w.u32(m.size as u32);
    w.u32(time_low);
    dialect.write_time(w, m.timestamp);
    write_padded(w, &m.name, name_len);
    write_padded(w, &m.link, link_len);
    write_ids(w, &m.clients)
}

pub(super) fn read_file_info_ack(
    dialect: Dialect,
    Head { mut head, body }: Head<'_>,
) -> Result<FileInfoAck, DecodeError> {
    let file = FileId(head.u16("file_id")?);
    let flags = head.u8("flags")?;
    head.bytes("reserved", 3)?;
    Ok(FileInfoAck {
        file,
        partial: flags & PARTIAL != 0,
        echo: dialect.read_time(&mut head, "tstamp")?,
        clients: read_ids(body),
    })
}

pub(super) fn write_file_info_ack(
    dialect: Dialect,
    m: &FileInfoAck,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::FileInfoAck, FILE_INFO_ACK)?;
    w.u16(m.file.0);
    w.u8(if m.partial { PARTIAL } else { 0 });
    w.zeros(3);
    dialect.write_time(w, m.echo);
    write_ids(w, &m.clients)
}

#[inline] // as Head::split is
pub(super) fn read_file_seg(Head { mut head, body }: Head<'_>) -> Result<FileSeg<'_>, DecodeError> {
    Ok(FileSeg {
        file: FileId(head.u16("file_id")?),
        at: BlockRef::InSection {
            section: head.u16("section")?,
            block: head.u16("sec_block")?,
        },
        tfmcc: extension::tfmcc_data(head)?,
        data: body.rest(),
    })
}

pub(super) fn write_file_seg(
    dialect: Dialect,
    m: &FileSeg<'_>,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    write_fileseg_head(dialect, m.file, m.at, m.tfmcc.as_ref(), w)?;
    w.bytes(m.data);
    Ok(())
}

/// Bytes of a FILESEG before the file data.
pub(in crate::wire) fn fileseg_head_len(tfmcc: bool) -> usize {
    FILE_SEG + if tfmcc { extension::TFMCC_DATA_INFO } else { 0 }
}

pub(in crate::wire) fn write_fileseg_head(
    dialect: Dialect,
    file: FileId,
    at: BlockRef,
    tfmcc: Option<&TfmccDataInfo>,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    let BlockRef::InSection { section, block } = at else {
        return Err(EncodeError::NotInProtocol("block number within the file"));
    };
    dialect.start(w, Function::FileSeg, fileseg_head_len(tfmcc.is_some()))?;
    w.u16(file.0);
    w.u16(section);
    w.u16(block);
    if let Some(info) = tfmcc {
        extension::write_tfmcc_data(w, info)?;
    }
    Ok(())
}

pub(super) fn read_done(Head { mut head, body }: Head<'_>) -> Result<Done, DecodeError> {
    Ok(Done {
        file: FileId(head.u16("file_id")?),
        pass: 0,
        section: head.u16("section")?,
        clients: read_ids(body),
    })
}

pub(super) fn write_done(
    dialect: Dialect,
    m: &Done,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::Done, DONE)?;
    w.u16(m.file.0);
    w.u16(m.section);
    w.u16(0);
    write_ids(w, &m.clients)
}

/// The bitmap begins where the header ends, also behind an extension (deployed proxies take a
/// fixed offset and mistake the extension for NAKs, wire-v4 §13).
pub(super) fn read_status(
    dialect: Dialect,
    Head { mut head, body }: Head<'_>,
) -> Result<Status<'_>, DecodeError> {
    let file = FileId(head.u16("file_id")?);
    let section = head.u16("section")?;
    head.u16("reserved")?;
    Ok(Status {
        file,
        pass: 0,
        proxy_seq: 0,
        section,
        tfmcc: extension::tfmcc_ack(dialect, head)?,
        naks: body.rest(),
    })
}

pub(super) fn write_status(
    dialect: Dialect,
    m: &Status<'_>,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    let extension = m.tfmcc.map_or(0, |_| extension::TFMCC_ACK_INFO);
    dialect.start(w, Function::Status, STATUS + extension)?;
    w.u16(m.file.0);
    w.u16(m.section);
    w.u16(0);
    if let Some(info) = &m.tfmcc {
        extension::write_tfmcc_ack(dialect, w, info)?;
    }
    w.bytes(m.naks);
    Ok(())
}

pub(super) fn read_complete(Head { mut head, body }: Head<'_>) -> Result<Complete, DecodeError> {
    let file = FileId(head.u16("file_id")?);
    let status = CompleteStatus(head.u8("status")?);
    head.bytes("reserved", 3)?;
    Ok(Complete {
        file,
        status,
        free_space: extension::free_space(head)?,
        clients: read_ids(body),
    })
}

pub(super) fn write_complete(
    dialect: Dialect,
    m: &Complete,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    let extension = m.free_space.map_or(0, |_| extension::FREESPACE_INFO);
    dialect.start(w, Function::Complete, COMPLETE + extension)?;
    w.u16(m.file.0);
    w.u8(m.status.0);
    w.zeros(3);
    if let Some(bytes) = m.free_space {
        extension::write_free_space(w, bytes)?;
    }
    write_ids(w, &m.clients)
}

/// The list begins where the header ends. Deployed receivers take offset 4 whatever the header
/// says; no program puts anything between.
pub(super) fn read_done_conf(Head { body, .. }: Head<'_>) -> DoneConf {
    DoneConf {
        clients: read_ids(body),
    }
}

pub(super) fn write_done_conf(
    dialect: Dialect,
    m: &DoneConf,
    w: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    dialect.start(w, Function::DoneConf, DONE_CONF)?;
    w.u16(0);
    write_ids(w, &m.clients)
}

fn read_text(r: &mut Reader<'_>, field: &'static str, len: usize) -> Result<Vec<u8>, DecodeError> {
    if len > TEXT_FIELD {
        let problem = Problem::Length {
            says: len,
            expected: TEXT_FIELD,
        };
        return Err(r.error(field, problem));
    }
    Ok(until_zero(r.bytes(field, len)?).to_vec())
}

/// The low 48 bits of a time, or 0, unknown, if they cannot hold it.
fn time_to_48(mtime: i64) -> (u16, u32) {
    let fits = (-1 << 47..1 << 47).contains(&mtime);
    let time = if fits { mtime } else { 0 };
    ((time >> 32) as u16, time as u32)
}

fn time_from_48(high: u16, low: u32) -> i64 {
    i64::from(high.cast_signed()) << 32 | i64::from(low)
}
