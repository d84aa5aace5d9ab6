//! Frames: any order and repetition ends in the same state or in a typed refusal, and a refusal changes nothing.

mod common;

use bytes::Bytes;
use common::{Pair, Value, between, fragment, frames, key, range};
use limosa_core::columns::ColumnsBuilder;
use limosa_core::{Digest, EntryRef, FragmentId, Frame, KeyRange, Mode, RangeDelete, Version};
use limosa_tree::{Extract, Fragment, FrameError};
use proptest::prelude::*;

fn v(seq: u64) -> Version {
    Version::new(1, seq)
}

/// A frame of everything that `pair` holds, as a copy.
fn copy_of(pair: &Pair) -> Vec<Frame> {
    frames(&pair.fragment, Version::ZERO, Extract::Changes, 4_000)
}

/// Applies `frame` and asserts that a refusal left no trace.
fn refusal(target: &Fragment, frame: &Frame) -> FrameError {
    let mut changed = target.clone();
    let error = changed.apply_frame(frame, &[]).expect_err("refused");
    assert_eq!((changed.facts(), changed.meta(), changed.generation()), (target.facts(), target.meta(), target.generation()));
    error
}

#[test]
fn a_copy_fills_an_empty_fragment_and_raises_the_floor() {
    let pair = Pair::fill(9_000);
    let mut target = fragment();
    for frame in copy_of(&pair) {
        assert!(frame.entries.payload_bytes() <= 4_000 + 1_000);
        target.apply_frame(&frame, &[]).expect("fits");
    }
    pair.model.check(&target);
    assert_eq!(target.floor(), pair.fragment.head());
    assert!(target.total().max_version() <= pair.fragment.head());
}

#[test]
fn frames_that_cannot_be_true_are_refused() {
    let (pair, target) = (Pair::fill(500), fragment());
    let good = frames(&pair.fragment, Version::ZERO, Extract::Changes, 1 << 20).remove(0);
    let misplaced = KeyRange::new(&b"a"[..], None);
    let outside = Frame { range: between(0, 10), ..good.clone() };
    let delete = |range: KeyRange, version| Frame { range_deletes: vec![RangeDelete { range, version }], ..good.clone() };
    let cases = [
        (Frame { fragment: FragmentId(9), ..good.clone() }, "tree.frame_wrong_fragment"),
        (Frame { range: misplaced.clone(), ..good.clone() }, "tree.frame_misplaced"),
        (outside, "tree.frame_misplaced"),
        (delete(misplaced, v(1)), "tree.frame_misplaced"),
        (delete(between(1, 2), v(501)), "tree.frame_versions"),
        (Frame { to: v(499), ..good.clone() }, "tree.frame_versions"),
        (Frame { from: v(501), ..good.clone() }, "tree.frame_versions"),
        (Frame { digest: good.digest + Digest(1), ..good.clone() }, "tree.frame_digest"),
    ];
    for (frame, code) in cases {
        assert_eq!(refusal(&target, &frame).code(), code);
    }
    let mut filled = target.clone();
    filled.apply_frame(&good, &[]).expect("fits");
    assert_eq!(refusal(&filled, &good), FrameError::NotEmpty { live: pair.fragment.total().live });
}

#[test]
fn absent_keys_are_for_replacing_only() {
    let mut columns = ColumnsBuilder::default();
    columns.push(EntryRef { key: &key(5), version: Version::ZERO, live: None });
    let entries = columns.finish();
    let frame = |mode| {
        let (range, to, digest) = (range(), v(3), Digest::ZERO);
        Frame { fragment: common::ID, mode, range, from: v(1), to, range_deletes: Vec::new(), entries: entries.clone(), digest }
    };
    assert_eq!(refusal(&fragment(), &frame(Mode::Advance)).code(), "tree.frame_versions");
    assert_eq!(refusal(&fragment(), &frame(Mode::ReplaceRange)).code(), "tree.frame_versions");
    fragment().apply_frame(&frame(Mode::ReplaceKeys), &[]).expect("absent already");
}

#[test]
fn a_missing_frame_is_found_range_by_range() {
    let mut pair = Pair::fill(3_000);
    let target = pair.fragment.clone();
    for i in 0..200 {
        pair.commit(&[], &[(i * 13, Some(Value::of(i + 5)))]);
    }
    let skipped = pair.fragment.head();
    for i in 0..200 {
        pair.commit(&[], &[(i * 11, None)]);
    }
    // a delta since too late a version: whatever was written in between and not since is missing
    let late = frames(&pair.fragment, skipped, Extract::Changes, 1 << 20).remove(0);
    assert_eq!(refusal(&target, &late).code(), "tree.frame_digest");
}

#[test]
fn an_older_frame_does_not_bring_deleted_keys_back() {
    let mut pair = Pair::fill(400);
    let old = frames(&pair.fragment, v(300), Extract::Changes, 1 << 20).remove(0);
    let base = pair.clone();
    pair.commit(&[(0, 399)], &[]);
    assert_eq!(refusal(&pair.fragment, &old).code(), "tree.frame_digest");
    // entries below a range delete that the target holds are dropped, whatever the frame says of the digest
    let empty = Frame { digest: Digest::ZERO, ..old };
    let applied = pair.fragment.apply_frame(&empty, &[]).expect("nothing comes back");
    assert_eq!((applied.written, applied.ignored), (0, 100));
    pair.model.check(&pair.fragment);
    let forward = frames(&pair.fragment, base.fragment.head(), Extract::Changes, 1 << 20).remove(0);
    assert_eq!((forward.entries.len(), forward.range_deletes.len()), (0, 1));
    let mut target = base.fragment;
    assert_eq!(target.apply_frame(&forward, &[]).expect("fits").removed, 400);
    pair.model.check(&target);
}

