//! Which peer still needs which deletions: a lease holds tombstones back for a standby, within bounds of time and bytes.
//!
//! A lease says up to which version of each fragment a standby has everything durably. Deletions behind the lowest lease are kept, so that
//! the standby comes back by a delta. One that stays away too long, or costs too much, loses its lease; it then compares by content, which
//! is dearer and just as safe.
//!
//! ```text
//! record, and fact of the checkpoint:  leases | { name | incarnation (8) | renewed, ms | fragments | { fragment | version } }
//! ```
//! # Not here
//! - Raising floors and collecting: `house`.

use std::collections::BTreeMap;

use limosa_core::commit::read_u32;
use limosa_core::limits::COMMIT_PARTS_MAX;
use limosa_core::varint::{self, Reader};
use limosa_core::{DecodeError, FragmentId, Scope, Version};

use crate::codec::{put_version, read_version};

/// Most leases: as many as there can be peers, and some that are away.
pub(crate) const LEASES_MAX: usize = 256;
/// Longest name of a node, bytes.
const NAME_BYTES_MAX: usize = 256;
/// What a remembered deletion costs in memory, about, bytes.
pub(crate) const DELETION_BYTES: u64 = 64;

/// How long, and at what cost, deletions are remembered for a standby that is away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseBounds {
    /// A lease ends when it was not renewed for so long, milliseconds. Default: 24 hours.
    pub age_ms: u64,
    /// The longest unrenewed lease ends when remembered deletions take more than this share of the live bytes, in per cent. A deletion
    /// counts as 64 bytes. Default: 10.
    pub percent: u8,
    /// Deletions of fewer bytes than this are never too many. Default: 64 MiB.
    pub bytes_min: u64,
}

impl Default for LeaseBounds {
    fn default() -> Self {
        Self { age_ms: 24 * 3_600_000, percent: 10, bytes_min: 64 << 20 }
    }
}

impl LeaseBounds {
    /// Bytes that deletions may take beside `live_bytes`.
    pub fn bytes(&self, live_bytes: u64) -> u64 {
        (live_bytes / 100 * u64::from(self.percent)).max(self.bytes_min)
    }
}

/// A lease, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseFacts {
    /// The standby's name.
    pub peer: String,
    /// Its data folder's random id.
    pub incarnation: u64,
    /// When it was last heard of, milliseconds since the Unix epoch.
    pub renewed_ms: u64,
    /// When the lease ends if it is not heard of again.
    pub ends_ms: u64,
    /// What it has of each fragment, durably.
    pub held: BTreeMap<FragmentId, Version>,
}

/// What one standby has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Lease {
    incarnation: u64,
    renewed_ms: u64,
    held: BTreeMap<FragmentId, Version>,
}

/// All leases of this node, by the standby's name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Leases {
    all: BTreeMap<String, Lease>,
    /// Whose leases the journal has.
    saved: Vec<String>,
}

impl Leases {
    /// Takes note of what `peer` has. Where `floors` are above it, its deletions there are gone already: the lease begins at the floor,
    /// so that nothing more goes while it catches up. A peer with another data folder is another peer.
    pub(crate) fn renew(
        &mut self,
        peer: &str,
        incarnation: u64,
        now_ms: u64,
        held: impl Iterator<Item = (FragmentId, Version)>,
        floors: impl Fn(FragmentId) -> Version,
    ) {
        if !self.all.contains_key(peer) && self.all.len() >= LEASES_MAX {
            return; // it will compare by content, as one without a lease does
        }
        let lease = self.all.entry(peer.to_owned()).or_default();
        if lease.incarnation != incarnation {
            *lease = Lease { incarnation, ..Lease::default() };
        }
        lease.renewed_ms = lease.renewed_ms.max(now_ms);
        lease.held.extend(held.map(|(id, version)| (id, version.max(floors(id)))));
    }

