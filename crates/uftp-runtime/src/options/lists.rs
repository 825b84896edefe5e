//! Files with one entry a line (cli §6.1).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use uftp_proto::crypto::Fingerprint;

use crate::exit::Failure;
use crate::log::printable;

/// Longest list that is read, bytes.
const MAX_LEN: u64 = 64 << 20;

/// All of a list, a pipe included.
///
/// # Errors
/// It cannot be read, or is far longer than any list.
pub(super) fn read(list: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let len = list.take(MAX_LEN + 1).read_to_end(&mut bytes)?;
    match len as u64 > MAX_LEN {
        true => Err(io::Error::other(format!(
            "it is longer than {} MiB",
            MAX_LEN >> 20
        ))),
        false => Ok(bytes),
    }
}

/// A line of a file that says something.
pub(super) struct Line {
    /// What.
    pub text: String,
    path: PathBuf,
    number: usize,
}

/// The lines of a file that are neither empty nor remarks, which begin with `#`; `what` is in it.
///
/// # Errors
/// The file cannot be read.
pub(super) fn lines(path: &Path, what: &str) -> Result<Vec<Line>, Failure> {
    let bytes = File::open(path).and_then(read).map_err(|error| {
        let shown = path.display();
        Failure::command_line(format!("Couldn't open {what} {shown}: {error}"))
    })?;
    let lines = (1..).zip(bytes.split(|b| *b == b'\n'));
    let lines = lines.map(|(number, line)| (number, without_returns(line)));
    Ok(lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
        .map(|(number, line)| Line {
            text: printable(line),
            path: path.to_owned(),
            number,
        })
        .collect())
}

/// What stands in the field of a fingerprint, if there is one; a remark may follow.
///
/// # Errors
/// Nothing that is a fingerprint stands there: an entry must not pass for one without.
pub(super) fn fingerprint(field: Option<&str>) -> Result<Option<Fingerprint>, String> {
    let Some(field) = field else {
        return Ok(None);
    };
    let word = field.split_whitespace().next();
    let word = word.ok_or("the fingerprint is empty")?;
    let read = word.parse::<Fingerprint>();
    read.map(Some).map_err(|why| why.to_string())
}

/// Where lists are that are read again: the working directory of a daemon changes.
pub(super) fn absolute(paths: &[PathBuf]) -> Vec<PathBuf> {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    paths.iter().map(absolute).collect()
}

/// A line without the carriage returns at its end, however many.
pub(super) fn without_returns(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| *b != b'\r').map_or(0, |i| i + 1);
    line.get(..end).unwrap_or_default()
}

impl Line {
    /// What is wrong with it; `option` names the file.
    pub(super) fn wrong(&self, option: &str, why: &str) -> Failure {
        Failure::command_line(format!("{why} ({})", self.place(option)))
    }

    /// Where it stands; `option` names the file.
    pub(super) fn place(&self, option: &str) -> String {
        format!("option {option}, {}:{}", self.path.display(), self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let huge = dir.path().join("huge");
        File::create(&huge).unwrap().set_len(1 << 40).unwrap();
        for path in [huge.as_path(), Path::new("/dev/zero"), dir.path()] {
            let failure = lines(path, "host file").err().unwrap().to_string();
            let shown = format!("Couldn't open host file {}: ", path.display());
            assert!(failure.starts_with(&shown), "{failure}");
        }
    }

    #[test]
    fn what_is_no_text_becomes_some() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, b"one\n#two\n\nth\0r\xffee\r\nfour").unwrap();
        let lines = lines(&path, "host file").unwrap();
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["one", "th?r\u{fffd}ee", "four"]);
        assert!(lines[1].wrong("-H", "bad").to_string().contains("list:4"));
    }
}
