//! What documents say about the code.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use uftp_runtime::options::{command, uftp, uftp_keymgt, uftpd, uftpproxyd};

/// All sources, with paths from the root of the repository.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The pages people read, and what they say.
fn pages() -> io::Result<Vec<(PathBuf, String)>> {
    let mut pages = vec![root().join("README.md")];
    for entry in fs::read_dir(root().join("docs"))? {
        pages.push(entry?.path());
    }
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let read = |path: PathBuf| Ok((path.clone(), fs::read_to_string(path)?));
    pages.into_iter().map(read).collect()
}

/// What stands between backquotes on one line.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    page.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The definition of a program.
fn program(name: &str) -> Option<clap::Command> {
    match name {
        "uftp" => Some(command::<uftp::Args>()),
        "uftpd" => Some(command::<uftpd::Args>()),
        "uftpproxyd" => Some(command::<uftpproxyd::Args>()),
        "uftp_keymgt" => Some(command::<uftp_keymgt::Args>()),
        _ => None,
    }
}

/// Whether a program has the option that `word` is or begins with.
fn has(program: &clap::Command, word: &str) -> bool {
    let mut all = program.get_arguments();
    match word.strip_prefix("--") {
        Some(long) => {
            let long = long.split('=').next();
            all.any(|arg| {
                arg.get_long_and_visible_aliases()
                    .into_iter()
                    .flatten()
                    .any(|name| Some(name) == long)
            })
        }
        None => all.any(|arg| arg.get_short() == word.chars().nth(1)),
    }
}

/// Each line of a program that a page shows is one that the program reads.
#[test]
fn command_lines_shown_are_read() {
    let mut shown = 0;
    for (path, page) in pages().unwrap() {
        for line in page.lines().filter_map(|line| line.strip_prefix("    ")) {
            let line = line.split(" #").next().unwrap_or_default();
            let words = line
                .split_whitespace()
                .skip_while(|word| word.starts_with("UFTP_"));
            let words: Vec<_> = words.collect();
            let Some(program) = words.first().and_then(|name| program(name)) else {
                continue;
            };
            shown += 1;
            let read = program.try_get_matches_from(words);
            assert!(
                read.is_ok(),
                "{}: {line}: {}",
                path.display(),
                read.unwrap_err()
            );
        }
    }
    assert!(shown > 20, "{shown} lines");
}

/// Each option that a page names is one of the program it is named for, else of any.
#[test]
fn options_named_exist() {
    let names = ["uftp", "uftpd", "uftpproxyd", "uftp_keymgt"];
    let all: Vec<_> = names.into_iter().filter_map(program).collect();
    let tasks = fs::read_to_string(root().join("crates/xtask/src/main.rs")).unwrap();
    let mut named = 0;
    for (path, page) in pages().unwrap() {
        for code in quoted(&page) {
            if let Some(task) = code.strip_prefix("cargo xtask ") {
                let task = task.split(' ').next().unwrap_or_default();
                assert!(tasks.contains(&format!("Some(\"{task}\"")), "{task}");
            }
            let mut words = code.split_whitespace().peekable();
            let one = words.peek().and_then(|name| program(name));
            // What other programs are called with.
            if one.is_none() && !code.starts_with("--") {
                continue;
            }
            for word in words.filter(|word| {
                word.starts_with('-') && word.trim_matches('-').starts_with(char::is_alphabetic)
            }) {
                named += 1;
                let found = match &one {
                    Some(program) => has(program, word),
                    None => {
                        all.iter().any(|program| has(program, word))
                            || tasks.contains(&format!("      {word} "))
                    }
                };
                assert!(found, "{}: {word} of `{code}`", path.display());
            }
        }
    }
    assert!(named > 100, "{named} options");
}

/// Each page that is linked and each file that is named by a path is there.
#[test]
fn files_named_exist() {
    let mut files = Vec::new();
    sources(root(), &mut files);
    let mut named = 0;
    for (path, page) in pages().unwrap() {
        for link in page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next())
        {
            if link.is_empty() || link.contains("://") {
                continue;
            }
            named += 1;
            assert!(
                path.with_file_name(link).exists(),
                "{}: {link}",
                path.display()
            );
        }
        for code in quoted(&page) {
            let of_tree = ["crates/", "docs/", "packaging/", "tests/", ".ci/"];
            if of_tree.iter().any(|dir| code.starts_with(dir)) {
                named += 1;
                assert!(root().join(code).exists(), "{}: {code}", path.display());
            } else if code.ends_with(".rs") && !code.contains(' ') {
                named += 1;
                let found = files.iter().any(|file| file.ends_with(code));
                assert!(found, "{}: {code}", path.display());
            }
        }
    }
    assert!(named > 30, "{named} files");
}

/// Each `file.rs` in `docs/protocol3.md` is there, and each `file.rs::test` in one of that name.
#[test]
fn files_and_tests_named_for_protocol_3_exist() {
    let mut files = Vec::new();
    sources(root(), &mut files);
    let text = fs::read_to_string(root().join("docs/protocol3.md")).unwrap();
    let mut named = 0;
    for word in text.split('`').skip(1).step_by(2) {
        let (file, test) = match word.split_once("::") {
            Some((file, test)) => (file, Some(test)),
            None => (word, None),
        };
        if !file.ends_with(".rs") {
            continue;
        }
        named += 1;
        let mut candidates = files.iter().filter(|path| path.ends_with(file)).peekable();
        assert!(candidates.peek().is_some(), "no file {file}");
        let Some(test) = test else { continue };
        let function = format!("fn {test}(");
        let has = |path: &PathBuf| fs::read_to_string(path).unwrap().contains(&function);
        assert!(candidates.any(has), "no test {test} in {file}");
    }
    assert!(named > 80, "{named} names");
}

/// Every message of the protocol has its line.
#[test]
fn no_message_of_protocol_3_is_left_out() {
    let text = fs::read_to_string(root().join("docs/protocol3.md")).unwrap();
    for (number, message) in [
        ("1", "ANNOUNCE"),
        ("2", "REGISTER"),
        ("3", "CLIENT_KEY"),
        ("4", "REG_CONF"),
        ("5", "FILEINFO"),
        ("6", "KEYINFO"),
        ("7", "INFO_ACK"),
        ("8", "FILESEG"),
        ("9", "DONE"),
        ("10", "STATUS"),
        ("11", "PRSTATUS"),
        ("12", "COMPLETE"),
        ("13", "DONE_CONF"),
        ("14, 15", "HB_REQ, HB_RESP"),
        ("16, 17", "KEY_REQ, PROXY_KEY"),
        ("80", "ENCRYPTED"),
        ("99", "ABORT"),
    ] {
        let line = format!("| {number} | {message} |");
        assert!(text.contains(&line), "{line}");
    }
}
