//! The program that is run with what was received, `-s` (behaviour-sender-receiver §5.10, cli §8.4).

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::{io, mem, thread};

use nix::unistd::{AccessFlags, eaccess};
use uftp_proto::Uid;
use uftp_proto::wire::CompleteStatus;

use crate::exit::Failure;
use crate::log::{self, Tag, printable};
use crate::status::receiver_word;

/// Scripts that run at once, at most: whoever may send could have any number of them run else.
const AT_ONCE: usize = 64;
/// Bytes of what the calls that wait for their turn are told, at most: half a million or so.
const WAITING: usize = 64 << 20;
/// Memory for the thread that waits for a script, bytes.
const WAITER_STACK: usize = 64 * 1024;

/// A program to run after receiving.
#[derive(Clone)]
pub(super) struct PostReceive(Arc<Turns>);

/// What it is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) session: Tag,
    pub(super) server: Uid,
    pub(super) status: CompleteStatus,
    /// What was received, by absolute path.
    pub(super) paths: &'a [PathBuf],
}

impl PostReceive {
    /// The program of this absolute path.
    pub(super) fn new(path: &Path) -> Self {
        PostReceive(Arc::new(Turns {
            program: path.to_owned(),
            line: Mutex::default(),
        }))
    }

    /// Looks whether the program is there and this user may run it.
    ///
    /// # Errors
    /// It is not, or may not.
    pub(super) fn try_out(path: &Path) -> Result<(), Failure> {
        let program = path.display();
        let accessible = eaccess(path, AccessFlags::X_OK);
        accessible.map_err(|error| {
            Failure::command_line(format!(
                "can't run postreceive script {program}: {error} (option -s)"
            ))
        })
    }

    /// Starts the program: no shell, nothing to read, nowhere to write, signals as if started by
    /// hand. It is not waited for. Several may run at once; of very many some wait for others to end,
    /// and what is too much to remember is not run. A failure is only logged.
    pub(super) fn run(&self, call: Call<'_>) {
        let turns = &self.0;
        if let Some(call) = turns.line_up(Errand::new(call)) {
            match turns.start(&call) {
                Some(child) => turns.see_to(child, call.session),
                None => turns.line().running -= 1,
            }
        }
    }
}

/// A program of which so many run at once and others wait for their turn.
struct Turns {
    program: PathBuf,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    running: usize,
    waiting: VecDeque<Errand>,
    /// What those that wait are told, in bytes.
    bytes: usize,
}

/// A call that may have to wait.
struct Errand {
    session: Tag,
    server: Uid,
    status: CompleteStatus,
    words: Vec<OsString>,
}

impl Turns {
    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing that can panic is done while it is locked.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives `errand` back if it is its turn now, and has it wait otherwise.
    fn line_up(&self, errand: Errand) -> Option<Errand> {
        let mut line = self.line();
        if line.running < AT_ONCE {
            line.running += 1;
            return Some(errand);
        }
        let bytes = line.bytes + errand.bytes();
        if bytes > WAITING {
            drop(line);
            self.not_run(&errand, "too many wait for their turn");
            return None;
        }
        line.bytes = bytes;
        line.waiting.push_back(errand);
        None
    }

    /// The one whose turn it is when another has ended.
    fn next(&self) -> Option<Errand> {
        let mut line = self.line();
        let next = line.waiting.pop_front();
        match &next {
            Some(errand) => line.bytes -= errand.bytes(),
            None => line.running -= 1,
        }
        next
    }

    fn start(&self, errand: &Errand) -> Option<Child> {
        let program = self.program.display();
        let say = |verbosity, text: std::fmt::Arguments<'_>| {
            log::line(verbosity, Some(errand.session), text);
        };
        let told = errand.told();
        say(2, format_args!("Running postreceive: {program} {told}"));
        let child = errand.spawn(&self.program);
        if let Err(error) = &child {
            say(
                0,
                format_args!("Couldn't run {program}: {error} (option -s)"),
            );
        }
        child.ok()
    }

    /// Takes note of the end of a script, whenever it comes, and then sees to those that wait. They
    /// are let go of when this program ends.
    fn see_to(self: &Arc<Self>, child: Child, session: Tag) {
        let turns = Arc::downgrade(self);
        let waiter = thread::Builder::new()
            .name("postreceive".into())
            .stack_size(WAITER_STACK)
            .spawn(move || {
                wait(child, session);
                while let Some((child, session)) = next_child(&turns) {
                    wait(child, session);
                }
            });
        if let Err(error) = waiter {
            self.line().running -= 1;
            let text = format_args!("Couldn't wait for postreceive: {error}");
            log::line(1, Some(session), text);
        }
    }

    fn not_run(&self, errand: &Errand, why: &str) {
        let program = self.program.display();
        let text = format_args!("Postreceive not run, {why}: {program} {}", errand.told());
        log::line(0, Some(errand.session), text);
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        let waiting = mem::take(&mut self.line().waiting);
        for errand in waiting {
            self.not_run(&errand, "this program ends");
        }
    }
}

