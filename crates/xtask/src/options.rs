//! Reading of the few options tasks have.

use std::{collections::VecDeque, fmt::Display, str::FromStr};

use uftp_tests::{Failure, Result};

/// The words of the command line that are still to be read.
pub(crate) struct Options(VecDeque<String>);

impl Options {
    pub(crate) fn new(words: impl Iterator<Item = String>) -> Self {
        Self(words.collect())
    }

    /// The next word.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.0.pop_front()
    }

    /// Whether one of the words left asks what there is to say.
    pub(crate) fn ask_for_help(&self) -> bool {
        self.0.iter().any(|word| word == "--help" || word == "-h")
    }

    /// All words that are left.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.0.drain(..).collect()
    }

    /// The value that must follow `option`.
    ///
    /// # Errors
    /// When there is none, or it is not of that type.
    pub(crate) fn value<T: FromStr<Err: Display>>(&mut self, option: &str) -> Result<T> {
        let word = self
            .next()
            .ok_or_else(|| Failure::new(format!("{option} needs a value")))?;
        word.parse()
            .map_err(|error| Failure::new(format!("{option} {word}: {error}")))
    }
}
