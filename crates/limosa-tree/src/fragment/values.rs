//! Values of a key range laid end to end: how long they are, and which entry holds a byte of them.
//!
//! For ranges whose live keys all have one length, as the parts of a large value do: the summaries then know the values' bytes.

use bytes::Bytes;
use limosa_core::KeyRange;

use super::Fragment;
use crate::error::TreeError;
use crate::summary::Summary;
use crate::tree::{Next, Step};

/// Where a byte of the values of a range lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValuePlace {
    /// In the value of this entry.
    In {
        /// The entry's key.
        key: Bytes,
        /// Value bytes of the range before the entry.
        before: u64,
    },
    /// Behind the range's values, which are so many bytes.
    Behind(u64),
}

impl Fragment {
    /// Finds the `at`-th byte, counted from 0, of the live values of `range`, whose keys are `key_bytes` long: O(log n), and the entries
    /// of one block and of the two at the edges.
    ///
    /// # Errors
    /// A block can't be had.
    pub fn value_place(&self, range: &KeyRange, key_bytes: u64, at: u64) -> Result<ValuePlace, TreeError> {
        let (mut before, mut key) = (0, None);
        self.walk(range, |step| {
            let visit = match step {
                Step::Subtree { inside: false, .. } => return Ok(Next::Enter),
                Step::Subtree { summary, .. } => return Ok(pass(summary, key_bytes, at, &mut before)),
                Step::Leaf(visit) => visit,
            };
            if visit.inside && matches!(pass(&visit.leaf.summary, key_bytes, at, &mut before), Next::Skip) {
                return Ok(Next::Skip);
            }
            let block = visit.leaf.block(&self.source)?;
            let (from, to) = visit.entries(&block, range);
            for i in from..to {
                let entry = block.entry(i);
                let bytes = entry.live.map_or(0, |live| live.value.len() as u64);
                if at < before + bytes {
                    key = Some(Bytes::copy_from_slice(entry.key));
                    return Ok(Next::Stop);
                }
                before += bytes;
            }
            Ok(Next::Skip)
        })?;
        Ok(key.map_or(ValuePlace::Behind(before), |key| ValuePlace::In { key, before }))
    }
}

/// Passes over a run that ends before byte `at`; enters the one that holds it.
fn pass(run: &Summary, key_bytes: u64, at: u64, before: &mut u64) -> Next {
    let bytes = run.live_bytes.saturating_sub(key_bytes.saturating_mul(run.live));
    if at < *before + bytes {
        return Next::Enter;
    }
    *before += bytes;
    Next::Skip
}
