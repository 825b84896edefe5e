//! The multicast groups of a daemon.

use std::net::IpAddr;

use uftp_net::{Interface, Socket};

use crate::exit::Failure;
use crate::say;

/// The interfaces groups are joined on, and for whose packets.
pub(crate) struct Listener {
    pub(crate) interfaces: Vec<Interface>,
    /// Whose packets groups are joined for; `None` for everybody's.
    pub(crate) sources: Option<Vec<IpAddr>>,
}

impl Listener {
    /// Joins the groups announcements come to.
    ///
    /// # Errors
    /// One of them cannot be joined anywhere.
    pub(crate) fn join_all(&self, socket: &Socket, groups: &[IpAddr]) -> Result<(), Failure> {
        for group in groups {
            self.join(socket, *group).map_err(Failure::network)?;
        }
        Ok(())
    }

    /// Joins one group on every interface that speaks its family; one success is enough.
    ///
    /// # Errors
    /// The reason of the last failure, if all failed.
    pub(crate) fn join(&self, socket: &Socket, group: IpAddr) -> Result<(), String> {
        let family = if group.is_ipv4() { "IPv4" } else { "IPv6" };
        let mut failed = format!("cannot join {group}: no interface of -I has an {family} address");
        let mut joined = false;
        for interface in self.speaking(group) {
            for done in self.each_source(group, |source| match source {
                None => socket.join(group, interface),
                Some(source) => socket.join_source(group, source, interface),
            }) {
                match done {
                    Ok(()) => joined = true,
                    Err(error) => {
                        say!(1, "{error}");
                        failed = error.to_string();
                    }
                }
            }
        }
        if joined { Ok(()) } else { Err(failed) }
    }

    pub(crate) fn leave(&self, socket: &Socket, group: IpAddr) {
        for interface in self.speaking(group) {
            let done = self.each_source(group, |source| match source {
                None => socket.leave(group, interface),
                Some(source) => socket.leave_source(group, source, interface),
            });
            for error in done.into_iter().filter_map(Result::err) {
                say!(3, "{error}");
            }
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
