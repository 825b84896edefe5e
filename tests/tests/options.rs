//! No option without a test that sees what it does.
//!
//! The tables name one for each option of the four programs. An option that is missing
//! here, one that is no more, and a test that does not exist fail this test.

use std::{collections::BTreeMap, fs, path::Path};

use uftp_runtime::options::{Program, command, uftp, uftp_keymgt, uftpd, uftpproxyd};
use uftp_tests::{Failure, Result};

/// Options by their long names (or what clap calls them), and a test as `file::function`.
type Table = &'static [(&'static str, &'static str)];

const UFTP: Table = &[
    (
        "announce-interval",
        "protocol3/main::announcements_say_what_the_options_say",
    ),
    (
        "announce-time",
        "protocol3/main::announcements_say_what_the_options_say",
    ),
    (
        "least-time",
        "protocol3/main::small_files_have_the_least_time",
    ),
    (
        "register-interval",
        "protocol3/main::announcements_say_what_the_options_say",
    ),
    (
        "status-time",
        "protocol3/main::announcements_say_what_the_options_say",
    ),
    (
        "status-interval",
        "protocol3/main::announcements_say_what_the_options_say",
    ),
    (
        "done-interval",
        "protocol3/main::announcements_say_what_the_options_say",
    ),
    (
        "mtu",
        "protocol3/main::announcements_say_what_the_options_say",
    ),
    (
        "rate-steps",
        "protocol3/main::the_rate_answers_to_loss_in_steps",
    ),
    ("unicast", "protocol3/main::one_receiver_is_sent_to_alone"),
    (
        "announce-timeout",
        "modern_options/main::the_time_of_announcing_is_bounded",
    ),
    ("base-dir", "beside/main::base_dir"),
    (
        "block-size",
        "options_sender::packets_are_as_the_options_say",
    ),
    ("buffer-size", "options_sender::buffer_size"),
    ("check", "modern_options/main::a_check_starts_nothing"),
    ("cipher", "encryption::every_cipher_with_rsa"),
    (
        "client-auth",
        "encryption::three_receivers_prove_who_they_are_and_lose_packets",
    ),
    (
        "color",
        "modern_options/told::log_lines_can_be_objects_and_coloured",
    ),
    (
        "config",
        "modern_options/main::options_come_from_a_file_and_the_environment",
    ),
    (
        "congestion-control",
        "options_sender::rate_and_its_bounds_under_congestion_control",
    ),
    ("dest-is-dir", "beside/main::dest_name"),
    ("dest-name", "beside/main::dest_name"),
    (
        "dry-run",
        "modern_options/main::a_dry_run_shows_what_would_be_sent",
    ),
    ("dscp", "options_sender::packets_are_as_the_options_say"),
    ("events", "modern_options/told::events_are_told"),
    ("exclude-from", "beside/main::exclude"),
    ("files", "interop/main::one_megabyte"),
    ("files-from", "beside/main::list_file_and_standard_input"),
    ("follow-links", "beside/main::links_and_what_they_point_to"),
    ("grtt", "options_sender::packets_are_as_the_options_say"),
    (
        "hash",
        "encryption::every_hash_with_gcm_and_with_cbc_and_hmac",
    ),
    ("help", "options_sender::help_version_and_completions"),
    ("hosts", "beside/main::lists_of_hosts_and_proxies"),
    ("interface", "options_sender::interface"),
    (
        "key-exchange",
        "encryption::every_key_exchange_with_gcm_and_with_signed_packets",
    ),
    ("key-file", "options_sender::key_files"),
    ("log-file", "options_sender::log_files_and_their_number"),
    (
        "log-format",
        "modern_options/told::log_lines_can_be_objects_and_coloured",
    ),
    ("log-level", "options_sender::timestamps_and_log_level"),
    (
        "max-log-count",
        "options_sender::log_files_and_their_number",
    ),
    ("max-log-size", "options_sender::log_files_and_their_number"),
    ("max-nak-count", "beside/main::limits_of_patience"),
    ("max-nak-percent", "beside/main::limits_of_patience"),
    ("max-passes", "beside/main::limits_of_patience"),
    ("min-clients", "options_sender::enough_receivers"),
    ("new-key", "options_sender::key_files"),
    ("offload", "offload::whole_batched_and_single"),
    ("port", "options_sender::port"),
    (
        "print-completions",
        "options_sender::help_version_and_completions",
    ),
    (
        "private-address",
        "options_sender::packets_are_as_the_options_say",
    ),
    ("progress", "options_sender::progress"),
    ("protocol", "options_sender::packets_are_as_the_options_say"),
    ("proxy-list", "beside/main::lists_of_hosts_and_proxies"),
    (
        "public-address",
        "options_sender::packets_are_as_the_options_say",
    ),
    ("quit-on-error", "status_files::sessions_without_receivers"),
    (
        "rate",
        "options_sender::rate_and_its_bounds_under_congestion_control",
    ),
    ("restart", "restart::only_what_is_missing_is_sent_again"),
    ("restartable", "restart::ours_resumes_for_the_absent"),
    ("robust", "options_sender::robustness_factor"),
    (
        "signature",
        "encryption::every_key_exchange_with_gcm_and_with_signed_packets",
    ),
    (
        "source-port",
        "options_sender::packets_are_as_the_options_say",
    ),
    ("status-file", "options_sender::status_lines_in_the_log"),
    (
        "strict",
        "modern_options/main::strictness_is_in_the_exit_code",
    ),
    ("sync", "beside/main::sync"),
    ("sync-preview", "beside/main::sync"),
    ("system-keys", "options_sender::system_keys_change_nothing"),
    ("timestamps", "options_sender::timestamps_and_log_level"),
    ("ttl", "options_sender::packets_are_as_the_options_say"),
    ("tx-weight", "beside/main::limits_of_patience"),
    ("uid", "options_sender::packets_are_as_the_options_say"),
    ("version", "options_sender::help_version_and_completions"),
];

