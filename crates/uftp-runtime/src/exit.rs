//! The exit codes of the programs, in one place (cli §2.4, §3.2).

use std::fmt;

use uftp_session::sender::Outcome;

/// How a program ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Exit {
    /// At least one receiver has at least one item; a daemon is running.
    Success = 0,
    /// Bad command line, unreadable list or status file, unusable directory.
    CommandLine = 1,
    /// Addresses, interfaces, sockets.
    Network = 2,
    /// Keys cannot be read, made or used.
    Keys = 3,
    /// The log cannot be opened.
    Log = 4,
    /// Memory or processes are exhausted, or the program itself failed.
    Resources = 5,
    /// SIGINT or SIGTERM.
    Interrupted = 6,
    /// Nobody registered.
    NobodyRegistered = 7,
    /// Nobody answered a FILEINFO.
    NobodyReady = 8,
    /// Every receiver was lost in the transfer.
    AllDropped = 9,
    /// No receiver took anything.
    NothingAccepted = 10,
}

impl Exit {
    /// The meaning of another process's exit code; a process that a signal ended has failed.
    pub fn from_code(code: Option<i32>) -> Exit {
        let all = [
            Exit::Success,
            Exit::CommandLine,
            Exit::Network,
            Exit::Keys,
            Exit::Log,
            Exit::Resources,
            Exit::Interrupted,
        ];
        let found = all.into_iter().find(|exit| Some(*exit as i32) == code);
        found.unwrap_or(Exit::Resources)
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Exit {
        match outcome {
            Outcome::Success => Exit::Success,
            Outcome::Interrupted => Exit::Interrupted,
            Outcome::NoKeys => Exit::Keys,
            Outcome::NobodyRegistered => Exit::NobodyRegistered,
            Outcome::NobodyReady => Exit::NobodyReady,
            Outcome::AllDropped => Exit::AllDropped,
            Outcome::NothingAccepted => Exit::NothingAccepted,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// Why a program cannot start or go on: one sentence for the user, and the code to end with.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) struct Failure {
    /// What to end with.
    pub exit: Exit,
    /// What happened and what to do.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    /// Ends with `exit` and says `message`.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure {
            exit,
            message: message.into(),
        }
    }

    /// Also says which option it is about.
    #[must_use]
    pub(crate) fn about(mut self, option: &str) -> Self {
        self.message += &format!(" (option {option})");
        self
    }

    /// Something on the command line is wrong.
    pub(crate) fn command_line(message: impl Into<String>) -> Self {
        Failure::new(Exit::CommandLine, message)
    }

    /// Something about the network is wrong.
    pub(crate) fn network(message: impl Into<String>) -> Self {
        Failure::new(Exit::Network, message)
    }
}
