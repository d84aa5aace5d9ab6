//! Which version each part of a fragment's range stands at: the resume token of a transfer and the shape of a baseline.

use bytes::Bytes;
use std::collections::BTreeMap;

use crate::range::KeyRange;
use crate::version::Version;

/// A version for every key of `range`, as few intervals as possible.
///
/// # Invariants
/// - The first interval starts at `range.start`; every key of `range` lies in exactly one interval; neighbours differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IntervalMap {
    range: KeyRange,
    starts: BTreeMap<Bytes, Version>,
}

impl IntervalMap {
    /// All of `range` at `version`.
    pub fn new(range: KeyRange, version: Version) -> Self {
        let starts = BTreeMap::from([(range.start.clone(), version)]);
        Self { range, starts }
    }

    /// What `intervals` say of `range`; [`Version::ZERO`] where they say nothing.
    pub fn of(range: KeyRange, intervals: impl IntoIterator<Item = (KeyRange, Version)>) -> Self {
        let mut map = Self::new(range, Version::ZERO);
        for (interval, version) in intervals {
            if let Some(inside) = interval.intersect(&map.range) {
                map.set(&inside, version);
            }
        }
        map
    }

    /// The keys that the map speaks of.
    pub fn range(&self) -> &KeyRange {
        &self.range
    }

    /// Each interval with its version, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (KeyRange, Version)> {
        let ends = self.starts.keys().skip(1).cloned().map(Some).chain([self.range.end.clone()]);
        self.starts.iter().zip(ends).map(|((start, &version), end)| (KeyRange { start: start.clone(), end }, version))
    }

    /// Number of intervals.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// A map always has an interval.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The lowest and the highest version in `range`.
    pub fn bounds(&self, range: &KeyRange) -> (Version, Version) {
        let inside = self.iter().filter(|(interval, _)| interval.intersect(range).is_some()).map(|(_, version)| version);
        inside.fold((Version::new(u32::MAX, u64::MAX), Version::ZERO), |(low, high), v| (low.min(v), high.max(v)))
    }

    /// The version of every key, if it is the same for all.
    pub fn uniform(&self) -> Option<Version> {
        (self.starts.len() == 1).then(|| *self.starts.values().next().expect("a map has an interval"))
    }

    /// Sets all of `range`, which must lie inside the map's range, to `version`.
    ///
    /// # Panics
    /// If `range` is empty or reaches outside the map.
    pub fn set(&mut self, range: &KeyRange, version: Version) {
        assert!(self.range.covers(range) && !range.is_empty(), "{range:?} reaches outside {:?}", self.range);
        if let Some(end) = &range.end
            && self.range.contains(end)
        {
            let behind = self.at(end);
            self.starts.insert(end.clone(), behind);
        }
        let inside: Vec<Bytes> =
            self.starts.range(range.start.clone()..).map(|(k, _)| k.clone()).take_while(|k| range.contains(k)).collect();
        for start in inside {
            self.starts.remove(&start);
        }
        self.starts.insert(range.start.clone(), version);
        self.coalesce(&range.start);
        if let Some(end) = &range.end {
            self.coalesce(end);
        }
    }

    /// The version of the interval that `key` lies in.
    fn at(&self, key: &Bytes) -> Version {
        let (_, &version) = self.starts.range(..=key.clone()).next_back().expect("the first interval starts at the range's start");
        version
    }

    /// Drops the boundary at `start` if both sides have the same version.
    fn coalesce(&mut self, start: &Bytes) {
        let Some(&version) = self.starts.get(start) else { return };
        let before = self.starts.range(..start.clone()).next_back().map(|(_, &v)| v);
        if before == Some(version) {
            self.starts.remove(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(start: u8, end: u8) -> KeyRange {
        KeyRange::new(vec![start], Some(vec![end].into()))
    }

    proptest! {
        #[test]
        fn a_map_equals_an_array_of_versions(sets in proptest::collection::vec((0u8..40, 1u8..20, 1u64..4), 0..30)) {
            let mut map = IntervalMap::new(range(0, 60), Version::ZERO);
            let mut model = [Version::ZERO; 60];
            for (start, len, seq) in sets {
                map.set(&range(start, start + len), Version::new(1, seq));
                model[usize::from(start)..usize::from(start + len)].fill(Version::new(1, seq));
            }
            let mut expected = Vec::new();
            for (key, version) in model.into_iter().enumerate() {
                let key = u8::try_from(key).expect("below 60");
                match expected.last_mut() {
                    Some((_, end, last)) if *last == version => *end = key + 1,
                    _ => expected.push((key, key + 1, version)),
                }
            }
            let got: Vec<_> = map.iter().map(|(r, v)| (r.start[0], r.end.expect("bounded")[0], v)).collect();
            prop_assert_eq!(got, expected);
            let again = IntervalMap::of(range(0, 60), [range(0, 9), range(9, 60)].iter().flat_map(|part| {
                IntervalMap::of(part.clone(), map.iter()).iter().collect::<Vec<_>>()
            }));
            prop_assert_eq!(again, map, "what is parted and put together is the same map");
        }
    }
}
