//! What receivers lose, and whether sending more slowly helps them.

/// How much of how much was lost.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Sample {
    lost: f64,
    blocks: f64,
    /// For each block one over the speed at which it went out, in seconds a byte.
    time: f64,
}

/// What a receiver says of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// Drops of the rate before it began.
    pub(super) drops: u32,
    /// The receiver had none of its blocks before: what it misses is all that it lost.
    pub(super) fresh: bool,
    pub(super) lost: Sample,
}

/// More was lost than is to be borne.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Excess {
    /// The part lost ...
    part: f64,
    /// ... of what went out at so many bytes per second.
    speed: f64,
    /// What the receiver takes, bytes per second.
    pub(super) taken: f64,
}

/// Whether a receiver's last drop of the rate was to the point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// Not known yet.
    Unknown,
    /// It loses less.
    Helped,
    /// It loses as much as before.
    None,
}

/// What is known of one receiver's losses.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Loss {
    /// The part that is lost whatever the rate.
    base: f64,
    /// What became of the last windows since it last lost too much.
    lately: Sample,
    /// The same since the base was last lowered.
    calm: Sample,
    trial: Option<Trial>,
    /// Windows before this one have been judged.
    pub(super) judged: u64,
}

/// A drop of the rate, until it is known what it was good for.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// Bytes per second before it, and the part lost.
    speed: f64,
    part: f64,
    /// Of fresh windows or of others.
    fresh: bool,
    /// Drops of the rate up to it.
    drops: u32,
    /// What became of the windows since.
    since: Sample,
}

impl Loss {
    /// Loss beyond a receiver's base loss that does not count: in one window, and if it lasts.
    const NOISE: f64 = 0.03;
    const LASTING_NOISE: f64 = 0.01;
    /// No base loss is believed to be larger.
    const MOST_BASE: f64 = 0.5;
    /// Blocks that must have been lost for the part lost to be known.
    const TELLING: f64 = 12.0;
    /// A part lost that is not to be borne until it is known better.
    const GROSS: f64 = 0.2;
    /// Blocks that the base loss would take, so that if fewer were lost it is too high.
    const LOWERING: f64 = 100.0;

    /// Looks at a window for what the last drop of the rate has done for this receiver. `None` if
    /// it says nothing about that.
    pub(super) fn effect(&mut self, told: &Told) -> Option<Effect> {
        let trial = self.trial.as_mut()?;
        let old = told.drops < trial.drops;
        let slower = told.lost.speed() < Trial::SLOWER * trial.speed;
        let the_same = slower && told.fresh == trial.fresh;
        if told.lost.exceeds(trial.part, Self::NOISE) || !(old || the_same) {
            return None;
        }
        if old {
            return Some(Effect::Unknown);
        }
        trial.since.add(told.lost);
        let effect = trial.effect(self.base);
        match effect {
            Effect::Unknown => return Some(effect),
            Effect::None => {
                self.base = trial.since.part().clamp(self.base, Self::MOST_BASE);
                self.lately = Sample::default();
                self.calm = Sample::default();
            }
            Effect::Helped => {
                self.lately = trial.since.kept();
                if told.fresh {
                    self.base = self.base.min(trial.since.part());
                }
            }
        }
        self.trial = None;
        Some(effect)
    }

    /// Whether too much of a window was lost.
    pub(super) fn judge(&mut self, told: &Told) -> Option<Excess> {
        if told.fresh {
            self.lower_base(told.lost);
        }
        self.lately.add(told.lost);
        self.lately = self.lately.kept();
        let sample = [(told.lost, Self::NOISE), (self.lately, Self::LASTING_NOISE)]
            .into_iter()
            .find(|(sample, noise)| sample.exceeds(self.base, *noise))
            .map(|(sample, _)| sample)
            .filter(|sample| sample.tells() || sample.part() > Self::GROSS)?;
        self.lately = Sample::default();
        let speed = sample.speed();
        Some(Excess {
            part: sample.part(),
            speed,
            taken: speed * (1.0 - sample.excess(self.base)),
        })
    }

    /// From now on it is watched whether it loses less than this, `drops` drops of the rate having
    /// been made so far. Whether that is in doubt.
    pub(super) fn watch(&mut self, told: &Told, excess: Excess, drops: u32) -> bool {
        let in_doubt = excess.part <= Self::MOST_BASE;
        self.trial = in_doubt.then_some(Trial {
            speed: excess.speed,
            part: excess.part,
            fresh: told.fresh,
            drops,
            since: Sample::default(),
        });
        in_doubt
    }

    fn lower_base(&mut self, lost: Sample) {
        self.calm.add(lost);
        let expected = self.calm.blocks * self.base;
        let far_less = expected >= Trial::TELLING && self.calm.lost < expected / 2.0;
        if far_less || expected >= Self::LOWERING {
            self.base = self.base.min(self.calm.part());
            self.calm = Sample::default();
        }
    }
}

impl Trial {
    /// A window that went out at this part of the rate before is slower.
    const SLOWER: f64 = 0.97;
    /// So many blocks more must be expected lost if the drop was in vain than if it was not.
    const TELLING: f64 = 20.0;

