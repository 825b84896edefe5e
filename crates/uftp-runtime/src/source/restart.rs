//! What a sender leaves for a later run of its session (cli §6.4, behaviour-sender-receiver §3.15):
//! a text of our own with a checksum. What 4.10.2 leaves is read too.
//!
//! ```text
//! UFTP sender restart, version 1
//! group F26A0172
//! instance 0
//! file content/a%20b
//! client 00000001 - 0x1
//! proxy 0A090001 10:20:… proxy.example
//! sha256 9F86D0…
//! ```

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use openssl::sha::sha256;
use uftp_proto::crypto::Fingerprint;
use uftp_proto::{GroupId, Instance, Uid};
use uftp_session::sender::ClientEntry;

use crate::exit::Failure;
use crate::log::printable;

const MAGIC: &str = "UFTP sender restart, version 1\n";
const SUM: &str = "sha256 ";
/// Longest restart file that is read, bytes.
const MAX_LEN: u64 = 64 << 20;
/// Most receivers and files a run of the C program leaves.
const MAX_FILES: usize = 10_000;

/// A session to be resumed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Restart {
    /// Its number.
    pub group: GroupId,
    /// The restart counter of the run that left this.
    pub instance: Instance,
    /// What was to be sent, as given.
    pub files: Vec<OsString>,
    /// Who has not got all of it, and their proxies.
    pub clients: Vec<ClientEntry>,
}

