//! Questions and chores of an owner: the k-th key, expiry, places to split, tombstones.

use std::sync::Arc;

use bytes::Bytes;
use limosa_core::planted::{self, Bug};
use limosa_core::{KeyRange, Version};

use super::Fragment;
use super::rewrite::Clear;
use crate::error::TreeError;
use crate::tree::{Next, Step};

impl Fragment {
    /// Live keys that users see.
    pub fn top_level(&self) -> u64 {
        self.tree.summary().top_level
    }

    /// The `k`-th live key that users see, counted from 0; `None` from [`Fragment::top_level`] on.
    pub fn kth_live(&self, k: u64) -> Result<Option<Bytes>, TreeError> {
        let Some((leaf, mut left)) = self.tree.kth(k, |summary| summary.top_level) else { return Ok(None) };
        let block = leaf.block(&self.source)?;
        for i in 0..block.len() {
            let entry = block.entry(i);
            if entry.live.is_some_and(|live| live.kind.is_top_level()) {
                if left == 0 {
                    return Ok(Some(Bytes::copy_from_slice(entry.key)));
                }
                left -= 1;
            }
        }
        unreachable!("a block has as many top-level keys as its summary says");
    }

    /// The key before which just about `bytes` of live keys and values lie: a place to split. `None` when the fragment holds no more.
    pub fn split_key(&self, bytes: u64) -> Result<Option<Bytes>, TreeError> {
        let Some((leaf, mut left)) = self.tree.kth(bytes, |summary| summary.live_bytes) else { return Ok(None) };
        let block = leaf.block(&self.source)?;
        for i in (0..block.len()).filter(|&i| block.is_live(i)) {
            let here = block.entry(i).payload_bytes() as u64;
            if left < here {
                return Ok(Some(Bytes::copy_from_slice(block.key(i))));
            }
            left -= here;
        }
        unreachable!("a block has as many live bytes as its summary says");
    }

    /// The earliest deadline of a live entry, milliseconds since the Unix epoch.
    pub fn earliest_expiry(&self) -> Option<u64> {
        self.tree.summary().min_expiry.deadline()
    }

    /// Up to `max` live keys whose deadline has passed at `now_ms`, in key order.
    pub fn expired(&self, now_ms: u64, max: usize) -> Result<Vec<Bytes>, TreeError> {
        let mut out = Vec::new();
        self.walk(&KeyRange::ALL, |step| {
            let visit = match step {
                _ if out.len() >= max => return Ok(Next::Stop),
                Step::Subtree { summary, .. } if !summary.min_expiry.is_past(now_ms) => return Ok(Next::Skip),
                Step::Subtree { .. } => return Ok(Next::Enter),
                Step::Leaf(visit) => visit,
            };
            if visit.leaf.summary.min_expiry.is_past(now_ms) {
                let block = visit.leaf.block(&self.source)?;
                let past = |i: &usize| block.entry(*i).live.is_some_and(|live| live.expiry.is_past(now_ms));
                out.extend((0..block.len()).filter(past).take(max - out.len()).map(|i| Bytes::copy_from_slice(block.key(i))));
            }
            Ok(Next::Enter)
        })?;
        Ok(out)
    }

    /// Raises the floor to at least `floor` and forgets the range deletes up to it. Its tombstones may go from now on: [`Fragment::sweep`].
    /// A peer that stands at the floor has been told of all of them.
    pub fn forget_below(&mut self, floor: Version) {
        self.raise_floor(floor);
        self.deletes.collect(self.floor);
    }

    /// The same fragment as one that no owner has written yet. O(1): what it held is the caller's to free. A checkpoint forgets every block
    /// of the range.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let generation = self.generation + 1;
        Self {
            source: self.source.clone(),
            generation,
            cleared: Arc::new(vec![(self.range.clone(), generation)]),
            ..Self::new(self.id(), self.range.clone(), self.source.keys.clone())
        }
    }

    /// Drops tombstones up to the floor: of the first `blocks` blocks with tombstones at or behind `from`. Answers how many went, and where
    /// to go on; `None` when nothing is left. They count in no digest, so nodes may do this at different times.
    pub fn sweep(&mut self, from: &[u8], blocks: usize) -> Result<(u64, Option<Bytes>), TreeError> {
        let floor = if planted::has(Bug::CollectUnderLease) { self.head } else { self.floor };
        let below = Version::new(floor.epoch, floor.seq.saturating_add(1));
        let (clears, next) = self.tombstone_clears(below, from, blocks);
        if clears.is_empty() {
            return Ok((0, next));
        }
        self.generation += 1;
        let rewritten = self.rewrite(&[], &clears, Version::ZERO)?;
        let collected = rewritten.applied.removed;
        self.keep(rewritten);
        Ok((collected, next))
    }

    /// Loads what the same sweep would read: on a snapshot, so that the sweep itself does not wait for the disk.
    pub fn warm_sweep(&self, from: &[u8], blocks: usize) -> Result<(), TreeError> {
        let (clears, _) = self.tombstone_clears(Version::ZERO, from, blocks);
        for leaf in clears.iter().filter_map(|clear| self.tree.find(&clear.range.start)) {
            leaf.block(&self.source)?;
        }
        Ok(())
    }

    /// Drops tombstones and range deletes of versions up to and including `up_to`, and raises the floor to it. Returns how many tombstones
    /// went.
    pub fn collect_tombstones(&mut self, up_to: Version) -> Result<u64, TreeError> {
        self.forget_below(up_to);
        self.sweep(&[], usize::MAX).map(|(collected, _)| collected)
    }

    /// One clear for each of the first `max` leaves with tombstones behind `from`, and where the next one starts: others need not be
    /// looked at.
    fn tombstone_clears(&self, below: Version, from: &[u8], max: usize) -> (Vec<Clear>, Option<Bytes>) {
        let (mut out, mut next) = (Vec::new(), None);
        let walked: Result<(), TreeError> = self.walk(&KeyRange::new(Bytes::copy_from_slice(from), None), |step| {
            match step {
                Step::Subtree { summary, .. } if summary.tombstones == 0 => return Ok(Next::Skip),
                Step::Leaf(visit) if visit.leaf.summary.tombstones > 0 => {
                    let start = Bytes::copy_from_slice(&visit.leaf.first_key);
                    if out.len() == max {
                        next = Some(start);
                        return Ok(Next::Stop);
                    }
                    let range = KeyRange { start, end: visit.end().map(Bytes::copy_from_slice) };
                    out.push(Clear { range, below: Some(below), tombstones_only: true });
                }
                Step::Subtree { .. } | Step::Leaf(_) => {}
            }
            Ok(Next::Enter)
        });
        walked.expect("no block is loaded");
        (out, next)
    }
}
