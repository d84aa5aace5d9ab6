//! The tree's shape and sums over random edits.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use limosa_core::Version;

use super::{Child, Edit, FAN_OUT, FAN_OUT_MIN, Key, Labelled, Leaf, Node, Run, Tree};
use crate::block::Block;
use crate::summary::Summary;

fn key(i: u32) -> Key {
    Arc::from(&i.to_be_bytes()[..])
}

fn leaf(i: u32, live: u64) -> Leaf {
    let mut summary = Summary::EMPTY;
    (summary.live, summary.live_bytes) = (live, 10 * live);
    summary.raise(Version::new(1, live));
    Leaf::resident(key(i), summary, Block::default())
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_equals_a_map_and_keeps_its_shape(
        batches in proptest::collection::vec((0u32..6_000, 1u32..3_000, 1u32..9, 0u8..4), 1..20),
    ) {
        let (mut tree, mut model) = (Tree::new(), BTreeMap::new());
        for (from, count, step, what) in batches {
            let snapshot = (tree.clone(), model.clone());
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
            check(&snapshot.0, &snapshot.1);
        }
    }
}
