//! What the logs tell at the usual level: every line of 4.10.2 is there, in its order. Wrappers grep
//! for them.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;
use uftp_tests::{Content, Parties, Result, World, patience, write_tree};

const BOUND: Duration = Duration::from_secs(60);

/// What follows these words differs from run to run.
const VARYING: [&str; 10] = [
    "UFTP version",
    "Starting at",
    "uftp: Finishing at",
    "Using private multicast address",
    "Total elapsed time:",
    "Overall throughput:",
    "Status: Completed",
    "Loaded 512 bit RSA key",
    "Exiting on signal",
    "Received request from",
];

/// The different lines of a log, in the order of their first appearance.
fn lines(log: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines() {
        // Time and session stand in front at the receiver.
        let line = match line.split_once("]: ") {
            Some((front, rest)) if front.contains('[') => rest,
            _ => line.split_once(": ").map_or(line, |(front, rest)| {
                if front.starts_with("20") { rest } else { line }
            }),
        };
        let varying = VARYING.iter().find_map(|words| {
            let at = line.find(words)?;
            line.get(..at + words.len())
        });
        let line = varying.unwrap_or(line).trim_end().to_owned();
        if !line.is_empty() && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// The logs of a sender and its receiver, who lose nothing.
fn told(parties: Parties) -> Result<(Vec<String>, Vec<String>)> {
    let world = World::new("story", 2)?;
    let content = world.make_dir("content")?;
    write_tree(
        &content,
        &[
            // More than goes out ahead of the answers to FILEINFO, which would change the order.
            Content::File("file", 100_000),
            Content::Link("link", "file"),
            Content::Directory("empty"),
        ],
    )?;
    let receiver = world.receiver(parties.receiver, 1).args(&["-x", "2"]);
    let mut receiver = receiver.start()?;
    let sender = world.sender(parties.sender, 0).current_dir(&content);
    let sent = sender
        .args(&["-x", "2", "-H", "0x1", "file", "link", "empty"])
        .run(BOUND)?;
    sent.ended_with(0)?;
    uftp_tests::eventually("the end of the story", patience(), || {
        match receiver.program().output() {
            log if log.contains("Group file transfer confirmed") => Ok(()),
            log => Err(log),
        }
    })?;
    receiver.program().signal(Signal::SIGTERM);
    receiver.program().wait(patience())?;
    let read = |name: &str| fs::read_to_string(world.log_path(name));
    Ok((lines(&read("sender0")?), lines(&read("receiver1")?)))
}

/// Lines of `golden` that are not in `told`, or not behind those before them.
fn missing(golden: &[String], told: &[String]) -> Vec<String> {
    let mut rest = told.iter();
    let mut missing = Vec::new();
    for line in golden {
        let mut ahead = rest.clone();
        if ahead.any(|told| told == line) {
            rest = ahead;
        } else {
            missing.push(line.clone());
        }
    }
    missing
}

#[test]
fn of_a_transfer() -> Result<()> {
    let (sender, receiver) = told(Parties::REFERENCE)?;
    assert!(
        sender.len() > 25 && receiver.len() > 12,
        "{sender:#?} {receiver:#?}"
    );
    let (ours, _) = told(Parties::OURS_TO_THEIRS)?;
    assert_eq!(missing(&sender, &ours), [""; 0], "ours says {ours:#?}");
    let (_, ours) = told(Parties::THEIRS_TO_OURS)?;
    // A key is made when a session needs one, and other words tell of what is no file. A file is in
    // its place before it is told to be complete, so these lines come earlier.
    let other_words = [
        "Loaded 512 bit RSA key",
        "Symbolic link to",
        "Creating directory",
    ];
    let only_there = |line: &String| {
        line == "Empty directory"
            || other_words.iter().any(|words| line.starts_with(words))
            || (line.ends_with(" file close") && ours.contains(line))
    };
    let mut missing = missing(&receiver, &ours);
    missing.retain(|line| !only_there(line));
    assert_eq!(missing, [""; 0], "ours says {ours:#?}");
    Ok(())
}
