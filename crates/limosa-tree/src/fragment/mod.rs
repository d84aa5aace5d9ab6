//! One fragment: its entries, range deletes, epochs and head, and everything that is asked of them.
//!
//! | Method | File |
//! |---|---|
//! | [`Fragment::apply_part`], reads and sums | here, `part` |
//! | [`Fragment::apply_frame`] | `frame` |
//! | [`Fragment::delta`], [`Fragment::changed`] | `delta` |
//! | [`Fragment::block_ids`], [`Fragment::entry_ids`] | `compare` |
//! | [`Fragment::expired`], [`Fragment::collect_tombstones`], [`Fragment::kth_live`] | `upkeep` |
//! | [`Fragment::cold_block`], [`Fragment::mend`] | `mend` |
//! | [`Fragment::value_place`] | `values` |
//! | [`Fragment::split`], [`Fragment::merge`], [`Fragment::join`] | `split` |
//! | [`Fragment::dirty_since`], [`Fragment::removed`], [`Fragment::make_cold`] | `dirty` |
//! | [`Fragment::peek`], [`Fragment::drop_blocks`], [`Fragment::spillable`] | `resident` |

mod compare;
mod deletes;
mod delta;
mod dirty;
mod frame;
mod mend;
mod part;
mod resident;
mod rewrite;
mod split;
mod types;
mod upkeep;
mod values;

pub use dirty::{DirtyBlock, Removed};
pub use mend::{ColdBlock, Mended};
pub use resident::{Dropped, Entry, Peek, SpillBlock, SpilledBlock, Unloaded};
pub use split::MergeEpoch;
pub use types::{Applied, BlockId, BlockLoader, Changes, Extract, FragmentMeta, StoredBlock};
pub use values::ValuePlace;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{EntryRef, EpochTable, FragmentFacts, FragmentId, History, KeyRange, SpaceKeys, Version};

use crate::error::TreeError;
use crate::memory::Ledger;
use crate::summary::Summary;
use crate::tree::{Grave, Key, Leaf, Next, Shelves, Source, Step, Tree, Visit};
use deletes::RangeDeletes;

/// One fragment's state. Cloning is O(1): the clone is a snapshot or a fork.
#[derive(Clone)]
pub struct Fragment {
    source: Arc<Source>,
    range: KeyRange,
    head: Version,
    floor: Version,
    epochs: Arc<History>,
    deletes: RangeDeletes,
    tree: Tree,
    generation: u64,
    /// What blocks were filed under that are no more, with the generation in which they went.
    removed: Arc<BTreeMap<Key, u64>>,
    /// The same for long runs of blocks: whatever is filed under a key of the range is no more.
    cleared: Arc<Vec<(KeyRange, u64)>>,
    /// Nodes that were cut out of the tree and wait to be freed.
    grave: Grave,
}

impl Fragment {
    /// An empty fragment that no owner has written yet.
    pub fn new(id: FragmentId, range: KeyRange, keys: Arc<SpaceKeys>) -> Self {
        Self {
            source: Arc::new(Source { fragment: id, shelves: Arc::new(Shelves::one(id)), keys, loader: None, ledger: Arc::default() }),
            range,
            head: Version::ZERO,
            floor: Version::ZERO,
            epochs: Arc::default(),
            deletes: RangeDeletes::default(),
            tree: Tree::new(),
            generation: 0,
            removed: Arc::default(),
            cleared: Arc::default(),
            grave: Grave::default(),
        }
    }

