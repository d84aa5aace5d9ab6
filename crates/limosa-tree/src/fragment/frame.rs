//! Applies frames: computes what the range would become, compares its digest with the source's, and only then keeps it.
//!
//! # Not here
//! - Whether the range stands at the frame's `from`: the stage that holds the interval map checks before it calls.

use bytes::Bytes;
use limosa_core::{Digest, EntryRef, Frame, KeyRange, Mode, RangeDelete, Version};

use super::rewrite::{Action, Clear, Op};
use super::{Applied, Fragment, RangeDeletes};
use crate::error::FrameError;

impl Fragment {
    /// Applies a frame; on error nothing is changed. `drop_keys` lie in the frame's range and are taken away first.
    ///
    /// After a copy or a replace, the floor is at least the frame's `to`: what was deleted before is not known here.
    pub fn apply_frame(&mut self, frame: &Frame, drop_keys: &[Bytes]) -> Result<Applied, FrameError> {
        self.check_frame(frame, drop_keys)?;
        let own = self.summary(&frame.range)?;
        if frame.mode == Mode::Advance && frame.from.is_zero() && own.live > 0 {
            return Err(FrameError::NotEmpty { live: own.live });
        }
        let plan = Plan::new(self, frame, drop_keys);
        let generation = self.generation;
        self.generation += 1; // what the pass writes is newer than every checkpoint so far
        let raise = if frame.mode == Mode::Advance { Version::ZERO } else { frame.to };
        let verified = self.rewrite(&plan.ops, &plan.clears, raise).map_err(FrameError::from).and_then(|rewritten| {
            let got = own.state - rewritten.old_state + rewritten.new_state;
            if got == frame.digest { Ok(rewritten) } else { Err(FrameError::Digest { expected: frame.digest, got }) }
        });
        let rewritten = verified.inspect_err(|_| self.generation = generation)?;
        let applied = Applied { ignored: rewritten.applied.ignored + plan.covered, ..rewritten.applied };
        self.keep(rewritten);
        self.deletes = plan.deletes;
        if frame.mode != Mode::Advance || frame.from.is_zero() {
            self.raise_floor(frame.to);
        }
        Ok(applied)
    }

    fn check_frame(&self, frame: &Frame, drop_keys: &[Bytes]) -> Result<(), FrameError> {
        let fragment = self.id();
        if frame.fragment != fragment {
            return Err(FrameError::WrongFragment { fragment, got: frame.fragment });
        }
        if frame.range.is_empty() || !self.range.covers(&frame.range) {
            return Err(FrameError::Misplaced { key: frame.range.start.clone() });
        }
        let deletes = frame.range_deletes.iter().find(|delete| delete.range.is_empty() || !frame.range.covers(&delete.range));
        if let Some(delete) = deletes {
            return Err(FrameError::Misplaced { key: delete.range.start.clone() });
        }
        let keys = drop_keys.iter().map(|key| &key[..]).chain(frame.entries.iter().map(|entry| entry.key));
        if let Some(key) = keys.into_iter().find(|key| !frame.range.contains(key)) {
            return Err(FrameError::Misplaced { key: Bytes::copy_from_slice(key) });
        }
        let bad = frame.range_deletes.iter().map(|delete| delete.version).find(|version| *version > frame.to);
        let bad = bad.or_else(|| frame.entries.iter().find(|entry| !fits(frame, entry)).map(|entry| entry.version));
        match bad.or((frame.from > frame.to).then_some(frame.from)) {
            Some(version) => Err(FrameError::Versions { from: frame.from, to: frame.to, version }),
            None => Ok(()),
        }
    }
}

/// Whether an entry's version can be in the frame: at most `to`, and "absent" only where keys are listed.
fn fits(frame: &Frame, entry: &EntryRef<'_>) -> bool {
    let is_absent = entry.version.is_zero() && entry.live.is_none() && frame.mode == Mode::ReplaceKeys;
    entry.version <= frame.to && (!entry.version.is_zero() || is_absent)
}

/// What a frame asks of the tree.
struct Plan<'a> {
    ops: Vec<Op<'a>>,
    clears: Vec<Clear>,
    /// The fragment's range deletes afterwards.
    deletes: RangeDeletes,
    /// Entries left out because a range delete covers them.
    covered: u64,
}

impl<'a> Plan<'a> {
    fn new(own: &Fragment, frame: &'a Frame, drop_keys: &'a [Bytes]) -> Self {
        let mut deletes = own.deletes.clone();
        let clears = if frame.mode == Mode::ReplaceRange {
            deletes.carve(&frame.range);
            vec![Clear { range: frame.range.clone(), below: None, tombstones_only: false }]
        } else {
            clears(&frame.range_deletes)
        };
        frame.range_deletes.iter().for_each(|delete| deletes.insert(delete));
        let mut plan = Self { ops: Vec::with_capacity(frame.entries.len() + drop_keys.len()), clears, deletes, covered: 0 };
        let mut drops: Vec<&'a [u8]> = drop_keys.iter().map(|key| &key[..]).collect();
        drops.sort_unstable();
        drops.dedup();
        let mut drops = drops.into_iter().peekable();
        let contents = own.source.keys.contents(frame.entries.iter());
        for (entry, content) in frame.entries.iter().zip(contents) {
            while let Some(key) = drops.next_if(|key| *key < entry.key) {
                plan.ops.push(Op { key, action: Action::Remove });
            }
            let dropped = drops.next_if(|key| *key == entry.key).is_some();
            plan.push(frame.mode, entry, content, dropped);
        }
        plan.ops.extend(drops.map(|key| Op { key, action: Action::Remove }));
        plan
    }

    fn push(&mut self, mode: Mode, entry: EntryRef<'a>, content: Digest, dropped: bool) {
        let covered = !self.deletes.is_empty() && self.deletes.version_at(entry.key) > entry.version;
        let action = match mode {
            Mode::Advance if covered => {
                self.covered += 1;
                dropped.then_some(Action::Remove)
            }
            Mode::Advance if dropped => Some(Action::Put(entry, content)),
            Mode::Advance => Some(Action::Newer(entry, content)),
            Mode::ReplaceKeys | Mode::ReplaceRange if entry.version.is_zero() => Some(Action::Remove),
            Mode::ReplaceKeys | Mode::ReplaceRange => {
                if covered {
                    self.deletes.carve(&only(entry.key)); // an entry never lies below a range delete that is held
                }
                Some(Action::Put(entry, content))
            }
        };
        self.ops.extend(action.map(|action| Op { key: entry.key, action }));
    }
}

fn clears(range_deletes: &[RangeDelete]) -> Vec<Clear> {
    let disjoint = RangeDeletes::new(range_deletes);
    disjoint.iter().map(|delete| Clear { range: delete.range, below: Some(delete.version), tombstones_only: false }).collect()
}

/// The range that holds `key` and no other key.
fn only(key: &[u8]) -> KeyRange {
    KeyRange::new(Bytes::copy_from_slice(key), Some([key, &[0]].concat().into()))
}
