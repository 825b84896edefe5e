//! Lists of clients that a proxy serves: `uftpproxyd -C` (cli §6.1).

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;

use uftp_proto::Uid;
use uftp_proto::crypto::Fingerprint;

use super::values::hex_uid;
use super::{addresses, lists};
use crate::exit::Failure;

/// Clients, with the fingerprint of the key each must have, if any.
pub(crate) type Clients = HashMap<Uid, Option<Fingerprint>>;

/// Reads lists of clients: lines `uid[|fingerprint]`; a name or IPv4 address stands for the id
/// made of it.
///
/// # Errors
/// An unreadable file, or a line that cannot be read: it must not pass for one that trusts more.
pub(crate) async fn read(paths: &[PathBuf]) -> Result<Clients, Failure> {
    let mut clients = Clients::new();
    for path in paths {
        let lines = lists::lines(path, "client list");
        for line in lines.map_err(|failure| failure.about("-C"))? {
            let read = entry(&line.text).await;
            let (uid, fingerprint) = read.map_err(|why| line.wrong("-C", &why))?;
            clients.insert(uid, fingerprint);
        }
    }
    Ok(clients)
}

async fn entry(line: &str) -> Result<(Uid, Option<Fingerprint>), String> {
    let (host, rest) = match line.split_once('|') {
        None => (line, None),
        Some((host, rest)) => (host, Some(rest)),
    };
    let host = host.trim();
    let uid = match hex_uid(host) {
        Some(uid) => Some(uid),
        None => match addresses::resolve(host).await {
            Ok(IpAddr::V4(addr)) => Some(Uid::from_addr(addr.into())),
            _ => None,
        },
    };
    let uid = uid.filter(|uid| uid.is_host()).ok_or_else(|| {
        format!(
            "Invalid UID {host}: expected hexadecimal other than 0 and FFFFFFFF, an IPv4 \
                 address or a host name"
        )
    })?;
    Ok((uid, lists::fingerprint(rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINT: &str = "66:1E:C9:1D:FC:99:DB:60:B0:1A:F0:8F:CA:F4:28:27:A6:BE:94:BC";

    #[tokio::test]
    async fn ids_addresses_and_fingerprints() {
        let print: Fingerprint = PRINT.parse().unwrap();
        for (line, uid, fingerprint) in [
            (format!("0x00001111|{PRINT}"), 0x1111, Some(print)),
            ("0x00002222".to_owned(), 0x2222, None),
            ("2222".to_owned(), 0x2222, None),
            (format!("10.0.0.1|{PRINT} remark"), 0x0a00_0001, Some(print)),
        ] {
            let read = entry(&line).await;
            assert_eq!(read, Ok((Uid(uid), fingerprint)), "{line}");
        }
        for (line, says) in [
            ("0", "Invalid UID 0"),
            ("ffffffff", "Invalid UID ffffffff"),
            ("", "Invalid UID"),
            ("1|", "the fingerprint is empty"),
            ("1|zz", "\"zz\" is not a key fingerprint"),
        ] {
            let told = entry(line).await.unwrap_err();
            assert!(told.starts_with(says), "{line}: {told}");
        }
        let failure = read(&["/no/list".into()]).await.unwrap_err();
        let says = "Couldn't open client list /no/list";
        assert!(failure.message.starts_with(says), "{failure}");
    }
}
