//! Which blocks are in memory: reads that do not wait for the disk, blocks to load, to drop and to spill.
//!
//! A command looks with [`Fragment::peek`] while it holds its store's lock; what is cold it loads with [`Unloaded::load`] outside, into
//! the place that the fragment and all of its clones share, and looks again.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{EntryRef, KeyRange, Part};

use super::Fragment;
use crate::block::{Block, BlockName};
use crate::error::{LoadError, TreeError};
use crate::memory::Ledger;
use crate::tree::{BlockRef, Leaf, Next, Pass, Source, Step};

/// Most blocks that a scan asks for at once when it meets one that is cold.
const AHEAD_MAX: usize = 16;

/// An entry that was found; its block stays in memory while this lives.
pub struct Entry<'a> {
    block: BlockRef<'a>,
    index: usize,
}

impl<'a> Entry<'a> {
    pub(super) fn new(block: BlockRef<'a>, index: usize) -> Self {
        Self { block, index }
    }

    /// The entry.
    #[inline]
    pub fn as_ref(&self) -> EntryRef<'_> {
        self.block.entry(self.index)
    }
}

impl std::fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// What is known of a key without the disk.
pub enum Peek<'a> {
    /// The entry, or that there is none.
    Known(Option<Entry<'a>>),
    /// Its block must be loaded first.
    Cold(Unloaded),
}

/// A block that is not in memory, and the means to bring it there. Holds on to the block's place, not to the fragment.
pub struct Unloaded {
    leaf: Box<Leaf>,
    source: Arc<Source>,
}

impl Unloaded {
    /// Loads and verifies the block; nothing happens when somebody else has.
    ///
    /// # Errors
    /// The block can't be had.
    pub fn load(&self) -> Result<(), TreeError> {
        self.leaf.hold(&self.source).map(drop)
    }
}

/// Blocks that were taken out of memory. Dropping this gives the memory back: thousands of small allocations, not to be done under a lock.
#[derive(Debug, Default)]
pub struct Dropped {
    blocks: Vec<Block>,
    /// Bytes that dropping this gives back.
    pub bytes: usize,
    /// Leaves looked at.
    pub leaves: usize,
    /// Where the next pass starts; `None`: the fragment's end was reached.
    pub next: Option<Bytes>,
}

impl Dropped {
    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }
}

/// Where a block lies that was spilled: beside any checkpoint, for this process only.
pub trait SpilledBlock: Send + Sync {
    /// The block's bytes, as [`SpillBlock::encode`] gave them.
    fn read(&self) -> Result<Vec<u8>, LoadError>;
}

/// A block to be spilled: one that no checkpoint has.
pub struct SpillBlock {
    leaf: Leaf,
    source: Arc<Source>,
}

impl SpillBlock {
    /// The block's bytes; `None` when another spilled and dropped it meanwhile.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let name = BlockName { fragment: self.source.shelves.of(&self.leaf.first_key), first_key: &self.leaf.first_key };
        self.leaf.if_resident().map(|block| block.encode(&self.source.keys, name))
    }

    /// Notes where the bytes lie, and takes the block out of memory. Answers how many bytes went: none when somebody reads it just now.
    pub fn spilled(self, to: Arc<dyn SpilledBlock>) -> usize {
        let bytes = self.leaf.cell().bytes();
        self.leaf.cell().set_spilled(to);
        self.leaf.cell().take().map_or(0, |_| bytes)
    }
}

impl Fragment {
    /// Counts this fragment's blocks in `ledger`.
    ///
    /// # Panics
    /// If there are blocks already: they are counted elsewhere.
    #[must_use]
    pub fn counted_by(mut self, ledger: &Arc<Ledger>) -> Self {
        assert_eq!(self.tree.summary().entries(), 0, "an empty fragment");
        Arc::make_mut(&mut self.source).ledger = ledger.clone();
        self
    }

