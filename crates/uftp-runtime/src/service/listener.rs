//! The multicast groups of a daemon, and the interfaces they are joined on, which come and go.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use uftp_net::{Interface, InterfaceChanges, Socket};

use super::reload::Fresh;
use crate::driver::Control;
use crate::exit::Failure;
use crate::options::addresses;
use crate::say;

/// So long nothing more must have happened to interfaces before they are looked up: groups are
/// neither left nor joined for what is there between two steps of one change.
const QUIET: Duration = Duration::from_millis(200);
/// They are looked up after this time, whatever goes on happening.
const LONGEST_BURST: Duration = Duration::from_secs(2);

/// The interfaces groups are joined on, and for whose packets.
pub(crate) struct Listener {
    interfaces: Vec<Interface>,
    sources: Option<Vec<IpAddr>>,
    /// The groups that are joined, and how often each is.
    groups: BTreeMap<IpAddr, u32>,
    /// How often each interface has gone and come back.
    lives: Lives,
    found: Fresh<(Vec<Interface>, Lives)>,
}

/// How often interfaces have gone, by their index: with one that has, the memberships went.
type Lives = HashMap<u32, u64>;

impl Listener {
    /// Will join groups on `interfaces` for the packets of `sources`; `None` for everybody's.
    pub(crate) fn new(interfaces: Vec<Interface>, sources: Option<Vec<IpAddr>>) -> Listener {
        Listener {
            interfaces,
            sources,
            groups: BTreeMap::new(),
            lives: Lives::new(),
            found: Fresh::default(),
        }
    }

    /// From now on, when interfaces come and go, looks up those that `named` mean (as `-I`) and
    /// has the session thread [`renew`](Self::renew).
    pub(crate) fn follow(&self, named: Vec<String>, control: Control) {
        let (known, found) = (self.interfaces.clone(), self.found.clone());
        let watching = InterfaceChanges::watch().and_then(|changes| {
            thread::Builder::new()
                .name("interfaces".into())
                .spawn(move || follow(&changes, &named, known, &found, &control))
        });
        if let Err(error) = watching {
            say!(
                1,
                "Interfaces that come and go will not be noticed: {error}"
            );
        }
    }

    /// Joins all groups on the interfaces that were found since.
    pub(crate) fn renew(&mut self, socket: &Socket) {
        let Some((found, lives)) = self.found.take() else {
            return;
        };
        let before = std::mem::replace(&mut self.interfaces, found);
        let lived = std::mem::replace(&mut self.lives, lives);
        let stayed = |index| lived.get(&index) == self.lives.get(&index);
        let speaks = |list: &[Interface], index, group| {
            let mut all = list.iter();
            all.any(|i| i.index == index && i.first_like(group).is_some())
        };
        for (&group, &times) in &self.groups {
            let was = |i: &&Interface| speaks(&before, i.index, group);
            let is = |i: &&Interface| speaks(&self.interfaces, i.index, group);
            for _ in 0..times {
                // An interface that is gone has taken the memberships along; then this only
                // forgets them.
                for gone in before
                    .iter()
                    .filter(|i| was(i) && !(is(i) && stayed(i.index)))
                {
                    self.leave_on(socket, group, gone);
                }
                let new = |i: &&Interface| is(i) && !(was(i) && stayed(i.index));
                for new in self.interfaces.iter().filter(new) {
                    self.join_on(socket, group, new).for_each(drop);
                }
            }
        }
        for interface in &self.interfaces {
            let known = before.iter().any(|old| old.index == interface.index);
            if !known || !stayed(interface.index) {
                say!(1, "Listening on {interface}, which has come");
            }
        }
        for interface in &before {
            if !self.interfaces.iter().any(|i| i.index == interface.index) {
                say!(1, "No longer listening on {interface}, which has gone");
            }
        }
    }

