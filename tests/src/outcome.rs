//! What sessions leave behind, in a form in which runs of different programs can be compared.

use std::{
    fmt::{self, Write as _},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{Failure, Result};

/// What one or more sessions left, with everything masked that differs from run to run: times,
/// speeds, numbers of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Exit codes of the senders.
    pub codes: Vec<Option<i32>>,
    /// Lines of the sender's status file.
    pub sender: Vec<String>,
    /// Lines of the receiver's status file.
    pub receiver: Vec<String>,
    /// What lies in the receiver's directories, a line for each entry.
    pub tree: Vec<String>,
    /// Whatever else the scenario looks at.
    pub notes: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit codes {:?}", self.codes)?;
        for (what, lines) in [
            ("sender's status", &self.sender),
            ("receiver's status", &self.receiver),
            ("receiver's files", &self.tree),
            ("notes", &self.notes),
        ] {
            writeln!(f, "{what}:")?;
            lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}

/// The lines of a status file of either program with times, speeds and numbers of groups masked.
pub fn masked_status(text: &str) -> Vec<String> {
    text.lines().map(masked_line).collect()
}

fn masked_line(line: &str) -> String {
    let number = |field: &&str| {
        field
            .chars()
            .all(|c| c.is_ascii_digit() || "./-:".contains(c))
    };
    let fields: Vec<&str> = line.split(';').collect();
    let masked: Vec<&str> = match fields.as_slice() {
        // RESULT and CONNECT of a receiver
        [kind @ ("RESULT" | "CONNECT"), time, server, _, rest @ ..]
            if time.contains('/') && number(time) =>
        {
            [&[*kind, "TIME", *server, "GROUP"], rest].concat()
        }
        ["RESULT", rest @ .., speed] if speed.ends_with("KB/s") => {
            [&["RESULT"], rest, &["SPEED"]].concat()
        }
        ["FREESPACE", name, bytes] if number(bytes) => vec!["FREESPACE", *name, "BYTES"],
        ["STATS", rest @ .., _, _] => [&["STATS"], rest, &["SECONDS", "SPEED"]].concat(),
        other => other.to_vec(),
    };
    masked.join(";")
}

/// `text` with each word that stands for a group, a date, a time or a temporary name replaced.
pub fn masked_names(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let all = |test: fn(char) -> bool| word.chars().all(test);
        let shown = match word.len() {
            8 if all(|c| c.is_ascii_digit()) && word.starts_with("20") => "DATE",
            8 if all(|c| c.is_ascii_digit() || ('A'..='F').contains(&c)) => "GROUP",
            6 if all(|c| c.is_ascii_digit()) => "TIME",
            _ => &word,
        };
        masked.push_str(shown);
        word.clear();
        if c != '\0' {
            masked.push(c);
        }
    }
    masked
}

/// What lies below `dir`, a line for each entry: its path below `dir` as `shown` makes it, kind, size,
/// mode, and of regular files the time in seconds.
///
/// # Errors
/// When it cannot be read.
pub fn listing(dir: &Path, shown: impl Fn(&str) -> String) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut to_visit = vec![PathBuf::new()];
    while let Some(below) = to_visit.pop() {
        let path = dir.join(&below);
        let doing = |error| Failure::io(format!("reading {}", path.display()), error);
        for entry in fs::read_dir(&path).map_err(doing)? {
            let entry = entry.map_err(doing)?;
            let relative = below.join(entry.file_name());
            let mut line = shown(&relative.to_string_lossy());
            describe(&entry, &mut line).map_err(doing)?;
            lines.push(line);
            if entry.file_type().map_err(doing)?.is_dir() {
                to_visit.push(relative);
            }
        }
    }
    lines.sort();
    Ok(lines)
}

fn describe(entry: &fs::DirEntry, line: &mut String) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let meta = entry.metadata()?;
    let mode = meta.permissions().mode() & 0o7777;
    // Writing to a string does not fail.
    let _ = if meta.is_dir() {
        write!(line, " directory {mode:o}")
    } else if meta.is_symlink() {
        write!(line, " -> {}", fs::read_link(entry.path())?.display())
    } else {
        let since = meta.modified()?.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or_default().as_secs();
        write!(line, " {} bytes {mode:o} of {seconds}", meta.len())
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_run_to_run_is_masked() {
        let text = "CONNECT;success;0x1\n\
             RESULT;0x1;a;b;97KB;copy;7252.60KB/s\n\
             RESULT;0x1;c;0KB;skipped;\n\
             FREESPACE;.;76487655424\n\
             STATS;0x1;1;0;0;0MB;0.013;7252.60KB/s\n\
             CONNECT;2026/11/21-11:04:07;0A4D0001;9C3D29DE;10.77.0.1;10.77.0.1\n\
             RESULT;2026/11/21-11:04:07;0A4D0001;9C3D29DE;f1;97KB;copied\n";
        let want = [
            "CONNECT;success;0x1",
            "RESULT;0x1;a;b;97KB;copy;SPEED",
            "RESULT;0x1;c;0KB;skipped;",
            "FREESPACE;.;BYTES",
            "STATS;0x1;1;0;0;0MB;SECONDS;SPEED",
            "CONNECT;TIME;0A4D0001;GROUP;10.77.0.1;10.77.0.1",
            "RESULT;TIME;0A4D0001;GROUP;f1;97KB;copied",
        ];
        assert_eq!(masked_status(text), want);
        assert_eq!(
            masked_names("kept/20261121/110407/f.~uftp-9C3D29DE-0001"),
            "kept/DATE/TIME/f.~uftp-GROUP-0001"
        );
        assert_eq!(masked_names("-I 1CDC0C5C /d/tree"), "-I GROUP /d/tree");
    }
}
