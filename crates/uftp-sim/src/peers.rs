//! The shipping machines as nodes.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use uftp_proto::wire::CompleteStatus;
use uftp_proto::{Ecn, FileId, Uid};
use uftp_session::Batch;
use uftp_session::receiver::{EndReason, Receiver, ReceiverEvent, ReceiverEventKind};
use uftp_session::sender::{FileOutcome, FileReport, Outcome, Sender, SenderEvent};

use crate::node::{Membership, Node};
use crate::source::MemSource;
use crate::store::MemStore;

/// A sender and all it told.
pub struct SenderNode {
    /// The machine.
    pub machine: Sender<MemSource>,
    /// Its events so far.
    pub events: Vec<(Instant, SenderEvent)>,
    /// Bytes in its blocks.
    pub block_size: u16,
}

impl SenderNode {
    /// Wraps a machine.
    pub fn new(machine: Sender<MemSource>, block_size: u16) -> Self {
        SenderNode {
            machine,
            events: Vec::new(),
            block_size,
        }
    }

    /// Its events without their times.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &SenderEvent> {
        self.events.iter().map(|(_, event)| event)
    }

    /// How the session ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.events().rev().find_map(|event| match event {
            SenderEvent::Finished(outcome) => Some(*outcome),
            _ => None,
        })
    }

    /// The reports on an item.
    pub fn reports(&self, file: FileId) -> &[FileReport] {
        let of_file = |event| match event {
            &SenderEvent::FileFinished {
                file: f,
                ref results,
                ..
            } if f == file => Some(results.as_slice()),
            _ => None,
        };
        self.events().find_map(of_file).unwrap_or_default()
    }

    /// How an item ended at a receiver, if it was reported on.
    pub fn verdict(&self, file: FileId, client: Uid) -> Option<FileOutcome> {
        let mut reports = self.reports(file).iter();
        reports.find(|r| r.client == client).map(|r| r.outcome)
    }

    /// Highest number of passes over a file.
    pub fn passes(&self) -> u32 {
        let pass = |event: &SenderEvent| match event {
            SenderEvent::PassStarted { pass } => *pass,
            _ => 0,
        };
        self.events().map(pass).max().unwrap_or(0)
    }
}

impl Node for SenderNode {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]) {
        self.machine.handle_datagram(now, from, ecn, datagram);
    }

    fn held_up(&mut self, now: Instant) {
        self.machine.held_up(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn poll_membership(&mut self, now: Instant) -> Option<Membership> {
        while let Some(event) = self.machine.poll_event() {
            self.events.push((now, event));
        }
        None
    }

    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        self.machine.poll_transmit(now, batch);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}

/// A receiver, its disk and all it told.
pub struct ReceiverNode {
    /// The machine.
    pub machine: Receiver<MemStore>,
    /// Its disk.
    pub store: MemStore,
    /// Its events so far.
    pub events: Vec<(Instant, ReceiverEvent)>,
    /// Joins fail for this reason.
    pub refuse_joins: Option<&'static str>,
    /// Groups joined for sessions and not left.
    pub joined: Vec<IpAddr>,
}

impl ReceiverNode {
    /// Wraps a machine that writes to `store`.
    pub fn new(machine: Receiver<MemStore>, store: MemStore) -> Self {
        ReceiverNode {
            machine,
            store,
            events: Vec::new(),
            refuse_joins: None,
            joined: Vec::new(),
        }
    }

    /// What happened, without times and places.
    pub fn kinds(&self) -> impl DoubleEndedIterator<Item = &ReceiverEventKind> {
        self.events.iter().map(|(_, event)| &event.kind)
    }

    /// How its sessions ended, in order.
    pub fn ends(&self) -> Vec<EndReason> {
        let end = |kind: &ReceiverEventKind| match kind {
            ReceiverEventKind::Ended(reason) => Some(reason.clone()),
            _ => None,
        };
        self.kinds().filter_map(end).collect()
    }

    /// How often a file was reported finished with `status`.
    pub fn finished(&self, status: CompleteStatus) -> usize {
        let is = |kind: &&ReceiverEventKind| matches!(kind, ReceiverEventKind::FileFinished { status: s, .. } if *s == status);
        self.kinds().filter(is).count()
    }
}

impl Node for ReceiverNode {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]) {
        self.machine.handle_datagram(now, from, ecn, datagram);
    }

    fn held_up(&mut self, now: Instant) {
        self.machine.held_up(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn poll_membership(&mut self, now: Instant) -> Option<Membership> {
        while let Some(event) = self.machine.poll_event() {
            let kind = event.kind.clone();
            self.events.push((now, event));
            match kind {
                ReceiverEventKind::Join(group) => match self.refuse_joins {
                    Some(reason) => self.machine.join_failed(now, group, reason),
                    None => return Some(Membership::join(&mut self.joined, group)),
                },
                ReceiverEventKind::Leave(group) => {
                    return Some(Membership::leave(&mut self.joined, group));
                }
                _ => {}
            }
        }
        None
    }

    fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        self.machine.poll_transmit(now, batch);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}
