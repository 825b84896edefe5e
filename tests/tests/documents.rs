//! What documents say about the code.

use std::{
    fs,
    path::{Path, PathBuf},
};

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

/// Each `file.rs` in `docs/protocol3.md` is there, and each `file.rs::test` in one of that name.
#[test]
fn files_and_tests_named_for_protocol_3_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    sources(root, &mut files);
    let text = fs::read_to_string(root.join("docs/protocol3.md")).unwrap();
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("docs/protocol3.md")).unwrap();
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