    /// The entry at `key`, tombstones included, if that can be said without the disk. A block that is looked into counts as touched.
    #[inline]
    pub fn peek(&self, key: &[u8]) -> Peek<'_> {
        let Some(leaf) = self.tree.find(key) else { return Peek::Known(None) };
        let Some(block) = leaf.if_resident() else { return Peek::Cold(self.cold(leaf)) };
        leaf.cell().touch();
        Peek::Known(block.find(key).map(|index| Entry::new(block, index)))
    }

    /// [`Fragment::scan`] as far as blocks are in memory; else the cold ones that come next, touched by nobody.
    pub fn scan_resident(
        &self,
        range: &KeyRange,
        mut f: impl FnMut(EntryRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Vec<Unloaded>> {
        let (mut flow, mut cold) = (ControlFlow::Continue(()), Vec::new());
        let walked = self.walk(range, |step| {
            let Step::Leaf(visit) = step else { return Ok(Next::Enter) };
            let block = visit.leaf.if_resident();
            match block {
                Some(block) if cold.is_empty() => {
                    let (from, to) = visit.entries(&block, range);
                    flow = (from..to).try_for_each(|i| f(block.entry(i)));
                }
                Some(_) => {}
                None => cold.push(self.cold(visit.leaf)),
            }
            Ok(if flow.is_break() || cold.len() >= AHEAD_MAX { Next::Stop } else { Next::Enter })
        });
        walked.expect("no block is loaded");
        if cold.is_empty() { Ok(flow) } else { Err(cold) }
    }

    /// The cold blocks that [`Fragment::apply_part`] would have to load for `part`.
    pub fn cold_of(&self, part: &Part<'_>) -> Vec<Unloaded> {
        let edges = part.range_deletes.iter().flat_map(|delete| [Some(&delete.range.start), delete.range.end.as_ref()]).flatten();
        let before = edges.clone().filter_map(|edge| self.tree.find_before(edge));
        let at = part.entries.iter().map(|entry| entry.key).chain(edges.map(|edge| &edge[..]));
        let leaves = at.filter_map(|key| self.tree.find(key)).chain(before);
        leaves.filter(|leaf| leaf.if_resident().is_none()).map(|leaf| self.cold(leaf)).collect()
    }

    /// Brings the block that `key` belongs into into memory, to stay there for a while.
    pub fn warm(&self, key: &[u8]) -> Result<(), TreeError> {
        self.tree.find(key).map_or(Ok(()), |leaf| leaf.hold(&self.source).map(drop))
    }

    /// Takes blocks out of memory, from where `from` lies onwards, until `bytes` went or `leaves` were looked at: those that were not
    /// touched since the last pass and that can be read again, because they did not change after generation `clean_to` or were spilled.
    /// `clean_to` must be covered by the loader of every clone that may share them.
    pub fn drop_blocks(&self, from: &Bytes, clean_to: u64, bytes: usize, leaves: usize) -> Dropped {
        let passed = self.tree.drop_blocks(from, Pass { clean_to, bytes, leaves });
        Dropped { blocks: passed.blocks, bytes: passed.bytes, leaves: passed.leaves, next: passed.next }
    }

    /// Up to `bytes` of blocks that changed after generation `clean_to` and were not touched since the last pass, from where `from` lies
    /// onwards, and where the next choice starts.
    pub fn spillable(&self, from: &Bytes, clean_to: u64, bytes: usize, leaves: usize) -> (Vec<SpillBlock>, Option<Bytes>) {
        let (found, next) = self.tree.spillable(from, Pass { clean_to, bytes, leaves });
        (found.into_iter().map(|leaf| SpillBlock { leaf, source: self.source.clone() }).collect(), next)
    }

    /// Bytes in memory of blocks that changed after `generation`.
    pub fn dirty_bytes(&self, generation: u64) -> usize {
        let mut bytes = 0;
        let walked = self.walk(&KeyRange::ALL, |step| {
            match step {
                Step::Subtree { summary, .. } if summary.modified <= generation => return Ok(Next::Skip),
                Step::Leaf(visit) if visit.leaf.summary.modified > generation => bytes += visit.leaf.cell().bytes(),
                Step::Subtree { .. } | Step::Leaf(_) => {}
            }
            Ok(Next::Enter)
        });
        walked.expect("no block is loaded");
        bytes
    }

    fn cold(&self, leaf: &Leaf) -> Unloaded {
        Unloaded { leaf: Box::new(leaf.clone()), source: self.source.clone() }
    }
}
