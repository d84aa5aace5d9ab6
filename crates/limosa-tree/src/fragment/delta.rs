//! What changed since a version: how much, and as frames.

use bytes::Bytes;
use limosa_core::columns::ColumnsBuilder;
use limosa_core::limits::{FRAME_ENTRIES_MAX, WHOLE_VALUE_BYTES_MAX};
use limosa_core::planted::{self, Bug};
use limosa_core::{EntryRef, Frame, KeyRange, Mode, RangeDelete, Version};

use super::{Changes, Entry, Extract, Fragment};
use crate::block::Block;
use crate::error::TreeError;
use crate::tree::{Next, Step, Visit};

/// Bytes that a range delete counts for in a frame, beside its bounds.
const RANGE_DELETE_BYTES: usize = 16;

impl Fragment {
    /// How much of `range` changed since `since`, without reading a cold block: those count whole.
    pub fn changed(&self, range: &KeyRange, since: Version) -> Changes {
        let mut changes = Changes::default();
        let walked = self.walk_newer(range, Some(since), |step| {
            if let Step::Leaf(visit) = step {
                count_changes(&visit, range, since, &mut changes);
            }
            Ok(Next::Enter)
        });
        walked.expect("no block is loaded");
        changes.range_deletes = self.deletes.within(range).filter(|delete| delete.version > since).count() as u64;
        changes
    }

    /// A frame that brings `range`, or a first part of it, from `since` to this fragment's head, and where the next frame starts.
    ///
    /// A frame ends behind the entry with which its keys and values reach `max_bytes`, better at a block's start shortly before, or
    /// behind [`FRAME_ENTRIES_MAX`] entries.
    pub fn delta(
        &self,
        range: &KeyRange,
        since: Version,
        what: Extract<'_>,
        max_bytes: usize,
    ) -> Result<(Frame, Option<Bytes>), TreeError> {
        let since_entry = if what == Extract::WholeRange { None } else { Some(since) };
        let (range_deletes, limit) = self.range_deletes_of(range, since_entry.unwrap_or(Version::ZERO), max_bytes);
        let range = KeyRange { start: range.start.clone(), end: limit.clone().or_else(|| range.end.clone()) };
        let mut gather = Gather::new(self, &range, since_entry, what, max_bytes);
        self.walk_newer(&range, since_entry, |step| match step {
            Step::Subtree { .. } => Ok(Next::Enter),
            Step::Leaf(visit) => gather.leaf(&visit),
        })?;
        if gather.next.is_none() {
            gather.replaced_before(None)?;
        }
        let (entries, next) = (gather.columns.finish(), gather.next.or(limit));
        let range = KeyRange { start: range.start.clone(), end: next.clone().or(range.end) };
        let frame = Frame {
            fragment: self.id(),
            mode: mode(what),
            from: since,
            to: self.head,
            range_deletes: range_deletes.iter().filter_map(|delete| clip(delete, &range)).collect(),
            entries,
            digest: self.summary(&range)?.state,
            range,
        };
        Ok((frame, next))
    }

    /// The range deletes of `range` newer than `since`, as many as fit a frame, and where the first one that does not fit starts.
    fn range_deletes_of(&self, range: &KeyRange, since: Version, max_bytes: usize) -> (Vec<RangeDelete>, Option<Bytes>) {
        let (mut out, mut bytes) = (Vec::new(), 0);
        if planted::has(Bug::ForgetRangeDeletes) {
            return (out, None);
        }
        for delete in self.deletes.within(range).filter(|delete| delete.version > since) {
            if bytes > max_bytes / 2 || out.len() as u64 >= FRAME_ENTRIES_MAX / 2 {
                return (out, Some(delete.range.start));
            }
            bytes += RANGE_DELETE_BYTES + delete.range.start.len() + delete.range.end.as_ref().map_or(0, Bytes::len);
            out.push(delete);
        }
        (out, None)
    }
}

fn count_changes(visit: &Visit<'_>, range: &KeyRange, since: Version, changes: &mut Changes) {
    let summary = &visit.leaf.summary;
    let Some(block) = visit.leaf.if_resident() else {
        changes.blocks += 1;
        changes.entries += summary.entries();
        changes.bytes += summary.live_bytes;
        return;
    };
    let (from, to) = visit.entries(&block, range);
    let before = changes.entries;
    for i in block.newer(from..to, Some(since)) {
        changes.entries += 1;
        changes.bytes += block.entry(i).payload_bytes() as u64;
    }
    changes.blocks += u64::from(changes.entries > before);
}