impl Restart {
    /// Reads the file of `-F`.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or of another program.
    pub(crate) fn read(path: &Path) -> Result<Restart, Failure> {
        let told = path.display();
        let failure = |why: String| Failure::command_line(format!("{why} (option -F)"));
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_LEN).read_to_end(&mut bytes))
            .map_err(|error| failure(format!("Failed to open restart file: {told}: {error}")))?;
        let read = match bytes.starts_with(MAGIC.as_bytes()) {
            true => Restart::parse(&bytes),
            false => Restart::parse_classic(&bytes),
        };
        let restart = read.map_err(|why| {
            failure(format!(
                "Failed to read restart file {told}: {why}; expected one that uftp has left"
            ))
        })?;
        if restart.instance.0 == u8::MAX {
            return Err(failure(format!(
                "Maximum number of restarts reached in {told}"
            )));
        }
        Ok(restart)
    }

    /// Writes `_group_GROUPID_restart` in `dir`, mode 0644; at any instant it is the old one or the
    /// new one, whole. Where it is.
    ///
    /// # Errors
    /// Any of the system.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<PathBuf> {
        let path = dir.join(self.file_name());
        let mut file = tempfile::Builder::new()
            .prefix("_group_")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(dir)?;
        file.write_all(self.text().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        File::open(dir)?.sync_all()?;
        Ok(path)
    }

    /// What the file is called.
    pub(crate) fn file_name(&self) -> String {
        format!("_group_{}_restart", self.group)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{MAGIC}group {}\ninstance {}\n",
            self.group, self.instance.0
        );
        for file in &self.files {
            text += &format!("file {}\n", escape(file.as_bytes()));
        }
        for client in &self.clients {
            let kind = if client.proxy { "proxy" } else { "client" };
            let key = client.fingerprint.map_or("-".to_owned(), |f| f.to_string());
            let name = escape(client.name.as_bytes());
            text += &format!("{kind} {:08X} {key} {name}\n", client.uid.0);
        }
        let sum = hex(&sha256(text.as_bytes()));
        text + SUM + &sum + "\n"
    }

    fn parse(bytes: &[u8]) -> Result<Restart, &'static str> {
        const DAMAGED: &str = "its checksum is wrong";
        const INVALID: &str = "it contradicts itself";
        let text = std::str::from_utf8(bytes).map_err(|_| DAMAGED)?;
        let (body, sum) = text.rsplit_once(SUM).ok_or(DAMAGED)?;
        if sum != format!("{}\n", hex(&sha256(body.as_bytes()))) {
            return Err(DAMAGED);
        }
        let mut restart = Restart {
            group: GroupId(0),
            instance: Instance(0),
            files: Vec::new(),
            clients: Vec::new(),
        };
        for line in body.lines().skip(1) {
            let (word, value) = line.split_once(' ').ok_or(INVALID)?;
            restart.take(word, value).ok_or(INVALID)?;
        }
        restart.checked()
    }

    fn take(&mut self, word: &str, value: &str) -> Option<()> {
        match word {
            "group" => self.group = GroupId(u32::from_str_radix(value, 16).ok()?),
            "instance" => self.instance = Instance(value.parse().ok()?),
            "file" => self.files.push(OsString::from_vec(unescape(value)?)),
            "client" | "proxy" => {
                let mut parts = value.splitn(3, ' ');
                let uid = Uid(u32::from_str_radix(parts.next()?, 16).ok()?);
                let fingerprint = match parts.next()? {
                    "-" => None,
                    text => Some(text.parse().ok()?),
                };
                self.clients.push(ClientEntry {
                    uid,
                    name: String::from_utf8(unescape(parts.next()?)?).ok()?,
                    proxy: word == "proxy",
                    fingerprint,
                });
            }
            _ => return None,
        }
        Some(())
    }

    /// Reads what 4.10.2 leaves on 64-bit Linux of this machine's byte order (cli §6.4):
    ///
    /// ```text
    /// head        group 4, instance 1, nothing 3, count of files 4
    /// each file   name 300
    /// each host   name 80, id 4 as on the wire, has a fingerprint 4, fingerprint 20, nothing 44,
    ///             is a proxy 4
    /// ```
    fn parse_classic(bytes: &[u8]) -> Result<Restart, &'static str> {
        const FILE: usize = 300;
        const NAME: usize = 80;
        const UID: usize = NAME;
        const HAS_FINGERPRINT: usize = UID + 4;
        const FINGERPRINT: usize = HAS_FINGERPRINT + 4;
        const IS_PROXY: usize = FINGERPRINT + 64;
        const HOST: usize = IS_PROXY + 4;
        let mut rest = bytes;
        let mut next = |len: usize| {
            let (part, left) = rest.split_at_checked(len).ok_or("it is too short")?;
            rest = left;
            Ok::<_, &str>(part)
        };
        let group = GroupId(word(next(4)?, u32::from_ne_bytes));
        let instance = Instance(next(4)?.first().copied().unwrap_or_default());
        let files = word(next(4)?, u32::from_ne_bytes) as usize;
        if files == 0 || files > MAX_FILES {
            return Err("it is none, or has too many files");
        }
        let named = |part: &[u8]| {
            let text = part.split(|b| *b == 0).next().unwrap_or_default();
            OsString::from_vec(text.to_vec())
        };
        let files = (0..files).map(|_| next(FILE).map(named));
        let files: Vec<_> = files.collect::<Result<_, _>>()?;
        let mut clients = Vec::new();
        while let Ok(host) = next(HOST) {
            let field = |from: usize, len: usize| host.get(from..from + len).unwrap_or_default();
            let fingerprint = <[u8; 20]>::try_from(field(FINGERPRINT, 20))
                .ok()
                .map(Fingerprint);
            let is = |at| word(field(at, 4), u32::from_ne_bytes) != 0;
            clients.push(ClientEntry {
                uid: Uid(word(field(UID, 4), u32::from_be_bytes)),
                name: printable(named(field(0, NAME)).as_bytes()),
                proxy: is(IS_PROXY),
                fingerprint: fingerprint.filter(|_| is(HAS_FINGERPRINT)),
            });
        }
        if !rest.is_empty() {
            return Err("its length fits no number of files and receivers");
        }
        Restart {
            group,
            instance,
            files,
            clients,
        }
        .checked()
    }

    /// What makes no session is refused: above all, one without receivers would be open to all.
    fn checked(self) -> Result<Restart, &'static str> {
        let invalid = |c: &ClientEntry| !c.uid.is_host();
        if self.group.0 == 0 || self.files.is_empty() || self.files.iter().any(|f| f.is_empty()) {
            return Err("it names no session or no files");
        }
        if !self.clients.iter().any(|c| !c.proxy) || self.clients.iter().any(invalid) {
            return Err("it names no receivers");
        }
        Ok(self)
    }
}

