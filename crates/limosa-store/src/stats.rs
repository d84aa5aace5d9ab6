//! Figures of the store, for metrics, status and benchmarks.

use std::sync::atomic::Ordering;

use crate::journal::Position;
use crate::memory::MemoryUse;
use crate::store::Store;

/// What the store holds and has done since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStats {
    /// Last published position.
    pub horizon: Position,
    /// Records that are not published yet.
    pub pending_records: u64,
    /// Their bytes, those in flight apart.
    pub pending_bytes: u64,
    /// Everything up to here survives a power cut.
    pub flushed: Position,
    /// Oldest journal position held.
    pub journal_first: Position,
    /// Record bytes that the journal has taken since it was made.
    pub journal_bytes: u64,
    /// Bytes of recent commits in memory.
    pub ring_bytes: u64,
    /// Live entries, elements included.
    pub live: u64,
    /// Live keys that users see.
    pub top_level: u64,
    /// Key and value bytes of the live entries.
    pub live_bytes: u64,
    /// Tombstones held.
    pub tombstones: u64,
    /// Cold blocks read from the checkpoint.
    pub blocks_read: u64,
    /// Damaged blocks that nobody has mended yet.
    pub damaged: u64,
    /// Damaged blocks that another node's copy has taken the place of.
    pub mended: u64,
    /// Entries that cuts have handed out.
    pub entries_read: u64,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Group commits.
    pub flushes: u64,
    /// Fragments parted since the start, here or after an owner.
    pub splits: u64,
    /// Fragments put together since the start, here or after an owner.
    pub merges: u64,
    /// When the newest of those happened, milliseconds since the Unix epoch; 0: none since the start.
    pub reframed_ms: u64,
    /// Most memory, bytes; `u64::MAX`: no bound.
    pub memory_max: u64,
    /// Memory now.
    pub memory: MemoryUse,
    /// Blocks in memory.
    pub blocks_resident: u64,
    /// Blocks dropped from memory since the start.
    pub blocks_dropped: u64,
    /// Bytes of blocks that were written beside the checkpoint, because memory was full of what it does not have.
    pub spilled_bytes: u64,
}

impl Store {
    /// The figures now.
    pub fn stats(&self) -> StoreStats {
        let (counters, relief) = (&self.inner.counters, &self.inner.relief);
        let state = self.inner.state();
        let mut stats = StoreStats {
            horizon: state.horizon,
            pending_records: state.next_position().0 - 1 - state.horizon.0,
            pending_bytes: state.groups.iter().chain([&state.group]).map(|group| group.body_bytes() as u64).sum(),
            flushed: Position(counters.flushed.load(Ordering::Relaxed)),
            journal_first: self.inner.handle.first(),
            journal_bytes: state.marks.bytes(),
            ring_bytes: state.ring.bytes() as u64,
            blocks_read: counters.blocks_read.load(Ordering::Relaxed),
            damaged: counters.damage.count(),
            mended: counters.damage.mended(),
            entries_read: counters.entries_read.load(Ordering::Relaxed),
            checkpoints: counters.checkpoints.load(Ordering::Relaxed),
            flushes: counters.flushes.load(Ordering::Relaxed),
            splits: counters.splits.load(Ordering::Relaxed),
            merges: counters.merges.load(Ordering::Relaxed),
            reframed_ms: counters.reframed_ms.load(Ordering::Relaxed),
            memory_max: relief.max(),
            memory: relief.measure(&state),
            blocks_resident: relief.ledger.blocks() as u64,
            blocks_dropped: relief.dropped_blocks(),
            spilled_bytes: relief.spilled_bytes(),
            ..StoreStats::default()
        };
        for total in state.fragments.iter().map(limosa_tree::Fragment::total) {
            stats.live += total.live;
            stats.top_level += total.top_level;
            stats.live_bytes += total.live_bytes;
            stats.tombstones += total.tombstones;
        }
        stats
    }
}
