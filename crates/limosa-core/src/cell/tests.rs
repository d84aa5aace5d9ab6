//! Every change from every cell that three nodes can reach in a few steps, and the rules by name.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::*;

fn name(text: &str) -> NodeName {
    text.parse().expect("a good name")
}

fn nodes() -> [NodeName; 3] {
    ["a", "b", "c"].map(name)
}

fn cell() -> FragmentCell {
    FragmentCell::new("main", FragmentId(7), 1, KeyRange::ALL, name("a"))
}

fn with_members(members: &[&str]) -> FragmentCell {
    members.iter().fold(cell(), |cell, member| cell.join(&name("a"), &name(member), Version::ZERO).expect("the owner asks"))
}

fn planned(to: &str) -> Move {
    Move { id: 5, to: name(to), deadline_ms: 100 }
}

fn sealed(version: Version, members: &[&str]) -> Sealed {
    Sealed { version, state: Digest(9), sync_set: members.iter().map(|member| name(member)).collect() }
}

/// Every legal change of `cell` by any node.
fn successors(cell: &FragmentCell) -> Vec<FragmentCell> {
    let mut out = Vec::new();
    let seals = [Version::new(cell.epoch, 3), Version::ZERO];
    for by in &nodes() {
        for other in &nodes() {
            out.extend(cell.prepare(by, Move { id: 5, to: other.clone(), deadline_ms: 100 }));
            out.extend(cell.join(by, other, cell.committed));
            out.extend(cell.leave(by, other, cell.committed, false));
            out.extend(cell.leave(by, other, cell.committed, true));
            out.extend(cell.expel(by, other, cell.committed));
            out.extend(cell.assign(by, other));
            out.extend(cell.unassign(by, other));
        }
        for version in seals {
            let everybody: BTreeSet<NodeName> = nodes().into_iter().collect();
            out.extend(cell.commit(by, 5, Sealed { version, state: Digest(9), sync_set: everybody }));
            out.extend(cell.promote(by, version, &nodes()));
            out.extend(cell.promote_accept_loss(by, version, &nodes()));
            out.extend(cell.note(by, version));
        }
        out.extend([0, 100].into_iter().filter_map(|now| cell.abort(by, 5, now).ok()));
        out.extend(cell.fence(by));
        out.extend(cell.require(by, 1));
        out.extend(cell.shrink(by));
        out.extend([0, cell.epoch + 1].into_iter().filter_map(|held| cell.reopen(by, held).ok()));
        out.push(cell.fence_accept_loss(by));
    }
    out
}

/// Whoever fenced enough shares a member with each set that acknowledged a write and with each that lent a lease.
fn assert_quorums_meet(cell: &FragmentCell) {
    let (members, fence) = (cell.sync_set.len(), cell.fence_quorum());
    let (flushes, lease) = (cell.flushes_needed(), cell.lease_quorum());
    assert!(fence <= members && lease <= members, "there are that many: {cell:?}");
    assert!(members == 0 || fence >= 1 && lease + fence > members, "a fence outlives each lease: {cell:?}");
    let is_promised = flushes > 0 && flushes <= members; // else writes wait, or nothing is promised of the members
    assert!(!is_promised || flushes + fence > members, "a fence finds each acknowledged write: {cell:?}");
}

#[test]
fn every_reachable_change_is_legal_and_no_epoch_ever_has_two_owners() {
    // Walk all histories up to some length by cells; the owner of each epoch is part of what is remembered.
    let mut frontier = vec![(cell(), BTreeMap::from([(1u32, name("a"))]))];
    let mut seen = HashSet::new();
    let (mut changes, mut epochs) = (0, 0);
    for _ in 0..9 {
        let mut next = Vec::new();
        for (before, owners) in frontier {
            for after in successors(&before) {
                changes += 1;
                after.check_follows(&before).expect("a change makes legal cells only");
                assert_quorums_meet(&after);
                let mut owners = owners.clone();
                if let Some(owner) = after.owner() {
                    let first = owners.entry(after.epoch).or_insert_with(|| owner.clone());
                    assert_eq!(first, owner, "two owners at epoch {}: {before:?} then {after:?}", after.epoch);
                }
                epochs = epochs.max(after.epoch);
                if seen.insert(format!("{after:?}{owners:?}")) {
                    next.push((after, owners));
                }
            }
        }
        frontier = next;
        frontier.truncate(4000);
    }
    assert!(changes > 50_000 && epochs >= 5, "the walk went too short a way: {changes} changes, epoch {epochs}");
}

#[test]
fn commit_and_abort_of_one_move_exclude_each_other() {
    let prepared = with_members(&["b"]).prepare(&name("a"), planned("b")).expect("at rest");
    let committed = prepared.commit(&name("a"), 5, sealed(Version::new(1, 9), &["a"])).expect("sealed");
    let aborted = prepared.abort(&name("a"), 5, 0).expect("the owner may");
    assert_eq!((committed.epoch, aborted.epoch), (2, 2));
    assert_eq!(committed.abort(&name("a"), 5, 1000), Err(Refusal::NoSuchMove { fragment: FragmentId(7) }));
    assert_eq!(aborted.commit(&name("a"), 5, sealed(Version::new(1, 9), &["a"])), Err(Refusal::NoSuchMove { fragment: FragmentId(7) }));
    assert_eq!(committed.owner(), Some(&name("b")));
    assert_eq!(committed.sync_set, BTreeSet::from([name("a")]), "the source stays as the natural standby");
}

