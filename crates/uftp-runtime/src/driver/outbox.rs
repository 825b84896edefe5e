//! Datagrams on their way from the machine to the socket, and what the network refuses of them.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use uftp_net::Socket;
use uftp_session::{Batch, Transmit};

use super::{Machine, trace};
use crate::names;
use crate::say;

/// Bytes handed to the kernel between two looks at what has arrived.
const BATCH: usize = 128 * 1024;
/// How long sending rests after the network refused all there was, or had no room for it.
const REFUSED_REST: Duration = Duration::from_millis(10);
/// How long sending rests if the kernel has no room though the socket says it has.
const ROOM_REST: Duration = Duration::from_micros(500);

/// The same refusal is told again after this time.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// What was sent and what was not.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally {
    /// Bytes the kernel took.
    pub sent: u64,
    /// Runs of datagrams the network refused.
    pub refused: u64,
    /// Its last words.
    pub last_refusal: Option<String>,
}

/// How a turn of sending went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// There was nothing to send.
    Idle,
    /// Something was sent; there may be more.
    Sent,
    /// The kernel has no room; some of it is waiting.
    Full,
    /// Nothing is to be sent before this instant.
    Held(Instant),
}

/// Datagrams on their way to the kernel.
pub(super) struct Outbox {
    batch: Batch,
    /// The run of the batch that is next, and the bytes of it that are gone.
    next: (usize, usize),
    held_until: Option<Instant>,
    /// The last turn ended for want of room.
    was_full: bool,
    /// When a refusal was last told, by its kind. Its words may be about a destination, and those are
    /// anybody's choice.
    told: HashMap<(io::ErrorKind, Option<i32>), Instant>,
    tally: Tally,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Outbox {
            batch: Batch::new(BATCH),
            next: (0, 0),
            held_until: None,
            was_full: false,
            told: HashMap::new(),
            tally: Tally::default(),
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Sends what waits, else a new batch of what `machine` has for `now`.
    pub(super) fn send(
        &mut self,
        socket: &Socket,
        machine: &mut impl Machine,
        now: Instant,
    ) -> Flow {
        if let Some(until) = self.held_until {
            if now < until {
                return Flow::Held(until);
            }
            self.held_until = None;
        }
        if self.next.0 >= self.batch.runs().len() {
            self.batch.clear();
            self.next = (0, 0);
            machine.poll_transmit(now, &mut self.batch);
            if self.batch.is_empty() {
                return Flow::Idle;
            }
        }
        let (mut went, mut refused) = (false, false);
        while let Some(run) = self.batch.runs().get(self.next.0).cloned() {
            match self.send_run(socket, &run) {
                Ok(()) => {
                    self.next = (self.next.0 + 1, 0);
                    self.was_full = false;
                    went = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.was_full {
                        return self.hold(now + ROOM_REST);
                    }
                    self.was_full = true;
                    return Flow::Full;
                }
                // To the session this is a loss like any other: it repeats or gives up in its
                // own time. That there is no way to one host must not hold up the others: anybody can
                // have us answer such a one.
                Err(error) => {
                    self.next = (self.next.0 + 1, 0);
                    self.refused(now, run.destination, &error);
                    refused = true;
                    if concerns_all(&error) {
                        return self.hold(now + REFUSED_REST);
                    }
                }
            }
        }
        match refused && !went {
            true => self.hold(now + REFUSED_REST),
            false => Flow::Sent,
        }
    }

    fn send_run(&mut self, socket: &Socket, run: &Transmit) -> io::Result<()> {
        let bytes = self.batch.bytes(run);
        while let Some(rest) = bytes.get(self.next.1..).filter(|rest| !rest.is_empty()) {
            let sent = socket.send_run(run.destination, run.ecn, run.segment_size, rest)?;
            self.next.1 += sent;
            self.tally.sent += u64::try_from(sent).unwrap_or(0);
        }
        if trace::wanted() {
            trace::sent(run, bytes);
        }
        Ok(())
    }

    fn refused(&mut self, now: Instant, to: SocketAddr, error: &io::Error) {
        self.tally.refused += 1;
        let words = error.to_string();
        let kind = (error.kind(), error.raw_os_error());
        let told = |at: &Instant| now.saturating_duration_since(*at) < TOLD_AGAIN;
        if !self.told.get(&kind).is_some_and(told) {
            say!(0, "Sending to {} failed: {words}", names::endpoint(to));
            self.told.insert(kind, now);
        }
        self.tally.last_refusal = Some(words);
    }

    /// The last words of the network, if it has taken nothing so far.
    pub(super) fn silenced(&self) -> Option<&str> {
        let words = self.tally.last_refusal.as_deref();
        words.filter(|_| self.tally.sent == 0)
    }

    fn hold(&mut self, until: Instant) -> Flow {
        self.held_until = Some(until);
        self.was_full = false;
        Flow::Held(until)
    }
}

/// Whether an error is not of the destination, but of what all have to pass.
fn concerns_all(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::ENOBUFS | Errno::ENOMEM | Errno::ENETDOWN)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender may announce a session on any group, and a client proxy passes it on to that.
    #[test]
    fn refusals_of_many_destinations_are_remembered_as_one() {
        let mut outbox = Outbox::new();
        let now = Instant::now();
        for group in 0..1000 {
            let to = SocketAddr::from(([0xff15, 0, 0, 0, 0, 0, 0, group], 1044));
            let error = io::Error::new(io::ErrorKind::InvalidInput, format!("no way to {to}"));
            outbox.refused(now, to, &error);
        }
        let unreachable = io::Error::from(Errno::ENETUNREACH);
        outbox.refused(now, SocketAddr::from(([10, 0, 0, 1], 9)), &unreachable);
        assert_eq!(outbox.told.len(), 2);
        assert_eq!(outbox.tally().refused, 1001);
    }
}
