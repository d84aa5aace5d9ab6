//! One fragment, as operators see it.

use std::fmt;

use limosa_core::{FragmentFacts, KeyRange, key, slot};
use serde::{Deserialize, Serialize};

use super::hex64;

/// (epoch, seq) of a write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Version {
    /// Count of ownership changes.
    pub epoch: u32,
    /// Dense within one epoch row.
    pub seq: u64,
}

impl From<limosa_core::Version> for Version {
    fn from(version: limosa_core::Version) -> Self {
        Self { epoch: version.epoch, seq: version.seq }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// The Redis Cluster slots of a fragment, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Slots {
    /// First slot.
    pub first: u16,
    /// Last slot.
    pub last: u16,
}

impl Slots {
    /// The slots that a range of a hashed space touches.
    pub fn of(range: &KeyRange) -> Self {
        let first = key::slot(&range.start).unwrap_or(0);
        let behind = range.end.as_ref().and_then(|end| key::slot(end)).unwrap_or(slot::SLOTS);
        Self { first, last: behind.saturating_sub(1).max(first) }
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// What a standby has of a fragment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Its name.
    pub peer: String,
    /// The newest version that it has durably; none before its first complete copy.
    pub version: Option<Version>,
}

/// One opening of an epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch.
    pub epoch: u32,
    /// First seq that it can give.
    pub first_seq: u64,
    /// Who opened it: random, hexadecimal.
    pub opener: String,
}

/// What a node holds of one fragment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fragment {
    /// Its number.
    pub id: u32,
    /// Its slots.
    pub slots: Slots,
    /// Version of the last published commit.
    pub head: Version,
    /// Newest version that is flushed to disk.
    pub durable: Version,
    /// What each standby has durably.
    pub acknowledged: Vec<Acknowledged>,
    /// Digest of keys, values, expiries and versions at `head`, hexadecimal.
    pub state_digest: String,
    /// Digest of keys, values and expiries at `head`, hexadecimal.
    pub content_digest: String,
    /// Live entries, elements included.
    pub live: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Deletions remembered.
    pub tombstones: u64,
    /// A peer below this version must reconcile.
    pub floor: Version,
    /// Its history, oldest first.
    pub epochs: Vec<EpochRow>,
}

impl Fragment {
    /// A fragment from what the store knows of it, the versions that the driver knows beside it.
    pub fn new(facts: &FragmentFacts, durable: limosa_core::Version, acknowledged: Vec<Acknowledged>) -> Self {
        let row = |row: &limosa_core::EpochRow| EpochRow { epoch: row.epoch, first_seq: row.first_seq, opener: hex64(row.opener) };
        Self {
            id: facts.id.0,
            slots: Slots::of(&facts.range),
            head: facts.head.into(),
            durable: durable.into(),
            acknowledged,
            state_digest: format!("{:032x}", facts.state.0),
            content_digest: format!("{:032x}", facts.content.0),
            live: facts.live,
            bytes: facts.live_bytes,
            tombstones: facts.tombstones,
            floor: facts.floor.into(),
            epochs: facts.epochs.rows().iter().map(row).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_of_all_fragments_follow_each_other_without_a_gap() {
        let slots: Vec<_> = limosa_core::fragment::hashed_ranges(64).iter().map(|(_, range)| Slots::of(range)).collect();
        assert_eq!((slots[0].first, slots[63].last), (0, 16383));
        assert!(slots.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
        assert_eq!(slots[0].to_string(), "0-255");
    }
}