    /// Fragments were split or merged: who has something of what they were has it of what they become. Of a merged fragment a peer has what
    /// it has of the part that it is further behind in: that keeps a little too much, and nothing too little. What was held of the parents
    /// stays: until the trees follow, their floors are still looked at.
    pub(crate) fn reframe(&mut self, takes: &[FragmentId], makes: &[FragmentId]) {
        for lease in self.all.values_mut() {
            let Some(held) = takes.iter().filter_map(|id| lease.held.get(id)).min().copied() else { continue };
            lease.held.extend(makes.iter().map(|id| (*id, held)));
        }
    }

    /// `peer` has nothing to do with the fragments in `scope` any more.
    pub(crate) fn end(&mut self, peer: &str, scope: &Scope) {
        let Some(lease) = self.all.get_mut(peer) else { return };
        lease.held.retain(|id, _| !scope.has(*id));
        if lease.held.is_empty() {
            self.all.remove(peer);
        }
    }

    /// `peer` is still there.
    pub(crate) fn touch(&mut self, peer: &str, now_ms: u64) {
        if let Some(lease) = self.all.get_mut(peer) {
            lease.renewed_ms = lease.renewed_ms.max(now_ms);
        }
    }

    /// The newest version of a fragment below which no lease needs a deletion; `None` when nobody needs any.
    pub(crate) fn lowest(&self, fragment: FragmentId) -> Option<Version> {
        self.all.values().filter_map(|lease| lease.held.get(&fragment)).min().copied()
    }

    /// Ends the leases that were not renewed for too long; answers whose.
    pub(crate) fn end_old(&mut self, now_ms: u64, bounds: LeaseBounds) -> Vec<String> {
        let is_old = |lease: &Lease| now_ms.saturating_sub(lease.renewed_ms) > bounds.age_ms;
        let old: Vec<String> = self.all.iter().filter(|(_, lease)| is_old(lease)).map(|(name, _)| name.clone()).collect();
        self.all.retain(|name, _| !old.contains(name));
        old
    }

    /// Ends the lease that holds something below `heads` and was not renewed for longest; answers whose.
    pub(crate) fn end_dearest(&mut self, heads: &[(FragmentId, Version)]) -> Option<String> {
        let holds = |lease: &Lease| heads.iter().any(|(id, head)| lease.held.get(id).is_some_and(|held| held < head));
        let name = self.all.iter().filter(|(_, lease)| holds(lease)).min_by_key(|(_, lease)| lease.renewed_ms)?.0.clone();
        self.all.remove(&name);
        Some(name)
    }

    /// Whether a lease was made or ended since [`Leases::save`].
    pub(crate) fn is_unsaved(&self) -> bool {
        !self.all.keys().eq(&self.saved)
    }

    /// The bytes for the journal, which has them from here on.
    pub(crate) fn save(&mut self) -> Vec<u8> {
        self.saved = self.all.keys().cloned().collect();
        self.encode()
    }

    pub(crate) fn facts(&self, bounds: LeaseBounds) -> Vec<LeaseFacts> {
        let facts = |(peer, lease): (&String, &Lease)| LeaseFacts {
            peer: peer.clone(),
            incarnation: lease.incarnation,
            renewed_ms: lease.renewed_ms,
            ends_ms: lease.renewed_ms.saturating_add(bounds.age_ms),
            held: lease.held.clone(),
        };
        self.all.iter().map(facts).collect()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, self.all.len() as u64);
        for (name, lease) in &self.all {
            varint::put_bytes(&mut out, name.as_bytes());
            out.extend_from_slice(&lease.incarnation.to_le_bytes());
            varint::put(&mut out, lease.renewed_ms);
            put_floors(&mut out, &lease.held.iter().map(|(id, version)| (*id, *version)).collect::<Vec<_>>());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let count = reader.varint_max("leases", LEASES_MAX as u64)?;
        let mut all = BTreeMap::new();
        for _ in 0..count {
            let name = std::str::from_utf8(reader.bytes_max("lease.name", NAME_BYTES_MAX)?);
            let name = name.map_err(|_| DecodeError::Invalid { field: "lease.name", why: "not UTF-8" })?.to_owned();
            let incarnation = u64::from_le_bytes(reader.array("lease.incarnation")?);
            let renewed_ms = reader.varint("lease.renewed")?;
            let held = read_floors(&mut reader)?.into_iter().collect();
            all.insert(name, Lease { incarnation, renewed_ms, held });
        }
        let saved = all.keys().cloned().collect();
        Ok(Self { all, saved })
    }
}

