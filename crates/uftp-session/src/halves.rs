//! What proxies report for their clients comes in two kinds of messages that belong together by
//! their number: what is missing (STATUS), and by whom (PRSTATUS, one or more; wire-v3 §6.7).

use std::collections::{BTreeSet, VecDeque};

/// Most reports held at once; the oldest make room.
const MOST: usize = 1024;

/// Most bytes of what they say; the oldest make room.
const MOST_BYTES: usize = 4 << 20;

/// About what a set takes for one of its members, bytes.
const MEMBER: usize = 16;

/// Reports of which a part is here; `P` says whose and about what they are, `C` are the clients.
#[derive(Debug)]
pub(crate) struct Halves<P, C> {
    list: VecDeque<Half<P, C>>,
    /// What they say, bytes.
    bytes: usize,
}

#[derive(Debug)]
struct Half<P, C> {
    of: P,
    number: u8,
    /// The bitmap, once it is here.
    naks: Option<Vec<u8>>,
    /// The clients, until it is.
    clients: BTreeSet<C>,
}

impl<P, C> Default for Halves<P, C> {
    fn default() -> Self {
        Halves {
            list: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<P: PartialEq, C: Ord + Copy> Halves<P, C> {
    /// Nothing of before counts any more.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.bytes = 0;
    }

    /// Says what is missing. Returns by whom, as far as that is known.
    pub(crate) fn missing(&mut self, of: P, number: u8, naks: &[u8]) -> BTreeSet<C> {
        self.update(of, number, |half| {
            half.naks = Some(naks.to_vec());
            std::mem::take(&mut half.clients)
        })
    }

    /// Says who misses something. Returns what, if that is known.
    pub(crate) fn named(&mut self, of: P, number: u8, clients: &[C]) -> Option<Vec<u8>> {
        self.update(of, number, |half| {
            if half.naks.is_none() {
                half.clients.extend(clients);
            }
            half.naks.clone()
        })
    }

    fn update<T>(&mut self, of: P, number: u8, update: impl FnOnce(&mut Half<P, C>) -> T) -> T {
        let known = |half: &Half<P, C>| half.of == of && half.number == number;
        // What is added to goes to the end.
        let known = self.list.iter().position(known);
        let known = known.and_then(|at| self.list.remove(at));
        let mut half = known.unwrap_or(Half {
            of,
            number,
            naks: None,
            clients: BTreeSet::new(),
        });
        self.bytes -= half.bytes();
        let told = update(&mut half);
        self.bytes += half.bytes();
        self.list.push_back(half);
        while self.list.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.list.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
        }
        told
    }
}

impl<P, C> Half<P, C> {
    fn bytes(&self) -> usize {
        self.naks.as_ref().map_or(0, Vec::len) + self.clients.len() * MEMBER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_find_each_other_whichever_comes_first() {
        let mut halves = Halves::default();
        assert_eq!(halves.named('a', 0, &[1, 2]), None);
        assert_eq!(halves.named('b', 0, &[9]), None);
        assert_eq!(halves.named('a', 1, &[7]), None);
        assert_eq!(halves.named('a', 0, &[2, 3]), None);
        assert_eq!(halves.missing('a', 0, &[5]), [1, 2, 3].into());
        assert_eq!(halves.named('a', 0, &[4]), Some(vec![5]));
        assert_eq!(halves.missing('a', 0, &[]), [].into(), "a repetition");
        halves.clear();
        assert_eq!(halves.missing('b', 0, &[]), [].into());
    }

    #[test]
    fn the_oldest_make_room() {
        let mut halves = Halves::default();
        for n in 0..=MOST {
            halves.named(n, 0, &[n]);
        }
        assert_eq!(halves.list.len(), MOST);
        assert_eq!(halves.missing(0, 0, &[]), [].into());
        assert_eq!(halves.missing(2, 0, &[]), [2].into());
    }

    #[test]
    fn what_they_say_takes_bounded_room() {
        // One to which more and more is added, and many with much in each.
        for spread in [1, 500] {
            let mut halves = Halves::default();
            for n in 0..4000u32 {
                let clients: Vec<_> = (0..300).map(|i| 300 * n + i).collect();
                halves.named(n % spread, 0, &clients);
                let held = halves.list.iter().map(Half::bytes).sum::<usize>();
                assert!(held <= MOST_BYTES && held == halves.bytes, "{held}");
            }
        }
        let mut halves = Halves::<_, u32>::default();
        for n in 0..1000 {
            halves.missing(n, 0, &[1; 60_000]);
        }
        assert!(halves.list.len() < 100 && halves.named(999, 0, &[1]).is_some());
    }
}
