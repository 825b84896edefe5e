//! The clients of a session, and who speaks for them.

use std::collections::{HashMap, HashSet};

use uftp_proto::Uid;

/// What a host is in a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Nobody we know.
    Stranger,
    /// A client that speaks for itself.
    Alone,
    /// A client that this proxy below us speaks for.
    Behind(Uid),
}

impl Standing {
    /// Of a client that `via` speaks for, if it does not itself.
    pub(super) fn of_client(via: Option<Uid>) -> Self {
        via.map_or(Standing::Alone, Standing::Behind)
    }
}

/// The clients of a session.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// Each with the proxy below us that speaks for it, if it does not itself.
    via: HashMap<Uid, Option<Uid>>,
    /// Proxies below us.
    below: HashSet<Uid>,
    /// Those told to the server.
    registered: HashSet<Uid>,
    /// Those who have said that they leave.
    departed: HashSet<Uid>,
}

impl Clients {
    pub(super) fn is_empty(&self) -> bool {
        self.via.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.via.len()
    }

    pub(super) fn contains(&self, host: Uid) -> bool {
        self.via.contains_key(&host)
    }

    /// What a host is.
    pub(super) fn standing(&self, host: Uid) -> Standing {
        let via = self.via.get(&host);
        via.map_or(Standing::Stranger, |via| Standing::of_client(*via))
    }

    /// The proxy below us that speaks for a client; `None` if none does.
    pub(super) fn via(&self, client: Uid) -> Option<Uid> {
        self.via.get(&client).copied().flatten()
    }

    /// All of them, each with what it is, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Uid, Standing)> {
        let all = self.via.iter();
        all.map(|(client, via)| (*client, Standing::of_client(*via)))
    }

    /// Whether a host has listed clients of its own.
    pub(super) fn is_proxy(&self, host: Uid) -> bool {
        self.below.contains(&host)
    }

    /// Whether the server was told of a client.
    pub(super) fn is_registered(&self, client: Uid) -> bool {
        self.registered.contains(&client)
    }

    /// A host has this place from now on, if any.
    pub(super) fn set(&mut self, host: Uid, standing: Standing) {
        match standing {
            Standing::Stranger => self.via.remove(&host),
            Standing::Alone => self.via.insert(host, None),
            Standing::Behind(proxy) => self.via.insert(host, Some(proxy)),
        };
    }

    /// The server is told of a client and who speaks for it. Whether that is again.
    pub(super) fn register(&mut self, client: Uid) -> bool {
        self.departed.remove(&client);
        self.below.extend(self.via(client));
        !self.registered.insert(client)
    }

    /// A host says that it leaves. Whether that is news; of more than `most` nobody keeps account.
    pub(super) fn depart(&mut self, host: Uid, most: usize) -> bool {
        self.departed.len() < most && self.departed.insert(host)
    }

    /// A client is gone as if it had never come.
    pub(super) fn remove(&mut self, client: Uid) {
        self.via.remove(&client);
        self.registered.remove(&client);
        self.departed.remove(&client);
    }

    /// A host speaks for nobody any more. Those it spoke for speak for themselves if they may `stay`;
    /// returns the others, who are gone.
    pub(super) fn disband(&mut self, proxy: Uid, stay: impl Fn(Uid) -> bool) -> Vec<Uid> {
        if !self.below.remove(&proxy) {
            return Vec::new();
        }
        let mut gone = Vec::new();
        self.via.retain(|client, via| {
            if *via != Some(proxy) {
                return true;
            }
            *via = None;
            let stays = stay(*client);
            if !stays {
                gone.push(*client);
            }
            stays
        });
        for client in &gone {
            self.registered.remove(client);
        }
        gone
    }
}
