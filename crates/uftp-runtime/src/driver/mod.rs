//! Runs one session machine over one socket, in one thread: datagrams in, events out, datagrams
//! out, sleep.
//!
//! The thread never waits for anything but the socket and the disk. Signals reach it by a
//! [`Control`].

mod control;
mod gathering;
mod machine;
mod outbox;
mod trace;

use std::io;
use std::time::{Duration, Instant};

use uftp_net::{Interest, RecvBatch, Socket};

pub(crate) use control::Control;
pub(crate) use machine::{Daemon, Machine, Relay, Watcher};
pub(crate) use outbox::Tally;

use crate::exit::Failure;
use crate::log;
use crate::say;
use control::Asked;
use gathering::{Found, Gathering};
use outbox::{Flow, Outbox};

/// Received batches handed in before it is the turn of sending again.
const BATCHES_IN_A_ROW: usize = 8;
/// While there is ever more to send, what has arrived is looked for this often: an answer is older
/// than that when it comes, and most looks would find nothing.
const LOOK: Duration = Duration::from_micros(200);
/// While there is ever more to send, lines of the log are held so long.
const HOLD: Duration = Duration::from_millis(2);
/// A deadline that is overdue for so long passed while the disk, or others on this machine, held us up.
const LATE: Duration = Duration::from_millis(10);
/// After a stop the farewells must be out within this time.
const FAREWELL: Duration = Duration::from_secs(2);
/// Longest sleep for want of room in the kernel; timers wait as long.
const FULL_REST: Duration = Duration::from_millis(10);
/// Errors in a row after which receiving is given up.
const RECEIVE_ERRORS: u32 = 1000;

/// One machine on one socket.
pub(crate) struct Driver<M, W> {
    socket: Socket,
    control: Control,
    machine: M,
    watcher: W,
    outbox: Outbox,
    inbox: RecvBatch,
    receive_errors: u32,
    /// When nothing more had arrived.
    looked: Option<Instant>,
    /// When the log had all lines.
    told: Instant,
    gathering: Gathering,
}

impl<M: Machine, W: Watcher<M>> Driver<M, W> {
    /// Will run `machine` on `socket` and tell `watcher` what happens.
    pub(crate) fn new(socket: Socket, control: Control, machine: M, watcher: W) -> Self {
        Driver {
            gathering: Gathering::new(socket.granted_buffers().recv),
            socket,
            control,
            machine,
            watcher,
            outbox: Outbox::new(),
            inbox: RecvBatch::new(),
            receive_errors: 0,
            looked: None,
            told: Instant::now(),
        }
    }

    /// What reaches it from other threads.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Runs until the machine is over. What was sent, and what could not be.
    ///
    /// # Errors
    /// The socket does not work any more.
    pub(crate) fn run(mut self) -> Result<Tally, Failure> {
        let mut farewell: Option<Instant> = None;
        let _held = log::hold();
        loop {
            let mut now = Instant::now();
            if self.obey(now) {
                farewell.get_or_insert(now + FAREWELL);
            }
            if let Some(due) = self.due(now) {
                let late = now.saturating_duration_since(due) >= LATE;
                if late {
                    // Whoever spoke meanwhile was not silent.
                    self.receive()?;
                    now = Instant::now();
                    self.machine.held_up(now);
                }
                if !late || self.due(now).is_some() {
                    self.machine.handle_timeout(now);
                }
            }
            self.tell(now);
            let flow = self.outbox.send(&self.socket, &mut self.machine, now);
            self.watcher.silenced(self.outbox.silenced());
            if flow == Flow::Sent && M::ANSWERS {
                self.gathering.note_answer();
            }
            self.tell(now);
            let patience = farewell.is_none_or(|until| now < until);
            if self.machine.is_over() && (flow == Flow::Idle || !patience) {
                return Ok(self.outbox.tally());
            }
            let ready = self.sleep(now, flow, farewell)?;
            if ready {
                self.receive()?;
            }
        }
    }

