//! More state than memory: what is dropped is read again, what no checkpoint has is spilled, and nobody else waits for the disk.

use std::sync::Arc;
use std::time::Duration;

use limosa_core::{Expiry, KeyRange};
use limosa_store::disk::MemoryDisk;
use limosa_store::{Extract, Options, Store, StoreError};

use crate::common::*;
use crate::slow::{Gate, SlowDisk};

/// Enough for the page cache, the ring, and some 800 KB of blocks.
const MEMORY_MAX: u64 = 2 << 20;

fn bounded(disk: &MemoryDisk, node: &str) -> Options {
    Options { memory_max: MEMORY_MAX, ring_bytes: 10_000, tail_bytes: 100_000, segment_bytes: 200_000, ..options(disk, node) }
}

fn value(i: u64, round: u64) -> Vec<u8> {
    Dice(i * 1_000 + round).bytes(700)
}

/// Writes keys `from..to`, a hundred in each flush.
fn fill(store: &Store, from: u64, to: u64, round: u64) {
    for i in from..to {
        set(store, &format!("key:{i}"), value(i, round));
        if i % 100 == 99 {
            store.flush().expect("works");
        }
    }
    store.flush().expect("works");
}

/// Asserts that memory is within its bound.
fn assert_bounded(store: &Store) {
    let stats = store.stats();
    let used = stats.memory.total();
    assert!(used <= MEMORY_MAX + MEMORY_MAX / 10, "{used} bytes: {stats:?}");
}

/// What a few threads may bring on top at one time: a short slice of commits, each with a block of some 60 KB.
const AT_ONCE: u64 = 16 * 60_000;

fn read(store: &Store, i: u64) -> Option<Vec<u8>> {
    let key = format!("key:{i}");
    store.transact(|txn| Ok(txn.get(key.as_bytes(), 0)?.map(|found| found.value.into_owned()))).expect("readable")
}

#[test]
fn four_times_as_much_state_as_memory_is_written_read_and_recovered_within_bounds() {
    let disk = MemoryDisk::new();
    let store = Store::open(bounded(&disk, "a")).expect("sound");
    store.open_epoch(0).expect("works");
    const KEYS: u64 = 10_000;
    for from in (0..KEYS).step_by(500) {
        fill(&store, from, from + 500, 0);
        assert_bounded(&store);
        if store.wants_checkpoint() {
            store.checkpoint().expect("works");
            store.relieve();
        }
    }
    assert!(store.stats().live_bytes > 3 * MEMORY_MAX, "{}", store.stats().live_bytes);
    let mut dice = Dice(3);
    for step in 0..3_000 {
        let i = dice.below(KEYS);
        assert_eq!(read(&store, i), Some(value(i, 0)), "key {i}");
        if step % 50 == 0 {
            assert_bounded(&store);
        }
    }
    assert!(store.stats().blocks_dropped > 500);
    let facts = store.facts();
    drop(store);
    let store = Store::open(bounded(&power_cut(&disk), "a")).expect("sound");
    assert_eq!(store.facts(), facts);
    assert_bounded(&store);
    assert_eq!(read(&store, 77), Some(value(77, 0)));
}

#[test]
fn without_any_checkpoint_writers_go_on_and_blocks_are_spilled() {
    let disk = MemoryDisk::new();
    let store = Store::open(bounded(&disk, "a")).expect("sound");
    store.open_epoch(0).expect("works");
    fill(&store, 0, 6_000, 0);
    assert!(store.wants_checkpoint(), "memory is full of what no checkpoint has");
    fill(&store, 0, 600, 1);
    assert_bounded(&store);
    assert!(store.stats().spilled_bytes > 1 << 20);
    let snapshot = store.cut();
    let facts = store.facts();
    store.checkpoint().expect("spilled blocks are written too");
    store.relieve();
    assert_bounded(&store);
    for i in (0..6_000).step_by(7) {
        assert_eq!(read(&store, i), Some(value(i, u64::from(i < 600))), "key {i}");
    }
    fill(&store, 0, 3_000, 2);
    store.checkpoint().expect("works");
    let old = snapshot.fragments().iter().map(|view| view.facts()).collect::<Vec<_>>();
    assert_eq!(old, facts);
    let mut entries = 0;
    let flow = snapshot.scan(&KeyRange::ALL, |entry| {
        entries += u64::from(entry.live.is_some_and(|live| live.value.len() == 700));
        std::ops::ControlFlow::Continue(())
    });
    assert!(flow.expect("a snapshot reads its own version").is_continue());
    assert_eq!(entries, 6_000);
    drop(snapshot);
    drop(store);
    let facts = Store::open(bounded(&disk, "a")).expect("the journal's tail alone is more than memory").facts();
    assert_eq!(facts.iter().map(|f| f.live).sum::<u64>(), 6_000);
}

