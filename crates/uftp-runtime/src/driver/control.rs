//! What other threads may ask of a driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use uftp_net::Wake;

use crate::exit::Failure;

/// Asks a driver in another thread for something.
#[derive(Clone)]
pub(crate) struct Control {
    wake: Wake,
    /// In the bits of [`Asked`].
    asked: Arc<AtomicU8>,
}

/// What a driver is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked(u8);

impl Asked {
    pub(super) const STOP: Asked = Asked(1);
    pub(super) const RELOAD: Asked = Asked(2);
    pub(super) const COUNTERS: Asked = Asked(4);
    pub(super) const GROUPS: Asked = Asked(8);

    pub(super) fn includes(self, one: Asked) -> bool {
        self.0 & one.0 != 0
    }
}

impl Control {
    /// A control of a driver to be made.
    ///
    /// # Errors
    /// The process has too many files open.
    pub(crate) fn new() -> Result<Control, Failure> {
        Ok(Control {
            wake: Wake::new().map_err(|error| Failure::network(error.to_string()))?,
            asked: Arc::default(),
        })
    }

    /// The machine is to end its sessions and say farewell.
    pub(crate) fn stop(&self) {
        self.ask(Asked::STOP);
    }

    /// The watcher is to open its files anew and to read its lists again.
    pub(crate) fn reload(&self) {
        self.ask(Asked::RELOAD);
    }

    /// The watcher is to tell the counters.
    pub(crate) fn tell_counters(&self) {
        self.ask(Asked::COUNTERS);
    }

    /// The watcher is to join its groups on the interfaces there are now.
    pub(crate) fn renew_groups(&self) {
        self.ask(Asked::GROUPS);
    }

    /// The watcher is to have its turn: something it waits for is there.
    pub(crate) fn wake(&self) {
        self.wake.wake();
    }

    fn ask(&self, what: Asked) {
        self.asked.fetch_or(what.0, Ordering::AcqRel);
        self.wake.wake();
    }

    /// What has been asked for since this was last asked.
    pub(super) fn asked(&self) -> Asked {
        Asked(self.asked.swap(0, Ordering::AcqRel))
    }

    /// What ends the driver's sleep.
    pub(super) fn wake_up(&self) -> &Wake {
        &self.wake
    }
}
