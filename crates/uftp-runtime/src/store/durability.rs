//! When received files are on the disk, and not only on their way there (`--fsync`).
//!
//! What a power cut leaves depends on the order in which things reach the disk. A name that is
//! there before its content shows a short file, so content goes first. Most of it is on the disk
//! long before that is waited for: a thread of its own writes files out while they arrive.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::beneath::Dir;
use super::name::Target;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum Fsync {
    /// A file's content, before the file gets its name; names, before the sender is told that all
    /// is well.
    #[default]
    File,
    /// Everything, before the sender is told that all is well.
    Session,
    /// Nothing: it is left to the system.
    None,
}

/// Bytes of a file that arrive before they begin to be written out.
const WRITE_OUT: usize = 8 << 20;

/// Files of at most so many bytes are not written out while they arrive, nor before their end is waited
/// for: the flusher's word for them is the last one.
pub(super) const SMALL: u64 = 1 << 20;

/// Orders that may wait for the thread.
const MOST_ORDERS: usize = 16;

/// Directories remembered before they are waited for.
const MAX_TOUCHED: usize = 1000;

/// Writes files out while they arrive.
pub(super) struct Flusher {
    orders: SyncSender<Order>,
}

/// A file to be written out, and whoever waits for that.
struct Order {
    file: File,
    /// Told whether all went well.
    done: Option<SyncSender<bool>>,
}

impl Flusher {
    /// Starts the thread, which ends when this is dropped.
    pub(super) fn start() -> io::Result<Flusher> {
        let (orders, arriving) = sync_channel::<Order>(MOST_ORDERS);
        thread::Builder::new()
            .name("flusher".into())
            .spawn(move || write_out(&arriving))?;
        Ok(Flusher { orders })
    }

    /// One whose disk does nothing until the orders are dropped.
    #[cfg(test)]
    pub(super) fn stalled() -> (Flusher, Receiver<impl Send>) {
        let (orders, arriving) = sync_channel(MOST_ORDERS);
        (Flusher { orders }, arriving)
    }

    /// There is much to write out of this file. If the thread is busy, it will be told again.
    fn note(&self, file: &File) {
        self.order(file, None);
    }

    fn order(&self, file: &File, done: Option<SyncSender<bool>>) {
        // The kernel tells of an error once for each time a file was opened: whoever waits for the
        // content in the end must not miss it because this thread was told.
        if let Ok(file) = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())) {
            let _ = self.orders.try_send(Order { file, done });
        }
    }
}

fn write_out(arriving: &Receiver<Order>) {
    for order in arriving {
        // An error is for the one who waits for the file at its end.
        let well = order.file.sync_data().is_ok();
        if let Some(done) = order.done {
            let _ = done.send(well);
        }
    }
}

/// The end of one file, on its way to the disk.
#[derive(Default)]
pub(super) enum Rest {
    /// Nobody has asked for it yet.
    #[default]
    Unasked,
    Awaited(Receiver<bool>),
    Reached {
        /// The thread has seen it there.
        seen: bool,
    },
}

impl Rest {
    /// Whether all of `file` is on the disk, or it is no use to wait. Waits for `patience` at most.
    pub(super) fn is_reached(
        &mut self,
        file: &File,
        flusher: &Flusher,
        patience: Duration,
    ) -> bool {
        if let Rest::Unasked = self {
            let (done, awaited) = sync_channel(1);
            flusher.order(file, Some(done));
            *self = Rest::Awaited(awaited);
        }
        if let Rest::Awaited(awaited) = self {
            let seen = match awaited.recv_timeout(patience) {
                Err(RecvTimeoutError::Timeout) => return false,
                Ok(well) => well,
                // The thread was too busy for the order; whoever finishes the file waits for it.
                Err(RecvTimeoutError::Disconnected) => false,
            };
            *self = Rest::Reached { seen };
        }
        true
    }

    /// Whether it need not be waited for again.
    pub(super) fn is_seen(&self) -> bool {
        matches!(self, Rest::Reached { seen: true })
    }
}

