//! Which blocks are in memory: what is dropped can be read again by everyone who could before, what is hot stays, and every byte counts.

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{Checkpoint, Pair, Value, key};
use limosa_core::{FragmentId, KeyRange};
use limosa_tree::{BlockLoader, Fragment, Ledger, LoadError, Peek, SpilledBlock, StoredBlock};
use proptest::prelude::*;

const COUNT: u32 = 6_000;

/// A fragment out of a checkpoint, nothing of it in memory, counted by the ledger that is answered.
fn cold(ledger: &Arc<Ledger>) -> (Pair, Checkpoint) {
    let (mut pair, mut checkpoint) = (Pair::fill(COUNT), Checkpoint::default());
    checkpoint.write(&mut pair.fragment);
    let summaries = checkpoint.blocks.iter().map(|(key, stored)| (key.clone(), stored.summary));
    let loader = Arc::new(Blocks(checkpoint.blocks.clone()));
    let fragment = Fragment::open(pair.fragment.meta(), common::keys(), summaries, loader, ledger).expect("in order");
    (Pair { fragment, model: pair.model }, checkpoint)
}

struct Blocks(BTreeMap<Bytes, StoredBlock>);

impl BlockLoader for Blocks {
    fn load(&self, _: FragmentId, first_key: &[u8]) -> Result<StoredBlock, LoadError> {
        self.0.get(first_key).cloned().ok_or(LoadError::Missing)
    }
}

/// The hand, which goes on where it stopped.
#[derive(Default)]
struct Hand(Bytes);

impl Hand {
    /// Drops what can go until `bytes` are left, with at most `rounds` over the whole fragment.
    fn shrink(&mut self, fragment: &Fragment, ledger: &Ledger, clean_to: u64, bytes: usize, mut rounds: usize) {
        while ledger.bytes() > bytes && rounds > 0 {
            match fragment.drop_blocks(&self.0, clean_to, ledger.bytes() - bytes, 32).next {
                Some(next) => self.0 = next,
                None => {
                    self.0 = Bytes::new();
                    ledger.age();
                    rounds -= 1;
                }
            }
        }
    }
}

/// Reads a key as a command does.
fn touch(fragment: &Fragment, i: u32) -> bool {
    match fragment.peek(&key(i)) {
        Peek::Known(_) => true,
        Peek::Cold(block) => {
            block.load().expect("loads");
            assert!(matches!(fragment.peek(&key(i)), Peek::Known(_)), "a clone of the place serves all");
            false
        }
    }
}

fn scan(fragment: &Fragment) {
    let flow = fragment.scan(&KeyRange::ALL, |_| ControlFlow::Continue(()));
    assert!(flow.expect("loads").is_continue());
}

#[test]
fn the_hot_set_survives_a_scan_of_everything() {
    let ledger = Arc::default();
    let (pair, _) = cold(&ledger);
    scan(&pair.fragment);
    let budget = ledger.bytes() / 4;
    ledger.set_budget(budget);
    let mut hand = Hand::default();
    hand.shrink(&pair.fragment, &ledger, 0, 0, 4);
    let hot = 0..COUNT / 8;
    for round in 0..20 {
        for i in 0..60 {
            hot.clone().skip(i as usize % 20).step_by(20).for_each(|i| _ = touch(&pair.fragment, i));
            touch(&pair.fragment, COUNT / 8 + (round * 997 + i * 71) % (COUNT - COUNT / 8)); // needed once
            hand.shrink(&pair.fragment, &ledger, 0, budget, 2);
        }
    }
    for _ in 0..3 {
        scan(&pair.fragment);
        hand.shrink(&pair.fragment, &ledger, 0, budget, 2);
    }
    assert!(ledger.bytes() <= budget + budget / 16, "{} of {budget}", ledger.bytes());
    let hits = hot.clone().filter(|&i| matches!(pair.fragment.peek(&key(i)), Peek::Known(_))).count();
    assert!(hits * 100 >= hot.len() * 97, "{hits} of {}", hot.len());
    pair.model.check(&pair.fragment);
}

#[test]
fn a_snapshot_reads_its_own_version_when_what_it_shares_was_dropped() {
    let ledger = Arc::default();
    let (mut pair, mut checkpoint) = cold(&ledger);
    pair.commit(&[], &[(5, Some(Value::of(6))), (600, None)]);
    let snapshot = pair.clone(); // of a checkpoint that does not have these
    let covered = 0;
    checkpoint.generation = 0;
    checkpoint.write(&mut pair.fragment);
    pair.commit(&[], &[(5, Some(Value::of(9))), (2_000, None)]);
    checkpoint.write(&mut pair.fragment);
    ledger.set_budget(1);
    Hand::default().shrink(&pair.fragment, &ledger, covered, 0, 4);
    assert!(ledger.bytes() > 0, "what the snapshot's checkpoint does not have stays");
    snapshot.model.check(&snapshot.fragment);
    pair.model.check(&pair.fragment);
    drop(snapshot);
    Hand::default().shrink(&pair.fragment, &ledger, pair.fragment.generation(), 0, 4);
    assert_eq!((ledger.bytes(), ledger.blocks()), (0, 0), "alone, everything can go");
    pair.model.check(&pair.fragment);
}

