//! Applies commits: the one path that the owner's publish, recovery and a standby's stream share.

use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{Digest, EntryRef, Expiry, KeyRange, Part, Version};

use super::rewrite::{Action, Clear, Op, Rewriter, Rewritten};
use super::{Fragment, RangeDeletes};
use crate::block::{count_entry, uncount_entry};
use crate::error::{PartError, TreeError};
use crate::summary::earlier;
use crate::tree::{Grave, Leaf, Source, Taken};

impl Fragment {
    /// Applies one part of a commit, which must be the next one. On error nothing is changed.
    pub fn apply_part(&mut self, part: &Part<'_>) -> Result<(), PartError> {
        if let [entry] = part.entries[..] {
            let content = entry.live.map_or(Digest::ZERO, |live| self.source.keys.content(entry.key, live));
            return self.apply_part_hashed(part, &[content]);
        }
        let contents = self.source.keys.contents(part.entries.iter().copied());
        self.apply_part_hashed(part, &contents)
    }

    /// [`Fragment::apply_part`] with the entries' content digests at hand, zero for tombstones: many entries are hashed together for a
    /// fraction of the price, outside of locks.
    pub fn apply_part_hashed(&mut self, part: &Part<'_>, contents: &[Digest]) -> Result<(), PartError> {
        assert_eq!(contents.len(), part.entries.len(), "a digest for each entry");
        self.check_part(part)?;
        self.warm_part(part)?;
        // an entry can fall to a cold block that the warm-up did not see only when the block before it was deleted whole
        let baseline = (self.source.ledger.has_cold() && !part.range_deletes.is_empty()).then(|| self.clone());
        let applied = self.apply_changes(part, contents);
        match (&applied, baseline) {
            (Err(_), Some(baseline)) => *self = baseline,
            (Err(_), None) => self.generation -= 1,
            (Ok(()), _) => {}
        }
        Ok(applied?)
    }

    fn apply_changes(&mut self, part: &Part<'_>, contents: &[Digest]) -> Result<(), TreeError> {
        self.generation += 1;
        if !part.range_deletes.is_empty() {
            self.delete_ranges(part)?;
        }
        for (entry, content) in part.entries.iter().zip(contents) {
            self.put(entry, *content)?;
        }
        self.head = part.version;
        Ok(())
    }

    /// Applies parts that follow one another, as recovery has them: the outcome of [`Fragment::apply_part`] for each in turn, in the order of
    /// keys, so that neighbours find their block at hand, and with the last write of a key alone. After an error the fragment is of no use.
    pub fn apply_parts(&mut self, mut parts: &[Part<'_>]) -> Result<(), PartError> {
        while let Some(first) = parts.first() {
            let run = parts.iter().take_while(|part| part.range_deletes.is_empty()).count();
            if run == 0 {
                self.apply_part(first)?;
            } else {
                self.apply_writes(&parts[..run])?;
            }
            parts = &parts[run.max(1)..];
        }
        Ok(())
    }

    fn apply_writes(&mut self, parts: &[Part<'_>]) -> Result<(), PartError> {
        for part in parts {
            self.check_part(part)?;
            self.head = part.version;
        }
        self.generation += 1;
        let mut entries: Vec<&EntryRef<'_>> = parts.iter().flat_map(|part| &part.entries).collect();
        entries.sort_by(|a, b| a.key.cmp(b.key)); // stable: of one key's writes the last comes last
        let is_last = |i: usize| entries.get(i + 1).is_none_or(|next| next.key != entries[i].key);
        let last: Vec<EntryRef<'_>> = (0..entries.len()).filter(|&i| is_last(i)).map(|i| *entries[i]).collect();
        let contents = self.source.keys.contents(last.iter().copied());
        for (entry, content) in last.iter().zip(contents) {
            self.put(entry, content)?;
        }
        Ok(())
    }

    fn check_part(&self, part: &Part<'_>) -> Result<(), PartError> {
        let (fragment, head, got) = (self.id(), self.head, part.version);
        if part.fragment != fragment {
            return Err(PartError::WrongFragment { fragment, got: part.fragment });
        }
        if head.seq.checked_add(1) != Some(got.seq) || got < head {
            return Err(PartError::NotNext { fragment, head, got });
        }
        if !self.epochs.contains(got) {
            return Err(PartError::UnknownEpoch { fragment, got });
        }
        let stray = part.entries.iter().find(|entry| !self.range.contains(entry.key) || entry.version != got);
        if let Some(entry) = stray {
            return Err(PartError::Misplaced { fragment, key: Bytes::copy_from_slice(entry.key) });
        }
        match part.range_deletes.iter().find(|delete| !self.range.covers(&delete.range) || delete.version != got) {
            Some(delete) => Err(PartError::Misplaced { fragment, key: delete.range.start.clone() }),
            None => Ok(()),
        }
    }

    /// Loads the blocks that the part's entries lie in, so that nothing can fail half-way. A single entry has no half-way.
    fn warm_part(&self, part: &Part<'_>) -> Result<(), TreeError> {
        let is_single = part.entries.len() == 1 && part.range_deletes.is_empty();
        if self.source.ledger.has_cold() && !is_single {
            for leaf in part.entries.iter().filter_map(|entry| self.tree.find(entry.key)) {
                leaf.hold(&self.source)?;
            }
        }
        Ok(())
    }

    /// Loads every block that the part is about to change in part, so that applying it can't meet a damaged one.
    pub fn prepare(&self, part: &Part<'_>) -> Result<(), TreeError> {
        if self.source.loader.is_none() {
            return Ok(());
        }
        let partly = part.range_deletes.iter().filter(|delete| delete.range != self.range); // all of it has no edges
        let edges = partly.flat_map(|delete| [Some(&delete.range.start), delete.range.end.as_ref()]).flatten();
        let touched = part.entries.iter().map(|entry| entry.key).chain(edges.map(|edge| &edge[..]));
        for key in touched {
            let at = self.tree.find(key);
            // A leaf that loses its first key joins the one before it.
            for leaf in [at, self.tree.find_before(key)].into_iter().flatten() {
                leaf.block(&self.source)?;
            }
        }
        Ok(())
    }

    fn delete_ranges(&mut self, part: &Part<'_>) -> Result<(), TreeError> {
        let deletes = RangeDeletes::new(&part.range_deletes);
        let clears: Vec<Clear> =
            deletes.iter().map(|delete| Clear { range: delete.range, below: Some(delete.version), tombstones_only: false }).collect();
        let rewritten = self.rewrite(&[], &clears, Version::ZERO)?;
        self.keep(rewritten);
        part.range_deletes.iter().for_each(|delete| self.deletes.insert(delete));
        Ok(())
    }

    /// Writes one entry, in place where its key does not start a block.
    fn put(&mut self, entry: &EntryRef<'_>, content: Digest) -> Result<(), TreeError> {
        let Self { tree, source, generation, .. } = self;
        let placed = tree.update(entry.key, |leaf| put_in_place(leaf, source, *generation, entry, content));
        if placed.transpose()? != Some(true) {
            let op = [Op { key: entry.key, action: Action::Put(*entry, content) }];
            let rewritten = self.rewrite(&op, &[], Version::ZERO)?;
            self.keep(rewritten);
        }
        Ok(())
    }

    /// A pass over the tree as it is; what it writes belongs to the current generation. Leaves that a clear takes whole are cut out of a
    /// copy of the tree by their nodes, unseen; the pass reads those at the edges. Nothing is changed before [`Fragment::keep`].
    pub(super) fn rewrite<'a>(&'a self, ops: &'a [Op<'a>], clears: &'a [Clear], raise: Version) -> Result<Rewritten, TreeError> {
        let start = &self.range.start;
        let mut taken = Taken::default();
        let mut tree = self.tree.clone();
        for clear in clears.iter().filter(|clear| !clear.tombstones_only) {
            tree.cut(&clear.range, clear.below, self.range.end.as_deref(), &mut taken);
        }
        if taken.runs.is_empty() {
            return Rewriter::new(&self.tree, &self.source, start, self.generation, raise).run(ops, clears);
        }
        let mut rewritten = Rewriter::new(&tree, &self.source, start, self.generation, raise).run(ops, clears)?;
        rewritten.old_state += taken.state;
        rewritten.applied.removed += taken.entries;
        rewritten.cut = Some((tree, taken));
        Ok(rewritten)
    }

