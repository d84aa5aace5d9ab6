//! Making a checkpoint: what changed since the last one, with the journal position that it holds, in one transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use limosa_core::planted::{self, Bug};
use limosa_core::{FragmentId, Version};
use limosa_tree::{BlockLoader, DirtyBlock, Fragment};

use crate::checkpoint::{CheckpointWriter, Writing};
use crate::error::StoreError;
use crate::journal::{Point, Position};
use crate::leases::Leases;
use crate::loader::Loader;
use crate::notes::Notes;
use crate::past::Past;
use crate::saved::{NodeFacts, put_facts};
use crate::state::Fault;
use crate::store::{Inner, Store};
use crate::tail::Marks;

/// What a checkpoint did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointReport {
    /// The journal is held up to here.
    pub position: Position,
    /// Blocks written whole.
    pub blocks: u64,
    /// Blocks of which only what changed was written.
    pub patches: u64,
    /// Bytes of all of them, and of what was moved.
    pub bytes: u64,
    /// Bytes moved out of files of which little is needed.
    pub moved_bytes: u64,
    /// Blocks removed one by one; ranges of them are not counted.
    pub removed: u64,
    /// Journal segments released.
    pub segments_released: usize,
}

/// What of a fragment the last checkpoint holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Covered {
    /// The tree's generation there.
    pub(crate) generation: u64,
    /// Its head there; `None` when a stage was installed since. What came with it may have any version, so patches can't be told by them.
    pub(crate) head: Option<Version>,
}

impl Covered {
    /// All of `fragment`.
    pub(crate) fn by(fragment: &Fragment) -> Self {
        Self { generation: fragment.generation(), head: Some(fragment.head()) }
    }

    /// Both, of fragments that became one: an entry that is newer than either head may have changed, and that is told of.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { generation: self.generation.min(other.generation), head: self.head.zip(other.head).map(|(a, b)| a.min(b)) }
    }

    /// What is left of it once a fork of generation `forked` has replaced the fragment: what the fork changed is dirty, whatever was
    /// checkpointed meanwhile.
    pub(crate) fn before_fork(self, forked: u64) -> Self {
        Self { generation: self.generation.min(forked), head: None }
    }
}

/// What is written: a clone of the roots at a group's end.
pub(crate) struct Snapshot {
    point: Point,
    pub(crate) fragments: Vec<Fragment>,
    pub(crate) next_fragment: u32,
    pub(crate) pasts: Vec<Past>,
    pub(crate) node: NodeFacts,
    pub(crate) marks: Marks,
    pub(crate) leases: Leases,
    pub(crate) notes: Notes,
}

impl Store {
    /// Writes a checkpoint and releases the journal below it, except what an open stage or tails may need. Blocks for as long as the disk
    /// takes; commands, flushes and reads go on.
    ///
    /// # Errors
    /// A full disk: the checkpoint before stays. A failing disk. A panic in redb poisons the store.
    pub fn checkpoint(&self) -> Result<CheckpointReport, StoreError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.checkpointing();
        let copying = Copying::begin(&inner.is_copying);
        let snapshot = inner.snapshot()?;
        // The journal's bytes up to the snapshot reach the disk first: a checkpoint must never hold more than the journal does.
        self.sync()?;
        let mut written = inner.write_checkpoint(&snapshot, false);
        if matches!(written, Err(StoreError::DiskFull { .. })) && inner.reserve.release() {
            tracing::warn!("the disk is full: the room that was kept is given up");
            written = inner.write_checkpoint(&snapshot, true);
        }
        inner.counters.tried_full.store(matches!(written, Err(StoreError::DiskFull { .. })), Ordering::Relaxed);
        let mut report = match written {
            Err(error @ StoreError::Poisoned { .. }) => return inner.or_poison(Err(error)),
            other => other?,
        };
        let loader = Loader::of_last_commit(&inner.checkpoint_file, &inner.counters)?;
        inner.covered(&snapshot, &loader);
        inner.counters.covered_bytes.store(snapshot.marks.bytes(), Ordering::Relaxed);
        inner.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        drop((snapshot, loader, copying));
        inner.checkpoint_file.sweep();
        // Only now: until the checkpoint is on the disk, the segments are the only copy.
        report.segments_released = inner.release(report.position)?;
        if !matches!(inner.state().fault, Some(Fault::DiskFull { .. })) {
            inner.reserve.keep();
        }
        Ok(report)
    }
}

/// While this lives, a checkpoint's snapshot shares the trees: what is written is copied first, so slices of records are short.
struct Copying<'a>(&'a AtomicBool);

