//! Parts a fragment at a key, and puts neighbours together: of the blocks only the one that the boundary runs through is written.
//!
//! # Invariants
//! - Sums of the parts are the whole's: every entry is in exactly one part, with its version.
//! - Versions stay what they are: a part goes on at the whole's head; a merge takes a version above both heads.
//! - Blocks stay where they are filed (`tree::shelves`), so the checkpoint has nothing else to write.

use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{EpochRow, EpochTable, FragmentId, History, KeyRange, Version};

use super::deletes::RangeDeletes;
use super::{Fragment, Source};
use crate::block::Block;
use crate::error::TreeError;
use crate::summary::Summary;
use crate::tree::{Edit, Grave, Key, Leaf, Shelves, Tree};

/// The epoch that a merge opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MergeEpoch {
    /// Above both parents' epochs.
    pub epoch: u32,
    /// Random: which merge it was.
    pub opener: u64,
}

impl Fragment {
    /// The keys below `at` and the others, as fragments `left` and `right`, which both go on at this one's head.
    ///
    /// # Errors
    /// The block that `at` lies in can't be had.
    ///
    /// # Panics
    /// If one of them would have no key.
    pub fn split(&self, at: &Bytes, left: FragmentId, right: FragmentId) -> Result<(Self, Self), TreeError> {
        let (left_range, right_range) = self.range.split(at);
        let generation = self.generation + 1;
        let (mut below, mut rest) = self.tree.split(at);
        let mut emptied = None;
        if let Some(cut) = self.cut_leaf(at, generation)? {
            emptied = cut.below.is_none().then(|| cut.name.clone());
            below.edit(vec![Edit { key: cut.name, leaf: cut.below }]);
            rest.edit(vec![Edit { key: cut.rest.first_key.clone(), leaf: Some(cut.rest) }]);
        }
        let mut removed = (*self.removed).clone();
        removed.extend(emptied.map(|name| (name, generation)));
        let removed_right = removed.split_off(&at[..]);
        let (left_epochs, right_epochs) = self.epochs.split(at);
        let part = |id, range: KeyRange, epochs, tree, removed| Self {
            source: self.source.named(id),
            cleared: self.cleared_in(&range),
            grave: Grave::default(),
            deletes: RangeDeletes::new(&self.deletes.within(&range).collect::<Vec<_>>()),
            range,
            epochs: Arc::new(epochs),
            tree,
            generation,
            removed: Arc::new(removed),
            ..self.clone()
        };
        Ok((part(left, left_range, left_epochs, below, removed), part(right, right_range, right_epochs, rest, removed_right)))
    }

    /// `left` and `right` as one fragment under a new epoch. The merge takes a version of its own, which is the head: everything that was
    /// given in either part is below it.
    ///
    /// # Errors
    /// A block at the seam can't be had.
    ///
    /// # Panics
    /// If they do not touch, or `epoch` is not above both.
    pub fn merge(left: &Self, right: &Self, id: FragmentId, epoch: MergeEpoch) -> Result<Self, TreeError> {
        let mut merged = Self::join(left, right, id)?;
        merged.head = merged_head(left.head, right.head, epoch);
        let row = EpochRow { epoch: epoch.epoch, first_seq: merged.head.seq, opener: epoch.opener };
        let table = EpochTable::from_rows(vec![row]).expect("one row is in order");
        assert!(Arc::make_mut(&mut merged.epochs).append(&table), "{epoch:?} is not above {:?} and {:?}", left.epochs, right.epochs);
        Ok(merged)
    }

    /// The same under another name.
    #[must_use]
    pub fn renamed(&self, id: FragmentId) -> Self {
        Self { source: self.source.named(id), grave: Grave::default(), ..self.clone() }
    }

    /// Two that were never written, or were emptied, as one of that kind.
    ///
    /// # Errors
    /// A block at the seam can't be had.
    ///
    /// # Panics
    /// If they do not touch, or one of them has a version.
    pub fn join_absent(left: &Self, right: &Self, id: FragmentId) -> Result<Self, TreeError> {
        assert!(left.head.is_zero() && right.head.is_zero(), "only what is absent is put together without an epoch");
        let joined = Self::join(left, right, id)?;
        Ok(Self { epochs: Arc::default(), ..joined })
    }

