//! Drops of the rate that may prove to be in vain.

/// Drops whose effect is not known yet, oldest first; at most one for each receiver.
///
/// When one proves to be in vain, the rate is to be what it would be without it: if it is the last,
/// what it was before it. If others followed, they have started from too low a rate; should they
/// prove to be in vain, too, what was before the first is to be restored.
#[derive(Debug)]
pub(super) struct Doubts<T>(Vec<Doubt<T>>);

#[derive(Debug)]
struct Doubt<T> {
    client: usize,
    /// What was before the drop.
    before: T,
}

impl<T> Default for Doubts<T> {
    fn default() -> Self {
        Doubts(Vec::new())
    }
}

impl<T> Doubts<T> {
    /// The rate drops because of a receiver; `before` is how things stood.
    pub(super) fn note(&mut self, client: usize, before: T) {
        if self.place(client).is_none() {
            self.0.push(Doubt { client, before });
        }
    }

    /// A receiver's drop was to the point: everything before it is past.
    pub(super) fn settle(&mut self, client: usize) {
        if let Some(at) = self.place(client) {
            self.0.drain(..=at);
        }
    }

    /// A receiver's drop was in vain. What is to be restored, if anything is.
    pub(super) fn take_back(&mut self, client: usize) -> Option<T> {
        let at = self.place(client)?;
        let doubt = self.0.remove(at);
        match self.0.get_mut(at) {
            None => Some(doubt.before),
            Some(next) => {
                next.before = doubt.before;
                None
            }
        }
    }

    fn place(&self, client: usize) -> Option<usize> {
        self.0.iter().position(|doubt| doubt.client == client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_in_vain_restores_what_was_before_all_in_vain() {
        let mut doubts = Doubts::default();
        for (client, before) in [(0, 60), (1, 55), (2, 50), (1, 45)] {
            doubts.note(client, before);
        }
        assert_eq!(doubts.take_back(0), None);
        assert_eq!(doubts.take_back(1), None);
        assert_eq!(doubts.take_back(1), None, "it is gone");
        assert_eq!(doubts.take_back(2), Some(60));
    }

    #[test]
    fn nothing_before_a_drop_to_the_point_is_restored() {
        let mut doubts = Doubts::default();
        for (client, before) in [(0, 60), (1, 55), (2, 50)] {
            doubts.note(client, before);
        }
        doubts.settle(1);
        assert_eq!(doubts.take_back(0), None);
        assert_eq!(doubts.take_back(2), Some(50));
    }
}
