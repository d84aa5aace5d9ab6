//! The past of a fragment's range: which epochs gave its versions, part by part where merged fragments had different pasts.
//!
//! A version means something only within one line of writes. A split leaves each key's line as it was. A merge joins keys whose lines were
//! different, so the joined fragment remembers both: a *strand* is a part of the range with one line. From the merge on all strands share
//! every row, which is why a write has one version for the whole fragment and an old version is looked up by range.
//!
//! ```text
//! before    | (1, 1, x) .. 1.150      | (1, 1, y) .. 1.130      |
//! merged    | (1, 1, x)  (2, 151, z)  | (1, 1, y)  (2, 151, z)  |   head 2.151: the merge takes a version of its own
//! ```
//!
//! # Invariants
//! - There is a strand; the first one starts with the range, the others ascend: checked in [`History::from_strands`].
//! - All strands of a fragment end with the same row.

use bytes::Bytes;

use crate::epoch::{EpochRow, EpochTable};
use crate::range::KeyRange;
use crate::version::Version;

/// A part of a fragment's range with one line of versions.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Strand {
    /// Its first key; empty for the first strand, which starts with the range.
    pub start: Bytes,
    /// Its epochs.
    pub epochs: EpochTable,
    /// A peer that stands below this here can't be told all deletions; beside the floor of the whole fragment.
    pub floor: Version,
}

/// The strands of a fragment, in key order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct History {
    strands: Vec<Strand>,
}

impl Default for History {
    fn default() -> Self {
        EpochTable::default().into()
    }
}

impl From<EpochTable> for History {
    fn from(epochs: EpochTable) -> Self {
        Self { strands: vec![Strand { start: Bytes::new(), epochs, floor: Version::ZERO }] }
    }
}

impl History {
    /// A history that came from a file or a peer; `None` when its strands are out of order or do not end alike.
    pub fn from_strands(strands: Vec<Strand>) -> Option<Self> {
        let first = strands.first()?;
        let last_row = first.epochs.rows().last();
        let alike = strands.iter().all(|strand| strand.epochs.rows().last() == last_row);
        let ascend = strands.windows(2).all(|pair| pair[0].start < pair[1].start);
        (first.start.is_empty() && ascend && alike).then_some(Self { strands })
    }

    /// All strands, in key order.
    pub fn strands(&self) -> &[Strand] {
        &self.strands
    }

    /// The first strand's rows: those since the last merge are every strand's.
    pub fn rows(&self) -> &[EpochRow] {
        self.strands[0].epochs.rows()
    }

    /// The newest epoch; 0 when there is none.
    pub fn epoch(&self) -> u32 {
        self.strands[0].epochs.epoch()
    }

    /// Opens `epoch` behind `head`, which is at or above every version given: the next write has seq `head.seq` + 1.
    ///
    /// # Panics
    /// If `epoch` is not above the newest one.
    pub fn open(&mut self, epoch: u32, head: Version, opener: u64) {
        self.strands.iter_mut().for_each(|strand| strand.epochs.open(epoch, head, opener));
    }

    /// Adds rows behind those that are there; false, and nothing is changed, when they do not follow.
    #[must_use]
    pub fn append(&mut self, rows: &EpochTable) -> bool {
        if !self.strands.iter().all(|strand| strand.epochs.is_followed_by(rows)) {
            return false;
        }
        self.strands.iter_mut().for_each(|strand| strand.epochs.extend(rows));
        true
    }

    /// Whether `version` was, or could still be, given to some key of the fragment.
    pub fn contains(&self, version: Version) -> bool {
        self.strands.iter().any(|strand| strand.epochs.contains(version))
    }

    /// Whether all of `range` could stand at `version`.
    pub fn contains_in(&self, range: &KeyRange, version: Version) -> bool {
        self.within(range).all(|(_, strand)| strand.epochs.contains(version))
    }

    /// The highest floor that a strand has in `range`.
    pub fn floor_in(&self, range: &KeyRange) -> Version {
        self.within(range).map(|(_, strand)| strand.floor).max().unwrap_or_default()
    }

