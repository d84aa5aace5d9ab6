//! Random histories: a fragment equals a plain ordered map, whatever happens to it.

mod common;

use common::{Checkpoint, Pair, Value, between, frames, key, range};
use limosa_core::Version;
use limosa_tree::{Entry, Extract, Fragment};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Commit { deletes: Vec<(u32, u32)>, writes: Vec<(u32, Option<u32>)> },
    Fill { from: u32, count: u32, seed: u32 },
    Snapshot,
    Checkpoint,
    Reload,
    MakeCold,
    Collect { share: u64 },
    NewEpoch,
}

fn step(keys: u32) -> impl Strategy<Value = Step> {
    let write = (0..keys, proptest::option::weighted(0.7, any::<u32>()));
    let writes = proptest::collection::vec(write, 0..6);
    let length = prop_oneof![5 => 0u32..40, 1 => 100u32..1_000];
    let deletes = proptest::collection::vec((0..keys, length).prop_map(|(a, len)| (a, a + len)), 0..2);
    prop_oneof![
        6 => writes.clone().prop_map(|writes| Step::Commit { deletes: Vec::new(), writes }),
        2 => (deletes, writes).prop_map(|(deletes, writes)| Step::Commit { deletes, writes }),
        2 => (0..keys, 1u32..120, any::<u32>()).prop_map(|(from, count, seed)| Step::Fill { from, count, seed }),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reload),
        1 => Just(Step::MakeCold),
        1 => (0u64..=100).prop_map(|share| Step::Collect { share }),
        1 => Just(Step::NewEpoch),
    ]
}

/// Runs a history; returns the end and the snapshots on the way, each checked.
fn run(steps: &[Step]) -> (Pair, Vec<Pair>) {
    let (mut pair, mut snapshots) = (Pair::new(), Vec::new());
    let mut checkpoint = Checkpoint::default();
    for step in steps {
        take(step, &mut pair, &mut snapshots, &mut checkpoint);
    }
    (pair, snapshots)
}

fn take(step: &Step, pair: &mut Pair, snapshots: &mut Vec<Pair>, checkpoint: &mut Checkpoint) {
    match step {
        Step::Commit { deletes, writes } => {
            let writes: Vec<_> = writes.iter().map(|(k, seed)| (*k, seed.map(Value::of))).collect();
            pair.commit(deletes, &writes);
        }
        Step::Fill { from, count, seed } => {
            let writes: Vec<_> = (*from..from + count).map(|k| (k, Some(Value::of(seed.wrapping_add(k))))).collect();
            pair.commit(&[], &writes);
        }
        Step::Snapshot => snapshots.push(pair.clone()),
        Step::Checkpoint => checkpoint.write(&mut pair.fragment),
        Step::Reload => {
            checkpoint.write(&mut pair.fragment);
            pair.fragment = checkpoint.open(&pair.fragment);
        }
        Step::MakeCold => {
            checkpoint.write(&mut pair.fragment);
            pair.fragment.make_cold(pair.fragment.generation());
        }
        Step::Collect { share } => {
            let head = pair.fragment.head();
            let up_to = Version::new(head.epoch, head.seq * share / 100);
            pair.fragment.collect_tombstones(up_to).expect("loads");
            pair.model.entries.retain(|_, (version, value)| value.is_some() || *version > up_to);
        }
        Step::NewEpoch => pair.fragment.open_epoch(pair.fragment.epochs().epoch() + 1, 5),
    }
}

