//! Chooses how each range is brought up to date, and says why.
//!
//! The planner reads what both ends said of a fragment and returns [`Piece`]s; [`crate::source`] executes them. No piece is a copy
//! unless the target's range is empty (invariant I12).

use std::iter::Sum;

use limosa_core::planted::{self, Bug};
use limosa_core::{FragmentFacts, FragmentId, KeyRange, Version};
use limosa_wire::{HaveFragment, Method, PlanItem};

/// One range of one fragment and what it needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Which keys.
    pub range: KeyRange,
    /// How.
    pub method: Method,
    /// What the target's map says of the range; frames start from here.
    pub since: Version,
    /// Why.
    pub reason: &'static str,
}

/// Changes in a range since a version, as the source's summaries know them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Estimate {
    /// Entries that may have changed.
    pub entries: u64,
    /// Key and value bytes of those entries.
    pub bytes: u64,
    /// Key and value bytes of everything live in the range: what a copy would send.
    pub all_bytes: u64,
}

impl Sum for Estimate {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            entries: sum.entries + one.entries,
            bytes: sum.bytes + one.bytes,
            all_bytes: sum.all_bytes + one.all_bytes,
        })
    }
}

/// A method that was not chosen for an item of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alternative {
    /// Which.
    pub method: Method,
    /// What it would move, both directions, estimated; none where it can't be used.
    pub bytes: Option<u64>,
    /// Why not.
    pub why_not: &'static str,
}

/// Whether the target changed keys that the source's history does not know of: they must be replaced.
pub fn is_diverged(theirs: &HaveFragment) -> bool {
    theirs.each_part().any(|(_, head, common)| head != common)
}

/// Whether anything at the target must be replaced, whatever its version: only allowed under an epoch above every one it holds.
pub fn needs_epoch_above(pieces: &[Piece], theirs: &HaveFragment) -> bool {
    let replaces = pieces.iter().any(|piece| piece.method == Method::Reconcile);
    replaces || theirs.each_part().any(|(_, head, common)| head != common && !head.is_zero())
}

/// What a fragment needs: nothing (no pieces), or one piece for each range that differs. Same inputs, same pieces.
pub fn assess(ours: &FragmentFacts, theirs: &HaveFragment) -> Vec<Piece> {
    let whole = |method, since, reason| vec![Piece { range: ours.range.clone(), method, since, reason }];
    let stands_at = theirs.map.uniform();
    if theirs.parts.is_empty() && stands_at == Some(ours.head) && theirs.head == ours.head && !is_diverged(theirs) {
        if theirs.state == ours.state {
            return Vec::new();
        }
        return whole(Method::Reconcile, ours.head, "the versions are equal and the digests are not");
    }
    let parts = theirs.each_part().flat_map(|(part, head, common)| {
        let inside = theirs.map.iter().filter_map(|(range, since)| Some((range.intersect(&part)?, since)));
        inside.filter_map(|(range, since)| assess_range(ours, (head, common), range, since)).collect::<Vec<_>>()
    });
    parts.collect()
}

/// The target shows `head` in `range`, and shares `common` of it.
fn assess_range(ours: &FragmentFacts, (head, common): (Version, Version), range: KeyRange, since: Version) -> Option<Piece> {
    let (knows, floor) = (ours.epochs.contains_in(&range, since), ours.floor_in(&range));
    let piece = |method, reason| Some(Piece { range, method, since, reason });
    if since.is_zero() {
        if head.is_zero() || planted::has(Bug::CopyAnyway) {
            return if ours.head.is_zero() { None } else { piece(Method::Copy, "the target's range is empty") };
        }
        return piece(Method::Reconcile, "the epoch tables show no common point");
    }
    if since > ours.head || !knows {
        return piece(Method::Reconcile, "the target's version is not in this history");
    }
    if since < floor {
        return piece(Method::Reconcile, "deletions behind the target's version were collected");
    }
    if head != common && since == common {
        return piece(Method::Delta, "the histories part at a known point: the changes since, and the target's own tail replaced");
    }
    if since == ours.head {
        return None;
    }
    piece(Method::Delta, "the latest value of each key changed since a common version")
}