    /// Does what other threads have asked for. Whether the machine is to end.
    fn obey(&mut self, now: Instant) -> bool {
        let asked = self.control.asked();
        let stops = asked.includes(Asked::STOP);
        if stops {
            self.machine.stop(now);
        }
        if asked.includes(Asked::RELOAD) {
            self.watcher.reload(&mut self.machine);
        }
        if asked.includes(Asked::GROUPS) {
            self.watcher.renew_groups(&self.socket);
        }
        if asked.includes(Asked::COUNTERS) {
            self.watcher.tell_counters(&self.machine);
        }
        stops
    }

    /// The deadline of the machine, if it has come.
    fn due(&self, now: Instant) -> Option<Instant> {
        self.machine.poll_timeout().filter(|due| *due <= now)
    }

    /// Sleeps until something is to be done. Whether something may have arrived.
    fn sleep(
        &mut self,
        now: Instant,
        flow: Flow,
        farewell: Option<Instant>,
    ) -> Result<bool, Failure> {
        let timeout = self.machine.poll_timeout();
        let gathering = match flow {
            Flow::Idle => self.gathering.pause(self.machine.is_patient()),
            _ => None,
        };
        let (interest, until) = match flow {
            // There is more to send: only look whether something has arrived.
            Flow::Sent => {
                let due = self.looked.is_none_or(|looked| now >= looked + LOOK);
                if now >= self.told + HOLD {
                    self.let_go(now);
                }
                return Ok(due);
            }
            Flow::Idle => match gathering {
                None => (Interest::Receive, timeout),
                Some(pause) => (
                    Interest::Nothing,
                    timeout.into_iter().chain([now + pause]).min(),
                ),
            },
            // While nothing can be sent, what is due to be sent must not end the sleep.
            Flow::Full => (Interest::SendOrReceive, Some(Instant::now() + FULL_REST)),
            Flow::Held(until) => (Interest::Receive, Some(until)),
        };
        let until = until.into_iter().chain(farewell).min();
        self.let_go(now);
        let ready = self
            .socket
            .wait_for(interest, self.control.wake_up(), until);
        ready
            .map(|ready| ready.readable || gathering.is_some())
            .map_err(|error| Failure::network(format!("waiting for the network failed: {error}")))
    }

    /// Writes the lines of the log that were held.
    fn let_go(&mut self, now: Instant) {
        self.told = now;
        log::let_go();
    }

    /// Hands in what has arrived.
    fn receive(&mut self) -> Result<(), Failure> {
        let mut found = Found::default();
        for batch in 0..BATCHES_IN_A_ROW {
            if batch > 0 && self.machine.is_full() {
                break;
            }
            let now = Instant::now();
            match self.socket.recv(&mut self.inbox) {
                Ok(_) => {
                    self.receive_errors = 0;
                    found.add(&self.inbox);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.nothing_more(now, found);
                    return Ok(());
                }
                Err(error) if self.receive_errors < RECEIVE_ERRORS => {
                    self.receive_errors += 1;
                    say!(3, "Receiving failed: {error}");
                    return Ok(());
                }
                Err(error) => {
                    return Err(Failure::network(format!(
                        "receiving fails again and again: {error}"
                    )));
                }
            }
            let traced = trace::wanted();
            // Not a `for` loop, by which each address is taken apart and put together again.
            self.inbox.datagrams().for_each(|datagram| {
                if traced {
                    trace::received(datagram.from, datagram.bytes);
                }
                self.machine
                    .handle_datagram(now, datagram.from, datagram.ecn, datagram.bytes);
            });
            self.tell(now);
            if !self.inbox.is_full() {
                self.nothing_more(now, found);
                return Ok(());
            }
        }
        self.gathering.note_more(found);
        Ok(())
    }

    /// All that had arrived by `now` is handed in.
    fn nothing_more(&mut self, now: Instant, found: Found) {
        self.looked = Some(now);
        self.gathering.note(now, found);
    }

    /// Passes on all events, and those they cause.
    fn tell(&mut self, now: Instant) {
        while let Some(event) = self.machine.poll_event() {
            self.watcher
                .event(now, &mut self.machine, &self.socket, event);
        }
        self.watcher.turn(now, &self.machine);
    }
}

#[cfg(test)]
mod tests;
