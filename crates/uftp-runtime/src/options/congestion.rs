//! `uftp -C`: congestion control and its bounds.

use uftp_session::congestion::Limits;
use uftp_session::sender::Rate;

use super::values;

/// The value of `-C`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CongestionControl {
    /// The rate of `-R`.
    None,
    /// TFMCC within bounds.
    Tfmcc(Limits),
}

impl CongestionControl {
    /// The rate to send at, given that of `-R`, which congestion control overrules.
    pub(crate) fn rate(self, fixed: Rate) -> Rate {
        match self {
            CongestionControl::None => fixed,
            CongestionControl::Tfmcc(limits) => Rate::Tfmcc(limits),
        }
    }
}

/// `none`, `tfmcc`, `tfmcc:RATE` (the old form, RATE is the greatest), or `tfmcc` with `:max=RATE`,
/// `:min=RATE` and `:init=RATE` in any order; rates in Kbps.
///
/// # Errors
/// What is wrong with it, in the words of 4.10.2, and what was expected.
pub(super) fn congestion_control(text: &str) -> Result<CongestionControl, String> {
    let mut parts = values::parts(text);
    match parts.next() {
        Some("none") => return Ok(CongestionControl::None),
        Some("tfmcc") => {}
        None => return Err("Error reading cc_type: expected none or tfmcc".into()),
        Some(_) => return Err("Invalid congestion control type: expected none or tfmcc".into()),
    }
    let mut limits = Limits::default();
    for part in parts {
        if part.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
            limits.max = Some(rate("Invalid max rate", part)?);
            continue;
        }
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let limit = match key {
            "max" => &mut limits.max,
            "min" => &mut limits.min,
            "init" => &mut limits.init,
            _ => {
                return Err(format!(
                    "Invalid rate type: {key}: expected max, min or init"
                ));
            }
        };
        *limit = Some(rate("Invalid rate", value)?);
    }
    let out_of_order = |low: Option<u64>, high| low.zip(high).is_some_and(|(low, high)| low > high);
    if out_of_order(limits.min, limits.max)
        || out_of_order(limits.init, limits.max)
        || out_of_order(limits.min, limits.init)
    {
        return Err("Invalid rate: expected min <= init <= max".into());
    }
    Ok(CongestionControl::Tfmcc(limits))
}

/// Bytes per second from Kbps.
fn rate(complaint: &'static str, kbps: &str) -> Result<u64, String> {
    values::c_number::<u64>(complaint, 1..=values::MAX_KBPS)(kbps).map(|kbps| kbps * 1024 / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_values() {
        let limits = |max, min, init| CongestionControl::Tfmcc(Limits { max, min, init });
        for (text, want) in [
            ("none", CongestionControl::None),
            ("tfmcc", limits(None, None, None)),
            ("tfmcc:", limits(None, None, None)),
            (":tfmcc::1000:", limits(Some(128_000), None, None)),
            ("tfmcc:1000", limits(Some(128_000), None, None)),
            ("tfmcc:0x10", limits(Some(2048), None, None)),
            ("tfmcc:init=10", limits(None, None, Some(1280))),
            (
                "tfmcc:min=10:max=1000:init=100",
                limits(Some(128_000), Some(1280), Some(12_800)),
            ),
        ] {
            assert_eq!(congestion_control(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn bad_values() {
        for (text, words) in [
            ("", "Error reading cc_type"),
            (":", "Error reading cc_type"),
            ("pgmcc", "Invalid congestion control type"),
            ("tfmccc", "Invalid congestion control type"),
            ("tfmcc:mean=5", "Invalid rate type"),
            ("tfmcc:max", "Invalid rate"),
            ("tfmcc:max=", "Invalid rate"),
            ("tfmcc:max=0", "Invalid rate"),
            ("tfmcc:max=ten", "Invalid rate"),
            ("tfmcc:max=1073741825", "Invalid rate"),
            ("tfmcc:0", "Invalid max rate"),
            ("tfmcc:-5", "Invalid max rate"),
            ("tfmcc:max=10:min=11", "Invalid rate"),
            ("tfmcc:max=10:init=11", "Invalid rate"),
            ("tfmcc:min=10:init=9", "Invalid rate"),
        ] {
            let error = congestion_control(text).unwrap_err();
            assert!(error.starts_with(words), "{text}: {error}");
            assert!(error.contains("expected"), "{text}: {error}");
        }
    }
}
