//! Who plays which part.

use std::fmt;

use uftp_tests::Suite;

use Suite::{Ours, Reference};

/// Whose programs stand where. Remote networks come in twos.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cast {
    pub(crate) sender: Suite,
    /// Beside the sender, for each remote network.
    pub(crate) server_proxies: [Suite; 2],
    /// Client or response proxies, of each remote network.
    pub(crate) proxies: [Suite; 2],
    /// Every second receiver, beginning with the first.
    pub(crate) receivers: [Suite; 2],
}

impl Cast {
    /// Ours alone.
    pub(crate) const OURS: Cast = Cast {
        sender: Ours,
        server_proxies: [Ours, Ours],
        proxies: [Ours, Ours],
        receivers: [Ours, Ours],
    };

    /// Our proxies between the reference's ends.
    pub(crate) const OUR_PROXIES: Cast = Cast {
        sender: Reference,
        receivers: [Reference, Reference],
        ..Cast::OURS
    };

    /// The reference's proxies between our ends.
    pub(crate) const THEIR_PROXIES: Cast = Cast {
        server_proxies: [Reference, Reference],
        proxies: [Reference, Reference],
        ..Cast::OURS
    };

    /// Mixed pairs of proxies, one way on one network and the other way on the other, before
    /// receivers of both kinds.
    pub(crate) const MIXED: [Cast; 2] = [
        Cast {
            sender: Ours,
            server_proxies: [Ours, Reference],
            proxies: [Reference, Ours],
            receivers: [Ours, Reference],
        },
        Cast {
            sender: Reference,
            server_proxies: [Reference, Ours],
            proxies: [Ours, Reference],
            receivers: [Reference, Ours],
        },
    ];

    pub(crate) const ALL: [Cast; 5] = [
        Cast::OUR_PROXIES,
        Cast::THEIR_PROXIES,
        Cast::MIXED[0],
        Cast::MIXED[1],
        Cast::OURS,
    ];

    /// Whose proxy gathers answers on remote network number `side`.
    pub(crate) fn proxy(&self, side: usize) -> Suite {
        in_turn(self.proxies, side)
    }

    /// Whose server proxy speaks for remote network number `side`.
    pub(crate) fn server_proxy(&self, side: usize) -> Suite {
        in_turn(self.server_proxies, side)
    }

    /// Whose receiver number `n` is.
    pub(crate) fn receiver(&self, n: usize) -> Suite {
        in_turn(self.receivers, n)
    }

    /// Whether a proxy of the reference gathers answers.
    pub(crate) fn reference_gathers(&self) -> bool {
        self.proxies.contains(&Reference)
    }
}

/// Short enough for a line of each case.
impl fmt::Debug for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |suites: [Suite; 2]| suites.map(Suite::name).join("+");
        write!(
            f,
            "{} | {} | {} | {}",
            self.sender.name(),
            names(self.server_proxies),
            names(self.proxies),
            names(self.receivers)
        )
    }
}

fn in_turn([even, odd]: [Suite; 2], n: usize) -> Suite {
    if n.is_multiple_of(2) { even } else { odd }
}