/// Whether the exact recent commits can bring every fragment up to date: each stands whole at a version of this history, and the target is
/// not empty (a copy is staged, so that readers never see half of it).
pub fn may_tail(ours: &[FragmentFacts], theirs: &[HaveFragment]) -> bool {
    ours.len() == theirs.len()
        && theirs.iter().any(|theirs| !theirs.head.is_zero())
        && ours.iter().zip(theirs).all(|(ours, theirs)| {
            let clean = theirs.parts.is_empty() && theirs.map.uniform() == Some(theirs.head) && !is_diverged(theirs);
            clean
                && theirs.head <= ours.head
                && ours.epochs.contains_in(&ours.range, theirs.head)
                && (theirs.head != ours.head || theirs.state == ours.state)
        })
}

/// Round trips and a stage cost about as much as this many bytes: below it the exact commits win even when they are more.
const TAIL_BONUS_BYTES: u64 = 64 << 10;

/// Whether sending `tail_bytes` of commits beats a delta of `delta_bytes`. No commits at all: the seal carries new epoch rows, a tail would not.
pub fn tail_wins(tail_bytes: u64, delta_bytes: u64) -> bool {
    tail_bytes > 0 && tail_bytes <= delta_bytes + TAIL_BONUS_BYTES
}

/// Bytes that comparing costs before it finds anything: the symbols that a target sends unasked.
const COMPARE_BYTES: u64 = 96 * 13;
/// Bytes that comparing costs for each difference, blocks and entries together: a guess, 8 symbols of 13 bytes.
const COMPARE_ENTRY_BYTES: u64 = 8 * 13;

/// The methods that were not chosen, what each would cost, and why not. `tail`: what the commits of all fragments cost, or why they can't be had.
pub fn alternatives(chosen: Method, estimate: Estimate, tail: Result<u64, &'static str>) -> Vec<Alternative> {
    let methods = [Method::Nothing, Method::Tail, Method::Delta, Method::Reconcile, Method::Copy];
    methods.into_iter().filter(|method| *method != chosen).map(|method| alternative(method, chosen, estimate, tail)).collect()
}

fn alternative(method: Method, chosen: Method, estimate: Estimate, tail: Result<u64, &'static str>) -> Alternative {
    let has_common = matches!(chosen, Method::Tail | Method::Delta);
    let compared = COMPARE_BYTES + COMPARE_ENTRY_BYTES * estimate.entries + estimate.bytes;
    let (bytes, why_not) = match method {
        Method::Nothing => (None, "the ends differ"),
        Method::Tail => match tail {
            Ok(bytes) => (Some(bytes), "the exact commits of all fragments are more than the latest values of what they changed"),
            Err(why) => (None, why),
        },
        Method::Delta if has_common => (Some(estimate.bytes), "a stage and its round trips cost more than the commits have too much"),
        Method::Delta => (None, "no version is known that both ends have and behind which all deletions are known"),
        Method::Reconcile if has_common => (Some(compared), "a common version is known: ids and round trips would come on top"),
        Method::Reconcile => (None, "the target's range is empty: there is nothing to compare with"),
        Method::Copy => (Some(estimate.all_bytes), "the target has state in common: nothing is copied that it has"),
    };
    Alternative { method, bytes, why_not }
}

