//! Finds the rate that the slowest receiver keeps up with from what receivers say they miss.

use std::time::{Duration, Instant};

use super::window::{Fate, Horizon, Window, Windows};

/// What the clock knows of the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pulse {
    /// From a question to the answer, at least: the round trip time that receivers are told.
    pub(super) delay: Duration,
    /// After this time no answer is to be expected any more.
    pub(super) patience: Duration,
}

/// The self-clocked rate of a session.
///
/// What goes out is cut into windows ([`Windows`]), and receivers are asked again and again how
/// much of them they got. Before the first loss every window that all got doubles the rate. A
/// window of which a receiver missed the part `p` when sent at rate `r` shows that it takes
/// `r * (1 - p)`: the rate drops a little below that and climbs again, fast at first, slowly near
/// the rate that was too much, and then beyond it faster and faster. If the same rate proves too
/// much again and again, the climb takes longer.
///
/// Loss that does not shrink when the rate does is the network's, not the receiver's; it becomes
/// that receiver's base loss and is no reason to slow down.
#[derive(Debug)]
pub(super) struct SelfClock {
    /// Bytes a data packet counts for.
    charged: f64,
    /// Bytes per second.
    rate: f64,
    /// After the first drop.
    climb: Option<Climb>,
    /// Drops of the rate so far.
    drops: u32,
    windows: Windows,
    /// When the last window was settled.
    settled: Option<Instant>,
    receivers: Vec<Loss>,
}

/// The way back up after a drop.
#[derive(Clone, Copy, Debug)]
struct Climb {
    /// The rate after the drop, bytes per second.
    from: f64,
    /// The rate that was too much.
    to: f64,
    /// How long it takes to get there.
    takes: Duration,
    /// Time without trouble since.
    passed: Duration,
}

impl Climb {
    const SHORTEST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(1);
    /// Beyond the rate that was too much: the first step, as a part of it, and the time in which
    /// steps grow e-fold.
    const STEP: f64 = 0.01;
    /// Where a rate that was too much again is flat, as a part of what was taken of it.
    const NEAR: f64 = 1.02;
    const SWELLING: Duration = Duration::from_millis(250);

    /// Down to `from` because `to` was too much and `taken` was not, after another climb if
    /// there was one.
    fn new(from: f64, to: f64, taken: f64, before: Option<Climb>) -> Self {
        let once = Climb {
            from: from.min(to),
            to,
            takes: Self::SHORTEST,
            passed: Duration::ZERO,
        };
        match before {
            Some(before) if (0.75..1.15).contains(&(to / before.to)) => Climb {
                to: to.min(taken * Self::NEAR).max(once.from),
                takes: (before.takes * 2).min(Self::LONGEST),
                ..once
            },
            // A stutter may be to blame.
            _ => once,
        }
    }

    /// The rate to be at: a cubic curve up to the rate that was too much, flat there, and an
    /// exponential one beyond.
    fn rate(&self) -> f64 {
        if let Some(beyond) = self.passed.checked_sub(self.takes) {
            let steps = beyond.as_secs_f64() / Self::SWELLING.as_secs_f64();
            return self.to * (1.0 + Self::STEP * steps.exp());
        }
        let left = 1.0 - self.passed.as_secs_f64() / self.takes.as_secs_f64();
        // Even if the drop was small, there is something to climb.
        let height = (self.to - self.from).max(0.02 * self.to);
        self.to - height * left.powi(3)
    }
}

/// What is known of one receiver's losses.
#[derive(Clone, Copy, Default, Debug)]
struct Loss {
    /// The part that is lost whatever the rate.
    base: f64,
    /// The last loss at the highest rate since there was none beyond the base.
    seen: Option<Seen>,
    /// What became of the last windows since the last drop it caused.
    lately: Sample,
    /// Windows before this one have been judged.
    judged: u64,
}

/// How much of how much was lost.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Sample {
    lost: f64,
    blocks: f64,
}

