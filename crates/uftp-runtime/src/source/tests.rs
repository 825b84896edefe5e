use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn items(source: &mut DiskSource) -> Vec<(String, FileType, u64)> {
    let mut all = Vec::new();
    while let Some(item) = source.next_item() {
        let name = String::from_utf8(item.name).unwrap();
        all.push((name, item.file_type, item.size));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn names(args: &[&str], options: SourceOptions) -> Vec<String> {
    let args = args.iter().map(OsString::from).collect();
    let mut source = DiskSource::new(args, options, None);
    items(&mut source).into_iter().map(|i| i.0).collect()
}

/// A tree with a file, an empty directory, a link, a pipe and a deeper file; its path.
fn tree() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join("a"), b"12345").unwrap();
    fs::write(root.join("sub/deep/b"), b"").unwrap();
    symlink("/nowhere", root.join("link")).unwrap();
    nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let path = root.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn a_tree_is_its_files_links_and_empty_directories() {
    let (_dir, root) = tree();
    let mut source = DiskSource::new(vec![root.into()], SourceOptions::default(), None);
    assert_eq!(
        items(&mut source),
        [
            ("tree/a".into(), FileType::REGULAR, 5),
            ("tree/empty".into(), FileType::DIRECTORY, 0),
            ("tree/link".into(), FileType::SYMLINK, 0),
            ("tree/sub/deep/b".into(), FileType::REGULAR, 0),
        ]
    );
}

#[test]
fn names_follow_the_argument_and_the_options() {
    let (dir, root) = tree();
    let a = format!("{root}/a");
    let dest = |dest: &str, dest_is_dir| SourceOptions {
        naming: Naming {
            dest: Some(dest.into()),
            dest_is_dir,
            ..Naming::default()
        },
        ..SourceOptions::default()
    };
    let base = |base: String| SourceOptions {
        naming: Naming {
            bases: vec![base.into()],
            ..Naming::default()
        },
        ..SourceOptions::default()
    };
    let top = dir.path().to_str().unwrap();
    let plain = SourceOptions::default;
    let deep = format!("{root}/sub//");
    let dot = format!("{root}/sub/.");
    for (args, options, want) in [
        (vec![a.as_str()], plain(), vec!["a"]),
        (vec![&deep], plain(), vec!["sub/deep/b"]),
        (vec![&dot], plain(), vec!["deep/b"]),
        (vec![&a], dest("x/", false), vec!["x"]),
        (vec![&a], dest("x", true), vec!["x/a"]),
        (vec![&deep], dest("x", false), vec!["x/deep/b"]),
        (vec![&dot], dest("x", true), vec!["x/deep/b"]),
        (vec![&a, &a], dest("x//", false), vec!["x/a", "x/a"]),
        (vec![&a], base(top.to_owned()), vec!["tree/a"]),
        (vec![&a], base(format!("{top}/")), vec!["tree/a"]),
        (vec![&a], base(format!("{root}/su")), vec![]),
        (vec![&a], base(format!("{top}/tr")), vec![]),
        (vec!["@FREESPACE", "@DELETE:p/q"], plain(), vec![".", "q"]),
        (vec!["@DELETE:q"], dest("p/old", false), vec!["p/old"]),
        (
            vec!["@DELETE:", "@DELETE:.", "@DELETE:a/..", "@DELETE:/"],
            plain(),
            vec![],
        ),
        (vec!["@DELETE:x"], dest("a/..", true), vec![]),
    ] {
        assert_eq!(names(&args, options.clone()), want, "{args:?} {options:?}");
    }
}

#[test]
fn excluded_paths_are_left_out_with_what_is_below() {
    let (_dir, root) = tree();
    let options = SourceOptions {
        exclude: vec!["tree/sub".into(), "a".into(), "tree/link".into()],
        ..SourceOptions::default()
    };
    assert_eq!(names(&[&root], options), ["tree/a", "tree/empty"]);
}

#[test]
fn excluded_paths_are_compared_as_they_are_written() {
    let (_dir, root) = tree();
    for (list, want) in [
        (&["tree/sub/", "tree//sub", "./tree/sub"][..], true),
        (&["tree/sub"], false),
    ] {
        let options = SourceOptions {
            exclude: list.iter().map(OsString::from).collect(),
            ..SourceOptions::default()
        };
        let names = names(&[&root], options);
        assert_eq!(
            names.contains(&"tree/sub/deep/b".to_owned()),
            want,
            "{names:?}"
        );
    }
    let options = SourceOptions {
        exclude: vec!["./sub".into(), "a".into(), "tree/link".into()],
        ..SourceOptions::default()
    };
    let dot = format!("{root}/.");
    assert_eq!(names(&[&dot], options), ["a", "empty", "link"]);
}

#[test]
fn slashes_behind_an_argument_mean_nothing() {
    let (_dir, root) = tree();
    symlink("sub", format!("{root}/way")).unwrap();
    let args = ["/a/", "/way//", "/sub/"].map(|arg| format!("{root}{arg}").into());
    let mut source = DiskSource::new(args.to_vec(), SourceOptions::default(), None);
    assert_eq!(
        items(&mut source),
        [
            ("a".into(), FileType::REGULAR, 5),
            ("sub/deep/b".into(), FileType::REGULAR, 0),
            ("way".into(), FileType::SYMLINK, 0),
        ]
    );
}

#[test]
fn links_can_be_followed_and_loops_end() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), b"abc").unwrap();
    symlink("f", dir.path().join("l")).unwrap();
    symlink("gone", dir.path().join("dangling")).unwrap();
    let options = SourceOptions {
        follow_links: true,
        ..SourceOptions::default()
    };
    let path = format!("{}/.", dir.path().display());
    assert_eq!(names(&[&path], options.clone()), ["f", "l"]);
    symlink(".", dir.path().join("self")).unwrap();
    assert!(names(&[&path], options).len() < 1000);
}

#[test]
fn what_is_missing_or_too_long_is_left_out() {
    let (dir, root) = tree();
    fs::create_dir(dir.path().join("d")).unwrap();
    let long = "n".repeat(150);
    let deep = dir.path().join("d").join(&long).join(&long);
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f"), b"").unwrap();
    let d = dir.path().join("d").to_str().unwrap().to_owned();
    let a = format!("{root}/a");
    let missing = format!("{root}/missing");
    let options = SourceOptions::default();
    assert_eq!(names(&[&missing, &d, &a], options), ["a"]);
}

#[test]
fn bytes_fill_all_buffers_and_a_shrunk_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let content: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    fs::write(&path, &content).unwrap();
    let mut source = DiskSource::new(vec![path.clone().into()], SourceOptions::default(), None);
    let item = source.next_item().unwrap();
    assert_eq!(item.size, 100_000);
    assert!(item.mtime > 1_600_000_000);

    let mut parts = vec![vec![0; 30]; 3000];
    let mut bufs: Vec<_> = parts.iter_mut().map(|p| IoSliceMut::new(p)).collect();
    bufs.insert(0, IoSliceMut::new(&mut []));
    source.read_at(7, &mut bufs).unwrap();
    assert_eq!(parts.concat(), content[7..90_007]);

    fs::write(&path, b"short").unwrap();
    let mut buf = [0; 10];
    let error = source.read_at(0, &mut [IoSliceMut::new(&mut buf)]);
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(source.next_item(), None);
    assert!(source.read_at(0, &mut []).is_err());
}
