//! A fragment: a contiguous key range of one space with one owner, and what is known of it from outside.

use bytes::Bytes;
use std::fmt;

use crate::digest::Digest;
use crate::history::History;
use crate::key::slot_start;
use crate::range::KeyRange;
use crate::slot::SLOTS;
use crate::version::Version;

/// Names a fragment within its space's lineage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FragmentId(pub u32);

impl fmt::Display for FragmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{}", self.0)
    }
}

impl fmt::Debug for FragmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What one fragment holds at one version: enough to compare two ends and to plan a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FragmentFacts {
    /// Which fragment.
    pub id: FragmentId,
    /// Its keys.
    pub range: KeyRange,
    /// Version of the last published commit; [`Version::ZERO`] before the first.
    pub head: Version,
    /// State digest of the live entries at `head`.
    pub state: Digest,
    /// Content digest of the live entries at `head`.
    pub content: Digest,
    /// Live entries, elements included.
    pub live: u64,
    /// Bytes of keys and values of the live entries.
    pub live_bytes: u64,
    /// Tombstones held.
    pub tombstones: u64,
    /// A peer below this version can't be told all deletions: it reconciles to find what it has too much.
    pub floor: Version,
    /// Who opened which epoch where.
    pub epochs: History,
}

impl FragmentFacts {
    /// The floor of a part of the range.
    pub fn floor_in(&self, range: &KeyRange) -> Version {
        self.floor.max(self.epochs.floor_in(range))
    }
}

/// The ranges of a hashed space that starts with `count` fragments: boundaries lie on slots.
///
/// # Panics
/// If `count` is 0 or above 16384.
pub fn hashed_ranges(count: u16) -> Vec<(FragmentId, KeyRange)> {
    assert!((1..=SLOTS).contains(&count), "a hashed space has 1 to {SLOTS} fragments, not {count}");
    let first_slot = |i: u16| u16::try_from(u32::from(SLOTS) * u32::from(i) / u32::from(count)).expect("at most 16384");
    let start = |i: u16| if i == 0 { Bytes::new() } else { Bytes::copy_from_slice(&slot_start(first_slot(i))) };
    (0..count)
        .map(|i| {
            let end = (i + 1 < count).then(|| start(i + 1));
            (FragmentId(u32::from(i)), KeyRange::new(start(i), end))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_ranges_cover_every_key_once() {
        for count in [1, 3, 64, SLOTS] {
            let ranges = hashed_ranges(count);
            assert_eq!(ranges.len(), usize::from(count));
            assert!(ranges[0].1.start.is_empty());
            assert!(ranges.windows(2).all(|pair| pair[0].1.end.as_ref() == Some(&pair[1].1.start)));
            assert!(ranges.last().is_some_and(|last| last.1.end.is_none()));
        }
    }
}