    /// The strands that lie in `range`, each with its part of it.
    pub fn within<'a>(&'a self, range: &'a KeyRange) -> impl Iterator<Item = (KeyRange, &'a Strand)> {
        let ends = self.strands.iter().skip(1).map(|strand| Some(strand.start.clone())).chain([None]);
        let whole = self.strands.iter().zip(ends).map(|(strand, end)| (KeyRange { start: strand.start.clone(), end }, strand));
        whole.filter_map(|(own, strand)| Some((own.intersect(range)?, strand)))
    }

    /// The newest version that each part of `range` has in common in this history, with its `head`, and in `other`, with its.
    pub fn common_points(&self, head: Version, other: &Self, other_head: Version, range: &KeyRange) -> Vec<(KeyRange, Version)> {
        let parts = self.within(range).flat_map(|(part, ours)| {
            let points = other.within(&part).map(|(both, theirs)| (both, ours.epochs.common_point(head, &theirs.epochs, other_head)));
            points.collect::<Vec<_>>()
        });
        parts.collect()
    }

    /// The histories of the keys below `at` and of the others.
    pub fn split(&self, at: &Bytes) -> (Self, Self) {
        let place = self.strands.partition_point(|strand| strand.start <= *at);
        let (mut left, mut right) = (self.strands[..place].to_vec(), self.strands[place - 1..].to_vec());
        right[0].start = Bytes::new();
        if left.len() > 1 && left[place - 1].start == *at {
            left.pop();
        }
        (Self { strands: left }, Self { strands: right })
    }

    /// One history beside another: `right` starts at `at`. Floors of the whole fragments become their strands'.
    pub fn join(left: (&Self, Version), at: &Bytes, right: (&Self, Version)) -> Self {
        let mut strands: Vec<Strand> = Vec::with_capacity(left.0.strands.len() + right.0.strands.len());
        let of = |(history, floor): (&Self, Version)| {
            let floored = move |strand: Strand| Strand { floor: strand.floor.max(floor), ..strand };
            history.strands.clone().into_iter().map(floored)
        };
        let behind = of(right).map(|strand| Strand { start: if strand.start.is_empty() { at.clone() } else { strand.start }, ..strand });
        for strand in of(left).chain(behind) {
            let continues = strands.last().is_some_and(|last| last.epochs == strand.epochs && last.floor == strand.floor);
            if !continues {
                strands.push(strand);
            }
        }
        Self { strands }
    }

    /// Keeps the floors that `own` has where they are higher: what is not known here, another history does not tell.
    pub fn keep_floors_of(&mut self, own: &Self) {
        let ends: Vec<Option<Bytes>> = self.strands.iter().skip(1).map(|strand| Some(strand.start.clone())).chain([None]).collect();
        for (strand, end) in self.strands.iter_mut().zip(ends) {
            strand.floor = strand.floor.max(own.floor_in(&KeyRange { start: strand.start.clone(), end }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(u32, u64, u64)]) -> EpochTable {
        EpochTable::from_rows(rows.iter().map(|&(epoch, first_seq, opener)| EpochRow { epoch, first_seq, opener }).collect())
            .expect("in order")
    }

    fn at(key: &'static str) -> Bytes {
        Bytes::from_static(key.as_bytes())
    }

    /// Two fragments that met at "m", left at 1.150 and right at 1.130, merged at 2.151.
    fn merged() -> History {
        let (left, right) = (History::from(table(&[(1, 1, 7)])), History::from(table(&[(1, 1, 8)])));
        let mut history = History::join((&left, Version::ZERO), &at("m"), (&right, Version::new(1, 20)));
        history.open(2, Version::new(1, 150), 9);
        history
    }

    #[test]
    fn a_peer_of_a_parent_finds_its_version_in_its_part_of_the_merged_range() {
        let (v, history) = (Version::new, merged());
        let head = v(2, 151);
        let right = History::from(table(&[(1, 1, 8)]));
        let behind = KeyRange { start: at("m"), end: None };
        let all = KeyRange::ALL;
        let points = |other: &History, head_of_other, range| history.common_points(head, other, head_of_other, range);
        assert_eq!(points(&right, v(1, 130), &behind), [(behind.clone(), v(1, 130))]);
        assert_eq!(points(&right, v(1, 99), &behind), [(behind.clone(), v(1, 99))]);
        let other: Vec<_> = points(&right, v(1, 130), &all).into_iter().map(|(_, version)| version).collect();
        assert_eq!(other, [Version::ZERO, v(1, 130)], "its line is not the left part's");
        let same = points(&history, v(2, 160), &all);
        assert!(same.iter().all(|(_, version)| *version == v(2, 151)));
        assert!(history.contains_in(&KeyRange::ALL, v(1, 150)) && !history.contains_in(&KeyRange::ALL, v(1, 151)));
        assert_eq!(history.floor_in(&KeyRange::new(at(""), Some(at("m")))), Version::ZERO);
        assert_eq!(history.floor_in(&KeyRange::ALL), v(1, 20));
    }

    #[test]
    fn what_a_split_parts_a_join_makes_whole() {
        let history = merged();
        for cut in ["a", "m", "z"] {
            let (left, right) = history.split(&at(cut));
            assert_eq!(History::join((&left, Version::ZERO), &at(cut), (&right, Version::ZERO)), history, "at {cut}");
            assert_eq!(History::from_strands(left.strands().to_vec()), Some(left));
            assert_eq!(History::from_strands(right.strands().to_vec()), Some(right));
        }
        assert_eq!(history.split(&at("m")).0.strands().len(), 1);
    }

    #[test]
    fn rows_follow_on_every_strand_or_on_none() {
        let mut history = merged();
        assert!(history.append(&table(&[(3, 170, 1)])));
        assert!(history.strands().iter().all(|strand| strand.epochs.epoch() == 3));
        let before = history.clone();
        assert!(!history.append(&table(&[(3, 180, 1)])));
        assert_eq!(history, before);
    }

    #[test]
    fn strands_out_of_order_are_refused() {
        let strand = |start, rows: &[_]| Strand { start: at(start), epochs: table(rows), floor: Version::ZERO };
        assert!(History::from_strands(vec![]).is_none());
        assert!(History::from_strands(vec![strand("a", &[])]).is_none());
        assert!(History::from_strands(vec![strand("", &[]), strand("b", &[]), strand("b", &[])]).is_none());
        assert!(History::from_strands(vec![strand("", &[(1, 1, 1)]), strand("b", &[(1, 1, 2)])]).is_none(), "they end differently");
    }
}
