//! The sessions of a proxy as its events tell of them: who is behind it, and how they end.

use std::collections::HashMap;

use uftp_proto::{FileId, Uid};
use uftp_session::SessionId;
use uftp_session::proxy::{ProxyEvent, ProxyEventKind, Role};

use crate::service::liveness::Standing;
use crate::story::UNPROVED;

/// The sessions that are open. There are no more than the proxy has.
pub(crate) struct ProxySessions {
    /// What the proxy is called.
    own: Uid,
    /// It gathers the answers of its clients; else it knows of none.
    gathers: bool,
    open: HashMap<SessionId, Page>,
    clients: usize,
    over: u64,
}

/// One session.
#[derive(Default)]
struct Page {
    /// Each with the proxy that speaks for it, if that is behind us.
    clients: HashMap<Uid, Option<Uid>>,
    /// Somebody behind us was told to have all, and the sender hears it.
    completed: bool,
    /// Why the sender gave up.
    aborted: Option<String>,
}

/// How a session ended, a word for programs, and in the words of whoever ended it.
type Ending = (&'static str, Option<String>);

impl Page {
    /// The end of one in which nothing is said any more. One whose sender has ended it falls silent like
    /// any other.
    fn silent(self) -> Ending {
        match self.aborted {
            _ if self.completed => ("completed", None),
            Some(why) => ("aborted_by_sender", Some(why)),
            None => ("silent", None),
        }
    }
}

/// A session that is over.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Closed {
    /// How it ended, a word for programs.
    pub(crate) outcome: &'static str,
    /// In the words of whoever ended it.
    pub(crate) reason: Option<String>,
    /// Those who were behind us to the end.
    pub(crate) clients: usize,
}

impl ProxySessions {
    /// Of a proxy that is called `own` and has this role.
    pub(crate) fn new(own: Uid, role: &Role) -> Self {
        ProxySessions {
            own,
            gathers: role.gathers(),
            open: HashMap::new(),
            clients: 0,
            over: 0,
        }
    }

    /// Sessions under way.
    pub(crate) fn sessions(&self) -> usize {
        self.open.len()
    }

    /// Receivers that have registered in them; one that is in two counts twice. A server proxy
    /// knows of none.
    pub(crate) fn clients(&self) -> usize {
        self.clients
    }

    /// All of it in numbers.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            open: self.open.len() as u64,
            clients: self.gathers.then_some(self.clients as u64),
            over: self.over,
        }
    }

    /// Enters what has happened. The session that is over by it, if one is.
    pub(crate) fn note(&mut self, event: &ProxyEvent) -> Option<Closed> {
        use ProxyEventKind as K;
        let id = event.session?;
        match &event.kind {
            K::Announced { .. } => {
                self.open.entry(id).or_default();
            }
            K::Registered { client, via, .. } => {
                if let Some(page) = self.open.get_mut(&id) {
                    let new = page.clients.insert(*client, *via).is_none();
                    self.clients += usize::from(new);
                }
            }
            K::AbortedByClient { client, .. }
            | K::Unregistered { client }
            | K::Displaced { client } => {
                self.leaves(id, *client);
            }
            K::AbortedByServer { host, reason } => {
                if host.is_none() || *host == self.own {
                    let page = self.open.get_mut(&id)?;
                    page.aborted.get_or_insert_with(|| reason.clone());
                } else {
                    self.leaves(id, *host);
                }
            }
            K::CompleteSent {
                file: FileId::SESSION,
                ..
            } => self.open.get_mut(&id)?.completed = true,
            K::TimedOut => return self.close(id, Page::silent),
            K::Superseded => return self.close(id, |_| ("superseded", None)),
            K::Encrypted => return self.close(id, |_| ("superseded", Some(UNPROVED.to_owned()))),
            K::ShutDown => return self.close(id, |_| ("stopped", None)),
            K::Refused { reason, .. } => {
                return self.close(id, |_| ("refused", Some((*reason).to_owned())));
            }
            _ => {}
        }
        None
    }

    /// One leaves, and with it those for whom it spoke.
    fn leaves(&mut self, id: SessionId, one: Uid) {
        if let Some(page) = self.open.get_mut(&id) {
            let before = page.clients.len();
            page.clients
                .retain(|client, via| *client != one && *via != Some(one));
            self.clients -= before - page.clients.len();
        }
    }

    /// A session is over; `ending` says by what word, and why.
    fn close(&mut self, id: SessionId, ending: impl FnOnce(Page) -> Ending) -> Option<Closed> {
        let page = self.open.remove(&id)?;
        let clients = page.clients.len();
        self.clients -= clients;
        self.over += 1;
        let (outcome, reason) = ending(page);
        Some(Closed {
            outcome,
            reason,
            clients,
        })
    }
}

#[cfg(test)]
mod tests {
    use uftp_proto::wire::CompleteStatus;
    use uftp_proto::{GroupId, Instance};
    use uftp_session::proxy::Downstream;

    use super::*;

    const OWN: Uid = Uid(100);
    const GATHERING: Role = Role::Response {
        publics: Vec::new(),
        dh_key: None,
    };

    /// What is entered of one session, and what comes out.
    fn entered(
        proxy_sessions: &mut ProxySessions,
        group: u32,
        kinds: &[ProxyEventKind],
    ) -> Vec<Closed> {
        let session = SessionId {
            group: GroupId(group),
            instance: Instance(0),
        };
        let note = |kind: &ProxyEventKind| {
            let (session, kind) = (Some(session), kind.clone());
            proxy_sessions.note(&ProxyEvent { session, kind })
        };
        kinds.iter().filter_map(note).collect()
    }

