//! A leaf: what a block is filed under, its summary, and the block itself or the means to load it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use limosa_core::{FragmentId, SpaceKeys};

use crate::block::{Block, BlockName};
use crate::error::TreeError;
use crate::fragment::BlockLoader;
use crate::summary::Summary;

use super::Labelled;

/// What a block is filed under: its first key, or the start of the fragment's range.
pub(crate) type Key = Arc<[u8]>;

/// Where cold blocks come from, and how they are verified.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) fragment: FragmentId,
    pub(crate) keys: Arc<SpaceKeys>,
    pub(crate) loader: Option<Arc<dyn BlockLoader>>,
}

/// One block of the tree.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) first_key: Key,
    pub(crate) summary: Summary,
    /// The generation in which the block was last made anew: after it, it changed only by writes of single entries, in place, each with a
    /// version of its own. A checkpoint that covers it can be told of the changes alone.
    pub(crate) remade: u64,
    /// Empty: the block is cold. Clones share the cell, so that what one of them loads serves all, also after one of them has moved on.
    block: Arc<OnceLock<Block>>,
}

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
    pub(crate) fn resident(first_key: Key, summary: Summary, block: Block) -> Self {
        Self { first_key, summary, remade: summary.modified, block: Arc::new(OnceLock::from(block)) }
    }

    /// A leaf whose block is loaded when it is needed.
    pub(crate) fn cold(first_key: Key, summary: Summary) -> Self {
        Self { first_key, summary, remade: 0, block: Arc::default() }
    }

    /// The block, if it is in memory.
    pub(crate) fn if_resident(&self) -> Option<&Block> {
        self.block.get()
    }

    /// Holds on to the block's place in memory.
    pub(crate) fn cell(&self) -> Arc<OnceLock<Block>> {
        self.block.clone()
    }

    /// The block, loaded and verified if it was cold.
    pub(crate) fn block(&self, source: &Source) -> Result<&Block, TreeError> {
        if let Some(block) = self.block.get() {
            return Ok(block);
        }
        let loader = source.loader.as_ref().expect("a fragment with cold blocks was opened with a loader");
        let block = self.load(source, &**loader).inspect_err(|error| {
            if error.is_damage() {
                loader.damaged(source.fragment, &self.first_key, error);
            }
        })?;
        Ok(self.block.get_or_init(|| block)) // another reader may have been faster: its block is as good
    }

    /// The block for changing, and the summary to be kept in step: copied first if a snapshot shares it.
    pub(crate) fn block_mut(&mut self, source: &Source) -> Result<(&mut Summary, &mut Block), TreeError> {
        self.block(source)?; // into the shared cell: a snapshot may have to read it after the checkpoint moved on
        let block = Arc::make_mut(&mut self.block).get_mut().expect("loaded above");
        Ok((&mut self.summary, block))
    }

    /// Drops the block from memory; it must be in the checkpoint. False when it was cold.
    pub(crate) fn make_cold(&mut self) -> bool {
        let was_resident = self.block.get().is_some();
        if was_resident {
            self.block = Arc::default(); // snapshots keep the old cell
        }
        was_resident
    }

    /// Gives a cold block's place, in all clones, the block that its summary speaks of.
    pub(crate) fn fill(&self, block: Block) {
        let _ = self.block.set(block); // filled meanwhile: by a block as good
    }

    fn load(&self, source: &Source, loader: &dyn BlockLoader) -> Result<Block, TreeError> {
        let fragment = source.fragment;
        let first_key = || Bytes::copy_from_slice(&self.first_key);
        let stored =
            loader.load(fragment, &self.first_key).map_err(|source| TreeError::Load { fragment, first_key: first_key(), source })?;
        let mismatch = || TreeError::Mismatch { fragment, first_key: first_key() };
        if !self.is_summarised_by(&stored.summary) {
            return Err(mismatch());
        }
        let name = BlockName { fragment, first_key: &self.first_key };
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