    /// Makes the outcome of a pass this fragment's state.
    pub(super) fn keep(&mut self, rewritten: Rewritten) {
        if let Some((tree, mut taken)) = rewritten.cut {
            self.tree = tree; // what hung below the old root only is in the grave: little is freed here
            self.grave.append(&mut taken.grave);
            self.note_runs(taken);
        }
        for edit in rewritten.edits.iter().filter(|edit| edit.leaf.is_none()) {
            Arc::make_mut(&mut self.removed).insert(edit.key.clone(), self.generation);
        }
        self.tree.edit(rewritten.edits);
    }

    /// Blocks that a checkpoint has to forget.
    fn note_runs(&mut self, taken: Taken) {
        for run in taken.runs {
            if let Some(names) = run.names {
                Arc::make_mut(&mut self.removed).extend(names.into_iter().map(|name| (name, self.generation)));
                continue;
            }
            let end = run.end.map(|end| Bytes::copy_from_slice(&end)).or_else(|| self.range.end.clone());
            let range = KeyRange { start: Bytes::copy_from_slice(&run.start), end };
            Arc::make_mut(&mut self.cleared).push((range, self.generation));
        }
    }

    /// What was cut out of the tree since the last call, to be freed by whoever has the time.
    pub fn take_grave(&mut self) -> Grave {
        std::mem::take(&mut self.grave)
    }

    /// All of it, to be freed in steps.
    pub fn into_grave(mut self) -> Grave {
        let mut grave = std::mem::take(&mut self.grave);
        grave.bury_tree(self.tree);
        grave
    }
}

/// Writes `entry` into the leaf that it belongs into; false when it must start a leaf of its own.
fn put_in_place(leaf: &mut Leaf, source: &Source, generation: u64, entry: &EntryRef<'_>, content: Digest) -> Result<bool, TreeError> {
    let found = leaf.hold(source)?.search(entry.key);
    if found.is_err() && source.keys.starts_block(entry.key) {
        return Ok(false);
    }
    let (summary, mut block) = leaf.block_mut(source)?;
    let state = entry.live.map_or(Digest::ZERO, |_| source.keys.state(content, entry.version));
    let (Ok(i) | Err(i)) = found;
    let mut lost_expiry = Expiry::NEVER;
    if found.is_ok() {
        let old = block.entry(i);
        lost_expiry = old.live.map_or(Expiry::NEVER, |live| live.expiry);
        uncount_entry(summary, &old, block.content(i));
        summary.state -= block.state(i, &source.keys);
        block.replace(i, entry, content);
    } else {
        block.insert(i, entry, content);
    }
    let earliest = summary.min_expiry;
    count_entry(summary, entry, content);
    summary.state += state;
    let new_expiry = entry.live.map_or(Expiry::NEVER, |live| live.expiry);
    if lost_expiry != Expiry::NEVER && lost_expiry == earliest && earlier(new_expiry, earliest) != new_expiry {
        summary.min_expiry = block.min_expiry();
    }
    if i == 0 {
        summary.set_first_live(entry.live.is_some());
    }
    summary.modified = generation;
    Ok(true)
}
