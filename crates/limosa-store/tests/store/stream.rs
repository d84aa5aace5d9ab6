//! Tails and standbys: which tier serves, what a standby takes, and what it refuses.

use limosa_core::{Digest, EpochRow, EpochTable, Version};
use limosa_store::disk::MemoryDisk;
use limosa_store::{Check, Options, ReplicateError, Store, TailRead};

use crate::common::*;

#[test]
fn a_tail_is_served_from_ring_then_journal_then_not_at_all() {
    let disk = MemoryDisk::new();
    let small = Options { ring_bytes: 20_000, segment_bytes: 100_000, tail_bytes: 400_000, fragments: 4, ..options(&disk, "a") };
    let store = Store::open(small).expect("sound");
    store.open_epoch(0).expect("works");
    let start = versions(&store);
    let mut dice = Dice(1);
    let mut write = |count: usize| {
        for _ in 0..count {
            set(&store, &format!("k{}", dice.below(500)), dice.bytes(1000));
            store.flush().expect("works");
        }
    };
    write(5);
    assert!(store.tail(&start).is_some(), "ring");
    let recent = versions(&store);
    write(100);
    let standby = open(&disk, "b");
    let mut tail = store.tail_from(limosa_store::Position::ZERO);
    assert!(stream(&mut tail, &standby), "journal, then ring");
    assert!(facts_equal(&store, &standby));
    assert!(store.tail(&recent).is_some(), "journal");
    write(700);
    store.checkpoint().expect("works");
    write(10);
    assert!(store.stats().journal_first.0 > 10, "segments were released");
    assert!(store.tail(&recent).is_none(), "neither reaches back");
    assert!(matches!(store.tail_from(limosa_store::Position(1)).next(1 << 20), Ok(TailRead::Lost)));
    assert!(!matches!(tail.next(1 << 20), Ok(TailRead::CaughtUp)));
}

#[test]
fn a_tail_since_a_version_brings_only_what_is_newer() {
    let store = owner(&MemoryDisk::new(), "a");
    for i in 0..200 {
        set(&store, &format!("k{i}"), "some value");
    }
    store.flush().expect("works");
    let since = versions(&store);
    set(&store, "one", "more");
    store.flush().expect("works");
    let mut tail = store.tail(&since).expect("ring");
    assert!((1..9_000).contains(&tail.bytes_behind()));
    let Ok(TailRead::Batch(batch)) = tail.next(1 << 20) else { panic!("one commit is ahead") };
    assert!(batch.records.len() < 60, "{} bytes", batch.records.len());
    assert_eq!(batch.epochs, []);
    assert_eq!(tail.next(1 << 20).expect("readable"), TailRead::CaughtUp);
}

#[test]
fn a_journal_tail_behind_a_restart_brings_only_what_is_newer() {
    let (disk, standby) = (MemoryDisk::new(), open(&MemoryDisk::new(), "b"));
    let store = owner(&disk, "a");
    let mut tail = store.tail(&versions(&standby)).expect("ring");
    for i in 0..200 {
        set(&store, &format!("k{i}"), "some value");
    }
    store.flush().expect("works");
    assert!(stream(&mut tail, &standby));
    set(&store, "one", "more");
    store.flush().expect("works");
    store.checkpoint().expect("works");
    drop((store, tail));
    let store = owner(&power_cut(&disk), "a");
    set(&store, "two", "more");
    store.flush().expect("works");
    let mut tail = store.tail(&versions(&standby)).expect("journal");
    let Ok(TailRead::Batch(first)) = tail.next(1 << 20) else { panic!("a commit is ahead") };
    assert!(first.records.len() < 60, "{first:?}");
    assert!(stream(&mut store.tail(&versions(&standby)).expect("journal"), &standby), "rows in between are told");
    assert!(facts_equal(&store, &standby));
}

#[test]
fn a_commit_that_is_too_long_for_a_message_sends_its_tail_to_the_tree() {
    let store = owner(&MemoryDisk::new(), "a");
    let mut tail = store.tail(&versions(&store)).expect("ring");
    set(&store, "k", Dice(1).bytes(limosa_store::COMMIT_BYTES_LIVE_MAX + 1000));
    store.flush().expect("works");
    assert_eq!(tail.next(1 << 20).expect("readable"), TailRead::Lost);
}

