//! The same command lines given to our programs and to the reference's leave the same files, exit codes
//! and status lines.
//!
//! Each scenario is played four times: by the reference alone, whose outcome is what is expected, and
//! by ours to theirs, theirs to ours, and ours to ours.

mod field;
mod lists;
mod over;
mod room;
mod stage;

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use uftp_tests::{Content, Outcome, Parties, Result, Suite, World, eventually, patience};

use stage::{Stage, beside, masked};

const BOUND: Duration = Duration::from_secs(60);
/// UDP port of the receivers.
const PORT: u16 = 1044;

/// Fails unless each of `words` ends a line of `lines`.
fn has(lines: &[String], words: &[&str]) {
    for word in words {
        let found = lines.iter().any(|line| line.ends_with(word));
        assert!(found, "no line ends with {word}: {lines:#?}");
    }
}

#[test]
fn dest_name() -> Result<()> {
    let left = beside("destname", &[], |stage| {
        stage.write(&[Content::File("a", 3000), Content::File("tree/b", 10)])?;
        stage.send(&["-D", "renamed", "a"])?;
        stage.send(&["-D", "both", "a", "tree"])?;
        stage.send(&["-D", "deep/er/", "-o", "tree"])?;
        stage.send(&["-o", "-D", "one", "a"])
    })?;
    let tree = left.tree.join("\n");
    for name in [
        "renamed",
        "both/a",
        "both/tree/b",
        "deep/er/tree/b",
        "one/a",
    ] {
        assert!(tree.contains(&format!("receiver1.dest/{name} ")), "{tree}");
    }
    Ok(())
}

/// Clusters, attached and repeated values, values that begin with a hyphen, options behind files.
#[test]
fn words_as_getopt_reads_them() -> Result<()> {
    let left = beside("getopt", &[], |stage| {
        stage.write(&[Content::File("file", 3000), Content::File("-f", 10)])?;
        stage.send(&["file", "-D", "-x", "-R", "-1", "-x1", "-t5", "-t", "6"])?;
        stage.send(&["-qD", "first", "-Dlast", "--", "-f"])?;
        stage.send(&["-q", "-oDdir", "file"])
    })?;
    let tree = left.tree.join("\n");
    for name in ["-x", "last", "dir/file"] {
        assert!(tree.contains(&format!("receiver1.dest/{name} ")), "{tree}");
    }
    Ok(())
}

/// What lies below no base is passed over.
#[test]
fn base_dir() -> Result<()> {
    let left = beside("basedir", &[], |stage| {
        stage.write(&[
            Content::File("first/one/a", 3000),
            Content::File("second/b", 10),
            Content::File("third/c", 20),
        ])?;
        stage.send(&["-E", "first/,second/", "first/one/a", "second/b", "third/c"])?;
        stage.send(&[
            "-E",
            "first/",
            "-E",
            "third/",
            "-D",
            "d",
            "third/c",
            "first/one",
        ])?;
        stage.send(&["-E", "nowhere/", "third/c"])
    })?;
    assert_eq!(left.codes, [Some(0), Some(0), Some(10)]);
    let tree = left.tree.join("\n");
    for name in ["one/a", "b", "d/c", "d/one/a"] {
        assert!(tree.contains(&format!("receiver1.dest/{name} ")), "{tree}");
    }
    Ok(())
}

/// The manual's own example: a base without the slash. The reference sends names that all receivers reject.
#[test]
fn base_dir_without_a_slash() -> Result<()> {
    let play = |sender, base: &str| -> Result<Outcome> {
        let receiver = Suite::Reference;
        let mut stage = Stage::new("noslash", Parties { sender, receiver }, &[])?;
        stage.write(&[Content::File("base/one/a", 3000)])?;
        stage.send(&["-E", base, "base/one"])?;
        stage.end()
    };
    let with = play(Suite::Ours, "base/")?;
    assert_eq!(with.codes, [Some(0)]);
    assert_eq!(play(Suite::Ours, "base")?, with);
    assert_eq!(play(Suite::Reference, "base")?.codes, [Some(10)]);
    Ok(())
}

/// Paths are compared as they are below the argument's parent; what is excluded takes along what is below.
#[test]
fn exclude() -> Result<()> {
    let left = beside("exclude", &[], |stage| {
        stage.write(&[
            Content::File("tree/keep", 3000),
            Content::File("tree/drop", 10),
            Content::File("tree/sub/x", 10),
            Content::File("drop", 30),
            Content::File("gone", 30),
        ])?;
        fs::write(stage.content("list"), "tree/drop\r\n\ntree/sub\nkeep\n")?;
        fs::write(stage.content("more"), "gone\n# a name\n")?;
        stage.send(&["-X", "list", "-X", "more", "tree", "drop", "gone"])?;
        stage.send(&["-X", "more", "gone"])
    })?;
    assert_eq!(left.codes, [Some(0), Some(10)]);
    let regular = left.tree.iter().filter(|line| line.contains(" bytes "));
    assert_eq!(regular.count(), 2, "{:?}", left.tree);
    Ok(())
}

