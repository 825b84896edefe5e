//! Recorded datagrams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A UDP datagram of a capture.
pub(crate) struct Recorded {
    /// Since the first datagram.
    pub(crate) at: Duration,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// Reads a capture of Ethernet frames in little-endian order with microseconds, as `tcpdump`
/// writes it.
pub(crate) fn read(file: &str) -> Vec<Recorded> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let capture = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert_eq!(le32(&capture, 0), 0xA1B2_C3D4, "magic number of {file}");
    assert_eq!(le32(&capture, 20), 1, "link type of {file}");
    let mut recorded: Vec<Recorded> = Vec::new();
    let mut at = 24;
    let mut start = None;
    while at < capture.len() {
        let stamp = u64::from(le32(&capture, at)) * 1_000_000 + u64::from(le32(&capture, at + 4));
        let len = le32(&capture, at + 8) as usize;
        let frame = &capture[at + 16..at + 16 + len];
        at += 16 + len;
        let since = stamp - *start.get_or_insert(stamp);
        recorded.extend(udp(Duration::from_micros(since), frame));
    }
    recorded
}

fn udp(at: Duration, frame: &[u8]) -> Option<Recorded> {
    let packet = &frame[14..];
    let (from, to, udp): (IpAddr, IpAddr, &[u8]) = match be16(frame, 12) {
        0x0800 => {
            assert_eq!(be16(packet, 6) & 0x3FFF, 0, "no fragments");
            let header = usize::from(packet[0] & 15) * 4;
            let addr = |at| IpAddr::from(Ipv4Addr::from_bits(be32(packet, at)));
            (addr(12), addr(16), &packet[header..])
        }
        0x86DD => {
            assert_eq!(packet[6], 17, "no extension headers");
            let addr = |at: usize| {
                let octets: [u8; 16] = packet[at..at + 16].try_into().unwrap();
                IpAddr::from(Ipv6Addr::from(octets))
            };
            (addr(8), addr(24), &packet[40..])
        }
        _ => return None,
    };
    let len = usize::from(be16(udp, 4));
    Some(Recorded {
        at,
        from: SocketAddr::new(from, be16(udp, 0)),
        to: SocketAddr::new(to, be16(udp, 2)),
        bytes: udp[8..len].to_vec(),
    })
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap())
}