#[test]
fn only_the_owner_commits_and_others_abort_only_after_the_deadline() {
    let prepared = cell().prepare(&name("a"), planned("b")).expect("at rest");
    assert!(matches!(prepared.commit(&name("b"), 5, sealed(Version::new(1, 9), &["a"])), Err(Refusal::NotOwner { .. })));
    assert!(matches!(prepared.abort(&name("c"), 5, 99), Err(Refusal::NotDue { .. })));
    assert_eq!(prepared.abort(&name("c"), 5, 100).expect("due").running, None);
    assert!(matches!(prepared.prepare(&name("a"), planned("c")), Err(Refusal::Moving { .. })));
}

#[test]
fn a_fence_needs_a_member_and_only_its_raiser_is_promoted() {
    let serving = with_members(&["b"]);
    assert!(matches!(serving.fence(&name("c")), Err(Refusal::NotMember { .. })));
    assert!(matches!(serving.promote(&name("b"), Version::ZERO, &[]), Err(Refusal::NotFenced { .. })));
    let fenced = serving.fence(&name("b")).expect("a member");
    assert_eq!((fenced.epoch, fenced.owner()), (2, None));
    assert!(matches!(fenced.promote(&name("a"), Version::ZERO, &[]), Err(Refusal::NotMember { .. })));
    let again = fenced.fence(&name("a")).expect("the one that served holds everything");
    assert!(matches!(again.promote(&name("b"), Version::ZERO, &[]), Err(Refusal::NotMember { .. })), "its fence was raised over");
    assert_eq!(again.promote(&name("a"), Version::ZERO, &[name("b")]).expect("its own fence").epoch, 3);
}

#[test]
fn a_node_behind_what_is_committed_is_not_promoted_unless_the_loss_is_accepted() {
    let fenced = with_members(&["b"]).note(&name("a"), Version::new(1, 50)).expect("the owner").fence(&name("b")).expect("a member");
    let holds = Version::new(1, 40);
    assert!(matches!(fenced.promote(&name("b"), holds, &[]), Err(Refusal::Behind { .. })));
    let promoted = fenced.promote_accept_loss(&name("b"), holds, &[]).expect("an operator's word");
    assert_eq!((promoted.committed, promoted.marks.accepted_loss_epoch), (holds, 2));
}

#[test]
fn the_sync_set_shrinks_below_what_must_flush_only_by_an_explicit_setting() {
    let (a, b) = (name("a"), name("b"));
    let strict = with_members(&["b"]).require(&a, 1).expect("one member is there");
    assert!(matches!(strict.leave(&a, &b, Version::ZERO, false), Err(Refusal::TooFewMembers { needed: 1, left: 0, .. })));
    let shrunk = strict.leave(&a, &b, Version::ZERO, true).expect("an explicit setting");
    assert!(shrunk.marks.shrunk);
    assert!(!shrunk.join(&a, &b, Version::ZERO).expect("back").marks.shrunk);
    assert!(matches!(cell().require(&a, 1), Err(Refusal::TooFewMembers { .. })));
    let prepared = strict.prepare(&a, planned("b")).expect("at rest");
    assert!(
        matches!(prepared.commit(&a, 5, sealed(Version::ZERO, &[])), Err(Refusal::TooFewMembers { .. })),
        "a plan without one is blocked"
    );
}

#[test]
fn halves_cover_the_whole_and_come_together_again_each_time_at_a_higher_epoch() {
    let whole = with_members(&["b"]);
    let at = Version::new(1, 7);
    let (left, right) = whole.split(b"m", (FragmentId(8), 2), (FragmentId(9), 3), at).expect("inside");
    assert_eq!(left.range.end.as_deref(), Some(&b"m"[..]));
    assert_eq!(right.range.start, &b"m"[..]);
    assert_eq!((left.epoch, right.epoch, left.committed, right.committed), (2, 2, at, at));
    let sealed = (Version::new(1, 7), Version::new(2, 9));
    let merged = left.merge(&right, (FragmentId(10), 4), sealed).expect("neighbours");
    assert_eq!((merged.range.clone(), merged.epoch), (whole.range.clone(), 4), "above the epoch of the merge's own version");
    assert_eq!(merged.committed, Version::new(3, 10), "every member has it, or makes it");
    assert_eq!(
        merged.joined.as_ref().map(|joined| (joined.seam.as_ref(), joined.left, joined.right)),
        Some((&b"m"[..], sealed.0, sealed.1))
    );
    let (part, _) = merged.split(b"m", (FragmentId(11), 5), (FragmentId(12), 6), merged.committed).expect("inside");
    assert_eq!((part.joined, part.epoch), (None, 5));
}

