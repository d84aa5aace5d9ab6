//! Cold blocks: read on demand, verified, and a typed error when they are not what the summaries say.

mod common;

use common::{Checkpoint, Pair, Value, key, range};
use limosa_core::{EntryRef, KeyRange, LiveRef, Part, Retry, Version};
use limosa_tree::{Extract, Fragment, LoadError, StoredBlock, Summary, TreeError};

fn checkpointed(count: u32) -> (Pair, Checkpoint) {
    let (mut pair, mut checkpoint) = (Pair::fill(count), Checkpoint::default());
    checkpoint.write(&mut pair.fragment);
    (pair, checkpoint)
}

#[test]
fn a_checkpoint_writes_what_changed_and_nothing_else() {
    let (mut pair, mut checkpoint) = checkpointed(20_000);
    let blocks = checkpoint.blocks.len();
    assert!((200..450).contains(&blocks), "{blocks}");
    assert_eq!(pair.fragment.dirty_since(pair.fragment.generation()).count(), 0);
    let before = pair.fragment.generation();
    pair.commit(&[], &[(77, Some(Value::of(3)))]);
    assert_eq!(pair.fragment.dirty_since(before).count(), 1);
    pair.commit(&[(0, 19_999)], &[]);
    checkpoint.write(&mut pair.fragment);
    assert!(checkpoint.blocks.is_empty());
    pair.model.check(&checkpoint.open(&pair.fragment));
}

#[test]
fn opening_reads_no_block_and_a_write_reads_one() {
    let (pair, mut checkpoint) = checkpointed(5_000);
    let mut cold = checkpoint.open(&pair.fragment);
    assert_eq!(cold.facts(), pair.fragment.facts());
    assert_eq!(cold.clone().make_cold(0), 0, "nothing is in memory");
    cold.get(&key(9)).expect("loads");
    assert_eq!(cold.make_cold(0), 1);
    pair.model.check(&cold);
    let changes = |fragment: &Fragment| fragment.changed(&range(), Version::new(1, 4_999));
    assert!(changes(&cold).entries >= changes(&pair.fragment).entries);
}

#[test]
fn a_snapshot_outlives_the_checkpoint_that_it_was_made_of() {
    let (pair, mut checkpoint) = checkpointed(3_000);
    let mut moving = Pair { fragment: checkpoint.open(&pair.fragment), ..pair.clone() };
    let snapshot = moving.fragment.clone();
    moving.commit(&[(0, 2_000)], &[]);
    moving.commit(&[], &[(2_500, Some(Value::of(9)))]);
    let mut next = Checkpoint::default();
    next.blocks.clone_from(&checkpoint.blocks);
    next.write(&mut moving.fragment);
    assert!(next.blocks.len() < checkpoint.blocks.len());
    pair.model.check(&snapshot);
    moving.model.check(&moving.fragment);
}

#[test]
fn blocks_that_are_not_what_the_summaries_say_are_typed_errors() {
    let (pair, checkpoint) = checkpointed(2_000);
    let open = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut damaged = Checkpoint { blocks: checkpoint.blocks.clone(), ..Checkpoint::default() };
        damaged.blocks.values_mut().for_each(|stored| change(&mut stored.whole));
        damaged.open(&pair.fragment)
    };
    // well-formed blocks of the right names that are not the ones which the summaries speak of
    let mut older = Checkpoint { blocks: checkpoint.blocks.clone(), ..Checkpoint::default() };
    let writes: Vec<_> = (0..2_000).map(|k| (k, Some(Value::of(k + 1)))).collect();
    let mut newer = (pair.clone(), checkpoint.clone());
    newer.0.commit(&[], &writes);
    newer.1.write(&mut newer.0.fragment);
    assert!(newer.1.patches > 0);
    older.blocks.iter_mut().for_each(|(key, stored)| stored.summary = newer.1.blocks[key].summary);
    let stale = older.open(&newer.0.fragment);
    type Case<'a> = (&'a str, Fragment, Retry);
    let cases: [Case<'_>; 3] = [
        ("tree.block_corrupt", open(&|block| block[20] ^= 1), Retry::Never),
        ("tree.block_corrupt", open(&|block| block.truncate(block.len() / 2)), Retry::Never),
        ("tree.block_mismatch", stale, Retry::Never),
    ];
    for (code, fragment, retry) in cases {
        let mut damaged = Pair { fragment, ..pair.clone() };
        let error = damaged.fragment.get(&key(1)).expect_err("damaged");
        assert_eq!((error.code(), error.retry()), (code, retry));
        let before = damaged.fragment.facts();
        let version = damaged.next();
        let stored = key(1);
        let live = LiveRef { value: b"x", ..Value::of(1).live() };
        let entries = vec![EntryRef { key: &stored, version, live: Some(live) }];
        let part = Part { fragment: common::ID, version, range_deletes: Vec::new(), entries };
        assert_eq!(damaged.fragment.apply_part(&part).expect_err("damaged").code(), code);
        assert_eq!(damaged.fragment.facts(), before);
        let delta = damaged.fragment.delta(&KeyRange::ALL, Version::ZERO, Extract::Changes, 1 << 20);
        assert_eq!(delta.expect_err("damaged").code(), code);
    }
    let mut empty = Checkpoint { blocks: checkpoint.blocks.clone(), ..Checkpoint::default() };
    let fragment = empty.open(&pair.fragment);
    empty.blocks.clear();
    fragment.get(&key(1)).expect("a loader goes on reading the state that it was made of");
}

#[test]
fn a_block_that_is_named_and_missing_is_corruption() {
    struct Nothing;
    impl limosa_tree::BlockLoader for Nothing {
        fn load(&self, _: limosa_core::FragmentId, _: &[u8]) -> Result<StoredBlock, LoadError> {
            Err(LoadError::Missing)
        }
    }
    let (pair, checkpoint) = checkpointed(500);
    let summaries = || checkpoint.blocks.iter().map(|(key, stored)| (key.clone(), stored.summary));
    let open = |blocks: Vec<_>| {
        Fragment::open(pair.fragment.meta(), common::keys(), blocks, std::sync::Arc::new(Nothing), &std::sync::Arc::default())
    };
    let fragment = open(summaries().collect()).expect("in order");
    assert_eq!(fragment.get(&key(3)).expect_err("missing").code(), "tree.block_missing");
    let disorder = open(summaries().collect::<Vec<_>>().into_iter().rev().collect());
    assert!(matches!(disorder, Err(TreeError::Disorder { .. })));
}

#[test]
fn summaries_round_trip_and_nonsense_is_refused() {
    let (pair, _) = checkpointed(300);
    let mut sum = pair.fragment.total();
    sum.modified = 0;
    assert_eq!(Summary::from_bytes(&sum.to_bytes()), Ok(sum));
    assert!(Summary::from_bytes(&sum.to_bytes()[1..]).is_err());
    assert!(Summary::from_bytes(&[0; 93]).is_err(), "a summary of nothing is not written");
    assert!(Summary::from_bytes(&[0xFF; 93]).is_err());
}
