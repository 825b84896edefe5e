//! Bytes that tell what to do.

use std::collections::VecDeque;

/// What is left to be done; ends where the bytes do.
pub(crate) struct Script(VecDeque<u8>);

impl Script {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Script(bytes.iter().copied().collect())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte, 0 behind the end.
    pub(crate) fn byte(&mut self) -> u8 {
        self.0.pop_front().unwrap_or(0)
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// The next bytes, as many as one byte says, or as there are.
    pub(crate) fn text(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte()).min(self.0.len());
        self.0.drain(..len).collect()
    }

    /// One of `choices`, `None` if there are none.
    pub(crate) fn choose<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let at = usize::from(self.short()).checked_rem(choices.len())?;
        choices.get(at)
    }
}
