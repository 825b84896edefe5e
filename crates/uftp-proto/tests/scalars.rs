//! The quantised scalars against tables made by the deployed programs' own functions.

#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use uftp_proto::quant::{GroupSizeCode, RateCode, RttCode};

#[derive(Deserialize)]
struct Tables {
    grtt_quantize: Vec<(f64, u8)>,
    grtt_unquantize: Vec<(u8, f64)>,
    gsize_quantize: Vec<(usize, u8)>,
    gsize_unquantize: Vec<(u8, u32)>,
    rate_quantize: Vec<(u64, u16)>,
    rate_unquantize: Vec<(u16, u64)>,
}

/// Checks both directions; the old programs cut a decoded rate at `most`.
fn check(text: &str, most: u64) {
    let t: Tables = serde_json::from_str(text).unwrap();
    for (seconds, code) in t.grtt_quantize {
        assert_eq!(RttCode::from_secs(seconds).0, code, "{seconds} s");
    }
    for (code, seconds) in t.grtt_unquantize {
        let ours = RttCode(code).secs();
        assert!(
            (ours / seconds - 1.0).abs() < 1e-12,
            "code {code}: {ours}, not {seconds}"
        );
    }
    for (count, code) in t.gsize_quantize {
        assert_eq!(GroupSizeCode::from_count(count).0, code, "{count} hosts");
    }
    for (code, count) in t.gsize_unquantize {
        assert_eq!(GroupSizeCode(code).count(), count, "code {code}");
    }
    for (rate, code) in t.rate_quantize {
        assert_eq!(RateCode::from_rate(rate).0, code, "{rate} bytes/s");
    }
    for (code, rate) in t.rate_unquantize {
        assert_eq!(RateCode(code).rate().min(most), rate, "code {code}");
    }
}

#[test]
fn tables_of_protocol_4() {
    check(include_str!("vectors/scalars/v4.json"), u32::MAX.into());
}

#[test]
fn tables_of_protocol_5() {
    check(include_str!("vectors/scalars/v5.json"), u64::MAX);
}
