//! Status files of both programs: lines of fields parted by semicolons (cli §6.3).

use std::path::Path;

use crate::{Failure, Result};

/// One line of a status file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusLine {
    fields: Vec<String>,
}

impl StatusLine {
    /// The first field: `CONNECT`, `RESULT`, `STATS`, …
    pub fn kind(&self) -> &str {
        self.field(0)
    }

    /// Field number `index`, the kind being 0; empty when the line is shorter.
    pub fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", String::as_str)
    }
}

/// The lines of the status file at `path`; none when the file does not exist yet.
///
/// # Errors
/// When the file exists and cannot be read as text.
pub fn read_status(path: &Path) -> Result<Vec<StatusLine>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text
            .lines()
            .map(|line| StatusLine {
                fields: line.split(';').map(str::to_owned).collect(),
            })
            .collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Failure::io(format!("reading {}", path.display()), error)),
    }
}
