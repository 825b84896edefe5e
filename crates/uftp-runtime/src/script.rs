//! The program that is run with what was received, `-s` (behaviour-sender-receiver §5.10, cli §8.4).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::unistd::{AccessFlags, close, eaccess};
use uftp_proto::Uid;
use uftp_proto::wire::CompleteStatus;

use crate::exit::Failure;
use crate::log::{self, Tag, printable};
use crate::status::receiver_word;

/// Memory for the thread that waits for a script, bytes.
const WAITER_STACK: usize = 64 * 1024;

/// A program to run after receiving, by its absolute path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PostReceive(PathBuf);

/// What it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) session: Tag,
    pub(crate) server: Uid,
    pub(crate) status: CompleteStatus,
    /// What was received, by absolute path.
    pub(crate) paths: &'a [PathBuf],
}

impl PostReceive {
    pub(crate) fn new(path: &Path) -> Self {
        PostReceive(path.to_owned())
    }

    /// Looks whether the program is there and this user may run it.
    ///
    /// # Errors
    /// It is not, or may not.
    pub(crate) fn try_out(path: &Path) -> Result<(), Failure> {
        let program = path.display();
        let accessible = eaccess(path, AccessFlags::X_OK);
        accessible.map_err(|error| {
            Failure::command_line(format!(
                "can't run postreceive script {program}: {error} (option -s)"
            ))
        })
    }

    /// Starts the program: no shell, nothing to read, nowhere to write, signals as if started by
    /// hand. It is not waited for; several may run at once. A failure is only logged.
    pub(crate) fn run(&self, call: Call<'_>) {
        let group = call.session.group.to_string();
        let mut words: Vec<OsString> = vec!["-I".into(), group.clone().into()];
        words.extend(call.paths.iter().map(|path| path.clone().into()));
        let told = printable(words.join(" ".as_ref()).as_encoded_bytes());
        let program = self.0.display();
        let say = |verbosity, text: std::fmt::Arguments<'_>| {
            log::line(verbosity, Some(call.session), text);
        };
        say(2, format_args!("Running postreceive: {program} {told}"));
        // Everything this program opens closes itself when another is executed.
        let started = Command::new(&self.0)
            .args(words)
            .env("UFTP_GROUP_ID", group)
            .env("UFTP_SERVER_UID", format!("{:08X}", call.server.0))
            .env("UFTP_STATUS", receiver_word(call.status))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(child) => reap(child, call.session),
            Err(error) => say(
                0,
                format_args!("Couldn't run {program}: {error} (option -s)"),
            ),
        }
    }
}

/// Takes note of the end of a script, whenever it comes.
fn reap(mut child: Child, session: Tag) {
    let wait = move || {
        let ended = child.wait().map(|status| status.to_string());
        let how = ended.unwrap_or_else(|error| error.to_string());
        log::line(3, Some(session), format_args!("Postreceive ended: {how}"));
    };
    let waiter = thread::Builder::new()
        .name("postreceive".into())
        .stack_size(WAITER_STACK)
        .spawn(wait);
    if let Err(error) = waiter {
        let text = format_args!("Couldn't wait for postreceive: {error}");
        log::line(1, Some(session), text);
    }
}

/// Closes what the one who started this program left open, so that no script gets it. To be called
/// before anything is opened.
pub(crate) fn close_inherited() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return; // no such place: nothing can be known
    };
    let numbers: Vec<i32> = open
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers.into_iter().filter(|n| *n > 2) {
        // The one the listing itself needed is closed already.
        let _ = close(number);
    }
}
