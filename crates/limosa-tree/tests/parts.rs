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
