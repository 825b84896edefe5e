//! Finds the rate that the slowest receiver keeps up with from what receivers say they miss.

mod climb;
mod doubt;
mod loss;
mod window;

use std::time::{Duration, Instant};

use climb::Climb;
use doubt::Doubts;
use loss::{Effect, Loss, Told};
pub(super) use window::Horizon;
use window::{Fate, Naks, Verdict, Window, Windows};

/// What the clock knows of the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pulse {
    /// From a question to the answer, at least: the round trip time that receivers are told.
    pub(super) delay: Duration,
    /// After this time no answer is to be expected any more.
    pub(super) patience: Duration,
}

/// What goes out in a pass over a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pass {
    /// Every block, new to all.
    First,
    /// Blocks that somebody misses, and others may have.
    Repairs,
}

/// The self-clocked rate of a session.
///
/// What goes out is cut into windows ([`Windows`]), and receivers are asked again and again how
/// much of them they got. Before the first loss every window that all got trebles the rate. A window of which a receiver missed the part `p` when sent at rate `r`
/// shows that it takes `r * (1 - p)`: the rate drops a little below that and climbs again, fast at
/// first, slowly near the rate that was too much, and then beyond it faster and faster. If the same
/// rate proves too much again and again, the climb takes longer.
///
/// Loss that does not shrink when the rate does is the network's, not the receiver's; it becomes
/// that receiver's base loss and is no reason to slow down. A drop that turns out to have been
/// made for it is taken back ([`Doubts`]).
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
    /// When the window began that is to blame for the last drop, or for the first of those that followed
    /// one another.
    trouble: Option<Instant>,
    windows: Windows,
    /// When the last window was settled.
    settled: Option<Instant>,
    receivers: Vec<Loss>,
    /// The rates before drops, and the climbs they were in.
    doubts: Doubts<(f64, Option<Climb>)>,
    /// Every block sent is new to all.
    fresh: bool,
}