#[test]
fn what_is_split_or_merged_is_at_rest_lies_side_by_side_and_has_one_owner_and_nothing_above_the_seal() {
    let whole = with_members(&["b"]);
    let (left_id, right_id, zero) = ((FragmentId(8), 2), (FragmentId(9), 3), Version::ZERO);
    let (left, right) = whole.split(b"m", left_id, right_id, zero).expect("inside");
    assert!(matches!(whole.split(b"", left_id, right_id, zero), Err(Refusal::Ranges { .. })));
    assert!(matches!(whole.split(b"m", left_id, left_id, zero), Err(Refusal::Ranges { .. })));
    let moving = whole.prepare(&name("a"), planned("b")).expect("at rest");
    assert!(matches!(moving.split(b"m", left_id, right_id, zero), Err(Refusal::Moving { .. })));
    let id = (FragmentId(10), 4);
    assert!(matches!(right.merge(&left, id, (zero, zero)), Err(Refusal::Ranges { .. })), "the wrong way round");
    let elsewhere = right.fence(&name("b")).expect("a member").promote(&name("b"), zero, &[]).expect("fenced");
    assert!(matches!(left.merge(&elsewhere, id, (zero, zero)), Err(Refusal::Ranges { .. })), "of another owner");
    let noted = left.note(&name("a"), Version::new(1, 5)).expect("the owner asks");
    assert!(matches!(noted.merge(&right, id, (Version::new(1, 4), zero)), Err(Refusal::Behind { .. })));
}

#[test]
fn a_cell_remembers_its_last_intents() {
    let marked = (0..20).fold(cell(), |cell, i| cell.marked(Intent(i)));
    assert_eq!(marked.intents.len(), INTENTS_KEPT);
    assert!(marked.carried_out(Intent(19)) && marked.carried_out(Intent(12)) && !marked.carried_out(Intent(11)));
}

#[test]
fn a_restart_raises_the_epoch_above_all_that_its_store_holds_and_ends_its_move() {
    let prepared = with_members(&["b"]).prepare(&name("a"), planned("b")).expect("at rest");
    let again = prepared.reopen(&name("a"), 0).expect("the owner");
    assert_eq!((again.epoch, &again.running), (2, &None));
    assert!(matches!(again.commit(&name("a"), 5, sealed(Version::new(1, 9), &["a"])), Err(Refusal::NoSuchMove { .. })));
    assert_eq!(again.reopen(&name("a"), 7).expect("the owner").epoch, 8);
    assert!(matches!(again.reopen(&name("b"), 0), Err(Refusal::NotOwner { .. })));
}

#[test]
fn a_replica_joins_and_who_is_not_complete_after_a_change_of_owner_becomes_one() {
    let (a, b, c) = (name("a"), name("b"), name("c"));
    let assigned = cell().assign(&a, &b).expect("asked").assign(&a, &c).expect("asked");
    assert!(matches!(assigned.assign(&a, &b), Err(Refusal::AlreadyThere { .. })));
    assert_eq!(assigned.unassign(&a, &c).expect("there").replicas, BTreeSet::from([b.clone()]));
    let joined = assigned.join(&a, &b, Version::ZERO).expect("complete");
    assert_eq!((joined.sync_set.clone(), joined.replicas.clone()), (BTreeSet::from([b.clone()]), BTreeSet::from([c.clone()])));
    let promoted = joined.fence(&b).expect("a member").promote(&b, Version::ZERO, &[]).expect("fenced");
    assert_eq!((promoted.sync_set.len(), promoted.replicas), (0, BTreeSet::from([a.clone(), c.clone()])), "the former owner follows");
    let moved = joined.join(&a, &c, Version::ZERO).expect("complete").prepare(&a, planned("c")).expect("at rest");
    let moved = moved.commit(&a, 5, sealed(Version::new(1, 9), &["a"])).expect("sealed");
    assert_eq!((moved.sync_set, moved.replicas), (BTreeSet::from([a]), BTreeSet::from([b])), "b lagged behind the seal");
}

#[test]
fn fewer_flushes_are_enough_only_by_an_explicit_word() {
    let (a, b) = (name("a"), name("b"));
    let strict = with_members(&["b", "c"]).require(&a, 1).expect("two are there");
    assert_eq!((strict.flushes_needed(), strict.fence_quorum(), strict.lease_quorum()), (1, 2, 1));
    let alone = strict.fence(&b).expect("a member").promote(&b, Version::ZERO, &[]).expect("fenced");
    assert_eq!((alone.flushes_needed(), alone.marks.shrunk), (1, false), "writes wait until somebody joins");
    let shrunk = alone.shrink(&b).expect("the owner");
    assert_eq!((shrunk.flushes_needed(), shrunk.fence_quorum(), shrunk.marks.shrunk), (0, 0, true));
    assert!(!shrunk.join(&b, &a, Version::ZERO).expect("complete").marks.shrunk);
}
