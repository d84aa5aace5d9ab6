//! One generation of a large value as it is at the head: published parts and pending ones, without reading them all.
//!
//! A view holds clones of the published trees and shares the pending bytes, so it stays what it is when commands go on. It is made
//! under the store's lock, in O(log n) and the number of the value's pending parts.

use std::iter::Peekable;
use std::ops::ControlFlow;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::KeyRange;
use limosa_tree::{Fragment, ValuePlace};

use super::part_key;
use crate::error::StoreError;

/// A part that is written or deleted and not published.
#[derive(Clone, Debug)]
pub(crate) struct Joint {
    /// Its stored key.
    pub(crate) key: Arc<[u8]>,
    /// Its bytes; `None` when it was deleted.
    pub(crate) value: Option<Arc<[u8]>>,
}

/// One generation at the head.
#[derive(Clone)]
pub(crate) struct PartsView {
    range: KeyRange,
    key_bytes: u64,
    /// Published trees and what shows of them, in key order: pending range deletes are left out.
    published: Vec<(Fragment, KeyRange)>,
    /// In key order.
    pending: Vec<Joint>,
}

/// The part that holds a byte, and the value's bytes before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) key: Bytes,
    pub(crate) before: u64,
}

impl PartsView {
    /// `published` are the trees that the generation's `range` touches, `deleted` what pending range deletes cover of it.
    pub(crate) fn new(stored: &[u8], range: KeyRange, published: Vec<Fragment>, deleted: &[KeyRange], pending: Vec<Joint>) -> Self {
        let shown = |fragment: Fragment| {
            let own = fragment.range().intersect(&range);
            let ranges = own.map_or(Vec::new(), |own| without(own, deleted));
            ranges.into_iter().map(move |range| (fragment.clone(), range))
        };
        let published = published.into_iter().flat_map(shown).collect();
        Self { key_bytes: part_key(stored, 0, 0).len() as u64, range, published, pending }
    }

    /// Where byte `at` of the value lies; `None` behind the end.
    pub(crate) fn place(&self, at: u64) -> Result<Option<Place>, StoreError> {
        if self.pending.is_empty() {
            return Ok(self.published_place(at)?.ok());
        }
        let shifts = self.shifts()?;
        let before = |i: usize| -> Result<u64, StoreError> {
            let shift = i.checked_sub(1).map_or(0, |last| shifts[last]);
            Ok(self.published_before(&self.pending[i].key)?.saturating_add_signed(shift))
        };
        // the last pending part that starts at or before the place
        let (mut low, mut high) = (0, self.pending.len());
        while low < high {
            let middle = low.midpoint(high);
            if before(middle)? <= at { low = middle + 1 } else { high = middle }
        }
        let Some(last) = low.checked_sub(1) else { return Ok(self.published_place(at)?.ok()) };
        let (joint, start) = (&self.pending[last], before(last)?);
        if at < start + joint.value.as_ref().map_or(0, |value| value.len() as u64) {
            return Ok(Some(Place { key: Bytes::copy_from_slice(&joint.key), before: start }));
        }
        let place = self.published_place(at.saturating_add_signed(-shifts[last]))?.ok();
        Ok(place.map(|place| Place { before: place.before.saturating_add_signed(shifts[last]), ..place }))
    }

    /// Calls `f` for each part from the stored key `from` on, in order, until it breaks.
    pub(crate) fn scan(&self, from: &[u8], mut f: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>) -> Result<(), StoreError> {
        let first = self.pending.partition_point(|joint| &joint.key[..] < from);
        let mut pending = self.pending[first..].iter().peekable();
        for (fragment, range) in &self.published {
            let start = Bytes::copy_from_slice(from).max(range.start.clone());
            let flow = fragment.scan(&KeyRange { start, end: range.end.clone() }, |entry| {
                show_before(&mut pending, Some(entry.key), &mut f)?;
                match (pending.next_if(|joint| &joint.key[..] == entry.key), entry.live) {
                    (Some(joint), _) => show(joint, &mut f),
                    (None, Some(live)) => f(entry.key, live.value),
                    (None, None) => ControlFlow::Continue(()),
                }
            })?;
            if flow.is_break() {
                return Ok(());
            }
        }
        let _ = show_before(&mut pending, None, &mut f);
        Ok(())
    }

