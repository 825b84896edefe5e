//! The two suites under test, and where their programs are.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{Failure, Result, command::run, reference::reference_dir};

/// The programs of each suite.
pub const PROGRAMS: [&str; 4] = ["uftp", "uftpd", "uftpproxyd", "uftp_keymgt"];

/// What cargo is told to build our programs. Alone, they have the features they are installed with; beside
/// others of the workspace they get those of the others too, and one build does not do for the other. They
/// go to [`target_dir`], wherever the user's configuration has cargo build.
pub fn building(release: bool) -> Vec<String> {
    let mut args = vec!["build", "--locked"];
    args.extend(release.then_some("--release"));
    args.extend(PROGRAMS.iter().flat_map(|program| ["-p", program]));
    args.push("--target-dir");
    let mut args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    args.push(target_dir().to_string_lossy().into_owned());
    args
}

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

/// The workspace's root directory.
pub(crate) fn workspace_root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Where cargo puts what it makes for this workspace.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(
        || workspace_root().join("target"),
        |dir| workspace_root().join(dir),
    )
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
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = workspace_root().join("Cargo.toml");
    let manifest = manifest.to_string_lossy();
    let release = !cfg!(debug_assertions);
    let mut args = building(release);
    args.extend(["--quiet", "--manifest-path", &manifest].map(str::to_owned));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(&cargo, &args, "")?;
    Ok(target_dir().join(if release { "release" } else { "debug" }))
}
