//! Where blocks are filed on disk: under the fragment that their first key lay in when the folder was made, whatever happened since.
//!
//! Splits and merges change fragments' ids. If blocks were filed under those, each would rewrite every block; so a block stays on the
//! *shelf* that its key has had from the beginning.

use bytes::Bytes;
use limosa_core::{FragmentId, KeyRange};

/// The shelf of each key, by where shelves start. May reach beyond the fragment that it is used for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shelves {
    /// Ascending; the first starts with the first key.
    starts: Vec<(Bytes, FragmentId)>,
}

impl Shelves {
    /// One shelf for every key.
    pub(crate) fn one(shelf: FragmentId) -> Self {
        Self { starts: vec![(Bytes::new(), shelf)] }
    }

    /// What [`Shelves::rows`] gave; one shelf named `id` when that was nothing. `None` when they are out of order.
    pub(crate) fn from_rows(rows: &[(Bytes, FragmentId)], id: FragmentId) -> Option<Self> {
        let Some(first) = rows.first() else { return Some(Self::one(id)) };
        let ascend = rows.windows(2).all(|pair| pair[0].0 < pair[1].0);
        (first.0.is_empty() && ascend).then(|| Self { starts: rows.to_vec() })
    }

    /// Where shelves start, ascending.
    pub(crate) fn rows(&self) -> &[(Bytes, FragmentId)] {
        &self.starts
    }

    /// The shelf of `key`.
    pub(crate) fn of(&self, key: &[u8]) -> FragmentId {
        self.starts[self.starts.partition_point(|(start, _)| &start[..] <= key) - 1].1
    }

    /// The shelves of `range`, each with its part of it, in key order.
    pub(crate) fn within(&self, range: &KeyRange) -> Vec<(FragmentId, KeyRange)> {
        let ends = self.starts.iter().skip(1).map(|(start, _)| Some(start.clone())).chain([None]);
        let whole = self.starts.iter().zip(ends).map(|((start, shelf), end)| (*shelf, KeyRange { start: start.clone(), end }));
        whole.filter_map(|(shelf, part)| Some((shelf, part.intersect(range)?))).collect()
    }

    /// `left`'s below `at`, `right`'s from there on.
    pub(crate) fn join(left: &Self, at: &Bytes, right: &Self) -> Self {
        let mut starts: Vec<_> = left.starts.iter().filter(|(start, _)| start < at).cloned().collect();
        let behind = right.starts.iter().filter(|(start, _)| start > at).cloned();
        for (start, shelf) in std::iter::once((at.clone(), right.of(at))).chain(behind) {
            if starts.last().is_none_or(|(_, last)| *last != shelf) {
                starts.push((start, shelf));
            }
        }
        Self { starts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_shelf_over_joins() {
        let at = |key: &'static str| Bytes::from_static(key.as_bytes());
        let [a, b, c] = [FragmentId(1), FragmentId(2), FragmentId(3)];
        let two = Shelves::join(&Shelves::one(a), &at("f"), &Shelves::one(b));
        let three = Shelves::join(&two, &at("m"), &Shelves::one(c));
        for (key, shelf) in [("a", a), ("f", b), ("g", b), ("m", c), ("z", c)] {
            assert_eq!(three.of(key.as_bytes()), shelf, "{key}");
        }
        assert_eq!(Shelves::join(&three, &at("g"), &three), three, "parts of one fragment, put together again");
        assert_eq!(Shelves::from_rows(three.rows(), a), Some(three));
        assert_eq!(Shelves::from_rows(&[], b), Some(Shelves::one(b)));
        assert_eq!(Shelves::from_rows(&[(at("x"), a)], b), None);
    }
}
