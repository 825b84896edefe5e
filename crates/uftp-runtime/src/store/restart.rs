//! What is kept of an interrupted session for a later run of it: our own format, never trusted
//! beyond its checksum.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};

use openssl::sha::sha256;
use uftp_proto::{BlockMap, GroupId, Instance, Uid};
use uftp_session::files::IncomingFile;

use super::beneath::{Dir, Entry};

/// Begins every file of this format and version.
const MAGIC: &[u8] = b"UFTP receiver restart, version 2\n";

/// Begins those of the version before, which did not say whether the session was encrypted: what
/// they tell of may have come in the clear.
const MAGIC_1: &[u8] = b"UFTP receiver restart, version 1\n";

/// Length of the checksum at the end.
const SUM_LEN: usize = 32;

/// Longest restart file that is read, bytes: room for the map of the largest file there can be.
const MAX_LEN: u64 = 1 << 30;

/// An interrupted session.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Restart {
    pub(super) group: GroupId,
    pub(super) instance: Instance,
    pub(super) server: Uid,
    /// All there is of it came encrypted.
    pub(super) encrypted: bool,
    pub(super) partials: Vec<Partial>,
}

/// A file that came only in part.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Partial {
    /// What there is of it, by name among the parts of its session.
    pub(super) part: OsString,
    /// Its name as offered.
    pub(super) name: Vec<u8>,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its modification time.
    pub(super) mtime: i64,
    /// Bytes per block of `missing`.
    pub(super) block_size: u16,
    /// Blocks that are still to come.
    pub(super) missing: BlockMap,
}

/// Why a restart file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestartError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not of this program and version")]
    Foreign,
    #[error("its checksum is wrong")]
    Damaged,
    #[error("it contradicts itself")]
    Invalid,
}

impl Partial {
    /// Whether this is what came of `file`.
    pub(super) fn is_of(&self, file: &IncomingFile) -> bool {
        (self.size, self.mtime, self.block_size) == (file.size, file.mtime, file.block_size)
            && self.name == file.name
    }

    /// Bytes that are on disk already.
    pub(super) fn present(&self) -> u64 {
        let here = self.missing.len() - self.missing.missing();
        (u64::from(here) * u64::from(self.block_size)).min(self.size)
    }
}

impl Restart {
    /// Reads the restart file `name` in `dir`. `None` if there is none.
    pub(super) fn load(dir: &Dir, name: &OsStr) -> Result<Option<Restart>, RestartError> {
        match dir.look(name)? {
            Entry::Absent => return Ok(None),
            Entry::Regular { size, .. } if size <= MAX_LEN => {}
            _ => return Err(RestartError::Foreign),
        }
        let mut bytes = Vec::new();
        let file = dir.read(name)?;
        if !dir.owns(&file)? {
            return Err(RestartError::Foreign);
        }
        file.take(MAX_LEN).read_to_end(&mut bytes)?;
        Restart::decode(&bytes).map(Some)
    }

    /// Writes the restart file `name` in `dir`: at any instant it is the old or the new, whole.
    pub(super) fn store(&self, dir: &Dir, name: &OsStr) -> io::Result<()> {
        let temporary = OsString::from_iter([name, OsStr::new(".new")]);
        dir.remove_file(&temporary)?;
        let mut file = dir.create(&temporary)?;
        file.write_all(&self.encode())?;
        file.sync_all()?;
        dir.move_to(&temporary, dir, name)?;
        dir.sync()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.group.0.to_be_bytes());
        out.push(self.instance.0);
        out.extend(self.server.0.to_be_bytes());
        out.push(self.encrypted.into());
        out.extend((self.partials.len() as u32).to_be_bytes()); // a few
        for partial in &self.partials {
            put_bytes(&mut out, partial.part.as_encoded_bytes());
            put_bytes(&mut out, &partial.name);
            out.extend(partial.size.to_be_bytes());
            out.extend(partial.mtime.to_be_bytes());
            out.extend(partial.block_size.to_be_bytes());
            partial
                .missing
                .write_naks(0..partial.missing.len(), &mut out);
        }
        let sum = sha256(&out);
        out.extend(sum);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Restart, RestartError> {
        let known = [(MAGIC, true), (MAGIC_1, false)];
        let mut known = known
            .into_iter()
            .filter(|(magic, _)| bytes.starts_with(magic));
        let (magic, has_encrypted) = known.next().ok_or(RestartError::Foreign)?;
        let (body, sum) = bytes
            .len()
            .checked_sub(SUM_LEN)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or(RestartError::Damaged)?;
        if sha256(body) != sum {
            return Err(RestartError::Damaged);
        }
        let fields = body.get(magic.len()..).unwrap_or_default();
        Restart::read(&mut Fields(fields), has_encrypted).ok_or(RestartError::Invalid)
    }