const UFTPD: Table = &[
    (
        "allow-from",
        "modern_options/main::sessions_at_once_and_their_sources_are_limited",
    ),
    ("backup-dir", "receiver_modes::backup"),
    ("buffer-size", "options_receiver::buffer_size"),
    ("cache-size", "receiver_modes::write_cache"),
    ("check", "modern_options/main::a_check_starts_nothing"),
    (
        "color",
        "modern_options/told::log_lines_can_be_objects_and_coloured",
    ),
    (
        "config",
        "modern_options/main::options_come_from_a_file_and_the_environment",
    ),
    ("dest-dir", "beside/main::absolute_names"),
    ("detached-child", "wild::a_receiver_in_the_background"),
    ("dscp", "options_receiver::dscp"),
    ("events", "modern_options/told::events_are_told"),
    ("foreground", "options_receiver::log_archives_and_pid_file"),
    ("fsync", "power_cut::within_a_session"),
    ("heartbeat-host", "options_receiver::heartbeats"),
    ("heartbeat-interval", "options_receiver::heartbeats"),
    ("help", "options_sender::help_version_and_completions"),
    ("ignored", "options_receiver::other_words_are_ignored"),
    ("interface", "options_receiver::interfaces"),
    ("key-file", "options_receiver::several_keys"),
    ("log-file", "options_receiver::log_archives_and_pid_file"),
    (
        "log-format",
        "modern_options/told::log_lines_can_be_objects_and_coloured",
    ),
    ("log-level", "options_receiver::log_level"),
    (
        "max-log-count",
        "options_receiver::log_archives_and_pid_file",
    ),
    (
        "max-log-size",
        "options_receiver::log_archives_and_pid_file",
    ),
    (
        "max-sessions",
        "modern_options/main::sessions_at_once_and_their_sources_are_limited",
    ),
    ("metrics", "modern_options/told::metrics_are_served"),
    (
        "move-individually",
        "beside/main::temp_dir_and_files_moved_individually",
    ),
    ("new-key", "options_receiver::several_keys"),
    (
        "no-delete",
        "confinement::links_and_deletions_can_be_rejected",
    ),
    (
        "no-links",
        "confinement::links_and_deletions_can_be_rejected",
    ),
    ("no-name-lookup", "options_receiver::names_of_senders"),
    ("pid-file", "options_receiver::log_archives_and_pid_file"),
    ("offload", "offload::whole_batched_and_single"),
    ("port", "options_receiver::groups_port_and_id"),
    ("post-receive", "receiver_modes::post_receive"),
    (
        "print-completions",
        "options_sender::help_version_and_completions",
    ),
    ("priority", "receiver_modes::priority"),
    ("protocols", "protocol5::the_protocols_named_are_heard"),
    ("public-address", "options_receiver::groups_port_and_id"),
    ("refuse-weak", "algorithms::the_rules_for_senders_of_4"),
    (
        "require-encryption",
        "encryption::a_receiver_that_demands_encryption_refuses_what_is_plain",
    ),
    ("response-proxy", "options_receiver::response_proxy"),
    (
        "server-list",
        "options_receiver::senders_and_source_specific_groups",
    ),
    (
        "ssm",
        "options_receiver::senders_and_source_specific_groups",
    ),
    ("status-file", "options_receiver::status_lines_in_the_log"),
    (
        "system-keys",
        "options_receiver::system_keys_change_nothing",
    ),
    ("temp-dir", "receiver_modes::temp_dir"),
    ("temp-file", "receiver_modes::temp_file"),
    ("uid", "options_receiver::groups_port_and_id"),
    ("v4-response-proxy", "options_receiver::response_proxy"),
    ("user", "modern_options/main::privileges_are_given_up"),
    ("version", "options_sender::help_version_and_completions"),
];