    fn announced() -> ProxyEventKind {
        ProxyEventKind::Announced {
            server: Uid(1),
            from: "10.0.0.1:9".parse().unwrap(),
            public: "230.4.4.1".parse().unwrap(),
            private: None,
        }
    }

    fn registered(client: u32, again: bool) -> ProxyEventKind {
        ProxyEventKind::Registered {
            client: Uid(client),
            via: None,
            again,
        }
    }

    fn registered_via(client: u32, proxy: u32) -> ProxyEventKind {
        ProxyEventKind::Registered {
            client: Uid(client),
            via: Some(Uid(proxy)),
            again: false,
        }
    }

    fn left(client: u32) -> ProxyEventKind {
        let client = Uid(client);
        let reason = String::new();
        ProxyEventKind::AbortedByClient { client, reason }
    }

    fn aborted(host: Uid) -> ProxyEventKind {
        let reason = "enough".to_owned();
        ProxyEventKind::AbortedByServer { host, reason }
    }

    fn refused() -> ProxyEventKind {
        let from = "10.0.0.1:9".parse().unwrap();
        let reason = "no group";
        ProxyEventKind::Refused { from, reason }
    }

    #[test]
    fn sessions_end_in_many_ways() {
        use ProxyEventKind as K;
        let complete = |file| K::CompleteSent {
            file,
            status: CompleteStatus::NORMAL,
            clients: 1,
        };
        let closed = |outcome, reason: Option<&str>, clients| Closed {
            outcome,
            reason: reason.map(str::to_owned),
            clients,
        };
        for (middle, end, expected) in [
            (complete(FileId(1)), K::TimedOut, closed("silent", None, 1)),
            (
                complete(FileId::SESSION),
                K::TimedOut,
                closed("completed", None, 1),
            ),
            (
                aborted(Uid::NONE),
                K::TimedOut,
                closed("aborted_by_sender", Some("enough"), 1),
            ),
            (
                aborted(OWN),
                K::TimedOut,
                closed("aborted_by_sender", Some("enough"), 1),
            ),
            (aborted(Uid(7)), K::TimedOut, closed("silent", None, 0)),
            (K::KeyInfoReceived, K::ShutDown, closed("stopped", None, 1)),
            (
                aborted(Uid::NONE),
                K::Superseded,
                closed("superseded", None, 1),
            ),
            (
                K::KeyInfoReceived,
                refused(),
                closed("refused", Some("no group"), 1),
            ),
        ] {
            let mut proxy_sessions = ProxySessions::new(OWN, &GATHERING);
            let kinds = [announced(), registered(7, false), middle, end];
            assert_eq!(entered(&mut proxy_sessions, 1, &kinds), [expected]);
            let standing = Standing {
                open: 0,
                clients: Some(0),
                over: 1,
            };
            assert_eq!(proxy_sessions.standing(), standing);
        }
    }

    #[test]
    fn clients_are_those_of_all_sessions_that_have_not_left() {
        let mut proxy_sessions = ProxySessions::new(OWN, &GATHERING);
        // What is not taken on is no session that ends.
        assert_eq!(entered(&mut proxy_sessions, 3, &[refused()]), []);
        let come = [announced(), registered(7, false), registered(8, false)];
        entered(&mut proxy_sessions, 1, &come);
        entered(&mut proxy_sessions, 2, &come);
        entered(&mut proxy_sessions, 2, &[registered(7, true), announced()]);
        assert_eq!(
            (proxy_sessions.sessions(), proxy_sessions.clients()),
            (2, 4)
        );
        let unproved = ProxyEventKind::Unregistered { client: Uid(8) };
        entered(&mut proxy_sessions, 1, &[left(7), left(7), unproved]);
        assert_eq!(
            (proxy_sessions.sessions(), proxy_sessions.clients()),
            (2, 2)
        );
        let passing = Role::Server {
            downstream: Downstream::Fixed("10.0.0.2:9".parse().unwrap()),
            admit_anybody: false,
        };
        let standing = ProxySessions::new(OWN, &passing).standing();
        assert_eq!(standing.clients, None, "of a server proxy");
    }

    #[test]
    fn with_a_lower_proxy_go_those_behind_it() {
        for (gone, stay) in [
            (left(50), 2),
            (ProxyEventKind::Unregistered { client: Uid(50) }, 2),
            (aborted(Uid(50)), 2),
            // One of them alone, and one who never came.
            (left(7), 4),
            (left(60), 5),
        ] {
            let mut proxy_sessions = ProxySessions::new(OWN, &GATHERING);
            let come = [
                announced(),
                registered_via(6, 50),
                registered_via(7, 50),
                registered_via(8, 50),
                registered_via(9, 51),
                registered(10, false),
            ];
            entered(&mut proxy_sessions, 1, &come);
            entered(&mut proxy_sessions, 2, &come);
            assert_eq!(proxy_sessions.clients(), 10);
            entered(&mut proxy_sessions, 1, std::slice::from_ref(&gone));
            assert_eq!(proxy_sessions.clients(), 5 + stay, "{gone:?}");
            let closed = entered(&mut proxy_sessions, 1, &[ProxyEventKind::TimedOut]);
            assert_eq!(closed[0].clients, stay, "{gone:?}");
        }
    }

    #[test]
    fn who_comes_through_another_goes_with_that() {
        let mut proxy_sessions = ProxySessions::new(OWN, &GATHERING);
        let moved = [announced(), registered_via(6, 50), registered(6, true)];
        entered(&mut proxy_sessions, 1, &moved);
        entered(&mut proxy_sessions, 1, &[left(50)]);
        assert_eq!(proxy_sessions.clients(), 1);
    }
}