    /// A fragment out of a checkpoint. No block is read before it is needed; `blocks` come in key order. `ledger` counts
    /// what comes into memory.
    pub fn open(
        meta: FragmentMeta,
        keys: Arc<SpaceKeys>,
        blocks: impl IntoIterator<Item = (Bytes, Summary)>,
        loader: Arc<dyn BlockLoader>,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, TreeError> {
        let mut leaves: Vec<Leaf> = Vec::new();
        for (first_key, summary) in blocks {
            let above = leaves.last().is_none_or(|last| *last.first_key < first_key[..]);
            if !above || !meta.range.contains(&first_key) || summary.entries() == 0 {
                return Err(TreeError::Disorder { fragment: meta.id, first_key });
            }
            let mut clean = summary;
            clean.modified = 0;
            leaves.push(Leaf::cold(Key::from(&first_key[..]), clean, ledger));
        }
        let shelves =
            Shelves::from_rows(&meta.shelves, meta.id).ok_or(TreeError::Disorder { fragment: meta.id, first_key: Bytes::new() })?;
        let shelves = Arc::new(shelves);
        let source = Source { fragment: meta.id, shelves, keys: keys.clone(), loader: Some(loader), ledger: ledger.clone() };
        Ok(Self {
            source: Arc::new(source),
            head: meta.head,
            floor: meta.floor,
            epochs: Arc::new(meta.epochs),
            deletes: RangeDeletes::new(&meta.range_deletes),
            tree: Tree::from_leaves(leaves),
            ..Self::new(meta.id, meta.range, keys)
        })
    }

    /// What a checkpoint stores of this fragment beside its blocks.
    pub fn meta(&self) -> FragmentMeta {
        FragmentMeta {
            id: self.id(),
            range: self.range.clone(),
            head: self.head,
            floor: self.floor,
            epochs: (*self.epochs).clone(),
            range_deletes: self.deletes.iter().collect(),
            shelves: self.source.shelves.rows().to_vec(),
        }
    }

    /// What is told to peers and operators.
    pub fn facts(&self) -> FragmentFacts {
        let total = self.tree.summary();
        FragmentFacts {
            id: self.id(),
            range: self.range.clone(),
            head: self.head,
            state: total.state,
            content: total.content,
            live: total.live,
            live_bytes: total.live_bytes,
            tombstones: total.tombstones,
            floor: self.floor,
            epochs: (*self.epochs).clone(),
        }
    }

    /// Which fragment.
    pub fn id(&self) -> FragmentId {
        self.source.fragment
    }

    /// What the block whose summary is filed under `first_key` is filed under in a checkpoint, beside that key.
    pub fn shelf(&self, first_key: &[u8]) -> FragmentId {
        self.source.shelves.of(first_key)
    }

    /// Every shelf that blocks of `range` lie on, each with its part of it.
    pub fn shelves(&self, range: &KeyRange) -> Vec<(FragmentId, KeyRange)> {
        self.source.shelves.within(range)
    }

    /// Its keys.
    pub fn range(&self) -> &KeyRange {
        &self.range
    }

    /// Version of the last commit in it.
    pub fn head(&self) -> Version {
        self.head
    }

    /// A peer below this version cannot be told all deletions.
    pub fn floor(&self) -> Version {
        self.floor
    }

    /// Whether tombstones or range deletes are remembered.
    pub fn has_deletions(&self) -> bool {
        self.tree.summary().tombstones > 0 || !self.deletes.is_empty()
    }

    /// Who opened which epoch where.
    pub fn epochs(&self) -> &History {
        &self.epochs
    }

    /// Opens `epoch` behind the head.
    ///
    /// # Panics
    /// If `epoch` is not above the newest one.
    pub fn open_epoch(&mut self, epoch: u32, opener: u64) {
        Arc::make_mut(&mut self.epochs).open(epoch, self.head, opener);
    }

    /// Adds epochs behind those that are there; false, and nothing is changed, when they do not follow.
    #[must_use]
    pub fn append_epochs(&mut self, rows: &EpochTable) -> bool {
        Arc::make_mut(&mut self.epochs).append(rows)
    }

    /// Takes over the owner's epoch rows, ahead of commits under them.
    pub fn set_epochs(&mut self, epochs: impl Into<History>) {
        self.epochs = Arc::new(epochs.into());
    }

    /// Takes over the source's head and epoch rows, once a stage is complete and verified.
    pub fn adopt(&mut self, head: Version, epochs: impl Into<History>) {
        let mut epochs = epochs.into();
        epochs.keep_floors_of(&self.epochs);
        self.head = head;
        self.epochs = Arc::new(epochs);
    }

    /// Raises the floor to at least `floor`.
    pub fn raise_floor(&mut self, floor: Version) {
        self.floor = self.floor.max(floor);
    }

    /// The entry at `key`, tombstones included; a block that is cold is read in passing.
    pub fn get(&self, key: &[u8]) -> Result<Option<Entry<'_>>, TreeError> {
        let Some(leaf) = self.tree.find(key) else { return Ok(None) };
        let block = leaf.block(&self.source)?;
        Ok(block.find(key).map(|index| Entry::new(block, index)))
    }

