//! The letters of a sender of 3.x (wire-v3 §12.1).
//!
//! Who means what depends on the protocol. Where a letter has a meaning in both its value tells which:
//! no value fits both, or one of them is without effect in protocol 3.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Command;
use uftp_session::policy::{Clockwork, Policy};

use crate::options::letters::{self, Letter};
use crate::options::{Order, values};

/// Replaces the letters of 3.x in `args` by the names that they have here, if protocol 3 is asked for
/// there or in the `environment`.
pub(super) fn translate(
    args: &mut Vec<OsString>,
    command: &Command,
    environment: Option<&OsStr>,
    order: Order,
) {
    if is_of_3(args, environment) {
        let strikes = args.iter().any(|word| limits_naks(word));
        letters::translate(args, command, order, &|letter, value| {
            meaning(letter, value, strikes)
        });
    }
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

/// What a letter is in 3.x, if it is not what it is otherwise; with `strikes` -m belongs to -N.
fn meaning(letter: u8, text: &str, strikes: bool) -> Option<Letter> {
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
        b'm' if !strikes => Letter::Valued("least-time"),
        b'C' if !names_congestion_control(text) => Letter::Valued("rate-steps"),
        b'U' if !is_id(text) => Letter::Flag(Some("unicast")),
        // Nobody's name is looked up.
        b'n' if number().is_none() => Letter::Flag(None),
        _ => return None,
    })
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

    fn read(line: &str, environment: Option<&str>, order: Order) -> String {
        let mut args: Vec<_> = line.split(' ').map(OsString::from).collect();
        let environment = environment.map(OsStr::new);
        translate(&mut args, &command::<Args>(), environment, order);
        args.join(OsStr::new(" ")).into_string().unwrap()
    }

    /// What becomes of the words behind `--protocol 3`.
    fn of_3(words: &str) -> String {
        let told = read(&format!("uftp --protocol 3 {words}"), None, Order::Permute);
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
        let line = "uftp --protocol 3 f -A 5";
        assert_eq!(read(line, None, Order::OptionsFirst), line);
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
            assert_eq!(
                read(line, environment, Order::Permute),
                told,
                "{environment:?}"
            );
        }
        for (line, translated) in [
            ("uftp --protocol=3 -A5", true),
            ("uftp -A5 --protocol 3.4", true),
            ("uftp --protocol 3 --protocol 4 -A5", false),
            ("uftp -A5 -- --protocol 3", false),
        ] {
            let told = read(line, None, Order::Permute);
            assert_eq!(told.contains("--announce-time=5"), translated, "{line}");
        }
        assert!(!read("uftp --protocol 4 -A5", Some("3"), Order::Permute).contains("announce"));
    }
}