#[test]
fn replacing_keys_repairs_a_diverged_tail() {
    let mut ours = Pair::fill(2_000);
    let mut theirs = ours.clone();
    let common = ours.fragment.head();
    let tail: Vec<Bytes> = (0..50).map(|i| key(i * 41 + 3).into()).chain([key(9_000).into()]).collect();
    for i in 0..50 {
        theirs.commit(&[], &[(i * 41 + 3, (i % 4 > 0).then(|| Value::of(i + 77)))]);
    }
    theirs.commit(&[], &[(9_000, Some(Value::of(1)))]); // absent at the source
    ours.fragment.open_epoch(2, 22);
    for i in 0..50 {
        ours.commit(&[], &[(i * 17 + 4, Some(Value::of(i + 99)))]);
    }
    let mut stage = theirs.fragment.clone();
    for frame in frames(&ours.fragment, common, Extract::ReplaceKeys(&tail), 2_000) {
        assert_eq!(frame.mode, Mode::ReplaceKeys);
        stage.apply_frame(&frame, &[]).expect("fits");
    }
    ours.model.check(&stage);
    assert!(stage.total().max_version() >= ours.fragment.head(), "replaced content is as new as the frame");
    assert_eq!(stage.floor(), ours.fragment.head());
}

#[test]
fn replacing_a_range_leaves_exactly_the_source() {
    let (ours, mut theirs) = (Pair::fill(1_500), Pair::fill(3_000));
    theirs.commit(&[(100, 300)], &[(2_999, None)]);
    let mut stage = theirs.fragment.clone();
    for frame in frames(&ours.fragment, Version::ZERO, Extract::WholeRange, 3_000) {
        stage.apply_frame(&frame, &[]).expect("fits");
    }
    ours.model.check(&stage);
    assert_eq!(stage.meta().range_deletes, Vec::new(), "a range delete of the other history does not cover what was put there");
}

#[test]
fn the_bound_of_replaced_content_is_the_frames_and_never_falls() {
    let mut ours = Pair::fill(1_000);
    (0..300).for_each(|i| ours.commit(&[], &[(i, None)]));
    ours.commit(&[], &[(900, Some(Value::of(1)))]); // the head lies outside the range that is replaced
    let (frame, _) = ours.fragment.delta(&between(0, 500), Version::ZERO, Extract::WholeRange, 1 << 20).expect("in memory");
    let mut stage = Pair::fill(700).fragment;
    stage.apply_frame(&frame, &[]).expect("fits");
    assert_eq!(stage.total().max_version(), ours.fragment.head());
    assert!(stage.total().tombstones > 0);
    let before = stage.generation();
    stage.collect_tombstones(ours.fragment.head()).expect("in memory");
    assert!(stage.dirty_since(before).all(|block| block.summary.max_version() == ours.fragment.head()));
    assert_eq!((stage.total().tombstones, stage.total().max_version()), (0, ours.fragment.head()));
}

#[test]
fn dropped_keys_are_what_the_target_has_too_much() {
    let source = Pair::fill(1_000);
    let mut target = source.clone();
    target.commit(&[], &[(5_000, Some(Value::of(1))), (5_001, Some(Value::of(2)))]);
    let frame = frames(&source.fragment, source.fragment.head(), Extract::Changes, 1 << 20).remove(0);
    assert_eq!(refusal(&target.fragment, &frame).code(), "tree.frame_digest");
    let drops = [Bytes::from(key(5_001)), key(5_000).into(), key(7_000).into()];
    assert_eq!(target.fragment.apply_frame(&frame, &drops).expect("fits").removed, 2);
    source.model.check(&target.fragment);
}

#[test]
fn many_range_deletes_are_spread_over_frames() {
    let mut pair = Pair::fill(4_000);
    let target = pair.fragment.clone();
    let since = pair.fragment.head();
    for i in 0..500 {
        pair.commit(&[(i * 8, i * 8 + 2)], &[]);
    }
    let all = frames(&pair.fragment, since, Extract::Changes, 1_000);
    assert!(all.len() > 10 && all.iter().all(|frame| frame.range_deletes.len() < 40), "{}", all.len());
    let mut target = target;
    for frame in &all {
        target.apply_frame(frame, &[]).expect("fits");
    }
    pair.model.check(&target);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn frames_in_any_order_and_repeated_end_in_the_same_state(
        before in 0u32..1_500,
        writes in proptest::collection::vec((0u32..1_600, any::<u32>(), 0u8..8), 1..120),
        max_bytes in 200usize..5_000,
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let mut pair = Pair::fill(before.max(1));
        let base = pair.fragment.clone();
        for (k, seed, what) in writes {
            match what {
                0 => pair.commit(&[(k, k + 9)], &[]),
                1 | 2 => pair.commit(&[], &[(k, None)]),
                _ => pair.commit(&[], &[(k, Some(Value::of(seed)))]),
            }
        }
        let all = frames(&pair.fragment, base.head(), Extract::Changes, max_bytes);
        let mut target = base;
        for frame in order.iter().map(|index| index.get(&all)).chain(&all) {
            let applied = target.apply_frame(frame, &[]).expect("each range stands at the base or at the head");
            prop_assert!(applied.written <= frame.entries.len() as u64);
        }
        pair.model.check(&target);
        prop_assert_eq!(target.facts().state, pair.fragment.facts().state);
    }
}
