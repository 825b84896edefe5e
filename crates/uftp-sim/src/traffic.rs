//! What a node put on the network.

use uftp_proto::wire::{self, Function};

/// Datagrams and bytes a node sent, by function.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    by_function: Vec<(Option<Function>, Count)>,
}

/// A number of datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// How many.
    pub datagrams: u64,
    /// Bytes of UDP payload in them.
    pub bytes: u64,
}

impl Traffic {
    /// Counts a datagram.
    pub fn note(&mut self, datagram: &[u8]) {
        let function = wire::decode_header(datagram).ok().map(|h| h.function);
        let count = match self.by_function.iter_mut().find(|(f, _)| *f == function) {
            Some((_, count)) => count,
            None => {
                self.by_function.push((function, Count::default()));
                &mut self.by_function.last_mut().expect("just pushed").1
            }
        };
        count.datagrams += 1;
        count.bytes += datagram.len() as u64;
    }

    /// What was sent of one function; `None` stands for what has no valid header.
    pub fn of(&self, function: impl Into<Option<Function>>) -> Count {
        let function = function.into();
        let found = self.by_function.iter().find(|(f, _)| *f == function);
        found.map_or_else(Count::default, |(_, count)| *count)
    }

    /// What was sent in all.
    pub fn total(&self) -> Count {
        let counts = self.by_function.iter().map(|(_, count)| count);
        counts.fold(Count::default(), |sum, c| Count {
            datagrams: sum.datagrams + c.datagrams,
            bytes: sum.bytes + c.bytes,
        })
    }
}
