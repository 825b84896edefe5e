//! How our programs end when there is nothing to do for them, or nobody (cli §2.4, §3.2).

use std::{process::Command, time::Duration};

use uftp_tests::{Program, Result, Suite, World, write_file};

const BOUND: Duration = Duration::from_secs(60);

#[test]
fn nobody_answers() -> Result<()> {
    let world = World::new("nobody", 1)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 1000)?;
    let sent = world
        .sender(Suite::Ours, 0)
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(7)?;
    assert_eq!(
        sent.status,
        [],
        "an open group without an answer has no status lines"
    );
    let sent = world
        .sender(Suite::Ours, 0)
        .invite(&[5])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(7)?;
    sent.connected("failed", &[5])
}

#[test]
fn nothing_to_send() -> Result<()> {
    let world = World::new("nothing", 2)?;
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    let missing = world.dir().join("missing");
    world
        .sender(Suite::Ours, 0)
        .file(&missing)
        .run(BOUND)?
        .ended_with(10)?;
    receiver.stop().map(drop)
}

#[test]
fn the_only_receiver_dies() -> Result<()> {
    let world = World::new("onlydies", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 6_000_000)?;
    let mut receiver = world.receiver(Suite::Ours, 1).start()?;
    let sender = world
        .sender(Suite::Ours, 0)
        .rate("24000")
        .files_of(&content)?
        .start()?;
    world.until_received(1, 1_000_000)?;
    receiver.program().signal(nix::sys::signal::Signal::SIGKILL);
    let sent = sender.finish(BOUND)?;
    sent.ended_with(9)?;
    sent.resulted("lost", &[1], 1)
}

#[test]
fn second_receiver_on_a_host_finds_the_port_taken() -> Result<()> {
    let world = World::new("taken", 1)?;
    let first = world.receiver(Suite::Ours, 0).start()?;
    let mut command = world.command(0, &Suite::Ours.program("uftpd")?);
    command.args(["-d", "-D"]).arg(first.dest());
    let mut second = Program::start("second", command, &world.log_path("second"))?;
    assert_eq!(second.wait(BOUND)?.code, Some(2));
    assert!(
        second.output().contains("1044"),
        "it says which port:\n{}",
        second.output()
    );
    first.stop().map(drop)
}

/// Too few descriptors are told of at once, whatever would have failed first; if only the soft limit is low,
/// more are taken.
#[test]
fn few_descriptors() -> Result<()> {
    let world = World::new("fewfiles", 2)?;
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    let file = world.one_file(10_000)?;
    let limits = (6..24).map(|most| (format!("-n {most}"), 5));
    for (limit, code) in limits.chain([("-Sn 12".to_owned(), 0)]) {
        let mut command = world.command(0, std::path::Path::new("sh"));
        let shell = format!("ulimit {limit}; exec \"$0\" \"$@\"");
        command
            .arg("-c")
            .arg(shell)
            .arg(Suite::Ours.program("uftp")?);
        command.arg("-H").arg("1").arg(&file);
        let mut sender = Program::start("uftp", command, &world.log_path("uftp"))?;
        let (ended, said) = (sender.wait(BOUND)?.code, sender.output());
        assert_eq!(ended, Some(code), "{limit}: {said}");
        assert_eq!(said.contains("(ulimit -n"), code != 0, "{limit}: {said}");
    }
    receiver.stop().map(drop)
}

/// What this host's own firewall holds back is not put down to receivers that are not there.
#[test]
fn nothing_can_be_sent() -> Result<()> {
    let world = World::new("heldback", 1)?;
    let rules = "add table inet t\n\
                 add chain inet t out { type filter hook output priority 0; policy drop; }";
    world.run_on(0, "nft", &[rules])?;
    let content = world.one_file(10)?;
    let mut sender = world.sender(Suite::Ours, 0).files_of(&content)?.start()?;
    let uftp = sender.program();
    let (code, told) = (uftp.wait(BOUND)?.code, uftp.output());
    assert_eq!(code, Some(2), "{told}");
    let why = "Nothing could be sent: Operation not permitted";
    assert!(told.contains(why), "{told}");
    assert_eq!(told.matches("firewall").count(), 1, "{told}");
    Ok(())
}

/// Help and version go to standard output and are no error; all else goes to standard error.
#[test]
fn streams() -> Result<()> {
    for program in ["uftp", "uftpd"] {
        let path = Suite::Ours.program(program)?;
        for option in ["--help", "--version"] {
            let output = Command::new(&path).arg(option).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{program} {option}");
            assert!(
                !output.stdout.is_empty(),
                "{program} {option} prints to standard output"
            );
            assert!(
                output.stderr.is_empty(),
                "{program} {option} prints no errors"
            );
        }
        let output = Command::new(&path).arg("-x").output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{program} -x without its value"
        );
        assert!(
            output.stdout.is_empty(),
            "errors of {program} do not go to standard output"
        );
    }
    Ok(())
}

/// Groups that are joined for listed senders only, and a list that names none.
#[test]
fn nobody_to_join_a_group_for() -> Result<()> {
    let world = World::new("nobodylisted", 1)?;
    let list = world.dir().join("list");
    std::fs::write(&list, "# nobody yet\n")?;
    let mut command = world.command(0, &Suite::Ours.program("uftpd")?);
    command
        .args(["-d", "-M", "232.4.4.4", "-D"])
        .arg(world.dir());
    command.arg("-S").arg(&list);
    let mut receiver = Program::start("receiver", command, &world.log_path("receiver"))?;
    assert_eq!(receiver.wait(BOUND)?.code, Some(2));
    let told = receiver.output();
    let why = "cannot join 232.4.4.4: no sender of -S has an IPv4 address";
    assert!(told.contains(why), "{told}");
    Ok(())
}
