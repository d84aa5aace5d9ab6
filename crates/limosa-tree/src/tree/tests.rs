//! The tree's shape and sums over random edits.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use limosa_core::{KeyRange, Version};

use super::{Child, Edit, FAN_OUT, FAN_OUT_MIN, Key, Labelled, Leaf, Node, Run, Taken, Tree};
use crate::block::Block;
use crate::summary::Summary;

fn key(i: u32) -> Key {
    Arc::from(&i.to_be_bytes()[..])
}

fn leaf(i: u32, live: u64) -> Leaf {
    let mut summary = Summary::EMPTY;
    (summary.live, summary.live_bytes) = (live, 10 * live);
    summary.raise(Version::new(1, live));
    Leaf::resident(key(i), summary, Block::default(), &std::sync::Arc::default())
}

/// Depth of the subtree; asserts that it is well formed.
fn check_node(child: &Child, is_root: bool) -> usize {
    let len = child.node.len();
    assert!(len <= FAN_OUT && (is_root || len >= FAN_OUT_MIN), "{len} items");
    match &*child.node {
        Node::Leaves(leaves) => {
            assert_eq!(leaves.sum(), child.summary);
            assert!(leaves.first().is_none_or(|first| first.first_key == child.first_key));
            check_versions(leaves);
            1
        }
        Node::Inner(children) => {
            assert_eq!(children.sum(), child.summary);
            assert_eq!(children[0].first_key(), &child.first_key);
            check_versions(children);
            let depths: Vec<_> = children.iter().map(|child| check_node(child, false)).collect();
            assert!(depths.iter().all(|depth| *depth == depths[0]), "all leaves lie at one depth");
            1 + depths[0]
        }
    }
}

fn check_versions<T: Labelled>(run: &Run<T>) {
    for (i, item) in run.iter().enumerate() {
        let newest = item.summary().max_version();
        assert!(!run.is_newer(i, newest), "nothing is newer than the newest");
        assert!(newest.is_zero() || run.is_newer(i, Version::new(newest.epoch, newest.seq - 1)));
    }
}

fn check(tree: &Tree, model: &BTreeMap<u32, u64>) {
    check_node(&tree.root, true);
    assert_eq!(tree.summary().live, model.values().sum::<u64>());
    for probe in (0..6_000).step_by(97) {
        let at = |found: Option<(&u32, &u64)>| found.map(|(i, live)| (key(*i), *live));
        let held = |leaf: Option<&Leaf>| leaf.map(|leaf| (leaf.first_key.clone(), leaf.summary.live));
        let (found, end) = tree.find_with_end(&key(probe));
        assert_eq!(held(found), at(model.range(..=probe).next_back()));
        assert_eq!(end.cloned(), model.range(probe + 1..).next().map(|(i, _)| key(*i)));
        assert_eq!(held(tree.find(&key(probe))), held(found));
        assert_eq!(held(tree.find_before(&key(probe))), at(model.range(..probe).next_back()));
    }
}

/// Takes the leaves from `from` to before `to` out of both: of the last one before `to`, keys beyond `to` would go too.
fn cut(tree: &mut Tree, model: &mut BTreeMap<u32, u64>, from: u32, to: u32) {
    let range = KeyRange::new(key(from).to_vec(), Some(key(to).to_vec().into()));
    let last = model.range(..to).next_back().map(|(i, _)| *i).filter(|last| !model.contains_key(&to) && *last >= from);
    let gone: Vec<u32> = model.range(from..to).map(|(i, _)| *i).filter(|i| Some(*i) != last).collect();
    let mut taken = Taken::default();
    tree.cut(&range, None, Some(&key(u32::MAX)), &mut taken);
    assert_eq!(taken.entries, gone.iter().map(|i| model[i]).sum::<u64>());
    assert_eq!(taken.runs.len(), usize::from(!gone.is_empty()), "neighbours are one run");
    if let [run] = &taken.runs[..] {
        assert_eq!(run.start, key(gone[0]));
        let names: Vec<Key> = gone.iter().map(|i| key(*i)).collect();
        assert!(run.names.as_ref().is_none_or(|listed| *listed == names));
    }
    model.retain(|i, _| !gone.contains(i));
    let mut steps = 0;
    while taken.grave.free_some(64) {
        steps += 1;
    }
    assert!(steps <= 2 + gone.len() / 16, "small nodes are no reason for small steps: {steps} for {}", gone.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_equals_a_map_and_keeps_its_shape(
        batches in proptest::collection::vec((0u32..6_000, 1u32..3_000, 1u32..9, 0u8..4), 1..40),
    ) {
        let (mut tree, mut model) = (Tree::new(), BTreeMap::new());
        for (from, count, step, what) in batches {
            let snapshot = (tree.clone(), model.clone());
            if step == 8 {
                cut(&mut tree, &mut model, from, from + count);
                check(&tree, &model);
                check(&snapshot.0, &snapshot.1);
                continue;
            }
            let keys = (from..6_000).step_by(step as usize).take(count as usize);
            let edits: Vec<Edit> = keys
                .map(|i| {
                    let live = (what > 1).then_some(u64::from(i % 7 + u32::from(what)));
                    match live {
                        Some(live) => drop(model.insert(i, live)),
                        None => drop(model.remove(&i)),
                    }
                    Edit { key: key(i), leaf: live.map(|live| leaf(i, live)) }
                })
                .collect();
            tree.edit(edits);
            if let Some((&i, live)) = model.iter_mut().nth(from as usize % 50) {
                *live += 5;
                let updated = tree.update(&key(i), |leaf| {
                    leaf.summary.live += 5;
                    leaf.summary.raise(Version::new(2, u64::from(i) + 1));
                });
                prop_assert!(updated.is_some());
            }
            check(&tree, &model);
            let (left, right) = tree.split(&key(from));
            let right_model = model.split_off(&from);
            check(&left, &model);
            check(&right, &right_model);
            model.extend(right_model);
            check(&Tree::join(&left, &right), &model);
            check(&tree, &model);
            check(&snapshot.0, &snapshot.1);
        }
    }
}
