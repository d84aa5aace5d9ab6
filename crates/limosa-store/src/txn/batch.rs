//! The open batch of a transaction: what becomes one commit, or is taken back.

use std::sync::Arc;

use limosa_core::limits::{COMMIT_BYTES_MAX, COMMIT_ENTRIES_MAX};
use limosa_core::{Commit, EntryRef, KeyRange, LiveRef, Part, RangeDelete, Version};

use crate::error::StoreError;
use crate::journal::{Group, Position, RecordKind};
use crate::overlay::{Pending, PendingLive};
use crate::state::State;

/// A group that has grown to this is closed; the largest commit still fits behind it.
const GROUP_BYTES_SOFT_MAX: usize = 32 << 20;
/// What an entry costs in a record beside key and value, at most.
const ENTRY_OVERHEAD_BYTES: usize = 24;

/// One write of the batch.
#[derive(Debug)]
struct Op {
    fragment: usize,
    key: Arc<[u8]>,
    live: Option<PendingLive>,
    /// What the overlay said before, for taking the write back.
    previous: Option<Pending>,
    /// A range delete of the same batch came behind it.
    superseded: bool,
}

/// Writes and range deletes that are not committed yet. Each key has one operation at most.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    ops: Vec<Op>,
    ranges: Vec<(usize, KeyRange)>,
    bytes: usize,
}

impl Batch {
    /// Whether a range delete of the batch covers `key`.
    #[inline]
    pub(crate) fn deletes(&self, key: &[u8]) -> bool {
        !self.ranges.is_empty() && self.ranges.iter().any(|(_, range)| range.contains(key))
    }

    /// Whether one range delete of the batch covers all of `range`.
    pub(crate) fn deletes_all(&self, range: &KeyRange) -> bool {
        self.ranges.iter().any(|(_, deleted)| deleted.covers(range))
    }

    /// The parts of `range` that the batch's range deletes cover.
    pub(crate) fn deleted<'a>(&'a self, range: &'a KeyRange) -> impl Iterator<Item = KeyRange> + 'a {
        self.ranges.iter().filter_map(|(_, own)| own.intersect(range))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.ranges.is_empty()
    }

    /// Refuses what would make the commit's record larger than its limits.
    fn grow(&mut self, bytes: usize) -> Result<(), StoreError> {
        let max = COMMIT_BYTES_MAX as u64;
        if self.ops.len() as u64 >= COMMIT_ENTRIES_MAX {
            return Err(StoreError::Limit { what: "entries of a commit", value: COMMIT_ENTRIES_MAX + 1, max: COMMIT_ENTRIES_MAX });
        }
        let total = self.bytes + bytes + ENTRY_OVERHEAD_BYTES;
        if total as u64 > max {
            return Err(StoreError::Limit { what: "bytes of a commit", value: total as u64, max });
        }
        self.bytes = total;
        Ok(())
    }
}

impl State {
    /// Puts one write into the batch; visible to what follows in this transaction, and to others once committed.
    pub(crate) fn put(&mut self, fragment: usize, key: &[u8], live: Option<LiveRef<'_>>) -> Result<(), StoreError> {
        self.batch.grow(key.len() + live.map_or(0, |live| live.value.len()))?;
        if !self.uploads.is_empty() {
            self.uploads.touch(key);
        }
        let live = live.map(|live| PendingLive { kind: live.kind, expiry: live.expiry, value: live.value.into() });
        let position = self.next_position();
        let op = u32::try_from(self.batch.ops.len()).expect("entries of a commit are bounded");
        let key: Arc<[u8]> = key.into();
        let previous = self.overlay.put(key.clone(), Pending { position, op, live: live.clone() });
        match previous {
            Some(own) if own.position == position => {
                // Written before in this batch: one operation a key, so the first one takes the new value.
                self.overlay.open_entry(&key).expect("put above").op = own.op;
                self.batch.ops[own.op as usize].live = live;
            }
            previous => self.batch.ops.push(Op { fragment, key, live, previous, superseded: false }),
        }
        Ok(())
    }