/// What of one arriving file has been handed to the thread.
#[derive(Default)]
pub(super) struct Unflushed(usize);

impl Unflushed {
    /// So many more bytes of `file` have come.
    pub(super) fn add(&mut self, bytes: usize, file: &File, flusher: Option<&Flusher>) {
        self.0 = self.0.saturating_add(bytes);
        if let Some(flusher) = flusher
            && self.0 >= WRITE_OUT
        {
            self.0 = 0;
            flusher.note(file);
        }
    }
}

/// Directories in which names have changed, each by its root and its path there.
#[derive(Default)]
pub(super) struct Touched(BTreeSet<(usize, Vec<OsString>)>);

impl Touched {
    /// A name in the directory of `target` has changed, or was made together with the directories
    /// on the way.
    pub(super) fn note(&mut self, target: &Target) {
        for depth in 0..=target.parents.len() {
            let path = target.parents.get(..depth).unwrap_or_default();
            self.0.insert((target.root, path.to_vec()));
        }
    }

    /// So many that they should be waited for now.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_TOUCHED
    }

    /// Waits until the names in these directories are on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn sync<'a>(&mut self, root: impl Fn(usize) -> Option<&'a Dir>) -> io::Result<()> {
        for (index, path) in std::mem::take(&mut self.0) {
            // What was removed since needs no care.
            if let Some(root) = root(index)
                && let Ok(Some(dir)) = root.descend(&path)
            {
                dir.sync()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn much_is_written_out_and_little_is_not() {
        let (orders, arriving) = sync_channel(1);
        let flusher = Flusher { orders };
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"x").unwrap();
        let mut unflushed = Unflushed::default();
        unflushed.add(WRITE_OUT - 1, &file, Some(&flusher));
        assert!(arriving.try_recv().is_err());
        // The second finds the thread busy.
        unflushed.add(1, &file, Some(&flusher));
        unflushed.add(WRITE_OUT, &file, Some(&flusher));
        unflushed.add(WRITE_OUT, &file, None);
        assert!(arriving.try_recv().is_ok());
        assert!(arriving.try_recv().is_err());
        drop(Flusher::start().unwrap());
    }

    #[test]
    fn a_file_is_at_rest_when_the_thread_says_so_or_has_no_time_for_it() {
        let soon = Duration::from_millis(1);
        let (orders, arriving) = sync_channel(1);
        let flusher = Flusher { orders };
        let file = tempfile::tempfile().unwrap();
        let (mut slow, mut late) = (Rest::default(), Rest::default());
        assert!(!slow.is_reached(&file, &flusher, soon));
        assert!(late.is_reached(&file, &flusher, soon), "no room for it");
        assert!(!late.is_seen());
        assert!(!slow.is_reached(&file, &flusher, soon));
        let told = arriving.try_recv().unwrap().done.unwrap();
        told.send(true).unwrap();
        assert!(slow.is_reached(&file, &flusher, soon));
        assert!(slow.is_seen());
        assert!(arriving.try_recv().is_err(), "ordered once");

        let flusher = Flusher::start().unwrap();
        let long = Duration::from_secs(60);
        assert!(Rest::default().is_reached(&file, &flusher, long));
    }

    #[test]
    fn directories_are_remembered_once_and_only_so_many() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let target = |parents: &[&str]| Target {
            root: 0,
            parents: parents.iter().map(OsString::from).collect(),
            entry: "f".into(),
        };
        let mut touched = Touched::default();
        for _ in 0..2 {
            touched.note(&target(&["a", "b"]));
        }
        touched.note(&target(&["gone"]));
        assert_eq!(touched.0.len(), 4);
        touched.sync(|_| Some(&dir)).unwrap();
        assert!(touched.0.is_empty());
        // The root is one of them.
        for n in 1..MAX_TOUCHED {
            assert!(!touched.is_full());
            touched.note(&target(&[&n.to_string()]));
        }
        assert!(touched.is_full());
    }
}
