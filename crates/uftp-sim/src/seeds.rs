//! Running a test from many seeds, and one seed again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that names the one seed to run.
pub const VARIABLE: &str = "UFTP_SIM_SEED";

/// The environment variable that multiplies the number of seeds, for long searches.
pub const ROUNDS: &str = "UFTP_SIM_ROUNDS";

/// Runs `test` from `count` seeds ([`ROUNDS`] times as many if that is set), or from the one in [`VARIABLE`] alone, on as many threads as
/// the machine has. Each run is single-threaded. Panics if one of them does, naming its seed.
pub fn each(count: u64, test: impl Fn(u64) + Sync) {
    if let Some(seed) = chosen() {
        test(seed);
        return;
    }
    let count = count * number(ROUNDS).unwrap_or(1);
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= count {
                            return Ok(());
                        }
                        catch_unwind(AssertUnwindSafe(|| test(seed))).inspect_err(|_| {
                            next.store(count, Ordering::Relaxed);
                            eprintln!("seed {seed} failed; replay it with {VARIABLE}={seed}");
                        })?;
                    }
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(Ok(())) => {}
                Ok(Err(panic)) | Err(panic) => resume_unwind(panic),
            }
        }
    });
}

/// The seed named in the environment, else `default`.
pub fn one(default: u64) -> u64 {
    chosen().unwrap_or(default)
}

fn chosen() -> Option<u64> {
    number(VARIABLE)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{variable} is {text:?}, expected a number below 2^64"),
    }
}

/// A seed derived from `seed` for part `part` of a run: neighbouring inputs give unrelated seeds.
pub fn derive(seed: u64, part: u64) -> u64 {
    crate::content::mix(crate::content::mix(seed).wrapping_add(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn each_seed_runs_once_and_a_failure_comes_out() {
        if chosen().is_some() || number(ROUNDS).is_some() {
            return; // somebody looks for something else
        }
        let seen = Mutex::new(Vec::new());
        each(50, |seed| seen.lock().unwrap().push(seed));
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
        assert!(catch_unwind(|| each(9, |seed| assert_ne!(seed, 5))).is_err());
    }
}
