//! The letters of 3.x, some of which say other things in 4.x and 5.x (wire-v3 §12.1).
//!
//! They are read before the parser sees a word, for who means what depends on the protocol. Where a
//! letter has a meaning in both its value tells which: no value fits both, or one of them is without
//! effect in protocol 3.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Command;
use uftp_session::policy::{Clockwork, Policy};

use crate::options::{takes_next_word, values};

/// What a letter is in 3.x.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Letter {
    /// A value follows; its long name here.
    Valued(&'static str),
    /// Its long name here; `None` means nothing here.
    Flag(Option<&'static str>),
}

/// Words of a command line that may be one of 3.x.
struct Reading<'a> {
    command: &'a Command,
    /// Words are read as file names from the first on.
    posix: bool,
    /// `-N` is given, which 3.x has not, so `-m` belongs to it.
    strikes: bool,
}

/// Replaces the letters of 3.x in `args` by the names that they have here, if protocol 3 is asked for
/// there or in the `environment`.
pub(super) fn translate(
    args: &mut Vec<OsString>,
    command: &Command,
    environment: Option<&OsStr>,
    posix: bool,
) {
    if !is_of_3(args, environment) {
        return;
    }
    let program = args.len().min(1);
    let words = args.split_off(program);
    let reading = Reading {
        command,
        posix,
        strikes: words.iter().any(|word| limits_naks(word)),
    };
    args.extend(reading.translate(words));
}

/// Whether the last word on the protocol is 3.
fn is_of_3(args: &[OsString], environment: Option<&OsStr>) -> bool {
    let mut chosen = environment;
    let mut words = args.iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_bytes() {
            b"--" => break,
            b"--protocol" => chosen = words.next().map(OsString::as_os_str),
            word => {
                let attached = word.strip_prefix(b"--protocol=");
                chosen = attached.map(OsStr::from_bytes).or(chosen);
            }
        }
    }
    let version = chosen.and_then(OsStr::to_str).map(values::protocol);
    version.is_some_and(|v| v.is_ok_and(|v| Policy::of(v).clockwork == Clockwork::Fixed))
}

fn limits_naks(word: &OsStr) -> bool {
    let word = word.as_bytes();
    word.starts_with(b"-N") || word.starts_with(b"--max-nak-percent")
}

impl Reading<'_> {
    fn translate(&self, words: Vec<OsString>) -> Vec<OsString> {
        let mut told = Vec::with_capacity(words.len());
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            let bytes = word.as_bytes();
            let operand = bytes == b"-" || !bytes.starts_with(b"-");
            if bytes == b"--" || (operand && self.posix) {
                told.push(word);
                break;
            }
            if operand || bytes.starts_with(b"--") {
                let valued = !operand && takes_next_word(&word, self.command);
                told.push(word);
                told.extend(words.next_if(|_| valued));
                continue;
            }
            let next = words.peek().map(OsString::as_os_str);
            if self.cluster(bytes, next, &mut told) {
                words.next();
            }
        }
        told.extend(words);
        told
    }

    /// The letters of one word. Returns whether the `next` word is the value of the last.
    fn cluster(&self, word: &[u8], next: Option<&OsStr>, told: &mut Vec<OsString>) -> bool {
        let mut letters = word.get(1..).unwrap_or_default();
        while let Some((&letter, rest)) = letters.split_first() {
            let attached = Some(OsStr::from_bytes(rest)).filter(|rest| !rest.is_empty());
            let value = attached.or(next);
            match self.meaning(letter, value) {
                Some(Letter::Valued(name)) => {
                    let mut option = OsString::from(format!("--{name}"));
                    if let Some(value) = value {
                        option.push("=");
                        option.push(value);
                    }
                    told.push(option);
                    return attached.is_none() && next.is_some();
                }
                Some(Letter::Flag(name)) => {
                    told.extend(name.map(|name| OsString::from(format!("--{name}"))));
                }
                None if self.is_flag(letter) => {
                    told.push(OsStr::from_bytes(&[b'-', letter]).to_owned());
                }
                None => {
                    let as_it_is = [b"-", letters].concat();
                    let as_it_is = OsStr::from_bytes(&as_it_is);
                    told.push(as_it_is.to_owned());
                    let valued = takes_next_word(as_it_is, self.command);
                    told.extend(next.filter(|_| valued).map(OsStr::to_owned));
                    return valued && next.is_some();
                }
            }
            letters = rest;
        }
        false
    }

    fn is_flag(&self, letter: u8) -> bool {
        let mut all = self.command.get_arguments();
        let found = all.find(|arg| arg.get_short() == Some(letter.into()));
        found.is_some_and(|arg| !arg.get_action().takes_values())
    }

    /// What a letter is in 3.x, if it is not what it is otherwise.
    fn meaning(&self, letter: u8, value: Option<&OsStr>) -> Option<Letter> {
        let text = value.and_then(OsStr::to_str).unwrap_or_default();
        let number = || text.parse::<u32>().ok();
        let is_number = |test: fn(u32) -> bool| number().is_some_and(test);
        Some(match letter {
            b'A' => Letter::Valued("announce-time"),
            b'b' => Letter::Valued("mtu"),
            b'd' => Letter::Valued("done-interval"),
            b'v' => Letter::Valued("log-level"),
            b'S' if number().is_some() => Letter::Valued("status-time"),
            // More passes than 255 there never are.
            b'a' if is_number(|n| n > 255) => Letter::Valued("announce-interval"),
            // Else a robustness factor, which is refused.
            b's' if is_number(|n| !(10..=50).contains(&n)) => Letter::Valued("status-interval"),
            // Else a round trip time, which is refused.
            b'r' if is_number(|n| n >= 500) => Letter::Valued("register-interval"),
            b'm' if !self.strikes => Letter::Valued("least-time"),
            b'C' if !names_congestion_control(text) => Letter::Valued("rate-steps"),
            b'U' if !is_id(text) => Letter::Flag(Some("unicast")),
            // Nobody's name is looked up.
            b'n' if number().is_none() => Letter::Flag(None),
            _ => return None,
        })
    }
}

