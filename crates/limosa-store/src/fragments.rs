//! Which fragment a stored key lies in.

use bytes::Bytes;

use limosa_core::{FragmentId, KeyRange};

/// The fragments' ranges in key order. They cover every key, so every key has exactly one place.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    ids: Vec<FragmentId>,
    starts: Vec<Bytes>,
}

impl Routes {
    /// # Panics
    /// If the ranges leave a gap or overlap: a key would have no place, or two.
    pub(crate) fn new(ranges: &[(FragmentId, KeyRange)]) -> Self {
        assert!(ranges.first().is_some_and(|(_, range)| range.start.is_empty()), "the first fragment starts with the first key");
        assert!(ranges.last().is_some_and(|(_, range)| range.end.is_none()), "the last fragment ends behind every key");
        assert!(ranges.windows(2).all(|pair| pair[0].1.end.as_ref() == Some(&pair[1].1.start)), "fragments touch");
        assert!(ranges.windows(2).all(|pair| pair[0].0 < pair[1].0), "ids ascend with the keys");
        Self { ids: ranges.iter().map(|(id, _)| *id).collect(), starts: ranges.iter().map(|(_, range)| range.start.clone()).collect() }
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
        self.ids.binary_search(&id).ok()
    }

    /// The id of the fragment at `index`.
    pub(crate) fn id(&self, index: usize) -> FragmentId {
        self.ids[index]
    }

    /// Indices of the fragments that `range` touches.
    pub(crate) fn touched(&self, range: &KeyRange) -> std::ops::Range<usize> {
        if range.is_empty() {
            return 0..0;
        }
        let end = range.end.as_ref().map_or(self.len(), |end| self.starts.partition_point(|start| start < end));
        self.of_key(&range.start)..end
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
    }
}