    /// `left` and `right` side by side, as a target stages them before it is told the joined fragment's history. Its head is the higher one.
    ///
    /// # Errors
    /// A block at the seam can't be had.
    ///
    /// # Panics
    /// If they do not touch.
    pub fn join(left: &Self, right: &Self, id: FragmentId) -> Result<Self, TreeError> {
        let at = &right.range.start;
        assert_eq!(left.range.end.as_ref(), Some(at), "fragments that are put together touch");
        let generation = left.generation.max(right.generation) + 1;
        let mut removed = (*left.removed).clone();
        removed.extend(right.removed.iter().map(|(name, at)| (name.clone(), *at)));
        let (mut before, mut behind) = (left.tree.clone(), right.tree.clone());
        if let Some(seam) = seam(left, right, generation)? {
            before.edit(vec![Edit { key: seam.first_key.clone(), leaf: Some(seam) }]);
            let name = Key::from(&at[..]);
            behind.edit(vec![Edit { key: name.clone(), leaf: None }]);
            removed.insert(name, generation);
        }
        let mut source = left.source.named(id);
        let joined = Shelves::join(&left.source.shelves, at, &right.source.shelves);
        let own = Arc::make_mut(&mut source);
        own.shelves = if joined == *left.source.shelves { left.source.shelves.clone() } else { Arc::new(joined) };
        own.loader = left.source.loader.clone().or_else(|| right.source.loader.clone());
        Ok(Self {
            source,
            range: KeyRange { start: left.range.start.clone(), end: right.range.end.clone() },
            head: left.head.max(right.head),
            floor: Version::ZERO, // each strand has its own
            epochs: Arc::new(History::join((&left.epochs, left.floor), at, (&right.epochs, right.floor))),
            deletes: RangeDeletes::new(&left.deletes.iter().chain(right.deletes.iter()).collect::<Vec<_>>()),
            tree: Tree::join(&before, &behind),
            generation,
            removed: Arc::new(removed),
            cleared: Arc::new(left.cleared.iter().chain(right.cleared.iter()).cloned().collect()),
            grave: Grave::default(),
        })
    }

    fn cleared_in(&self, range: &KeyRange) -> Arc<Vec<(KeyRange, u64)>> {
        if self.cleared.is_empty() {
            return self.cleared.clone();
        }
        let inside = self.cleared.iter().filter_map(|(cleared, at)| Some((cleared.intersect(range)?, *at)));
        Arc::new(inside.collect())
    }

