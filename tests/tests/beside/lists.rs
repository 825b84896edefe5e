//! Lists of files as scripts leave them.

use std::fs;

use uftp_tests::{Content, Result};

use crate::stage::beside;

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