#[test]
fn a_commit_that_was_streamed_but_lost_at_the_owner_is_never_followed_by_another_value_under_the_same_version() {
    let disk = MemoryDisk::new();
    let owner = Store::open(interval(&disk, "a")).expect("sound");
    owner.open_epoch(0).expect("works");
    let standby = open(&MemoryDisk::new(), "b");
    let mut tail = owner.tail(&versions(&standby)).expect("ring");
    set(&owner, "k", "kept");
    owner.flush().expect("works");
    owner.sync().expect("works");
    set(&owner, "k", "streamed and lost");
    owner.flush().expect("works");
    assert!(stream(&mut tail, &standby));
    let lost = versions(&standby);
    drop((owner, tail));

    let owner = Store::open(interval(&power_cut(&disk), "a")).expect("sound");
    owner.open_epoch(0).expect("works");
    set(&owner, "k", "another value");
    owner.flush().expect("works");
    for (facts, (id, lost)) in owner.facts().into_iter().zip(&lost) {
        assert!(
            facts.head.is_zero() || facts.head == *lost || !facts.epochs.contains(*lost),
            "{id}: {lost} is in no history but the lost one"
        );
    }
    // the standby is told that it went another way, and keeps what it has
    let mut tail = owner.tail_from(limosa_store::Position::ZERO);
    let refused = loop {
        let TailRead::Batch(batch) = tail.next(1 << 20).expect("readable") else { panic!("the standby took everything") };
        if let Err(error) = standby.replicate(&batch.records, &batch.epochs, &batch.checks) {
            break error;
        }
    };
    assert!(matches!(refused, ReplicateError::Diverged { .. }), "{refused}");
    assert_eq!(get(&standby, "k").as_deref(), Some(&b"streamed and lost"[..]));
    // the repair replaces it
    transfer(&owner, &standby);
    assert!(facts_equal(&owner, &standby));
    assert_eq!(get(&standby, "k").as_deref(), Some(&b"another value"[..]));
}

#[test]
fn a_stream_with_a_gap_or_of_another_history_is_refused() {
    let (owner, standby) = (owner(&MemoryDisk::new(), "a"), open(&MemoryDisk::new(), "b"));
    let mut tail = owner.tail(&versions(&standby)).expect("ring");
    let mut batches = Vec::new();
    for i in 0..3 {
        set(&owner, "k", format!("{i}"));
        owner.flush().expect("works");
        while let TailRead::Batch(batch) = tail.next(1).expect("readable") {
            batches.push(batch);
        }
    }
    assert_eq!(batches[0].epochs.len(), 4, "the rows come with the first commit");
    let rows = &limosa_store::Batch { records: bytes::Bytes::new(), ..batches[0].clone() };
    batches[0].epochs.clear();
    let rest = &batches[..];
    let take = |batch: &limosa_store::Batch| standby.replicate(&batch.records, &batch.epochs, &batch.checks);
    assert!(matches!(take(&rest[0]), Err(ReplicateError::Gap { .. })), "rows are missing");
    take(rows).expect("rows behind nothing");
    take(&rest[0]).expect("the first");
    take(&rest[0]).expect("held, though not published yet");
    assert!(matches!(take(&rest[2]), Err(ReplicateError::Gap { .. })));
    standby.flush().expect("works");
    take(&rest[0]).expect("held");
    take(rows).expect("held");
    take(&rest[1]).expect("the second");
    standby.flush().expect("works");
    assert_eq!(get(&standby, "k").as_deref(), Some(&b"1"[..]));
    let row = EpochRow { epoch: 9, first_seq: 1, opener: 5 };
    let other = [(owner.facts()[0].id, EpochTable::from_rows(vec![row]).expect("one row"))];
    let diverged = (0..4)
        .any(|i| matches!(standby.replicate(&[], &[(owner.facts()[i].id, other[0].1.clone())], &[]), Err(ReplicateError::Diverged { .. })));
    assert!(diverged, "rows that begin below a head");
    assert!(standby.replicate(&[9, 9, 9], &[], &[]).is_err(), "bytes that are no commits");
}

#[test]
fn a_digest_that_is_not_the_owners_is_told() {
    let (owner, standby) = (owner(&MemoryDisk::new(), "a"), open(&MemoryDisk::new(), "b"));
    let mut tail = owner.tail(&versions(&standby)).expect("ring");
    set(&owner, "k", "v");
    owner.flush().expect("works");
    while let TailRead::Batch(batch) = tail.next(1 << 20).expect("readable") {
        let wrong = |check: &Check| Check { state: Digest(check.state.0 ^ 1), ..*check };
        standby.replicate(&batch.records, &batch.epochs, &batch.checks.iter().map(wrong).collect::<Vec<_>>()).expect("contiguous");
    }
    assert_eq!(standby.drift(), None, "not before it is published");
    standby.flush().expect("works");
    let drift = standby.drift().expect("compared at the publish");
    assert_eq!(drift.version, Version::new(1, 1));
}

#[test]
fn a_standby_that_becomes_owner_writes_behind_what_it_took() {
    let disk = MemoryDisk::new();
    let (owner, standby) = (owner(&MemoryDisk::new(), "a"), open(&disk, "b"));
    let mut tail = owner.tail(&versions(&standby)).expect("ring");
    for i in 0..20 {
        set(&owner, &format!("k{i}"), "v");
    }
    owner.flush().expect("works");
    while let TailRead::Batch(batch) = tail.next(1 << 20).expect("readable") {
        standby.replicate(&batch.records, &batch.epochs, &batch.checks).expect("contiguous");
    }
    standby.open_epoch(1).expect("flushes what pends, then opens");
    assert_eq!(set(&standby, "k3", "v"), limosa_store::Position::ZERO, "evaluated above what it took");
    set(&standby, "k3", "w");
    standby.flush().expect("works");
    drop(standby);
    let standby = open(&power_cut(&disk), "b");
    assert_eq!(published(&standby).len(), 20);
    assert_eq!(get(&standby, "k3").as_deref(), Some(&b"w"[..]));
}
