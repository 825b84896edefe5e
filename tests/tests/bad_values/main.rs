//! Values that are refused: exit code 1 (2 where the network's names are concerned, 3 for keys, 4 for
//! logs), with the option and what was expected. Where 4.10.2 refuses too it does so with the same code,
//! and its words are among ours.

mod uftp;
mod uftp_keymgt;
mod uftpd;

use std::{fs, time::Duration};

use uftp_runtime::options::{self, Program, command};
use uftp_tests::{Ended, Result, Suite, World, run_apart};

/// Who refuses does so at once.
const BOUND: Duration = Duration::from_secs(10);

/// What the reference does with a line.
#[derive(Clone, Copy, PartialEq)]
enum Theirs {
    /// It ends with the same code and says these words.
    Says(&'static str),
    /// It ends with another code.
    Ends(i32),
    /// It takes it for something else and goes on, or is not asked.
    Takes,
}

/// A command line, the code it ends with, and what is said of it.
type Bad = (&'static str, i32, &'static [&'static str], Theirs);

/// The files that lines name, in the directory they are read in.
fn lists(world: &World) -> Result<()> {
    let long = "n".repeat(80);
    for (name, text) in [
        ("empty", "\n\r\n"),
        ("remarks", "# a remark\n\nhere|are no keys\n"),
        ("print", "# a remark\n0x1\n0x2|zz:11\n"),
        ("long", &format!("0x1\n{long}\n")),
        ("alone", "1\n"),
        ("nobody", "1|no.such.invalid\n"),
        ("prints", "1|10.0.0.1\n2|10.0.0.2|zz:11\n"),
        ("servers", "1|10.0.0.1\n"),
        ("typo", "# a remark\n10.0.0.1\n10.0.0.300\n"),
        ("file", "content"),
    ] {
        fs::write(world.dir().join(name), text)?;
    }
    // Where only remarks are meant.
    let only = world.make_dir("only")?;
    fs::write(only.join("remarks"), "# a remark\n")?;
    Ok(())
}

/// What a program of this suite says to a line.
fn answer(
    world: &World,
    suite: Suite,
    protocol: Option<&str>,
    program: &str,
    before: &[&str],
    line: &str,
) -> Result<Ended> {
    let dest = world.make_dir("dest")?.display().to_string();
    let words = before.iter().copied().chain(line.split(' '));
    let words = words.map(|word| match word {
        "''" => "",
        "DEST" => &dest,
        word => word,
    });
    let mut command = world.command(0, &suite.program(program)?);
    command.current_dir(world.dir());
    command.envs(protocol.map(|protocol| ("UFTP_PROTOCOL", protocol)));
    command.args(words);
    match program {
        "uftp" if !line.starts_with("-i") && !line.contains("@DELETE") => command.arg("file"),
        _ => &mut command,
    };
    run_apart(program, command, world.dir(), BOUND)
}

/// Tries all lines of a program and collects what is not as it should be.
fn refused(program: &str, before: &[&str], table: &[Bad]) -> Result<()> {
    let world = World::new("badvalues", 1)?;
    lists(&world)?;
    let mut wrong = Vec::new();
    let mut check = |suite, protocol, line: &str, code: i32, words: &[&str]| {
        let told = match answer(&world, suite, protocol, program, before, line) {
            Err(failure) => failure.to_string(),
            Ok(Ended {
                code: ended,
                out,
                err,
            }) => {
                let missing: Vec<_> = words.iter().filter(|word| !err.contains(**word)).collect();
                if ended == Some(code) && missing.is_empty() && out.is_empty() {
                    return;
                }
                format!("{ended:?}, without {missing:?}: {err}{out}")
            }
        };
        let protocol = protocol.unwrap_or("by itself");
        wrong.push(format!("{suite:?} {program} {line} ({protocol}): {told}"));
    };
    for (line, code, words, theirs) in table {
        let phrase = match theirs {
            Theirs::Says(phrase) => phrase,
            Theirs::Ends(_) | Theirs::Takes => "",
        };
        let all = [words, &[phrase][..]].concat();
        for protocol in [Some("4"), None] {
            check(Suite::Ours, protocol, line, *code, &all);
        }
        match theirs {
            Theirs::Takes => {}
            Theirs::Says(phrase) => check(Suite::Reference, None, line, *code, &[phrase]),
            Theirs::Ends(code) => check(Suite::Reference, None, line, *code, &[]),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn of_uftp() -> Result<()> {
    refused("uftp", &["-I", "10.77.0.1"], uftp::LINES)
}

#[test]
fn of_uftpd() -> Result<()> {
    refused(
        "uftpd",
        &["-d", "-q", "-I", "lo", "-D", "DEST"],
        uftpd::LINES,
    )
}

#[test]
fn of_uftp_keymgt() -> Result<()> {
    refused("uftp_keymgt", &[], uftp_keymgt::LINES)
}

/// An empty value of these is as good as none, as scripts with empty variables have it.
#[test]
fn empty_values_that_are_none() -> Result<()> {
    let world = World::new("emptyvalues", 2)?;
    lists(&world)?;
    let file = world.dir().join("file");
    for suite in [Suite::Reference, Suite::Ours] {
        let options = ["-F", "", "-A", "", "-T", "", "-s", "", "-k", "", "-K", ""];
        let more = ["-H", "", "-M", "", "-I", "", "-P", "", "-L", ""];
        let receiver = world
            .receiver(suite, 1)
            .args(&options)
            .args(&more)
            .start()?;
        let options = [
            "-S", "", "-L", "", "-U", "", "-D", "", "-E", "", "-k", "", "-K", "",
        ];
        let sender = world
            .sender(suite, 0)
            .invite(&[1])
            .args(&options)
            .file(&file);
        sender.run(Duration::from_secs(20))?.ended_with(0)?;
        let sent = fs::read(&file)?;
        assert_eq!(fs::read(receiver.dest().join("file"))?, sent, "{suite:?}");
        receiver.stop()?;
    }
    Ok(())
}

/// Every option that takes a value says so when there is none; every flag says that it takes none.
#[test]
fn values_that_are_missing_or_too_many() -> Result<()> {
    let world = World::new("missing", 1)?;
    one_program::<options::uftp::Args>(&world)?;
    one_program::<options::uftpd::Args>(&world)?;
    one_program::<options::uftpproxyd::Args>(&world)?;
    one_program::<options::uftp_keymgt::Args>(&world)
}

fn one_program<T: Program>(world: &World) -> Result<()> {
    let command = command::<T>();
    let program = command.get_name().to_owned();
    let said = |words: &[&str]| -> Result<String> {
        let mut command = world.command(0, &Suite::Ours.program(&program)?);
        command.args(words);
        let ended = run_apart(&program, command, world.dir(), BOUND)?;
        assert_eq!(ended.code, Some(1), "{program} {words:?}");
        assert_eq!(ended.out, "", "{program} {words:?}");
        Ok(ended.err)
    };
    for option in command
        .get_arguments()
        .filter(|option| !option.is_positional())
    {
        let long = option.get_long().map(|long| format!("--{long}"));
        let short = option.get_short().map(|short| format!("-{short}"));
        for name in long.iter().chain(&short) {
            if option.get_action().takes_values() {
                let told = said(&["x", name])?;
                let wanted = "requires an argument";
                assert!(told.contains(name) && told.contains(wanted), "{told}");
            }
        }
        if let (Some(name), false) = (&long, option.get_action().takes_values()) {
            let told = said(&[&format!("{name}=x")])?;
            let wanted = "takes no argument";
            assert!(told.contains(name) && told.contains(wanted), "{told}");
        }
    }
    Ok(())
}
