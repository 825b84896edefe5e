//! Lists of receivers: `-H` on the command line and in files (cli §1.5, §6.1).

mod ids;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use uftp_proto::Uid;
use uftp_proto::crypto::Fingerprint;
use uftp_session::sender::ClientEntry;

use super::lists;
use super::values::hex_uid;
use crate::exit::Failure;
use crate::say;

/// Longest name of a host.
const MAX_HOST: usize = 79;
/// Most hosts of a session.
const MAX_HOSTS: usize = 100_000;

/// One entry of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HostEntry {
    /// The name as written.
    pub name: String,
    /// It answers for others (`-j`).
    pub proxy: bool,
    /// Of its key, if the list gives one.
    pub fingerprint: Option<Fingerprint>,
    /// Its id, if it can be told without asking the resolver.
    uid: Option<Uid>,
    /// Where it stands: the option, and the line of its file.
    place: String,
}

/// Reads the values of `-H`: comma separated names, or `@FILE`.
///
/// # Errors
/// An unreadable file, an invalid entry, or no entry at all: an empty list must never mean that
/// anybody may register.
pub(super) fn read(values: &[String]) -> Result<Vec<HostEntry>, Failure> {
    let mut entries = Vec::new();
    for value in values {
        let before = entries.len();
        match value.strip_prefix('@') {
            Some(path) => read_file(OsStr::new(path), &DESTINATIONS, &mut entries)?,
            None => {
                // Blanks behind commas are no part of a name; C programs pass over them before an id, too.
                let names = value.split(',').map(str::trim).filter(|n| !n.is_empty());
                for name in names {
                    let place = format!("option {}", DESTINATIONS.option);
                    let read = entry(name, None, &DESTINATIONS, place);
                    let told = |why: String| Failure::command_line(why).about(DESTINATIONS.option);
                    entries.push(read.map_err(told)?);
                }
            }
        }
        if entries.len() == before {
            return Err(Failure::command_line(format!(
                "the host list '{value}' is empty (option -H): expected at least one receiver; \
                 leave out -H to admit anybody"
            )));
        }
    }
    if entries.len() > MAX_HOSTS {
        return Err(Failure::command_line(format!(
            "the host list has {} entries (option -H): expected at most {MAX_HOSTS}",
            entries.len()
        )));
    }
    Ok(entries)
}

/// Reads the files of `-j`: proxies that are expected besides the receivers.
///
/// # Errors
/// An unreadable file or an invalid entry.
pub(super) fn read_proxies(paths: &[OsString]) -> Result<Vec<HostEntry>, Failure> {
    let mut entries = Vec::new();
    for path in paths {
        read_file(path, &PROXIES, &mut entries)?;
    }
    Ok(entries)
}

/// What is said of a list.
struct Kind {
    name: &'static str,
    option: &'static str,
    proxies: bool,
}

const DESTINATIONS: Kind = Kind {
    name: "destination list",
    option: "-H",
    proxies: false,
};
const PROXIES: Kind = Kind {
    name: "proxy list",
    option: "-j",
    proxies: true,
};

/// Finds the ids of all entries; names are looked up many at a time. A host named twice is
/// taken once.
///
/// # Errors
/// An entry that is no name and no id.
pub(super) async fn resolve(entries: Vec<HostEntry>) -> Result<Vec<ClientEntry>, Failure> {
    let found = ids::of(&entries).await?;
    let mut clients: Vec<ClientEntry> = Vec::with_capacity(entries.len());
    let mut seen: HashMap<Uid, String> = HashMap::new();
    for (entry, uid) in entries.into_iter().zip(found) {
        let HostEntry {
            name,
            proxy,
            fingerprint,
            place,
            ..
        } = entry;
        let wrong = |why: &str| {
            Failure::command_line(format!(
                "Invalid UID {name}: {why}expected a host name, an IPv4 address or a hexadecimal id \
                 other than 0 and FFFFFFFF ({place})"
            ))
        };
        let uid = uid.map_err(|why| wrong(&format!("{why}; ")))?;
        if !uid.is_host() {
            return Err(wrong(""));
        }
        if let Some(first) = seen.insert(uid, name.clone()) {
            say!(
                1,
                "{name} is the same receiver as {first} in the host list: {uid}"
            );
            continue;
        }
        clients.push(ClientEntry {
            uid,
            name,
            proxy,
            fingerprint,
        });
    }
    Ok(clients)
}

fn read_file(path: &OsStr, kind: &Kind, entries: &mut Vec<HostEntry>) -> Result<(), Failure> {
    let lines = lists::lines(Path::new(path), kind.name);
    for line in lines.map_err(|failure| failure.about(kind.option))? {
        let read = listed(&line, kind);
        entries.push(read.map_err(|why| line.wrong(kind.option, &why))?);
    }
    Ok(())
}

/// The receivers of a unicast session of protocol 3, for which there is no list: the one at `public`.
///
/// spec: wire-v3 §9.3: it is called by this address, whatever it calls itself. 3.x senders speak in
/// no other way to a single host, and its receivers know no open group without a private address.
pub(super) fn only(public: IpAddr) -> Vec<ClientEntry> {
    vec![ClientEntry {
        name: public.to_string(),
        ..ClientEntry::receiver(Uid::from_addr(public))
    }]
}

