//! How busy nodes are.

use std::time::{Duration, Instant};

use crate::node::NodeId;

/// More wakeups of a node than this without time passing is a livelock.
const STUCK: u32 = 1_000;

/// How often a node was woken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wakeups {
    pub(super) total: u64,
    pub(super) last: Option<Instant>,
    /// Since time last passed.
    pub(super) in_a_row: u32,
    pub(super) rate: PerSecond,
}

/// Most events in one virtual second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerSecond {
    pub(super) second: u64,
    pub(super) count: u64,
    pub(super) most: u64,
}

impl PerSecond {
    pub(super) fn note(&mut self, time: Duration) {
        let second = time.as_secs();
        if self.second != second {
            (self.second, self.count) = (second, 0);
        }
        self.count += 1;
        self.most = self.most.max(self.count);
    }
}

impl Wakeups {
    pub(super) fn note(&mut self, id: NodeId, now: Instant, base: Instant) {
        self.total += 1;
        self.in_a_row = if self.last == Some(now) {
            self.in_a_row + 1
        } else {
            0
        };
        assert!(
            self.in_a_row < STUCK,
            "{id:?} wakes without end at {:?}",
            now - base
        );
        self.last = Some(now);
        self.rate.note(now - base);
    }
}
