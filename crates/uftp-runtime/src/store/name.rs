//! Received names, made safe before anything touches the disk (behaviour-sender-receiver §5.5).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Longest component every supported file system takes, NAME_MAX.
const MAX_COMPONENT: usize = 255;

/// A received name as a way down from one of the destination directories.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// Index of the destination directory.
    pub(super) root: usize,
    /// Directories on the way.
    pub(super) parents: Vec<OsString>,
    /// The entry itself.
    pub(super) entry: OsString,
}

impl Target {
    /// The way down as one relative path.
    pub(super) fn path(&self) -> PathBuf {
        self.parents.iter().chain([&self.entry]).collect()
    }
}

/// Why a name is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name contains a NUL byte")]
    Nul,
    #[error("the name contains ..")]
    Parent,
    #[error("a component of the name is longer than {MAX_COMPONENT} bytes")]
    TooLong,
    #[error("the absolute name lies in no destination directory")]
    Outside,
}

/// Reads a received name. Relative names lie in the first of `roots`, absolute ones in the first
/// root that contains them; component by component, never by string prefix.
pub(super) fn resolve(name: &[u8], roots: &[&Path]) -> Result<Target, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.contains(&0) {
        return Err(NameError::Nul);
    }
    let (root, relative) = match name.strip_prefix(b"/") {
        None => (0, components(name)?),
        Some(rest) => within(components(rest)?, roots).ok_or(NameError::Outside)?,
    };
    let mut parents = relative;
    let entry = parents.pop().ok_or(NameError::Empty)?;
    Ok(Target {
        root,
        parents,
        entry,
    })
}

/// The components of a relative name. `.` and nothing mean nothing and are dropped: deployed senders
/// write `./a` for the contents of their working directory, and `x//a` where a base directory (`-E`)
/// was given without a slash at its end.
fn components(name: &[u8]) -> Result<Vec<OsString>, NameError> {
    let mut parts = Vec::new();
    for part in name.split(|b| *b == b'/') {
        // A sender on Windows may mean a separator by `\`; here it never is one, but what would
        // climb there climbs nowhere.
        if part.split(|b| *b == b'\\').any(|p| p == b"..") {
            return Err(NameError::Parent);
        }
        match part {
            b"" | b"." => {}
            _ if part.len() > MAX_COMPONENT => return Err(NameError::TooLong),
            _ => parts.push(OsString::from_vec(part.to_vec())),
        }
    }
    Ok(parts)
}

/// The first root above an absolute name, and the rest of the name.
fn within(name: Vec<OsString>, roots: &[&Path]) -> Option<(usize, Vec<OsString>)> {
    roots.iter().enumerate().find_map(|(index, root)| {
        let root: Vec<&OsStr> = named(root).collect();
        let above = name.len() > root.len() && name.iter().zip(&root).all(|(a, b)| a == b);
        above.then(|| (index, name.iter().skip(root.len()).cloned().collect()))
    })
}

/// The components of a path that name something.
pub(super) fn named(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(part),
        _ => None,
    })
}

/// The name a file has while it is being received, beside its final one.
pub(super) fn temporary(entry: &OsStr, tag: &str) -> OsString {
    let mut name = entry.as_bytes().to_vec();
    // The suffix says all that is needed; the rest is for people.
    name.truncate(MAX_COMPONENT.saturating_sub(tag.len()));
    name.extend_from_slice(tag.as_bytes());
    OsString::from_vec(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str) -> Result<(usize, String), NameError> {
        let roots = [Path::new("/srv/d1"), Path::new("/srv/e/")];
        let target = resolve(name.as_bytes(), &roots)?;
        let mut path = target.parents;
        path.push(target.entry);
        Ok((
            target.root,
            path.join(OsStr::new("/")).into_string().unwrap(),
        ))
    }

    #[test]
    fn names_that_stay_inside() {
        for (name, root, path) in [
            ("a", 0, "a"),
            ("./a", 0, "a"),
            ("a/./b", 0, "a/b"),
            ("a//b/", 0, "a/b"),
            ("a..b/..c/d..", 0, "a..b/..c/d.."),
            ("a\\b", 0, "a\\b"),
            ("/srv/d1/x", 0, "x"),
            ("/srv/e/x/y", 1, "x/y"),
            ("/srv/./e/x", 1, "x"),
            ("//srv/d1//x", 0, "x"),
        ] {
            assert_eq!(at(name), Ok((root, path.to_owned())), "{name}");
        }
    }

    #[test]
    fn names_that_are_refused() {
        let long = "n".repeat(256);
        for (name, why) in [
            ("", NameError::Empty),
            (".", NameError::Empty),
            ("./.", NameError::Empty),
            ("a\0b", NameError::Nul),
            ("/", NameError::Outside),
            ("..", NameError::Parent),
            ("a..b/../../x", NameError::Parent),
            ("a/..", NameError::Parent),
            ("a\\..\\b", NameError::Parent),
            ("/srv/d1/../x", NameError::Parent),
            (long.as_str(), NameError::TooLong),
            ("/etc/passwd", NameError::Outside),
            ("/srv/d1", NameError::Outside),
            ("/srv/d12/x", NameError::Outside),
            ("//etc/passwd", NameError::Outside),
        ] {
            assert_eq!(at(name), Err(why), "{name}");
        }
    }

    #[test]
    fn temporary_names_fit_the_file_system() {
        assert_eq!(temporary(OsStr::new("f"), ".~uftp-1"), "f.~uftp-1");
        let long = OsString::from("n".repeat(255));
        assert_eq!(temporary(&long, ".~uftp-1").len(), 255);
    }
}
