//! Time: the world's own, which jumps to the next event, and the clock that each node sees, which may be bent.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What clocks say when the world begins, milliseconds since the Unix epoch.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// Microseconds since the world began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Now(Arc<AtomicU64>);

impl Now {
    pub(crate) fn us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Time goes on to `us`, never back.
    pub(crate) fn jump_to(&self, us: u64) {
        self.0.fetch_max(us, Ordering::Relaxed);
    }
}

/// The clock of one node.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    now: Now,
    skew_ms: Arc<AtomicI64>,
    /// What it will be off by from the next start on: a running node's clock is bent and never jumps (`limosa-store::clock`).
    next_skew_ms: Arc<AtomicI64>,
    /// What it shows as long as it stands still; 0: it goes.
    frozen_ms: Arc<AtomicU64>,
}

impl Clock {
    pub(crate) fn new(now: Now) -> Self {
        Self { now, skew_ms: Arc::default(), next_skew_ms: Arc::default(), frozen_ms: Arc::default() }
    }

    pub(crate) fn ms(&self) -> u64 {
        match self.frozen_ms.load(Ordering::Relaxed) {
            0 => (EPOCH_MS + self.now.us() / 1_000).saturating_add_signed(self.skew_ms.load(Ordering::Relaxed)),
            frozen => frozen,
        }
    }

    /// The machine's clock jumps: the node believes it when it starts.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.next_skew_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// The node starts.
    pub(crate) fn start(&self) {
        self.skew_ms.store(self.next_skew_ms.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// It stands still, or goes again from where it should be.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        self.frozen_ms.store(0, Ordering::Relaxed);
        let shown = if is_frozen { self.ms() } else { 0 };
        self.frozen_ms.store(shown, Ordering::Relaxed);
    }

    /// It goes again, and is right from the next start on.
    pub(crate) fn mend(&self) {
        self.next_skew_ms.store(0, Ordering::Relaxed);
        self.freeze(false);
    }
}