/// Lines are taken literally; files on the command line are ignored.
#[test]
fn list_file_and_standard_input() -> Result<()> {
    let left = beside("list", &[], |stage| {
        stage.write(&[
            Content::File("#a", 300),
            Content::File(" b ", 10),
            Content::File("c", 20),
            Content::File("ignored", 20),
        ])?;
        let list = stage.content("list");
        fs::write(&list, "#a\r\n\n b \nmissing\n")?;
        stage.send(&["-i", "list", "ignored"])?;
        fs::write(&list, "c\n")?;
        stage.send_reading(&["-i", "-"], &list)
    })?;
    assert_eq!(left.tree.len(), 3, "{:?}", left.tree);
    Ok(())
}

#[test]
fn links_and_what_they_point_to() -> Result<()> {
    beside("links", &[], |stage| {
        stage.write(&[
            Content::File("file", 3000),
            Content::Link("link", "file"),
            Content::Link("dangling", "no/such"),
            Content::File("dir/below", 10),
            Content::Link("way", "dir"),
        ])?;
        stage.send(&["-D", "asis", "link", "dangling", "way"])?;
        stage.send(&["-l", "-D", "followed", "link", "dangling", "way"])
    })
    .map(drop)
}

/// New, the same, and older files; then one that is newer at the receiver.
#[test]
fn sync() -> Result<()> {
    let left = beside("sync", &[], |stage| {
        stage.write(&[
            Content::File("new", 3000),
            Content::File("same", 2000),
            Content::File("tree/older", 4000),
        ])?;
        stage.send(&["same"])?;
        fs::create_dir(stage.dest("tree"))?;
        let old = stage.dest("tree/older");
        fs::write(&old, "old")?;
        let old = fs::File::options().write(true).open(&old)?;
        old.set_modified(std::time::UNIX_EPOCH)?;
        stage.send(&["-Z", "new", "same", "tree"])?;
        assert_eq!(fs::read(stage.dest("tree/older"))?, b"old");
        assert!(!stage.dest("new").exists());
        stage.send(&["-z", "new", "same", "tree"])?;
        fs::write(stage.dest("new"), "newer")?;
        let newer = std::time::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        fs::File::open(stage.dest("new"))?.set_modified(newer)?;
        stage.send(&["-z", "new"])
    })?;
    let words = ["copy;SPEED", "overwritten;SPEED", "skipped;"];
    has(&left.sender, &words);
    has(&left.receiver, &["copied", "overwritten", "skipped"]);
    Ok(())
}

#[test]
fn metafiles() -> Result<()> {
    let left = beside("metafiles", &[], |stage| {
        fs::create_dir_all(stage.dest("tree/sub"))?;
        fs::write(stage.dest("tree/sub/f"), "f")?;
        fs::write(stage.dest("kept"), "kept")?;
        fs::File::open(stage.dest("kept"))?.set_modified(std::time::UNIX_EPOCH)?;
        fs::write(stage.dest("gone"), "gone")?;
        stage.send(&["@DELETE:absent", "@DELETE:some/where/gone", "@FREESPACE"])?;
        stage.send(&["-D", "tree/sub", "@DELETE:any"])
    })?;
    assert_eq!(left.tree.len(), 2, "{:?}", left.tree);
    has(&left.sender, &["FREESPACE;.;BYTES"]);
    Ok(())
}

/// Something of each kind, over what was there before.
fn replace(stage: &mut Stage) -> Result<()> {
    stage.write(&[
        Content::File("file", 300_000),
        Content::File("tree/sub/b", 10_000),
        Content::File("tree/empty", 0),
    ])?;
    fs::write(stage.dest("file"), "old")?;
    fs::create_dir(stage.dest("tree"))?;
    fs::write(stage.dest("tree/old"), "old")?;
    fs::File::open(stage.dest("tree/old"))?.set_modified(std::time::UNIX_EPOCH)?;
    stage.send(&["file", "tree"])
}

#[test]
fn temp_file() -> Result<()> {
    beside("tempfile", &["-t"], replace).map(drop)
}

/// A tree takes the place of the old one as a whole.
#[test]
fn temp_dir() -> Result<()> {
    let left = beside("tempdir", &["-T", "DIR/temp"], replace)?;
    let old = left.tree.iter().find(|line| line.contains("tree/old"));
    assert_eq!(old, None);
    Ok(())
}

#[test]
fn temp_dir_and_files_moved_individually() -> Result<()> {
    let left = beside("individually", &["-T", "DIR/temp", "-i"], replace)?;
    let old = left.tree.iter().find(|line| line.contains("tree/old"));
    assert!(old.is_some(), "{:?}", left.tree);
    Ok(())
}

