//! Messages outside sessions: heartbeats and what proxies tell about their keys.

use std::collections::VecDeque;
use std::net::SocketAddr;

use uftp_proto::wire::{self, Header, Message, Version};
use uftp_proto::{Ecn, GroupId, Instance, Seq, Uid};

use crate::batch::Batch;
use crate::counters::Refusal;
use crate::policy::Policy;

/// Most that wait to be sent.
const MOST: usize = 1024;

/// Messages that wait to be sent.
#[derive(Default)]
pub(crate) struct SessionlessQueue(VecDeque<SessionlessMessage>);

struct SessionlessMessage {
    to: SocketAddr,
    version: Version,
    message: Message<'static>,
}

impl SessionlessQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`Refusal::Limit`] if there is no room.
    pub(crate) fn post(
        &mut self,
        to: SocketAddr,
        version: Version,
        message: Message<'static>,
    ) -> Result<(), Refusal> {
        if self.0.len() >= MOST {
            return Err(Refusal::Limit);
        }
        self.0.push_back(SessionlessMessage {
            to,
            version,
            message,
        });
        Ok(())
    }

    /// Writes as many as the batch has room for, as words of `uid`. Returns how many went.
    pub(crate) fn write(&mut self, uid: Uid, batch: &mut Batch) -> u64 {
        let mut written = 0;
        while let Some(letter) = self.0.front() {
            let header = Header {
                version: letter.version,
                function: letter.message.function(),
                seq: Seq(0),
                src: Policy::of(letter.version).names.outside_sessions(uid),
                group: GroupId(0),
                instance: Instance(0),
                grtt: Default::default(),
                group_size: Default::default(),
                dest: Uid::NONE,
            };
            let sent = batch.push(letter.to, Ecn::NotEct, |buf| {
                wire::encode(&header, &letter.message, buf)
            });
            match sent {
                Ok(_) => written += 1,
                Err(wire::EncodeError::NoRoom(_)) if !batch.is_empty() => break,
                Err(error) => tracing::warn!(%error, "cannot send"),
            }
            self.0.pop_front();
        }
        written
    }
}
