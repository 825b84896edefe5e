//! How fast data goes out: at a fixed rate, as fast as the slowest receiver takes it, or like TCP.

use std::time::{Duration, Instant};

use super::config::Rate;
use super::self_clock::{Horizon, Pass, Pulse, SelfClock};
use crate::congestion::Controller;

/// The rate of a session.
#[derive(Debug)]
pub(super) struct RateControl {
    charged: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Fixed(u64),
    SelfClocked(Box<SelfClock>),
    Tfmcc(Box<Controller>),
}

impl RateControl {
    /// `charged` is what a data packet counts for, in bytes.
    /// `robust` is the session's robustness factor.
    pub(super) fn new(rate: Rate, charged: u64, robust: u8, now: Instant) -> Self {
        RateControl {
            charged,
            kind: match rate {
                Rate::Fixed(rate) => Kind::Fixed(rate.max(1)),
                Rate::SelfClocked => Kind::SelfClocked(Box::new(SelfClock::new(charged))),
                Rate::Tfmcc(limits) => {
                    Kind::Tfmcc(Box::new(Controller::new(limits, charged, robust, now)))
                }
            },
        }
    }

    /// Bytes a data packet counts for.
    pub(super) fn charged(&self) -> u64 {
        self.charged
    }

    pub(super) fn bytes_per_second(&self) -> u64 {
        match &self.kind {
            Kind::Fixed(rate) => *rate,
            Kind::SelfClocked(clock) => clock.rate() as u64,
            Kind::Tfmcc(controller) => controller.rate(),
        }
    }

    /// Changes a fixed rate.
    pub(super) fn set_fixed(&mut self, rate: u64) {
        if let Kind::Fixed(fixed) = &mut self.kind {
            *fixed = rate.max(1);
        }
    }

    /// The controller of a session under congestion control.
    pub(super) fn tfmcc(&self) -> Option<&Controller> {
        match &self.kind {
            Kind::Tfmcc(controller) => Some(controller),
            _ => None,
        }
    }

    pub(super) fn tfmcc_mut(&mut self) -> Option<&mut Controller> {
        match &mut self.kind {
            Kind::Tfmcc(controller) => Some(controller),
            _ => None,
        }
    }

    /// Data are to go out, and answers about them take `delay`.
    pub(super) fn begin(&mut self, delay: Duration) {
        if let Some(clock) = self.clock_mut() {
            clock.begin(delay);
        }
    }

    /// A pass over a file begins.
    pub(super) fn begin_pass(&mut self, pass: Pass) {
        if let Some(clock) = self.clock_mut() {
            clock.begin_pass(pass);
        }
    }

    /// Nothing more is sent before receivers have answered.
    pub(super) fn pause(&mut self, now: Instant) {
        if let Some(clock) = self.clock_mut() {
            clock.pause(now);
        }
    }

    /// Whoever misses something of what was sent so far has said so.
    pub(super) fn all_answered(&mut self, now: Instant, pulse: Pulse) {
        if let Some(clock) = self.clock_mut() {
            clock.all_answered(now, pulse);
        }
    }

    /// Block `offset` of `section` was sent.
    pub(super) fn sent(&mut self, now: Instant, section: u16, offset: u32) {
        if let Some(clock) = self.clock_mut() {
            clock.sent(now, section, offset);
        }
    }

    /// Draws conclusions from what was and was not said.
    pub(super) fn settle(&mut self, now: Instant, pulse: Pulse) {
        if let Some(clock) = self.clock_mut() {
            clock.settle(now, pulse);
        }
    }

    /// Whether receivers are ever asked in the middle of a section.
    pub(super) fn asks(&self) -> bool {
        self.clock().is_some()
    }

    /// Whether receivers are to be asked what they miss of the section being sent, if `audience`
    /// of them would answer.
    pub(super) fn is_curious(&self, now: Instant, audience: u32, pulse: Pulse) -> bool {
        self.clock()
            .is_some_and(|clock| clock.is_curious(now, audience, pulse))
    }

    /// Receivers were asked; `audience` of them should answer.
    pub(super) fn asked(&mut self, now: Instant, audience: u32) {
        if let Some(clock) = self.clock_mut() {
            clock.asked(now, audience);
        }
    }

    /// How far a report on `section` that arrives now can be believed.
    pub(super) fn horizon(&self, now: Instant, section: u16, naks: &[u8], pulse: Pulse) -> Horizon {
        self.clock().map_or(Horizon::All, |clock| {
            clock.horizon(now, section, naks, pulse)
        })
    }

    /// Receiver number `client` says which blocks of `section` it misses.
    pub(super) fn report(
        &mut self,
        now: Instant,
        client: usize,
        section: u16,
        naks: &[u8],
        pulse: Pulse,
    ) {
        if let Some(clock) = self.clock_mut() {
            clock.report(now, client, section, naks, pulse);
        }
    }

    fn clock(&self) -> Option<&SelfClock> {
        match &self.kind {
            Kind::SelfClocked(clock) => Some(clock),
            _ => None,
        }
    }

    fn clock_mut(&mut self) -> Option<&mut SelfClock> {
        match &mut self.kind {
            Kind::SelfClocked(clock) => Some(clock),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_rate_is_fixed() {
        let mut control = RateControl::new(Rate::Fixed(1000), 1352, 20, Instant::now());
        let now = Instant::now();
        let pulse = Pulse {
            delay: Duration::from_millis(10),
            patience: Duration::from_millis(30),
        };
        for offset in 0..1000 {
            control.sent(now, 0, offset);
            control.settle(now, pulse);
        }
        let later = now + Duration::from_secs(1);
        assert!(!control.is_curious(later, 1, pulse));
        assert_eq!(control.horizon(now, 0, &[], pulse), Horizon::All);
        control.report(later, 0, 0, &[0xff; 126], pulse);
        assert_eq!(control.bytes_per_second(), 1000);
    }
}