/// The line of the plan for one piece.
pub fn item(fragment: FragmentId, piece: &Piece, estimate: Estimate) -> PlanItem {
    let reason = if piece.since.is_zero() { piece.reason.to_owned() } else { format!("{} (since {})", piece.reason, piece.since) };
    let range = Some(piece.range.clone());
    PlanItem { fragment, method: piece.method, entries: estimate.entries, bytes: estimate.bytes, reason, range }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::{Digest, EpochRow, EpochTable, IntervalMap};

    fn epochs(rows: &[(u32, u64)]) -> EpochTable {
        EpochTable::from_rows(rows.iter().map(|&(epoch, first_seq)| EpochRow { epoch, first_seq, opener: 1 }).collect()).expect("in order")
    }

    fn ours(head: Version, floor: Version) -> FragmentFacts {
        FragmentFacts {
            id: FragmentId(0),
            range: KeyRange::ALL,
            head,
            state: Digest(7),
            content: Digest(7),
            live: 10,
            live_bytes: 100,
            tombstones: 0,
            floor,
            epochs: epochs(&[(1, 1), (2, 51)]).into(),
        }
    }

    fn theirs(head: Version, common: Version, map: Version) -> HaveFragment {
        let map = IntervalMap::new(KeyRange::ALL, map);
        HaveFragment { id: FragmentId(0), head, state: Digest(7), live: 10, common, map, own_keys: Vec::new(), parts: Vec::new() }
    }

    #[test]
    fn the_cheapest_safe_method_is_chosen() {
        let v = Version::new;
        let (zero, head) = (Version::ZERO, v(2, 60));
        let drifted = HaveFragment { state: Digest(8), ..theirs(head, head, head) };
        let cases = [
            ("equal", ours(head, zero), theirs(head, head, head), None),
            ("both empty", ours(zero, zero), HaveFragment { live: 0, ..theirs(zero, zero, zero) }, None),
            ("drifted", ours(head, zero), drifted, Some(Method::Reconcile)),
            ("behind", ours(head, zero), theirs(v(1, 40), v(1, 40), v(1, 40)), Some(Method::Delta)),
            ("below the floor", ours(head, v(1, 45)), theirs(v(1, 40), v(1, 40), v(1, 40)), Some(Method::Reconcile)),
            ("own tail", ours(head, zero), theirs(v(1, 55), v(1, 50), v(1, 50)), Some(Method::Delta)),
            ("own tail, nothing new here", ours(v(1, 50), zero), theirs(v(1, 55), v(1, 50), v(1, 50)), Some(Method::Delta)),
            ("no table", ours(head, zero), theirs(v(2, 60), zero, zero), Some(Method::Reconcile)),
            ("empty target", ours(head, zero), theirs(zero, zero, zero), Some(Method::Copy)),
            ("version cut off by a power loss", ours(head, zero), theirs(v(1, 55), v(1, 50), v(1, 55)), Some(Method::Reconcile)),
        ];
        for (name, ours, theirs, method) in cases {
            let pieces = assess(&ours, &theirs);
            assert_eq!(pieces.first().map(|piece| piece.method), method, "{name}");
        }
    }

    #[test]
    fn each_alternative_says_what_it_would_move_or_why_it_can_not_be_used() {
        let estimate = Estimate { entries: 10, bytes: 1_000, all_bytes: 90_000 };
        let costs = |chosen, tail| alternatives(chosen, estimate, tail).into_iter().map(|one| (one.method, one.bytes)).collect::<Vec<_>>();
        assert_eq!(
            costs(Method::Delta, Ok(5_000)),
            [(Method::Nothing, None), (Method::Tail, Some(5_000)), (Method::Reconcile, Some(3_288)), (Method::Copy, Some(90_000))]
        );
        assert_eq!(
            costs(Method::Copy, Err("gone")),
            [(Method::Nothing, None), (Method::Tail, None), (Method::Delta, None), (Method::Reconcile, None)]
        );
        assert_eq!(costs(Method::Tail, Ok(500))[1], (Method::Delta, Some(1_000)));
        assert_eq!(costs(Method::Reconcile, Err("gone"))[3], (Method::Copy, Some(90_000)));
    }

    #[test]
    fn an_interrupted_copy_goes_on_where_its_map_says() {
        let mut target = theirs(Version::ZERO, Version::ZERO, Version::ZERO);
        target.map.set(&KeyRange::new(&b""[..], Some(b"m"[..].into())), Version::new(2, 55));
        let pieces = assess(&ours(Version::new(2, 60), Version::ZERO), &target);
        let methods: Vec<_> = pieces.iter().map(|piece| (piece.method, piece.since)).collect();
        assert_eq!(methods, [(Method::Delta, Version::new(2, 55)), (Method::Copy, Version::ZERO)]);
    }

    #[test]
    fn commits_are_replayed_only_onto_a_version_of_the_same_history() {
        let (head, old) = (Version::new(2, 60), Version::new(1, 40));
        let ours = [ours(head, Version::ZERO)];
        assert!(may_tail(&ours, &[theirs(old, old, old)]));
        assert!(!may_tail(&ours, &[theirs(old, Version::new(1, 30), Version::new(1, 30))]), "own tail");
        assert!(!may_tail(&ours, &[theirs(Version::new(1, 55), Version::new(1, 55), Version::new(1, 55))]), "beyond the cut");
        assert!(tail_wins(10, 0) && !tail_wins(1 << 20, 1 << 10));
    }
}
