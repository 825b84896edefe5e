//! How often an encrypted session's clients are told who we are.

use std::time::{Duration, Instant};

/// Clients have their interval and this part of it to register again before we introduce ourselves
/// anew. So every second ANNOUNCE of a server that makes one in three round trips is left out.
const REGISTER_MARGIN: u32 = 10;

/// So many introductions come without pauses: most clients hear of us then, and the longer one waits for
/// keys, the longer it believes what is said in the clear.
const PROMPT: u32 = 8;

/// The introductions of a session so far: PROXY_KEYs, each behind an ANNOUNCE.
///
/// Each makes clients wait anew before they register again (wire-v5 §10.1), and one behind every
/// ANNOUNCE comes too soon for them ever to. After the first few it stays away until they have had
/// their time, so that what they have told us in vain comes again.
#[derive(Debug, Default)]
pub(super) struct Introductions {
    count: u32,
    last: Option<Instant>,
}

impl Introductions {
    /// Whether one is to follow an ANNOUNCE of `now`, if clients register every `interval`; counts
    /// as done.
    pub(super) fn follow(&mut self, now: Instant, interval: Duration) -> bool {
        let pause = interval + interval / REGISTER_MARGIN;
        let due = self.count < PROMPT || self.last.is_none_or(|last| now >= last + pause);
        if due {
            self.count = self.count.saturating_add(1);
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_first_few_clients_have_their_time() {
        let start = Instant::now();
        let interval = Duration::from_millis(100);
        let mut introductions = Introductions::default();
        let mut follow = |ms| introductions.follow(start + Duration::from_millis(ms), interval);
        assert!((0..8).all(&mut follow), "the first come without pauses");
        assert!(!follow(8));
        assert!(!follow(7 + 109));
        assert!(follow(7 + 110));
        assert!(!follow(7 + 110 + 109));
    }
}
