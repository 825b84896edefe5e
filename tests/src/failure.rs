//! The one error of the harness: a sentence for the person who reads the failed test.

use std::fmt;

/// Why a world could not be built or a program did not do what the test needed.
///
/// It carries the whole sentence; tests return it, so `Debug` is the same text as `Display`.
pub struct Failure(String);

/// What every function of the harness returns.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure told by `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The failure of something the operating system was asked to do, `doing` what.
    pub fn io(doing: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self(format!("{doing}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl std::error::Error for Failure {}
