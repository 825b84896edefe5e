//! What a file is called at the receivers (behaviour-sender-receiver §2.4).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The rules that turn an argument into a name: `-D`, `-o`, `-E`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Naming {
    /// `-D`: the name, or the directory, at the receivers.
    pub dest: Option<Vec<u8>>,
    /// `-o`: `dest` is a directory even for a single argument.
    pub dest_is_dir: bool,
    /// `-E`: the first of these that an argument begins with is cut off; if there are any, an
    /// argument that begins with none is not sent.
    pub bases: Vec<Vec<u8>>,
}

/// A file on disk with its name at the receivers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Named {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What receivers call it; empty for a directory whose contents go to the root.
    pub(super) name: Vec<u8>,
    /// Where it is, from its argument's parent on: that of an argument `.` or `dir/.` begins with
    /// `./`. `-X` speaks of this, byte by byte.
    pub(super) relative: OsString,
}

impl Named {
    /// The file `entry` in this directory.
    pub(super) fn child(&self, entry: &OsStr) -> Named {
        let mut name = self.name.clone();
        if !name.is_empty() {
            name.push(b'/');
        }
        name.extend_from_slice(entry.as_bytes());
        Named {
            path: self.path.join(entry),
            name,
            relative: OsString::from_iter([&self.relative, OsStr::new("/"), entry]),
        }
    }
}

impl Naming {
    /// Several arguments cannot share the name of `-D`: then it is a directory.
    pub(super) fn count_arguments(&mut self, count: usize) {
        self.dest_is_dir |= count != 1;
        if let Some(dest) = &mut self.dest {
            let keep = trim_slashes(dest).len();
            dest.truncate(keep);
        }
        // Nothing but slashes is as good as none.
        self.dest.take_if(|dest| dest.is_empty());
    }

    /// The name of an argument. `None` if no base directory matches.
    pub(super) fn name(&self, arg: &[u8]) -> Option<Vec<u8>> {
        let own = if self.bases.is_empty() {
            base(arg)
        } else {
            // With and without a slash at its end a base means the same, and it ends where a
            // component ends.
            let rest = self.bases.iter().find_map(|b| {
                let rest = arg.strip_prefix(trim_slashes(b))?;
                (rest.is_empty() || rest.starts_with(b"/") || trim_slashes(b).ends_with(b"/"))
                    .then_some(rest)
            })?;
            let rest = trim_slashes(rest);
            let start = rest.iter().position(|b| *b != b'/').unwrap_or(rest.len());
            rest.get(start..).unwrap_or_default().to_vec()
        };
        Some(match &self.dest {
            None => own,
            Some(dest) if !self.dest_is_dir || own.is_empty() => dest.clone(),
            Some(dest) => [dest, own.as_slice()].join(&b'/'),
        })
    }
}

/// The last component of an argument; empty if it names no entry of its own (`.`, `..`, `/`).
fn base(arg: &[u8]) -> Vec<u8> {
    match last(arg).as_bytes() {
        b"." | b".." => Vec::new(),
        last => last.to_vec(),
    }
}

/// The last component of an argument as it is written.
pub(super) fn last(arg: &[u8]) -> &OsStr {
    let mut components = trim_slashes(arg).rsplit(|b| *b == b'/');
    OsStr::from_bytes(components.next().unwrap_or_default())
}

/// An argument without the slashes at its end; the root stays what it is.
pub(crate) fn without_slashes(arg: &OsStr) -> &OsStr {
    match trim_slashes(arg.as_bytes()) {
        b"" => arg,
        trimmed => OsStr::from_bytes(trimmed),
    }
}

/// Whether a request to delete this name cannot hit a whole destination.
pub(super) fn may_be_deleted(name: &[u8]) -> bool {
    name.strip_prefix(b"/")
        .unwrap_or(name)
        .split(|b| *b == b'/')
        .all(|part| !matches!(part, b"" | b"." | b".."))
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |i| i + 1);
    path.get(..end).unwrap_or_default()
}
