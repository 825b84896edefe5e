//! Lists of senders and proxies that a receiver knows: `uftpd -S` and `-R` (cli §6.1, §7,
//! wire-v5 §11).

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use uftp_proto::Uid;
use uftp_session::security::{ProxyEntry, ServerEntry};

use super::addresses;
use super::lists::{self, fingerprint};
use super::values::hex_uid;
use crate::exit::Failure;

/// The senders of a list.
#[derive(Debug)]
pub(crate) struct Senders {
    /// They.
    pub entries: Vec<ServerEntry>,
    /// A line is of the form of 5.x, which has a place for a proxy.
    pub five: bool,
}

/// Reads lists of senders: lines `uid|address[|fingerprint]` as in 4.x, or
/// `uid|address|proxy[|fingerprint]` as in 5.x, where the proxy is the id of the one the sender is
/// answered through in protocol 5, or 0. A third field with colons is a fingerprint. Lines of 3.x,
/// `address[ fingerprint]`, name the sender by its address.
///
/// # Errors
/// An unreadable file, or a line that cannot be read: it must not pass for one that trusts more.
pub(crate) async fn read(paths: &[PathBuf]) -> Result<Senders, Failure> {
    let mut senders = Senders {
        entries: Vec::new(),
        five: false,
    };
    for path in paths {
        let lines = lists::lines(path, "server list");
        for line in lines.map_err(|failure| failure.about("-S"))? {
            let read = entry(&line.text).await;
            let (entry, five) = read.map_err(|why| line.wrong("-S", &why))?;
            senders.entries.push(entry);
            senders.five |= five;
        }
    }
    Ok(senders)
}

/// Reads lists of proxies: lines `uid|address[|fingerprint]`.
///
/// # Errors
/// As [`read`].
pub(crate) async fn read_proxies(paths: &[&Path]) -> Result<Vec<ProxyEntry>, Failure> {
    let mut entries = Vec::new();
    for path in paths {
        let lines = lists::lines(path, "proxy list");
        for line in lines.map_err(|failure| failure.about("-R"))? {
            let read = proxy(&line.text).await;
            entries.push(read.map_err(|why| line.wrong("-R", &why))?);
        }
    }
    Ok(entries)
}

async fn proxy(line: &str) -> Result<ProxyEntry, String> {
    let mut fields = line.split('|').map(str::trim);
    let (uid, address) = host(&mut fields, "proxy").await?;
    let print = fields.next();
    if fields.next().is_some() {
        return Err("too many fields: expected uid|address[|fingerprint]".to_owned());
    }
    Ok(ProxyEntry {
        uid,
        addresses: vec![address],
        fingerprint: fingerprint(print)?,
    })
}

/// An entry, and whether it is of the form of 5.x.
async fn entry(line: &str) -> Result<(ServerEntry, bool), String> {
    if let Some(entry) = entry_of_3(line)? {
        return Ok((entry, false));
    }
    let mut fields = line.split('|').map(str::trim);
    let (uid, address) = host(&mut fields, "server").await?;
    let (third, fourth) = (fields.next(), fields.next());
    if fields.next().is_some() {
        return Err("too many fields: expected uid|address[|proxy][|fingerprint]".to_owned());
    }
    // A fingerprint has 20 bytes, an id four.
    let proxy = third.and_then(hex_uid);
    let print = match (proxy, third, fourth) {
        (Some(Uid(u32::MAX)), Some(third), _) | (None, Some(third), Some(_)) => {
            return Err(format!("Invalid proxy UID {third}"));
        }
        (Some(_), ..) => fourth,
        (None, ..) => third,
    };
    let entry = ServerEntry {
        uid,
        addresses: vec![address],
        proxy: proxy.filter(|uid| !uid.is_none()),
        fingerprint: fingerprint(print)?,
    };
    Ok((entry, proxy.is_some()))
}

/// A line of 3.x: whose senders are called by their addresses (wire-v3 §2.3, §12.2). In later lists
/// none is without a bar.
fn entry_of_3(line: &str) -> Result<Option<ServerEntry>, String> {
    let mut words = line.split_whitespace();
    let address = words.next().and_then(|word| word.parse::<Ipv4Addr>().ok());
    let Some(address) = address.filter(|_| !line.contains('|')) else {
        return Ok(None);
    };
    Ok(Some(ServerEntry {
        uid: Uid::from_addr(address.into()),
        addresses: vec![address.into()],
        proxy: None,
        fingerprint: fingerprint(words.next())?,
    }))
}

