//! Initialisation vectors: how each protocol makes one out of a salt and what a packet says.

use super::secret::Secret;
use crate::ids::{GroupId, Uid};
use crate::time::WireTime;
use crate::wire::Version;

/// What makes the IV of a packet its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct IvInput {
    pub(super) src: Uid,
    pub(super) group: GroupId,
    /// What the packet says: a counter, in protocol 3 the sender's clock in microseconds.
    pub(super) counter: u64,
}

/// Makes the IVs of one key.
#[derive(Clone)]
pub(super) struct IvMaker {
    version: Version,
    /// Left-aligned in 128 bits.
    salt: Secret,
    len: usize,
}

impl IvMaker {
    /// Bytes of salt that go with IVs of `iv_len` bytes.
    pub(super) fn salt_len(version: Version, iv_len: usize) -> usize {
        match version {
            Version::V4 => 4,
            Version::V3 | Version::V3Sync | Version::V5 => iv_len,
        }
    }

    pub(super) fn new(version: Version, salt: &Secret, iv_len: usize) -> IvMaker {
        let mut aligned = Secret::copy_of(&[0; 16]);
        for (to, from) in aligned.expose_mut().iter_mut().zip(salt.expose()) {
            *to = *from;
        }
        IvMaker {
            version,
            salt: aligned,
            len: iv_len,
        }
    }

    /// The IV, in the first `iv_len` bytes of the result.
    pub(super) fn make(&self, input: IvInput) -> Iv {
        let IvInput {
            src,
            group,
            counter,
        } = input;
        let salt = self.salt.expose().first_chunk();
        let salt = salt.map_or(0, |bytes| u128::from_be_bytes(*bytes));
        let (src, group) = (u128::from(src.0), u128::from(group.0));
        let clock = || {
            let (seconds, micros) = WireTime(counter).to_parts();
            (u128::from(seconds), u128::from(micros))
        };
        let counter = u128::from(counter);
        // All forms are the salt XOR a number of 128 bits.
        let mixed = match (self.version, self.len) {
            // wire-v4 §8.7
            (Version::V4, 8) => (src << 64) ^ (counter << 64),
            (Version::V4, 12) => (src << 96) | (counter << 32),
            (Version::V4, _) => (src << 64) | counter,
            // wire-v5 §8.1
            (Version::V5, _) => counter << 32,
            // wire-v3 §5.5, the programs' way and not the text's
            (Version::V3 | Version::V3Sync, 8) => {
                let (seconds, micros) = clock();
                ((group ^ seconds) << 96) | ((src ^ micros) << 64)
            }
            (Version::V3 | Version::V3Sync, _) => (group << 96) | (clock().1 << 64),
        };
        Iv {
            bytes: (salt ^ mixed).to_be_bytes(),
            len: self.len,
        }
    }
}

/// An initialisation vector.
#[derive(Clone, Copy)]
pub(super) struct Iv {
    bytes: [u8; 16],
    len: usize,
}

impl Iv {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// The counter of one host in one session, from which all its IVs are made.
///
/// It begins at the time of day instead of at 1, so that a host that restarts within a session
/// does not repeat the IVs of its earlier life under the same keys (wire-v4 §8.6), and by chance within
/// the sixteenth of a second that this is: without a battery a clock may begin anew, too. Peers take
/// any value. In protocol 3 it is a clock on the wire; here it runs by a microsecond a packet:
/// the IV of AES is made of the microseconds alone, which so repeat as late as can be
/// (wire-v3 §5.5).
#[derive(Clone, Debug)]
pub struct IvCounter(u64);

const MICROS_OF_A_SIXTEENTH: u64 = 62_500;

impl IvCounter {
    /// A counter beginning at `now`, and by `chance`, which no other life of this host has had.
    pub fn starting_at(version: Version, now: WireTime, chance: u32) -> IvCounter {
        IvCounter(match version {
            Version::V3 | Version::V3Sync => now.0,
            // Half of the room of a sixteenth of a second is for packets.
            Version::V4 | Version::V5 => {
                ((now.0 / MICROS_OF_A_SIXTEENTH) << 28) | u64::from(chance >> 5)
            }
        })
    }

    /// A counter under keys drawn at `now`, which nobody has used before: it counts from 1, but
    /// in protocol 3, where it is always a clock.
    pub fn under_new_keys(version: Version, now: WireTime) -> IvCounter {
        match version {
            Version::V3 | Version::V3Sync => IvCounter::starting_at(version, now, 0),
            Version::V4 | Version::V5 => IvCounter(0),
        }
    }

    /// The value for the next packet, never given before.
    #[must_use]
    pub fn advance(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iv(version: Version, salt: &[u8], len: usize, counter: u64) -> Vec<u8> {
        IvMaker::new(version, &Secret::copy_of(salt), len)
            .make(IvInput {
                src: Uid(0xa000_0001),
                group: GroupId(0x1234_5678),
                counter,
            })
            .as_slice()
            .to_vec()
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn protocol_4_known_answers() {
        let salt = hex("a0d737b3");
        let v4 = |len| iv(Version::V4, &salt, len, 2);
        assert_eq!(v4(16), hex("a0d737b3a00000010000000000000002"));
        assert_eq!(v4(12), hex("00d737b20000000000000002"));
        assert_eq!(v4(8), hex("a0d737b3a0000003"));
    }

    #[test]
    fn protocol_5_changes_the_last_eight_bytes() {
        let salt = hex("9c8347deaafd3d73dffb2bdd");
        assert_eq!(
            iv(Version::V5, &salt, 12, 1),
            hex("9c8347deaafd3d73dffb2bdc")
        );
    }

    #[test]
    fn protocol_3_uses_what_the_programs_use() {
        // wire-v3 §14: group f6906bc7, 1795244532 s 358443 us.
        let maker = IvMaker::new(
            Version::V3,
            &Secret::copy_of(&hex("63576460f1928ecc4da44f6c0adf5874")),
            16,
        );
        let iv = maker.make(IvInput {
            src: Uid(0x0a63_0001),
            group: GroupId(0xf690_6bc7),
            counter: WireTime::from_parts(1_795_244_532, 358_443).0,
        });
        assert_eq!(iv.as_slice(), hex("95c70fa7f197f6e74da44f6c0adf5874"));
    }

    #[test]
    fn counters_never_repeat() {
        let start = |micros, chance| IvCounter::starting_at(Version::V4, WireTime(micros), chance);
        let (mut c, mut later) = (start(62_499, u32::MAX), start(62_500, 0));
        assert!(c.advance() < c.advance());
        assert!(c.advance() + (1 << 27) - 10 < later.advance());
        let (c, mut again) = (start(5, 7 << 5).advance(), start(5, 8 << 5));
        assert_eq!(
            again.advance(),
            c + 1,
            "a clock that was set back leaves it to chance"
        );
        let mut last = start(u64::from(u32::MAX) * 1_000_000, u32::MAX);
        assert!(
            last.advance() > start(0, u32::MAX).advance(),
            "to the end of these clocks"
        );
        let mut c = IvCounter::starting_at(Version::V3, WireTime(1_999_999), 5);
        assert_eq!(WireTime(c.advance()).to_parts(), (2, 0));
        let mut c = IvCounter::under_new_keys(Version::V3, WireTime(1_999_999));
        assert_eq!(WireTime(c.advance()).to_parts(), (2, 0));
        let mut c = IvCounter::under_new_keys(Version::V4, WireTime(1_999_999));
        assert_eq!((c.advance(), c.advance()), (1, 2));
    }
}
