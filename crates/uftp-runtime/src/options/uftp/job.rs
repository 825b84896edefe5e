//! What a command line of `uftp` means.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use uftp_net::{Interface, SocketConfig};
use uftp_proto::wire::{FixedPace, Version};
use uftp_proto::{GroupId, Instance};
use uftp_session::policy::{Clockwork, Names, Policy};
use uftp_session::security::SenderSecurity;
use uftp_session::sender::{ClientEntry, NakLimit, SenderConfig, SyncMode};

use super::Args;
use super::place::Place;
use crate::exit::Failure;
use crate::options::common::socket_config;
use crate::options::hosts::HostEntry;
use crate::options::lists::{read, without_returns};
use crate::options::{generation, hosts, protocol3, values};
use crate::say;
use crate::source::{Naming, Restart, SourceOptions};

/// A sender, ready to run.
#[derive(Debug)]
pub(crate) struct SendJob {
    /// What the session machine needs.
    pub config: SenderConfig,
    /// What the socket needs.
    pub socket: SocketConfig,
    /// Where multicast leaves.
    pub interface: Interface,
    /// What to send.
    pub files: Vec<OsString>,
    /// How it is named.
    pub source: SourceOptions,
    /// If a receiver fails, a file is left to resume the session from.
    pub restartable: bool,
}

/// What is settled before where the session takes place.
struct Session {
    version: Version,
    fixed: FixedPace,
    group: GroupId,
    instance: Instance,
    /// Who may come; `None` for anybody.
    clients: Option<Vec<ClientEntry>>,
    security: Option<SenderSecurity>,
}

impl Args {
    /// Time stamps are wanted.
    pub(crate) fn wants_timestamps(&self) -> bool {
        self.timestamps || self.common.log.file().is_some()
    }

    /// Turns what was typed into what is meant. Asks the resolver.
    ///
    /// # Errors
    /// A sentence naming what is wrong, with the exit code for it.
    pub(crate) async fn validate(&self, rng: &mut StdRng) -> Result<SendJob, Failure> {
        let version = self.version()?;
        let policy = Policy::of(version);
        let fixed = self.pace.validate(version)?;
        if policy.clockwork == Clockwork::Fixed {
            protocol3::check(self)?;
        }
        // Lists come first: they are part of the command line, addresses of the network.
        self.check_conflicts()?;
        let restart = self.restart.as_ref();
        let restart = restart.map(|path| Restart::read(Path::new(path)));
        let restart = restart.transpose()?;
        let listed = self.listed()?;
        let files = self.files(restart.as_ref())?;
        let source = self.source_options()?;
        let security = self.security.validate(version)?;
        let clients = match (&restart, listed) {
            (Some(restart), _) => Some(restart.clients.clone()),
            (None, Some(listed)) => Some(hosts::resolve(listed).await?),
            (None, None) => None,
        };
        warn_of_idle_fingerprints(clients.as_deref(), security.as_ref());
        let (group, instance) = match &restart {
            // Never the last: such a file is refused.
            Some(restart) => (restart.group, restart.instance.0.saturating_add(1)),
            None => (GroupId(rng.random_range(1..=u32::MAX)), 0),
        };
        let place = self.place(policy, clients.as_deref(), rng).await?;
        let single = place.is_one_host() && self.min_clients.is_none();
        let clients = match clients {
            None if policy.names == Names::Addresses && single => {
                Some(hosts::only(place.public.ip()))
            }
            clients => clients,
        };
        let session = Session {
            version,
            fixed,
            group,
            instance: Instance(instance),
            clients,
            security,
        };
        Ok(SendJob {
            config: self.config(session, &place)?,
            socket: SocketConfig {
                multicast_interface: Some(place.interface.clone()),
                ttl: self.ttl,
                ..socket_config(&self.common.socket, place.bind(self.source_port))
            },
            interface: place.interface,
            files,
            source,
            restartable: self.restartable || restart.is_some(),
        })
    }

    /// The protocol to speak.
    fn version(&self) -> Result<Version, Failure> {
        let version = generation::choose(self.protocol, &self.security)?;
        Ok(match (version, self.sync_mode()) {
            (Version::V3, SyncMode::Off) => Version::V3,
            // Only this wire id carries the times of files (wire-v3 §1).
            (Version::V3, SyncMode::Sync | SyncMode::Preview) => Version::V3Sync,
            (version, _) => version,
        })
    }

    fn sync_mode(&self) -> SyncMode {
        match (self.sync, self.sync_preview) {
            (_, true) => SyncMode::Preview,
            (true, false) => SyncMode::Sync,
            (false, false) => SyncMode::Off,
        }
    }

    /// What the session machine needs.
    fn config(&self, session: Session, place: &Place) -> Result<SenderConfig, Failure> {
        Ok(SenderConfig {
            version: session.version,
            uid: self
                .uid
                .filter(|u| !u.is_none())
                .unwrap_or_else(|| place.own_uid()),
            group: session.group,
            instance: session.instance,
            public: place.public,
            private: place.private,
            broadcast: place.is_broadcast(),
            clients: session.clients,
            block_size: self.block_size.unwrap_or(SenderConfig::DEFAULT_BLOCK_SIZE),
            robust: self.robust.unwrap_or(SenderConfig::DEFAULT_ROBUST),
            grtt: self.grtt.unwrap_or_default(),
            fixed: session.fixed,
            rate: self.congestion_control.rate(self.rate),
            rate_steps: self.pace.steps(self.rate)?,
            max_passes: self.max_passes,
            nak_limit: NakLimit {
                percent: self.max_nak_percent,
                strikes: self.max_nak_count,
            },
            max_time_percent: self.tx_weight,
            shortest_max_time: self.pace.least_time.map(|s| Duration::from_secs(s.into())),
            quit_on_error: self.quit_on_error,
            sync: self.sync_mode(),
            min_clients: self.min_clients,
            announce_time: self.announce_timeout,
            security: session.security,
        })
    }

