//! What only protocol 3 has, and what it has not (wire-v3 §12.1).

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use uftp_proto::crypto::{Hash, KeySpec};
use uftp_proto::wire::{FixedPace, Version};
use uftp_session::policy::{Clockwork, Policy};
use uftp_session::sender::{Rate, RateSteps};

use super::congestion::CongestionControl;
use super::security::SenderArgs;
use super::{uftp, values};
use crate::exit::Failure;
use crate::rate_steps::StepsFile;

/// Options of a sender of protocol 3.
#[derive(Args, Clone, PartialEq, Debug, Default)]
#[command(next_help_heading = "Protocol 3")]
pub(crate) struct PaceArgs {
    /// Most time receivers have to register, and to get ready for a file, 1 to 240 s
    /// [default: 10]
    #[arg(long, value_name = "SECONDS",
          value_parser = values::number::<u8>("Invalid announce time", 1..=240))]
    pub announce_time: Option<u8>,

    /// From one announcement to the next, 500 to 20000 ms [default: 2500]
    #[arg(long, value_name = "MS",
          value_parser = values::number::<u16>("Invalid announce interval", 500..=20_000))]
    pub announce_interval: Option<u16>,

    /// From one registration of a receiver to the next, 500 to 60000 ms; at least the announce
    /// interval [default: 4000]
    #[arg(long, value_name = "MS",
          value_parser = values::number::<u16>("Invalid register interval", 500..=60_000))]
    pub register_interval: Option<u16>,

    /// Most time receivers have to say what they miss of a section, 1 to 240 s [default: 12]
    #[arg(long, value_name = "SECONDS",
          value_parser = values::number::<u8>("Invalid status time", 1..=240))]
    pub status_time: Option<u8>,

    /// From one question for that to the next, 500 to 20000 ms [default: 4000]
    #[arg(long, value_name = "MS",
          value_parser = values::number::<u16>("Invalid status interval", 500..=20_000))]
    pub status_interval: Option<u16>,

    /// From one completion of a receiver to the next, 500 to 60000 ms; at least the status
    /// interval [default: 4000]
    #[arg(long, value_name = "MS",
          value_parser = values::number::<u16>("Invalid done interval", 500..=60_000))]
    pub done_interval: Option<u16>,

    /// Bytes of a datagram down to its IP header, 576 to 9000 [default: 1500]
    #[arg(long, value_name = "BYTES",
          value_parser = values::number::<u16>("Invalid MTU", 576..=9000))]
    pub mtu: Option<u16>,

    /// Least time a file is given, whatever -W makes of its size, 1 to 3600 s [default: 10]
    #[arg(long, value_name = "SECONDS",
          value_parser = values::number::<u16>("Invalid least time", 1..=3600))]
    pub least_time: Option<u16>,

    /// File that says how the rate answers to loss: lines PERCENT;FACTOR with rising percentages,
    /// and perhaps min;KBPS and max;KBPS. It is read again after every section
    #[arg(long, value_name = "FILE")]
    pub rate_steps: Option<PathBuf>,

    /// Send to the address of the one receiver of -H, and nowhere else
    #[arg(long)]
    pub unicast: bool,
}

impl PaceArgs {
    /// The clockwork of a session of `version`.
    ///
    /// # Errors
    /// Times that do not go together, or an option that `version` has no use for.
    pub(crate) fn validate(&self, version: Version) -> Result<FixedPace, Failure> {
        if Policy::of(version).clockwork == Clockwork::RoundTrips {
            return match self.given() {
                None => Ok(FixedPace::default()),
                Some(name) => Err(Failure::command_line(format!(
                    "{name} has a meaning in protocol 3 only: expected --protocol 3"
                ))),
            };
        }
        let usual = FixedPace::default();
        let pace = FixedPace {
            announce_interval: self.announce_interval.unwrap_or(usual.announce_interval),
            status_interval: self.status_interval.unwrap_or(usual.status_interval),
            register_interval: self.register_interval.unwrap_or(usual.register_interval),
            done_interval: self.done_interval.unwrap_or(usual.done_interval),
            announce_time: self.announce_time.unwrap_or(usual.announce_time),
            status_time: self.status_time.unwrap_or(usual.status_time),
            mtu: self.mtu.unwrap_or(usual.mtu),
        };
        if pace.register_interval < pace.announce_interval {
            return Err(Failure::command_line(format!(
                "--register-interval is {} ms: expected at least --announce-interval, {} ms",
                pace.register_interval, pace.announce_interval
            )));
        }
        if pace.done_interval < pace.status_interval {
            return Err(Failure::command_line(format!(
                "--done-interval is {} ms: expected at least --status-interval, {} ms",
                pace.done_interval, pace.status_interval
            )));
        }
        Ok(pace)
    }

    /// The steps of the rate.
    ///
    /// # Errors
    /// The file cannot be used, or there is no fixed rate to change.
    pub(crate) fn steps(&self, rate: Rate) -> Result<Option<Arc<dyn RateSteps>>, Failure> {
        let Some(path) = &self.rate_steps else {
            return Ok(None);
        };
        if rate.fixed().is_none() {
            return Err(Failure::command_line(
                "--rate-steps changes a rate that is fixed: expected -R other than -1",
            ));
        }
        Ok(Some(Arc::new(StepsFile::open(path)?)))
    }