/// The part of a window lost at a rate.
#[derive(Clone, Copy, Debug)]
struct Seen {
    rate: f64,
    part: f64,
    /// How often it was so again when slower.
    again: u32,
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
    const START: f64 = 30e6;
    const FLOOR: f64 = 1e6;
    const CEILING: f64 = 12e9;
    /// Loss beyond a receiver's base loss that does not count: in one window, and if it lasts.
    const NOISE: f64 = 0.03;
    const LASTING_NOISE: f64 = 0.01;
    /// So often loss must be the same at lower rates to be a receiver's base loss.
    const PROOFS: u32 = 2;
    /// A drop does not go below this part of the rate; if it was too little, another will follow.
    const DEEPEST: f64 = 0.25;
    /// No base loss is believed to be larger.
    const MOST_BASE: f64 = 0.5;
    /// Blocks of a window that must have been sent for growing, and for asking, at least.
    const SAMPLE: u32 = 64;
    /// Blocks that must have been lost for the part lost to be known.
    const TELLING: f64 = 12.0;
    /// A part lost that is not to be borne until it is known better.
    const GROSS: f64 = 0.2;
    /// Receivers are not asked sooner than this after the last change.
    const SOONEST: Duration = Duration::from_millis(2);
    /// At most one answer for as many packets.
    const PACKETS_PER_ANSWER: u32 = 20;
    /// A window that went out at this part of a rate shows what that rate does.
    const KEPT_UP: f64 = 0.7;
    /// A drop goes this far below what was taken, so that queues get shorter.
    const RELIEF: f64 = 0.94;
    /// Time without trouble that one window vouches for, at most.
    const VOUCHED: Duration = Duration::from_millis(100);

    pub(super) fn new(charged: u64) -> Self {
        SelfClock {
            charged: charged as f64,
            rate: Self::START,
            climb: None,
            drops: 0,
            windows: Windows::default(),
            settled: None,
            receivers: Vec::new(),
        }
    }

    /// Bytes per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// A pass over a file begins.
    pub(super) fn begin_pass(&mut self) {
        self.windows.clear();
    }

    /// Nothing more is sent in this pass.
    pub(super) fn end_pass(&mut self, now: Instant) {
        self.windows.close(now, 0);
    }

    /// Block `offset` of `section` was sent.
    pub(super) fn sent(&mut self, now: Instant, section: u16, offset: u32) {
        let (rate, drops) = (self.rate, self.drops);
        self.windows.sent(now, section, offset, rate, drops);
    }

    /// Whether receivers are to be asked what they miss of the section being sent, if `audience`
    /// of them would answer. Deployed ones would not while they are about to report the section
    /// before.
    pub(super) fn is_curious(&self, now: Instant, audience: u32, pulse: Pulse) -> bool {
        let busy = |since: Instant| now < since + pulse.delay.mul_f64(1.25);
        if self.windows.section_began().is_some_and(busy) {
            return false;
        }
        if self.windows.awaits_answers() {
            // The question or some answer may be lost.
            return self.windows.asks_again(now, pulse.patience);
        }
        let least = Self::SAMPLE.max(audience.saturating_mul(Self::PACKETS_PER_ANSWER));
        let enough = |w: &Window| w.blocks >= least && w.age(now) >= Self::SOONEST;
        self.windows.open().is_some_and(enough)
    }

    /// Receivers were asked.
    pub(super) fn asked(&mut self, now: Instant, audience: u32) {
        self.windows.ask(now, audience);
    }

    /// How far a report on `section` that arrives now can be believed.
    pub(super) fn horizon(&self, now: Instant, section: u16, pulse: Pulse) -> Horizon {
        self.windows.horizon(now, section, pulse.delay)
    }

    /// Receiver number `client` says which blocks of `section` it misses. Whether the rate has
    /// changed.
    pub(super) fn report(
        &mut self,
        now: Instant,
        client: usize,
        section: u16,
        naks: &[u8],
        pulse: Pulse,
    ) -> bool {
        let before = self.rate;
        for window in self.windows.reported(now, section, pulse.delay) {
            if self.receivers.len() <= client {
                self.receivers.resize(client + 1, Loss::default());
            }
            let Some(loss) = self.receivers.get_mut(client) else {
                return false;
            };
            if window.id < loss.judged {
                continue;
            }
            loss.judged = window.id + 1;
            let speed = window.speed(self.charged).min(window.rate);
            let taken = loss.judge(speed, window.lost(naks), window.lost_late(naks));
            self.windows.answered(window.id, taken.is_some());
            if let Some(taken) = taken {
                self.drop_to(taken, speed, &window);
            }
        }
        self.settle(now, pulse);
        self.rate != before
    }

