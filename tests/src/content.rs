//! What is sent, and the comparison with what arrived.

use std::{
    collections::BTreeMap,
    fs::{self, File, FileTimes},
    io::{BufReader, Read, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{Failure, Result};

/// An entry of a tree to write, with its path below the tree's root.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A regular file of so many bytes.
    File(&'a str, u64),
    /// A directory.
    Directory(&'a str),
    /// A symbolic link and its text.
    Link(&'a str, &'a str),
}

/// Writes a file of `size` bytes that repeat nowhere near and differ from path to path, so that a
/// block in a wrong place or file shows. Its modification time is well in the past.
///
/// # Errors
/// When the disk refuses.
pub fn write_file(path: &Path, size: u64) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let mut state = path
        .file_name()
        .map(|name| name.as_encoded_bytes().to_vec())
        .unwrap_or_default()
        .iter()
        .fold(size ^ 0x9E37_79B9_7F4A_7C15, |state, byte| {
            next(state ^ u64::from(*byte))
        });
    let mut file = File::create(path).map_err(|error| Failure::io(doing(), error))?;
    let mut buffer = vec![0; 1 << 16];
    let mut left = size;
    while left > 0 {
        for word in buffer.chunks_exact_mut(8) {
            state = next(state);
            word.copy_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
        }
        let wanted = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let piece = buffer.get(..wanted).unwrap_or(&buffer);
        file.write_all(piece)
            .map_err(|error| Failure::io(doing(), error))?;
        left -= piece.len() as u64;
    }
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + size % 86_400);
    file.set_times(FileTimes::new().set_modified(past).set_accessed(past))
        .map_err(|error| Failure::io(doing(), error))
}

/// Writes a tree of `entries` below `root`, with parent directories as needed.
///
/// # Errors
/// When the disk refuses.
pub fn write_tree(root: &Path, entries: &[Content<'_>]) -> Result<()> {
    for entry in entries {
        let (Content::File(name, _) | Content::Directory(name) | Content::Link(name, _)) = entry;
        let path = root.join(name);
        let parent = path.parent().unwrap_or(root);
        make_dir(parent)?;
        match entry {
            Content::File(_, size) => write_file(&path, *size)?,
            Content::Directory(_) => make_dir(&path)?,
            Content::Link(_, text) => symlink(text, &path)
                .map_err(|error| Failure::io(format!("linking {}", path.display()), error))?,
        }
    }
    Ok(())
}

/// Compares everything below `sent` with everything below `received`: names, kinds, bytes, link texts,
/// and of files the modification time in whole seconds.
///
/// # Errors
/// Every difference, one a line.
pub fn compare_trees(sent: &Path, received: &Path) -> std::result::Result<(), String> {
    compare(sent, received, true)
}

/// As [`compare_trees`], but for the times, which protocol 3 does not tell.
///
/// # Errors
/// As [`compare_trees`].
pub(crate) fn compare_undated_trees(
    sent: &Path,
    received: &Path,
) -> std::result::Result<(), String> {
    compare(sent, received, false)
}

fn compare(sent: &Path, received: &Path, dated: bool) -> std::result::Result<(), String> {
    let (wanted, got) = match (walk(sent, dated), walk(received, dated)) {
        (Ok(wanted), Ok(got)) => (wanted, got),
        (Err(failure), _) | (_, Err(failure)) => return Err(failure.to_string()),
    };
    let mut differences = Vec::new();
    for (name, wanted) in &wanted {
        match got.get(name) {
            None => differences.push(format!("{} did not arrive", name.display())),
            Some(found) if found != wanted => differences.push(format!(
                "{} arrived as {found:?} and should be {wanted:?}",
                name.display()
            )),
            Some(Kind::File { .. }) => {
                let offset = first_difference(&sent.join(name), &received.join(name))?;
                differences.extend(
                    offset.map(|offset| format!("{} differs at byte {offset}", name.display())),
                );
            }
            Some(_) => {}
        }
    }
    differences.extend(
        got.keys()
            .filter(|name| !wanted.contains_key(*name))
            .map(|name| format!("{} arrived and was never sent", name.display())),
    );
    if differences.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "in {}: {}",
            received.display(),
            differences.join("; ")
        ))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    File { size: u64, modified: Option<u64> },
    Directory,
    Link(PathBuf),
    Other,
}

/// What is below `root`; times of files if `dated`.
fn walk(root: &Path, dated: bool) -> Result<BTreeMap<PathBuf, Kind>> {
    let mut found = BTreeMap::new();
    let mut to_visit = vec![PathBuf::new()];
    while let Some(dir) = to_visit.pop() {
        let path = root.join(&dir);
        let doing = |error| Failure::io(format!("reading {}", path.display()), error);
        for entry in fs::read_dir(&path).map_err(doing)? {
            let entry = entry.map_err(doing)?;
            let name = dir.join(entry.file_name());
            let meta = entry.metadata().map_err(doing)?;
            let kind = if meta.is_dir() {
                to_visit.push(name.clone());
                Kind::Directory
            } else if meta.is_symlink() {
                Kind::Link(fs::read_link(entry.path()).map_err(doing)?)
            } else if meta.is_file() {
                let modified = meta.modified().map_err(doing)?;
                let modified = modified
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                Kind::File {
                    size: meta.len(),
                    modified: dated.then_some(modified.as_secs()),
                }
            } else {
                Kind::Other
            };
            found.insert(name, kind);
        }
    }
    Ok(found)
}

/// Offset of the first byte in which two files of one length differ, if any.
///
/// # Errors
/// When one cannot be read, or `right` is shorter.
pub fn first_difference(left: &Path, right: &Path) -> std::result::Result<Option<u64>, String> {
    let open = |path: &Path| {
        File::open(path)
            .map(|file| BufReader::with_capacity(1 << 16, file))
            .map_err(|error| format!("opening {}: {error}", path.display()))
    };
    let (mut left, mut right) = (open(left)?, open(right)?);
    let (mut a, mut b) = ([0u8; 8192], [0u8; 8192]);
    let mut offset = 0u64;
    loop {
        let n = left
            .read(&mut a)
            .map_err(|error| format!("reading what was sent: {error}"))?;
        let (a, b) = (a.get(..n).unwrap_or(&[]), b.get_mut(..n).unwrap_or(&mut []));
        if n == 0 {
            return Ok(None);
        }
        right
            .read_exact(b)
            .map_err(|error| format!("reading what arrived: {error}"))?;
        if let Some(at) = a.iter().zip(b.iter()).position(|(a, b)| a != b) {
            return Ok(Some(offset + at as u64));
        }
        offset += n as u64;
    }
}

fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .map_err(|error| Failure::io(format!("creating {}", path.display()), error))
}

/// One step of a 64-bit xorshift generator.
fn next(state: u64) -> u64 {
    let state = state ^ (state << 13);
    let state = state ^ (state >> 7);
    state ^ (state << 17)
}