/// Starts the next of those that wait and can be run.
fn next_child(turns: &Weak<Turns>) -> Option<(Child, Tag)> {
    loop {
        let turns = turns.upgrade()?;
        let errand = turns.next()?;
        if let Some(child) = turns.start(&errand) {
            return Some((child, errand.session));
        }
    }
}

fn wait(mut child: Child, session: Tag) {
    let ended = child.wait().map(|status| status.to_string());
    let how = ended.unwrap_or_else(|error| error.to_string());
    log::line(3, Some(session), format_args!("Postreceive ended: {how}"));
}

impl Errand {
    fn new(call: Call<'_>) -> Self {
        let group = call.session.group.to_string();
        let mut words: Vec<OsString> = vec!["-I".into(), group.into()];
        words.extend(call.paths.iter().map(|path| path.clone().into()));
        Errand {
            session: call.session,
            server: call.server,
            status: call.status,
            words,
        }
    }

    /// Its words, as a log shows them.
    fn told(&self) -> String {
        printable(self.words.join(" ".as_ref()).as_encoded_bytes())
    }

    /// What is remembered of it while it waits, in bytes.
    fn bytes(&self) -> usize {
        let words: usize = self.words.iter().map(|word| word.len()).sum();
        words + self.words.len() * size_of::<OsString>() + size_of::<Errand>()
    }

    fn spawn(&self, program: &Path) -> io::Result<Child> {
        // Everything this program opens closes itself when another is executed.
        Command::new(program)
            .args(&self.words)
            .env("UFTP_GROUP_ID", self.session.group.to_string())
            .env("UFTP_SERVER_UID", format!("{:08X}", self.server.0))
            .env("UFTP_STATUS", receiver_word(self.status))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc;
    use std::time::Duration;

    use nix::fcntl::{Flock, FlockArg};
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use uftp_proto::{FileId, GroupId, Instance};

    use super::*;

    /// Nothing that happens at all takes so long.
    const LONG: Duration = Duration::from_secs(60);

    const SESSION: Tag = Tag {
        group: GroupId(7),
        instance: Instance(0),
        file: FileId::SESSION,
    };

    #[test]
    fn of_very_many_some_wait_and_all_have_their_turn() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("ran")).unwrap();
        let (lock, ended) = (at("lock"), at("ended"));
        mkfifo(&ended, Mode::S_IRWXU).unwrap();
        let text = format!(
            "#!/bin/sh\nflock -s {} touch \"$3\"\necho >{}\n",
            lock.display(),
            ended.display()
        );
        fs::write(at("script"), text).unwrap();
        fs::set_permissions(at("script"), fs::Permissions::from_mode(0o755)).unwrap();
        // Open for both, so that it does not end whenever nobody writes.
        let ended = File::options().read(true).write(true).open(ended).unwrap();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(ended)
                .lines()
                .try_for_each(|_| tell.send(()))
        });
        let lock = File::create(lock).unwrap();
        let lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();

        let script = PostReceive::new(&at("script"));
        let most = AT_ONCE + 20;
        for number in 0..most {
            script.run(Call {
                session: SESSION,
                server: Uid(1),
                status: CompleteStatus::NORMAL,
                paths: &[at("ran").join(number.to_string())],
            });
        }
        let line = script.0.line();
        assert_eq!((line.running, line.waiting.len()), (AT_ONCE, 20));
        assert_eq!(
            line.bytes,
            line.waiting.iter().map(Errand::bytes).sum::<usize>()
        );
        drop((line, lock));
        for _ in 0..most {
            told.recv_timeout(LONG).expect("a script that has run");
        }
        assert_eq!(fs::read_dir(at("ran")).unwrap().count(), most);
        assert_eq!(script.0.line().bytes, 0);
    }

    #[test]
    fn what_is_too_much_to_remember_is_not_run() {
        let turns = PostReceive::new("/nowhere".as_ref()).0;
        turns.line().running = AT_ONCE;
        let errand = |len: usize| Errand {
            session: SESSION,
            server: Uid(1),
            status: CompleteStatus::NORMAL,
            words: vec!["x".repeat(len).into()],
        };
        for _ in 0..3 {
            assert!(turns.line_up(errand(WAITING / 3)).is_none());
        }
        assert_eq!(turns.line().waiting.len(), 2);
        assert!(turns.line_up(errand(1)).is_none());
        assert_eq!(turns.line().waiting.len(), 3, "little still has room");
    }
}
