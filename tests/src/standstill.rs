//! When the machine stood still: what depends on time then says nothing about the programs.
//!
//! The reference gives a sender up that it has not heard for a second, also when neither of them could run in
//! that second.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long the one who watches sleeps.
const NAP: Duration = Duration::from_millis(20);

/// Shorter ones harm nobody.
const SHORTEST: Duration = Duration::from_millis(300);

/// How often something is done again because the machine stood still.
const ATTEMPTS: u32 = 4;

/// Each standstill since somebody first asked: when it was over, and how long it was.
static STANDSTILLS: OnceLock<Mutex<Vec<(Instant, Duration)>>> = OnceLock::new();

/// Does something that depends on time, and once more, a few times at most, if it fails and the machine stood
/// still meanwhile.
///
/// # Errors
/// The last one of `act`.
pub fn unless_standing_still<T, E>(mut act: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    watch();
    let mut attempt = 1;
    loop {
        let begun = Instant::now();
        let done = act();
        match longest_since(begun) {
            Some(longest) if done.is_err() && attempt < ATTEMPTS => {
                let longest = longest.as_secs_f64();
                eprintln!("it failed, but the machine stood still for {longest:.1} s: once more");
                attempt += 1;
            }
            _ => return done,
        }
    }
}

/// The longest standstill that ended after `begun`.
fn longest_since(begun: Instant) -> Option<Duration> {
    let standstills = watch().lock().unwrap_or_else(PoisonError::into_inner);
    let since = standstills.iter().filter(|(over, _)| *over >= begun);
    since.map(|(_, long)| *long).max()
}

/// Has a thread sleep and look how much longer that took, from the first call on.
fn watch() -> &'static Mutex<Vec<(Instant, Duration)>> {
    STANDSTILLS.get_or_init(|| {
        thread::spawn(|| {
            let mut slept = Instant::now();
            loop {
                thread::sleep(NAP);
                let (woke, asleep) = (Instant::now(), slept.elapsed());
                if asleep >= NAP + SHORTEST {
                    let mut standstills = watch().lock().unwrap_or_else(PoisonError::into_inner);
                    standstills.push((woke, asleep));
                }
                slept = woke;
            }
        });
        Mutex::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stood_still() {
        let long = Duration::from_secs(1);
        let mut standstills = watch().lock().unwrap();
        standstills.push((Instant::now(), long));
    }

    #[test]
    fn only_what_fails_while_the_machine_stands_still_is_done_again() {
        let mut times = 0;
        let done = unless_standing_still(|| {
            times += 1;
            stood_still();
            if times < 3 { Err(times) } else { Ok(times) }
        });
        assert_eq!(done, Ok(3));
        let mut times = 0;
        let failed: Result<(), u32> = unless_standing_still(|| {
            times += 1;
            stood_still();
            Err(times)
        });
        assert_eq!(failed, Err(ATTEMPTS));
    }
}
