//! Waiting for things that happen in other processes: always for an event, always bounded.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{Failure, Result};

/// How often a condition in another process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The longest time a test waits for something that normally takes moments. Generous, since the
/// tests share few processors; only failing tests ever use it up.
pub fn patience() -> Duration {
    Duration::from_secs(20)
}

/// Looks at `condition` until it gives a value, at most for `within`.
///
/// # Errors
/// When time is up, naming `what` was awaited and what the last look found (`condition`'s `Err`).
pub fn eventually<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> std::result::Result<T, String>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(found) if start.elapsed() >= within => {
                return Err(Failure::new(format!(
                    "waited {:.1} s for {what}, but {found}",
                    within.as_secs_f64()
                )));
            }
            Err(_) => sleep(LOOK_EVERY),
        }
    }
}