impl<'a> Copying<'a> {
    fn begin(is_copying: &'a AtomicBool) -> Self {
        is_copying.store(true, Ordering::Relaxed);
        Self(is_copying)
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Inner {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        // The flusher's lock: no group is half applied, so the roots stand where a group ends and the hash chain is known.
        let flusher = self.flusher();
        let mut state = self.state();
        state.check()?;
        let point = flusher.journal.end();
        let stalled = || StoreError::Invalid { what: "a checkpoint now", why: "a commit waits until a damaged block is mended".into() };
        // Between flushes the trees hold what the journal has, unless a damaged block is in the way of publishing it.
        if point.position != state.horizon && self.counters.damage.count() > 0 {
            return Err(stalled());
        }
        assert_eq!(point.position, state.horizon, "between flushes the trees hold what the journal has");
        let node = NodeFacts { stamp_ms: state.stamp_ms, stage_since: state.staged_since(), role: state.role.clone() };
        state.level_generations();
        let (fragments, pasts) = (state.fragments.clone(), state.pasts.clone());
        let (next_fragment, marks, leases, notes) = (state.next_fragment, state.marks.clone(), self.leases().clone(), state.notes.clone());
        Ok(Snapshot { point, fragments, next_fragment, pasts, node, marks, leases, notes })
    }

    /// `is_thrifty`: with as little room as can be, whatever it costs later.
    fn write_checkpoint(&self, snapshot: &Snapshot, is_thrifty: bool) -> Result<CheckpointReport, StoreError> {
        let mut writer = self.checkpoint_file.begin()?;
        writer.set_thrifty(is_thrifty);
        let position = snapshot.point.position;
        let mut report = CheckpointReport { position, blocks: 0, patches: 0, bytes: 0, moved_bytes: 0, removed: 0, segments_released: 0 };
        let written = snapshot.fragments.len() - usize::from(planted::has(Bug::CheckpointTooFar));
        for (fragment, past) in snapshot.fragments.iter().zip(&snapshot.pasts).take(written) {
            write_fragment(&mut writer, fragment, past.covered, &mut report)?;
        }
        put_facts(&mut writer, snapshot)?;
        let written = writer.commit(snapshot.point)?;
        report.bytes = written.whole_bytes + written.patch_bytes + written.moved_bytes;
        report.moved_bytes = written.moved_bytes;
        Ok(report)
    }

    /// Takes note of what the checkpoint has.
    fn covered(&self, snapshot: &Snapshot, loader: &Arc<dyn BlockLoader>) {
        let mut state = self.state();
        let point = snapshot.point.position;
        // By range: fragments that were split or merged meanwhile are covered as those that they came from were.
        let covered = |(fragment, past): (&Fragment, &Past)| {
            let from = snapshot.fragments.iter().filter(|from| from.range().intersect(fragment.range()).is_some());
            let covered = from.map(Covered::by).reduce(Covered::and).expect("every key had a place");
            // Roots that were swapped in meanwhile count generations from their fork: what they changed is not in this checkpoint.
            if past.installed > point { covered.before_fork(past.forked) } else { covered }
        };
        let all: Vec<Covered> = if state.pasts.iter().any(|past| past.began > point) {
            state.fragments.iter().zip(&state.pasts).map(covered).collect()
        } else {
            snapshot.fragments.iter().map(Covered::by).collect()
        };
        for (fragment, covered) in state.fragments.iter_mut().zip(&all) {
            fragment.forget_removed(covered.generation);
            fragment.set_loader(loader.clone());
        }
        let covered = all.iter().map(|covered| covered.generation).min().unwrap_or(0);
        state.pasts.iter_mut().zip(all).for_each(|(past, covered)| past.covered = covered);
        state.covers.push(loader, covered);
        self.relief.covered();
    }

    fn release(&self, position: Position) -> Result<usize, StoreError> {
        let below = {
            let state = self.state();
            let for_tails = state.marks.position_before(self.options.tail_bytes).next();
            let for_stage = state.staged_since().unwrap_or(position.next());
            position.next().min(for_tails).min(for_stage)
        };
        // Without the flusher's lock: whoever waits for a flush would wait for the removal of large files, too.
        let released = self.handle.release(below)?;
        let first = self.handle.first();
        self.state().marks.release(first);
        Ok(released)
    }
}

fn write_fragment(
    writer: &mut CheckpointWriter<'_>,
    fragment: &Fragment,
    since: Covered,
    report: &mut CheckpointReport,
) -> Result<(), StoreError> {
    // Removals first: a key that starts a block again is among the dirty ones.
    let removed = fragment.removed(since.generation);
    for (shelf, range) in removed.ranges.iter().flat_map(|range| fragment.shelves(range)) {
        writer.remove_range(shelf, &range)?;
    }
    for first_key in &removed.names {
        writer.remove_block(fragment.shelf(first_key), first_key)?;
        report.removed += 1;
    }
    for block in fragment.dirty_since(since.generation) {
        write_block(writer, fragment.shelf(&block.first_key), &block, since.head, report)?;
    }
    Ok(())
}

fn write_block(
    writer: &mut CheckpointWriter<'_>,
    shelf: FragmentId,
    block: &DirtyBlock,
    since: Option<Version>,
    report: &mut CheckpointReport,
) -> Result<(), StoreError> {
    let (first_key, summary) = (&block.first_key, block.summary.to_bytes());
    if let Some(head) = since.filter(|_| !block.is_remade())
        && writer.choose(shelf, first_key, block.changed_bytes(head)?)? == Writing::Patch
        && let Some(patch) = block.patch(head)?
    {
        report.patches += 1;
        return writer.put_patch(shelf, first_key, &summary, &patch);
    }
    report.blocks += 1;
    writer.put_block(shelf, first_key, &summary, &block.whole()?)
}
