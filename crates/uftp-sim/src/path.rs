//! One direction of a node's access to the network: what happens to datagrams on it.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use uftp_proto::Ecn;

/// Bytes of IPv4 and UDP headers, charged at a bottleneck for each datagram.
pub const IP_UDP: usize = 28;

/// How datagrams get lost.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Loss {
    /// None does.
    #[default]
    None,
    /// Each with this probability, independently.
    Random(f64),
    /// In bursts: the Gilbert-Elliott chain in continuous time, so that a burst is as long for
    /// a few datagrams as for many.
    Bursty {
        /// Mean time in the good state.
        good_for: Duration,
        /// Mean time in the bad state.
        bad_for: Duration,
        /// Probability of loss while good.
        good: f64,
        /// Probability of loss while bad.
        bad: f64,
    },
}

/// A link slower than what is put on it, and the queue in front of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bottleneck {
    /// Bytes of IP packets per second.
    pub rate: u64,
    /// Bytes the queue holds; what finds no room is lost.
    pub queue: u64,
    /// With more than this many bytes waiting, ECN-capable packets are marked.
    pub mark_above: Option<u64>,
}

/// What a path does to datagrams. The default delivers at once and unharmed.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct PathConfig {
    /// Losses, ahead of the bottleneck.
    pub loss: Loss,
    /// Time on the way.
    pub delay: Duration,
    /// Further time, uniform from zero to this, drawn for each datagram: reorders.
    pub jitter: Duration,
    /// Probability that a datagram arrives twice; the copy draws its own jitter.
    pub duplicate: f64,
    /// Limited rate, if any.
    pub bottleneck: Option<Bottleneck>,
}

/// A path that loses each datagram with probability `p`.
pub fn lossy(p: f64) -> PathConfig {
    PathConfig {
        loss: Loss::Random(p),
        ..PathConfig::default()
    }
}

/// A path that takes so long.
pub fn delayed(delay: Duration) -> PathConfig {
    PathConfig {
        delay,
        ..PathConfig::default()
    }
}

/// One direction of a node's access, with its state.
#[derive(Clone, Debug, Default)]
pub struct Path {
    /// What it does; may be changed at any time.
    pub config: PathConfig,
    /// The chain of [`Loss::Bursty`] is in its bad state.
    bad: bool,
    /// When it next changes.
    changes: Option<Instant>,
    /// The bottleneck has sent all it was given at this instant.
    busy_until: Option<Instant>,
    /// Datagrams lost at random.
    pub lost: u64,
    /// Datagrams that found no room in the queue.
    pub overflowed: u64,
    /// Most bytes that ever waited.
    pub deepest_queue: u64,
}

/// Copies of a datagram that come out, when and marked how.
pub type Arrivals = [Option<(Instant, Ecn)>; 2];

impl Path {
    /// A path in its initial state.
    pub fn new(config: PathConfig) -> Self {
        Path {
            config,
            ..Path::default()
        }
    }

    /// A datagram of `len` bytes enters at `now`.
    pub fn pass(&mut self, now: Instant, len: usize, ecn: Ecn, rng: &mut StdRng) -> Arrivals {
        if self.loses(now, rng) {
            self.lost += 1;
            return [None; 2];
        }
        let Some((at, ecn)) = self.squeeze(now, len, ecn) else {
            self.overflowed += 1;
            return [None; 2];
        };
        let at = at + self.config.delay;
        let first = at + self.draw_jitter(rng);
        let copies = self.config.duplicate > 0.0 && chance(rng, self.config.duplicate);
        let second = copies.then(|| at + self.draw_jitter(rng));
        [Some((first, ecn)), second.map(|at| (at, ecn))]
    }

    fn loses(&mut self, now: Instant, rng: &mut StdRng) -> bool {
        match self.config.loss {
            Loss::None => false,
            Loss::Random(p) => chance(rng, p),
            Loss::Bursty {
                good_for,
                bad_for,
                good,
                bad,
            } => {
                let mut changes = match self.changes {
                    Some(changes) => changes,
                    None => now + lifetime(rng, good_for),
                };
                while changes <= now {
                    self.bad = !self.bad;
                    changes += lifetime(rng, if self.bad { bad_for } else { good_for });
                }
                self.changes = Some(changes);
                chance(rng, if self.bad { bad } else { good })
            }
        }
    }

    /// Passes the bottleneck: when the datagram is through, and its mark; `None` if dropped.
    fn squeeze(&mut self, now: Instant, len: usize, ecn: Ecn) -> Option<(Instant, Ecn)> {
        let Some(neck) = self.config.bottleneck else {
            return Some((now, ecn));
        };
        let start = self.busy_until.map_or(now, |busy| busy.max(now));
        let waiting = bytes_in(start - now, neck.rate);
        let size = (len + IP_UDP) as u64;
        // What is being sent needs no room in the queue.
        if waiting > 0 && waiting + size > neck.queue {
            return None;
        }
        self.deepest_queue = self.deepest_queue.max(waiting + size);
        let done = start + time_for(size, neck.rate);
        self.busy_until = Some(done);
        let marked = ecn != Ecn::NotEct && neck.mark_above.is_some_and(|mark| waiting > mark);
        Some((done, if marked { Ecn::Ce } else { ecn }))
    }