/// Appends fragments | { fragment | version }: the body of a record that raises floors, and what a lease holds.
pub(crate) fn put_floors(out: &mut Vec<u8>, floors: &[(FragmentId, Version)]) {
    varint::put(out, floors.len() as u64);
    for (id, version) in floors {
        varint::put(out, u64::from(id.0));
        put_version(out, *version);
    }
}

/// The inverse of [`put_floors`].
pub(crate) fn read_floors(reader: &mut Reader<'_>) -> Result<Vec<(FragmentId, Version)>, DecodeError> {
    let count = reader.varint_max("floors", COMMIT_PARTS_MAX)?;
    (0..count).map(|_| Ok((FragmentId(read_u32(reader, "floor.fragment")?), read_version(reader)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: FragmentId = FragmentId(3);

    fn v(seq: u64) -> Version {
        Version::new(1, seq)
    }

    fn with(leases: &[(&str, u64, u64)]) -> Leases {
        let mut all = Leases::default();
        for (name, seq, now_ms) in leases {
            all.renew(name, 7, *now_ms, [(F, v(*seq))].into_iter(), |_| v(10));
        }
        all
    }

    #[test]
    fn the_lowest_lease_counts_and_one_below_the_floor_begins_at_it() {
        let mut leases = with(&[("b", 30, 1), ("c", 20, 1), ("d", 4, 1)]);
        assert_eq!(leases.lowest(F), Some(v(10)));
        leases.renew("d", 7, 2, [(F, v(25))].into_iter(), |_| v(10));
        assert_eq!(leases.lowest(F), Some(v(20)));
        leases.renew("c", 8, 2, [(F, Version::ZERO)].into_iter(), |_| v(12));
        assert_eq!(leases.lowest(F), Some(v(12)), "a new folder has nothing of the old one");
        assert_eq!(leases.lowest(FragmentId(4)), None);
    }

    #[test]
    fn a_lease_follows_splits_and_merges() {
        let mut leases = with(&[("b", 30, 1)]);
        let [left, right, merged] = [FragmentId(4), FragmentId(5), FragmentId(6)];
        leases.reframe(&[F], &[left, right]);
        assert_eq!((leases.lowest(left), leases.lowest(right)), (Some(v(30)), Some(v(30))));
        leases.renew("b", 7, 2, [(left, v(40))].into_iter(), |_| v(10));
        leases.reframe(&[left, right], &[merged]);
        assert_eq!(leases.lowest(merged), Some(v(30)));
    }

    #[test]
    fn leases_end_by_age_and_the_longest_unrenewed_one_by_cost() {
        let mut leases = with(&[("b", 30, 1_000), ("c", 20, 2_000), ("d", 40, 500)]);
        let bounds = LeaseBounds { age_ms: 1_200, percent: 10, bytes_min: 64 };
        assert_eq!(leases.end_old(2_000, bounds), ["d"]);
        assert_eq!(leases.end_dearest(&[(F, v(30))]).as_deref(), Some("c"), "b holds nothing back");
        assert_eq!(leases.end_dearest(&[(F, v(30))]), None);
        leases.touch("b", 9_000);
        assert_eq!(leases.end_old(9_500, bounds), Vec::<String>::new());
        assert_eq!(bounds.bytes(10_000_000_000), 1_000_000_000);
        assert_eq!(bounds.bytes(1), 64);
    }

    #[test]
    fn leases_round_trip_and_hostile_bytes_do_not_panic() {
        let mut leases = with(&[("b", 30, 1_000), ("c", 20, 2_000)]);
        assert!(leases.is_unsaved());
        let bytes = leases.save();
        assert!(!leases.is_unsaved());
        assert_eq!(Leases::decode(&bytes), Ok(leases));
        assert!((0..bytes.len()).all(|end| Leases::decode(&bytes[..end]).is_err()));
    }
}