const UFTPPROXYD: Table = &[
    (
        "admit-anybody",
        "proxies/modern::answers_of_another_address",
    ),
    (
        "hold-percent",
        "proxies/three::answers_are_held_for_part_of_the_time_between_questions",
    ),
    ("buffer-size", "proxies/modern::what_all_daemons_have"),
    ("check", "modern_options/main::a_check_starts_nothing"),
    (
        "client-list",
        "proxies/options::clients_that_are_not_listed",
    ),
    ("client-proxy", "proxies/options::ports_may_all_differ"),
    ("color", "proxies/modern::what_all_daemons_have"),
    ("config", "proxies/modern::what_all_daemons_have"),
    ("dest-port", "proxies/options::ports_may_all_differ"),
    (
        "detached-child",
        "proxies/options::a_daemon_and_its_exit_codes",
    ),
    ("dscp", "proxies/options::time_to_live_and_code_point"),
    ("ecdh-curve", "proxies/figures::figure_2"),
    (
        "events",
        "proxies/modern::programs_monitors_and_managers_are_told",
    ),
    ("foreground", "proxies/options::a_daemon_and_its_exit_codes"),
    (
        "heartbeat-host",
        "proxies/options::the_tunnel_moves_with_the_key",
    ),
    (
        "heartbeat-interval",
        "proxies/options::the_tunnel_moves_with_the_key",
    ),
    ("help", "options_sender::help_version_and_completions"),
    ("ignored", "proxies/modern::what_all_daemons_have"),
    ("interface", "proxies/options::a_daemon_and_its_exit_codes"),
    ("key-file", "proxies/options::the_tunnel_moves_with_the_key"),
    ("log-file", "proxies/options::a_daemon_and_its_exit_codes"),
    ("log-format", "proxies/modern::what_all_daemons_have"),
    ("log-level", "proxies/modern::what_all_daemons_have"),
    (
        "max-clients",
        "proxies/options::more_clients_than_it_may_have",
    ),
    (
        "max-log-count",
        "proxies/options::a_daemon_and_its_exit_codes",
    ),
    (
        "max-log-size",
        "proxies/options::a_daemon_and_its_exit_codes",
    ),
    (
        "max-sessions",
        "proxies/modern::more_sessions_than_it_may_have",
    ),
    (
        "metrics",
        "proxies/modern::programs_monitors_and_managers_are_told",
    ),
    ("new-key", "proxies/options::clients_that_are_not_listed"),
    ("offload", "proxies/modern::what_all_daemons_have"),
    ("out-interface", "proxies/options::over_ipv6"),
    ("pid-file", "proxies/options::a_daemon_and_its_exit_codes"),
    ("port", "proxies/options::ports_may_all_differ"),
    (
        "print-completions",
        "options_sender::help_version_and_completions",
    ),
    ("priority", "proxies/modern::what_all_daemons_have"),
    (
        "public-address",
        "proxies/options::source_specific_multicast",
    ),
    (
        "refuse-weak",
        "proxies/trust::weak_algorithms_may_be_refused",
    ),
    (
        "require-encryption",
        "proxies/trust::sessions_in_the_clear_may_be_refused",
    ),
    ("response-proxy", "proxies/figures::figure_2"),
    (
        "server-list",
        "proxies/options::senders_that_are_not_listed",
    ),
    (
        "server-proxy",
        "proxies/options::the_tunnel_moves_with_the_key",
    ),
    ("ssm", "proxies/options::source_specific_multicast"),
    ("strict", "proxies/options::senders_that_are_not_listed"),
    ("system-keys", "proxies/modern::what_all_daemons_have"),
    ("ttl", "proxies/options::time_to_live_and_code_point"),
    ("uid", "proxies/options::the_tunnel_moves_with_the_key"),
    ("user", "proxies/modern::privileges_are_given_up"),
    ("version", "options_sender::help_version_and_completions"),
];

