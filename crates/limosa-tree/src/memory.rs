//! How much memory blocks take, and when one was touched: what the choice of blocks to drop is made of.
//!
//! # Invariants
//! - [`Ledger::bytes`] is the sum over all cells, those that only snapshots hold included: a cell counts itself in when it takes a block,
//!   again when the block changes, and out when it gives the block up or goes.
//! - A large value that a block shares with its changed copy counts at both: the sum is never too small.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Allocator and reference counts around one cell: part of what a block costs though it is not in memory.
const CELL_OVERHEAD_BYTES: usize = 32;

/// Counts the blocks of one store in memory. Shared by all of its fragments, snapshots and forks.
#[derive(Debug)]
pub struct Ledger {
    bytes: AtomicUsize,
    blocks: AtomicUsize,
    cells: AtomicUsize,
    /// Above this, reads in passing leave nothing behind.
    scarce_above: AtomicUsize,
    /// The clock of touches: moves on when so many bytes came into memory as make a difference.
    tick: AtomicU32,
    tick_bytes: AtomicUsize,
    came_bytes: AtomicU64,
    ticked_at: AtomicU64,
}

impl Default for Ledger {
    /// Without a limit.
    fn default() -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            blocks: AtomicUsize::new(0),
            cells: AtomicUsize::new(0),
            scarce_above: AtomicUsize::new(usize::MAX),
            tick: AtomicU32::new(1),
            tick_bytes: AtomicUsize::new(usize::MAX),
            came_bytes: AtomicU64::new(0),
            ticked_at: AtomicU64::new(0),
        }
    }
}

/// A thirty-second of the budget: what comes within one tick counts as one touch.
const TICKS_OF_BUDGET: usize = 32;

