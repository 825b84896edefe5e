//! Defaults that help texts say in words are those of the code.

use uftp_proto::wire::FixedPace;
use uftp_session::sender::{GrttBounds, SenderConfig};

use super::{Program, command, uftp, uftpd, uftpproxyd};
use crate::options::addresses;

/// The default that the help text of an option says.
fn said<T: Program>(option: &str) -> String {
    let command = command::<T>();
    let arg = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(option))
        .unwrap();
    let help = arg.get_help().unwrap().to_string().replace('\n', " ");
    let (_, default) = help.split_once("[default: ").unwrap();
    default.trim_end_matches(']').to_owned()
}

#[test]
fn numbers_in_words() {
    let pace = FixedPace::default();
    let seconds = GrttBounds::default().initial.as_secs_f64();
    for (option, value) in [
        ("block-size", SenderConfig::DEFAULT_BLOCK_SIZE.to_string()),
        ("robust", SenderConfig::DEFAULT_ROBUST.to_string()),
        ("grtt", seconds.to_string()),
        ("private-address", addresses::PRIVATE.to_owned()),
        ("announce-time", pace.announce_time.to_string()),
        ("announce-interval", pace.announce_interval.to_string()),
        ("register-interval", pace.register_interval.to_string()),
        ("status-time", pace.status_time.to_string()),
        ("status-interval", pace.status_interval.to_string()),
        ("done-interval", pace.done_interval.to_string()),
        ("mtu", pace.mtu.to_string()),
    ] {
        assert_eq!(said::<uftp::Args>(option), value, "{option}");
    }
    assert_eq!(
        said::<uftpd::Args>("log-file").split(';').next(),
        Some(uftpd::DEFAULT_LOG)
    );
    assert_eq!(
        said::<uftpproxyd::Args>("log-file").split(';').next(),
        Some(uftpproxyd::DEFAULT_LOG)
    );
}
