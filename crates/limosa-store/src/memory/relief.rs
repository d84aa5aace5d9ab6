//! Carries out what `budget` chooses: drops blocks in short steps under the state's lock, spills outside of it.
//!
//! Locks: (flusher or stage of the caller) → hand → (stage, if it is free) → state, and spill alone. Nobody calls with the state's held.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use bytes::Bytes;
use limosa_tree::{Dropped, Fragment, Ledger, SpillBlock};

use super::budget::{self, Choice, MemoryUse};
use super::spill::Spill;
use crate::bulk::BULK_BYTES;
use crate::error::StoreError;
use crate::options::Options;
use crate::stage::Stages;
use crate::state::State;
use crate::store::{Inner, Store};

/// Most leaves that are looked at under one hold of the state's lock: a fraction of a millisecond.
const STEP_LEAVES: usize = 1024;
/// Most bytes of blocks that one hold takes out.
const STEP_BYTES: usize = 2 << 20;
/// Rounds over everything that one call may make: the hottest block cools in three, and is dropped two ticks later.
const ROUNDS_MAX: usize = 6;
/// Of the bound, what a buffer kept for later may take.
const SPARE_SHARE: u64 = 64;
/// Blocks that are brought at once however little memory there is.
const LOADS_MIN: usize = 4;
/// What a pending commit takes beside its record's bytes: the overlay's entry.
const PENDING_RECORD_BYTES: u64 = 128;

/// Keeps one store's blocks within its budget.
pub(crate) struct Relief {
    pub(crate) ledger: Arc<Ledger>,
    max: u64,
    cache_bytes: u64,
    /// What blocks may take, as of the last measurement.
    budget: AtomicUsize,
    /// See [`budget::share_after`].
    share: AtomicU64,
    dirty: AtomicU64,
    wants_checkpoint: AtomicBool,
    hand: Mutex<Hand>,
    spill: Mutex<Spill>,
    dropped_blocks: AtomicU64,
    spilled_bytes: AtomicU64,
}

/// Where the next step begins.
#[derive(Debug, Default)]
struct Hand {
    fragment: usize,
    from: Bytes,
}

/// One step of a hand over fragments.
struct Step {
    dropped: Dropped,
    /// The hand has come back to the first fragment.
    is_round: bool,
}

