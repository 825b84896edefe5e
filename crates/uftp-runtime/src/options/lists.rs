//! Files with one entry a line (cli §6.1).

use std::path::{Path, PathBuf};

use crate::exit::Failure;
use crate::log::printable;

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
    let bytes = std::fs::read(path).map_err(|error| {
        let shown = path.display();
        Failure::command_line(format!("Couldn't open {what} {shown}: {error}"))
    })?;
    let lines = (1..).zip(bytes.split(|b| *b == b'\n'));
    let lines = lines.map(|(number, line)| (number, line.strip_suffix(b"\r").unwrap_or(line)));
    Ok(lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
        .map(|(number, line)| Line {
            text: printable(line),
            path: path.to_owned(),
            number,
        })
        .collect())
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
