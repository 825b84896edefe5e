//! Values of options: what each may be, and what is said when it is not (cli §1.2, §2.1).

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use uftp_net::Offload;
use uftp_proto::Uid;
use uftp_proto::wire::Version;
use uftp_session::sender::{GrttBounds, Rate};

/// A decimal number in `range`; `phrase` begins the complaint.
pub(super) fn number<T: TryFrom<i64>>(
    phrase: &'static str,
    range: RangeInclusive<i64>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let value = text.trim_start().parse().ok();
        bounded(value, phrase, &range)
    }
}

/// As [`number`], also in C's `0x` and leading-zero octal form.
pub(super) fn c_number<T: TryFrom<i64>>(
    phrase: &'static str,
    range: RangeInclusive<i64>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| bounded(c_integer(text), phrase, &range)
}

fn bounded<T: TryFrom<i64>>(
    value: Option<i64>,
    phrase: &str,
    range: &RangeInclusive<i64>,
) -> Result<T, String> {
    value
        .filter(|v| range.contains(v))
        .and_then(|v| T::try_from(v).ok())
        .ok_or_else(|| {
            let (start, end) = (range.start(), range.end());
            format!("{phrase}: expected a number from {start} to {end}")
        })
}

/// An integer as C's `strtol` with base 0 reads it, but all of the text.
pub(super) fn c_integer(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => (16, hex),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    // `from_str_radix` would take a second sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// `--metrics`: an address, or a port of the loopback interface.
pub(super) fn listening_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .or_else(|| text.parse().ok())
        .ok_or_else(|| "Invalid address: expected a port, or address:port".to_owned())
}

/// `--allow-from`: a network like 10.0.0.0/8, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let one = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| one())
        .map_err(|_| "Invalid network: expected one like 10.0.0.0/8 or an address".to_owned())
}

/// `--announce-timeout`: whole seconds, a day at most.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    number::<u64>("Invalid time", 1..=86_400)(text).map(Duration::from_secs)
}

/// `-x`: 0 to 5; more is as much as 5.
pub(super) fn verbosity(text: &str) -> Result<u8, String> {
    number::<i64>("Invalid log level", 0..=i64::MAX)(text)
        .map(|n| u8::try_from(n).unwrap_or(5).min(5))
        .map_err(|_| "Invalid log level: expected a number from 0 to 5".to_owned())
}

/// `--offload`: how many datagrams may cross the border to the kernel at once.
pub(super) fn offload(text: &str) -> Result<Offload, String> {
    match text {
        "auto" => Ok(Offload::Auto),
        "batch" => Ok(Offload::Batched),
        "off" => Ok(Offload::Plain),
        _ => Err("Invalid offload: expected auto, batch or off".to_owned()),
    }
}

/// `-R`: Kbps (1024 bits), -1 for as fast as possible, or bits per second with K, M or G.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let complaint = || {
        "Invalid rate: expected -1, or Kbps from 1 to 1073741824, or bits per second like 50M"
            .to_owned()
    };
    if let Some((digits, thousands)) = [('k', 1), ('K', 1), ('m', 2), ('M', 2), ('g', 3), ('G', 3)]
        .into_iter()
        .find_map(|(unit, power)| Some((text.strip_suffix(unit)?, 1000_f64.powi(power))))
    {
        let bits = digits.parse::<f64>().map_err(|_| complaint())? * thousands;
        let bytes = bits / 8.0;
        return if (128.0..=MAX_KBPS as f64 * 128.0).contains(&bytes) {
            // Within the range of a u64 by the check above.
            Ok(Rate::Fixed(bytes as u64))
        } else {
            Err(complaint())
        };
    }
    match c_integer(text) {
        Some(-1) => Ok(Rate::SelfClocked),
        Some(kbps @ 1..=MAX_KBPS) => Ok(Rate::Fixed(u64::try_from(kbps).unwrap_or(0) * 1024 / 8)),
        _ => Err(complaint()),
    }
}

