//! Lists of files as scripts leave them.

use std::fs;
use std::os::unix::{fs::symlink, net::UnixListener};

use uftp_tests::{Content, Result, Suite, World, write_tree};

use crate::{BOUND, stage::beside};

/// Line ends of all kinds, a list with nothing in it, a destination that is nothing but a slash.
#[test]
fn odd_lists_of_files() -> Result<()> {
    let left = beside("oddlist", &[], |stage| {
        stage.write(&[Content::File("a", 3000), Content::File("b", 10)])?;
        let list = stage.content("list");
        fs::write(&list, "a\r\r\n\r\r\n\n")?;
        stage.send(&["-i", "list"])?;
        for nothing in ["", "\n\r\n"] {
            fs::write(&list, nothing)?;
            stage.send(&["-i", "list", "b"])?;
            stage.send(&["-i", "list"])?;
        }
        stage.send(&["-D", "/", "a"])?;
        stage.send(&["-D", "//", "a", "b"])
    })?;
    let codes = [0, 0, 1, 0, 1, 0, 0].map(Some);
    assert_eq!(left.codes, codes, "{left}");
    Ok(())
}

/// What is excluded is compared byte by byte with what the walk says.
#[test]
fn excluded_paths_with_other_slashes() -> Result<()> {
    let left = beside("otherslash", &[], |stage| {
        stage.write(&[
            Content::File("tree/sub/x", 3000),
            Content::File("tree/gone", 10),
        ])?;
        let list = "tree/sub/\ntree//sub\n./tree/sub\ntree/gone\r\r\n";
        fs::write(stage.content("list"), list)?;
        stage.send(&["-X", "list", "./tree"])
    })?;
    assert_eq!(left.tree.len(), 3, "{left}");
    Ok(())
}

/// Scripts look for these words, for the exit code does not tell of what was left out.
#[test]
fn what_cannot_be_sent_is_told_in_the_same_words() -> Result<()> {
    let told = |suite| -> Result<Vec<String>> {
        let world = World::new("words", 2)?;
        let content = world.make_dir("content")?;
        write_tree(&content, &[Content::File("a", 10)])?;
        symlink("gone", content.join("dangling"))?;
        symlink("endless", content.join("endless"))?;
        let _socket = UnixListener::bind(content.join("socket"))?;
        let receiver = world.receiver(Suite::Reference, 1).start()?;
        let sender = world.sender(suite, 0).invite(&[1]).current_dir(&content);
        let mut sender = sender
            .args(&["-l", "missing", "dangling", "endless", "socket", "a"])
            .start()?;
        sender.program().wait(BOUND)?;
        let output = sender.program().output();
        sender.finish(BOUND)?.ended_with(0)?;
        receiver.stop()?;
        let lines = output.lines().filter(|line| {
            let starts = ["Error getting file status for ", "Skipping special file "];
            starts.iter().any(|words| line.starts_with(words))
        });
        Ok(lines.map(str::to_owned).collect())
    };
    let expected = told(Suite::Reference)?;
    assert_eq!(expected.len(), 4, "{expected:#?}");
    assert_eq!(told(Suite::Ours)?, expected);
    Ok(())
}
