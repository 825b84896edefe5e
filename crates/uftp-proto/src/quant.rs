//! Scalars squeezed into a byte or a word (wire-v4 §3): round trip times, group sizes and rates.

use std::time::Duration;

/// A round trip time in one byte. Always rounds up, so what it says is never too short.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct RttCode(pub u8);

impl RttCode {
    const MIN: f64 = 1e-6;
    const MAX: f64 = 1000.0;

    /// Encodes `seconds`, clamped to 1 µs ..= 1000 s.
    pub fn from_secs(seconds: f64) -> RttCode {
        let x = seconds.clamp(Self::MIN, Self::MAX);
        let code = if x < 33e-6 {
            (x / Self::MIN).floor() - 1.0
        } else {
            (255.0 - 13.0 * (Self::MAX / x).ln()).ceil()
        };
        RttCode(code as u8) // a saturating cast
    }

    /// Encodes a duration.
    pub fn from_duration(rtt: Duration) -> RttCode {
        Self::from_secs(rtt.as_secs_f64())
    }

    /// The time in seconds, 1e-6 ..= 1000.
    pub fn secs(self) -> f64 {
        if self.0 <= 31 {
            f64::from(self.0 + 1) * Self::MIN
        } else {
            Self::MAX / (f64::from(255 - self.0) / 13.0).exp()
        }
    }

    /// The time as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs_f64(self.secs())
    }
}

/// A number of hosts in one byte: 5 bits of mantissa above 3 bits of decimal exponent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct GroupSizeCode(pub u8);

impl GroupSizeCode {
    /// Encodes a number of hosts; loses all but about one and a half digits.
    pub fn from_count(n: usize) -> GroupSizeCode {
        let mut m = n as f64;
        let mut e = 0u32;
        while m >= 10.0 {
            m /= 10.0;
            e += 1;
        }
        let code = |m: f64| ((m * 3.2 + 0.5).floor() as u32) << 3;
        let mut v = code(m);
        if v > 255 {
            v = code(m / 10.0);
            e += 1;
        }
        GroupSizeCode((v | e.min(7)) as u8)
    }

    /// The number of hosts.
    pub fn count(self) -> u32 {
        let scale = 10f64.powi(i32::from(self.0 & 7));
        (f64::from(self.0 >> 3) * 0.3125 * scale + 0.5) as u32
    }
}

/// A rate in bytes per second in one word: 12 bits of mantissa above 4 bits of decimal exponent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct RateCode(pub u16);

/// "No limit yet", in bytes per second: what 4.10 and later put in a fresh feedback round.
pub const UNLIMITED_RATE: u64 = 0xFFFF_FFFF_FFFF;

impl RateCode {
    /// Encodes a rate in bytes per second.
    pub fn from_rate(rate: u64) -> RateCode {
        let mut m = rate as f64;
        let mut e = 0u32;
        while m > 10.0 {
            m /= 10.0;
            e += 1;
        }
        let code = |m: f64| ((m * 409.6 + 0.5).floor() as u32) << 4;
        let mut v = code(m);
        if v > 65535 {
            v = code(m / 10.0);
            e += 1;
        }
        RateCode((v | e.min(15)) as u16)
    }

    /// The rate in bytes per second, truncated.
    pub fn rate(self) -> u64 {
        let scale = 10f64.powi(i32::from(self.0 & 15));
        (f64::from(self.0 >> 4) * (10.0 / 4096.0) * scale) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_times_of_the_specification() {
        for (secs, code) in [
            (0.000_001, 0),
            (0.000_032, 31),
            (0.001, 76),
            (0.01, 106),
            (0.05, 127),
            (0.5, 157),
            (1.0, 166),
            (15.0, 201),
            (1000.0, 255),
        ] {
            assert_eq!(RttCode::from_secs(secs), RttCode(code), "{secs} s");
        }
        assert!((RttCode(106).secs() - 0.010_527_3).abs() < 1e-7);
    }

    #[test]
    fn group_sizes_of_the_specification() {
        for (n, code, back) in [
            (0, 0, 0),
            (1, 24, 1),
            (2, 48, 2),
            (3, 80, 3),
            (10, 25, 9),
            (99, 26, 94),
            (700, 178, 688),
        ] {
            let got = GroupSizeCode::from_count(n);
            assert_eq!((got.0, got.count()), (code, back), "{n} hosts");
        }
    }

    #[test]
    fn rates_of_the_specification() {
        for (rate, code, back) in [
            (0, 0x0000, 0),
            (9, 0xE660, 8),
            (128_000, 0x20C5, 127_929),
            (640_000, 0xA3D5, 639_892),
            (1_250_000, 0x2006, 1_250_000),
            (UNLIMITED_RATE, 0x481E, 281_494_140_625_000),
        ] {
            let got = RateCode::from_rate(rate);
            assert_eq!((got.0, got.rate()), (code, back), "{rate} bytes/s");
        }
    }
}
