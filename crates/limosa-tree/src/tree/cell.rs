//! A block's place in memory: shared by clones of its leaf, emptied when memory is wanted elsewhere, filled again when the block is read.
//!
//! # Invariants
//! - One cell stands for one content: a change while others hold the cell goes into a copy. So whoever finds the cell empty may fill it
//!   for all, and emptying it changes no answer.
//! - A cell is emptied only when its block can be had again: from the checkpoint of every holder, or from where it was spilled.
//! - Nobody waits in line for a cell's lock to write: readers may hold several places, and would wait behind each other.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::block::Block;
use crate::fragment::SpilledBlock;
use crate::memory::{Ledger, Mark, Verdict, judge};

/// See the module.
pub(crate) struct Cell {
    place: RwLock<Option<Block>>,
    /// What the ledger counts for the block.
    bytes: AtomicUsize,
    mark: AtomicU32,
    /// Where the block lies beside any checkpoint, once it was spilled.
    spilled: OnceLock<Arc<dyn SpilledBlock>>,
    ledger: Arc<Ledger>,
}

impl Cell {
    pub(crate) fn empty(ledger: &Arc<Ledger>) -> Self {
        ledger.add_cell();
        Self {
            place: RwLock::new(None),
            bytes: AtomicUsize::new(0),
            mark: AtomicU32::new(Mark::born(ledger.tick()).bits()),
            spilled: OnceLock::new(),
            ledger: ledger.clone(),
        }
    }

    pub(crate) fn full(block: Block, ledger: &Arc<Ledger>) -> Self {
        let mut cell = Self::empty(ledger);
        let bytes = block.footprint();
        ledger.add_block(bytes);
        *cell.bytes.get_mut() = bytes;
        *cell.place.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(block);
        cell
    }

    /// Another cell for the same content, without the block.
    pub(crate) fn emptied(&self) -> Arc<Self> {
        let cell = Self::empty(&self.ledger);
        if let Some(spilled) = self.spilled.get() {
            cell.set_spilled(spilled.clone());
        }
        Arc::new(cell)
    }

    /// The block, if it is here.
    #[inline]
    pub(crate) fn read(&self) -> Option<BlockRef<'_>> {
        let place = self.place.read().unwrap_or_else(PoisonError::into_inner);
        place.is_some().then_some(BlockRef::Here(place))
    }

    /// Puts the block that was loaded here, unless another reader was faster: its block is as good.
    pub(crate) fn fill(&self, block: Block) -> BlockRef<'_> {
        loop {
            if let Ok(mut place) = self.place.try_write() {
                if place.is_none() {
                    self.count_in(&block);
                    *place = Some(block);
                }
                return BlockRef::Here(RwLockWriteGuard::downgrade(place));
            }
            if let Some(found) = self.read() {
                return found;
            }
            std::thread::yield_now(); // somebody looks whether the block is here: not for long
        }
    }

    fn count_in(&self, block: &Block) {
        let bytes = block.footprint();
        self.ledger.add_block(bytes);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.mark.store(Mark::born(self.ledger.tick()).bits(), Ordering::Relaxed);
    }

    /// Takes the block out of memory; `None` when it is not here, or somebody reads it.
    pub(crate) fn take(&self) -> Option<Block> {
        let block = self.place.try_write().ok()?.take()?;
        self.ledger.remove_block(self.bytes.swap(0, Ordering::Relaxed));
        Some(block)
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes that a command read or wrote here.
    #[inline]
    pub(crate) fn touch(&self) {
        let mark = Mark::from_bits(self.mark.load(Ordering::Relaxed));
        let touched = mark.touched(self.ledger.tick());
        if touched != mark {
            self.mark.store(touched.bits(), Ordering::Relaxed); // one that gets lost is one touch
        }
    }

    /// What the hand, which passes now, does with the block.
    pub(crate) fn judge(&self) -> Verdict {
        let tick = self.ledger.tick();
        let verdict = judge(Mark::from_bits(self.mark.load(Ordering::Relaxed)), tick);
        if let Verdict::Keep(mark) = verdict {
            self.mark.store(mark.bits(), Ordering::Relaxed);
        }
        verdict
    }

    /// Where the block was spilled to.
    pub(crate) fn spilled(&self) -> Option<&Arc<dyn SpilledBlock>> {
        self.spilled.get()
    }

    /// Notes where the block was spilled to: from now on it may go from memory.
    pub(crate) fn set_spilled(&self, to: Arc<dyn SpilledBlock>) {
        let _ = self.spilled.set(to); // spilled before: the content is the same
    }

    /// The block for changing; `None` when it is not here.
    pub(crate) fn get_mut(&mut self) -> Option<BlockMut<'_>> {
        let Self { place, bytes, spilled, ledger, .. } = self;
        let block = place.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()?;
        *spilled = OnceLock::new(); // what was spilled is another content from now on
        Some(BlockMut { block, bytes: bytes.get_mut(), ledger })
    }
}

impl Clone for Cell {
    /// A cell of its own, for a change.
    fn clone(&self) -> Self {
        let cell = match self.read() {
            Some(block) => Self::full(block.clone(), &self.ledger),
            None => Self::empty(&self.ledger),
        };
        cell.mark.store(self.mark.load(Ordering::Relaxed), Ordering::Relaxed);
        if let Some(spilled) = self.spilled.get() {
            cell.set_spilled(spilled.clone());
        }
        cell
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if self.place.get_mut().unwrap_or_else(PoisonError::into_inner).is_some() {
            self.ledger.remove_block(*self.bytes.get_mut());
        }
        self.ledger.remove_cell();
    }
}

/// A block that stays while this lives.
pub(crate) enum BlockRef<'a> {
    /// In its cell.
    Here(RwLockReadGuard<'a, Option<Block>>),
    /// Read in passing, and gone behind it.
    Passing(Box<Block>),
}

impl Deref for BlockRef<'_> {
    type Target = Block;

    #[inline]
    fn deref(&self) -> &Block {
        match self {
            Self::Here(place) => place.as_ref().expect("looked at when the guard was made, and nobody empties it meanwhile"),
            Self::Passing(block) => block,
        }
    }
}

/// A block that is being changed; counted again behind the change.
pub(crate) struct BlockMut<'a> {
    block: &'a mut Block,
    bytes: &'a mut usize,
    ledger: &'a Ledger,
}

impl Deref for BlockMut<'_> {
    type Target = Block;

    fn deref(&self) -> &Block {
        self.block
    }
}

impl DerefMut for BlockMut<'_> {
    fn deref_mut(&mut self) -> &mut Block {
        self.block
    }
}

impl Drop for BlockMut<'_> {
    fn drop(&mut self) {
        let bytes = self.block.footprint();
        if bytes != *self.bytes {
            self.ledger.change_block(*self.bytes, bytes);
            *self.bytes = bytes;
        }
    }
}
