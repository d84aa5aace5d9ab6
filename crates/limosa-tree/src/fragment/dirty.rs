//! What a checkpoint must write: blocks that changed since its last generation, and names of blocks that are no more.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use limosa_core::KeyRange;

use super::Fragment;
use crate::block::{Block, BlockName};
use crate::summary::Summary;
use crate::tree::{Key, Next, Source, Step};

/// A block that changed, ready to be written. Holds on to the block, not to the fragment.
pub struct DirtyBlock {
    /// What the block is filed under.
    pub first_key: Bytes,
    /// Its summary.
    pub summary: Summary,
    cell: Arc<OnceLock<Block>>,
    source: Arc<Source>,
}

impl DirtyBlock {
    /// The block's bytes for the checkpoint.
    pub fn encode(&self) -> Vec<u8> {
        let block = self.cell.get().expect("a block that changed stays in memory until it is written");
        block.encode(&self.source.keys, BlockName { fragment: self.source.fragment, first_key: &self.first_key })
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
                    out.push(DirtyBlock { first_key, summary: visit.leaf.summary, cell: visit.leaf.cell(), source: self.source.clone() });
                }
                Step::Subtree { .. } | Step::Leaf(_) => {}
            }
            Ok(Next::Enter)
        });
        walked.expect("no block is loaded");
        out.into_iter()
    }

    /// What blocks were filed under that are no more, since [`Fragment::forget_removed`]; in key order.
    pub fn removed(&self) -> Vec<Bytes> {
        let is_gone = |key: &Key| self.tree.find(key).is_none_or(|leaf| leaf.first_key != *key);
        self.removed.keys().filter(|key| is_gone(key)).map(|key| Bytes::copy_from_slice(key)).collect()
    }

    /// Forgets removals up to `generation`: a checkpoint covers them.
    pub fn forget_removed(&mut self, generation: u64) {
        if self.removed.values().any(|at| *at <= generation) {
            Arc::make_mut(&mut self.removed).retain(|_, at| *at > generation);
        }
    }

    /// [`Fragment::removed`] and [`Fragment::forget_removed`] at once, for a caller that cannot fail in between.
    pub fn take_removed(&mut self) -> Vec<Bytes> {
        let removed = self.removed();
        self.forget_removed(self.generation);
        removed
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