const UFTP_KEYMGT: Table = &[
    ("delete", "keymgt::nothing_is_deleted"),
    ("files", "keymgt::theirs_is_read_by_ours"),
    ("generate", "keymgt::ours_is_read_by_theirs"),
    ("help", "options_sender::help_version_and_completions"),
    ("json", "keymgt::what_machines_read"),
    (
        "machine",
        "keymgt::the_key_store_of_the_machine_is_no_other",
    ),
    (
        "print-completions",
        "options_sender::help_version_and_completions",
    ),
    ("public", "keymgt::what_machines_read"),
    ("version", "options_sender::help_version_and_completions"),
];

#[test]
fn every_option_has_a_test_of_its_effect() -> Result<()> {
    let mut wrong = Vec::new();
    let mut sources = Sources::default();
    compare::<uftp::Args>(UFTP, &mut sources, &mut wrong)?;
    compare::<uftpd::Args>(UFTPD, &mut sources, &mut wrong)?;
    compare::<uftpproxyd::Args>(UFTPPROXYD, &mut sources, &mut wrong)?;
    compare::<uftp_keymgt::Args>(UFTP_KEYMGT, &mut sources, &mut wrong)?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn compare<T: Program>(table: Table, sources: &mut Sources, wrong: &mut Vec<String>) -> Result<()> {
    let command = command::<T>();
    let program = command.get_name();
    let name = |arg: &clap::Arg| arg.get_long().unwrap_or(arg.get_id().as_str()).to_owned();
    let options: Vec<String> = command.get_arguments().map(name).collect();
    for option in &options {
        if !table.iter().any(|(named, _)| named == option) {
            wrong.push(format!("{program} --{option} has no test of its effect"));
        }
    }
    for (option, test) in table {
        if !options.iter().any(|known| known == option) {
            wrong.push(format!("{program} has no option --{option}"));
        }
        if !sources.has(test)? {
            wrong.push(format!("{program} --{option}: there is no test {test}"));
        }
    }
    Ok(())
}

/// The tests of this crate as they are written.
#[derive(Default)]
struct Sources(BTreeMap<String, String>);

impl Sources {
    /// Whether `file::function` is a test, or a case that tests are made of.
    fn has(&mut self, test: &str) -> Result<bool> {
        let (file, function) = test
            .split_once("::")
            .ok_or_else(|| Failure::new(format!("{test} is not file::function")))?;
        if !self.0.contains_key(file) {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{file}.rs"));
            let text = fs::read_to_string(&path)
                .map_err(|error| Failure::io(format!("reading {}", path.display()), error))?;
            self.0.insert(file.to_owned(), text);
        }
        let source = self.0.get(file).map_or("", String::as_str);
        let case =
            source.contains("\ncases! {") && source.contains(&format!("\n    {function},\n"));
        Ok(case || source.contains(&format!("#[test]\nfn {function}()")))
    }
}