impl Relief {
    pub(crate) fn new(options: &Options, cache_bytes: usize) -> Result<Self, StoreError> {
        let spill = Spill::new(options.disk.clone(), options.dir.join("spill"))?;
        let relief = Self {
            ledger: Arc::default(),
            max: options.memory_max,
            cache_bytes: cache_bytes as u64,
            budget: AtomicUsize::new(usize::MAX),
            share: AtomicU64::new(budget::SHARE_MIN),
            dirty: AtomicU64::new(0),
            wants_checkpoint: AtomicBool::new(false),
            hand: Mutex::default(),
            spill: Mutex::new(spill),
            dropped_blocks: AtomicU64::new(0),
            spilled_bytes: AtomicU64::new(0),
        };
        relief.set_budget(&MemoryUse { cache: relief.cache_bytes, ..MemoryUse::default() });
        Ok(relief)
    }

    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.wants_checkpoint.load(Ordering::Relaxed)
    }

    /// A checkpoint was made: what was dirty is clean, but for what came meanwhile.
    pub(crate) fn covered(&self) {
        self.wants_checkpoint.store(false, Ordering::Relaxed);
        self.dirty.store(0, Ordering::Relaxed);
    }

    /// The bound, bytes; `u64::MAX`: none.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The largest buffer that may be kept for later, where `most` would be kept if memory were no matter.
    pub(crate) fn spare_max(&self, most: usize) -> usize {
        usize::try_from(self.max / SPARE_SHARE).map_or(most, |max| most.min(max))
    }

    /// Blocks dropped since the start.
    pub(crate) fn dropped_blocks(&self) -> u64 {
        self.dropped_blocks.load(Ordering::Relaxed)
    }

    /// Bytes spilled since the start.
    pub(crate) fn spilled_bytes(&self) -> u64 {
        self.spilled_bytes.load(Ordering::Relaxed)
    }

    /// How many blocks one caller may bring before relief is given: a tick's worth of memory, so that none of them goes before it was used.
    pub(crate) fn loads_at_once(&self) -> usize {
        let block_bytes = self.ledger.bytes() / self.ledger.blocks().max(1);
        (self.budget.load(Ordering::Relaxed) / 32 / block_bytes.max(1)).max(LOADS_MIN)
    }

    /// Whether blocks take more than they may, as far as a glance tells.
    fn is_over(&self) -> bool {
        self.ledger.bytes() > self.budget.load(Ordering::Relaxed)
    }

    pub(crate) fn measure(&self, state: &State) -> MemoryUse {
        let groups = state.groups.iter().chain([&state.group]).map(|group| group.body_bytes() as u64).sum::<u64>();
        let records = state.next_position().0 - 1 - state.horizon.0;
        let now = MemoryUse {
            blocks: self.ledger.bytes() as u64,
            dirty: self.dirty.load(Ordering::Relaxed),
            places: self.ledger.places_bytes() as u64,
            pending: 2 * groups + records * PENDING_RECORD_BYTES,
            ring: state.ring.bytes() as u64,
            cache: self.cache_bytes,
        };
        self.set_budget(&now);
        now
    }

    /// The bound that leaves blocks their share of what there is for them.
    fn max_by_share(&self, now: &MemoryUse) -> u64 {
        let blocks = budget::for_blocks(self.max, now);
        self.max - blocks / budget::SHARE_ALL * (budget::SHARE_ALL - self.share.load(Ordering::Relaxed))
    }

    fn set_budget(&self, now: &MemoryUse) {
        if self.max < u64::MAX {
            let budget = usize::try_from(budget::for_blocks(self.max_by_share(now), now)).unwrap_or(usize::MAX);
            self.budget.store(budget, Ordering::Relaxed);
            self.ledger.set_budget(budget);
        }
    }

    /// Moves `hand` on by one step.
    fn step(&self, hand: &mut Hand, state: &mut State, bytes: usize) -> Step {
        hand.fragment = hand.fragment.min(state.fragments.len() - 1);
        let clean_to = state.covers.clean_to();
        let dropped = state.fragments[hand.fragment].drop_blocks(&hand.from, clean_to, bytes.min(STEP_BYTES), STEP_LEAVES);
        self.dropped_blocks.fetch_add(dropped.blocks() as u64, Ordering::Relaxed);
        let mut is_round = false;
        if let Some(next) = dropped.next.clone() {
            hand.from = next;
        } else {
            hand.from = Bytes::new();
            hand.fragment = (hand.fragment + 1) % state.fragments.len();
            is_round = hand.fragment == 0;
        }
        if is_round {
            self.ledger.age();
        }
        Step { dropped, is_round }
    }

    /// Writes blocks that no checkpoint has into a spill file, and drops them. Answers how many bytes went.
    fn spill(&self, blocks: Vec<SpillBlock>) -> Result<usize, StoreError> {
        let mut spilled = 0;
        for block in blocks {
            let Some(bytes) = block.encode() else { continue };
            let place = self.spill.lock().unwrap_or_else(PoisonError::into_inner).write(&bytes)?;
            self.spilled_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            spilled += block.spilled(place);
        }
        Ok(spilled)
    }

    /// Spills of `fragments`, which belong to a store whose blocks up to `clean_to` (one for each) are in a checkpoint, until `bytes`
    /// went or all was looked at.
    fn spill_of(&self, fragments: &[(Fragment, u64)], bytes: usize) -> Result<usize, StoreError> {
        let mut spilled = 0;
        for (fragment, clean_to) in fragments {
            let mut from = Some(Bytes::new());
            while let (Some(start), true) = (from, spilled < bytes) {
                let (blocks, next) = fragment.spillable(&start, *clean_to, (bytes - spilled).min(STEP_BYTES), STEP_LEAVES);
                spilled += self.spill(blocks)?;
                from = next;
            }
        }
        Ok(spilled)
    }

    /// Whether there is room for all of `state` at once, with as much again for what a replay brings.
    pub(crate) fn holds_all(&self, state: &State) -> bool {
        let live = state.fragments.iter().map(|fragment| fragment.total().live_bytes).sum::<u64>();
        let budget = self.budget.load(Ordering::Relaxed) as u64;
        live < budget / 2 && BULK_BYTES as u64 <= budget / 2
    }

    /// As [`Inner::relieve`], for a start, which has the state and its stage to itself.
    pub(crate) fn alone(&self, state: &mut State, stages: &Stages) -> Result<(), StoreError> {
        if !self.is_over() {
            return Ok(());
        }
        let (mut hand, mut rounds) = (self.hand(), 0);
        while self.is_over() && rounds < ROUNDS_MAX {
            rounds += usize::from(self.step(&mut hand, state, STEP_BYTES).is_round);
        }
        while self.is_over() && rounds < 2 * ROUNDS_MAX {
            self.ledger.age();
            let over = self.ledger.bytes() - self.budget.load(Ordering::Relaxed);
            self.spill_of(&with_covers(state, stages.fragments()), over)?;
            self.spill_of(&with_covers(state, state.fragments.clone()), over)?;
            rounds += 1;
        }
        Ok(())
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `fragments`, each with the generation up to which everyone can read its blocks again.
fn with_covers(state: &mut State, fragments: Vec<Fragment>) -> Vec<(Fragment, u64)> {
    let clean_to = state.covers.clean_to();
    fragments.into_iter().map(|fragment| (fragment, clean_to)).collect()
}

impl Inner {
    /// Brings the blocks in memory back to their budget, if they are beyond it.
    pub(crate) fn relieve(&self) {
        let relief = &self.relief;
        if !relief.is_over() {
            return;
        }
        let mut hand = match relief.hand.try_lock() {
            Ok(hand) => hand,
            // Somebody is at it. Whoever grows on meanwhile waits once it is a 16th too much: the bound stands before speed.
            Err(TryLockError::WouldBlock) if relief.ledger.bytes() / 17 > relief.budget.load(Ordering::Relaxed) / 16 => relief.hand(),
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(hand)) => hand.into_inner(),
        };
        let mut rounds = 0;
        while rounds < ROUNDS_MAX {
            let now = relief.measure(&self.state());
            match budget::choose(relief.max_by_share(&now), &now) {
                Choice::Leave => return,
                Choice::Drop { bytes } => rounds += self.drop_round(&mut hand, bytes),
                Choice::Spill { bytes } => {
                    relief.wants_checkpoint.store(true, Ordering::Relaxed);
                    drop(hand); // writing takes time: those who drop need not wait for it
                    return self.spill(bytes);
                }
            }
        }
    }

    /// Drops until `bytes` went or the hand has come round, and then counts what is dirty anew. Answers how many rounds that were.
    fn drop_round(&self, hand: &mut Hand, bytes: usize) -> usize {
        let baseline = std::mem::take(&mut self.state().baseline); // what only the rollback baseline holds goes first
        drop(baseline);
        let mut dropped = 0;
        while dropped < bytes {
            let step = {
                let mut state = self.state();
                self.relief.step(hand, &mut state, bytes - dropped)
            };
            dropped += step.dropped.bytes;
            drop(step.dropped); // outside the lock: thousands of small allocations
            if step.is_round {
                self.count_dirty();
                return 1;
            }
        }
        0
    }

    /// Spills `bytes`: of open stages first, for no checkpoint will have that before it is installed.
    fn spill(&self, bytes: usize) {
        let staged = match self.stages.try_lock() {
            Ok(stages) => stages.fragments(),
            Err(_) => Vec::new(), // it is at work, and gives relief itself
        };
        let spilled = self.spill_fragments(&staged, bytes).and_then(|spilled| {
            let published = self.state().fragments.clone();
            self.spill_fragments(&published, bytes.saturating_sub(spilled))
        });
        if let Err(error) = spilled {
            tracing::warn!(code = error.code(), "memory is scarce, and blocks could not be spilled: {error}");
        }
        self.count_dirty();
    }

    /// Spills of `fragments` until `bytes` went.
    fn spill_fragments(&self, fragments: &[Fragment], bytes: usize) -> Result<usize, StoreError> {
        if fragments.is_empty() {
            return Ok(0);
        }
        let (fragments, mut spilled) = (with_covers(&mut self.state(), fragments.to_vec()), 0);
        for _ in 0..ROUNDS_MAX {
            spilled += self.relief.spill_of(&fragments, bytes.saturating_sub(spilled))?;
            if spilled >= bytes {
                break;
            }
            self.relief.ledger.age(); // what is left is young or hot
        }
        Ok(spilled)
    }

    /// Relief for whoever holds the stages' lock, whose forks no one else can spill meanwhile.
    pub(crate) fn relieve_stages(&self, stages: &Stages) {
        self.relieve();
        if self.relief.is_over() {
            let over = self.relief.ledger.bytes() - self.relief.budget.load(Ordering::Relaxed);
            if let Err(error) = self.spill_fragments(&stages.fragments(), over) {
                tracing::warn!(code = error.code(), "memory is scarce, and staged blocks could not be spilled: {error}");
            }
        }
    }

    /// Counts what no checkpoint has, fragment by fragment so that commands get their turn, and asks for a checkpoint when it is much.
    fn count_dirty(&self) {
        let mut dirty = 0;
        for index in 0.. {
            let state = self.state();
            let (Some(fragment), Some(since)) = (state.fragments.get(index), state.pasts.get(index)) else { break };
            dirty += fragment.dirty_bytes(since.covered.generation) as u64;
        }
        self.relief.dirty.store(dirty, Ordering::Relaxed);
    }
}

