//! Computes new leaves out of old ones and a sorted batch of changes, without touching the tree.
//!
//! Leaves that the batch touches are read front to back, merged with the changes and cut again where a key starts a block. The outcome
//! is a list of edits with the state digest that they take away and add, so that a caller can verify first and change afterwards.
//! State digests are carried over: only what is written, lost or moved to another block is hashed.
//!
//! # Invariants
//! - Every leaf starts with a key that starts a block, except that the first leaf is filed under the start of the fragment's range
//!   and holds what lies before the first such key. A leaf that loses its first key joins its predecessor.

use limosa_core::{Digest, EntryRef, KeyRange, Version};

use crate::block::Block;
use crate::error::TreeError;
use crate::tree::{Edit, Key, Leaf, Source, Taken, Tree};

use super::Applied;

/// A change of one key.
#[derive(Clone, Copy)]
pub(super) struct Op<'a> {
    pub(super) key: &'a [u8],
    pub(super) action: Action<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Action<'a> {
    /// Write it, with this content digest, whatever is there.
    Put(EntryRef<'a>, Digest),
    /// Write it, with this content digest, if it is newer than what is there.
    Newer(EntryRef<'a>, Digest),
    /// Take the key away without a trace.
    Remove,
}

/// Takes entries of a range away, before any [`Op`] is looked at.
pub(super) struct Clear {
    pub(super) range: KeyRange,
    /// Only entries below this version.
    pub(super) below: Option<Version>,
    /// Only tombstones.
    pub(super) tombstones_only: bool,
}

/// What a batch comes to.
pub(super) struct Rewritten {
    /// In key order.
    pub(super) edits: Vec<Edit>,
    /// State digest of the leaves that the edits replace.
    pub(super) old_state: Digest,
    /// State digest of the leaves that they bring.
    pub(super) new_state: Digest,
    /// Counts.
    pub(super) applied: Applied,
    /// The tree that the edits are of, and what was cut out of it before; none: the fragment's own, whole.
    pub(super) cut: Option<(Tree, Taken)>,
}

/// One pass over a tree.
pub(super) struct Rewriter<'a> {
    tree: &'a Tree,
    source: &'a Source,
    fragment_start: &'a [u8],
    generation: u64,
    raise: Version,
    /// The first leaf of the run of neighbouring leaves that is being rewritten.
    run_start: Option<&'a [u8]>,
    /// Where that run ends so far.
    run_end: Option<&'a [u8]>,
    open: Option<Open>,
    scratch: Block,
    out: Rewritten,
}

/// The leaf that is being filled; its entries are in `scratch`.
struct Open {
    first_key: Key,
    bound: Version,
    /// State digest of the entries outside `kept`.
    known: Digest,
    /// Entries that came unchanged from the leaf at hand, and whose state digests have not been added yet.
    kept: Vec<(usize, usize)>,
}

/// The leaf that is being read.
struct Here<'b> {
    first_key: Option<&'b [u8]>,
    block: &'b Block,
    drops: Vec<Drop<'b>>,
    bound: Version,
    /// State digest of its entries that are not lost so far.
    left: Digest,
    /// Whether kept entries went to more than one leaf.
    scattered: bool,
}

/// Entries `from..to` that a clear reaches.
struct Drop<'b> {
    from: usize,
    to: usize,
    clear: &'b Clear,
}

impl Here<'_> {
    fn is_dropped(&self, i: usize) -> bool {
        self.drops.iter().any(|drop| (drop.from..drop.to).contains(&i) && drop.clear.takes(self.block, i))
    }

    /// Whether entry `i` is a key that starts a block: only a leaf's first entry can.
    fn starts_block(&self, i: usize) -> bool {
        i == 0 && self.first_key.is_some_and(|first| first == self.block.key(0))
    }
}

impl Clear {
    fn takes(&self, block: &Block, i: usize) -> bool {
        self.below.is_none_or(|below| block.version(i) < below) && !(self.tombstones_only && block.is_live(i))
    }

    /// Whether all of `leaf`, which ends at `end`, goes: seen without reading it.
    fn takes_all(&self, leaf: &Leaf, end: Option<&[u8]>) -> bool {
        let end_inside = match (&self.range.end, end) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(range_end), Some(end)) => end <= &range_end[..],
        };
        let below = self.below.is_none_or(|below| leaf.summary.max_version() < below);
        end_inside && below && !self.tombstones_only && *leaf.first_key >= self.range.start[..]
    }
}

impl<'a> Rewriter<'a> {
    /// `raise` is the least bound of every touched leaf.
    pub(super) fn new(tree: &'a Tree, source: &'a Source, fragment_start: &'a [u8], generation: u64, raise: Version) -> Self {
        let out = Rewritten { edits: Vec::new(), old_state: Digest::ZERO, new_state: Digest::ZERO, applied: Applied::default(), cut: None };
        Self { tree, source, fragment_start, generation, raise, run_start: None, run_end: None, open: None, scratch: Block::default(), out }
    }