#[test]
fn a_write_to_a_dropped_block_counts_and_keeps_the_digests() {
    let ledger = Arc::default();
    let (mut pair, _) = cold(&ledger);
    pair.commit(&[(100, 900)], &[(3, Some(Value::of(2))), (4_000, None)]);
    let held = pair.clone();
    pair.commit(&[], &[(3, Some(Value::of(4)))]);
    pair.model.check(&pair.fragment);
    held.model.check(&held.fragment);
    drop((pair, held));
    assert_eq!((ledger.bytes(), ledger.blocks(), ledger.places_bytes()), (0, 0, 0), "every byte that was counted in is counted out");
}

/// Bytes of a spilled block.
struct Spilled(Vec<u8>);

impl SpilledBlock for Spilled {
    fn read(&self) -> Result<Vec<u8>, LoadError> {
        Ok(self.0.clone())
    }
}

/// Spills every block that is only in memory; answers how many.
fn spill(fragment: &Fragment, ledger: &Ledger, clean_to: u64) -> usize {
    let mut count = 0;
    for _ in 0..3 {
        ledger.age();
        let (blocks, next) = fragment.spillable(&Bytes::new(), clean_to, usize::MAX, usize::MAX);
        assert_eq!(next, None);
        for block in blocks {
            let bytes = block.encode().expect("in memory");
            assert!(block.spilled(Arc::new(Spilled(bytes))) > 0);
            count += 1;
        }
    }
    count
}

#[test]
fn spilled_blocks_leave_memory_and_a_checkpoint_writes_them_without_bringing_them_back() {
    let ledger = Arc::<Ledger>::default();
    let mut pair = Pair { fragment: common::fragment_of(&ledger), ..Pair::new() };
    for i in 0..3_000 {
        pair.commit(&[], &[(i, Some(Value::of(i)))]);
    }
    ledger.set_budget(1);
    assert!(spill(&pair.fragment, &ledger, 0) > 20);
    assert_eq!(ledger.bytes(), 0);
    pair.commit(&[(20, 40)], &[(7, Some(Value::of(1))), (2_999, None)]);
    pair.model.check(&pair.fragment);
    let in_memory = ledger.bytes();
    let mut checkpoint = Checkpoint::default();
    checkpoint.write(&mut pair.fragment);
    assert_eq!(ledger.bytes(), in_memory);
    pair.model.check(&checkpoint.open(&pair.fragment));
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u32, Option<u32>)>),
    Delete(u32, u32),
    Snapshot,
    Forget,
    Checkpoint,
    Drop,
    Spill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::collection::vec((0..400u32, proptest::option::weighted(0.8, 0..900u32)), 1..6).prop_map(Step::Write),
        1 => (0..400u32, 0..60u32).prop_map(|(from, len)| Step::Delete(from, from + len)),
        2 => Just(Step::Snapshot),
        1 => Just(Step::Forget),
        2 => Just(Step::Checkpoint),
        4 => Just(Step::Drop),
        1 => Just(Step::Spill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn dropping_and_spilling_at_random_moments_changes_no_answer(steps in proptest::collection::vec(step(), 1..60)) {
        let ledger = Arc::<Ledger>::default();
        ledger.set_budget(4_000);
        let mut pair = Pair { fragment: common::fragment_of(&ledger), ..Pair::new() };
        let mut checkpoint = Checkpoint::default();
        checkpoint.write(&mut pair.fragment);
        // each with the generation that its loader covers
        let mut snapshots: Vec<(Pair, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Write(writes) => {
                    let writes: Vec<_> = writes.into_iter().map(|(k, seed)| (k, seed.map(Value::of))).collect();
                    pair.commit(&[], &writes);
                }
                Step::Delete(from, to) => pair.commit(&[(from, to)], &[]),
                Step::Snapshot => snapshots.push((pair.clone(), checkpoint.generation)),
                Step::Forget => snapshots.truncate(snapshots.len() / 2),
                Step::Checkpoint => checkpoint.write(&mut pair.fragment),
                Step::Drop => {
                    let clean_to = snapshots.iter().map(|(_, covered)| *covered).min().unwrap_or(checkpoint.generation);
                    Hand::default().shrink(&pair.fragment, &ledger, clean_to, 0, 3);
                }
                Step::Spill => drop(spill(&pair.fragment, &ledger, checkpoint.generation)),
            }
        }
        for (snapshot, _) in &snapshots {
            snapshot.model.check(&snapshot.fragment);
        }
        pair.model.check(&pair.fragment);
        drop((snapshots, pair));
        prop_assert_eq!((ledger.bytes(), ledger.blocks(), ledger.places_bytes()), (0, 0, 0));
    }
}

#[test]
fn readers_on_many_threads_and_a_hand_that_drops_meanwhile_see_the_same() {
    let ledger = Arc::default();
    let (pair, _) = cold(&ledger);
    ledger.set_budget(30_000);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for n in 0..3 {
            let (pair, failed) = (&pair, &failed);
            scope.spawn(move || {
                let snapshot = pair.fragment.clone();
                for i in 0..2_000u32 {
                    let at = (i * 37 + n * 911) % COUNT;
                    let found = snapshot.get(&key(at)).expect("loads").map(|entry| entry.as_ref().version);
                    if found != pair.model.entries.get(&key(at)).map(|(version, _)| *version) {
                        *failed.lock().expect("no panic") = Some(at);
                    }
                }
            });
        }
        for _ in 0..300 {
            Hand::default().shrink(&pair.fragment, &ledger, 0, 0, 1);
        }
    });
    assert_eq!(*failed.lock().expect("no panic"), None);
}
