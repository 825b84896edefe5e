//! The ids of hosts: what is read as a number or an address, and what the resolver knows (cli §1.5).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use uftp_proto::Uid;

use super::HostEntry;
use crate::exit::Failure;
use crate::options::values::{c_integer, hex_uid};
use crate::say;

/// Most names asked for at once.
const LOOKUPS: usize = 32;
/// How long names may take before a word is said of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The id of each entry, or why it has none; names are looked up many at a time.
///
/// # Errors
/// Looking up was broken off.
pub(super) async fn of(entries: &[HostEntry]) -> Result<Vec<Result<Uid, String>>, Failure> {
    not_in_silence(PATIENCE, look_up_all(entries)).await
}

/// Says a word if `looking_up` takes longer than `patience`.
async fn not_in_silence<T>(patience: Duration, looking_up: impl Future<Output = T>) -> T {
    let mut looking_up = pin!(looking_up);
    match timeout(patience, &mut looking_up).await {
        Ok(done) => done,
        Err(_) => {
            say!(
                1,
                "Looking up the names of the host list takes time; an id that begins with 0x needs none"
            );
            looking_up.await
        }
    }
}

async fn look_up_all(entries: &[HostEntry]) -> Result<Vec<Result<Uid, String>>, Failure> {
    let known = |entry: &HostEntry| entry.uid.ok_or_else(String::new);
    let mut found: Vec<Result<Uid, String>> = entries.iter().map(known).collect();
    let mut waiting = entries.iter().enumerate().filter(|(_, e)| e.uid.is_none());
    let mut lookups = JoinSet::new();
    loop {
        while lookups.len() < LOOKUPS
            && let Some((at, entry)) = waiting.next()
        {
            let name = entry.name.clone();
            lookups.spawn(async move { (at, look_up(name.trim_end()).await) });
        }
        match lookups.join_next().await {
            None => return Ok(found),
            Some(Ok((at, uid))) => {
                if let Some(slot) = found.get_mut(at) {
                    *slot = uid;
                }
            }
            Some(Err(error)) => {
                return Err(Failure::command_line(format!(
                    "looking up the host list failed: {error}"
                )));
            }
        }
    }
}

/// The id of an entry that is a number or an address.
pub(super) fn numeric(name: &str) -> Option<Uid> {
    if name.starts_with("0x") || name.starts_with("0X") {
        return hex_uid(name);
    }
    if let Ok(addr) = name.parse::<Ipv4Addr>() {
        return Some(Uid::from_addr(addr.into()));
    }
    let addr = old_address(name)?;
    let uid = Uid::from_addr(addr.into());
    say!(
        1,
        "{name} in the host list is read as address {addr}, that is id {uid}; write 0x{name} for an id"
    );
    Some(uid)
}

/// The old forms of an IPv4 address: one to four numbers in C's notation, the last of which
/// fills what is left.
fn old_address(text: &str) -> Option<Ipv4Addr> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut parts: Vec<u32> = text
        .split('.')
        .map(|p| c_integer(p).and_then(|n| u32::try_from(n).ok()))
        .collect::<Option<_>>()?;
    let last = parts.pop()?;
    let room = 32_u32.checked_sub(8 * u32::try_from(parts.len()).ok()?)?;
    if room == 0 || u64::from(last) >> room != 0 || parts.iter().any(|p| *p > 255) {
        return None;
    }
    let high = parts.iter().fold(0_u64, |sum, p| sum << 8 | u64::from(*p));
    let value = high << room | u64::from(last);
    u32::try_from(value).ok().map(Ipv4Addr::from)
}

/// The id of a name: its IPv4 address, else what it says in hexadecimal.
///
/// # Errors
/// The resolver's words, or that it knows no IPv4 address.
async fn look_up(name: &str) -> Result<Uid, String> {
    let v4 = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(v4) => Some(Uid::from_addr(v4.into())),
        IpAddr::V6(_) => None,
    };
    let found = match tokio::net::lookup_host((name, 0)).await {
        Ok(mut addrs) => addrs
            .find_map(v4)
            .ok_or_else(|| "the name has no IPv4 address".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    found.or_else(|why| hex_uid(name).ok_or(why))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::log::{ClassicLayer, Look, Sink};

    #[test]
    fn numbers_keep_their_old_meaning() {
        for (text, uid) in [
            ("10", Some(0x0000_000A)),
            ("0x10", Some(0x0000_0010)),
            ("0X0A090001", Some(0x0A09_0001)),
            ("00000011", Some(0x0000_0009)),
            ("11223344", Some(0x00AB_4130)),
            ("10.0.0.1", Some(0x0A00_0001)),
            ("10.1", Some(0x0A00_0001)),
            ("10.0x2.3", Some(0x0A02_0003)),
            ("256.1", None),
            ("1.2.3.4.5", None),
            ("99999999999", None),
            ("0x", None),
            ("0x1ffffffff", None),
            ("ab", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(numeric(text), uid.map(Uid), "{text}");
        }
    }

    #[tokio::test]
    async fn a_slow_name_server_is_told_of() {
        let (sink, written) = Sink::memory();
        let plain = Look::Text {
            timestamps: false,
            color: false,
        };
        let layer = ClassicLayer::new(sink, 1, plain);
        let _logged = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        not_in_silence(Duration::ZERO, std::future::ready(())).await;
        assert_eq!(written(), "");
        let is_told = poll_fn(|context| match written().contains("takes time") {
            true => Poll::Ready(()),
            false => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        });
        not_in_silence(Duration::ZERO, is_told).await;
    }
}