    /// A file is over. Whether the rate has changed.
    pub(super) fn finish_file(&mut self, now: Instant, clean: bool) -> bool {
        self.windows.close(now, 0);
        let before = self.rate;
        while clean && let Some((window, fate)) = self.windows.settle(now, Duration::ZERO) {
            self.learn(now, &window, fate);
        }
        self.rate != before
    }

    /// Draws conclusions from what was and was not said. Whether the rate has changed.
    pub(super) fn settle(&mut self, now: Instant, pulse: Pulse) -> bool {
        let before = self.rate;
        while let Some((window, fate)) = self.windows.settle(now, pulse.patience) {
            self.learn(now, &window, fate);
        }
        self.rate != before
    }

    /// Grows on the evidence of a window, if nobody fell behind in it and it went out at the
    /// rate of today. A sender that cannot keep up with its rate gains nothing by a higher one.
    fn learn(&mut self, now: Instant, window: &Window, fate: Fate) {
        let since = self.settled.replace(now);
        if fate != Fate::Good || window.drops < self.drops || window.blocks < Self::SAMPLE {
            return;
        }
        let speed = window.speed(self.charged).min(window.rate);
        if speed < Self::KEPT_UP * self.rate {
            return;
        }
        let grown = match &mut self.climb {
            None => 2.0 * speed,
            Some(climb) => {
                let quiet = since.map_or(Duration::ZERO, |s| now.saturating_duration_since(s));
                climb.passed += quiet.min(Self::VOUCHED);
                climb.rate().min(1.5 * speed)
            }
        };
        self.rate = self.rate.max(grown.min(Self::CEILING));
    }

    /// A receiver took `taken` when `window` was sent at `speed`.
    fn drop_to(&mut self, taken: f64, speed: f64, window: &Window) {
        let target = (taken * Self::RELIEF).max(Self::DEEPEST * self.rate);
        let target = target.max(Self::FLOOR);
        // What was sent before the last drop has been answered by it, unless it tells of worse.
        let answered = window.drops < self.drops && taken > 0.8 * self.rate;
        if target >= self.rate || answered {
            return;
        }
        self.drops += 1;
        self.rate = target;
        self.climb = Some(match self.climb {
            // Worse news of the same trouble.
            Some(climb) if window.drops < self.drops - 1 => Climb {
                from: target,
                ..climb
            },
            before => Climb::new(target, speed, taken, before),
        });
    }
}

impl Loss {
    /// Of what was sent at `speed`, `now` was lost, `late` towards the end. What the receiver
    /// takes, bytes per second, if that is less than was sent.
    fn judge(&mut self, speed: f64, now: Sample, late: Sample) -> Option<f64> {
        if now.part() < self.base {
            self.base -= (self.base - now.part()) * (now.blocks / 8000.0).min(1.0);
        }
        self.lately.add(now);
        let sample = [
            (now, SelfClock::NOISE),
            (self.lately, SelfClock::LASTING_NOISE),
        ]
        .into_iter()
        .find(|(sample, noise)| sample.exceeds(self.base, *noise))
        .map(|(sample, _)| sample)
        .filter(|sample| sample.tells() || sample.part() > SelfClock::GROSS);
        let Some(sample) = sample else {
            if self.lately.blocks >= 4.0 * f64::from(SelfClock::SAMPLE) {
                self.seen = None;
            }
            return None;
        };
        self.lately = Sample::default();
        if sample.tells() && self.is_the_same_as_ever(speed, sample.part()) {
            self.base = sample.part().min(SelfClock::MOST_BASE);
            self.seen = None;
            return None;
        }
        // A queue that had room for the first packets has none in the end.
        let mut excess = sample.excess(self.base);
        if late.tells() {
            excess = excess.max(late.excess(self.base));
        }
        Some(speed * (1.0 - excess))
    }

    /// Whether losing `part` at `speed` has nothing to do with the rate, as slower windows
    /// than that remembered have shown often enough.
    fn is_the_same_as_ever(&mut self, speed: f64, part: f64) -> bool {
        let fresh = Seen {
            rate: speed,
            part,
            again: 0,
        };
        match &mut self.seen {
            Some(seen) if seen.had_nothing_to_do_with_rate(speed, part) => {
                seen.again += 1;
                return seen.again >= SelfClock::PROOFS;
            }
            Some(seen) if speed < 0.97 * seen.rate => {}
            seen => *seen = Some(fresh),
        }
        false
    }
}

