//! Pending range deletes: for each key the newest one that covers it.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;

use limosa_core::KeyRange;
use limosa_core::range::end_not_after;

use crate::journal::Position;

/// Disjoint ranges, each with the position of the newest delete that covers it.
#[derive(Debug, Default)]
pub(super) struct DeleteMap {
    starts: BTreeMap<Bytes, (Option<Bytes>, Position)>,
}

impl DeleteMap {
    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The newest delete that covers `key`.
    pub(super) fn at(&self, key: &[u8]) -> Option<Position> {
        let (_, (end, position)) = self.starts.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        end.as_ref().is_none_or(|end| key < &end[..]).then_some(*position)
    }

    /// Whether one delete covers all of `range`.
    pub(super) fn covers(&self, range: &KeyRange) -> bool {
        let row = self.starts.range::<Bytes, _>(..=&range.start).next_back();
        row.is_some_and(|(_, (end, _))| end_not_after(range.end.as_ref(), end.as_ref()))
    }

    /// The newest delete that touches `range`.
    pub(super) fn newest(&self, range: &KeyRange) -> Option<Position> {
        self.overlapping(range).into_iter().map(|(_, _, position)| position).max()
    }

    /// The parts of `range` that a delete covers, in key order.
    pub(super) fn within<'a>(&'a self, range: &'a KeyRange) -> impl Iterator<Item = KeyRange> + 'a {
        self.overlapping(range).into_iter().filter_map(|(start, end, _)| KeyRange { start, end }.intersect(range))
    }

    /// `position` is above every other in the map, so it wins wherever it reaches.
    pub(super) fn set(&mut self, range: &KeyRange, position: Position) {
        for (start, end, older) in self.overlapping(range) {
            self.starts.remove(&start);
            if start < range.start {
                self.starts.insert(start, (Some(range.start.clone()), older));
            }
            if !end_not_after(end.as_ref(), range.end.as_ref()) {
                let behind = range.end.clone().expect("something ends behind it");
                self.starts.insert(behind, (end, older));
            }
        }
        self.starts.insert(range.start.clone(), (range.end.clone(), position));
    }

    fn overlapping(&self, range: &KeyRange) -> Vec<(Bytes, Option<Bytes>, Position)> {
        let before = self.starts.range(..range.start.clone()).next_back();
        let inside = self.starts.range(range.start.clone()..).take_while(|(start, _)| range.contains(start));
        let reaches_in = |end: &Option<Bytes>| end.as_ref().is_none_or(|end| *end > range.start);
        let touching = before.filter(|(_, (end, _))| reaches_in(end)).into_iter().chain(inside);
        touching.map(|(start, (end, position))| (start.clone(), end.clone(), *position)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_map_equals_an_array(sets in proptest::collection::vec((0u8..30, 1u8..20, any::<bool>()), 0..25)) {
            let mut map = DeleteMap::default();
            let mut model = [None; 60];
            for (i, (start, len, open_end)) in sets.into_iter().enumerate() {
                let position = Position(i as u64 + 1);
                let end = (!open_end).then(|| Bytes::from(vec![start + len]));
                let last = if open_end { 60 } else { usize::from(start + len) };
                map.set(&KeyRange::new(vec![start], end), position);
                model[usize::from(start)..last].fill(Some(position));
            }
            for (key, expected) in model.into_iter().enumerate() {
                prop_assert_eq!(map.at(&[u8::try_from(key).expect("below 60")]), expected);
            }
            let newest = model[10..20].iter().flatten().max().copied();
            let probe = KeyRange::new(vec![10], Some(vec![20].into()));
            prop_assert_eq!(map.newest(&probe), newest);
            prop_assert!(!map.covers(&probe) || model[10..20].iter().all(Option::is_some));
        }
    }
}