impl Ledger {
    /// Bytes of all blocks in memory.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Blocks in memory.
    pub fn blocks(&self) -> usize {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Bytes of the places that blocks have in trees, whether or not they are in memory: leaves with their summaries and keys, about.
    pub fn places_bytes(&self) -> usize {
        self.cells.load(Ordering::Relaxed) * crate::tree::PLACE_BYTES
    }

    /// Whether some block is not in memory.
    pub fn has_cold(&self) -> bool {
        self.cells.load(Ordering::Relaxed) > self.blocks.load(Ordering::Relaxed)
    }

    /// Sets what blocks may take. Reads in passing leave nothing behind from there on; a little below, so that they never push out.
    pub fn set_budget(&self, bytes: usize) {
        self.scarce_above.store(bytes - bytes / 16, Ordering::Relaxed);
        self.tick_bytes.store((bytes / TICKS_OF_BUDGET).max(1), Ordering::Relaxed);
    }

    /// Whether a read in passing (a scan, a delta, a scrub) must not leave its block behind.
    pub fn is_scarce(&self) -> bool {
        self.bytes() > self.scarce_above.load(Ordering::Relaxed)
    }

    /// Moves the clock of touches on: the hand has been everywhere, and what it let be had its time.
    pub fn age(&self) {
        self.tick.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// Counts a block that came into memory, so that the clock of touches moves with what comes.
    fn came(&self, bytes: usize) {
        let loaded = self.came_bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        let ticked_at = self.ticked_at.load(Ordering::Relaxed);
        let is_due = loaded - ticked_at.min(loaded) >= self.tick_bytes.load(Ordering::Relaxed) as u64;
        if is_due && self.ticked_at.compare_exchange(ticked_at, loaded, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.tick.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn add_cell(&self) {
        self.cells.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_cell(&self) {
        self.cells.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn add_block(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.came(bytes);
    }

    pub(crate) fn remove_block(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.blocks.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn change_block(&self, old: usize, new: usize) {
        self.bytes.fetch_add(new.wrapping_sub(old), Ordering::Relaxed); // wraps back when the block has become smaller
    }
}

/// What the allocator takes for `bytes`: it has four sizes for each doubling (jemalloc), none of which is below 16.
pub(crate) const fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    let step = bytes.next_power_of_two() / 8;
    bytes.next_multiple_of(if step < 16 { 16 } else { step })
}

/// The largest size of the allocator that `bytes` fill; `bytes` are at least 128.
pub(crate) const fn allocated_within(bytes: usize) -> usize {
    let step = (bytes + 1).next_power_of_two() / 8;
    bytes - bytes % step
}

/// Bytes that a place takes beside `fixed` ones of its own.
pub(crate) const fn place_bytes(fixed: usize) -> usize {
    // a first key of some 24 bytes behind its reference count
    fixed + CELL_OVERHEAD_BYTES + 48
}

/// When a block came into memory or was touched last, and how hot it is: 0 to 3.
///
/// Touches within one tick count as one, and within the tick in which the block came as none: the command that loaded it, and what belongs
/// to it. So a block that was needed once goes before one that is needed again and again, however many blocks pass through. (2Q's
/// correlated reference period, Johnson and Shasha, VLDB 1994; a clock hand with a small counter, as in S3-FIFO, Yang et al., SOSP 2023.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark(u32);

/// Where the heat lies in the bits of a mark; below it, the tick.
const HEAT_SHIFT: u32 = 30;
const HEAT_MAX: u32 = 3;
const TICK_MASK: u32 = (1 << HEAT_SHIFT) - 1;

impl Mark {
    fn new(heat: u32, tick: u32) -> Self {
        Self(heat << HEAT_SHIFT | tick & TICK_MASK)
    }

    pub(crate) fn born(tick: u32) -> Self {
        Self::new(0, tick)
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    fn heat(self) -> u32 {
        self.0 >> HEAT_SHIFT
    }

    /// The mark behind a touch at `tick`.
    #[inline]
    pub(crate) fn touched(self, tick: u32) -> Self {
        if self.0 & TICK_MASK == tick & TICK_MASK { self } else { Self::new((self.heat() + 1).min(HEAT_MAX), tick) }
    }

    /// The mark behind the hand.
    fn cooled(self) -> Self {
        Self::new(self.heat() - 1, self.0)
    }
}

/// What the hand does with a block that it passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It stays, with this mark.
    Keep(Mark),
    /// It goes.
    Drop,
}

/// Decides on a block with `mark` when the hand passes at `tick`.
pub(crate) fn judge(mark: Mark, tick: u32) -> Verdict {
    if mark.heat() > 0 {
        return Verdict::Keep(mark.cooled());
    }
    // two ticks: a block that came at the end of one would else have no time at all
    let is_young = tick.wrapping_sub(mark.0) & TICK_MASK <= 1;
    if is_young { Verdict::Keep(mark) } else { Verdict::Drop }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_hot_only_when_it_is_touched_after_the_tick_in_which_it_came() {
        let born = Mark::born(7);
        assert_eq!(born.touched(7).touched(7), born, "the command that loaded it");
        assert_eq!(born.touched(8).touched(8), born.touched(8));
        let table = [
            (born, 7, Verdict::Keep(born)),
            (born, 8, Verdict::Keep(born)),
            (born, 9, Verdict::Drop),
            (born.touched(7), 9, Verdict::Drop),
            (born.touched(8), 900, Verdict::Keep(Mark::born(8))),
            (born.touched(8).touched(9), 900, Verdict::Keep(Mark::new(1, 9))),
            (Mark::born(u32::MAX), 0, Verdict::Keep(Mark::born(u32::MAX))),
        ];
        for (mark, tick, expected) in table {
            assert_eq!(judge(mark, tick), expected, "{mark:?} at {tick}");
        }
        let hottest = (8..100).fold(born, Mark::touched);
        assert_eq!(hottest, Mark::new(HEAT_MAX, 99));
    }

    #[test]
    fn an_allocation_counts_as_the_size_that_the_allocator_has_for_it() {
        let table = [
            (0, 0),
            (1, 16),
            (17, 32),
            (64, 64),
            (65, 80),
            (128, 128),
            (129, 160),
            (1024, 1024),
            (1025, 1280),
            (8193, 10240),
            (65537, 81920),
        ];
        for (bytes, expected) in table {
            assert_eq!(allocated(bytes), expected, "{bytes}");
        }
        for (bytes, expected) in [(128, 128), (4095, 3584), (4096, 4096), (5119, 4096), (8191, 7168), (8192, 8192), (10_240, 10_240)] {
            assert_eq!(allocated_within(bytes), expected, "{bytes}");
            assert_eq!(allocated(expected), expected, "it is a size of the allocator");
        }
    }

    #[test]
    fn the_clock_of_touches_moves_with_what_comes_into_memory() {
        let ledger = Ledger::default();
        let start = ledger.tick();
        ledger.came(1 << 30);
        assert_eq!(ledger.tick(), start, "without a budget nothing is dropped, so nothing need be told apart");
        ledger.set_budget(3200);
        let start = ledger.tick();
        (0..10).for_each(|_| ledger.came(50));
        assert!((start + 5..=start + 6).contains(&ledger.tick()));
    }
}
