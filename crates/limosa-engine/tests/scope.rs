//! Sessions about some fragments: what is not in scope is neither said nor sent, and fragments leave at any step.

mod world;

use limosa_core::{FragmentFacts, FragmentId, Scope, Version};
use limosa_engine::source::{Epochs, Permit};
use limosa_wire::{Method, Purpose};
use world::node::Node;
use world::pair::Pair;

const FRAGMENTS: u16 = 8;

fn owner_with(keys: u32) -> Node {
    let mut owner = Node::new(FRAGMENTS, 1);
    owner.open_epoch(0);
    (0..keys).for_each(|i| owner.put(&format!("key{i}"), &format!("value {i}")));
    owner.flush();
    owner
}

fn ids(range: std::ops::Range<u32>) -> Vec<FragmentId> {
    range.map(FragmentId).collect()
}

fn half() -> Scope {
    Scope::only(ids(0..4))
}

fn of(node: &Node, scope: &Scope) -> Vec<FragmentFacts> {
    node.facts().into_iter().filter(|facts| scope.has(facts.id)).collect()
}

fn pair(keys: u32, scope: Scope, seed: u64) -> Pair {
    let mut pair = Pair::new(owner_with(keys), Node::new(FRAGMENTS, 50), seed);
    pair.scope = scope;
    pair
}

/// Ends that agree in the scope.
fn agreed(keys: u32, scope: Scope, seed: u64) -> Pair {
    let mut pair = pair(keys, scope, seed);
    pair.connect();
    pair.settle();
    pair.assert_equal_in(&pair.scope.clone());
    pair.trace.clear();
    pair.methods.clear();
    pair.owner.sent.clear();
    pair.owner.frame_entries = 0;
    pair
}

/// Whether anything of fragments outside of `scope` was sent.
fn sent_outside(pair: &Pair, scope: &Scope) -> usize {
    let outside: Vec<_> = pair.owner.facts().into_iter().filter(|facts| !scope.has(facts.id)).collect();
    let is_outside = |key: &[u8]| outside.iter().any(|facts| facts.range.contains(key));
    pair.owner.sent.keys().filter(|(key, _)| is_outside(key)).count()
}

#[test]
fn only_the_scope_is_copied() {
    let pair = agreed(400, half(), 1);
    let rest = Scope::only(ids(4..8));
    assert!(of(&pair.standby, &rest).iter().all(|facts| facts.head == Version::ZERO && facts.live == 0));
    assert_eq!(pair.errors, []);
}

#[test]
fn equal_ends_of_a_scope_find_it_out_in_one_exchange_whatever_the_rest_is() {
    let mut pair = agreed(300, half(), 2);
    pair.cut_connection();
    pair.connect();
    pair.settle();
    assert_eq!(pair.trace, ["Offer"]);
}

#[test]
fn commits_outside_the_scope_are_not_streamed() {
    let mut pair = agreed(300, half(), 3);
    (0..200).for_each(|i| pair.owner.put(&format!("key{i}"), "changed"));
    pair.owner_published();
    pair.settle();
    pair.assert_equal_in(&half());
    assert_eq!(sent_outside(&pair, &half()), 0);
    assert_eq!(pair.acknowledged, pair.owner.position(), "what is outside holds nothing up");
    pair.cut_connection();
    (0..30).for_each(|i| pair.owner.put(&format!("key{i}"), "changed again"));
    pair.connect();
    pair.settle();
    assert_eq!(pair.methods, [Method::Tail]);
    assert_eq!(sent_outside(&pair, &half()), 0);
}

#[test]
fn a_source_offers_no_more_than_it_may_send() {
    let mut pair = pair(300, Scope::only(ids(2..6)), 4);
    pair.permit.scope = half();
    pair.connect();
    pair.settle();
    pair.assert_equal_in(&Scope::only(ids(2..4)));
    assert_eq!(sent_outside(&pair, &Scope::only(ids(2..4))), 0);
    assert!(pair.is_connected() && pair.errors.is_empty());

    pair.scope = Scope::only(ids(4..6));
    pair.connect();
    pair.settle();
    let codes: Vec<_> = pair.errors.iter().map(limosa_engine::SessionError::code).collect();
    assert_eq!(codes, ["session.scope"]);
}

/// Every phase is met by some number of steps: copies, deltas and comparisons, with writers, before and behind the seal.
#[test]
fn fragments_leave_at_any_step_and_the_rest_goes_on() {
    for steps in 0..160 {
        for by_source in [true, false] {
            leave_after(steps, by_source);
        }
    }
}

