//! Why nobody takes part in a session.

use std::fmt;

use uftp_proto::wire::Version;
use uftp_session::sender::SenderConfig;

/// What is known of those who did not come, and what may keep them away. Shown as the sentence that ends
/// a session in which too few registered.
pub(super) struct Silence {
    /// The protocol spoken.
    version: Version,
    /// Keys are agreed upon through proxies, which may be response proxies of 4.x.
    agrees_with_proxies: bool,
    /// Somebody would not take part.
    pub(super) refused: bool,
    /// Somebody would take part who is not in the host list.
    pub(super) unlisted: bool,
    /// Somebody showed another key than the one listed.
    pub(super) mistaken: bool,
    /// Announcements name the receivers.
    pub(super) closed: bool,
    /// Somebody takes part.
    pub(super) registered: bool,
    /// Why the network took nothing of what was to be sent.
    pub(super) refusal: Option<String>,
}

impl Silence {
    /// Before anything is known.
    pub(super) fn of(config: &SenderConfig) -> Self {
        Silence {
            version: config.version,
            agrees_with_proxies: agrees_with_proxies(config),
            refused: false,
            unlisted: false,
            mistaken: false,
            closed: false,
            registered: false,
            refusal: None,
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Then there is no need to guess.
        if let Some(words) = &self.refusal {
            return write!(f, "Nothing could be sent: {words}; {CAUSES_OF_REFUSAL}");
        }
        let nobody = match (self.refused, self.registered) {
            _ if self.mistaken => {
                "Not everybody proved to have the key that the host list (-H) names, see \
                 above: compare it with what uftp_keymgt shows of the receiver's key file, \
                 which is that of uftpd -k (without it uftpd makes a new key at each start). \
                 Usual causes if others are silent"
            }
            _ if self.unlisted && !self.registered => {
                "Nobody registered but who is not in the host list (-H), see above. A proxy that \
                 receivers register through has to be in a list of its own (-j). Usual causes if \
                 others are silent"
            }
            (false, false) => "Nobody registered. Usual causes",
            (false, true) => "Not everybody registered, so nothing is sent. Usual causes",
            (true, _) => {
                "Nobody registered: who answered refused, see above. Usual causes if others \
                 are silent"
            }
        };
        write!(f, "{nobody}: {CAUSES}")?;
        if self.closed {
            f.write_str(NOT_LISTED)?;
        }
        f.write_str(deaf_to(self.version))?;
        if self.agrees_with_proxies {
            f.write_str(DEAD_PROXY)?;
        }
        Ok(())
    }
}

/// The usual causes, in the order to look for them.
const CAUSES: &str = "no uftpd runs there; another \
     interface is meant (-I); another port or group (-p, -M); a firewall drops UDP or IGMP; a \
     router lies between and the TTL is 1 (-t)";
/// And of a closed group.
const NOT_LISTED: &str = "; the receivers are not in the host list (-H)";

/// Where ECDH goes through proxies of a closed group.
const DEAD_PROXY: &str = "; a response proxy of 4.x that was started without -e dies of ECDH (send with \
     -e rsa)";

/// Where it is this machine that says no.
const CAUSES_OF_REFUSAL: &str = "is there a route, is -I right, does a firewall here forbid it?";

/// The cause that lies in the protocol, if there is one: who does not hear it.
fn deaf_to(version: Version) -> &'static str {
    match version {
        Version::V3 | Version::V3Sync => {
            "; the receivers, or proxies on the way, are of UFTP 4.x or 5.x and do not hear protocol \
             3 (send with --protocol 4 or 5)"
        }
        Version::V4 => "",
        Version::V5 => {
            "; the receivers, or proxies on the way, are of 4.x or older and do not hear protocol 5 \
             (send with --protocol 4)"
        }
    }
}

/// Whether the proxies of a session, some of which may be response proxies of 4.x, agree upon keys.
fn agrees_with_proxies(config: &SenderConfig) -> bool {
    let suite = config.security.as_ref().map(|security| security.suite());
    let mut clients = config.clients.iter().flatten();
    config.version == Version::V4
        && suite.is_some_and(|suite| suite.key_exchange.is_ecdh())
        && clients.any(|client| client.proxy)
}