#[test]
fn a_first_copy_larger_than_memory_is_staged_installed_and_checkpointed_within_bounds() {
    let disk = MemoryDisk::new();
    let source = owner(&disk, "a");
    fill(&source, 0, 8_000, 0);
    let mut target = Store::open(bounded(&disk, "b")).expect("sound");
    let starts = starts(&source, &target);
    target.stage_open(1, &starts).expect("no stage is open");
    let cut = source.cut();
    for (index, start) in starts.iter().enumerate() {
        let mut range = Some(start.range.clone());
        while let Some(rest) = range {
            let (frame, next) = cut.fragments()[index]
                .delta(&rest, start.common.uniform().expect("one version"), Extract::Changes, 50_000)
                .expect("readable");
            target.stage_apply(1, &frame, &[]).expect("the frame fits");
            target.flush().expect("works");
            assert_bounded(&target);
            range = next.map(|start| KeyRange { start, end: rest.end });
        }
        if index == 2 {
            target.checkpoint().expect("works");
            drop(target); // what was spilled is made again out of the journal
            target = Store::open(bounded(&disk, "b")).expect("sound");
            assert_bounded(&target);
        }
    }
    assert!(target.stats().spilled_bytes > MEMORY_MAX);
    target.stage_install(1, &sealed(&source)).expect("complete");
    assert!(facts_equal(&source, &target));
    target.checkpoint().expect("works");
    target.relieve();
    assert_bounded(&target);
    assert_eq!(published(&source), published(&target));
    assert_bounded(&target);
}

/// A store of 4,000 keys on a slow disk, nothing of it in memory.
fn slow() -> (Store, Arc<Gate>) {
    let disk = MemoryDisk::new();
    let store = owner(&disk, "a");
    fill(&store, 0, 4_000, 0);
    store.checkpoint().expect("works");
    drop(store);
    let gate = Arc::<Gate>::default();
    let slow = SlowDisk { disk: disk.clone(), gate: gate.clone() };
    let store = Store::open(Options { disk: Arc::new(slow), ..bounded(&disk, "a") }).expect("sound");
    store.open_epoch(0).expect("works");
    (store, gate)
}

#[test]
fn commands_on_other_keys_do_not_wait_while_one_waits_for_the_disk() {
    let (store, gate) = slow();
    assert_eq!(read(&store, 1), Some(value(1, 0)));
    assert!(matches!(store.attempt().get(b"key:2222", 0), Err(StoreError::Cold { count: 1 })));
    gate.close();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(&store, 2_222));
        gate.wait_for(1);
        for round in 1..50 {
            assert_eq!(read(&store, 1), Some(value(1, round - 1)));
            set(&store, "key:1", value(1, round));
            store.flush().expect("works");
        }
        let blind = scope.spawn(|| store.transact(|txn| txn.set(b"key:3333", b"new", Expiry::NEVER).map(|()| txn.commit())));
        gate.wait_for(2);
        assert_eq!(read(&store, 1), Some(value(1, 49)));
        let expiry = scope.spawn(|| store.expire_due(u64::MAX, 100));
        assert_eq!(expiry.join().expect("no panic").expect("nothing is due"), 0);
        assert!(!reader.is_finished() && !blind.is_finished());
        gate.open();
        assert_eq!(reader.join().expect("no panic"), Some(value(2_222, 0)));
        assert!(blind.join().expect("no panic").expect("writable").is_some());
    });
    store.flush().expect("works");
    assert_eq!(get(&store, "key:3333"), Some(b"new".to_vec()));
}

#[test]
fn a_blind_write_to_a_key_that_is_not_in_memory_reads_one_block_once() {
    let (store, _) = slow();
    let before = store.stats().blocks_read;
    store.transact(|txn| txn.set(b"key:99", b"new", Expiry::NEVER).map(|()| txn.commit())).expect("writable");
    store.flush().expect("works");
    assert_eq!(store.stats().blocks_read - before, 1, "evaluating and publishing share the block");
    let before = store.stats().blocks_read;
    assert_eq!(read(&store, 98), Some(value(98, 0)));
    assert_eq!(store.stats().blocks_read - before, 1, "as many as a read");
}

#[test]
fn keys_expire_also_when_their_blocks_are_not_in_memory() {
    let disk = MemoryDisk::new();
    let store = owner(&disk, "a");
    for i in 0..300 {
        let mut txn = store.begin();
        txn.set(format!("key:{i}").as_bytes(), b"v", Expiry::at(5)).expect("writable");
        txn.commit();
    }
    store.flush().expect("works");
    store.checkpoint().expect("works");
    drop(store);
    let store = owner(&disk, "a");
    assert_eq!(store.expire_due(9, 1_000).expect("writable"), 300);
    store.flush().expect("works");
    assert!(published(&store).is_empty());
}

#[test]
fn writers_on_many_threads_a_checkpointing_one_and_readers_stay_within_bounds() {
    let disk = MemoryDisk::new();
    let store = Store::open(bounded(&disk, "a")).expect("sound");
    store.open_epoch(0).expect("works");
    fill(&store, 0, 6_000, 0);
    let deadline = std::time::Instant::now() + Duration::from_millis(1_500);
    std::thread::scope(|scope| {
        for n in 0..2u64 {
            let store = &store;
            scope.spawn(move || {
                let mut dice = Dice(n);
                while std::time::Instant::now() < deadline {
                    let i = dice.below(3_000) * 2 + n;
                    let key = format!("key:{i}");
                    store.transact(|txn| txn.set(key.as_bytes(), &value(i, 7), Expiry::NEVER).map(|()| txn.commit())).expect("writable");
                    store.flush().expect("works");
                    assert!(read(store, dice.below(6_000)).is_some());
                }
            });
        }
        scope.spawn(|| {
            while std::time::Instant::now() < deadline {
                store.relieve();
                if store.wants_checkpoint() {
                    store.checkpoint().expect("works");
                }
                let stats = store.stats();
                assert!(stats.memory.total() <= MEMORY_MAX + AT_ONCE, "{stats:?}");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
    });
    for i in 0..6_000 {
        let found = read(&store, i).expect("there");
        assert!(found == value(i, 0) || found == value(i, 7), "key {i}");
    }
}
