//! How fast data goes out: at a fixed rate, as fast as the slowest receiver takes it, or like TCP.

use std::time::{Duration, Instant};

use super::config::Rate;
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
    SelfClocked(SelfClock),
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
                Rate::SelfClocked => Kind::SelfClocked(SelfClock::new(charged)),
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
            Kind::SelfClocked(clock) => clock.rate as u64,
            Kind::Tfmcc(controller) => controller.rate(),
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

    /// A file begins.
    pub(super) fn start_file(&mut self) {
        if let Kind::SelfClocked(clock) = &mut self.kind {
            clock.start_file();
        }
    }

    /// A block of `section` was sent. Whether the rate has changed.
    pub(super) fn sent(&mut self, now: Instant, section: u16, lag: Duration) -> bool {
        match &mut self.kind {
            Kind::Fixed(_) | Kind::Tfmcc(_) => false,
            Kind::SelfClocked(clock) => clock.sent(now, section, lag),
        }
    }

    /// Receiver number `client` misses `lost` blocks of `section`. Whether the rate has changed.
    pub(super) fn report(&mut self, client: usize, section: u16, lost: u32) -> bool {
        match &mut self.kind {
            Kind::Fixed(_) | Kind::Tfmcc(_) => false,
            Kind::SelfClocked(clock) => clock.report(client, section, lost),
        }
    }

    /// A file is over; `clean` if nobody missed anything of it. Whether the rate has changed.
    pub(super) fn finish_file(&mut self, clean: bool) -> bool {
        match &mut self.kind {
            Kind::SelfClocked(clock) if clean => clock.finish_file(),
            _ => false,
        }
    }
}

/// Finds the rate that the slowest receiver keeps up with from the NAKs.
///
/// A section of which a receiver missed the part `p` when sent at rate `r` shows that it takes
/// `r * (1 - p)`: the rate drops to that and grows again from there. Loss that does not shrink
/// when the rate does is the network's, not the receiver's; it becomes that receiver's base loss
/// and is no reason to slow down.
#[derive(Debug)]
struct SelfClock {
    charged: f64,
    /// Bytes per second.
    rate: f64,
    /// By what part the rate grows next.
    step: f64,
    /// Drops of the rate so far.
    drops: u32,
    /// What was sent of each section of the file, last time.
    sections: Vec<Sending>,
    current: Option<u16>,
    /// Sections sent in full whose reports may still come.
    ripening: Option<(u16, Instant)>,
    receivers: Vec<Loss>,
}

/// A section as it was last sent.
#[derive(Clone, Copy, Debug)]
struct Sending {
    blocks: u32,
    began: Instant,
    ended: Instant,
    /// Rate asked for when it began.
    rate: f64,
    /// Drops of the rate before it began.
    drops: u32,
    /// A receiver fell behind in it.
    trouble: bool,
}

/// What is known of one receiver's losses.
#[derive(Clone, Copy, Default, Debug)]
struct Loss {
    /// The part that is lost whatever the rate.
    base: f64,
    /// The loss at the highest rate since there was none beyond the base.
    seen: Option<Seen>,
}

/// The part of a section lost at a rate.
#[derive(Clone, Copy, Debug)]
struct Seen {
    rate: f64,
    part: f64,
}

impl Seen {
    /// Whether the same was lost again at a lower rate. Behind a bottleneck as much arrives as
    /// before; but here as much less arrives as was sent.
    fn had_nothing_to_do_with_rate(self, rate: f64, part: f64) -> bool {
        let slower = rate / self.rate;
        let arrived = rate * (1.0 - part);
        let before = self.rate * (1.0 - self.part);
        slower < 0.97
            && (0.7..1.4).contains(&(part / self.part))
            && arrived < before * (1.0 + slower) / 2.0
    }
}

impl SelfClock {
    const START: f64 = 60e6;
    const FLOOR: f64 = 1e6;
    const CEILING: f64 = 12e9;
    /// Loss beyond a receiver's base loss that does not count.
    const NOISE: f64 = 0.03;
    /// No base loss is believed to be larger.
    const MOST_BASE: f64 = 0.5;
    /// Blocks of a section that must have been sent for its losses to mean something.
    const SAMPLE: u32 = 200;
    /// A section that went out at this part of a rate shows what that rate does.
    const KEPT_UP: f64 = 0.7;
    /// Growth per section without trouble: before any, long after it, and just after it.
    const LARGEST_STEP: f64 = 1.0;
    const LARGEST_STEP_LATER: f64 = 0.5;
    const SMALLEST_STEP: f64 = 0.03;
    /// The least after loss turned out not to be for the rate to mend.
    const RELIEVED_STEP: f64 = 0.25;

    fn new(charged: u64) -> Self {
        SelfClock {
            charged: charged as f64,
            rate: Self::START,
            step: Self::LARGEST_STEP,
            drops: 0,
            sections: Vec::new(),
            current: None,
            ripening: None,
            receivers: Vec::new(),
        }
    }