/// Without `-t` the reference makes backups in synchronising sessions only.
#[test]
fn backup() -> Result<()> {
    let left = beside("backup", &["-t", "-A", "DIR/kept"], |stage| {
        stage.write(&[Content::File("file", 3000)])?;
        for name in ["file", "gone"] {
            let old = stage.dest(name);
            fs::write(&old, name)?;
            fs::File::open(&old)?.set_modified(std::time::UNIX_EPOCH)?;
        }
        stage.send(&["file", "@DELETE:gone"])
    })?;
    let kept = "kept/DATE/TIME/WORLD/receiver1.dest/";
    for name in ["file", "gone"] {
        let line = format!("{kept}{name} 4 bytes");
        let found = left.tree.iter().any(|entry| entry.starts_with(&line));
        assert!(found, "{line} in {:?}", left.tree);
    }
    Ok(())
}

/// Absolute names go where a destination directory is, and nowhere else.
#[test]
fn absolute_names() -> Result<()> {
    let left = beside("absolute", &["-D", "DIR/second"], |stage| {
        stage.write(&[Content::File("file", 3000)])?;
        for dir in ["second", "elsewhere"] {
            let name = stage.world.make_dir(dir)?.join("sub/name");
            stage.send(&["-D", &name.display().to_string(), "file"])?;
        }
        assert!(!stage.world.dir().join("elsewhere/sub").exists());
        Ok(())
    });
    let left = left?;
    assert_eq!(left.codes, [Some(0), Some(10)]);
    has(&left.sender, &["rejected;"]);
    has(&left.receiver, &["rejected"]);
    Ok(())
}

#[test]
fn absolute_names_with_a_temp_dir() -> Result<()> {
    let left = beside("absolutetemp", &["-T", "DIR/temp"], |stage| {
        stage.write(&[Content::File("file", 3000)])?;
        let name = stage.dest("name").display().to_string();
        stage.send(&["-D", &name, "file"])
    })?;
    assert_eq!(left.codes, [Some(10)]);
    Ok(())
}

/// What a script is called with: each file; with a temp dir all of a session; with `-i` each thing.
#[test]
fn post_receive() -> Result<()> {
    for (options, calls) in [
        (&[][..], 2),
        (&["-T", "DIR/temp"], 1),
        (&["-i", "-T", "DIR/temp"], 4),
    ] {
        let scripts = World::new("script", 0)?;
        let (script, notes) = (scripts.dir().join("script"), scripts.dir().join("notes"));
        let text = format!("#!/bin/sh\necho \"$@\" >> {}\n", notes.display());
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let script = script.display().to_string();
        let options = [options, &["-s", &script]].concat();
        let left = beside("postreceive", &options, |stage| {
            fs::write(&notes, "")?;
            stage.write(&[
                Content::File("tree/file", 3000),
                Content::Link("tree/link", "file"),
                Content::Directory("tree/empty"),
                Content::File("last", 10),
            ])?;
            stage.send(&["tree", "last", "@DELETE:nothing"])?;
            let mut lines = eventually("the script's notes", patience(), || {
                let text = fs::read_to_string(&notes).map_err(|error| error.to_string())?;
                let lines: Vec<_> = text
                    .lines()
                    .map(|line| masked(&stage.world, line))
                    .collect();
                (lines.len() >= calls).then_some(lines).ok_or(text)
            })?;
            lines.sort();
            stage.outcome.notes = lines;
            Ok(())
        })?;
        assert_eq!(left.notes.len(), calls, "{options:?} {left}");
    }
    Ok(())
}

/// The receiver misses half of all data, and is given up for it: after one pass, for its NAKs, or when
/// time is up. Then without limits all arrives.
#[test]
fn limits_of_patience() -> Result<()> {
    let left = beside("limits", &[], |stage| {
        stage.write(&[Content::File("file", 100_000)])?;
        stage.world.lose_incoming_data(1, PORT, 500)?;
        stage.send(&["-a", "1", "file"])?;
        stage.send(&["-N", "5", "file"])?;
        stage.send(&["-N", "5", "-m", "2", "file"])?;
        stage.send(&["-W", "110", "-R", "640", "file"])?;
        stage.send(&["-N", "100", "-m", "1000", "-a", "100", "file"])
    })?;
    assert_eq!(left.codes[..4], [Some(9); 4]);
    assert_eq!(left.codes[4], Some(0));
    has(&left.sender, &["aborted;", "copy;SPEED"]);
    Ok(())
}

/// Hosts by their names in a list, and a proxy that is not there.
#[test]
fn lists_of_hosts_and_proxies() -> Result<()> {
    let left = beside("hosts", &[], |stage| {
        stage.write(&[Content::File("file", 3000)])?;
        let print = "00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:ff";
        let hosts = format!("# these\n\n10.0.0.9\r\n0x7|{print}\nab\n");
        fs::write(stage.content("hosts"), hosts)?;
        fs::write(stage.content("proxies"), "0xf0\n10.0.0.11\n")?;
        stage.send(&[
            "-H",
            "@hosts",
            "-H",
            "00000011,,12",
            "-j",
            "proxies",
            "file",
        ])?;
        stage.send(&["-q", "-H", "@hosts", "file"])
    })?;
    assert_eq!(left.codes, [Some(0), Some(7)]);
    has(
        &left.sender,
        &["failed;ab", "failed;0xf0", "failed;00000011", "mute;"],
    );
    Ok(())
}