fn word(bytes: &[u8], order: fn([u8; 4]) -> u32) -> u32 {
    bytes.try_into().map_or(0, order)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// Everything but plain characters of file names as `%` and two hexadecimal digits.
fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'%' | 0..=b' ' | 0x7F.. => {
                let _ = write!(text, "%{byte:02X}");
            }
            plain => text.push(char::from(*plain)),
        }
        text
    })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, plain) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(plain.as_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn client(uid: u32, name: &str, proxy: bool, key: bool) -> ClientEntry {
        ClientEntry {
            uid: Uid(uid),
            name: name.into(),
            proxy,
            fingerprint: key.then_some(Fingerprint([0xAB; 20])),
        }
    }

    fn example() -> Restart {
        Restart {
            group: GroupId(0xF26A_0172),
            instance: Instance(7),
            files: [&b"a"[..], b"/x y/%41", b"\xff\n\r", b"@FREESPACE"]
                .map(|f| OsString::from_vec(f.to_vec()))
                .to_vec(),
            clients: vec![
                client(1, "0x1", false, false),
                client(0xA00_0001, "ten zero.example ü", false, true),
                client(9, "p", true, true),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        for instance in [7, 8] {
            let mut restart = example();
            restart.instance = Instance(instance);
            let path = restart.write(dir.path()).unwrap();
            assert_eq!(path, dir.path().join("_group_F26A0172_restart"));
            assert_eq!(Restart::read(&path).unwrap(), restart);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o644);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(example().write(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn every_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = example().write(dir.path()).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(Restart::parse(&bytes).is_err(), "byte {at}");
            fs::write(&path, &bytes).unwrap();
            let failure = Restart::read(&path).unwrap_err();
            assert!(failure.message.contains("restart file"), "{failure}");
            assert!(Restart::parse(&whole[..at]).is_err(), "{at} bytes");
            assert!(Restart::parse_classic(&whole[..at]).is_err(), "{at} bytes");
        }
        let missing = Restart::read(Path::new("/no/such")).unwrap_err();
        let words = "Failed to open restart file: /no/such: ";
        assert!(missing.message.starts_with(words), "{missing}");
    }

    #[test]
    fn the_last_instance_and_empty_lists_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |change: fn(&mut Restart)| {
            let mut restart = example();
            change(&mut restart);
            let path = restart.write(dir.path()).unwrap();
            Restart::read(&path).unwrap_err().message
        };
        let last = refused(|r| r.instance = Instance(255));
        assert!(last.starts_with("Maximum number of restarts reached"));
        for change in [
            (|r| r.clients.clear()) as fn(&mut Restart),
            |r| r.clients.retain(|c| c.proxy),
            |r| r.clients.push(client(0, "nobody", false, false)),
            |r| r.files.clear(),
            |r| r.group = GroupId(0),
        ] {
            assert!(refused(change).contains("it names no"));
        }
    }

    #[test]
    fn what_the_c_program_leaves_is_read() {
        let mut bytes = 0xC413_C104_u32.to_ne_bytes().to_vec();
        bytes.extend([2, 0x77, 0x77, 0x77]);
        bytes.extend(2_u32.to_ne_bytes());
        let padded = |text: &str, len: usize| {
            let mut field = text.as_bytes().to_vec();
            field.resize(len, 0);
            field
        };
        bytes.extend(padded("tree/a", 300));
        bytes.extend(padded("@FREESPACE", 300));
        for (name, uid, proxy) in [("0x1", 1_u32, 0_u32), ("proxy", 9, 1)] {
            bytes.extend(padded(name, 80));
            bytes.extend(uid.to_be_bytes());
            bytes.extend(proxy.to_ne_bytes());
            bytes.extend(vec![0xAB; 64]);
            bytes.extend(proxy.to_ne_bytes());
        }
        assert_eq!(bytes.len(), 924, "as measured");
        let restart = Restart::parse_classic(&bytes).unwrap();
        assert_eq!(restart.group, GroupId(0xC413_C104));
        assert_eq!(restart.instance, Instance(2));
        assert_eq!(restart.files, ["tree/a", "@FREESPACE"]);
        let hosts = [
            client(1, "0x1", false, false),
            client(9, "proxy", true, true),
        ];
        assert_eq!(restart.clients, hosts);
        bytes.push(0);
        assert!(Restart::parse_classic(&bytes).is_err());
    }
}
