//! Writes man pages and completions of the programs, from the definitions their parsers use:
//! `man DIR` makes `DIR/man1/PROGRAM.1` and `DIR/completions/PROGRAM.SHELL`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Arg;
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
9\tevery receiver was lost; with --strict, any
10\tno receiver took anything; with --strict, an item could not be sent or was rejected";
const EXAMPLES_UFTP: &str = "\
uftp -R 50000 -S status.txt image.iso\tsends a file at 50 Mbps to whoever listens, and records who got what
uftp -R -1 -H host1,host2 directory/ notes.txt\tsends to these two, as fast as they can take it
uftp -I eth1 -t 8 image.iso\tsends by this interface, across up to 8 routers
uftp --protocol 4 -Y aes256-gcm image.iso\tsends to receivers of UFTP 4.x, encrypted
uftp --check -H host1 image.iso\tlooks whether all is in order, and sends nothing";
const EXAMPLES_UFTPD: &str = "\
uftpd -d -D /srv/incoming\treceives into this directory, in the foreground
uftpd -D /srv/incoming -E -S senders.txt\ttakes encrypted sessions only; where the list has fingerprints, of those who have the keys
uftpd --check -D /srv/incoming -I eth0\tlooks whether all is in order, and receives nothing";
const EXAMPLES_UFTPPROXYD: &str = "\
uftpproxyd -s proxy-b.example.org\tnext to a sender, passes its sessions on to a client proxy
uftpproxyd -c -U 0xB0\tis that client proxy, known to senders as 0xB0 in -j
uftpproxyd -r -U 0xA1\tgathers the answers of receivers that are started with -r HOST of this proxy";
const EXAMPLES_KEYMGT: &str = "\
uftp_keymgt -g ec:prime256v1 sender.pem\tmakes a key, and shows its fingerprint
uftp_keymgt sender.pem\tshows the fingerprint again";
const EXIT_UFTPD: &str = "\
0\tit runs in the background
1\tthe command line, a list, a directory or the status file
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
const STATUS_UFTP: &str = "\
CONNECT;success;HOST\tor failed: whether a host has registered
RESULT;HOST;NAME;SIZEKB;WORD;SPEED\tfor each item: copy, overwritten, skipped, rejected; without a speed mute, lost, aborted
FREESPACE;NAME;BYTES\tthe answer to @FREESPACE
STATS;HOST;COPIED;OVERWRITTEN;SKIPPED;MB;SECONDS;SPEED\tsums, under a line HSTATS, only of a session that was brought to its end";
const STATUS_UFTPD: &str = "\
CONNECT;TIME;SENDER;GROUP;ADDRESS;NAME\ta session was announced
RESULT;TIME;SENDER;GROUP;NAME;SIZEKB;WORD\tcopied, overwritten, skipped or rejected";
const SIGNALS_UFTP: &str = "\
SIGINT, SIGTERM, SIGHUP\tend the session and tell every receiver; a second one ends the program at once. SIGHUP does nothing under nohup
SIGUSR1\tlogs what was counted";
const SIGNALS_UFTPD: &str = "\
SIGINT, SIGTERM\tend all sessions and tell their senders
SIGHUP\topens log, status file and events anew and reads lists again
SIGUSR1\tlogs what was counted";
const SIGNALS_UFTPPROXYD: &str = "\
SIGINT, SIGTERM\tend the program
SIGHUP\topens log and events anew and reads lists again
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
            ("EXAMPLES", EXAMPLES_UFTP),
            ("EXIT STATUS", EXIT_UFTP),
            ("LINES OF THE STATUS FILE", STATUS_UFTP),
            ("SIGNALS", SIGNALS_UFTP),
            ("FILES", FILES),
            ("ENVIRONMENT", ENVIRONMENT),
        ],
        all,
    )?;
    pages::<uftpd::Args>(
        dir,
        &[
            ("EXAMPLES", EXAMPLES_UFTPD),
            ("EXIT STATUS", EXIT_UFTPD),
            ("LINES OF THE STATUS FILE", STATUS_UFTPD),
            ("SIGNALS", SIGNALS_UFTPD),
            ("FILES", FILES),
            ("ENVIRONMENT", &both),
        ],
        all,
    )?;
    pages::<uftpproxyd::Args>(
        dir,
        &[
            ("EXAMPLES", EXAMPLES_UFTPPROXYD),
            ("EXIT STATUS", EXIT_UFTPPROXYD),
            ("SIGNALS", SIGNALS_UFTPPROXYD),
            ("FILES", FILES),
            ("ENVIRONMENT", &both),
        ],
        all,
    )?;
    pages::<uftp_keymgt::Args>(
        dir,
        &[("EXAMPLES", EXAMPLES_KEYMGT), ("EXIT STATUS", EXIT_KEYMGT)],
        all,
    )
}