    /// Sums over the whole fragment.
    pub fn total(&self) -> Summary {
        *self.tree.summary()
    }

    /// Sums over `range`: O(log n), and the two blocks at its edges.
    pub fn summary(&self, range: &KeyRange) -> Result<Summary, TreeError> {
        let mut sum = Summary::EMPTY;
        self.walk(range, |step| {
            match step {
                Step::Subtree { inside: false, .. } => return Ok(Next::Enter),
                Step::Subtree { summary, .. } => sum.add(summary),
                Step::Leaf(visit) => sum.add(&self.summary_within(&visit, range)?),
            }
            Ok(Next::Skip)
        })?;
        Ok(sum)
    }

    /// Calls `f` for each entry of `range` in key order, tombstones included, until it breaks.
    pub fn scan(&self, range: &KeyRange, mut f: impl FnMut(EntryRef<'_>) -> ControlFlow<()>) -> Result<ControlFlow<()>, TreeError> {
        let mut flow = ControlFlow::Continue(());
        self.walk(range, |step| {
            let Step::Leaf(visit) = step else { return Ok(Next::Enter) };
            let block = visit.leaf.block(&self.source)?;
            let (from, to) = visit.entries(&block, range);
            flow = (from..to).try_for_each(|i| f(block.entry(i)));
            Ok(if flow.is_break() { Next::Stop } else { Next::Enter })
        })?;
        Ok(flow)
    }

    /// Calls `f` for each entry that is newer than `since`, in key order, looking at the versions of every block: what deltas would cost
    /// without summaries. Nothing but benchmarks should want it.
    #[doc(hidden)]
    pub fn scan_newer_everywhere(&self, since: Version, mut f: impl FnMut(EntryRef<'_>)) -> Result<(), TreeError> {
        self.walk(&KeyRange::ALL, |step| {
            if let Step::Leaf(visit) = step {
                let block = visit.leaf.block(&self.source)?;
                block.newer(0..block.len(), Some(since)).for_each(|i| f(block.entry(i)));
            }
            Ok(Next::Enter)
        })
    }

    /// Walks over the subtrees and leaves that intersect `range`, in key order.
    fn walk<'a>(&'a self, range: &KeyRange, f: impl FnMut(Step<'a>) -> Result<Next, TreeError>) -> Result<(), TreeError> {
        self.tree.walk(range, self.range.end.as_deref(), None, f).map(|_| ())
    }

    /// [`Fragment::walk`] over what may hold something newer than `since`.
    fn walk_newer<'a>(
        &'a self,
        range: &KeyRange,
        since: Option<Version>,
        f: impl FnMut(Step<'a>) -> Result<Next, TreeError>,
    ) -> Result<(), TreeError> {
        self.tree.walk(range, self.range.end.as_deref(), since, f).map(|_| ())
    }

    /// Sums over what a leaf holds of `range`.
    fn summary_within(&self, visit: &Visit<'_>, range: &KeyRange) -> Result<Summary, TreeError> {
        if visit.inside {
            return Ok(visit.leaf.summary);
        }
        let block = visit.leaf.block(&self.source)?;
        let (from, to) = visit.entries(&block, range);
        let mut sum = block.counts_of(from, to);
        sum.state = block.state_of(from, to, &self.source.keys);
        Ok(sum)
    }
}
