//! Which fragment a stored key lies in, and where a fragment stands in key order.

use bytes::Bytes;

use limosa_core::{FragmentId, KeyRange};

/// The fragments' ranges in key order. They cover every key, so every key has exactly one place. Ids are in no order: a split or merge
/// names what it makes anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Routes {
    ids: Vec<FragmentId>,
    starts: Vec<Bytes>,
    /// Index by id, in the order of the ids.
    by_id: Vec<(FragmentId, usize)>,
}

impl Routes {
    /// # Panics
    /// If the ranges leave a gap or overlap, or two fragments have one id: a key would have no place, or two.
    pub(crate) fn new(ranges: &[(FragmentId, KeyRange)]) -> Self {
        assert!(ranges.first().is_some_and(|(_, range)| range.start.is_empty()), "the first fragment starts with the first key");
        assert!(ranges.last().is_some_and(|(_, range)| range.end.is_none()), "the last fragment ends behind every key");
        assert!(ranges.windows(2).all(|pair| pair[0].1.end.as_ref() == Some(&pair[1].1.start)), "fragments touch");
        let starts = ranges.iter().map(|(_, range)| range.start.clone()).collect();
        Self::of(ranges.iter().map(|(id, _)| *id).collect(), starts)
    }

    fn of(ids: Vec<FragmentId>, starts: Vec<Bytes>) -> Self {
        let mut by_id: Vec<_> = ids.iter().copied().zip(0..).collect();
        by_id.sort_unstable();
        assert!(by_id.windows(2).all(|pair| pair[0].0 < pair[1].0), "an id names one fragment");
        Self { ids, starts, by_id }
    }

    /// Number of fragments.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Index of the fragment that holds `key`.
    #[inline]
    pub(crate) fn of_key(&self, key: &[u8]) -> usize {
        self.starts.partition_point(|start| &start[..] <= key) - 1
    }

    /// Index of the fragment with this id.
    pub(crate) fn of_id(&self, id: FragmentId) -> Option<usize> {
        self.by_id.binary_search_by_key(&id, |(id, _)| *id).ok().map(|place| self.by_id[place].1)
    }

    /// The id of the fragment at `index`.
    pub(crate) fn id(&self, index: usize) -> FragmentId {
        self.ids[index]
    }

    /// The keys of the fragment at `index`.
    pub(crate) fn range(&self, index: usize) -> KeyRange {
        KeyRange { start: self.starts[index].clone(), end: self.starts.get(index + 1).cloned() }
    }

    /// Indices of the fragments that `range` touches.
    pub(crate) fn touched(&self, range: &KeyRange) -> std::ops::Range<usize> {
        if range.is_empty() {
            return 0..0;
        }
        let end = range.end.as_ref().map_or(self.len(), |end| self.starts.partition_point(|start| start < end));
        self.of_key(&range.start)..end
    }

    /// Parts the fragment at `index` at `at`.
    pub(crate) fn split(&mut self, index: usize, at: &Bytes, left: FragmentId, right: FragmentId) {
        assert!(self.of_key(at) == index && self.starts[index] != *at, "{at:?} parts the fragment");
        let (mut ids, mut starts) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.starts));
        ids.splice(index..=index, [left, right]);
        starts.insert(index + 1, at.clone());
        *self = Self::of(ids, starts);
    }

    /// Names the fragment at `index` anew.
    pub(crate) fn rename(&mut self, index: usize, id: FragmentId) {
        let (mut ids, starts) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.starts));
        ids[index] = id;
        *self = Self::of(ids, starts);
    }

    /// Makes one of the fragments at `index` and behind it.
    pub(crate) fn merge(&mut self, index: usize, id: FragmentId) {
        let (mut ids, mut starts) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.starts));
        ids.splice(index..=index + 1, [id]);
        starts.remove(index + 1);
        *self = Self::of(ids, starts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::fragment::hashed_ranges;
    use limosa_core::key;

    #[test]
    fn every_key_has_the_fragment_whose_range_holds_it() {
        let ranges = hashed_ranges(5);
        let routes = Routes::new(&ranges);
        for i in 0..1000u32 {
            let stored = key::stored(&i.to_be_bytes());
            assert!(ranges[routes.of_key(&stored)].1.contains(&stored));
        }
        assert_eq!(routes.of_key(b""), 0);
        assert_eq!(routes.touched(&KeyRange::ALL), 0..5);
        assert_eq!(routes.touched(&ranges[2].1), 2..3);
        assert_eq!(routes.of_id(FragmentId(4)), Some(4));
        assert_eq!(routes.of_id(FragmentId(5)), None);
        assert_eq!(routes.range(3), ranges[3].1);
    }

    #[test]
    fn a_split_and_the_merge_of_its_parts_leave_the_ranges_as_they_were() {
        let mut routes = Routes::new(&hashed_ranges(3));
        let at = Bytes::copy_from_slice(&key::slot_start(7000));
        routes.split(1, &at, FragmentId(3), FragmentId(4));
        assert_eq!((routes.of_id(FragmentId(4)), routes.of_id(FragmentId(1)), routes.of_key(&at)), (Some(2), None, 2));
        assert_eq!(routes.range(1).end, Some(at));
        routes.merge(1, FragmentId(5));
        assert_eq!((0..3).map(|i| routes.range(i)).collect::<Vec<_>>(), hashed_ranges(3).into_iter().map(|(_, r)| r).collect::<Vec<_>>());
        assert_eq!(routes.id(1), FragmentId(5));
    }
}
