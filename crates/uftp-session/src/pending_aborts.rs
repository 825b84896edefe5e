//! Last words of sessions that are over, or never were: why.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use uftp_proto::wire::{Abort, Message};
use uftp_proto::{Ecn, Uid};

use crate::batch::Batch;
use crate::limit::Bucket;
use crate::link::{Cover, Envelope, GroupEstimate, Link};

/// An ABORT that ends a session.
pub(crate) struct PendingAbort {
    pub(crate) link: Link,
    pub(crate) to: SocketAddr,
    /// For whom; [`Uid::NONE`] is all who hear it.
    pub(crate) host: Uid,
    /// What its header says about the group.
    pub(crate) estimate: GroupEstimate,
    pub(crate) cover: Cover,
    pub(crate) reason: Cow<'static, str>,
}

impl PendingAbort {
    /// To a server, under the session's keys if there are any. Says nothing about the group.
    pub(crate) fn to_server(
        link: Link,
        to: SocketAddr,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        PendingAbort {
            link,
            to,
            host: Uid::NONE,
            estimate: GroupEstimate::default(),
            cover: Cover::Session,
            reason: reason.into(),
        }
    }
}

/// Those that wait to be sent: many are not sent in one burst.
pub(crate) struct PendingAborts {
    waiting: VecDeque<PendingAbort>,
    pace: Bucket,
}

impl Default for PendingAborts {
    fn default() -> Self {
        PendingAborts {
            waiting: VecDeque::new(),
            pace: Bucket::of_farewells(),
        }
    }
}

impl PendingAborts {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn push(&mut self, abort: PendingAbort) {
        self.waiting.push_back(abort);
    }

    /// When the next is to be [written](Self::write), after there was no more to write for now.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pace.next().filter(|_| !self.waiting.is_empty())
    }

    /// Writes as many as may go now and the batch has room for. Returns how many went.
    pub(crate) fn write(&mut self, now: Instant, batch: &mut Batch) -> u64 {
        let mut written = 0;
        while let Some(abort) = self.waiting.front_mut() {
            if !self.pace.has_more(now) {
                break;
            }
            let words = Message::Abort(Abort {
                current_file: false,
                host: abort.host,
                reason: abort.reason.clone().into_owned(),
            });
            let envelope = Envelope {
                to: abort.to,
                ecn: Ecn::NotEct,
                estimate: abort.estimate,
            };
            match abort.link.send(batch, envelope, &words, abort.cover) {
                Ok(_) => written += 1,
                Err(error) if error.is_no_room() && !batch.is_empty() => break,
                Err(error) => tracing::warn!(%error, "cannot send ABORT"),
            }
            self.pace.allow(now);
            self.waiting.pop_front();
        }
        written
    }
}