impl SelfClock {
    /// The rate to begin with ...
    const START: f64 = 60e6;
    /// ... unless more bytes than this went out before the first answer could come.
    const START_BYTES: f64 = 2e6;
    /// What a good window does to the rate before the first loss.
    const START_GROWTH: f64 = 3.0;
    const FLOOR: f64 = 1e6;
    const CEILING: f64 = 12e9;
    /// A drop does not go below this part of the rate; if it was too little, another will follow.
    const DEEPEST: f64 = 0.25;
    /// What went out within this time of one another and was lost is one trouble: so long a receiver
    /// may have had no core.
    const STALL: Duration = Duration::from_millis(50);
    /// Blocks of a window that must have been sent for growing, and for asking, at least.
    const SAMPLE: u32 = 64;
    /// No window that lasts less shows anything.
    const SOONEST: Duration = Duration::from_millis(5);
    /// Before the first loss, nor about fewer bytes than queues on the way may take in.
    const QUEUE: f64 = 500e3;
    /// At most one answer for as many packets.
    const PACKETS_PER_ANSWER: u32 = 20;
    /// A window that went out at this part of a rate shows what that rate does.
    const KEPT_UP: f64 = 0.85;
    /// After growing by more than this a window is begun anew, so that it shows the new rate alone.
    const LEAP: f64 = 1.25;
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
            trouble: None,
            windows: Windows::default(),
            settled: None,
            receivers: Vec::new(),
            doubts: Doubts::default(),
            fresh: true,
        }
    }

    /// Bytes per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Data are to go out, and answers about them take `delay`: the first of a session begin no faster
    /// than that allows.
    pub(super) fn begin(&mut self, delay: Duration) {
        if self.windows.is_untouched() {
            let most = Self::START_BYTES / delay.as_secs_f64().max(1e-6);
            self.rate = Self::START.min(most).max(Self::FLOOR);
        }
    }

    /// A pass over a file begins.
    pub(super) fn begin_pass(&mut self, pass: Pass) {
        self.windows.clear();
        self.fresh = pass == Pass::First;
    }

    /// Nothing more is sent before receivers have answered.
    pub(super) fn pause(&mut self, now: Instant) {
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
        let enough = |w: &Window| w.blocks >= least && self.is_telling(w, pulse);
        self.windows.open().is_some_and(enough)
    }

    /// Whether a window has lasted long enough to show anything: queues take a short burst at any rate.
    fn is_telling(&self, window: &Window, pulse: Pulse) -> bool {
        let bytes = f64::from(window.blocks) * self.charged;
        window.took() >= Self::soonest(pulse) && (self.climb.is_some() || bytes >= Self::QUEUE)
    }

    /// Receivers are not asked about less time than this, nor does it let the rate grow: queues on a
    /// long way are made for its round trip time.
    fn soonest(pulse: Pulse) -> Duration {
        Self::SOONEST.max(pulse.delay / 2)
    }

    /// Receivers were asked.
    pub(super) fn asked(&mut self, now: Instant, audience: u32) {
        self.windows.ask(now, audience);
    }

    /// How far a report on `section` that arrives now can be believed.
    pub(super) fn horizon(&self, now: Instant, section: u16, naks: &[u8], pulse: Pulse) -> Horizon {
        let report = self.heard(now, section, naks, pulse);
        self.windows.horizon(&report)
    }

    fn heard<'a>(&self, now: Instant, section: u16, naks: &'a [u8], pulse: Pulse) -> Naks<'a> {
        Naks {
            at: now,
            delay: pulse.delay,
            section,
            bitmap: naks,
            fresh: self.fresh,
        }
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
        let report = self.heard(now, section, naks, pulse);
        let told = self.windows.reported(&report);
        let mut last = None::<Window>;
        for window in told {
            let earlier = last.replace(window);
            if self.receivers.len() <= client {
                self.receivers.resize(client + 1, Loss::default());
            }
            let Some(loss) = self.receivers.get_mut(client) else {
                return;
            };
            if window.id < loss.judged {
                continue;
            }
            loss.judged = window.id + 1;
            let verdict = self.judge(client, &window, earlier.as_ref(), naks);
            self.windows.answered(window.id, verdict);
        }
        self.settle(now, pulse);
    }

    /// Whoever misses something of what was sent so far has said so.
    pub(super) fn all_answered(&mut self, now: Instant, pulse: Pulse) {
        while let Some((window, fate)) = self.windows.settle(now, Duration::ZERO) {
            self.learn(now, &window, fate, pulse);
        }
    }

    /// Draws conclusions from what was and was not said.
    pub(super) fn settle(&mut self, now: Instant, pulse: Pulse) {
        let before = self.rate;
        while let Some((window, fate)) = self.windows.settle(now, pulse.patience) {
            self.learn(now, &window, fate, pulse);
        }
        if self.rate > Self::LEAP * before {
            self.windows.begin_anew(now);
        }
    }

    /// Grows on the evidence of a window, if nobody fell behind in it and it went out at the
    /// rate of today. A sender that cannot keep up with its rate gains nothing by a higher one.
    fn learn(&mut self, now: Instant, window: &Window, fate: Fate, pulse: Pulse) {
        let since = self.settled.replace(now);
        let telling = window.blocks >= Self::SAMPLE && self.is_telling(window, pulse);
        if fate != Fate::Good || window.drops < self.drops || !telling {
            return;
        }
        let speed = window.speed(self.charged).min(window.rate);
        if speed < Self::KEPT_UP * self.rate {
            return;
        }
        let grown = match &mut self.climb {
            None => Self::START_GROWTH * speed,
            Some(climb) => {
                let quiet = since.map_or(Duration::ZERO, |s| now.saturating_duration_since(s));
                climb.pass(quiet.min(Self::VOUCHED));
                climb.rate().min(1.5 * speed)
            }
        };
        self.rate = self.rate.max(grown.min(Self::CEILING));
    }

    /// What it says that a receiver misses `naks` of a window. The rate drops if it lost too much, and
    /// rises again if it has dropped for it in vain.
    ///
    /// In a window that was short a pause of the receiver looks like a rate far beyond it: such a one
    /// is seen together with the `earlier` one.
    fn judge(
        &mut self,
        client: usize,
        window: &Window,
        earlier: Option<&Window>,
        naks: &[u8],
    ) -> Verdict {
        let Some(loss) = self.receivers.get_mut(client) else {
            return Verdict::Fine;
        };
        let mut lost = window.lost(naks, self.charged);
        let alike = |earlier: &&Window| earlier.drops == window.drops;
        if let Some(earlier) = earlier.filter(alike)
            && window.took() < Self::SOONEST
        {
            lost.add(earlier.lost(naks, self.charged));
        }
        let told = Told {
            drops: window.drops,
            fresh: self.fresh,
            lost,
        };
        match loss.effect(&told) {
            Some(Effect::Unknown) => return Verdict::TooMuch,
            Some(Effect::None) => {
                if let Some((rate, climb)) = self.doubts.take_back(client) {
                    self.rate = self.rate.max(rate);
                    self.climb = climb;
                }
                return Verdict::Fine;
            }
            Some(Effect::Helped) => self.doubts.settle(client),
            None => {}
        }
        let Some(excess) = loss.judge(&told) else {
            return Verdict::Fine;
        };
        let before = (self.rate, self.climb);
        if self.drop_to(excess.taken, window) {
            self.doubts.note(client, before);
        }
        let in_doubt = self
            .receivers
            .get_mut(client)
            .is_some_and(|loss| loss.watch(&told, excess, self.drops));
        if !in_doubt {
            self.doubts.settle(client);
        }
        Verdict::TooMuch
    }

    /// A receiver took `taken` bytes per second of a window. Whether that lowers the rate.
    fn drop_to(&mut self, taken: f64, window: &Window) -> bool {
        let old = window.drops < self.drops;
        let same = self
            .trouble
            .is_some_and(|at| window.began < at + Self::STALL);
        let deepest = match old && same {
            true => Self::DEEPEST * window.rate,
            false => Self::DEEPEST * self.rate,
        };
        let target = (taken * Self::RELIEF).max(deepest).max(Self::FLOOR);
        // What was sent before the last drop has been answered by it, unless it tells of worse.
        let answered = old && taken > 0.8 * self.rate;
        if target >= self.rate || answered {
            return false;
        }
        let speed = window.speed(self.charged).min(window.rate);
        self.drops += 1;
        self.rate = target;
        if !same {
            self.trouble = Some(window.began);
        }
        self.climb = Some(match self.climb {
            // Worse news of the same trouble, or nothing that could be a measure.
            Some(climb) if old || (same && target > taken) => climb.from(target),
            before => Climb::new(target, speed, taken, before),
        });
        true
    }
}

#[cfg(test)]
mod tests;
