//! Writes man pages and completions of the programs, from the definitions their parsers use:
//! `man DIR` makes `DIR/man1/PROGRAM.1` and `DIR/completions/PROGRAM.SHELL`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap_mangen::Man;
use uftp_runtime::options::{self, Program, uftp, uftp_keymgt, uftpd, uftpproxyd};

const EXIT_UFTP: &str = "\
0\tat least one receiver has at least one item; the status file says which
1\tthe command line, a list, a restart file or the status file
2\taddresses, interfaces, sockets
3\tkeys
4\tthe log file
5\tmemory, threads, or the program itself
6\tSIGINT or SIGTERM
7\tnobody registered
8\tnobody answered the offer of a file
9\tevery receiver was lost
10\tno receiver took anything";
const EXIT_UFTPD: &str = "\
0\tit runs in the background
1\tthe command line, a directory or the status file
2\taddresses, interfaces, sockets
3\tkeys
4\tthe log file
5\tmemory, threads, or the program itself
6\tSIGINT or SIGTERM: the normal end";
const EXIT_UFTPPROXYD: &str = "\
0\tit runs in the background
1\tthe command line or a list
2\taddresses, interfaces, sockets
3\tkeys
4\tthe log file
5\tmemory, threads, or the program itself
6\tSIGINT or SIGTERM: the normal end";
const EXIT_KEYMGT: &str = "\
0\tall keys were read or made
1\tany was not";
const SIGNALS_UFTP: &str = "\
SIGINT, SIGTERM\tend the session and tell every receiver; a second one ends the program at once
SIGUSR1\tlogs what was counted";
const SIGNALS_UFTPD: &str = "\
SIGINT, SIGTERM\tend all sessions and tell their senders
SIGHUP\topens log, status file and events anew and reads lists again
SIGUSR1\tlogs what was counted";
const SIGNALS_UFTPPROXYD: &str = "\
SIGINT, SIGTERM\tend the program
SIGHUP\topens the log anew and reads lists again
SIGUSR1\tlogs what was counted";

const FILES: &str = "\
/etc/uftp/PROGRAM.toml\toptions by their long names without dashes, like log-level = 3; true or false for those without a value; lists like ['a', 'b']. Then those of --config. What is typed beats the environment, that beats the file of --config, that beats this one";
const ENVIRONMENT: &str = "\
UFTP_CONFIG\ta file of options, as --config
UFTP_LONG_NAME\tthe option of that long name, as UFTP_LOG_LEVEL=3; true or false for those without a value; empty counts for nothing
POSIXLY_CORRECT\toptions end at the first word that is none
TZ\tthe time zone of log and status lines
NO_COLOR, TERM\twhether a terminal shows colours and a progress bar";
const ENVIRONMENT_DAEMON: &str = "\
NOTIFY_SOCKET\twhere the service manager is told of readiness, reloading and stopping";

fn main() -> io::Result<()> {
    let dir = std::env::args_os().nth(1);
    let dir = dir.ok_or_else(|| io::Error::other("usage: man DIR"))?;
    let dir = Path::new(&dir);
    let both = [ENVIRONMENT, ENVIRONMENT_DAEMON].join("\n");
    let all = "uftp(1), uftpd(1), uftpproxyd(1), uftp_keymgt(1)";
    pages::<uftp::Args>(
        dir,
        &[
            ("EXIT STATUS", EXIT_UFTP),
            ("SIGNALS", SIGNALS_UFTP),
            ("FILES", FILES),
            ("ENVIRONMENT", ENVIRONMENT),
        ],
        all,
    )?;
    pages::<uftpd::Args>(
        dir,
        &[
            ("EXIT STATUS", EXIT_UFTPD),
            ("SIGNALS", SIGNALS_UFTPD),
            ("FILES", FILES),
            ("ENVIRONMENT", &both),
        ],
        all,
    )?;
    pages::<uftpproxyd::Args>(
        dir,
        &[
            ("EXIT STATUS", EXIT_UFTPPROXYD),
            ("SIGNALS", SIGNALS_UFTPPROXYD),
            ("FILES", FILES),
            ("ENVIRONMENT", &both),
        ],
        all,
    )?;
    pages::<uftp_keymgt::Args>(dir, &[("EXIT STATUS", EXIT_KEYMGT)], all)
}

fn pages<T: Program>(dir: &Path, tables: &[(&str, &str)], see_also: &str) -> io::Result<()> {
    let command = options::command::<T>();
    let name = command.get_name().to_owned();
    for shell in options::SHELLS {
        let file = dir.join("completions");
        fs::create_dir_all(&file)?;
        fs::write(
            file.join(format!("{name}.{shell}")),
            options::completions::<T>(shell),
        )?;
    }
    let man = Man::new(command).manual("UFTP").title(name.to_uppercase());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for (title, rows) in tables {
        writeln!(page, ".SH \"{title}\"")?;
        for (term, text) in rows.lines().filter_map(|row| row.split_once('\t')) {
            writeln!(page, ".TP\n\\fB{term}\\fR\n{text}")?;
        }
    }
    writeln!(page, ".SH \"SEE ALSO\"\n{see_also}")?;
    let file = dir.join("man1");
    fs::create_dir_all(&file)?;
    fs::write(file.join(format!("{name}.1")), page)
}
