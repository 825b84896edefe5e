//! What the driver runs, and whom it tells.

use std::net::SocketAddr;
use std::time::Instant;

use ipnet::IpNet;
use uftp_net::Socket;
use uftp_proto::Ecn;
use uftp_session::Batch;
use uftp_session::files::{FileSource, FileStore};
use uftp_session::proxy::{Proxy, ProxyEvent};
use uftp_session::receiver::{Receiver, ReceiverEvent};
use uftp_session::sender::{Sender, SenderEvent};

use crate::say;

/// What the driver asks of a session machine; see `uftp_session`.
#[allow(missing_docs)] // named and described there
pub(crate) trait Machine {
    type Event;
    /// What it sends is answers, to which there may be an answer at once.
    const ANSWERS: bool = false;
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]);
    /// A deadline has passed while it did not run, and it has been given what came meanwhile.
    fn held_up(&mut self, now: Instant);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_event(&mut self) -> Option<Self::Event>;
    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch);
    fn poll_timeout(&self) -> Option<Instant>;
    /// It has so much to send that nothing more should be handed in before.
    fn is_full(&self) -> bool {
        false
    }
    /// Data is all that is on its way to it, and nobody waits for an answer: what comes may gather.
    fn is_patient(&self) -> bool {
        false
    }
    /// The user wants it to end.
    fn stop(&mut self, now: Instant);
    /// Nothing is left to do or to send.
    fn is_over(&self) -> bool;
}

/// Who is told what happens.
pub(crate) trait Watcher<M: Machine> {
    /// Something happened. What the machine asks for is done before this returns.
    fn event(&mut self, now: Instant, machine: &mut M, socket: &Socket, event: M::Event);

    /// The machine has had its turn; called often.
    fn turn(&mut self, _now: Instant, _machine: &M) {}

    /// The user wants files opened anew and lists read again.
    fn reload(&mut self, _machine: &mut M) {}

    /// Interfaces have come or gone.
    fn renew_groups(&mut self, _socket: &Socket) {}

    /// The network has refused all there was to send, the last time in these words, or took something;
    /// called often.
    fn silenced(&mut self, _words: Option<&str>) {}

    /// The user wants to know the counters.
    fn tell_counters(&mut self, _machine: &M) {}
}

impl<S: FileSource> Machine for Sender<S> {
    type Event = SenderEvent;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]) {
        self.handle_datagram(now, from, ecn, datagram);
    }

    fn held_up(&mut self, now: Instant) {
        self.held_up(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn poll_event(&mut self) -> Option<SenderEvent> {
        self.poll_event()
    }

    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        self.poll_transmit(now, batch);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn stop(&mut self, now: Instant) {
        self.stop(now);
    }

    fn is_over(&self) -> bool {
        self.is_finished()
    }
}

/// A receiver that ends when it is told to.
pub(crate) struct Daemon<F: FileStore> {
    /// The machine itself.
    pub receiver: Receiver<F>,
    stopped: bool,
    /// Where datagrams may come from; empty if anywhere.
    allowed: Vec<IpNet>,
    turned_away: u64,
}

impl<F: FileStore> Daemon<F> {
    /// Runs `receiver` until it is stopped.
    pub(crate) fn new(receiver: Receiver<F>) -> Self {
        Daemon {
            receiver,
            stopped: false,
            allowed: Vec::new(),
            turned_away: 0,
        }
    }

    /// Hears only what comes from these networks, unless there are none.
    #[must_use]
    pub(crate) fn allowing(mut self, allowed: Vec<IpNet>) -> Self {
        self.allowed = allowed;
        self
    }

    /// Datagrams that came from elsewhere.
    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away
    }

    fn hears(&mut self, from: &SocketAddr) -> bool {
        if self.allowed.is_empty() {
            return true;
        }
        let from = from.ip().to_canonical();
        let hears = self.allowed.iter().any(|net| net.contains(&from));
        if !hears {
            if self.turned_away == 0 {
                say!(
                    1,
                    "Turning away datagrams from {from}, and others (--allow-from)"
                );
            }
            self.turned_away += 1;
        }
        hears
    }
}

impl<F: FileStore> Machine for Daemon<F> {
    type Event = ReceiverEvent;
    const ANSWERS: bool = true;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]) {
        // After the farewells nothing new begins.
        if !self.stopped && self.hears(&from) {
            self.receiver.handle_datagram(now, from, ecn, datagram);
        }
    }

    fn held_up(&mut self, now: Instant) {
        self.receiver.held_up(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.receiver.handle_timeout(now);
    }

    fn poll_event(&mut self) -> Option<ReceiverEvent> {
        self.receiver.poll_event()
    }

    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        self.receiver.poll_transmit(now, batch);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.receiver.poll_timeout()
    }

    fn is_patient(&self) -> bool {
        self.receiver.is_patient()
    }

    fn stop(&mut self, now: Instant) {
        self.stopped = true;
        self.receiver.shutdown(now);
    }

    fn is_over(&self) -> bool {
        self.stopped && self.receiver.is_idle()
    }
}

/// Bytes waiting in a proxy above which it takes in no more: the kernel keeps the rest.
const MOST_BACKLOG: usize = 512 * 1024;

/// A proxy that ends when it is told to.
pub(crate) struct Relay {
    /// The machine itself.
    pub proxy: Proxy,
    stopped: bool,
}

impl Relay {
    /// Runs `proxy` until it is stopped.
    pub(crate) fn new(proxy: Proxy) -> Self {
        Relay {
            proxy,
            stopped: false,
        }
    }
}

impl Machine for Relay {
    type Event = ProxyEvent;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]) {
        if !self.stopped {
            self.proxy.handle_datagram(now, from, ecn, datagram);
        }
    }

    fn held_up(&mut self, now: Instant) {
        self.proxy.held_up(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.proxy.handle_timeout(now);
    }

    fn poll_event(&mut self) -> Option<ProxyEvent> {
        self.proxy.poll_event()
    }

    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        self.proxy.poll_transmit(now, batch);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.proxy.poll_timeout()
    }

    fn is_full(&self) -> bool {
        self.proxy.backlog() >= MOST_BACKLOG
    }

    fn stop(&mut self, now: Instant) {
        self.stopped = true;
        self.proxy.shutdown(now);
    }

    fn is_over(&self) -> bool {
        self.stopped && self.proxy.is_idle()
    }
}