    /// The first that was given.
    fn given(&self) -> Option<&'static str> {
        [
            (self.announce_time.is_some(), "--announce-time"),
            (self.announce_interval.is_some(), "--announce-interval"),
            (self.register_interval.is_some(), "--register-interval"),
            (self.status_time.is_some(), "--status-time"),
            (self.status_interval.is_some(), "--status-interval"),
            (self.done_interval.is_some(), "--done-interval"),
            (self.mtu.is_some(), "--mtu"),
            (self.least_time.is_some(), "--least-time"),
            (self.rate_steps.is_some(), "--rate-steps"),
            (self.unicast, "--unicast"),
        ]
        .into_iter()
        .find_map(|(given, name)| given.then_some(name))
    }
}

/// Whether protocol 3 knows what the options say.
///
/// # Errors
/// The first that it does not, and what to say instead.
pub(super) fn check(args: &uftp::Args) -> Result<(), Failure> {
    let alien = |what: &str, instead: &str| {
        Err(Failure::command_line(format!(
            "{what} has no meaning in protocol 3: {instead}"
        )))
    };
    if args.block_size.is_some() {
        return alien("-b", "expected --mtu, from which the block size follows");
    }
    if args.grtt.is_some() {
        return alien("-r", "its times are fixed, see --register-interval");
    }
    if args.robust.is_some() {
        return alien("-s", "it repeats for a time, see --status-time");
    }
    if args.congestion_control != CongestionControl::None {
        return alien("-C", "expected -R, and perhaps --rate-steps");
    }
    if args.announce_timeout.is_some() {
        return alien("--announce-timeout", "expected --announce-time");
    }
    check_security(&args.security)
}

fn check_security(args: &SenderArgs) -> Result<(), Failure> {
    let cipher = args.cipher.and_then(|choice| choice.0);
    let what = if let Some(cipher) = cipher.filter(|cipher| cipher.is_aead()) {
        format!("-Y {cipher}")
    } else if let Some(hash) = args
        .hash
        .filter(|h| ![Hash::Sha1, Hash::Sha256].contains(h))
    {
        format!("-h {hash}")
    } else if args
        .key_exchange
        .is_some_and(|e| e.kind != Some(uftp_proto::crypto::KeyExchange::Rsa))
    {
        "-e".to_owned()
    } else if let Some(key) = args.new_key.as_deref().filter(|key| !is_rsa(key)) {
        format!("-K {key}")
    } else {
        return Ok(());
    };
    Err(Failure::command_line(format!(
        "{what} has no meaning in protocol 3: expected des, 3des, aes128 or aes256 for -Y, sha1 \
         or sha256 for -h, no -e but rsa, and 512 to 2048 bits for -K"
    )))
}

/// Whether `-K` asks for a key that protocol 3 takes.
fn is_rsa(text: &str) -> bool {
    let spec = text.parse().ok();
    let spec = spec.or_else(|| KeySpec::rsa(text.parse().ok()?).ok());
    matches!(spec, Some(KeySpec::Rsa(512..=2048)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Parsed, parse};

    fn args(words: &str) -> uftp::Args {
        let words = format!("uftp --protocol 3 {words} file");
        match parse::<uftp::Args>(words.split_whitespace().map(Into::into)) {
            Ok(Parsed::Run(args)) => args,
            other => panic!("{words}: {other:?}"),
        }
    }

    #[test]
    fn times_are_those_of_the_options() {
        let usual = PaceArgs::default().validate(Version::V3).unwrap();
        assert_eq!(usual, FixedPace::default());
        let words = "--announce-time 1 --announce-interval 500 --register-interval 600 \
                     --status-time 240 --status-interval 20000 --done-interval 60000 --mtu 576";
        let pace = args(words).pace.validate(Version::V3Sync).unwrap();
        let told = FixedPace {
            announce_interval: 500,
            status_interval: 20_000,
            register_interval: 600,
            done_interval: 60_000,
            announce_time: 1,
            status_time: 240,
            mtu: 576,
        };
        assert_eq!(pace, told);
        for (words, says) in [
            ("--register-interval 2000", "--register-interval is 2000 ms"),
            ("--done-interval 3999", "--done-interval is 3999 ms"),
        ] {
            let told = args(words).pace.validate(Version::V3).unwrap_err();
            assert!(told.message.starts_with(says), "{words}: {told}");
        }
        let told = args("--mtu 1400").pace.validate(Version::V4).unwrap_err();
        assert!(told.message.contains("--protocol 3"), "{told}");
    }

    #[test]
    fn what_protocol_3_has_not_is_said() {
        for (words, named) in [
            ("--block-size 1300", "-b "),
            ("-r 0.5", "-r "),
            ("-s 20", "-s "),
            ("-C tfmcc", "-C "),
            ("-Y aes256-gcm", "-Y aes256-gcm"),
            ("-Y aes256 -h sha512", "-h sha512"),
            ("-Y des -e ecdh_rsa", "-e "),
            ("-Y des -e secp384r1", "-e "),
            ("-Y des -K 4096", "-K 4096"),
            ("-Y des -K ec:secp384r1", "-K ec:secp384r1"),
        ] {
            let told = check(&args(words)).unwrap_err();
            assert!(told.message.starts_with(named), "{words}: {told}");
            assert!(told.message.contains("no meaning in protocol 3"), "{told}");
        }
        for words in [
            "",
            "-R 500 -C none -a 9 -N 50 -m 3 -W 200 -q -z -U 0A",
            "-Y none",
            "-Y aes128 -h sha1 -w rsa -c -K 512",
            "-Y 3des -h sha256 -w hmac -e rsa -K rsa:2048",
        ] {
            assert!(check(&args(words)).is_ok(), "{words}");
        }
    }
}