/// The id and address a line begins with; `what` has them.
async fn host(
    fields: &mut impl Iterator<Item = &str>,
    what: &str,
) -> Result<(Uid, IpAddr), String> {
    let text = fields.next().unwrap_or_default();
    let uid = hex_uid(text).filter(|uid| uid.is_host()).ok_or_else(|| {
        format!("Invalid {what} UID {text}: expected hexadecimal other than 0 and FFFFFFFF")
    })?;
    let host = fields.next().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| {
        format!("Missing IP in {what} config: expected uid|address[|fingerprint]")
    })?;
    let address = addresses::resolve(host)
        .await
        .map_err(|why| format!("Invalid {what} name/address {host}: {why}"))?;
    Ok((uid, address))
}

#[cfg(test)]
mod tests {
    use uftp_proto::crypto::Fingerprint;

    use super::*;

    const PRINT: &str = "C9:85:9F:3F:E4:08:7D:83:AD:CB:FC:A8:02:27:7F:51:18:50:1F:23";

    #[tokio::test]
    async fn all_forms_of_a_line() {
        let print: Fingerprint = PRINT.parse().unwrap();
        let (four, five) = (false, true);
        for (line, proxy, fingerprint, form) in [
            ("0A000001|10.0.0.1".to_owned(), None, None, four),
            (
                format!("0x0a000001|10.0.0.1|{PRINT}"),
                None,
                Some(print),
                four,
            ),
            (
                format!("0A000001|10.0.0.1|0|{PRINT}"),
                None,
                Some(print),
                five,
            ),
            ("0A000001|10.0.0.1|0".to_owned(), None, None, five),
            (
                "0A000001|10.0.0.1|0xB3".to_owned(),
                Some(Uid(0xB3)),
                None,
                five,
            ),
            (
                format!("0A000001|10.0.0.1|b3|{PRINT}"),
                Some(Uid(0xB3)),
                Some(print),
                five,
            ),
            (
                format!("A000001|10.0.0.1|{PRINT} remark"),
                None,
                Some(print),
                four,
            ),
            ("10.0.0.1".to_owned(), None, None, four),
            (format!("10.0.0.1 {PRINT}"), None, Some(print), four),
        ] {
            let (read, of_five) = entry(&line).await.unwrap();
            assert_eq!((read.proxy, of_five), (proxy, form), "{line}");
            assert_eq!(read.uid, Uid(0x0a00_0001), "{line}");
            assert_eq!(read.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
            assert_eq!(read.fingerprint, fingerprint, "{line}");
        }
    }

    #[tokio::test]
    async fn nothing_that_cannot_be_read_passes() {
        for (line, says) in [
            ("nohost|10.0.0.1", "Invalid server UID nohost"),
            ("0|10.0.0.1", "Invalid server UID 0"),
            ("1", "Missing IP"),
            ("1|", "Missing IP"),
            ("1|10.0.0.1|zz:zz", "\"zz:zz\" is not a key fingerprint"),
            ("1|10.0.0.1|", "the fingerprint is empty"),
            ("1|10.0.0.1|0|", "the fingerprint is empty"),
            ("1|10.0.0.1|0|11", "\"11\" is not a key fingerprint"),
            ("1|10.0.0.1|ffffffff", "Invalid proxy UID ffffffff"),
            ("1|10.0.0.1||11", "Invalid proxy UID "),
            ("1|10.0.0.1|0|11|22", "too many fields"),
            ("10.0.0.1 zz:zz", "\"zz:zz\" is not a key fingerprint"),
            ("10.0.0.1|zz", "Invalid server UID 10.0.0.1"),
            ("host", "Invalid server UID host"),
        ] {
            let told = entry(line).await.unwrap_err();
            assert!(told.starts_with(says), "{line}: {told}");
        }
        let failure = read(&["/no/list".into()]).await.unwrap_err();
        let says = "Couldn't open server list /no/list";
        assert!(failure.message.starts_with(says), "{failure}");
    }

    #[tokio::test]
    async fn proxies_with_and_without_fingerprint() {
        let read = proxy(&format!("0xB3|10.0.0.2|{PRINT}")).await.unwrap();
        assert_eq!(read.uid, Uid(0xB3));
        assert_eq!(read.addresses, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(read.fingerprint, Some(PRINT.parse().unwrap()));
        let bare = proxy("B3|10.0.0.2").await.unwrap();
        assert_eq!(bare.fingerprint, None);
        for (line, says) in [
            ("0|10.0.0.2", "Invalid proxy UID 0"),
            ("B3", "Missing IP in proxy config"),
            ("B3|10.0.0.2|", "the fingerprint is empty"),
            ("B3|10.0.0.2|11", "\"11\" is not a key fingerprint"),
            ("B3|10.0.0.2|0|11", "too many fields"),
        ] {
            let told = proxy(line).await.unwrap_err();
            assert!(told.starts_with(says), "{line}: {told}");
        }
    }
}
