//! Lists of senders that a receiver listens to: `uftpd -S` (cli §6.1, §7).

use std::path::PathBuf;

use uftp_proto::crypto::Fingerprint;
use uftp_session::security::ServerEntry;

use super::addresses;
use super::lists;
use super::values::hex_uid;
use crate::exit::Failure;

/// Reads lists of senders: lines `uid|address[|fingerprint]`, or with the id of a proxy, which
/// must be 0, in the third place.
///
/// # Errors
/// An unreadable file, or a line that cannot be read: it must not pass for one that trusts more.
pub async fn read(paths: &[PathBuf]) -> Result<Vec<ServerEntry>, Failure> {
    let mut entries = Vec::new();
    for path in paths {
        for line in lists::lines(path, "server list")? {
            let read = entry(&line.text).await;
            entries.push(read.map_err(|why| line.wrong("-S", &why))?);
        }
    }
    Ok(entries)
}

async fn entry(line: &str) -> Result<ServerEntry, String> {
    let mut fields = line.split('|').map(str::trim);
    let uid_text = fields.next().unwrap_or_default();
    let uid = hex_uid(uid_text)
        .filter(|uid| !matches!(uid.0, 0 | u32::MAX))
        .ok_or_else(|| {
            format!("Invalid server UID {uid_text}: expected hexadecimal other than 0 and FFFFFFFF")
        })?;
    let host = fields.next().filter(|host| !host.is_empty());
    let host = host.ok_or("Missing IP in server config: expected uid|address[|fingerprint]")?;
    let address = addresses::resolve(host)
        .await
        .map_err(|why| format!("Invalid server name/address {host}: {why}"))?;
    let (third, fourth) = (fields.next(), fields.next());
    if fields.next().is_some() {
        return Err("too many fields: expected uid|address[|proxy][|fingerprint]".to_owned());
    }
    // A fingerprint has 20 bytes, an id four.
    let is_proxy = third.is_some_and(|t| hex_uid(t).is_some());
    let (proxy, print) = match is_proxy {
        true => (third, fourth),
        false if fourth.is_some() => {
            return Err(format!("Invalid proxy UID {}", third.unwrap_or_default()));
        }
        false => (None, third),
    };
    if proxy.and_then(hex_uid).is_some_and(|uid| !uid.is_none()) {
        return Err("proxies of senders are not available yet: expected 0".to_owned());
    }
    Ok(ServerEntry {
        uid,
        addresses: vec![address],
        fingerprint: match print.and_then(|p| p.split_whitespace().next()) {
            None if print.is_some() => return Err("the fingerprint is empty".to_owned()),
            None => None,
            Some(text) => Some(text.parse::<Fingerprint>().map_err(|why| why.to_string())?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use uftp_proto::Uid;

    const PRINT: &str = "C9:85:9F:3F:E4:08:7D:83:AD:CB:FC:A8:02:27:7F:51:18:50:1F:23";

    #[tokio::test]
    async fn both_forms_of_a_line() {
        let print: Fingerprint = PRINT.parse().unwrap();
        for (line, fingerprint) in [
            ("0A000001|10.0.0.1".to_owned(), None),
            (format!("0x0a000001|10.0.0.1|{PRINT}"), Some(print)),
            (format!("0A000001|10.0.0.1|0|{PRINT}"), Some(print)),
            ("0A000001|10.0.0.1|0".to_owned(), None),
            (format!("A000001|10.0.0.1|{PRINT} remark"), Some(print)),
        ] {
            let read = entry(&line).await.unwrap();
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
            ("1|10.0.0.1|5", "proxies of senders are not available"),
            ("1|10.0.0.1|0|11|22", "too many fields"),
        ] {
            let told = entry(line).await.unwrap_err();
            assert!(told.starts_with(says), "{line}: {told}");
        }
        let failure = read(&["/no/list".into()]).await.unwrap_err();
        let says = "Couldn't open server list /no/list";
        assert!(failure.message.starts_with(says), "{failure}");
    }
}