    /// Options that exclude each other.
    fn check_conflicts(&self) -> Result<(), Failure> {
        let restart = self.restart.is_some();
        let conflict = if restart && !self.hosts.is_empty() {
            "Can't specify both -H and -F: the receivers are those of the restart file"
        } else if restart && !self.proxy_list.is_empty() {
            "Can't specify both -j and -F: the proxies are those of the restart file"
        } else if restart && !self.files_from.is_empty() {
            "Can't specify both -i and -F: the files are those of the restart file"
        } else if self.files_from.len() > 1 {
            "Can't specify both -i and -F, nor -i twice"
        } else if (restart || self.restartable) && (self.sync || self.sync_preview) {
            "Cannot use restart mode and sync mode together: expected either -f or -F, or -z or -Z"
        } else {
            return Ok(());
        };
        Err(Failure::command_line(conflict))
    }

    /// Receivers and proxies as listed; `None` lets anybody register.
    fn listed(&self) -> Result<Option<Vec<HostEntry>>, Failure> {
        let mut listed = hosts::read(&self.hosts)?;
        let proxies = hosts::read_proxies(&self.proxy_list)?;
        if self.hosts.is_empty() && proxies.is_empty() {
            return Ok(None);
        }
        if self.hosts.is_empty() {
            // As in 4.10.2. That anybody may receive must not follow from a list.
            say!(
                1,
                "a proxy list (-j) without -H admits no receivers: only its proxies may register"
            );
        }
        listed.extend(proxies);
        Ok(Some(listed))
    }

    /// What to send, from the command line, a list or the run that is resumed.
    fn files(&self, restart: Option<&Restart>) -> Result<Vec<OsString>, Failure> {
        let listed = match (restart, self.files_from.first()) {
            (Some(restart), _) => Some(restart.files.clone()),
            // A list without a line is none, as in 4.10.2.
            (None, Some(list)) => {
                let listed = lines(list, "file list (option -i)")?;
                Some(listed).filter(|listed| !listed.is_empty())
            }
            (None, None) => None,
        };
        if listed.is_some() && !self.files.is_empty() {
            say!(1, "ignoring paths specified on command line");
        }
        let files = listed.unwrap_or_else(|| self.files.clone());
        if files.is_empty() {
            let failure =
                Failure::command_line("there is nothing to send: expected at least one file");
            return Err(match self.files_from.is_empty() {
                true => failure,
                false => failure.about("-i"),
            });
        }
        for file in &files {
            if let Some(name) = file.as_bytes().strip_prefix(b"@DELETE:")
                && matches!(name, b"" | b"." | b"..")
            {
                return Err(Failure::command_line(format!(
                    "{} would delete everything at the receivers: expected the name of a file \
                     or directory",
                    file.to_string_lossy()
                )));
            }
        }
        Ok(files)
    }

    fn source_options(&self) -> Result<SourceOptions, Failure> {
        let mut exclude = Vec::new();
        for list in &self.exclude_from {
            exclude.extend(lines(list, "exclude list (option -X)")?);
        }
        let bases = values::paths(&self.base_dir);
        Ok(SourceOptions {
            naming: Naming {
                dest: self
                    .dest_name
                    .clone()
                    .filter(|d| !d.is_empty())
                    .map(OsStringExt::into_vec),
                dest_is_dir: self.dest_is_dir,
                bases: bases
                    .map(|base| base.as_os_str().as_bytes().to_vec())
                    .collect(),
            },
            follow_links: self.follow_links,
            exclude,
        })
    }
}

/// Says so if receivers are listed with fingerprints that nothing will be compared with.
fn warn_of_idle_fingerprints(clients: Option<&[ClientEntry]>, security: Option<&SenderSecurity>) {
    let compared = security.is_some_and(|s| s.suite().client_auth);
    let mut listed = clients.into_iter().flatten();
    if !compared && listed.any(|c| c.fingerprint.is_some()) {
        say!(
            1,
            "The fingerprints in the host list are compared only in encrypted sessions with \
             client authentication (-Y, -c)"
        );
    }
}

/// The lines of a list of paths, taken literally; blank ones are passed over.
fn lines(path: &OsString, what: &str) -> Result<Vec<OsString>, Failure> {
    let read = if path == "-" {
        read(io::stdin().lock())
    } else {
        File::open(path).and_then(read)
    };
    let bytes = read.map_err(|error| {
        Failure::command_line(format!(
            "Couldn't open {what} {}: {error}",
            path.to_string_lossy()
        ))
    })?;
    Ok(bytes
        .split(|b| *b == b'\n')
        .map(without_returns)
        .filter(|line| !line.is_empty())
        .map(|line| OsString::from_vec(line.to_vec()))
        .collect())
}
