//! A leaf: what a block is filed under, its summary, and the block itself or the means to load it.

use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{FragmentId, SpaceKeys};

use crate::block::{Block, BlockName};
use crate::error::TreeError;
use crate::fragment::{BlockLoader, StoredBlock};
use crate::memory::Ledger;
use crate::summary::Summary;

use super::cell::{BlockMut, BlockRef, Cell};
use super::{Labelled, Shelves};

/// What a block is filed under: its first key, or the start of the fragment's range.
pub(crate) type Key = Arc<[u8]>;

/// Where cold blocks come from, how they are verified, and who counts them.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) fragment: FragmentId,
    pub(crate) shelves: Arc<Shelves>,
    pub(crate) keys: Arc<SpaceKeys>,
    pub(crate) loader: Option<Arc<dyn BlockLoader>>,
    pub(crate) ledger: Arc<Ledger>,
}

/// One block of the tree.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) first_key: Key,
    pub(crate) summary: Summary,
    /// The generation in which the block was last made anew: after it, it changed only by writes of single entries, in place, each with a
    /// version of its own. A checkpoint that covers it can be told of the changes alone.
    pub(crate) remade: u64,
    /// Clones share the cell, so that what one of them loads serves all, also after one of them has moved on.
    cell: Arc<Cell>,
}

/// What a leaf takes in memory when its block is cold.
pub(crate) const PLACE_BYTES: usize = crate::memory::place_bytes(size_of::<Leaf>() + size_of::<Cell>());

impl Labelled for Leaf {
    fn first_key(&self) -> &Key {
        &self.first_key
    }
    fn summary(&self) -> &Summary {
        &self.summary
    }
}

impl Leaf {
    /// A leaf whose block is in memory.
    pub(crate) fn resident(first_key: Key, summary: Summary, block: Block, ledger: &Arc<Ledger>) -> Self {
        Self { first_key, summary, remade: summary.modified, cell: Arc::new(Cell::full(block, ledger)) }
    }

    /// A leaf whose block is loaded when it is needed.
    pub(crate) fn cold(first_key: Key, summary: Summary, ledger: &Arc<Ledger>) -> Self {
        Self { first_key, summary, remade: 0, cell: Arc::new(Cell::empty(ledger)) }
    }

    /// The block, if it is in memory.
    #[inline]
    pub(crate) fn if_resident(&self) -> Option<BlockRef<'_>> {
        self.cell.read()
    }

    /// The block's place in memory.
    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// The block, read in passing: loaded and verified if it was cold, and left in memory only when there is room enough.
    pub(crate) fn block(&self, source: &Source) -> Result<BlockRef<'_>, TreeError> {
        if let Some(block) = self.cell.read() {
            return Ok(block);
        }
        let block = self.load(source)?;
        if source.ledger.is_scarce() { Ok(BlockRef::Passing(Box::new(block))) } else { Ok(self.cell.fill(block)) }
    }

    /// The block, loaded into its place if it was cold, for somebody who will want it there.
    pub(crate) fn hold(&self, source: &Source) -> Result<BlockRef<'_>, TreeError> {
        match self.cell.read() {
            Some(block) => Ok(block),
            None => Ok(self.cell.fill(self.load(source)?)),
        }
    }

    /// The block for changing, and the summary to be kept in step: copied first if a snapshot shares it.
    pub(crate) fn block_mut(&mut self, source: &Source) -> Result<(&mut Summary, BlockMut<'_>), TreeError> {
        loop {
            self.hold(source)?;
            if Arc::make_mut(&mut self.cell).get_mut().is_some() {
                break; // else it was spilled and dropped in between: now the cell is this leaf's alone
            }
        }
        let Self { summary, cell, .. } = self;
        let block = Arc::get_mut(cell).and_then(Cell::get_mut).expect("alone and full, as seen above");
        Ok((summary, block))
    }

    /// Gives the block's place up, to those who share it; false when it was cold.
    pub(crate) fn make_cold(&mut self) -> bool {
        let was_resident = self.cell.read().is_some();
        if was_resident {
            self.cell = self.cell.emptied();
        }
        was_resident
    }

    /// Gives a cold block's place, in all clones, the block that its summary speaks of.
    pub(crate) fn fill(&self, block: Block) {
        drop(self.cell.fill(block)); // filled meanwhile: by a block as good
    }

    /// Loads and verifies the block; tells the loader when what it gave is damaged.
    fn load(&self, source: &Source) -> Result<Block, TreeError> {
        self.read(source).inspect_err(|error| {
            if let Some(loader) = source.loader.as_ref().filter(|_| self.cell.spilled().is_none() && error.is_damage()) {
                loader.damaged(source.fragment, &self.first_key, error);
            }
        })
    }

    fn read(&self, source: &Source) -> Result<Block, TreeError> {
        let (fragment, filed) = (source.fragment, source.shelves.of(&self.first_key));
        let first_key = || Bytes::copy_from_slice(&self.first_key);
        let stored = match (self.cell.spilled(), &source.loader) {
            (Some(spilled), _) => {
                let whole = spilled.read();
                whole.map(|whole| StoredBlock { summary: self.summary, whole, patches: Vec::new() })
            }
            (None, Some(loader)) => loader.load(filed, &self.first_key),
            (None, None) => unreachable!("a fragment with cold blocks was opened with a loader"),
        };
        let stored = stored.map_err(|source| TreeError::Load { fragment, first_key: first_key(), source })?;
        let mismatch = || TreeError::Mismatch { fragment, first_key: first_key() };
        if !self.is_summarised_by(&stored.summary) {
            return Err(mismatch());
        }
        let name = BlockName { fragment: filed, first_key: &self.first_key };
        let (block, is_sealed) =
            Block::decode(&stored, &source.keys, name).map_err(|source| TreeError::Corrupt { fragment, first_key: first_key(), source })?;
        let mut sum = block.counts_of(0, block.len());
        // The seal covers versions and digests as they were summed up; without one each is computed again.
        sum.state = if is_sealed { stored.summary.state } else { block.state_of(0, block.len(), &source.keys) };
        if self.is_summarised_by(&sum) { Ok(block) } else { Err(mismatch()) }
    }

    fn is_summarised_by(&self, sum: &Summary) -> bool {
        sum.same_entries(&self.summary) && sum.max_version() <= self.summary.max_version()
    }
}