    /// Behind a bottleneck as much arrives as before. If what is lost has nothing to do with the
    /// rate, the same part is lost as before, and as much less arrives as is sent.
    fn effect(&self, base: f64) -> Effect {
        let arrived = self.speed * (1.0 - self.part);
        let behind_a_bottleneck = (1.0 - arrived / self.since.speed()).max(base);
        let blocks = (self.part - behind_a_bottleneck) * self.since.blocks;
        if blocks < Self::TELLING {
            Effect::Unknown
        } else if self.since.part() > self.part.midpoint(behind_a_bottleneck) {
            Effect::None
        } else {
            Effect::Helped
        }
    }
}

impl Sample {
    /// More is forgotten by and by.
    const MOST: f64 = 600.0;
    /// Fewer blocks say nothing.
    const LEAST: f64 = 64.0;
    /// What chance may do, in deviations.
    const CHANCE: f64 = 3.5;

    /// `lost` of `blocks` that went out at `speed` bytes per second.
    pub(super) fn new(lost: u32, blocks: u32, speed: f64) -> Self {
        Sample {
            lost: lost.into(),
            blocks: blocks.into(),
            time: f64::from(blocks) / speed,
        }
    }

    pub(super) fn add(&mut self, other: Sample) {
        self.lost += other.lost;
        self.blocks += other.blocks;
        self.time += other.time;
    }

    /// What is remembered of it.
    fn kept(self) -> Sample {
        let part = (Self::MOST / self.blocks.max(1.0)).min(1.0);
        Sample {
            lost: self.lost * part,
            blocks: self.blocks * part,
            time: self.time * part,
        }
    }

    /// Bytes per second at which it went out, on average.
    fn speed(self) -> f64 {
        self.blocks / self.time.max(f64::MIN_POSITIVE)
    }

    fn part(self) -> f64 {
        (self.lost / self.blocks.max(1.0)).min(1.0)
    }

    fn excess(self, base: f64) -> f64 {
        (self.part() - base) / (1.0 - base)
    }

    /// Whether so much was lost that its part of the whole is known well.
    fn tells(self) -> bool {
        self.lost >= Loss::TELLING
    }

    /// Whether more than `noise` beyond `base` was lost, and more than chance alone may take.
    fn exceeds(self, base: f64, noise: f64) -> bool {
        let expected = self.blocks * (base + noise);
        self.blocks >= Self::LEAST
            && self.excess(base) > noise
            && self.lost > expected + Self::CHANCE * expected.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(speed: f64, drops: u32, part: f64) -> Told {
        Told {
            drops,
            fresh: true,
            lost: Sample::new((part * 1000.0_f64).round() as u32, 1000, speed),
        }
    }

    /// Loses the part `first` at 100, then what `then` says of other speeds, each after a drop to
    /// 0.94 of what was taken. The effect of the drop, and the base loss.
    fn after_a_drop(first: f64, then: impl Fn(f64) -> f64) -> (Effect, f64) {
        let mut loss = Loss::default();
        let at_first = told(100.0, 0, first);
        let excess = loss.judge(&at_first).unwrap();
        assert!((excess.taken - 100.0 * (1.0 - first)).abs() < 1e-9);
        loss.watch(&at_first, excess, 1);
        assert_eq!(loss.effect(&told(100.0, 0, first)), Some(Effect::Unknown));
        let speed = 0.94 * excess.taken;
        for _ in 0..100 {
            match loss.effect(&told(speed, 1, then(speed))) {
                Some(Effect::Unknown) => {}
                Some(effect) => return (effect, loss.base),
                None => panic!("the window says something"),
            }
        }
        panic!("nothing is found out");
    }

    #[test]
    fn loss_that_stays_the_same_becomes_the_base() {
        for part in [0.05, 0.1, 0.3, 0.49] {
            let (effect, base) = after_a_drop(part, |_| part);
            assert_eq!(effect, Effect::None, "{part}");
            assert!((base - part).abs() < 1e-9);
        }
    }

    #[test]
    fn loss_behind_a_bottleneck_does_not() {
        for part in [0.05, 0.1, 0.3, 0.49] {
            // What is taken was overrated, so the drop was too small; or it was not.
            for takes in [100.0 * (1.0 - part), 97.0 * (1.0 - part)] {
                let (effect, base) = after_a_drop(part, |speed| (1.0 - takes / speed).max(0.0));
                assert_eq!((effect, base), (Effect::Helped, 0.0), "{part}");
            }
        }
    }

    #[test]
    fn a_base_that_is_too_high_is_lowered() {
        let mut loss = Loss {
            base: 0.5,
            ..Loss::default()
        };
        assert_eq!(loss.judge(&told(100.0, 0, 0.02)), None);
        assert!((loss.base - 0.02).abs() < 1e-9);
        assert_eq!(loss.judge(&told(100.0, 0, 0.015)), None);
        assert!((loss.base - 0.02).abs() < 1e-9, "that may be chance");
        let repair = Told {
            fresh: false,
            ..told(100.0, 0, 0.0)
        };
        for _ in 0..100 {
            loss.judge(&repair);
        }
        assert!((loss.base - 0.02).abs() < 1e-9, "it may lose what it has");
    }

    #[test]
    fn worse_is_not_waited_for() {
        let mut loss = Loss::default();
        let at_first = told(100.0, 0, 0.05);
        let excess = loss.judge(&at_first).unwrap();
        loss.watch(&at_first, excess, 1);
        let worse = told(90.0, 1, 0.4);
        assert_eq!(loss.effect(&worse), None);
        assert!(loss.judge(&worse).is_some());
        // Nor does a window tell anything that went out at the rate of before.
        assert_eq!(loss.effect(&told(99.0, 1, 0.05)), None);
    }
}
