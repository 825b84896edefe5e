//! Sessions of the deployed programs.

// Senders and receivers need different parts of it.
#![allow(dead_code)]

pub(crate) mod pcap;
pub(crate) mod three;

/// Checks that tests in `code` name every recorded session whose name has one of these in it, and play
/// all but `others`.
pub(crate) fn none_is_forgotten(parts: &[&str], code: &str, others: &[&str]) {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut sessions = 0;
    for entry in std::fs::read_dir(vectors).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let meant = |name: &&str| parts.iter().any(|part| name.contains(part));
        let Some(name) = file.strip_suffix(".pcap").filter(meant) else {
            continue;
        };
        sessions += 1;
        let played = code.contains(&format!("\"{name}\"")) || code.contains(&format!("\"{file}\""));
        assert!(played, "{name}");
    }
    assert!(sessions > 10, "{sessions}");
    for name in others {
        let plays = format!("(\"{name}\"");
        assert!(!code.contains(&plays), "{name} is played now");
    }
}
