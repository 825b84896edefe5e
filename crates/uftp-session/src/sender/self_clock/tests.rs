use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

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
    /// Until then the receivers have no core: all is lost.
    stalled: Instant,
    rng: StdRng,
    /// Losses owed to each receiver by its bottleneck, and what it misses of the section being
    /// sent.
    owed: Vec<f64>,
    missing: Vec<Vec<u8>>,
    /// When to answer, and of which section.
    due: Vec<(Instant, u16)>,
    section: u16,
    /// What each misses of the sections before.
    finished: Vec<Vec<Vec<u8>>>,
}

impl Bench {
    fn new(models: &[Model]) -> Self {
        let whole = vec![0u8; (SECTION / 8 + 1) as usize];
        let now = Instant::now();
        Bench {
            clock: SelfClock::new(PACKET),
            models: models.to_vec(),
            now,
            stalled: now,
            rng: StdRng::seed_from_u64(1),
            owed: vec![0.0; models.len()],
            missing: vec![whole; models.len()],
            due: Vec::new(),
            section: 0,
            finished: Vec::new(),
        }
    }

    /// Hands in the answers that are due.
    fn answer(&mut self) {
        while let Some(&(at, section)) = self.due.first()
            && at <= self.now
        {
            self.due.remove(0);
            let maps = self.finished.get(usize::from(section));
            let maps = maps.unwrap_or(&self.missing);
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
                let takes = match self.now < self.stalled {
                    true => 0.0,
                    false => model.takes,
                };
                let jam = (1.0 - takes / rate).max(0.0);
                self.owed[at] += jam;
                let jammed = self.owed[at] >= 1.0;
                if jammed {
                    self.owed[at] -= 1.0;
                }
                if jammed || self.rng.random_bool(model.random) {
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
        let next = vec![vec![0; self.missing[0].len()]; self.models.len()];
        self.finished
            .push(std::mem::replace(&mut self.missing, next));
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
fn a_receiver_without_a_core_for_a_moment_is_one_trouble() {
    for pause in [10, 20, 40] {
        let mut bench = Bench::new(&[model(1e9, 0.0)]);
        for _ in 0..60 {
            bench.send_section(1e12);
        }
        let before = bench.clock.rate();
        bench.stalled = bench.now + Duration::from_millis(pause);
        let mut least = before;
        let until = bench.stalled + Duration::from_millis(300);
        while bench.now < until {
            bench.send_section(1e12);
            least = least.min(bench.clock.rate());
        }
        let after = bench.clock.rate();
        println!("{pause} ms without a core: {before:.3e}, {least:.3e}, {after:.3e}");
        assert!(least > before / 20.0, "{before} fell to {least}");
        assert!(
            after > 0.8 * before,
            "{after} is all that is left of {before}"
        );
    }
}

#[test]
fn random_loss_does_not_slow_it_down() {
    for random in [0.01, 0.05, 0.2] {
        let (rate, _) = run(&[model(300e6, random), model(1e12, 0.01)], 120, 1e12);
        println!("{random} lost whatever the rate: {rate:.3e}");
        assert!(rate > 0.7 * 300e6, "{random}: {rate}");
        assert!(rate < 1.2 * 300e6, "{random}: {rate}");
    }
}

#[test]
fn random_loss_at_all_receivers_does_not_slow_it_down() {
    for random in [0.005, 0.02, 0.1] {
        let mut receivers = [model(1e12, random); 10];
        receivers[0].takes = 300e6;
        let (rate, _) = run(&receivers, 60, 1e12);
        println!("{random} lost at ten receivers: {rate:.3e}");
        assert!(
            (0.7 * 300e6..1.2 * 300e6).contains(&rate),
            "{random}: {rate}"
        );
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
    clock.pause(now);
    let (later, rate) = (now + DELAY, clock.rate());
    clock.report(later, 0, 0, &[1, 0], PULSE);
    assert_eq!(clock.rate(), rate);
    clock.report(later, 0, 7, &[0xff; 100], PULSE);
    assert_eq!(clock.rate(), rate, "never sent");
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
        clock.pause(now);
        clock.report(now + DELAY, 0, section, &[0xff; 40], PULSE);
    }
    assert!((1e6..1.1e6).contains(&clock.rate()), "{}", clock.rate());
}
