//! A time in which no node runs.

use std::cmp::Reverse;
use std::time::Duration;

use super::World;
use super::queue::What;
use crate::node::NodeId;

impl World {
    /// No node runs for so long, while datagrams travel on. Then each is given what has come for it, and told
    /// that it was held up if it would have been woken, as a driver does.
    pub fn stand_still(&mut self, time: Duration) {
        let over = self.now + time;
        let mut missed = Vec::new();
        while self.queue.peek().is_some_and(|next| next.0.at <= over) {
            let Some(Reverse(event)) = self.queue.pop() else {
                break;
            };
            self.now = event.at;
            match event.what {
                What::Core(flight) => self.fan_out(&flight),
                // What is overdue is seen when it is over.
                What::Wake(_) => {}
                what => missed.push(what),
            }
        }
        self.now = over;
        for what in missed {
            self.happen(what);
        }
        for id in (0..self.nodes.len()).map(NodeId) {
            let slot = &mut self.nodes[id.0];
            slot.wake = None;
            if slot.node.poll_timeout().is_some_and(|due| due <= over) {
                slot.node.held_up(over);
            }
            self.settle(id);
        }
    }
}
