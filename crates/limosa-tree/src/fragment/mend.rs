//! Gives a damaged block its entries back, as another node has them.
//!
//! A cold block has not changed since its checkpoint, and its summary is in memory: how many live entries it has, their bytes and their
//! digests. Live entries take its place only if they add up to exactly that, so a peer that is ahead, behind or wrong changes nothing.
//!
//! Tombstones are in no digest, so nothing proves them. Those of the peer are taken, and the fragment's floor is raised to the peer's:
//! above its floor a peer holds every tombstone of the history, so none that is needed is missing, and below the floor nobody relies on
//! them (a target that stands there reconciles). A tombstone too many is harmless: a key of which this node knows all commits is either
//! among the live entries, which were proven, or deleted.
//!
//! # Invariants
//! - What readers see of the fragment is what its summaries said before: the live entries are equal.
//! - The leaf still starts with the key that it is filed under. Where the peer has collected that key's tombstone, one is put in its place,
//!   with the newest version that the block can hold.

use bytes::Bytes;
use limosa_core::{Digest, EntryRef, KeyRange, Version};

use super::Fragment;
use crate::block::Block;
use crate::error::MendError;
use crate::summary::Summary;
use crate::tree::{Edit, Key, Leaf, Next, Step};

/// A block that is not in memory: what another node must have to take its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColdBlock {
    /// All keys that can lie in it.
    pub range: KeyRange,
    /// What it held.
    pub summary: Summary,
}

/// What became of a block that was to be mended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mended {
    /// It is in memory, and dirty: the next checkpoint writes it whole.
    Yes,
    /// It is in memory already, or is no more.
    NotNeeded,
}

impl Fragment {
    /// The block that is filed under `first_key`, if there is one and it is not in memory.
    pub fn cold_block(&self, first_key: &[u8]) -> Option<ColdBlock> {
        let (leaf, end) = self.tree.find_with_end(first_key);
        let leaf = leaf.filter(|leaf| *leaf.first_key == *first_key && leaf.if_resident().is_none())?;
        let end = end.map(|end| Bytes::copy_from_slice(end)).or_else(|| self.range.end.clone());
        Some(ColdBlock { range: KeyRange { start: Bytes::copy_from_slice(first_key), end }, summary: leaf.summary })
    }

    /// The summary of every block, in key order; none is loaded.
    pub fn each_block(&self, mut f: impl FnMut(&Summary)) {
        let walked = self.walk(&KeyRange::ALL, |step| {
            if let Step::Leaf(visit) = step {
                f(&visit.leaf.summary);
            }
            Ok(Next::Enter)
        });
        walked.expect("no block is loaded");
    }

    /// Puts `entries`, in key order, tombstones included, in the place of the cold block filed under `first_key`. `floor` is the floor of
    /// the node that they come from.
    ///
    /// # Errors
    /// They are not what the block's summary speaks of.
    pub fn mend<'a>(
        &mut self,
        first_key: &[u8],
        entries: impl IntoIterator<Item = EntryRef<'a>>,
        floor: Version,
    ) -> Result<Mended, MendError> {
        let Some(cold) = self.cold_block(first_key) else { return Ok(Mended::NotNeeded) };
        let (block, mut summary) = self.rebuild(&cold, entries)?;
        self.generation += 1;
        self.raise_floor(floor);
        summary.raise(cold.summary.max_version()); // the bound never falls
        summary.modified = self.generation;
        let key = Key::from(first_key);
        if summary.entries() == 0 {
            // Only tombstones were here, and the peer has collected all of them.
            std::sync::Arc::make_mut(&mut self.removed).insert(key.clone(), self.generation);
            self.tree.edit(vec![Edit { key, leaf: None }]);
        } else if summary.same_entries(&cold.summary) {
            // Into the shared place too: snapshots and forks of this fragment have the same block.
            self.tree.find(first_key).expect("found above").fill(block);
            // Made anew: the checkpoint writes the whole block, not what changed in the damaged one.
            self.tree.update(first_key, |leaf| (leaf.summary.modified, leaf.remade) = (summary.modified, summary.modified));
        } else {
            self.tree.edit(vec![Edit { leaf: Some(Leaf::resident(key.clone(), summary, block, &self.source.ledger)), key }]);
        }
        Ok(Mended::Yes)
    }

    /// The block that `entries` make, and its sums, if its live entries are those of `cold`.
    fn rebuild<'a>(&self, cold: &ColdBlock, entries: impl IntoIterator<Item = EntryRef<'a>>) -> Result<(Block, Summary), MendError> {
        let (keys, first_key) = (&self.source.keys, &cold.range.start);
        let bound = cold.summary.max_version();
        let mut block = Block::default();
        let mut last: Option<Vec<u8>> = None;
        for entry in entries {
            if !cold.range.contains(entry.key) || last.as_ref().is_some_and(|last| &last[..] >= entry.key) {
                let key = Bytes::copy_from_slice(entry.key);
                return Err(MendError::Misplaced { fragment: self.id(), first_key: first_key.clone(), key });
            }
            last = Some(entry.key.to_vec());
            self.refill_first(&mut block, cold, Some(&entry));
            let starts_another = entry.key != &first_key[..] && keys.starts_block(entry.key);
            if entry.live.is_none() && (entry.version > bound || starts_another) {
                continue; // of commits that this node does not have, or of a block that it has collected
            }
            block.push(&entry, entry.live.map_or(Digest::ZERO, |live| keys.content(entry.key, live)));
        }
        self.refill_first(&mut block, cold, None);
        let mut sum = block.counts_of(0, block.len());
        sum.state = block.state_of(0, block.len(), keys);
        let live = |sum: &Summary| (sum.live, sum.top_level, sum.live_bytes, sum.content, sum.state, sum.min_expiry);
        if live(&sum) != live(&cold.summary) || sum.max_version() > bound {
            let (expected, got) = (cold.summary.state, sum.state);
            return Err(MendError::Differs { fragment: self.id(), first_key: first_key.clone(), expected, got });
        }
        Ok((block.finish(), sum))
    }

    /// Puts a tombstone at the key that the leaf is filed under, if that starts a block and `next`, the first entry, is another key.
    fn refill_first(&self, block: &mut Block, cold: &ColdBlock, next: Option<&EntryRef<'_>>) {
        let first_key = &cold.range.start[..];
        let is_lacking = block.len() == 0 && next.is_none_or(|next| next.key != first_key);
        if is_lacking && self.source.keys.starts_block(first_key) {
            block.push(&EntryRef { key: first_key, version: cold.summary.max_version(), live: None }, Digest::ZERO);
        }
    }
}
