//! What proxies report for their clients comes in two kinds of messages that belong together by
//! their number: what is missing (STATUS), and by whom (PRSTATUS, one or more; wire-v3 §6.7).

use std::collections::{BTreeSet, VecDeque};

/// Most reports held at once; the oldest make room.
const MOST: usize = 1024;

/// Reports of which a part is here; `P` says whose and about what they are, `C` are the clients.
#[derive(Debug)]
pub(crate) struct Halves<P, C>(VecDeque<Half<P, C>>);

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
        Halves(VecDeque::new())
    }
}

impl<P: PartialEq, C: Ord + Copy> Halves<P, C> {
    /// Nothing of before counts any more.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
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
        let known = |half: &&mut Half<P, C>| half.of == of && half.number == number;
        if let Some(half) = self.0.iter_mut().find(known) {
            return update(half);
        }
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        let mut half = Half {
            of,
            number,
            naks: None,
            clients: BTreeSet::new(),
        };
        let told = update(&mut half);
        self.0.push_back(half);
        told
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
        assert_eq!(halves.0.len(), MOST);
        assert_eq!(halves.missing(0, 0, &[]), [].into());
        assert_eq!(halves.missing(2, 0, &[]), [2].into());
    }
}