fn names_congestion_control(text: &str) -> bool {
    matches!(text.split(':').next(), Some("none" | "tfmcc" | "pgmcc"))
}

/// Whether a word can be an id rather than a name.
fn is_id(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && values::uid(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::command;
    use crate::options::uftp::Args;

    fn read(line: &str, environment: Option<&str>, posix: bool) -> String {
        let mut args: Vec<_> = line.split(' ').map(OsString::from).collect();
        let environment = environment.map(OsStr::new);
        translate(&mut args, &command::<Args>(), environment, posix);
        args.join(OsStr::new(" ")).into_string().unwrap()
    }

    /// What becomes of the words behind `--protocol 3`.
    fn of_3(words: &str) -> String {
        let told = read(&format!("uftp --protocol 3 {words}"), None, false);
        told.replacen("uftp --protocol 3 ", "", 1)
    }

    #[test]
    fn letters_of_3_have_names_here() {
        for (typed, told) in [
            ("-A 5 f", "--announce-time=5 f"),
            ("-S12 f", "--status-time=12 f"),
            (
                "-a 600 -s 500",
                "--announce-interval=600 --status-interval=500",
            ),
            (
                "-r 900 -d 4000",
                "--register-interval=900 --done-interval=4000",
            ),
            ("-b 576 -W 110 -m 10", "--mtu=576 -W 110 --least-time=10"),
            ("-C steps -v 3", "--rate-steps=steps --log-level=3"),
            ("-U -H a f", "--unicast -H a f"),
            ("-nUz f", "--unicast -z f"),
            ("-fn f", "-f f"),
            ("-zA5 f", "-z --announce-time=5 f"),
            ("-A", "--announce-time"),
            ("-A -1", "--announce-time=-1"),
            ("f -A 5", "f --announce-time=5"),
        ] {
            assert_eq!(of_3(typed), told, "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_of_3_stays() {
        for words in [
            "-S status -U 0x0A -U 0A -U0.1.2.3 -n 5 -a 9 -N 50 -m 3",
            "-s 20 -r 0.5 -r 1:2:3 -C tfmcc:max=100 -C none",
            "-H -A -k -d -Y aes128 -- -A 5",
            "--port -A -qA5x1",
            "- -x 4",
            "-Qé -é -x",
        ] {
            let told = of_3(words).replace("-q --announce-time=5x1", "-qA5x1");
            assert_eq!(told, words);
        }
        let posix = "uftp --protocol 3 f -A 5";
        assert_eq!(read(posix, None, true), posix);
    }

    #[test]
    fn the_last_word_on_the_protocol_counts() {
        let line = "uftp -A 5 f";
        let translated = "uftp --announce-time=5 f";
        for (environment, told) in [
            (None, line),
            (Some("5"), line),
            (Some("junk"), line),
            (Some("3"), translated),
            (Some("3.6"), translated),
        ] {
            assert_eq!(read(line, environment, false), told, "{environment:?}");
        }
        for (line, translated) in [
            ("uftp --protocol=3 -A5", true),
            ("uftp -A5 --protocol 3.4", true),
            ("uftp --protocol 3 --protocol 4 -A5", false),
            ("uftp -A5 -- --protocol 3", false),
        ] {
            let told = read(line, None, false);
            assert_eq!(told.contains("--announce-time=5"), translated, "{line}");
        }
        assert!(!read("uftp --protocol 4 -A5", Some("3"), false).contains("announce"));
    }
}
