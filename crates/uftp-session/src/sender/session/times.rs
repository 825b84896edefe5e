//! Round trips, what is counted in them, and how fast that lets us be.

use std::time::{Duration, Instant};

use uftp_proto::WireTime;

use super::Session;
use crate::grtt::{Decay, Grtt};
use crate::policy::PassStyle;
use crate::sender::self_clock::{Pass, Pulse};

impl Session {
    /// The round trip time all waiting is counted in, and which receivers are told: never less
    /// than the gap between data packets, so that very slow sessions do not time out
    /// (behaviour-sender-receiver §3.10).
    pub(in crate::sender) fn advertised_grtt(&self) -> Duration {
        self.grtt.value().max(self.pacer.cost(self.rate.charged()))
    }

    /// The interval between repetitions of a message.
    pub(in crate::sender) fn cycle(&self) -> Duration {
        self.advertised_grtt() * 3
    }

    /// When answers to a question about losses come: after a round trip time as receivers count
    /// it, and not much after two. In lock-step they come at once, and nothing is sent meanwhile.
    pub(in crate::sender) fn pulse(&self) -> Pulse {
        Pulse {
            delay: match self.policy.passes {
                PassStyle::Streaming => self.advertised_grtt(),
                PassStyle::LockStep => Duration::ZERO,
            },
            patience: self.cycle(),
        }
    }

    /// A pass over a file begins.
    pub(in crate::sender) fn begin_pass(&mut self, pass: Pass) {
        if self.grtt.is_measured() {
            self.rate.begin(self.pulse().delay);
            self.obey_rate();
        }
        self.rate.begin_pass(pass);
    }

    /// Whoever misses something of what was sent so far has said so.
    pub(in crate::sender) fn all_answered(&mut self, now: Instant) {
        self.rate.all_answered(now, self.pulse());
        self.obey_rate();
    }

    /// Sends at what the rate is by now.
    pub(in crate::sender) fn obey_rate(&mut self) {
        let rate = self.rate.bytes_per_second();
        if self.pacer.rate() != rate {
            self.pacer.set_rate(self.now, rate);
        }
    }

    /// How often a message is repeated.
    pub(in crate::sender) fn robust(&self) -> u32 {
        u32::from(self.config.robust.max(1))
    }

    /// Takes the round trip times measured so far into account.
    pub(in crate::sender) fn update_grtt(&mut self, decay: Decay) {
        self.grtt.update(self.clients.longest_rtt(), decay);
    }

    /// Notes the round trip that a stamp of ours made. Stamps we cannot have sent are ignored, and
    /// so is what is no newer than what the destination echoed before: a copy, held up by the
    /// network or by somebody who means to slow us down, says nothing about the round trip.
    pub(in crate::sender) fn measure(&mut self, at: usize, now: Instant, echo: WireTime) {
        let latest = echo.min(self.clock.stamp(now));
        let newer = self.clients.get(at).is_some_and(|c| latest > c.echoed);
        if echo >= self.first_stamp && newer {
            let rtt = self.clock.round_trip(now, echo).max(Grtt::SHORTEST);
            self.clients.set_rtt(at, rtt, latest);
        }
    }
}