    /// Joins the groups announcements come to. Those of a family that no interface has (yet) are told of
    /// and wait for one, if there are others.
    ///
    /// # Errors
    /// One of them cannot be joined, or none has anything to be joined on.
    pub(crate) fn join_all(&mut self, socket: &Socket, groups: &[IpAddr]) -> Result<(), Failure> {
        self.check(groups)?;
        for &group in groups {
            match self.can_join(group) {
                Ok(()) => self.join(socket, group).map_err(Failure::network)?,
                Err(why) => {
                    say!(1, "{why}");
                    *self.groups.entry(group).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    /// Joins one group on every interface that speaks its family; one success is enough.
    ///
    /// # Errors
    /// The reason of the last failure, if all failed.
    pub(crate) fn join(&mut self, socket: &Socket, group: IpAddr) -> Result<(), String> {
        self.can_join(group)?;
        let (mut joined, mut failed) = (false, String::new());
        for interface in self.speaking(group) {
            for done in self.join_on(socket, group, interface) {
                match done {
                    Ok(()) => joined = true,
                    Err(reason) => failed = reason,
                }
            }
        }
        if !joined {
            return Err(failed);
        }
        *self.groups.entry(group).or_default() += 1;
        Ok(())
    }

    /// Whether there is anything to join `group` on, and anybody to join it for.
    ///
    /// # Errors
    /// What lacks an address of its family.
    fn can_join(&self, group: IpAddr) -> Result<(), String> {
        let family = if group.is_ipv4() { "IPv4" } else { "IPv6" };
        let lacking = if self.each_source(group, |_| ()).is_empty() {
            "no sender of -S"
        } else if self.speaking(group).next().is_none() {
            "no interface of -I"
        } else {
            return Ok(());
        };
        Err(format!(
            "cannot join {group}: {lacking} has an {family} address"
        ))
    }

    /// What [`join_all`](Self::join_all) would say, as far as it can be told without joining.
    ///
    /// # Errors
    /// There are groups, and nothing can be joined for any of them.
    pub(crate) fn check(&self, groups: &[IpAddr]) -> Result<(), Failure> {
        let mut each = groups.iter().map(|group| self.can_join(*group));
        match each.next() {
            Some(Err(why)) if !each.any(|other| other.is_ok()) => Err(Failure::network(why)),
            _ => Ok(()),
        }
    }

    pub(crate) fn leave(&mut self, socket: &Socket, group: IpAddr) {
        for interface in self.speaking(group) {
            self.leave_on(socket, group, interface);
        }
        if let Some(times) = self.groups.get_mut(&group) {
            *times = times.saturating_sub(1);
        }
        self.groups.retain(|_, times| *times > 0);
    }

    fn join_on(
        &self,
        socket: &Socket,
        group: IpAddr,
        interface: &Interface,
    ) -> impl Iterator<Item = Result<(), String>> {
        let done = self.each_source(group, |source| match source {
            None => socket.join(group, interface),
            Some(source) => socket.join_source(group, source, interface),
        });
        done.into_iter().map(|done| {
            done.map_err(|error| {
                say!(1, "{error}");
                error.to_string()
            })
        })
    }

    fn leave_on(&self, socket: &Socket, group: IpAddr, interface: &Interface) {
        let done = self.each_source(group, |source| match source {
            None => socket.leave(group, interface),
            Some(source) => socket.leave_source(group, source, interface),
        });
        for error in done.into_iter().filter_map(Result::err) {
            say!(3, "{error}");
        }
    }

    /// Does something for each source a group is joined for, or once for all.
    fn each_source<T>(&self, group: IpAddr, act: impl Fn(Option<IpAddr>) -> T) -> Vec<T> {
        match &self.sources {
            None => vec![act(None)],
            Some(sources) => {
                let alike = |s: &&IpAddr| s.is_ipv4() == group.is_ipv4();
                let sources = sources.iter().filter(alike);
                sources.map(|source| act(Some(*source))).collect()
            }
        }
    }

    fn speaking(&self, group: IpAddr) -> impl Iterator<Item = &Interface> {
        self.interfaces
            .iter()
            .filter(move |i| i.first_like(group).is_some())
    }
}

/// Looks up the interfaces that `named` mean whenever something has happened to any, as long as
/// the program runs.
fn follow(
    changes: &InterfaceChanges,
    named: &[String],
    mut known: Vec<Interface>,
    found: &Fresh<(Vec<Interface>, Lives)>,
    control: &Control,
) {
    let mut lives = Lives::new();
    loop {
        let settled = changes
            .wait()
            .and_then(|()| changes.settle(QUIET, LONGEST_BURST));
        let gone = match settled {
            Ok(gone) => gone,
            Err(error) => {
                say!(1, "Interfaces are no longer watched: {error}");
                return;
            }
        };
        let list = addresses::listening_now(named);
        let indexes = list.iter().map(|i| i.index);
        let back: Vec<_> = indexes.filter(|index| gone.may_include(*index)).collect();
        if list != known || !back.is_empty() {
            for index in back {
                *lives.entry(index).or_default() += 1;
            }
            known.clone_from(&list);
            found.put((list, lives.clone()));
            control.renew_groups();
        }
    }
}