impl Store {
    /// Whether blocks are dropped and read again, so that a flush may wait for the disk.
    pub fn is_paging(&self) -> bool {
        let relief = &self.inner.relief;
        relief.ledger.has_cold() || relief.ledger.bytes() / 3 > relief.budget.load(Ordering::Relaxed) / 4
    }

    /// Tells how much memory the process has, bytes: what the allocator keeps around blocks counts, and only the process can say.
    pub fn note_resident(&self, bytes: u64) {
        let relief = &self.inner.relief;
        if relief.max < u64::MAX {
            // Below their budget blocks say nothing of what the allocator will need around them once they fill it.
            let is_full = relief.ledger.bytes() / 15 >= relief.budget.load(Ordering::Relaxed) / 16;
            let share = budget::share_after(relief.share.load(Ordering::Relaxed), relief.max, bytes, is_full);
            relief.share.store(share, Ordering::Relaxed);
        }
    }

    /// Keeps memory within its bound where no reader or writer has: snapshots that went, commits that were published, a checkpoint that is
    /// due because too much is dirty. To be called now and then.
    pub fn relieve(&self) {
        let relief = &self.inner.relief;
        if relief.max == u64::MAX {
            return;
        }
        self.inner.count_dirty();
        let now = relief.measure(&self.inner.state());
        if budget::wants_checkpoint(relief.max, &now) {
            relief.wants_checkpoint.store(true, Ordering::Relaxed);
        }
        self.inner.relieve();
    }
}
