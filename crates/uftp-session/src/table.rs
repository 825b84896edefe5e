//! The open sessions of a receiver or a proxy, found in constant time, and their groups.

use std::collections::HashMap;
use std::net::IpAddr;

use uftp_proto::{GroupId, Instance};

/// A session as receivers and proxies tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId {
    /// Its number.
    pub group: GroupId,
    /// Its restart counter.
    pub instance: Instance,
}

/// Sessions by id. Positions are good until the next removal.
pub(crate) struct Table<T> {
    sessions: Vec<(SessionId, T)>,
    positions: HashMap<SessionId, usize>,
    /// Where the last packet belonged: so will most likely the next.
    recent: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table {
            sessions: Vec::new(),
            positions: HashMap::new(),
            recent: 0,
        }
    }
}

impl<T> Table<T> {
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Position of a session.
    pub(crate) fn find(&mut self, id: SessionId) -> Option<usize> {
        let hit = |(recent, _): &(SessionId, T)| *recent == id;
        if !self.sessions.get(self.recent).is_some_and(hit) {
            self.recent = *self.positions.get(&id)?;
        }
        Some(self.recent)
    }

    /// Position of the first session that `fits`.
    pub(crate) fn position(&self, fits: impl Fn(&T) -> bool) -> Option<usize> {
        self.iter().position(fits)
    }

    pub(crate) fn get_mut(&mut self, position: usize) -> Option<&mut T> {
        self.sessions.get_mut(position).map(|(_, session)| session)
    }

    /// The session at a position, and its id.
    pub(crate) fn entry_mut(&mut self, position: usize) -> Option<(SessionId, &mut T)> {
        let entry = self.sessions.get_mut(position);
        entry.map(|(id, session)| (*id, session))
    }

    /// Adds a session, which must not be there yet. Returns its position.
    pub(crate) fn insert(&mut self, id: SessionId, session: T) -> usize {
        let position = self.sessions.len();
        self.sessions.push((id, session));
        self.positions.insert(id, position);
        position
    }

    /// Takes a session out; the last one moves to its position.
    pub(crate) fn remove(&mut self, position: usize) -> Option<(SessionId, T)> {
        if position >= self.sessions.len() {
            return None;
        }
        let (id, session) = self.sessions.swap_remove(position);
        self.positions.remove(&id);
        if let Some((moved, _)) = self.sessions.get(position) {
            self.positions.insert(*moved, position);
        }
        Some((id, session))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.sessions.iter().map(|(_, session)| session)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.sessions.iter_mut().map(|(_, session)| session)
    }
}

/// Groups joined for sessions, each once however many sessions it carries.
#[derive(Default)]
pub(crate) struct Groups {
    uses: HashMap<IpAddr, usize>,
}

impl Groups {
    /// One more session needs `group`. Returns whether it must be joined.
    pub(crate) fn enter(&mut self, group: IpAddr) -> bool {
        let uses = self.uses.entry(group).or_default();
        *uses += 1;
        *uses == 1
    }

    /// One session less needs `group`. Returns whether it must be left.
    pub(crate) fn exit(&mut self, group: IpAddr) -> bool {
        let Some(uses) = self.uses.get_mut(&group) else {
            return false;
        };
        *uses -= 1;
        let last = *uses == 0;
        if last {
            self.uses.remove(&group);
        }
        last
    }

    /// The group could not be joined: there is nothing to leave.
    pub(crate) fn forget(&mut self, group: IpAddr) {
        self.uses.remove(&group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uftp_proto::{GroupId, Instance};

    fn id(n: u32) -> SessionId {
        SessionId {
            group: GroupId(n),
            instance: Instance(0),
        }
    }

    #[test]
    fn removal_keeps_the_others_findable() {
        let mut table = Table::default();
        for n in 0..5 {
            table.insert(id(n), n);
        }
        assert_eq!(table.find(id(4)), Some(4));
        assert_eq!(table.remove(1), Some((id(1), 1)));
        assert_eq!(table.find(id(1)), None);
        for n in [0, 2, 3, 4] {
            let at = table.find(id(n)).unwrap();
            assert_eq!(table.get_mut(at), Some(&mut n.clone()));
        }
        assert_eq!(table.remove(4), None);
        while !table.is_empty() {
            table.remove(0);
        }
        assert_eq!((table.len(), table.find(id(0))), (0, None));
    }

    #[test]
    fn a_group_is_joined_once_and_left_once() {
        let group = IpAddr::from([230, 5, 5, 1]);
        let mut groups = Groups::default();
        assert!(groups.enter(group));
        assert!(!groups.enter(group));
        assert!(!groups.exit(group));
        assert!(groups.exit(group));
        assert!(!groups.exit(group));
        assert!(groups.enter(group));
        groups.forget(group);
        assert!(!groups.exit(group));
    }
}