    fn draw_jitter(&self, rng: &mut StdRng) -> Duration {
        let most = self.config.jitter.as_nanos() as u64; // centuries fit
        match most {
            0 => Duration::ZERO,
            _ => Duration::from_nanos(rng.random_range(0..=most)),
        }
    }
}

fn bytes_in(time: Duration, rate: u64) -> u64 {
    (time.as_nanos() * u128::from(rate) / 1_000_000_000) as u64 // queues are small
}

fn time_for(bytes: u64, rate: u64) -> Duration {
    Duration::from_nanos((u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1))) as u64)
}

/// Time until something happens that happens every `mean` on average, at any time as likely.
fn lifetime(rng: &mut StdRng, mean: Duration) -> Duration {
    let uniform: f64 = rng.random(); // below 1
    mean.mul_f64(-(1.0 - uniform).ln()) + Duration::from_nanos(1)
}

/// True with probability `p`.
pub(crate) fn chance(rng: &mut StdRng, p: f64) -> bool {
    // 53 bits of a word are all a float takes.
    ((rng.next_u64() >> 11) as f64) < p * (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn run(config: PathConfig, gap: Duration, count: u32) -> (Path, Vec<Duration>) {
        let mut rng = StdRng::seed_from_u64(7);
        let mut path = Path::new(config);
        let start = Instant::now();
        let mut out = Vec::new();
        for i in 0..count {
            let now = start + gap * i;
            for (at, _) in path.pass(now, 972, Ecn::NotEct, &mut rng).iter().flatten() {
                out.push(*at - start);
            }
        }
        (path, out)
    }

    #[test]
    fn random_loss_has_its_rate() {
        let (path, out) = run(lossy(0.05), Duration::ZERO, 100_000);
        assert_eq!(path.lost as usize + out.len(), 100_000);
        assert!((4_800..5_200).contains(&path.lost), "{}", path.lost);
    }

    #[test]
    fn bursty_loss_comes_in_bursts_of_the_mean_length() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut path = Path::new(PathConfig {
            loss: Loss::Bursty {
                good_for: Duration::from_millis(95),
                bad_for: Duration::from_millis(5),
                good: 0.0,
                bad: 1.0,
            },
            ..PathConfig::default()
        });
        let start = Instant::now();
        let (mut bursts, mut lost, mut before) = (0, 0, false);
        let count = 1_000_000;
        for i in 0..count {
            let now = start + Duration::from_micros(100) * i;
            let gone = path.pass(now, 1, Ecn::NotEct, &mut rng)[0].is_none();
            bursts += u32::from(gone && !before);
            lost += u32::from(gone);
            before = gone;
        }
        let mean = f64::from(lost) / f64::from(bursts);
        assert!((46.0..54.0).contains(&mean), "mean burst of {mean}");
        let share = f64::from(lost) / f64::from(count);
        assert!((0.045..0.055).contains(&share), "loss of {share}");
    }

    #[test]
    fn bottleneck_spaces_queues_and_drops() {
        let neck = Bottleneck {
            rate: 1_000_000,
            queue: 4_000,
            mark_above: None,
        };
        let config = PathConfig {
            bottleneck: Some(neck),
            delay: Duration::from_millis(5),
            ..PathConfig::default()
        };
        // 1000 bytes a datagram with headers: one on the line, three in the queue behind it.
        let (path, out) = run(config, Duration::ZERO, 10);
        let ms: Vec<_> = out.iter().map(Duration::as_millis).collect();
        assert_eq!(ms, [6, 7, 8, 9]);
        assert_eq!((path.overflowed, path.deepest_queue), (6, 4_000));
        // At exactly its rate nothing is lost.
        let (path, out) = run(config, Duration::from_millis(1), 100);
        assert_eq!((path.overflowed, out.len()), (0, 100));
    }

    #[test]
    fn full_queue_marks_what_can_be_marked() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut path = Path::new(PathConfig {
            bottleneck: Some(Bottleneck {
                rate: 1_000_000,
                queue: 10_000,
                mark_above: Some(2_000),
            }),
            ..PathConfig::default()
        });
        let now = Instant::now();
        let marks: Vec<_> = [Ecn::Ect0, Ecn::Ect0, Ecn::Ect0, Ecn::Ect0, Ecn::NotEct]
            .map(|ecn| path.pass(now, 972, ecn, &mut rng)[0].unwrap().1)
            .into();
        let want = [Ecn::Ect0, Ecn::Ect0, Ecn::Ect0, Ecn::Ce, Ecn::NotEct];
        assert_eq!(marks, want);
    }

    #[test]
    fn jitter_reorders_and_duplicates_double() {
        let config = PathConfig {
            jitter: Duration::from_millis(10),
            duplicate: 1.0,
            ..PathConfig::default()
        };
        let (_, out) = run(config, Duration::from_millis(1), 100);
        assert_eq!(out.len(), 200);
        assert!(!out.is_sorted());
    }
}