/// Greatest send rate, Kbps.
pub(super) const MAX_KBPS: i64 = 1_073_741_824;

/// `-U`: hexadecimal, or with dots like an address, as those of protocol 3 are written too (wire-v3
/// §11); 0 or nothing is "none given".
pub(super) fn uid(text: &str) -> Result<Uid, String> {
    if text.is_empty() {
        return Ok(Uid::NONE);
    }
    let dotted = || Some(Uid::from_addr(text.parse::<Ipv4Addr>().ok()?.into()));
    let uid = hex_uid(text).or_else(dotted);
    uid.ok_or_else(|| format!("Invalid UID: {text}: expected 1 to 8 hexadecimal digits"))
}

/// Up to 32 bits in hexadecimal, `0x` optional.
pub(super) fn hex_uid(text: &str) -> Option<Uid> {
    let digits = text
        .strip_prefix("0x")
        .or(text.strip_prefix("0X"))
        .unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, 16).ok().map(Uid))?
}

/// The parts of a value that is cut at its colons. As in the C programs an empty part is none: a script
/// that joins variables leaves some where it has nothing to say.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(':').filter(|part| !part.is_empty())
}

/// The paths of an option that takes several, comma separated, and may be repeated; an empty one is none.
pub(super) fn paths(values: &[OsString]) -> impl Iterator<Item = &Path> {
    let lists = values.iter().map(|value| value.as_bytes());
    let parts = lists.flat_map(|list| list.split(|b| *b == b','));
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(|part| Path::new(OsStr::from_bytes(part)))
}

/// `-r`: `initial[:min:max]`, seconds.
pub(super) fn grtt(text: &str) -> Result<GrttBounds, String> {
    let seconds = |what: &str, text: &str| {
        text.parse()
            .ok()
            .filter(|s| (0.001..=1000.0).contains(s))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| format!("Invalid {what}: expected 0.001 to 1000 seconds"))
    };
    let mut parts = parts(text);
    let initial = seconds("grtt", parts.next().unwrap_or_default())?;
    let Some(min) = parts.next() else {
        return Ok(GrttBounds {
            initial,
            ..GrttBounds::default()
        });
    };
    let min = seconds("min_grtt", min)?;
    let max = seconds(
        "max_grtt",
        parts
            .next()
            .ok_or("Missing max_grtt: expected initial:min:max")?,
    )?;
    if parts.next().is_some() {
        return Err("Invalid grtt: expected initial[:min:max]".to_owned());
    }
    if min > max {
        return Err("Invalid min_grtt/max_grtt: the minimum is above the maximum".to_owned());
    }
    if !(min..=max).contains(&initial) {
        return Err(
            "Invalid grtt: the initial value is not between minimum and maximum".to_owned(),
        );
    }
    Ok(GrttBounds { initial, min, max })
}

/// `--protocol`: a generation, or a version of the programs that speak it.
pub(super) fn protocol(text: &str) -> Result<Version, String> {
    let number = |n: &str| {
        n.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| n.parse().ok())
    };
    let numbers = text.split('.').map(|n| number(n).flatten());
    let numbers: Option<Vec<u8>> = numbers.collect();
    match numbers.as_deref() {
        Some([3] | [3, 0..=4] | [3, 0..=4, _]) => Ok(Version::V3),
        // These have another wire id of their own (wire-v3 §1).
        Some([3, 5..=7] | [3, 5..=7, _]) => Ok(Version::V3Sync),
        Some([4] | [4, 0..=10] | [4, 0..=10, _]) => Ok(Version::V4),
        Some([5] | [5, 0] | [5, 0, _]) => Ok(Version::V5),
        _ => Err(
            "Invalid protocol: expected 3, 4 or 5, or a version: 3.0 to 3.4, 3.5 to 3.7 (with file \
             times), 4.0 to 4.10, 5.0"
                .to_owned(),
        ),
    }
}