    /// What `parts`, which lie side by side in key order, hold of `range`, as fragment `id`; `None` when they do not cover it.
    ///
    /// # Errors
    /// A block at an edge can't be had.
    pub fn assemble<'a>(parts: impl IntoIterator<Item = &'a Self>, id: FragmentId, range: &KeyRange) -> Result<Option<Self>, TreeError> {
        let mut out: Option<Self> = None;
        for part in parts {
            let Some(piece) = part.clip(id, range)? else { continue };
            out = Some(match out {
                None => piece,
                Some(before) if before.range.end.as_ref() == Some(&piece.range.start) => Self::join(&before, &piece, id)?,
                Some(_) => return Ok(None),
            });
        }
        Ok(out.filter(|whole| whole.range == *range))
    }

    /// What lies in `range`, as fragment `id`; `None` when nothing can.
    fn clip(&self, id: FragmentId, range: &KeyRange) -> Result<Option<Self>, TreeError> {
        let Some(inside) = self.range.intersect(range) else { return Ok(None) };
        let mut piece = Self { source: self.source.named(id), ..self.clone() };
        if inside.start > piece.range.start {
            piece = piece.split(&inside.start, id, id)?.1;
        }
        if let Some(end) = inside.end.as_ref().filter(|_| inside.end != piece.range.end) {
            piece = piece.split(end, id, id)?.0;
        }
        Ok(Some(piece))
    }

    /// Reads the block that a split at `at`, or a merge with the fragment before, has to write, so that it can't fail afterwards.
    ///
    /// # Errors
    /// The block can't be had.
    pub fn warm_edge(&self, at: &[u8]) -> Result<(), TreeError> {
        let edges = [self.tree.find_before(at), self.tree.find(at)];
        edges.into_iter().flatten().try_for_each(|leaf| leaf.hold(&self.source).map(drop))
    }

    /// The leaf that holds keys on both sides of `at`, in two; `None` when no leaf does.
    fn cut_leaf(&self, at: &[u8], generation: u64) -> Result<Option<Cut>, TreeError> {
        let Some(leaf) = self.tree.find_before(at) else { return Ok(None) };
        let block = leaf.block(&self.source)?;
        let (place, len) = (block.lower_bound(at), block.len());
        if place == len {
            return Ok(None);
        }
        let rest_sum = self.sum(&block, place, len, leaf, generation);
        let mut below_sum = self.sum(&block, 0, place, leaf, generation);
        below_sum.state = leaf.summary.state - rest_sum.state;
        let below = (place > 0).then(|| Leaf::resident(leaf.first_key.clone(), below_sum, run(&block, 0, place), &self.source.ledger));
        let rest = Leaf::resident(Key::from(at), rest_sum, run(&block, place, len), &self.source.ledger);
        Ok(Some(Cut { name: leaf.first_key.clone(), below, rest }))
    }

    /// Sums over entries `from..to` of a leaf's block, for a leaf of their own. The bound stays: it may stand for what is no more.
    fn sum(&self, block: &Block, from: usize, to: usize, leaf: &Leaf, generation: u64) -> Summary {
        let mut sum = block.counts_of(from, to);
        sum.state = block.state_of(from, to, &self.source.keys);
        sum.raise(leaf.summary.max_version());
        sum.modified = generation;
        sum
    }
}

impl Source {
    fn named(&self, fragment: FragmentId) -> Arc<Self> {
        Arc::new(Self { fragment, ..self.clone() })
    }
}

/// The version that merging fragments with these heads takes.
pub(super) fn merged_head(left: Version, right: Version, epoch: MergeEpoch) -> Version {
    assert!(epoch.epoch > left.epoch.max(right.epoch), "a merge opens an epoch above both heads");
    Version::new(epoch.epoch, left.seq.max(right.seq) + 1)
}

/// A leaf in two.
struct Cut {
    /// What it was filed under.
    name: Key,
    /// Its entries before the cut, under the same name; `None` when there are none.
    below: Option<Leaf>,
    /// The others, filed under the cut.
    rest: Leaf,
}

/// The last leaf of `left` with the entries that `right` holds before the first key that starts a block; `None` when there are none.
fn seam(left: &Fragment, right: &Fragment, generation: u64) -> Result<Option<Leaf>, TreeError> {
    let at = &right.range.start;
    let Some(first) = right.tree.find(at) else { return Ok(None) };
    let block = first.block(&right.source)?;
    if block.key(0) == &at[..] && right.source.keys.starts_block(at) {
        return Ok(None); // filed under its own first key, as any leaf
    }
    let Some(last) = left.tree.find_before(at) else {
        let mut summary = first.summary;
        summary.modified = generation;
        return Ok(Some(Leaf::resident(Key::from(&left.range.start[..]), summary, run(&block, 0, block.len()), &left.source.ledger)));
    };
    let before = last.block(&left.source)?;
    let mut joined = run(&before, 0, before.len());
    joined.push_run(&block, 0, block.len());
    let mut summary = last.summary;
    summary.add(&first.summary);
    summary.modified = generation;
    Ok(Some(Leaf::resident(last.first_key.clone(), summary, joined.finish(), &left.source.ledger)))
}

fn run(block: &Block, from: usize, to: usize) -> Block {
    let mut out = Block::default();
    out.push_run(block, from, to);
    out.finish()
}
