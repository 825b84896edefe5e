//! Command lines: as typed (one struct a program, one field an option) and as meant.
//!
//! The definitions feed parser and help alike. Reading follows getopt, which the C programs use:
//! clusters, attached and separated values, values that begin with `-`, repeated options of which
//! the last wins, options after file names unless `POSIXLY_CORRECT` is set (cli §1.1).

pub(crate) mod addresses;
pub(crate) mod clients;
pub(crate) mod common;
mod congestion;
mod files;
mod generation;
mod heartbeats;
mod hosts;
mod layers;
mod letters;
mod lists;
pub(crate) mod process;
mod protocol3;
mod response_proxy;
mod security;
pub(crate) mod servers;
pub mod uftp;
pub mod uftp_keymgt;
pub mod uftpd;
pub mod uftpproxyd;
mod values;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, FromArgMatches};
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use layers::Surroundings;

/// What a command line asks for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Parsed<T> {
    /// To do the work.
    Run(T),
    /// To show this on standard output: `--help`, `--version`.
    Show(String),
}

/// Where options may stand, in the words of getopt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Behind words that are none, too.
    Permute,
    /// They end at the first word that is none.
    OptionsFirst,
}

impl Order {
    /// What POSIXLY_CORRECT, set or not, asks for (cli §1).
    fn of_environment() -> Order {
        match std::env::var_os("POSIXLY_CORRECT") {
            Some(_) => Order::OptionsFirst,
            None => Order::Permute,
        }
    }
}

/// What a program tells its parser besides its options.
pub trait Program: CommandFactory + FromArgMatches {
    /// What is done with words that are no options; for the usage line.
    const OPERANDS: &'static str;

    /// What an option word of another age means today, if it is one.
    fn adapt(_word: &str) -> Option<Vec<String>> {
        None
    }

    /// Replaces letters that mean something else in the protocol that the words, or else the
    /// `environment`, ask for.
    fn translate(_words: &mut Vec<OsString>, _environment: Option<&OsStr>, _order: Order) {}
}

/// The command of a program with the manners of getopt.
pub fn command<T: Program>() -> Command {
    let plain = T::command();
    // Options in columns are easier to read than in paragraphs; what else there is to say follows.
    let about = plain
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let long = plain.get_long_about().map(ToString::to_string);
    let more = long.unwrap_or_default().replacen(&about, "", 1);
    let more = more.trim_start_matches('.').trim().to_owned();
    plain
        .after_help(more)
        .args_override_self(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(
            Arg::new("help")
                .long("help")
                .help("Show this help and exit")
                .help_heading(ASKING)
                .action(clap::ArgAction::HelpShort)
                .display_order(1000),
        )
        .arg(
            Arg::new("version")
                .long("version")
                .help("Show the version and exit")
                .help_heading(ASKING)
                .action(clap::ArgAction::Version)
                .display_order(1001),
        )
        .arg(
            Arg::new(COMPLETIONS)
                .long(COMPLETIONS)
                .value_name("SHELL")
                .help_heading(ASKING)
                .help("Show the completions for a shell and exit")
                .value_parser(clap::builder::EnumValueParser::<Shell>::new())
                .hide_possible_values(false)
                .display_order(1002),
        )
        .mut_args(|arg| {
            let hyphens = arg.get_action().takes_values() && !arg.is_positional();
            arg.allow_hyphen_values(hyphens)
        })
}

/// The script that completes the options of a program in a shell.
pub fn completions<T: Program>(shell: Shell) -> String {
    let mut command = command::<T>();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The shells there are completions for.
pub const SHELLS: [Shell; 5] = [
    Shell::Bash,
    Shell::Elvish,
    Shell::Fish,
    Shell::PowerShell,
    Shell::Zsh,
];

const ASKING: &str = "Help";
const COMPLETIONS: &str = "print-completions";

/// Reads a command line; `args` begins with the program's name.
///
/// # Errors
/// A sentence that names option, value and what was expected.
pub(crate) fn parse<T: Program>(
    args: impl IntoIterator<Item = OsString>,
) -> Result<Parsed<T>, Failure> {
    parse_within::<T>(args, Order::of_environment(), &Surroundings::real())
}

fn parse_within<T: Program>(
    args: impl IntoIterator<Item = OsString>,
    order: Order,
    around: &Surroundings,
) -> Result<Parsed<T>, Failure> {
    let command = command::<T>();
    let mut args: Vec<OsString> = args.into_iter().collect();
    adapt::<T>(&mut args, &command);
    T::translate(&mut args, around.protocol(), order);
    if order == Order::OptionsFirst {
        end_options_at_first_operand(&mut args, &command);
    }
    let typed = match command.clone().try_get_matches_from(&args) {
        Ok(typed) => typed,
        Err(error) => return shown_or_complaint(&command, &error),
    };
    if let Some(shell) = typed.get_one::<Shell>(COMPLETIONS) {
        return Ok(Parsed::Show(completions::<T>(*shell)));
    }
    let args = layers::with_weaker(&command, args, &typed, around)?;
    let read = command.clone().try_get_matches_from(args);
    match read.and_then(|matches| T::from_arg_matches(&matches)) {
        Ok(args) => Ok(Parsed::Run(args)),
        Err(error) => shown_or_complaint(&command, &error),
    }
}

/// What the parser stopped for.
fn shown_or_complaint<T>(command: &Command, error: &clap::Error) -> Result<Parsed<T>, Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Ok(Parsed::Show(error.render().to_string()))
        }
        _ => Err(Failure::command_line(explain(command, error))),
    }
}

