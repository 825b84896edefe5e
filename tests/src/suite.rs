//! The two suites under test, and where their programs are.

use std::{env, ffi::OsString, path::PathBuf, sync::OnceLock};

use crate::{Failure, Result, building::build_quietly, reference::reference_dir};

/// Whose programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// This workspace's: from `UFTP_BIN_DIR`, else built on demand.
    Ours,
    /// Debian's `uftp` 4.10.2, see [`reference_dir`].
    Reference,
}

impl Suite {
    /// The path of `program` (`uftp`, `uftpd`, …) of this suite.
    ///
    /// # Errors
    /// When it cannot be built, fetched or found.
    pub fn program(self, program: &str) -> Result<PathBuf> {
        let dir = match self {
            Self::Ours => our_dir()?,
            Self::Reference => reference_dir()?,
        };
        let path = dir.join(program);
        if path.is_file() {
            Ok(path)
        } else {
            Err(Failure::new(format!(
                "there is no {program} in {} ({self:?})",
                dir.display()
            )))
        }
    }

    /// What every program of this suite is told: `--offload` with the value of
    /// `UFTP_TEST_OFFLOAD`, if that is set, so that any test can be run with and without the
    /// kernel's short cuts.
    pub(crate) fn standing_args(self) -> Vec<OsString> {
        match (self, env::var_os("UFTP_TEST_OFFLOAD")) {
            (Self::Ours, Some(how)) => vec!["--offload".into(), how],
            _ => Vec::new(),
        }
    }

    /// A short name for tables and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Reference => "reference",
        }
    }
}

/// The directory of our programs, built in the profile of the caller the first time it is asked for.
fn our_dir() -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build_ours().map_err(|failure| failure.to_string()))
        .clone()
        .map_err(Failure::new)
}

fn build_ours() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("UFTP_BIN_DIR") {
        return Ok(PathBuf::from(dir));
    }
    build_quietly(!cfg!(debug_assertions))
}