    fn start_file(&mut self) {
        self.sections.clear();
        self.current = None;
        self.ripening = None;
    }

    fn sent(&mut self, now: Instant, section: u16, lag: Duration) -> bool {
        if self.current == Some(section) {
            if let Some(sending) = self.sections.get_mut(usize::from(section)) {
                sending.blocks += 1;
                sending.ended = now;
            }
            return self.ripen(now);
        }
        if let Some(last) = self.current.replace(section)
            && self.ripening.is_none()
        {
            self.ripening = Some((last, now + lag));
        }
        let fresh = Sending {
            blocks: 1,
            began: now,
            ended: now,
            rate: self.rate,
            drops: self.drops,
            trouble: false,
        };
        let unsent = Sending { blocks: 0, ..fresh };
        let at = usize::from(section);
        if self.sections.len() <= at {
            self.sections.resize(at + 1, unsent);
        }
        if let Some(sending) = self.sections.get_mut(at) {
            *sending = fresh;
        }
        self.ripen(now)
    }

    /// Grows once a section has had its time to be complained about and was not.
    fn ripen(&mut self, now: Instant) -> bool {
        let Some((section, _)) = self.ripening.filter(|(_, ripe)| *ripe <= now) else {
            return false;
        };
        self.ripening = None;
        let sending = self.sections.get(usize::from(section)).copied();
        sending.is_some_and(|sending| self.grow(sending))
    }

    fn finish_file(&mut self) -> bool {
        let last = self.current.and_then(|s| self.sections.get(usize::from(s)));
        last.copied().is_some_and(|sending| self.grow(sending))
    }

    /// Grows on the evidence of a section, if nobody fell behind in it and it went out at the
    /// rate of today. A sender that cannot keep up with its rate gains nothing by a higher one.
    fn grow(&mut self, evidence: Sending) -> bool {
        let slower = self.speed(evidence) < Self::KEPT_UP * self.rate;
        if evidence.trouble || slower || evidence.blocks < Self::SAMPLE / 4 {
            return false;
        }
        let grown = self.rate * (1.0 + self.step);
        let most = match self.drops {
            0 => Self::LARGEST_STEP,
            _ => Self::LARGEST_STEP_LATER,
        };
        self.step = (self.step * 2.0).min(most);
        self.change(grown)
    }

    fn report(&mut self, client: usize, section: u16, lost: u32) -> bool {
        let Some(sending) = self.sections.get(usize::from(section)).copied() else {
            return false;
        };
        if sending.blocks < Self::SAMPLE {
            return false;
        }
        let speed = match self.speed(sending) {
            speed if speed >= Self::KEPT_UP * sending.rate => speed,
            // It stuttered; the loss was suffered at the rate, not at the mean speed.
            _ => sending.rate,
        };
        if self.receivers.len() <= client {
            self.receivers.resize(client + 1, Loss::default());
        }
        let Some(loss) = self.receivers.get_mut(client) else {
            return false;
        };
        let part = (f64::from(lost) / f64::from(sending.blocks)).min(1.0);
        loss.base = loss.base.min(part);
        let excess = (part - loss.base) / (1.0 - loss.base);
        if excess <= Self::NOISE {
            loss.seen = None;
            return false;
        }
        if loss
            .seen
            .is_some_and(|seen| seen.had_nothing_to_do_with_rate(speed, part))
        {
            loss.base = part.min(Self::MOST_BASE);
            loss.seen = None;
            self.step = self.step.max(Self::RELIEVED_STEP);
            return false;
        }
        if loss.seen.is_none_or(|seen| speed > seen.rate) {
            loss.seen = Some(Seen { rate: speed, part });
        }
        if let Some(sending) = self.sections.get_mut(usize::from(section)) {
            sending.trouble = true;
        }
        let taken = (speed * (1.0 - excess)).max(Self::FLOOR);
        // What was sent before the last drop has been answered by it, unless it tells of worse.
        let answered = sending.drops < self.drops && taken > 0.8 * self.rate;
        if taken >= self.rate || answered {
            return false;
        }
        self.drops += 1;
        self.step = Self::SMALLEST_STEP;
        self.change(taken)
    }

    /// Bytes per second at which a section really went out.
    fn speed(&self, sending: Sending) -> f64 {
        let time = sending.ended.saturating_duration_since(sending.began);
        f64::from(sending.blocks) * self.charged / time.as_secs_f64().max(1e-6)
    }