fn mode(what: Extract<'_>) -> Mode {
    match what {
        Extract::Changes => Mode::Advance,
        Extract::ReplaceKeys(_) => Mode::ReplaceKeys,
        Extract::WholeRange => Mode::ReplaceRange,
    }
}

fn clip(delete: &RangeDelete, range: &KeyRange) -> Option<RangeDelete> {
    let version = delete.version;
    delete.range.intersect(range).map(|range| RangeDelete { range, version })
}

/// Fills one frame in key order.
struct Gather<'a> {
    fragment: &'a Fragment,
    range: &'a KeyRange,
    /// Only newer entries; `None`: all.
    since: Option<Version>,
    /// Keys that go into the frame whatever their version, in order; those before the current key are gone.
    replaced: std::iter::Peekable<std::vec::IntoIter<&'a Bytes>>,
    columns: ColumnsBuilder,
    max_bytes: usize,
    /// The first key that did not fit.
    next: Option<Bytes>,
}

impl<'a> Gather<'a> {
    fn new(fragment: &'a Fragment, range: &'a KeyRange, since: Option<Version>, what: Extract<'a>, max_bytes: usize) -> Self {
        let mut replaced: Vec<&Bytes> = match what {
            Extract::ReplaceKeys(keys) => keys.iter().filter(|key| range.contains(key)).collect(),
            Extract::Changes | Extract::WholeRange => Vec::new(),
        };
        replaced.sort_unstable();
        replaced.dedup();
        let replaced = replaced.into_iter().peekable();
        // A copy fills its frames: one buffer of full size instead of growth, which copies everything twice.
        let held = usize::try_from(fragment.total().live_bytes).unwrap_or(usize::MAX);
        let full = max_bytes.saturating_add(WHOLE_VALUE_BYTES_MAX).min(held);
        let room = if since == Some(Version::ZERO) { full } else { 0 };
        Self { fragment, range, since, replaced, columns: ColumnsBuilder::with_capacity(room), max_bytes, next: None }
    }

    fn leaf(&mut self, visit: &Visit<'_>) -> Result<Next, TreeError> {
        let block = visit.leaf.block(&self.fragment.source)?;
        let (from, to) = visit.entries(&block, self.range);
        if self.is_better_cut_before(&block, from, to) {
            self.replaced_before(Some(block.key(from)))?;
            self.next.get_or_insert_with(|| Bytes::copy_from_slice(block.key(from)));
        }
        for i in block.newer(from..to, self.since) {
            if planted::has(Bug::ForgetTombstones) && block.entry(i).live.is_none() {
                continue;
            }
            let key = block.key(i);
            if self.next.is_some() || !self.replaced_before(Some(key))? {
                break;
            }
            self.replaced.next_if(|replaced| replaced[..] == *key);
            self.push(block.entry(i));
        }
        Ok(if self.next.is_some() { Next::Stop } else { Next::Enter })
    }

    /// Whether the frame is half full and this block's changes would end it anyhow: at a block's start the digest costs nothing.
    fn is_better_cut_before(&self, block: &Block, from: usize, to: usize) -> bool {
        let used = self.columns.payload_bytes();
        if used < self.max_bytes / 2 || from == to {
            return false;
        }
        used + block.newer(from..to, self.since).map(|i| block.entry(i).payload_bytes()).sum::<usize>() > self.max_bytes
    }

    /// Puts the replaced keys before `key` into the frame; false when it is full.
    fn replaced_before(&mut self, key: Option<&[u8]>) -> Result<bool, TreeError> {
        let fragment = self.fragment;
        while let Some(replaced) = self.replaced.next_if(|replaced| key.is_none_or(|key| &replaced[..] < key)) {
            if self.next.is_some() {
                return Ok(false);
            }
            let entry = fragment.get(replaced)?;
            self.push(entry.as_ref().map_or(EntryRef { key: replaced, version: Version::ZERO, live: None }, Entry::as_ref));
        }
        Ok(self.next.is_none())
    }

    fn push(&mut self, entry: EntryRef<'_>) {
        let is_full = self.columns.payload_bytes() >= self.max_bytes || self.columns.len() as u64 >= FRAME_ENTRIES_MAX;
        if is_full && !self.columns.is_empty() {
            self.next = Some(Bytes::copy_from_slice(entry.key));
        } else {
            self.columns.push(entry);
        }
    }
}
