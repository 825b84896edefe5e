//! The thread a session has to itself, beside the one that waits for signals and names.

use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::exit::{Exit, Failure};

/// Work in a thread of its own.
pub(crate) struct SessionThread<T> {
    done: oneshot::Receiver<T>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> SessionThread<T> {
    /// Runs `work` in a thread of its own.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start(work: impl FnOnce() -> T + Send + 'static) -> Result<Self, Failure> {
        let (done, waiting) = oneshot::channel();
        let run = move || {
            // Nobody waits any more only if the program is already ending.
            let _ = done.send(work());
        };
        thread::Builder::new()
            .name("session".into())
            .spawn(run)
            .map(|thread| SessionThread {
                done: waiting,
                thread: Some(thread),
            })
            .map_err(|error| {
                Failure::new(Exit::Resources, format!("can't start a thread: {error}"))
            })
    }

    /// What the work returned. The thread is gone by then with all that it kept: when the program
    /// ends beside it, both tidy up the same memory of OpenSSL.
    ///
    /// # Errors
    /// The work panicked.
    pub(crate) async fn ended(&mut self) -> Result<T, Failure> {
        let ended = (&mut self.done).await;
        if let Some(thread) = self.thread.take() {
            // It panicked only if nothing was sent, which is told below.
            let _ = thread.join();
        }
        ended.map_err(|_| died())
    }
}

/// The thread ended without a word, which only a panic does.
fn died() -> Failure {
    Failure::new(
        Exit::Resources,
        "the session ended by an error of the program itself",
    )
}
