//! Ends whose fragments differ: what a standby has stays worth what it was, however the owner parts and joins its keys.

mod world;

use limosa_wire::Method;
use world::Random;
use world::node::Node;
use world::pair::Pair;

fn agreed(keys: u32, fragments: u16, seed: u64) -> Pair {
    let mut owner = Node::new(fragments, 1);
    owner.open_epoch(0);
    (0..keys).for_each(|i| owner.put(&format!("key{i}"), &format!("value {i}")));
    owner.flush();
    let mut pair = Pair::new(owner, Node::new(fragments, 50), seed);
    pair.heal();
    pair.cut_connection();
    forget(&mut pair);
    pair
}

fn forget(pair: &mut Pair) {
    pair.trace.clear();
    pair.methods.clear();
    pair.owner.frame_entries = 0;
    pair.owner.sent.clear();
}

#[test]
fn a_standby_that_was_in_sync_is_told_of_a_split_and_sent_no_entry() {
    let mut pair = agreed(400, 2, 1);
    pair.owner.split(5_000);
    pair.heal();
    assert_eq!((pair.owner.frame_entries, pair.methods.len()), (0, 0));
    assert_eq!(pair.standby.facts().len(), 3);
    pair.cut_connection();
    forget(&mut pair);
    pair.owner.merge(5_000);
    pair.heal();
    assert_eq!(pair.owner.frame_entries, 0);
    assert!(pair.methods.iter().all(|method| *method == Method::Delta), "empty ones, one for each parent: {:?}", pair.methods);
    assert_eq!(pair.standby.facts().len(), 2);
}

#[test]
fn a_live_standby_follows_a_split_and_a_merge_without_an_offer() {
    let mut pair = agreed(200, 2, 2);
    pair.heal();
    pair.trace.clear();
    for step in 0..6 {
        pair.owner.put("key1", &format!("before {step}"));
        if step % 2 == 0 {
            pair.owner.split(3_000)
        } else {
            pair.owner.merge(0)
        }
        pair.owner.put("key1", &format!("behind {step}"));
        pair.owner.put("key2", &format!("behind {step}"));
        pair.owner_published();
        pair.settle();
        pair.assert_equal();
    }
    assert!(pair.trace.iter().all(|name| name == "Live"), "{:?}", pair.trace);
}

#[test]
fn an_old_standby_gets_what_changed_in_each_part_of_a_merged_fragment() {
    let mut pair = agreed(600, 4, 3);
    pair.owner.keep_commits(0);
    (0..40).for_each(|i| pair.owner.put(&format!("key{i}"), "changed before"));
    pair.owner.split(2_000);
    pair.owner.merge(2_000);
    (20..50).for_each(|i| pair.owner.put(&format!("key{i}"), "changed behind"));
    pair.owner.delete("key51");
    pair.heal();
    assert_eq!(pair.owner.frame_entries, 51, "each changed key once");
    assert!(pair.methods.iter().all(|method| *method == Method::Delta), "{:?}", pair.methods);
}

#[test]
fn a_tail_of_its_own_is_replaced_part_by_part() {
    let mut pair = agreed(300, 2, 4);
    pair.standby.open_epoch(0);
    (0..6).for_each(|i| pair.standby.put(&format!("stray{i}"), "written by the promoted standby"));
    pair.standby.put("key3", "changed by the promoted standby");
    pair.standby.split(9_000);
    pair.owner.put("key5", "changed by the owner");
    pair.owner.split(1_000);
    pair.owner.merge(1_000);
    pair.heal();
    let set_aside: std::collections::BTreeSet<_> = pair.standby.set_aside.iter().collect();
    assert_eq!((pair.standby.get("stray1"), set_aside.len()), (None, 7));
    assert!(pair.methods.iter().all(|method| *method == Method::Delta), "{:?}", pair.methods);
    assert!(pair.owner.frame_entries <= 8, "{}", pair.owner.frame_entries);
}

#[test]
fn an_end_without_a_history_is_compared_whatever_its_fragments_are() {
    let mut pair = agreed(400, 3, 5);
    pair.standby.forget_history();
    pair.owner.split(4_000);
    pair.owner.merge(4_000);
    (0..5).for_each(|i| pair.owner.put(&format!("key{i}"), "changed"));
    pair.owner.keep_commits(0);
    pair.heal();
    assert!(pair.methods.contains(&Method::Reconcile) && !pair.methods.contains(&Method::Copy), "{:?}", pair.methods);
    assert!(pair.owner.frame_entries <= 10, "{}", pair.owner.frame_entries);
}

#[test]
fn a_transfer_goes_on_where_it_was_when_the_owner_splits_and_merges_meanwhile() {
    for seed in 0..12 {
        let mut owner = Node::new(2, 1);
        owner.open_epoch(0);
        (0..500).for_each(|i| owner.put(&format!("key{i}"), &format!("value {i}")));
        owner.flush();
        let mut pair = Pair::new(owner, Node::new(2, 50), seed);
        let mut random = Random(seed);
        for _ in 0..6 {
            pair.connect();
            for _ in 0..20 + random.below(60) {
                pair.step();
            }
            pair.standby.flush();
            pair.cut_connection();
            let slot = 1 + random.below(16_000) as u16;
            if random.below(2) == 0 { pair.owner.split(slot) } else { pair.owner.merge(slot) }
        }
        pair.heal();
        let again: u32 = pair.owner.sent.values().map(|times| times - 1).sum();
        assert!(again <= 6 * 60, "seed {seed}: {again} entries were sent again: at most what was on its way at each of six cuts");
    }
}

#[test]
fn peers_of_every_age_catch_up_over_random_splits_and_merges() {
    for seed in 0..30 {
        let mut pair = agreed(300, 1 + (seed % 4) as u16, seed);
        let mut random = Random(seed);
        for round in 0..8 {
            let mut changed = std::collections::BTreeSet::new();
            if random.below(4) == 0 {
                pair.heal(); // some rounds are followed live
                pair.trace.clear();
            }
            for _ in 0..random.below(30) {
                let key = format!("key{}", random.below(300));
                match random.below(8) {
                    0 => pair.owner.split(1 + random.below(16_000) as u16),
                    1 => pair.owner.merge(random.below(16_000) as u16),
                    2 => {
                        pair.owner.delete(&key);
                        changed.insert(key);
                    }
                    _ => {
                        pair.owner.put(&key, &format!("{round}"));
                        changed.insert(key);
                    }
                }
            }
            if random.below(5) == 0 {
                pair.owner.flush();
                pair.owner.crash();
                pair.owner.open_epoch(0);
            }
            pair.cut_connection();
            if random.below(2) == 0 {
                pair.owner.keep_commits(0);
                pair.owner.keep_commits(usize::MAX);
            }
            forget(&mut pair);
            pair.heal();
            assert!(!pair.methods.contains(&Method::Copy), "seed {seed}, round {round}: {:?}", pair.methods);
            assert!(pair.owner.frame_entries <= changed.len() as u64, "seed {seed}, round {round}: {}", pair.owner.frame_entries);
            assert_eq!(pair.owner.facts().len(), pair.standby.facts().len());
        }
    }
}