impl Sample {
    /// More is forgotten by and by.
    const MOST: f64 = 600.0;

    pub(super) fn new(lost: u32, blocks: u32) -> Self {
        Sample {
            lost: lost.into(),
            blocks: blocks.into(),
        }
    }

    fn add(&mut self, other: Sample) {
        self.lost += other.lost;
        self.blocks += other.blocks;
        if self.blocks > Self::MOST {
            self.lost *= Self::MOST / self.blocks;
            self.blocks = Self::MOST;
        }
    }

    fn part(self) -> f64 {
        (self.lost / self.blocks.max(1.0)).min(1.0)
    }

    fn excess(self, base: f64) -> f64 {
        (self.part() - base) / (1.0 - base)
    }

    /// Whether so much was lost that its part of the whole is known well.
    fn tells(self) -> bool {
        self.lost >= SelfClock::TELLING
    }

    /// Whether more than `noise` beyond `base` was lost, and more than chance alone may take:
    /// three times the deviation of what is expected.
    fn exceeds(self, base: f64, noise: f64) -> bool {
        let expected = self.blocks * (base + noise);
        self.blocks >= f64::from(SelfClock::SAMPLE)
            && self.excess(base) > noise
            && self.lost > expected + 3.0 * expected.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = 1352;
    const SECTION: u32 = 10_400;
    const DELAY: Duration = Duration::from_millis(10);
    const PULSE: Pulse = Pulse {
        delay: DELAY,
        patience: Duration::from_millis(30),
    };

    /// A receiver behind a bottleneck of `takes` bytes per second that loses the part `random`
    /// on top.
    #[derive(Clone, Copy)]
    struct Model {
        takes: f64,
        random: f64,
    }

    fn model(takes: f64, random: f64) -> Model {
        Model { takes, random }
    }

    /// A sender, its receivers, and the answers that are on their way.
    struct Bench {
        clock: SelfClock,
        models: Vec<Model>,
        now: Instant,
        /// Losses owed to each receiver, and what it misses of the section being sent.
        owed: Vec<f64>,
        missing: Vec<Vec<u8>>,
        /// When to answer, of which section, and to what it was before it.
        due: Vec<(Instant, u16)>,
        section: u16,
        finished: Vec<Vec<u8>>,
    }

    impl Bench {
        fn new(models: &[Model]) -> Self {
            let whole = vec![0u8; (SECTION / 8 + 1) as usize];
            Bench {
                clock: SelfClock::new(PACKET),
                models: models.to_vec(),
                now: Instant::now(),
                owed: vec![0.0; models.len()],
                missing: vec![whole.clone(); models.len()],
                due: Vec::new(),
                section: 0,
                finished: vec![whole; models.len()],
            }
        }

        /// Hands in the answers that are due.
        fn answer(&mut self) {
            while let Some(&(at, section)) = self.due.first()
                && at <= self.now
            {
                self.due.remove(0);
                let maps = match section == self.section {
                    true => &self.missing,
                    false => &self.finished,
                };
                for (client, map) in maps.iter().enumerate() {
                    let any = map.iter().any(|b| *b != 0);
                    if any || section == self.section {
                        self.clock.report(self.now, client, section, map, PULSE);
                    }
                }
            }
        }

        /// Sends a section. Returns how long it took and what part of it the slowest lost.
        fn send_section(&mut self, fastest: f64) -> (f64, f64) {
            let began = self.now;
            let mut lost = 0.0;
            for offset in 0..SECTION {
                self.answer();
                self.clock.sent(self.now, self.section, offset);
                self.clock.settle(self.now, PULSE);
                let rate = self.clock.rate().min(fastest);
                let slowest = self.models.iter().map(|m| m.takes).fold(f64::MAX, f64::min);
                lost += (1.0 - slowest / rate).max(0.0);
                for (at, model) in self.models.iter().enumerate() {
                    let jam = (1.0 - model.takes / rate).max(0.0);
                    self.owed[at] += 1.0 - (1.0 - jam) * (1.0 - model.random);
                    if self.owed[at] >= 1.0 {
                        self.owed[at] -= 1.0;
                        self.missing[at][(offset / 8) as usize] |= 1 << (offset % 8);
                    }
                }
                if self
                    .clock
                    .is_curious(self.now, self.models.len() as u32, PULSE)
                {
                    self.clock.asked(self.now, self.models.len() as u32);
                    self.due.push((self.now + DELAY, self.section));
                }
                self.now += Duration::from_secs_f64(PACKET as f64 / rate);
            }
            self.due.push((self.now + DELAY, self.section));
            self.section += 1;
            self.finished = std::mem::take(&mut self.missing);
            self.missing = vec![vec![0; self.finished[0].len()]; self.models.len()];
            let took = (self.now - began).as_secs_f64();
            (took, lost / f64::from(SECTION))
        }
    }

    /// Streams `sections` sections. Returns the mean rate over the last half and the part of it
    /// lost to the slowest receiver's bottleneck.
    fn run(models: &[Model], sections: u16, fastest: f64) -> (f64, f64) {
        let mut bench = Bench::new(models);
        let (mut time, mut lost) = (0.0, 0.0);
        for section in 0..sections {
            let (took, part) = bench.send_section(fastest);
            if section >= sections / 2 {
                time += took;
                lost += part;
            }
        }
        let counted = f64::from(sections - sections / 2);
        let bytes = counted * f64::from(SECTION) * PACKET as f64;
        (bytes / time, lost / counted)
    }

    #[test]
    fn finds_what_the_slowest_receiver_takes() {
        for takes in [3e6, 15e6, 100e6, 400e6, 2e9] {
            let (rate, lost) = run(&[model(1e12, 0.0), model(takes, 0.0)], 60, 1e12);
            println!("takes {takes:.1e}: {rate:.3e}, {lost:.4} lost");
            assert!(
                (0.75 * takes..1.15 * takes).contains(&rate),
                "{takes}: {rate}"
            );
            assert!(lost < 0.03, "{takes}: {lost} lost at {rate}");
        }
    }

    #[test]
    fn finds_it_within_a_second() {
        for takes in [3e6, 30e6, 300e6, 1e9] {
            let mut bench = Bench::new(&[model(takes, 0.0), model(1e12, 0.0)]);
            let start = bench.now;
            // The beginning of a section may lie before the second is over.
            while bench.now < start + Duration::from_millis(900) {
                bench.send_section(1e12);
            }
            let rate = bench.clock.rate();
            println!("takes {takes:.1e}: {rate:.3e}");
            assert!(
                (0.6 * takes..1.2 * takes).contains(&rate),
                "{takes}: {rate}"
            );
        }
    }

    #[test]
    fn random_loss_does_not_slow_it_down() {
        for random in [0.01, 0.05, 0.2] {
            let (rate, _) = run(&[model(300e6, random), model(1e12, 0.01)], 120, 1e12);
            println!("{random} lost whatever the rate: {rate:.3e}");
            assert!(rate > 0.6 * 300e6, "{random}: {rate}");
            assert!(rate < 1.2 * 300e6, "{random}: {rate}");
        }
    }

    #[test]
    fn stays_with_what_the_sender_itself_manages() {
        let (rate, _) = run(&[model(1e12, 0.0)], 100, 150e6);
        assert!((149e6..151e6).contains(&rate), "{rate}");
        let mut bench = Bench::new(&[model(1e12, 0.0)]);
        for _ in 0..100 {
            bench.send_section(150e6);
        }
        let rate = bench.clock.rate();
        assert!((150e6..500e6).contains(&rate), "{rate}");
    }

    #[test]
    fn a_few_lost_blocks_of_a_repair_say_nothing() {
        let mut clock = SelfClock::new(PACKET);
        let now = Instant::now();
        for offset in 0..2 {
            clock.sent(now, 0, offset);
        }
        clock.end_pass(now);
        let later = now + DELAY;
        assert!(!clock.report(later, 0, 0, &[1, 0], PULSE));
        assert!(
            !clock.report(later, 0, 7, &[0xff; 100], PULSE),
            "never sent"
        );
    }

    #[test]
    fn never_falls_below_its_floor() {
        let mut clock = SelfClock::new(PACKET);
        let mut now = Instant::now();
        for section in 0..200 {
            for offset in 0..300 {
                clock.sent(now, section, offset);
                now += Duration::from_micros(10);
            }
            clock.end_pass(now);
            clock.report(now + DELAY, 0, section, &[0xff; 40], PULSE);
        }
        assert!((1e6..1.1e6).contains(&clock.rate()), "{}", clock.rate());
    }
}