/// The address of the one receiver that a session of protocol 3 is sent to alone (wire-v3 §12.1).
///
/// # Errors
/// None is listed, or more than one, or one that has an id only.
pub(super) fn only_address(clients: &[ClientEntry]) -> Result<IpAddr, Failure> {
    let told = match clients {
        [only] if only.proxy => "that is a proxy".to_owned(),
        // spec: who is called by so small a number is called by an id (wire-v3 §2.3).
        [only] if only.uid.0 <= 0x00FF_FFFF => format!("{} is an id, no address", only.name),
        [only] => return Ok(Ipv4Addr::from_bits(only.uid.0).into()),
        _ => format!("there are {}", clients.len()),
    };
    Err(Failure::command_line(format!(
        "Must specify exactly one host with -H for a unicast session: {told} (option --unicast, -U of 3.x)"
    )))
}

/// A line of a list: `name[|fingerprint]`, or in those of 3.x `name[ fingerprint]`.
fn listed(line: &lists::Line, kind: &Kind) -> Result<HostEntry, String> {
    let text = line.text.trim_start();
    let (name, fingerprint) = match text.split_once('|') {
        None => match text.split_once(' ') {
            Some((name, word)) if word.trim().parse::<Fingerprint>().is_ok() => {
                (name, word.trim().parse().ok())
            }
            _ => (text, None),
        },
        Some((name, rest)) => {
            let word = rest.split_whitespace().next();
            (name, word.map(|w| fingerprint(name, w)).transpose()?)
        }
    };
    let mut host = entry(name, fingerprint, kind, line.place(kind.option))?;
    // spec: cli §6.1: a remark may follow an id, and is part of the name that is shown.
    if let (None, Some((id, _))) = (host.uid, name.split_once(' ')) {
        host.uid = hex_uid(id).filter(|uid| uid.is_host());
    }
    Ok(host)
}

fn entry(
    name: &str,
    fingerprint: Option<Fingerprint>,
    kind: &Kind,
    place: String,
) -> Result<HostEntry, String> {
    if name.len() > MAX_HOST {
        return Err(format!(
            "name too long: {name}: expected at most {MAX_HOST} characters"
        ));
    }
    Ok(HostEntry {
        uid: ids::numeric(name.trim_end()),
        name: name.to_owned(),
        proxy: kind.proxies,
        fingerprint,
        place,
    })
}

/// 20 bytes in hexadecimal, with or without colons. Anything else is refused: an entry whose
/// fingerprint cannot be read must not pass for one without.
fn fingerprint(name: &str, text: &str) -> Result<Fingerprint, String> {
    text.parse().map_err(|_| {
        format!(
            "invalid fingerprint {text} of {name} in the host list: expected 20 hexadecimal bytes \
             joined by colons"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn lists_are_read_and_empty_ones_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let number = fs::read_dir(dir.path()).unwrap().count();
            let path = dir.path().join(number.to_string());
            fs::write(&path, text).unwrap();
            format!("@{}", path.display())
        };
        let ok = read(&[
            "0x1,,0x2".into(),
            file(
                "#no\r\n\r\n0x3\r\n0x1|00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:ff x\n",
            ),
        ]);
        let ok = ok.unwrap();
        assert_eq!(ok.last().unwrap().fingerprint.unwrap().0[19], 0xff);
        let clients = resolve(ok).await.unwrap();
        let names: Vec<_> = clients.iter().map(|c| (c.name.as_str(), c.uid.0)).collect();
        assert_eq!(names, [("0x1", 1), ("0x2", 2), ("0x3", 3)]);

        let print = "00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:ff";
        let of_3 = read(&[file(&format!("10.0.0.1 {print}\n0x000002\n"))]).unwrap();
        assert_eq!(of_3[0].fingerprint.unwrap().0[19], 0xff);
        let clients = resolve(of_3).await.unwrap();
        let names: Vec<_> = clients.iter().map(|c| (c.name.as_str(), c.uid.0)).collect();
        assert_eq!(names, [("10.0.0.1", 0x0A00_0001), ("0x000002", 2)]);

        let remarks = read(&[file("0x0A000001 # x\nab \r\n")]).unwrap();
        let clients = resolve(remarks).await.unwrap();
        let names: Vec<_> = clients.iter().map(|c| (c.name.as_str(), c.uid.0)).collect();
        assert_eq!(names, [("0x0A000001 # x", 0x0a00_0001), ("ab ", 0xab)]);

        // As in `-H "0x1, 0x2"`.
        let blanks = read(&[" 0x1, 10.0.0.2 ,, ".into(), file("  0x3\n10.0.0.4  \n")]).unwrap();
        let clients = resolve(blanks).await.unwrap();
        let uids: Vec<_> = clients.iter().map(|c| c.uid.0).collect();
        assert_eq!(uids, [1, 0x0A00_0002, 3, 0x0A00_0004]);
        assert_eq!(clients[1].name, "10.0.0.2");

        let long = "n".repeat(80);
        for (values, words) in [
            (vec![String::new()], "is empty"),
            (vec![", ".into()], "is empty"),
            (vec![file("#only\n\n")], "is empty"),
            (vec!["0x1".into(), String::new()], "is empty"),
            (
                vec!["@/no/such/list".into()],
                "Couldn't open destination list /no/such/list",
            ),
            (vec![long], "name too long"),
            (vec![file("0x1|zz:11")], "invalid fingerprint"),
            (vec![file("0x1|00:11")], "invalid fingerprint"),
        ] {
            let failure = read(&values).unwrap_err();
            assert!(failure.message.contains(words), "{failure}");
        }
        for id in ["0", "0xffffffff", "0x0"] {
            let failure = resolve(read(&[id.into()]).unwrap()).await.unwrap_err();
            assert!(failure.message.starts_with("Invalid UID"), "{failure}");
        }
    }
}