    fn read(fields: &mut Fields<'_>, has_encrypted: bool) -> Option<Restart> {
        let mut restart = Restart {
            group: GroupId(u32::from_be_bytes(fields.array()?)),
            instance: Instance(u8::from_be_bytes(fields.array()?)),
            server: Uid(u32::from_be_bytes(fields.array()?)),
            encrypted: match has_encrypted.then(|| fields.array()) {
                None | Some(Some([0])) => false,
                Some(Some([1])) => true,
                Some(_) => return None,
            },
            partials: Vec::new(),
        };
        for _ in 0..u32::from_be_bytes(fields.array()?) {
            restart.partials.push(fields.partial()?);
        }
        fields.0.is_empty().then_some(restart)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u16).to_be_bytes()); // names, far shorter
    out.extend(bytes);
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = u16::from_be_bytes(self.array()?);
        self.take(len.into())
    }

    fn partial(&mut self) -> Option<Partial> {
        let part = String::from_utf8(self.bytes()?.to_vec()).ok()?;
        if part.is_empty() || part.starts_with('.') || part.contains('/') {
            return None;
        }
        let name = self.bytes()?.to_vec();
        let size = u64::from_be_bytes(self.array()?);
        let mtime = i64::from_be_bytes(self.array()?);
        let block_size = u16::from_be_bytes(self.array()?);
        let blocks = size.div_ceil(u64::from(block_size).max(1));
        let blocks = u32::try_from(blocks).ok()?;
        let map = self.take((blocks / 8) as usize + 1)?;
        let mut missing = BlockMap::none_missing(blocks);
        missing.merge_naks(0..blocks, map);
        Some(Partial {
            part: part.into(),
            name,
            size,
            mtime,
            block_size,
            missing,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn example() -> Restart {
        let mut missing = BlockMap::none_missing(100);
        for block in (0..3).chain(50..100) {
            missing.set(block);
        }
        Restart {
            group: GroupId(0xABCD),
            instance: Instance(3),
            server: Uid(7),
            encrypted: true,
            partials: vec![Partial {
                part: "00-0001".into(),
                name: b"a\xffb/c".to_vec(),
                size: 129_999,
                mtime: -5,
                block_size: 1300,
                missing,
            }],
        }
    }

    fn scratch() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        (temp, dir)
    }

    #[test]
    fn what_is_stored_is_loaded() {
        let (temp, dir) = scratch();
        let name = OsStr::new("r");
        assert!(Restart::load(&dir, name).unwrap().is_none());
        std::fs::write(temp.path().join("r.new"), b"left over").unwrap();
        for instance in [3, 4] {
            let mut restart = example();
            restart.instance = Instance(instance);
            restart.store(&dir, name).unwrap();
            assert_eq!(Restart::load(&dir, name).unwrap(), Some(restart));
        }
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
        assert_eq!(example().partials[0].present(), 47 * 1300);
    }

    /// `restart`, which must be of a session in the clear, as the version before wrote it.
    pub(in crate::store) fn version_1(restart: &Restart) -> Vec<u8> {
        let now = restart.encode();
        let fields = &now[MAGIC.len()..now.len() - SUM_LEN];
        let (ids, [encrypted, rest @ ..]) = fields.split_at(4 + 1 + 4) else {
            panic!("no flag");
        };
        assert_eq!(*encrypted, 0);
        let mut out = [MAGIC_1, ids, rest].concat();
        let sum = sha256(&out);
        out.extend(sum);
        out
    }

    #[test]
    fn the_version_before_is_read_as_of_a_session_in_the_clear() {
        let mut restart = example();
        restart.encrypted = false;
        let old = version_1(&restart);
        assert!(old.starts_with(
            b"UFTP receiver restart, version 1\n\0\0\xAB\xCD\x03\0\0\0\x07\0\0\0\x01"
        ));
        assert_eq!(Restart::decode(&old).unwrap(), restart);
        for at in 0..old.len() {
            let mut bad = old.clone();
            bad[at] ^= 0x10;
            assert!(Restart::decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn nothing_but_a_whole_file_of_ours_is_used() {
        let good = example().encode();
        assert_eq!(Restart::decode(&good).unwrap(), example());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(Restart::decode(&bad).is_err(), "byte {at}");
            assert!(Restart::decode(&good[..at]).is_err(), "cut at {at}");
        }
        let (temp, dir) = scratch();
        std::fs::create_dir(temp.path().join("d")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", temp.path().join("l")).unwrap();
        for name in ["d", "l"] {
            assert!(Restart::load(&dir, OsStr::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn a_right_checksum_does_not_make_sense_of_nonsense() {
        let sealed = |body: &[u8]| {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(body);
            let sum = sha256(&bytes);
            bytes.extend(sum);
            bytes
        };
        let mut escaping = example();
        escaping.partials[0].part = "../x".into();
        let escaping = escaping.encode();
        for body in [
            &[][..],
            &[0; 13],
            &[0xFF; 14],
            &[0; 15],
            &[0xFF; 200],
            &escaping[MAGIC.len()..escaping.len() - SUM_LEN],
        ] {
            let read = Restart::decode(&sealed(body));
            assert!(matches!(read, Err(RestartError::Invalid)), "{body:?}");
        }
        assert!(
            Restart::decode(&sealed(&[0; 14]))
                .unwrap()
                .partials
                .is_empty()
        );
    }
}
