//! Whom a restart of the session has to invite (behaviour-sender-receiver §3.15).

use std::collections::{HashMap, HashSet};

use super::clients::{Client, State};
use super::config::ClientEntry;
use super::session::Session;

/// Receivers that lack something of the session, and the proxies they need. Unless `all_sent`,
/// every receiver lacks something.
pub(super) fn unfinished(session: &Session, all_sent: bool) -> Vec<ClientEntry> {
    let lacks = |c: &&Client| !c.proxy && (!all_sent || c.state().is_error());
    let lacking: Vec<_> = session.clients.iter().filter(lacks).collect();
    // Nobody knows which proxy those who were never heard are behind.
    let any_proxy = lacking.iter().any(|c| c.state() == State::Mute);
    let needed: HashSet<_> = lacking.iter().filter_map(|c| c.via()).collect();
    let proxies = session.clients.iter().enumerate();
    let proxies = proxies.filter(|(at, c)| c.proxy && (any_proxy || needed.contains(at)));
    let listed: HashMap<_, _> = session
        .config
        .clients
        .iter()
        .flatten()
        .map(|entry| (entry.uid, entry.fingerprint))
        .collect();
    let entry = |client: &Client| ClientEntry {
        uid: client.uid,
        name: client.name.clone().unwrap_or(client.uid.to_string()),
        proxy: client.proxy,
        fingerprint: listed.get(&client.uid).copied().flatten(),
    };
    let proxies: Vec<_> = match lacking.is_empty() {
        true => Vec::new(),
        false => proxies.map(|(_, proxy)| entry(proxy)).collect(),
    };
    lacking.into_iter().map(entry).chain(proxies).collect()
}