    /// The range of the whole generation.
    pub(crate) fn range(&self) -> &KeyRange {
        &self.range
    }

    /// Head bytes less published bytes, of all pending parts up to and including each.
    fn shifts(&self) -> Result<Vec<i64>, StoreError> {
        let mut sum = 0;
        let mut shifts = Vec::with_capacity(self.pending.len());
        for joint in &self.pending {
            let mut old = 0;
            for (fragment, _) in self.published.iter().filter(|(_, range)| range.contains(&joint.key)) {
                old = fragment.get(&joint.key)?.map_or(0, |entry| entry.as_ref().live.map_or(0, |live| live.value.len()));
            }
            let new = joint.value.as_ref().map_or(0, |value| value.len());
            sum += i64::try_from(new).expect("a part is small") - i64::try_from(old).expect("a part is small");
            shifts.push(sum);
        }
        Ok(shifts)
    }

    /// Published bytes before the stored key `key`.
    fn published_before(&self, key: &[u8]) -> Result<u64, StoreError> {
        let mut sum = 0;
        for (fragment, range) in &self.published {
            let before = KeyRange { start: range.start.clone(), end: Some(Bytes::copy_from_slice(key)) };
            if let Some(before) = range.intersect(&before)
                && let ValuePlace::Behind(bytes) = fragment.value_place(&before, self.key_bytes, u64::MAX)?
            {
                sum += bytes;
            }
        }
        Ok(sum)
    }

    /// The published part that holds published byte `at`, or how many there are.
    fn published_place(&self, at: u64) -> Result<Result<Place, u64>, StoreError> {
        let mut passed = 0;
        for (fragment, range) in &self.published {
            match fragment.value_place(range, self.key_bytes, at - passed)? {
                ValuePlace::In { key, before } => return Ok(Ok(Place { key, before: passed + before })),
                ValuePlace::Behind(bytes) => passed += bytes,
            }
        }
        Ok(Err(passed))
    }
}

/// Shows the pending parts before `key`, or all that are left.
fn show_before(
    pending: &mut Peekable<slice::Iter<'_, Joint>>,
    key: Option<&[u8]>,
    f: &mut impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    while let Some(joint) = pending.next_if(|joint| key.is_none_or(|key| &joint.key[..] < key)) {
        show(joint, f)?;
    }
    ControlFlow::Continue(())
}

fn show(joint: &Joint, f: &mut impl FnMut(&[u8], &[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    joint.value.as_ref().map_or(ControlFlow::Continue(()), |value| f(&joint.key, value))
}

/// What is left of `range` when `deleted` ranges are taken out, in key order.
fn without(range: KeyRange, deleted: &[KeyRange]) -> Vec<KeyRange> {
    let mut left = vec![range];
    for gone in deleted {
        left = left.into_iter().flat_map(|range| cut_out(&range, gone)).collect();
    }
    left
}

fn cut_out(range: &KeyRange, gone: &KeyRange) -> impl Iterator<Item = KeyRange> + use<> {
    let before = range.intersect(&KeyRange { start: Bytes::new(), end: Some(gone.start.clone()) });
    let behind = gone.end.clone().and_then(|end| range.intersect(&KeyRange { start: end, end: None }));
    before.into_iter().chain(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_range_is_what_no_delete_covers() {
        let range = |start: u8, end: u8| KeyRange::new(vec![start], Some(Bytes::from(vec![end])));
        let left = without(range(10, 50), &[range(0, 12), range(20, 30), range(25, 35), range(49, 60)]);
        assert_eq!(left, [range(12, 20), range(35, 49)]);
        assert_eq!(without(range(10, 50), &[KeyRange::ALL]), []);
    }
}