/// Brings `old` to where `new` stands, by frames.
fn follow(old: &Fragment, new: &Fragment, max_bytes: usize) -> Fragment {
    let mut target = old.clone();
    for frame in frames(new, old.head(), Extract::Changes, max_bytes) {
        target.apply_frame(&frame, &[]).expect("the frame fits");
    }
    target
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_fragment_equals_its_model(steps in proptest::collection::vec(step(600), 1..40), bounds in proptest::collection::vec((0u32..700, 0u32..700), 4)) {
        let (pair, snapshots) = run(&steps);
        for held in snapshots.iter().chain([&pair]) {
            held.model.check(&held.fragment);
            for &(a, b) in &bounds {
                held.model.check_sums(&held.fragment, &between(a, b));
                let key = key(a);
                let expected = held.model.entries.get(&key).map(|(version, value)| (*version, value.as_ref().map(Value::live)));
                let found = held.fragment.get(&key).expect("loads");
                prop_assert_eq!(found.as_ref().map(Entry::as_ref).map(|e| (e.version, e.live)), expected);
            }
        }
    }

    #[test]
    fn a_delta_brings_any_snapshot_to_the_head(steps in proptest::collection::vec(step(600), 1..40), max_bytes in 1usize..20_000) {
        let (pair, snapshots) = run(&steps);
        for held in snapshots.iter().filter(|held| held.fragment.head() >= pair.fragment.floor()) {
            let target = follow(&held.fragment, &pair.fragment, max_bytes);
            prop_assert_eq!(target.facts().state, pair.fragment.facts().state);
            prop_assert_eq!(target.facts().content, pair.fragment.facts().content);
            let changes = pair.fragment.changed(&range(), held.fragment.head());
            let sent: usize = frames(&pair.fragment, held.fragment.head(), Extract::Changes, max_bytes).iter().map(|f| f.entries.len()).sum();
            prop_assert!(changes.entries >= sent as u64, "an estimate is never too low: {:?} for {}", changes, sent);
        }
    }

    #[test]
    fn the_state_digest_knows_nothing_of_tombstone_collection(steps in proptest::collection::vec(step(300), 1..30)) {
        let kept: Vec<_> = steps.iter().filter(|step| !matches!(step, Step::Collect { .. })).cloned().collect();
        let ((collected, _), (kept, _)) = (run(&steps), run(&kept));
        prop_assert_eq!(collected.fragment.facts().state, kept.fragment.facts().state);
        prop_assert_eq!(collected.fragment.facts().live, kept.fragment.facts().live);
    }

    #[test]
    fn comparison_blocks_find_every_difference_and_share_no_entry_across(
        steps in proptest::collection::vec(step(400), 1..30),
        more in proptest::collection::vec(step(400), 0..4),
        salt in any::<u64>(),
    ) {
        let (a, _) = run(&steps);
        let mut b = a.clone();
        let mut checkpoint = Checkpoint::default();
        for step in more.iter().filter(|step| matches!(step, Step::Commit { .. } | Step::Collect { .. })) {
            take(step, &mut b, &mut Vec::new(), &mut checkpoint);
        }
        let ids = |f: &Fragment| f.block_ids(&range(), salt).expect("loads");
        let mut collected = a.fragment.clone();
        collected.collect_tombstones(collected.head()).expect("loads");
        prop_assert_eq!(ids(&collected), ids(&a.fragment), "tombstones are no difference");
        let (ids_a, ids_b) = (ids(&a.fragment), ids(&b.fragment));
        let differing = |own: &[limosa_tree::BlockId], other: &[limosa_tree::BlockId]| -> Vec<_> {
            own.iter().filter(|block| other.iter().all(|o| o.id != block.id)).map(|block| block.range.clone()).collect()
        };
        let inside = |f: &Fragment, ranges: Vec<_>| f.entry_ids(&ranges, salt).expect("loads").into_iter().collect::<std::collections::BTreeSet<_>>();
        let in_a = inside(&a.fragment, differing(&ids_a, &ids_b));
        let in_b = inside(&b.fragment, differing(&ids_b, &ids_a));
        let all_a = inside(&a.fragment, vec![range()]);
        let all_b = inside(&b.fragment, vec![range()]);
        // what is missing on the other end is inside, and what both have is inside on both or on none
        prop_assert!(all_a.difference(&all_b).all(|entry| in_a.contains(entry)));
        prop_assert!(all_b.difference(&all_a).all(|entry| in_b.contains(entry)));
        prop_assert!(all_a.intersection(&all_b).all(|entry| in_a.contains(entry) == in_b.contains(entry)));
    }
}