/// Whether an option may be set elsewhere than on the command line.
fn is_settable(arg: &Arg) -> bool {
    arg.get_long().is_some() && !arg.is_hide_set() && arg.get_help_heading() != Some(ASKING)
}

/// What is told of a failure: its sentence, and the usage line if the command line is at fault.
pub(crate) fn complaint<T: Program>(failure: &Failure) -> String {
    let command = T::command();
    let name = command.get_name();
    let mut text = format!("{name}: {failure}");
    if failure.exit == Exit::CommandLine {
        text += &format!(
            "\nUsage: {name} [options] {}(--help lists the options)",
            T::OPERANDS
        );
    }
    text
}

/// A complaint in one sentence.
fn explain(command: &Command, error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let typed = text(ContextKind::InvalidArg).unwrap_or_default();
    let option = option_name(command, &typed);
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let cause = std::error::Error::source(error).map(ToString::to_string);
    match (error.kind(), cause) {
        (ErrorKind::ValueValidation, Some(cause)) => {
            format!("{cause} (option {option}, value '{value}')")
        }
        (ErrorKind::InvalidValue, _) if value.is_empty() => {
            format!("option {option} requires an argument")
        }
        (ErrorKind::InvalidValue, _) => {
            let known = text(ContextKind::ValidValue).unwrap_or_default();
            format!("Invalid value: expected one of {known} (option {option}, value '{value}')")
        }
        (ErrorKind::UnknownArgument, _) => format!("unknown option {typed}"),
        (ErrorKind::TooManyValues, _) => format!("option {option} takes no argument: '{value}'"),
        (ErrorKind::InvalidUtf8, _) => {
            "an option's value is not UTF-8; only file names may be".to_owned()
        }
        _ => error.to_string().trim().to_owned(),
    }
}

/// Both names of an option that clap calls `--name <VALUE>`.
fn option_name(command: &Command, typed: &str) -> String {
    let bare = typed.split(' ').next().unwrap_or_default();
    let found = command.get_arguments().find(|arg| {
        let long = bare.strip_prefix("--");
        let short = bare.strip_prefix('-').and_then(|s| s.chars().next());
        (long.is_some() && arg.get_long() == long)
            || (arg.get_short().is_some() && arg.get_short() == short)
    });
    match found.map(|arg| (arg.get_short(), arg.get_long())) {
        Some((Some(short), Some(long))) => format!("-{short} (--{long})"),
        _ => bare.to_owned(),
    }
}

/// Replaces option words of another age.
fn adapt<T: Program>(args: &mut Vec<OsString>, command: &Command) {
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        if arg.as_bytes() == b"--" {
            return;
        }
        let is_option = arg.as_bytes().starts_with(b"-");
        let today = arg.to_str().filter(|_| is_option).and_then(T::adapt);
        match today {
            Some(words) => {
                let count = words.len();
                args.splice(at..=at, words.into_iter().map(OsString::from));
                at += count;
            }
            None if is_option && takes_next_word(arg, command) => at += 2,
            None => at += 1,
        }
    }
}

/// Puts `--` before the first word that is neither an option nor an option's value.
fn end_options_at_first_operand(args: &mut Vec<OsString>, command: &Command) {
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        let bytes = arg.as_bytes();
        if bytes == b"--" {
            return;
        }
        if bytes == b"-" || !bytes.starts_with(b"-") {
            args.insert(at, OsString::from("--"));
            return;
        }
        at += if takes_next_word(arg, command) { 2 } else { 1 };
    }
}

/// Whether the value of the last option in this word is the next word.
fn takes_next_word(arg: &OsStr, command: &Command) -> bool {
    let takes_value = |a: &Arg| a.get_action().takes_values();
    let word = arg.to_string_lossy();
    if let Some(long) = word.strip_prefix("--") {
        let mut all = command.get_arguments();
        return all.any(|a| a.get_long() == Some(long) && takes_value(a));
    }
    let mut letters = word.chars().skip(1);
    while let Some(letter) = letters.next() {
        let found = command
            .get_arguments()
            .find(|a| a.get_short() == Some(letter));
        if found.is_some_and(takes_value) {
            return letters.next().is_none();
        }
    }
    false
}

/// As [`parse`], with nothing around.
#[cfg(test)]
fn parse_as<T: Program>(
    args: impl IntoIterator<Item = OsString>,
    order: Order,
) -> Result<Parsed<T>, Failure> {
    let nothing = Surroundings {
        system: "/nowhere".into(),
        environment: Vec::new(),
    };
    parse_within::<T>(args, order, &nothing)
}

#[cfg(test)]
mod tests;