    /// Merges `clears`, disjoint and in key order, and `ops`, in key order, each key at most once, into the tree's leaves.
    pub(super) fn run(mut self, mut ops: &'a [Op<'a>], mut clears: &'a [Clear]) -> Result<Rewritten, TreeError> {
        let mut done: &[u8] = &[];
        while let Some(at) = next_key(ops, clears, done) {
            let (leaf, end) = self.tree.find_with_end(at);
            let end = end.map(|end| &**end);
            let before_end = |key: &[u8]| end.is_none_or(|end| key < end);
            let (here, rest) = ops.split_at(ops.partition_point(|op| before_end(op.key)));
            let reaching = clears.partition_point(|clear| before_end(&clear.range.start));
            self.visit(leaf, end, here, &clears[..reaching])?;
            let Some(end) = end else { break };
            ops = rest;
            done = end;
            let finished = clears[..reaching].iter().take_while(|clear| clear.range.end.as_ref().is_some_and(|e| &e[..] <= end)).count();
            clears = &clears[finished..];
        }
        self.close(None);
        Ok(self.finish())
    }

    fn visit(&mut self, leaf: Option<&'a Leaf>, end: Option<&'a [u8]>, ops: &[Op<'a>], clears: &'a [Clear]) -> Result<(), TreeError> {
        let start = leaf.map_or(self.fragment_start, |leaf| &leaf.first_key);
        let Some(leaf) = leaf else {
            self.join_run(start, end);
            return self.merge(&mut Here::nothing(&Block::default()), ops);
        };
        if ops.is_empty() && clears.iter().any(|clear| clear.takes_all(leaf, end)) {
            self.join_run(start, end);
            self.take_out(leaf);
            self.out.applied.removed += leaf.summary.entries();
            return Ok(());
        }
        let block = leaf.block(self.source)?;
        let drops = drops(&block, clears);
        if ops.is_empty() && !drops.iter().any(|drop| (drop.from..drop.to).any(|i| drop.clear.takes(&block, i))) {
            return Ok(());
        }
        self.join_run(start, end);
        self.take_out(leaf);
        let (bound, left) = (leaf.summary.max_version(), leaf.summary.state);
        self.merge(&mut Here { first_key: Some(&leaf.first_key), block: &block, drops, bound, left, scattered: false }, ops)
    }

    /// Counts the leaf from `start` to `end` into the current run, or starts a new one.
    fn join_run(&mut self, start: &'a [u8], end: Option<&'a [u8]>) {
        if self.run_start.is_none() || self.run_end != Some(start) {
            self.close(None);
            self.run_start = Some(start);
        }
        self.run_end = end;
    }

    fn take_out(&mut self, leaf: &Leaf) {
        self.out.edits.push(Edit { key: leaf.first_key.clone(), leaf: None });
        self.out.old_state += leaf.summary.state;
    }

    fn merge(&mut self, here: &mut Here<'_>, ops: &[Op<'a>]) -> Result<(), TreeError> {
        let mut at = 0;
        for op in ops {
            let found = here.block.search_from(at, op.key);
            let i = found.unwrap_or_else(|i| i);
            self.keep(here, at, i)?;
            self.apply(here, op, found.ok())?;
            at = i + usize::from(found.is_ok());
        }
        self.keep(here, at, here.block.len())?;
        self.settle(here);
        Ok(())
    }

    fn apply(&mut self, here: &mut Here<'_>, op: &Op<'a>, own: Option<usize>) -> Result<(), TreeError> {
        let survivor = own.filter(|&i| !here.is_dropped(i));
        let entry = match op.action {
            Action::Newer(entry, content) => match survivor {
                Some(i) if here.block.version(i) >= entry.version => {
                    self.out.applied.ignored += 1;
                    return self.keep(here, i, i + 1);
                }
                _ => Some((entry, content)),
            },
            Action::Put(entry, content) => Some((entry, content)),
            Action::Remove => None,
        };
        if let Some(i) = own {
            here.left -= here.block.state(i, &self.source.keys);
        }
        if let Some((entry, content)) = entry {
            return self.write(here, &entry, content, own);
        }
        self.out.applied.removed += u64::from(own.is_some());
        Ok(())
    }

    fn write(&mut self, here: &mut Here<'_>, entry: &EntryRef<'a>, content: Digest, own: Option<usize>) -> Result<(), TreeError> {
        let starts_block = own.map_or_else(|| self.source.keys.starts_block(entry.key), |i| here.starts_block(i));
        let state = entry.live.map_or(Digest::ZERO, |_| self.source.keys.state(content, entry.version));
        self.scratch_for(here, starts_block.then_some(entry.key))?;
        self.scratch.push(entry, content);
        let open = self.open.as_mut().expect("opened above");
        open.known += state;
        open.bound = open.bound.max(entry.version);
        self.out.applied.written += 1;
        self.out.applied.bytes += entry.payload_bytes() as u64;
        Ok(())
    }

    /// Carries entries `from..to` over, those that a clear takes aside.
    fn keep(&mut self, here: &mut Here<'_>, from: usize, to: usize) -> Result<(), TreeError> {
        if here.drops.is_empty() {
            return self.keep_run(here, from, to);
        }
        let mut start = from;
        for i in from..to {
            if here.is_dropped(i) {
                self.keep_run(here, start, i)?;
                start = i + 1;
                here.left -= here.block.state(i, &self.source.keys);
                self.out.applied.removed += 1;
            }
        }
        self.keep_run(here, start, to)
    }

    fn keep_run(&mut self, here: &mut Here<'_>, from: usize, to: usize) -> Result<(), TreeError> {
        if from >= to {
            return Ok(());
        }
        let block = here.block;
        self.scratch_for(here, here.starts_block(from).then(|| block.key(from)))?;
        let before = self.scratch.len();
        self.scratch.push_run(block, from, to);
        let open = self.open.as_mut().expect("opened above");
        open.kept.push((before, self.scratch.len()));
        open.bound = open.bound.max(here.bound);
        Ok(())
    }

    /// Makes the open leaf the one that the next entry belongs into. `starts_at` is its key if it starts a block.
    fn scratch_for(&mut self, here: &mut Here<'_>, starts_at: Option<&[u8]>) -> Result<(), TreeError> {
        match starts_at {
            Some(key) => {
                self.close(Some(here));
                self.open = Some(Open::new(Key::from(key)));
            }
            None if self.open.is_none() => self.open_before()?,
            None => {}
        }
        Ok(())
    }

    /// Opens the leaf before the current run, or the fragment's first leaf when there is none before.
    fn open_before(&mut self) -> Result<(), TreeError> {
        let start = self.run_start.expect("entries are only pushed within a run");
        let Some(before) = self.tree.find_before(start) else {
            self.open = Some(Open::new(Key::from(self.fragment_start)));
            return Ok(());
        };
        let block = before.block(self.source)?;
        self.scratch.push_run(&block, 0, block.len());
        self.take_out(before);
        let mut open = Open::new(before.first_key.clone());
        open.known = before.summary.state;
        open.bound = before.summary.max_version();
        self.open = Some(open);
        Ok(())
    }

    /// Turns what is open into a leaf.
    fn close(&mut self, here: Option<&mut Here<'_>>) {
        let Some(open) = self.open.take() else { return };
        let kept = self.kept_state(&open);
        if let (Some(here), false) = (here, open.kept.is_empty()) {
            here.scattered = true;
        }
        let mut summary = self.scratch.counts_of(0, self.scratch.len());
        summary.state = open.known + kept;
        summary.raise(open.bound.max(self.raise));
        summary.modified = self.generation;
        self.out.new_state += summary.state;
        let leaf = Leaf::resident(open.first_key.clone(), summary, self.scratch.finish(), &self.source.ledger);
        self.out.edits.push(Edit { key: open.first_key, leaf: Some(leaf) });
    }

    /// Accounts for what the open leaf kept of the leaf that has been read.
    fn settle(&mut self, here: &Here<'_>) {
        let Some(mut open) = self.open.take() else { return };
        if !open.kept.is_empty() {
            open.known += if here.scattered { self.kept_state(&open) } else { here.left };
            open.kept.clear();
        }
        self.open = Some(open);
    }

    fn kept_state(&self, open: &Open) -> Digest {
        open.kept.iter().map(|&(from, to)| self.scratch.state_of(from, to, &self.source.keys)).sum()
    }

    /// Brings the edits into key order; a leaf that was taken out and filed anew under the same key is one edit.
    fn finish(mut self) -> Rewritten {
        let edits = &mut self.out.edits;
        edits.sort_by(|a, b| a.key.cmp(&b.key).then(b.leaf.is_some().cmp(&a.leaf.is_some())));
        edits.dedup_by(|next, first| next.key == first.key);
        self.out
    }
}

impl Open {
    fn new(first_key: Key) -> Self {
        Self { first_key, bound: Version::ZERO, known: Digest::ZERO, kept: Vec::new() }
    }
}

impl<'b> Here<'b> {
    /// The gap before the first leaf.
    fn nothing(block: &'b Block) -> Self {
        Here { first_key: None, block, drops: Vec::new(), bound: Version::ZERO, left: Digest::ZERO, scattered: false }
    }
}

/// Where there is work next, at or behind `done`.
fn next_key<'a>(ops: &[Op<'a>], clears: &'a [Clear], done: &'a [u8]) -> Option<&'a [u8]> {
    let op = ops.first().map(|op| op.key);
    let clear = clears.first().map(|clear| done.max(&clear.range.start[..]));
    [op, clear].into_iter().flatten().min()
}

/// The entries of `block` that `clears` reach.
fn drops<'b>(block: &Block, clears: &'b [Clear]) -> Vec<Drop<'b>> {
    let reach = |clear: &'b Clear| {
        let from = block.lower_bound(&clear.range.start);
        let to = clear.range.end.as_ref().map_or(block.len(), |end| block.lower_bound(end));
        (from < to).then_some(Drop { from, to, clear })
    };
    clears.iter().filter_map(reach).collect()
}
