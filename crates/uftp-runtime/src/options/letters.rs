//! Letters of 3.x, some of which say other things in 4.x and 5.x (wire-v3 §12).
//!
//! They are replaced before the parser sees a word.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Command;

use super::{Order, takes_next_word};

/// What a letter is in 3.x.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Letter {
    /// A value follows; its long name here.
    Valued(&'static str),
    /// Its long name here; `None` means nothing here.
    Flag(Option<&'static str>),
}

/// What the letter before this value, if it has one, is in 3.x; `None` if it is what it is otherwise.
pub(super) type Meaning<'a> = &'a dyn Fn(u8, &str) -> Option<Letter>;

/// Replaces letters in `args` by the names that they have here.
pub(super) fn translate(
    args: &mut Vec<OsString>,
    command: &Command,
    order: Order,
    meaning: Meaning<'_>,
) {
    let program = args.len().min(1);
    let words = args.split_off(program);
    let reading = Reading {
        command,
        order,
        meaning,
    };
    args.extend(reading.translate(words));
}

/// What `-n` is to daemons, which hear every protocol: in 3.x the flag that is called `name` here,
/// which is told by an option behind it.
pub(super) fn no_names(letter: u8, value: &str, name: Option<&'static str>) -> Option<Letter> {
    let option = value.strip_prefix('-').and_then(|rest| rest.chars().next());
    let flag = letter == b'n' && option.is_some_and(|letter| letter.is_ascii_alphabetic());
    flag.then_some(Letter::Flag(name))
}

/// How the words of a command line are read.
struct Reading<'a> {
    command: &'a Command,
    order: Order,
    meaning: Meaning<'a>,
}

impl Reading<'_> {
    fn translate(&self, words: Vec<OsString>) -> Vec<OsString> {
        let mut told = Vec::with_capacity(words.len());
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            let bytes = word.as_bytes();
            let operand = bytes == b"-" || !bytes.starts_with(b"-");
            if bytes == b"--" || (operand && self.order == Order::OptionsFirst) {
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
            let text = value.and_then(OsStr::to_str).unwrap_or_default();
            match (self.meaning)(letter, text) {
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
}
