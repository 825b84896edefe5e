//! Tasks that take root, of users who may be it: only what takes it is run by `sudo`, and what is built stays
//! the user's.

use std::{
    env,
    path::Path,
    process::{Command, ExitCode},
};

use nix::unistd::{getegid, geteuid};
use uftp_tests::{Failure, Result, run, target_dir};

use crate::packages::succeeds;

/// Whether commands can be run by root, without asking anybody.
pub(crate) fn may_be_root() -> bool {
    geteuid().is_root() || succeeds("sudo", &["-n", "true"])
}

/// Ends a task that takes root before it has built anything for it.
///
/// # Errors
/// When there is no way to be root, with what to do.
pub(crate) fn need_root(task: &str) -> Result<()> {
    if may_be_root() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{task} makes namespaces, which takes root, or a sudo that asks for no password: \
         sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask {task}"
    )))
}

/// How a program of a user is run by root, in the user's own environment; of that, what is named here
/// does not come through `sudo` by itself.
pub(crate) fn words_of_sudo(files: &Path) -> Vec<String> {
    let mut words = ["sudo", "-n", "-E", "env"].map(str::to_owned).to_vec();
    words.push(format!("TMPDIR={}", files.display()));
    for name in ["PATH", "HOME"] {
        let value = env::var_os(name);
        words.extend(value.map(|value| format!("{name}={}", value.display())));
    }
    words
}

/// Runs a command as root, and returns what it says.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn run_as_root(words: &[&str]) -> Result<String> {
    let words = by_sudo(geteuid().is_root(), words);
    let Some((program, args)) = words.split_first() else {
        return Ok(String::new());
    };
    run(program, args, "")
}

fn by_sudo<'a>(is_root: bool, words: &[&'a str]) -> Vec<&'a str> {
    let sudo: &[_] = if is_root { &[] } else { &["sudo", "-n"] };
    [sudo, words].concat()
}

/// Runs this task of a user again, by root; `None` if root is who runs it.
///
/// # Errors
/// When it cannot be started, or what it built cannot be given back.
pub(crate) fn run_again_as_root() -> Result<Option<ExitCode>> {
    if geteuid().is_root() {
        return Ok(None);
    }
    let again = || Failure::new("cannot run this task again by sudo".to_owned());
    let words = words_of_sudo(&env::temp_dir());
    let (sudo, args) = words.split_first().ok_or_else(again)?;
    let this = env::current_exe().map_err(|error| Failure::io("finding this program", error))?;
    let status = Command::new(sudo)
        .args(args)
        .arg(this)
        .args(env::args_os().skip(1))
        .status()
        .map_err(|error| Failure::io("cannot start sudo", error))?;
    give_back()?;
    Ok(Some(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }))
}

/// Makes what root has built for a user his own, or he could build nothing there any more.
///
/// # Errors
/// When `sudo` does not.
pub(crate) fn give_back() -> Result<()> {
    let owner = format!("{}:{}", geteuid(), getegid());
    let built = target_dir();
    let built = built.to_string_lossy();
    let words = ["-n", "chown", "-R", "--from=0", &owner, "--", &built];
    run("sudo", &words, "").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_users_go_by_sudo() {
        let script = ["sh", "try it", "package"];
        assert_eq!(by_sudo(true, &script), script);
        let users = ["sudo", "-n", "sh", "try it", "package"];
        assert_eq!(by_sudo(false, &script), users);
    }
}
