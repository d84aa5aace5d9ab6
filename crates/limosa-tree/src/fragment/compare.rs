//! Ids by which two ends find what differs, without sending keys.
//!
//! A comparison block holds the live entries from a live key that starts a block up to the next such key: a key that is not live says
//! nothing about the other end, so what starts with it counts to its predecessor. The first one of a range starts with the range.
//! Both ends cut alike where they hold the same, and a block's id covers all that it holds: an entry that both ends share is inside a
//! differing block on one end iff it is on the other.

use bytes::Bytes;
use limosa_core::{Digest, Expiry, KeyRange, Kind, LiveRef, Version};

use super::{BlockId, Fragment};
use crate::error::TreeError;
use crate::summary::Summary;
use crate::tree::{Next, Step};

/// No value has this kind: ids hash in a domain of their own.
const ID_KIND: Kind = Kind::from_code(0xFF);

impl Fragment {
    /// The comparison blocks of `range` that hold live entries, in key order. Cold blocks are read at the range's edges only.
    pub fn block_ids(&self, range: &KeyRange, salt: u64) -> Result<Vec<BlockId>, TreeError> {
        let mut out = Vec::new();
        let Some(range) = &range.intersect(&self.range) else { return Ok(out) };
        let (mut start, mut sum) = (range.start.clone(), Summary::EMPTY);
        self.walk(range, |step| {
            let Step::Leaf(visit) = step else { return Ok(Next::Enter) };
            let first_key = &visit.leaf.first_key;
            let part = self.summary_within(&visit, range)?;
            if **first_key > range.start[..] && visit.leaf.summary.first_live() {
                let end = Bytes::copy_from_slice(first_key);
                out.extend(self.block_id(std::mem::replace(&mut start, end.clone()), Some(end), &sum, salt));
                sum = Summary::EMPTY;
            }
            sum.add(&part);
            Ok(Next::Enter)
        })?;
        out.extend(self.block_id(start, range.end.clone(), &sum, salt));
        Ok(out)
    }

    /// A salted id for each live entry of `ranges`, with its key; in key order within each range.
    pub fn entry_ids(&self, ranges: &[KeyRange], salt: u64) -> Result<Vec<(u64, Bytes)>, TreeError> {
        let mut out = Vec::new();
        for range in ranges {
            self.walk(range, |step| {
                let Step::Leaf(visit) = step else { return Ok(Next::Enter) };
                let block = visit.leaf.block(&self.source)?;
                let (from, to) = visit.entries(&block, range);
                for i in (from..to).filter(|&i| block.is_live(i)) {
                    let state = block.state(i, &self.source.keys);
                    let id = self.source.keys.state(state, Version::new(u32::MAX, salt));
                    out.push((low(id), Bytes::copy_from_slice(block.key(i))));
                }
                Ok(Next::Enter)
            })?;
        }
        Ok(out)
    }

    fn block_id(&self, start: Bytes, end: Option<Bytes>, sum: &Summary, salt: u64) -> Option<BlockId> {
        if sum.live == 0 {
            return None;
        }
        let mut held = [0; 24];
        held[..8].copy_from_slice(&sum.live.to_le_bytes());
        held[8..].copy_from_slice(&sum.state.to_bytes());
        let live = LiveRef { kind: ID_KIND, expiry: Expiry::from_millis(salt), value: &held };
        let id = low(self.source.keys.content(&start, live));
        Some(BlockId { id, range: KeyRange { start, end } })
    }
}

fn low(digest: Digest) -> u64 {
    u64::try_from(digest.0 & u128::from(u64::MAX)).expect("masked to 64 bits")
}
