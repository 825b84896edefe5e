//! Building of our programs, wherever the user's configuration of cargo puts them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{Failure, Result, command};

/// The programs of each suite.
pub const PROGRAMS: [&str; 4] = ["uftp", "uftpd", "uftpproxyd", "uftp_keymgt"];

/// Cargo, as it would be started from a shell. What cargo tells the programs it runs about their package
/// is not passed on: build scripts that look at it would run again, and all that needs them be built
/// again, with each program that calls cargo.
pub fn cargo() -> Command {
    let mut cargo = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// What cargo is told to build our programs. Alone, they have the features they are installed with; beside
/// others of the workspace they get those of the others too, and one build does not do for the other. On
/// standard output it says what [`programs_dir`] reads.
pub fn building(release: bool) -> Vec<String> {
    let mut args = vec!["build", "--locked"];
    args.extend(release.then_some("--release"));
    args.extend(PROGRAMS.iter().flat_map(|program| ["-p", program]));
    args.extend([
        "--message-format",
        "json-render-diagnostics",
        "--target-dir",
    ]);
    let mut args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    args.push(target_dir().to_string_lossy().into_owned());
    args
}

/// The directory of the programs, as cargo's messages name it: below [`target_dir`], deeper where the user
/// has set `build.target`.
///
/// # Errors
/// When they name no program of ours.
pub fn programs_dir(messages: &str) -> Result<PathBuf> {
    let mut built = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let program = Path::new(message.get("executable")?.as_str()?);
        let ours = PROGRAMS.iter().any(|name| program.ends_with(name));
        ours.then(|| program.parent().map(Path::to_owned))?
    });
    built
        .next()
        .ok_or_else(|| Failure::new("cargo built our programs, but does not say where they are"))
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

/// Builds our programs and says nothing unless that fails; the directory they are in.
pub(crate) fn build_quietly(release: bool) -> Result<PathBuf> {
    let manifest = workspace_root().join("Cargo.toml");
    let mut command = cargo();
    command.args(building(release));
    command.args(["--quiet", "--manifest-path"]).arg(manifest);
    let built = command
        .output()
        .map_err(|error| Failure::io(format!("cannot start {command:?}"), error))?;
    if built.status.success() {
        return programs_dir(&String::from_utf8_lossy(&built.stdout));
    }
    Err(Failure::new(format!(
        "{command:?} failed ({}): {}",
        built.status,
        String::from_utf8_lossy(&built.stderr).trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_where_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"libc"},"executable":null}
something a build script's program said
{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/elsewhere/other"}
{"reason":"compiler-artifact","target":{"name":"uftpd"},"executable":"/a \"ü\"/target/tuple/debug/uftpd"}
{"reason":"build-finished","success":true}
"#;
        let dir = programs_dir(messages).unwrap();
        assert_eq!(dir, Path::new("/a \"ü\"/target/tuple/debug"));
        assert!(programs_dir("").is_err());
    }

    #[test]
    fn cargo_does_not_hear_of_the_package_that_calls_it() {
        // Cargo has told this test of its own.
        assert!(env::var_os("CARGO_MANIFEST_DIR").is_some());
        let cargo = cargo();
        let removed = |name: &str| {
            let mut changes = cargo.get_envs();
            changes.any(|(changed, value)| changed == name && value.is_none())
        };
        assert!(removed("CARGO_MANIFEST_DIR"));
        assert!(removed("CARGO_PKG_NAME"));
        assert!(!removed("CARGO"));
    }
}
