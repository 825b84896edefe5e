//! What happens to command lines and directories in the field.

use std::{fs, path::Path};

use uftp_tests::{Content, Outcome, Parties, Result, Suite, eventually, patience};

use crate::has;
use crate::stage::{Stage, beside};

#[test]
fn two_slashes_in_a_name() -> Result<()> {
    let left = beside("slashes", &[], |stage| {
        stage.write(&[Content::File("file", 3000)])?;
        stage.send(&["-D", "two//slashes", "file"])?;
        let name = format!("{}//absolute", stage.dest("").display());
        stage.send(&["-D", &name, "file"])
    })?;
    let tree = left.tree.join("\n");
    for name in ["two/slashes", "absolute"] {
        assert!(tree.contains(&format!("receiver1.dest/{name} ")), "{tree}");
    }
    Ok(())
}

/// With a base directory without a slash at its end the reference sends names of two slashes.
#[test]
fn base_dir_without_a_slash_below_a_dest_name() -> Result<()> {
    let play = |receiver| -> Result<Outcome> {
        let sender = Suite::Reference;
        let mut stage = Stage::new("baseslash", Parties { sender, receiver }, &[])?;
        stage.write(&[Content::File("base/one/a", 3000)])?;
        stage.send(&["-E", "base", "-o", "-D", "d", "base/one/a"])?;
        stage.end()
    };
    let left = play(Suite::Reference)?;
    has(&left.sender, &["d//one/a;2KB;copy;SPEED"]);
    assert_eq!(play(Suite::Ours)?, left);
    Ok(())
}

/// What is cleaned away, or replaced, while the receiver runs is where its path is when a session begins.
#[test]
fn directories_that_are_replaced() -> Result<()> {
    for options in [&[][..], &["-T", "DIR/temp"], &["-t", "-A", "DIR/backup"]] {
        let left = beside("replaced", options, |stage| {
            stage.write(&[Content::File("tree/file", 3000)])?;
            stage.send(&["-D", "first", "tree"])?;
            let mut dirs: Vec<_> = stage
                .dirs
                .iter()
                .map(|d| stage.world.dir().join(d))
                .collect();
            dirs.push(stage.dest(""));
            arrived(&stage.dest("first/file"))?;
            // The reference moves nothing from a temp directory to a destination that is gone.
            fs::remove_dir_all(&dirs[0])?;
            stage.send(&["-D", "gone", "tree"])?;
            arrived(&stage.dest("gone/file"))?;
            for dir in &dirs {
                if dir.exists() {
                    fs::remove_dir_all(dir)?;
                }
                fs::create_dir(dir)?;
            }
            stage.send(&["-D", "new", "tree"])?;
            stage.send(&["-D", "new", "tree"])
        })?;
        assert_eq!(left.codes, [Some(0); 4], "{options:?} {left}");
    }
    Ok(())
}

/// Waits until a file is in its place; with a temp directory the reference moves it after the session.
fn arrived(file: &Path) -> Result<()> {
    eventually("the file in its place", patience(), || {
        let there = fs::metadata(file);
        there.map(drop).map_err(|error| error.to_string())
    })
}