/// Writes page and completions of a program; rows of `tables` are terms and what they mean.
fn pages<T: Program>(dir: &Path, tables: &[(&str, &str)], see_also: &str) -> io::Result<()> {
    let name = options::command::<T>().get_name().to_owned();
    for shell in options::SHELLS {
        let file = dir.join("completions");
        fs::create_dir_all(&file)?;
        fs::write(
            file.join(format!("{name}.{shell}")),
            options::completions::<T>(shell),
        )?;
    }
    let file = dir.join("man1");
    fs::create_dir_all(&file)?;
    fs::write(file.join(format!("{name}.1")), page::<T>(tables, see_also)?)
}

/// The page of a program.
fn page<T: Program>(tables: &[(&str, &str)], see_also: &str) -> io::Result<Vec<u8>> {
    let command = options::command::<T>().mut_args(with_aliases);
    let name = command.get_name().to_owned();
    let man = Man::new(command).manual("UFTP").title(name.to_uppercase());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    // All options in one line, as clap_mangen has them, are too many to read.
    let operands = T::OPERANDS.trim_end();
    writeln!(page, ".SH SYNOPSIS\n\\fB{name}\\fR [OPTION...] {operands}")?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for (title, rows) in tables {
        writeln!(page, ".SH \"{title}\"")?;
        for (term, text) in rows.lines().filter_map(|row| row.split_once('\t')) {
            writeln!(page, ".TP\n\\fB{}\\fR\n{text}", term.replace('-', "\\-"))?;
        }
    }
    writeln!(page, ".SH \"SEE ALSO\"\n{see_also}")?;
    Ok(page)
}

/// clap_mangen leaves other names of an option out.
fn with_aliases(arg: Arg) -> Arg {
    let (Some(help), Some(aliases)) = (arg.get_help(), arg.get_visible_aliases()) else {
        return arg;
    };
    let aliases = aliases.iter().map(|alias| format!(" [alias: --{alias}]"));
    let help = help.to_string() + &aliases.collect::<String>();
    arg.help(help)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A page without its marks.
    fn unmarked(page: &str) -> String {
        let marks = [
            ("\\-", "-"),
            ("\\*(Aq", "'"),
            ("\\fB", ""),
            ("\\fI", ""),
            ("\\fR", ""),
        ];
        let all = marks.iter().fold(page.to_owned(), |text, (mark, meant)| {
            text.replace(mark, meant)
        });
        all.replace("\\&", "")
    }

    /// The words of a text, wherever its lines break.
    fn words(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Options by what they are called, as `-R, --rate`, and how often. Each begins a line.
    fn listed<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for line in lines {
            let names = line.split("  ").next().unwrap_or_default();
            let names = names.split(' ').take_while(|word| word.starts_with('-'));
            *found
                .entry(names.collect::<Vec<_>>().join(" "))
                .or_default() += 1;
        }
        found
    }

    fn agree<T: Program>() {
        let help = options::command::<T>()
            .term_width(10_000)
            .render_help()
            .to_string();
        let page = String::from_utf8(page::<T>(&[], "").unwrap()).unwrap();
        let page = unmarked(&page);
        let begins = |line: &&str| line.starts_with('-');
        let headings = page.lines().zip(page.lines().skip(1));
        let headings = headings.filter_map(|(before, line)| (before == ".TP").then_some(line));
        let in_page = listed(headings.filter(begins));
        let in_help = listed(help.lines().map(str::trim_start).filter(begins));
        assert_eq!(in_page, in_help);
        assert!(in_help.len() > 4, "{help}");
        let page = words(&page);
        for arg in options::command::<T>()
            .get_arguments()
            .filter(|arg| !arg.is_hide_set())
        {
            let help = arg.get_help().unwrap().to_string();
            assert!(page.contains(&words(&help)), "{help}");
            for alias in arg.get_visible_aliases().unwrap_or_default() {
                assert!(page.contains(&format!("[alias: --{alias}]")), "{alias}");
            }
            let defaults = arg
                .get_default_values()
                .iter()
                .filter_map(|value| value.to_str());
            for default in defaults.filter(|_| arg.get_action().takes_values()) {
                assert!(
                    page.contains(&words(&format!("[default: {default}]"))),
                    "{help}"
                );
            }
        }
    }

    #[test]
    fn examples_are_read() {
        fn read<T: Program>(rows: &str) {
            for line in rows.lines().filter_map(|row| Some(row.split_once('\t')?.0)) {
                let read = options::command::<T>().try_get_matches_from(line.split(' '));
                assert!(read.is_ok(), "{line}: {}", read.unwrap_err());
            }
        }
        read::<uftp::Args>(EXAMPLES_UFTP);
        read::<uftpd::Args>(EXAMPLES_UFTPD);
        read::<uftpproxyd::Args>(EXAMPLES_UFTPPROXYD);
        read::<uftp_keymgt::Args>(EXAMPLES_KEYMGT);
    }

    #[test]
    fn pages_and_help_have_the_same_options() {
        agree::<uftp::Args>();
        agree::<uftpd::Args>();
        agree::<uftpproxyd::Args>();
        agree::<uftp_keymgt::Args>();
    }
}
