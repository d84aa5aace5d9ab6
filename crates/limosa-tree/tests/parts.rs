//! Parts of commits: only the next one, under a known epoch, inside the fragment.

mod common;

use common::{ID, Pair, Value, between, key};
use limosa_core::{EntryRef, FragmentId, KeyRange, Part, RangeDelete, Version};

#[test]
fn parts_that_do_not_fit_are_refused_and_change_nothing() {
    let mut pair = Pair::fill(100);
    pair.fragment.open_epoch(3, 5);
    let next = Version::new(3, 101);
    let (stored, value) = (key(4), Value::of(9));
    let entry = |version| EntryRef { key: &stored, version, live: Some(value.live()) };
    let good = Part { fragment: ID, version: next, range_deletes: Vec::new(), entries: vec![entry(next)] };
    let at = |version| Part { version, entries: vec![entry(version)], ..good.clone() };
    let delete = |range, version| Part { range_deletes: vec![RangeDelete { range, version }], ..good.clone() };
    let cases = [
        (Part { fragment: FragmentId(4), ..good.clone() }, "tree.part_wrong_fragment"),
        (at(Version::new(3, 100)), "tree.part_not_next"),
        (at(Version::new(3, 102)), "tree.part_not_next"),
        (at(Version::new(1, 101)), "tree.part_unknown_epoch"),
        (at(Version::new(2, 101)), "tree.part_unknown_epoch"),
        (at(Version::new(4, 101)), "tree.part_unknown_epoch"),
        (Part { entries: vec![EntryRef { key: b"a", ..entry(next) }], ..good.clone() }, "tree.part_misplaced"),
        (Part { entries: vec![entry(Version::new(3, 100))], ..good.clone() }, "tree.part_misplaced"),
        (delete(KeyRange::ALL, next), "tree.part_misplaced"),
        (delete(between(1, 2), Version::new(3, 100)), "tree.part_misplaced"),
    ];
    let before = (pair.fragment.facts(), pair.fragment.generation());
    for (part, code) in cases {
        assert_eq!(pair.fragment.apply_part(&part).expect_err("refused").code(), code);
        assert_eq!((pair.fragment.facts(), pair.fragment.generation()), before);
    }
    pair.fragment.apply_part(&good).expect("the next one");
    assert_eq!(pair.fragment.head(), next);
}

#[test]
fn a_range_delete_comes_before_the_entries_of_its_part() {
    let mut pair = Pair::fill(50);
    pair.commit(&[(0, 49)], &[(7, Some(Value::of(1)))]);
    pair.model.check(&pair.fragment);
    assert_eq!(pair.fragment.total().live, 1);
}

#[test]
fn split_keys_halve_the_bytes() {
    let pair = Pair::fill(5_000);
    let half = pair.fragment.total().live_bytes / 2;
    let middle = pair.fragment.split_key(half).expect("in memory").expect("inside");
    let below = pair.fragment.summary(&KeyRange::new(&b""[..], Some(middle))).expect("in memory").live_bytes;
    assert!(below <= half && half < below + 1_000, "{below} of {half}");
    assert_eq!(pair.fragment.split_key(2 * half + 2), Ok(None));
}

#[test]
fn collecting_tombstones_raises_the_floor_and_keeps_newer_ones() {
    let mut pair = Pair::fill(2_000);
    for i in 0..1_000 {
        pair.commit(&[], &[(i, None)]);
    }
    let up_to = Version::new(1, 2_600);
    assert_eq!(pair.fragment.collect_tombstones(up_to), Ok(600));
    assert_eq!(pair.fragment.floor(), up_to);
    pair.model.entries.retain(|_, (version, value)| value.is_some() || *version > up_to);
    pair.model.check(&pair.fragment);
}

#[test]
fn a_sweep_in_steps_drops_what_lies_below_the_floor_and_nothing_else() {
    let mut pair = Pair::fill(4_000);
    (0..2_000).for_each(|i| pair.commit(&[], &[(i * 2, None)]));
    let whole = {
        let mut whole = pair.fragment.clone();
        whole.collect_tombstones(Version::new(1, 5_000)).expect("in memory");
        whole
    };
    pair.fragment.forget_below(Version::new(1, 5_000));
    let (mut from, mut collected, mut steps) = (bytes::Bytes::new(), 0, 0);
    loop {
        pair.fragment.warm_sweep(&from, 3).expect("in memory");
        let (dropped, next) = pair.fragment.sweep(&from, 3).expect("in memory");
        (collected, steps) = (collected + dropped, steps + 1);
        let Some(next) = next else { break };
        from = next;
    }
    assert_eq!(collected, 1_000);
    assert!(steps > 10, "{steps}");
    assert_eq!(pair.fragment.facts(), whole.facts());
    pair.model.entries.retain(|_, (version, value)| value.is_some() || version.seq > 5_000);
    pair.model.check(&pair.fragment);
}

/// Counts the blocks that are read.
struct Counting(std::sync::Arc<dyn limosa_tree::BlockLoader>, std::sync::atomic::AtomicU64);

impl limosa_tree::BlockLoader for Counting {
    fn load(&self, fragment: FragmentId, first_key: &[u8]) -> Result<limosa_tree::StoredBlock, limosa_tree::LoadError> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.load(fragment, first_key)
    }
}

#[test]
fn a_range_delete_reads_no_block_but_those_at_its_edges() {
    let (mut pair, mut checkpoint) = (Pair::fill(30_000), common::Checkpoint::default());
    checkpoint.write(&mut pair.fragment);
    let held = checkpoint.blocks.len();
    let mut reads = Vec::new();
    for (from, to) in [(0, 99_999), (1_000, 28_999)] {
        let mut cold = Pair { fragment: checkpoint.open(&pair.fragment), ..pair.clone() };
        let counting = std::sync::Arc::new(Counting(checkpoint.loader(), 0.into()));
        cold.fragment.set_loader(counting.clone());
        let part_range = if from == 0 { common::range() } else { between(from, to) };
        let version = cold.next();
        let part = Part { fragment: ID, version, range_deletes: vec![RangeDelete { range: part_range, version }], entries: Vec::new() };
        cold.fragment.apply_part(&part).expect("the next part");
        cold.model.apply(&part);
        reads.push(counting.1.load(std::sync::atomic::Ordering::Relaxed));
        cold.model.check(&cold.fragment);
        let removed = cold.fragment.removed(0);
        assert_eq!(removed.ranges.len(), 1, "one range for all of them");
        assert!(removed.names.len() < 40, "{}", removed.names.len());
        let mut grave = cold.fragment.take_grave();
        let mut steps = 1;
        while grave.free_some(64) {
            steps += 1;
        }
        assert!(steps > held / 200, "freed in steps: {steps} for {held} blocks");
        checkpoint.generation = 0;
        let mut next = common::Checkpoint { blocks: checkpoint.blocks.clone(), ..common::Checkpoint::default() };
        next.write(&mut cold.fragment);
        cold.model.check(&next.open(&cold.fragment));
    }
    assert_eq!(reads[0], 0, "all of it: nothing is read");
    assert!(reads[1] <= 4, "the edges and the block before: {}", reads[1]);
}
