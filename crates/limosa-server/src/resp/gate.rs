//! Where replies wait until the horizon covers what they saw, and where waiting turns into a group commit.
//!
//! Waiters and flusher are tasks of one thread, run in the order in which they became ready. The first waiter of a turn wakes the
//! flusher, which so stands behind all connections that were ready in that turn: their commits share one flush. With a flush to disk
//! for each commit the flush runs on a thread of its own, and what arrives meanwhile shares the next one.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Poll, Waker};
use std::time::Duration;

use limosa_core::Retry;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::error::KeyspaceError;
use super::keyspace::Backend;
use super::shared::{Shared, Stats};

/// The flush failed: replies that depend on it are never sent, since what they tell may be lost. Says why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failed(pub(super) KeyspaceError);

/// Holds replies back until they are true on disk.
#[derive(Default)]
pub(super) struct Gate {
    horizon: AtomicU64,
    is_asked: AtomicBool,
    asked: Notify,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    wakers: Vec<Waker>,
    /// Failed flushes so far, and what the last one said.
    failures: u64,
    failure: Option<KeyspaceError>,
}

impl Gate {
    pub(super) fn new(horizon: u64) -> Self {
        Self { horizon: AtomicU64::new(horizon), ..Self::default() }
    }

    /// Whether a reply that saw `position` may leave.
    pub(super) fn is_open(&self, position: u64) -> bool {
        self.horizon.load(Ordering::Acquire) >= position
    }

    /// Waits until [`Gate::is_open`], or until a flush fails.
    pub(super) async fn reach(&self, position: u64) -> Result<(), Failed> {
        let mut failures = None;
        poll_fn(|context| {
            if self.is_open(position) {
                return Poll::Ready(Ok(()));
            }
            let mut waiting = self.waiting();
            if *failures.get_or_insert(waiting.failures) != waiting.failures {
                return Poll::Ready(Err(Failed(waiting.failure.clone().expect("a counted failure was noted"))));
            }
            waiting.wakers.push(context.waker().clone());
            drop(waiting);
            if !self.is_asked.swap(true, Ordering::AcqRel) {
                self.asked.notify_one();
            }
            Poll::Pending
        })
        .await
    }

    /// Waits until somebody waits at the gate.
    async fn asked(&self) {
        self.asked.notified().await;
        // Before the flush starts: whoever comes from now on may need the next one.
        self.is_asked.store(false, Ordering::Release);
    }

    fn publish(&self, flushed: Result<u64, KeyspaceError>) {
        let mut waiting = self.waiting();
        match flushed {
            Ok(horizon) => {
                self.horizon.fetch_max(horizon, Ordering::AcqRel);
            }
            Err(error) => {
                waiting.failures += 1;
                waiting.failure = Some(error);
            }
        }
        // Everyone: who still has to wait comes back, and so asks for the next flush.
        let woken = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        woken.into_iter().for_each(Waker::wake);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flush that failed for want of room is tried again after so long, whether or not anybody waits: writes are refused until then.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Flushes whenever somebody waits at the gate. Runs until its task is dropped.
pub(super) async fn drive<B: Backend>(backend: Arc<B>, gate: Arc<Gate>, shared: Arc<Shared>) {
    let always_apart = shared.node.facts().flushes_each_commit;
    let mut apart = None;
    loop {
        gate.asked().await;
        loop {
            if apart.is_none() && (always_apart || backend.may_wait()) {
                apart = FlushThread::start(backend.clone());
            }
            let flushed = match &apart {
                Some(thread) if always_apart || backend.may_wait() => thread.flush().await,
                _ => backend.flush(),
            };
            let is_retried = matches!(&flushed, Err(error) if error.retry == Retry::Later);
            note(&flushed, &shared);
            gate.publish(flushed);
            if !is_retried {
                break;
            }
            sleep(RETRY_PAUSE).await;
        }
    }
}

fn note(flushed: &Result<u64, KeyspaceError>, shared: &Shared) {
    match flushed {
        Ok(position) => {
            Stats::add(&shared.stats.flushes, 1);
            shared.node.published(*position);
        }
        Err(error) => tracing::error!(code = error.code, %error, "a flush failed: connections that wait for it are closed"),
    }
}

type Answer = Option<Result<u64, KeyspaceError>>;

/// The flush on a thread of its own: a disk's flush would hold up every connection.
struct FlushThread {
    ask: mpsc::Sender<()>,
    answer: Arc<(Notify, Mutex<Answer>)>,
}

impl FlushThread {
    /// `None`, and a line in the log, when the system gives no thread: flushes then run among the connections.
    fn start<B: Backend>(backend: Arc<B>) -> Option<Self> {
        let (ask, asks) = mpsc::channel::<()>();
        let answer = Arc::<(Notify, Mutex<Answer>)>::default();
        let flusher = answer.clone();
        let thread = std::thread::Builder::new().name("limosa-flush".to_owned()).spawn(move || {
            // Ends when the task that asks is dropped.
            while asks.recv().is_ok() {
                *flusher.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(backend.flush());
                flusher.0.notify_one();
            }
        });
        if let Err(error) = thread {
            tracing::warn!(code = "resp.thread", %error, "no thread for flushes: they hold up connections");
            return None;
        }
        Some(Self { ask, answer })
    }

    async fn flush(&self) -> Result<u64, KeyspaceError> {
        let ended = || KeyspaceError { code: "resp.thread", message: "the flush thread ended".to_owned(), retry: Retry::Never };
        self.ask.send(()).map_err(|_| ended())?;
        self.answer.0.notified().await;
        self.answer.1.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(|| Err(ended()))
    }
}
