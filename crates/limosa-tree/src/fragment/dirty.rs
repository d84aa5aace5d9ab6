//! What a checkpoint must write: blocks that changed since its last generation, and names of blocks that are no more.

use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{KeyRange, Version};

use super::Fragment;
use crate::block::BlockName;
use crate::error::TreeError;
use crate::summary::Summary;
use crate::tree::{BlockRef, Key, Leaf, Next, Source, Step};

/// A block that changed, ready to be written. Holds on to the block, not to the fragment.
pub struct DirtyBlock {
    /// What the block is filed under.
    pub first_key: Bytes,
    /// Its summary.
    pub summary: Summary,
    is_remade: bool,
    leaf: Leaf,
    source: Arc<Source>,
}

/// Blocks that are no more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Removed {
    /// Every block that is filed under a key of these, in the order in which they went.
    pub ranges: Vec<KeyRange>,
    /// Single blocks, by what they were filed under, in key order.
    pub names: Vec<Bytes>,
}

impl DirtyBlock {
    /// The whole block's bytes for the checkpoint.
    ///
    /// # Errors
    /// It was spilled, and can't be read; so with the others.
    pub fn whole(&self) -> Result<Vec<u8>, TreeError> {
        Ok(self.block()?.encode(&self.source.keys, self.name()))
    }

    /// The bytes of what changed since the checkpoint that [`Fragment::dirty_since`] was asked about, which holds the block; `None` when
    /// they would not tell all: entries left the block or came from another one.
    ///
    /// `head` is the fragment's head in that checkpoint, and every commit since continues that history: then an entry is newer than
    /// `head` exactly if it changed.
    pub fn patch(&self, head: Version) -> Result<Option<Vec<u8>>, TreeError> {
        if self.is_remade {
            return Ok(None);
        }
        Ok(self.block()?.encode_patch(&self.source.keys, self.name(), head))
    }

    /// Whether entries left the block or came from another one since: there is no patch then.
    pub fn is_remade(&self) -> bool {
        self.is_remade
    }

    /// Key and value bytes of what changed since `head`: about as long as [`DirtyBlock::patch`].
    pub fn changed_bytes(&self, head: Version) -> Result<u64, TreeError> {
        let block = self.block()?;
        let changed = (0..block.len()).filter(|&i| block.version(i) > head);
        Ok(changed.map(|i| block.entry(i).payload_bytes() as u64).sum())
    }

    /// The block: in memory, unless it was spilled.
    fn block(&self) -> Result<BlockRef<'_>, TreeError> {
        self.leaf.block(&self.source)
    }

    fn name(&self) -> BlockName<'_> {
        BlockName { fragment: self.source.shelves.of(&self.first_key), first_key: &self.first_key }
    }
}

impl Fragment {
    /// Counts this fragment's changes on this node: a checkpoint remembers the generation that it covers.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Raises the generation to at least `generation`, so that what is written from now on is newer than a checkpoint of another fork.
    pub fn raise_generation(&mut self, generation: u64) {
        self.generation = self.generation.max(generation);
    }

    /// Blocks that changed after `generation`, in key order.
    pub fn dirty_since(&self, generation: u64) -> impl Iterator<Item = DirtyBlock> + use<> {
        let mut out = Vec::new();
        let walked = self.walk(&KeyRange::ALL, |step| {
            match step {
                Step::Subtree { summary, .. } if summary.modified <= generation => return Ok(Next::Skip),
                Step::Leaf(visit) if visit.leaf.summary.modified > generation => {
                    let first_key = Bytes::copy_from_slice(&visit.leaf.first_key);
                    let (summary, leaf, source) = (visit.leaf.summary, visit.leaf.clone(), self.source.clone());
                    out.push(DirtyBlock { first_key, summary, is_remade: visit.leaf.remade > generation, leaf, source });
                }
                Step::Subtree { .. } | Step::Leaf(_) => {}
            }
            Ok(Next::Enter)
        });
        walked.expect("no block is loaded");
        out.into_iter()
    }

    /// What blocks were filed under that are no more, since [`Fragment::forget_removed`]. A checkpoint that covers `generation` forgets the
    /// ranges first, then the names, then writes what is dirty: a block that was filed anew under an old name is among those.
    pub fn removed(&self, generation: u64) -> Removed {
        let is_gone = |key: &Key| self.tree.find(key).is_none_or(|leaf| leaf.first_key != *key);
        let names = self.removed.keys().filter(|key| is_gone(key)).map(|key| Bytes::copy_from_slice(key)).collect();
        // a range that the checkpoint covers may hold blocks again that it has and that are not dirty
        let ranges = self.cleared.iter().filter(|(_, at)| *at > generation).map(|(range, _)| range.clone()).collect();
        Removed { ranges, names }
    }

    /// Forgets removals up to `generation`: a checkpoint covers them.
    pub fn forget_removed(&mut self, generation: u64) {
        if self.removed.values().any(|at| *at <= generation) {
            Arc::make_mut(&mut self.removed).retain(|_, at| *at > generation);
        }
        if self.cleared.iter().any(|(_, at)| *at <= generation) {
            Arc::make_mut(&mut self.cleared).retain(|(_, at)| *at > generation);
        }
    }

    /// Drops from memory the blocks that did not change after `checkpointed`, a generation that a checkpoint covers; they are read again
    /// when they are needed. Returns how many. A fragment that was never opened from a checkpoint keeps all.
    pub fn make_cold(&mut self, checkpointed: u64) -> u64 {
        if self.source.loader.is_none() {
            return 0;
        }
        self.tree.make_cold(checkpointed)
    }

    /// From now on cold blocks of this fragment come from `loader`, which reads the checkpoint that was just written. Clones made before
    /// go on with the loader that they have: one that must keep reading the state that they were made of.
    pub fn set_loader(&mut self, loader: Arc<dyn super::BlockLoader>) {
        Arc::make_mut(&mut self.source).loader = Some(loader);
    }
}
