//! Range deletes: which keys were deleted together, and below which version an entry may not come back there.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{KeyRange, RangeDelete, Version};

/// Disjoint intervals with the newest range delete of each. Cloning is O(1).
#[derive(Clone, Debug, Default)]
pub(super) struct RangeDeletes {
    /// By start: end and version.
    rows: Arc<BTreeMap<Bytes, (Option<Bytes>, Version)>>,
}

impl RangeDeletes {
    /// The union of `deletes`.
    pub(super) fn new<'a>(deletes: impl IntoIterator<Item = &'a RangeDelete>) -> Self {
        let mut all = Self::default();
        deletes.into_iter().for_each(|delete| all.insert(delete));
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every interval, in key order.
    pub(super) fn iter(&self) -> impl Iterator<Item = RangeDelete> {
        self.rows.iter().map(|(start, (end, version))| delete(start, end.as_ref(), *version))
    }

    /// What intersects `range`, clipped to it, in key order.
    pub(super) fn within(&self, range: &KeyRange) -> impl Iterator<Item = RangeDelete> {
        let before = self.rows.range(..range.start.clone()).next_back();
        let from = self.rows.range(range.start.clone()..).take_while(|(start, _)| range.contains(start));
        before.into_iter().chain(from).filter_map(|(start, (end, version))| {
            let range = KeyRange { start: start.clone(), end: end.clone() }.intersect(range)?;
            Some(RangeDelete { range, version: *version })
        })
    }

    /// An entry at `key` below this version is deleted; [`Version::ZERO`] when no range delete covers the key.
    pub(super) fn version_at(&self, key: &[u8]) -> Version {
        let row = self.rows.range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(key))).next_back();
        row.filter(|(_, (end, _))| end.as_ref().is_none_or(|end| key < &end[..])).map_or(Version::ZERO, |(_, (_, version))| *version)
    }

    /// Adds a range delete; where one is held already, the newer one stays.
    pub(super) fn insert(&mut self, new: &RangeDelete) {
        let inside = self.take(&new.range);
        let rows = Arc::make_mut(&mut self.rows);
        let mut gap = Some(new.range.start.clone());
        for (start, (end, version)) in inside.into_iter().filter(|(_, (_, version))| *version > new.version) {
            if let Some(from) = gap.take().filter(|from| *from < start) {
                rows.insert(from, (Some(start.clone()), new.version));
            }
            gap.clone_from(&end);
            rows.insert(start, (end, version));
        }
        let ended = gap.as_ref().is_none_or(|gap| new.range.end.as_ref().is_some_and(|end| end <= gap));
        if let Some(from) = gap.filter(|_| !ended) {
            rows.insert(from, (new.range.end.clone(), new.version));
        }
    }

    /// Forgets what covers `range`.
    pub(super) fn carve(&mut self, range: &KeyRange) {
        self.take(range);
    }

    /// Forgets range deletes up to and including `up_to`.
    pub(super) fn collect(&mut self, up_to: Version) {
        if self.rows.values().any(|(_, version)| *version <= up_to) {
            Arc::make_mut(&mut self.rows).retain(|_, (_, version)| *version > up_to);
        }
    }

    /// Takes out what lies in `range`, cutting intervals at its bounds.
    fn take(&mut self, range: &KeyRange) -> BTreeMap<Bytes, (Option<Bytes>, Version)> {
        if self.rows.is_empty() {
            return BTreeMap::new();
        }
        self.cut(&range.start);
        if let Some(end) = &range.end {
            self.cut(end);
        }
        let rows = Arc::make_mut(&mut self.rows);
        let starts: Vec<Bytes> =
            rows.range(range.start.clone()..).map(|(start, _)| start.clone()).take_while(|s| range.contains(s)).collect();
        starts.into_iter().filter_map(|start| rows.remove_entry(&start)).collect()
    }

    /// Makes `at` a boundary.
    fn cut(&mut self, at: &Bytes) {
        let Some((start, (end, version))) = self.rows.range(..at.clone()).next_back() else { return };
        if end.as_ref().is_some_and(|end| end <= at) {
            return;
        }
        let (start, end, version) = (start.clone(), end.clone(), *version);
        let rows = Arc::make_mut(&mut self.rows);
        rows.insert(start, (Some(at.clone()), version));
        rows.insert(at.clone(), (end, version));
    }
}

fn delete(start: &Bytes, end: Option<&Bytes>, version: Version) -> RangeDelete {
    RangeDelete { range: KeyRange { start: start.clone(), end: end.cloned() }, version }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(start: u8, end: u8) -> KeyRange {
        KeyRange::new(vec![start], (end < 60).then(|| vec![end].into()))
    }

    proptest! {
        #[test]
        fn range_deletes_equal_an_array_of_versions(inserts in proptest::collection::vec((0u8..50, 1u8..30, 0u64..9), 0..30)) {
            let (mut deletes, mut model) = (RangeDeletes::default(), [0u64; 60]);
            for (start, len, seq) in inserts {
                let end = (start + len).min(60);
                let covered = range(start, end);
                if seq == 0 {
                    deletes.carve(&covered);
                    model[usize::from(start)..usize::from(end)].fill(0);
                    continue;
                }
                deletes.insert(&RangeDelete { range: covered, version: Version::new(0, seq) });
                model[usize::from(start)..usize::from(end)].iter_mut().for_each(|held| *held = seq.max(*held));
            }
            for (key, seq) in (0u8..).zip(model) {
                prop_assert_eq!(deletes.version_at(&[key]), Version::new(0, seq), "at {}", key);
            }
            let all: Vec<_> = deletes.iter().collect();
            prop_assert!(all.windows(2).all(|pair| pair[0].range.end.as_ref().is_some_and(|end| *end <= pair[1].range.start)));
            let within: Vec<_> = deletes.within(&range(10, 20)).collect();
            for key in 10u8..20 {
                let at = within.iter().find(|delete| delete.range.contains(&[key])).map_or(0, |delete| delete.version.seq);
                prop_assert_eq!(at, model[usize::from(key)]);
            }
        }
    }
}