    fn change(&mut self, rate: f64) -> bool {
        let rate = rate.clamp(Self::FLOOR, Self::CEILING);
        let changed = rate != self.rate;
        self.rate = rate;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = 1352;
    const SECTION: u32 = 10_400;
    const LAG: Duration = Duration::from_millis(30);

    /// A receiver behind a bottleneck of `takes` bytes per second that loses the part `random`
    /// on top.
    #[derive(Clone, Copy)]
    struct Model {
        takes: f64,
        random: f64,
    }

    /// Streams `sections` sections to the receivers, whose reports come `LAG` after a section's
    /// end. Returns the mean rate over the last half and the part of it lost to the slowest
    /// receiver's bottleneck.
    fn run(models: &[Model], sections: u16, fastest: f64) -> (f64, f64) {
        let mut control = RateControl::new(Rate::SelfClocked, PACKET, 20, Instant::now());
        control.start_file();
        let mut now = Instant::now();
        let mut reports: Vec<(Instant, usize, u16, u32)> = Vec::new();
        let (mut time, mut lost, mut all) = (0.0, 0.0, 0.0);
        for section in 0..sections {
            let mut gone = vec![0.0; models.len()];
            for _ in 0..SECTION {
                reports.retain(|&(at, client, section, count)| {
                    let due = at <= now;
                    if due {
                        control.report(client, section, count);
                    }
                    !due
                });
                control.sent(now, section, LAG * 2);
                let rate = (control.bytes_per_second() as f64).min(fastest);
                for (model, gone) in models.iter().zip(&mut gone) {
                    let jam = (1.0 - model.takes / rate).max(0.0);
                    *gone += 1.0 - (1.0 - jam) * (1.0 - model.random);
                }
                let step = PACKET as f64 / rate;
                now += Duration::from_secs_f64(step);
                if section >= sections / 2 {
                    time += step;
                    all += 1.0;
                    let slowest = models.iter().map(|m| m.takes).fold(f64::MAX, f64::min);
                    lost += (1.0 - slowest / rate).max(0.0);
                }
            }
            for (client, gone) in gone.iter().enumerate() {
                if *gone >= 1.0 {
                    reports.push((now + LAG, client, section, *gone as u32));
                }
            }
        }
        (all * PACKET as f64 / time, lost / all)
    }

    fn model(takes: f64, random: f64) -> Model {
        Model { takes, random }
    }

    #[test]
    fn finds_what_the_slowest_receiver_takes() {
        for takes in [3e6, 15e6, 100e6, 400e6, 2e9] {
            let (rate, lost) = run(&[model(1e12, 0.0), model(takes, 0.0)], 120, 1e12);
            assert!(
                (0.75 * takes..1.15 * takes).contains(&rate),
                "{takes}: {rate}"
            );
            assert!(lost < 0.12, "{takes}: {lost} lost at {rate}");
        }
    }

    #[test]
    fn random_loss_does_not_slow_it_down() {
        for random in [0.01, 0.05, 0.2] {
            let (rate, _) = run(&[model(300e6, random), model(1e12, 0.01)], 120, 1e12);
            assert!(rate > 0.6 * 300e6, "{random}: {rate}");
            assert!(rate < 1.2 * 300e6, "{random}: {rate}");
        }
    }

    #[test]
    fn stays_with_what_the_sender_itself_manages() {
        let mut control = RateControl::new(Rate::SelfClocked, PACKET, 20, Instant::now());
        control.start_file();
        let mut now = Instant::now();
        for section in 0..100 {
            for _ in 0..SECTION {
                control.sent(now, section, LAG);
                now += Duration::from_secs_f64(PACKET as f64 / 150e6);
            }
        }
        let rate = control.bytes_per_second();
        assert!((100_000_000..500_000_000).contains(&rate), "{rate}");
    }

    #[test]
    fn a_few_lost_blocks_of_a_repair_say_nothing() {
        let mut control = RateControl::new(Rate::SelfClocked, PACKET, 20, Instant::now());
        control.start_file();
        let now = Instant::now();
        for _ in 0..20 {
            control.sent(now, 0, LAG);
        }
        assert!(!control.report(0, 0, 20));
        assert!(!control.report(0, 7, 20), "a section never sent");
    }

    #[test]
    fn never_falls_below_its_floor() {
        let mut control = RateControl::new(Rate::SelfClocked, PACKET, 20, Instant::now());
        let mut now = Instant::now();
        for section in 0..200 {
            control.start_file();
            for _ in 0..300 {
                control.sent(now, section, LAG);
                now += Duration::from_micros(10);
            }
            control.report(0, section, 300);
        }
        assert!(control.bytes_per_second() >= 1_000_000);
    }

    #[test]
    fn a_fixed_rate_is_fixed() {
        let mut control = RateControl::new(Rate::Fixed(1000), PACKET, 20, Instant::now());
        let now = Instant::now();
        for _ in 0..1000 {
            assert!(!control.sent(now, 0, LAG));
        }
        assert!(!control.report(0, 0, 1000));
        assert_eq!(control.bytes_per_second(), 1000);
    }
}
