//! The file of `--rate-steps`: how the rate answers to loss (wire-v3 §12.1).
//!
//! ```text
//! 0;1.2
//! 5;1
//! 100;0.5
//! min;100
//! max;2000
//! ```

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use uftp_session::sender::{RateSteps, RateTable};

use crate::exit::Failure;
use crate::say;

/// Longest file that is read, bytes.
const MAX_LEN: u64 = 64 << 10;

/// Bytes in a second at one Kbps, as options count rates.
const KBPS: u64 = 1024 / 8;

/// A file that is read whenever it is asked.
#[derive(Debug)]
pub(crate) struct StepsFile(PathBuf);

impl StepsFile {
    /// The file at `path`, which is read once to see that it is one.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub(crate) fn open(path: &Path) -> Result<StepsFile, Failure> {
        // The working directory of a daemon changes.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        read(&path).map_err(|why| {
            Failure::command_line(format!(
                "the rate steps of {} cannot be used: {why} (option --rate-steps)",
                path.display()
            ))
        })?;
        Ok(StepsFile(path))
    }
}

impl RateSteps for StepsFile {
    fn table(&self) -> Option<RateTable> {
        match read(&self.0) {
            Ok(table) => Some(table),
            Err(why) => {
                let path = self.0.display();
                say!(
                    1,
                    "The rate stays: the steps of {path} cannot be used: {why}"
                );
                None
            }
        }
    }
}

fn read(path: &Path) -> Result<RateTable, String> {
    let mut text = String::new();
    let len = File::open(path)
        .and_then(|file| file.take(MAX_LEN + 1).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    // The rest may say otherwise.
    if len as u64 > MAX_LEN {
        return Err(format!("it is longer than {} KiB", MAX_LEN >> 10));
    }
    parse(&text)
}

fn parse(text: &str) -> Result<RateTable, String> {
    let mut table = RateTable::default();
    let lines = text.lines().map(str::trim).enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let bad = |expected: &str| format!("line {} is '{line}': expected {expected}", at + 1);
        let form = "PERCENT;FACTOR, min;KBPS or max;KBPS";
        let (key, value) = line.split_once(';').ok_or_else(|| bad(form))?;
        let rate = || -> Result<u64, String> {
            let kbps: Option<u64> = value.parse().ok().filter(|kbps| *kbps > 0);
            let kbps = kbps.ok_or_else(|| bad("a rate in Kbps, at least 1"))?;
            Ok(kbps.saturating_mul(KBPS))
        };
        match key {
            "min" => {
                table.min = rate()?;
                continue;
            }
            "max" => {
                table.max = Some(rate()?);
                continue;
            }
            _ => {}
        }
        let number = |text: &str| {
            text.parse()
                .ok()
                .filter(|n: &f64| n.is_finite() && *n >= 0.0)
        };
        let step = number(key).zip(number(value)).ok_or_else(|| bad(form))?;
        if table
            .steps
            .last()
            .is_some_and(|(before, _)| *before >= step.0)
        {
            return Err(bad("a greater percentage than the line before"));
        }
        table.steps.push(step);
    }
    if table.steps.is_empty() {
        return Err("it has no steps".to_owned());
    }
    match table.max {
        Some(max) if max < table.min => Err("its max is below its min".to_owned()),
        _ => Ok(table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_long_is_not_read_in_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("steps");
        let text = |len: usize| "0;1\n100;0.5".to_owned() + &"\n# remark".repeat(len);
        std::fs::write(&path, text(10)).unwrap();
        assert!(read(&path).is_ok());
        std::fs::write(&path, text(10_000)).unwrap();
        assert_eq!(read(&path).unwrap_err(), "it is longer than 64 KiB");
    }

    #[test]
    fn lines_are_taken_apart() {
        let table = parse("# loss;factor\n0;1.2\n\n5;1\n100;0.5\nmax;2000\nmin;10").unwrap();
        assert_eq!(table.steps, [(0.0, 1.2), (5.0, 1.0), (100.0, 0.5)]);
        assert_eq!((table.min, table.max), (1280, Some(256_000)));
        for (text, says) in [
            ("", "no steps"),
            ("max;100", "no steps"),
            ("5", "line 1 is '5'"),
            ("5;x", "line 1"),
            ("5;-1", "line 1"),
            ("NaN;1", "line 1"),
            ("5;1\n5;0.5", "a greater percentage"),
            ("max;x", "a rate in Kbps"),
            ("min;0", "a rate in Kbps"),
            ("5;1\nmin;9\nmax;8", "max is below its min"),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.contains(says), "{text}: {told}");
        }
    }
}