fn leave_after(steps: u64, by_source: bool) {
    let case = format!("steps {steps}, by source {by_source}");
    let mut pair = agreed(120, half(), steps);
    pair.cut_connection();
    match steps % 3 {
        0 => pair.owner.keep_commits(2),
        1 => pair.standby.forget_history(), // compares by content
        _ => {}
    }
    (0..60).for_each(|i| pair.owner.put(&format!("key{i}"), "changed"));
    if steps % 3 == 1 {
        pair.owner.open_epoch(0);
    }
    let before = of(&pair.standby, &half());
    pair.connect();
    pair.steps(steps);
    pair.leave(by_source, &ids(1..3));
    pair.steps(10);
    (0..120).for_each(|i| pair.owner.put(&format!("key{i}"), "changed once more"));
    pair.owner_published();
    let seen = of(&pair.standby, &Scope::only(ids(1..3)));
    pair.settle();
    assert_eq!(pair.errors, [], "{case}");
    assert!(pair.is_connected(), "{case}");
    let stays = Scope::only([FragmentId(0), FragmentId(3)]);
    pair.assert_equal_in(&stays);
    assert!(!pair.standby.has_stage(), "{case}");
    for facts in of(&pair.standby, &Scope::only(ids(1..3))) {
        let old = before.iter().find(|old| old.id == facts.id).expect("it was there");
        let owners = pair.owner.facts().into_iter().find(|owners| owners.id == facts.id).expect("it is there");
        assert!(facts.head >= old.head && facts.head < owners.head, "{case}: {} {} {}", facts.id, facts.head, owners.head);
    }
    assert!(!seen.is_empty());
    // Nothing that was left behind is in the way of the next session.
    pair.connect();
    pair.settle();
    pair.assert_equal_in(&half());
    assert_eq!(pair.errors, [], "{case}");
}

#[test]
fn when_every_fragment_has_left_the_session_ends() {
    for by_source in [true, false] {
        let mut pair = agreed(100, half(), 5);
        pair.leave(by_source, &ids(0..3));
        pair.settle();
        assert!(pair.is_connected());
        pair.leave(by_source, &ids(3..4));
        pair.settle();
        assert!(!pair.is_connected());
        assert_eq!(pair.errors.first().map(limosa_engine::SessionError::code), Some("session.scope"));
    }
}

#[test]
fn what_was_staged_goes_on_in_a_session_about_more() {
    for steps in 30..90 {
        let mut pair = pair(400, half(), steps);
        pair.owner.keep_commits(0);
        pair.connect();
        pair.steps(steps);
        pair.standby.flush();
        pair.cut_connection();
        pair.scope = Scope::only(ids(0..6));
        pair.connect();
        pair.settle();
        pair.assert_equal_in(&pair.scope.clone());
        let again = pair.owner.sent.values().filter(|count| **count > 1).count();
        assert!(again < 110, "{again} entries of 200 were sent again after {steps} steps: more than was on its way");
    }
}

#[test]
fn a_member_that_was_fenced_is_collected_without_an_epoch() {
    let mut pair = agreed(200, half(), 6);
    pair.cut_connection();
    (0..50).for_each(|i| pair.owner.put(&format!("key{i}"), "only one member has it"));
    pair.owner.flush();
    let epochs: Vec<_> = pair.owner.facts().iter().map(|facts| facts.epochs.epoch()).collect();
    pair.purpose = Purpose::Collect { epoch: 9 };
    pair.connect();
    pair.settle();
    pair.assert_equal_in(&half());
    assert_eq!(pair.owner.facts().iter().map(|facts| facts.epochs.epoch()).collect::<Vec<_>>(), epochs);
    assert_eq!(pair.errors, []);
}

#[test]
fn where_epochs_are_given_nothing_is_replaced_under_an_old_one() {
    let mut pair = agreed(200, half(), 7);
    pair.cut_connection();
    pair.standby.open_epoch(0);
    (0..20).for_each(|i| pair.standby.put(&format!("key{i}"), "written by a promoted standby"));
    pair.standby.flush();
    (0..20).for_each(|i| pair.owner.put(&format!("key{i}"), "written by the old owner"));
    pair.permit = Permit { scope: Scope::All, epochs: Epochs::Given };
    pair.connect();
    pair.settle();
    assert_eq!(pair.errors.first().map(limosa_engine::SessionError::code), Some("session.epoch"));
    assert_eq!(pair.standby.get("key3").as_deref(), Some(&b"written by a promoted standby"[..]));
    pair.errors.clear();
    pair.owner.open_epoch(7);
    pair.connect();
    pair.settle();
    pair.assert_equal_in(&half());
    assert_eq!(pair.errors, []);
}

#[test]
fn a_scope_follows_its_fragments_through_splits_and_merges() {
    let mut pair = agreed(300, half(), 8);
    let slots = |id: u32| u16::try_from(id * 2048).expect("a slot");
    pair.owner.split(slots(1) + 700);
    pair.owner.split(slots(6) + 700);
    (0..300).for_each(|i| pair.owner.put(&format!("key{i}"), "changed"));
    pair.owner_published();
    pair.settle();
    assert_eq!(pair.errors, []);
    let limit = limosa_core::fragment::hashed_ranges(FRAGMENTS)[4].1.start.clone();
    let inside: Vec<FragmentId> = pair.owner.facts().iter().filter(|facts| facts.range.start < limit).map(|facts| facts.id).collect();
    assert_eq!(inside.len(), 5);
    pair.assert_equal_in(&Scope::only(inside.iter().copied()));
    // What a fragment became can leave, too.
    let child = inside.iter().copied().max().expect("five");
    pair.leave(false, &[child]);
    (0..300).for_each(|i| pair.owner.put(&format!("key{i}"), "changed again"));
    pair.owner_published();
    pair.settle();
    assert_eq!(pair.errors, []);
    pair.assert_equal_in(&Scope::only(inside.into_iter().filter(|id| *id != child)));
}
