//! What the programs in a world have said.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use crate::World;

/// What programs say, in small letters, when something goes wrong.
const TROUBLES: [&str; 9] = [
    "abort",
    "not fully",
    "lost",
    "timed out",
    "timeout",
    "reject",
    "unconfirmed",
    "error",
    "panic",
];

/// Most such lines of one program that are told.
const MOST_TROUBLES: usize = 20;

impl World {
    /// Lines in which programs say that something went wrong, each with whose it is: short enough
    /// for the end of a report.
    pub fn troubles(&self) -> String {
        let told = |line: &&str| {
            let line = line.to_lowercase();
            TROUBLES.iter().any(|word| line.contains(word))
        };
        let mut found = String::new();
        for path in self.logs() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = end_of(&path).unwrap_or_default();
            for line in text.lines().filter(told).take(MOST_TROUBLES) {
                found += &format!("{name}: {line}\n");
            }
        }
        found
    }

    fn logs(&self) -> Vec<PathBuf> {
        let mut logs: Vec<PathBuf> = fs::read_dir(self.dir())
            .map(|entries| {
                entries
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .collect()
            })
            .unwrap_or_default();
        logs.retain(|path| {
            path.extension()
                .is_some_and(|kind| kind == "log" || kind == "status")
        });
        logs.sort();
        logs
    }

    pub(crate) fn print_logs(&self) {
        for path in self.logs() {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy())
                .unwrap_or_default();
            match end_of(&path) {
                Ok(text) => eprintln!("--- {name}\n{text}"),
                Err(error) => eprintln!("--- {name}: {error}"),
            }
        }
    }
}

/// What a log file ends with; programs that spin may have written a great deal.
fn end_of(path: &Path) -> std::io::Result<String> {
    const SHOWN: u64 = 6_000;
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(SHOWN)))?;
    file.take(SHOWN).read_to_end(&mut end)?;
    let cut = if length > SHOWN { "… " } else { "" };
    Ok(format!("{cut}{}", String::from_utf8_lossy(&end)))
}
