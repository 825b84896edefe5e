//! More command lines from the wild (cli §0, §9.1), run as they are.

use std::{fs, path::Path, process::Command, time::Duration};

use uftp_tests::{
    Daemon, Failure, Family, Program, Result, Suite, World, compare_trees, eventually, patience,
    wait_until_listening, write_file,
};

const BOUND: Duration = Duration::from_secs(60);

fn command(world: &World, host: u8, program: &str) -> Result<Command> {
    let mut command = world.command(host, &Suite::Ours.program(program)?);
    command.current_dir(world.dir()).env("UFTP_PROTOCOL", "4");
    Ok(command)
}

fn says(path: &Path, words: &str) -> Result<()> {
    eventually(words, patience(), || match fs::read_to_string(path) {
        Ok(text) if text.contains(words) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

/// `uftpd -D DIR -L LOG -p PORT`, then `tail -f LOG` and `pgrep -x uftpd`. Log, status and pid file are
/// meant from `/`, keys and lists from where it was started.
#[test]
fn a_receiver_in_the_background() -> Result<()> {
    let world = World::new("background", 2)?;
    let (content, dest) = (world.make_dir("content")?, world.make_dir("dest")?);
    write_file(&content.join("file"), 100_000)?;
    let (_, print) = world.make_key("key", "rsa:1024")?;
    fs::write(world.dir().join("servers"), "0A4D0001|10.77.0.1\n")?;

    let from_root = |name: &str| {
        let path = world.dir().join(name).display().to_string();
        path.trim_start_matches('/').to_owned()
    };
    let mut line = command(&world, 1, "uftpd")?;
    line.arg("-D")
        .arg(&dest)
        .args(["-L", &from_root("log"), "-p", "1055"]);
    line.args(["-P", &from_root("pid"), "-F", &from_root("status")]);
    line.args(["-k", "key", "-S", "servers"]);
    let mut parent = Program::start("parent", line, &world.log_path("parent"))?;
    assert_eq!(parent.wait(BOUND)?.code, Some(0), "{}", parent.output());
    let daemon = Daemon::of(&world.dir().join("pid"))?;
    let pid = daemon.pid();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm"))?, "uftpd\n");
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd"))?, Path::new("/"));

    let sent = world.sender(Suite::Reference, 0).args(&["-p", "1055"]);
    let sent = sent.args(&["-H", "10.77.0.2", "-Y", "aes128-cbc", "-K", "1024"]);
    sent.files_of(&content)?.run(BOUND)?.ended_with(0)?;
    let log = world.dir().join("log");
    for words in [
        "Name of file to receive: file\n",
        "File transfer complete\n",
        &print,
    ] {
        says(&log, words)?;
    }
    says(&world.dir().join("status"), ";file;97KB;copied\n")?;
    compare_trees(&content, &dest).map_err(Failure::new)?;
    daemon.stop()
}

/// `uftp -L LOG … &`, and others wait for words in the log.
#[test]
fn a_sender_in_the_background() -> Result<()> {
    let world = World::new("sending", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 100_000)?;
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    let here = world.address(0, Family::V4).to_string();
    let uftp = command(&world, 0, "uftp")?;
    let script = "\"$@\" -L log -R 20000 -s 10 -H 0x1 content/file & wait $!; echo ended $?";
    let mut shell = Command::new("sh");
    shell.current_dir(world.dir()).env("UFTP_PROTOCOL", "4");
    shell
        .arg("-c")
        .arg(script)
        .arg("sh")
        .arg(uftp.get_program())
        .args(uftp.get_args());
    shell.args(["-I", &here]);
    let mut shell = Program::start("shell", shell, &world.log_path("shell"))?;
    let log = world.dir().join("log");
    for words in [
        "]: Sending ANNOUNCE 1.1\n",
        "]: Bytes: 100000  Blocks: 77  Sections: 1\n",
        "]: Group complete\n",
    ] {
        says(&log, words)?;
    }
    shell.wait(BOUND)?;
    assert_eq!(shell.output(), "ended 0\n");
    receiver.holds(&content)?;
    receiver.stop().map(drop)
}

/// In a container, with slashes at the end of both directories.
#[test]
fn a_receiver_in_a_container() -> Result<()> {
    let world = World::new("container", 2)?;
    let (content, dest) = (world.make_dir("content")?, world.make_dir("dest")?);
    write_file(&content.join("file"), 100_000)?;
    let temp = world.make_dir("temp")?;
    let there = world.address(1, Family::V4).to_string();
    let mut line = command(&world, 1, "uftpd")?;
    line.args([
        "-d",
        "-q",
        "-I",
        &there,
        "-M",
        "239.1.2.3",
        "-p",
        "1066",
        "-U",
        "0x00000007",
    ]);
    line.arg("-D").arg(format!("{}/", dest.display()));
    line.arg("-T").arg(format!("{}/", temp.display()));
    line.args(["-F", "status"]);
    let mut receiver = Program::start("uftpd", line, &world.log_path("uftpd"))?;
    wait_until_listening(&mut receiver, "uftpd", 1066, "239.1.2.3")?;
    let sent = world.sender(Suite::Reference, 0).args(&["-M", "239.1.2.3"]);
    let sent = sent.args(&["-p", "1066", "-H", "0x7"]).files_of(&content)?;
    sent.run(BOUND)?.ended_with(0)?;
    compare_trees(&content, &dest).map_err(Failure::new)?;
    says(&world.dir().join("status"), ";file;97KB;copied\n")
}

/// Ids in host lists as the C programs read them.
#[test]
fn ids_in_old_notations() -> Result<()> {
    let world = World::new("notations", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 10)?;
    for (id, notations) in [
        ("A", &["10", "0.0.0.10", "0xa", "012"][..]),
        ("9", &["00000011", "9"]),
        ("10", &["0x10", "16"]),
        ("AB4130", &["11223344", "ab4130"]),
        ("AB", &["ab", "0xAB"]),
    ] {
        let receiver = world.receiver(Suite::Ours, 1).by_itself();
        let receiver = receiver.args(&["-I", "eth0", "-U", id]).start()?;
        for notation in notations {
            for suite in [Suite::Reference, Suite::Ours] {
                let sent = world.sender(suite, 0).args(&["-H", notation]);
                let sent = sent.files_of(&content)?.run(BOUND)?;
                sent.ended_with(0)
                    .map_err(|failure| Failure::new(format!("{suite:?} {notation}: {failure}")))?;
            }
        }
        receiver.stop()?;
    }
    Ok(())
}