    /// Puts a range delete into the batch. Its own earlier writes in the range are forgotten: the delete stands for them.
    pub(crate) fn put_range_delete(&mut self, fragment: usize, range: KeyRange) -> Result<(), StoreError> {
        self.batch.grow(range.start.len() + range.end.as_ref().map_or(0, bytes::Bytes::len))?;
        self.uploads.touch_range(&range);
        for op in self.batch.ops.iter_mut().filter(|op| !op.superseded && range.contains(&op.key)) {
            op.superseded = true;
            self.overlay.restore(&op.key, op.previous.take());
        }
        self.batch.ranges.push((fragment, range));
        Ok(())
    }

    /// Takes the batch back.
    pub(crate) fn abort_batch(&mut self) {
        for op in self.batch.ops.drain(..).rev().filter(|op| !op.superseded) {
            self.overlay.restore(&op.key, op.previous);
        }
        self.batch.ranges.clear();
        self.batch.bytes = 0;
    }

    /// Closes the batch: versions are given, the record joins the pending group. `None` when there is nothing to write.
    pub(crate) fn commit_batch(&mut self, now_ms: u64) -> Option<Position> {
        self.batch.ops.retain(|op| !op.superseded);
        if self.batch.is_empty() {
            return None;
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.ops.sort_by_key(|op| op.fragment); // stable and, for the usual commit on one fragment, already done
        let position = self.next_position();
        self.stamp_ms = self.stamp_ms.max(now_ms);
        let commit = Commit { stamp_ms: self.stamp_ms, parts: self.parts(&batch) };
        self.close_full_group();
        let at = self.group.push_with(RecordKind::Commit, batch.bytes, |out| commit.encode(out));
        assert_eq!(at, position, "a batch is closed at the position that its entries were given");
        for (_, range) in &batch.ranges {
            self.overlay.put_range_delete(range, position);
        }
        self.recycle(batch);
        Some(position)
    }

    /// One part for each fragment that the batch touches; heads move on.
    fn parts<'a>(&mut self, batch: &'a Batch) -> Vec<Part<'a>> {
        let mut touched: Vec<usize> = batch.ops.iter().map(|op| op.fragment).chain(batch.ranges.iter().map(|(f, _)| *f)).collect();
        if touched.len() > 1 {
            touched.sort_unstable();
            touched.dedup();
        }
        let mut ops = batch.ops.as_slice();
        let part = |index: usize| {
            let version = self.heads[index].next();
            self.heads[index].version = version;
            let (own, rest) = ops.split_at(ops.partition_point(|op| op.fragment == index));
            ops = rest;
            let ranges = batch.ranges.iter().filter(|(f, _)| *f == index);
            let range_deletes = ranges.map(|(_, range)| RangeDelete { range: range.clone(), version }).collect();
            Part { fragment: self.head_routes.id(index), version, range_deletes, entries: own.iter().map(|op| op.entry(version)).collect() }
        };
        touched.into_iter().map(part).collect()
    }

    /// Keeps a small buffer for the next batch, drops a large one.
    fn recycle(&mut self, mut batch: Batch) {
        if batch.ops.capacity() <= 1024 {
            batch.ops.clear();
            batch.ranges.clear();
            self.batch = Batch { ops: batch.ops, ranges: batch.ranges, bytes: 0 };
        }
    }

    /// Appends a record to the pending group.
    pub(crate) fn push(&mut self, kind: RecordKind, body: &[u8]) -> Position {
        self.push_pieces(kind, &[body])
    }

    /// As [`State::push`], with a body that lies in pieces.
    pub(crate) fn push_pieces(&mut self, kind: RecordKind, body: &[&[u8]]) -> Position {
        self.close_full_group();
        self.group.push_pieces(kind, body).expect("a group is closed while the largest record still fits")
    }

    fn close_full_group(&mut self) {
        if self.group.body_bytes() > GROUP_BYTES_SOFT_MAX {
            let next = Group::new(self.group.next());
            self.groups.push_back(std::mem::replace(&mut self.group, next));
        }
    }
}

impl Op {
    fn entry(&self, version: Version) -> EntryRef<'_> {
        EntryRef { key: &self.key, version, live: self.live.as_ref().map(PendingLive::as_ref) }
    }
}
