//! Keeping house: leases, floors and sweeps, over restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limosa_core::{FragmentId, KeyRange, Scope, Version};
use limosa_store::disk::MemoryDisk;
use limosa_store::{LeaseBounds, Store};

use crate::common::*;

/// A store with a clock that a test moves, and 200 keys of which half were deleted.
fn half_deleted(disk: &MemoryDisk) -> (Store, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(1_000));
    let store = with_clock(disk, &clock);
    store.open_epoch(0).expect("the disk works");
    (0..200).for_each(|i| _ = set(&store, &format!("k{i}"), "v"));
    (0..100).for_each(|i| _ = del(&store, &format!("k{i}")));
    store.flush().expect("works");
    (store, clock)
}

fn with_clock(disk: &MemoryDisk, clock: &Arc<AtomicU64>) -> Store {
    let mut options = options(disk, "a");
    let clock = clock.clone();
    options.clock = Arc::new(move || clock.load(Ordering::Relaxed));
    options.leases = LeaseBounds { age_ms: 10_000, percent: 10, bytes_min: 64 * 1_000 };
    Store::open(options).expect("the folder is sound")
}

fn raise(store: &Store) -> Vec<String> {
    let raised = store.raise_floors(&Scope::All).expect("writable");
    store.flush().expect("works");
    raised.ended
}

fn sweep(store: &Store) -> u64 {
    std::iter::from_fn(|| store.sweep_some(1).expect("readable")).sum()
}

#[test]
fn without_a_lease_every_deletion_goes_and_the_floor_stays_up_behind_a_power_cut() {
    for checkpoint in [false, true] {
        let disk = MemoryDisk::new();
        let (store, clock) = half_deleted(&disk);
        raise(&store);
        assert_eq!(store.floors(), versions(&store));
        assert_eq!(store.stats().tombstones, 100, "the record only says that they may go");
        store.sweep_some(1).expect("readable");
        let left = store.stats().tombstones;
        assert!(left > 0 && left < 100, "a step is small: {left}");
        if checkpoint {
            store.checkpoint().expect("works");
        }
        let (before, held) = (store.facts(), published(&store));
        let again = with_clock(&power_cut(&disk), &clock);
        assert_eq!(again.floors(), versions(&again), "checkpoint {checkpoint}");
        assert!(sweep(&again) >= left, "a start goes on sweeping");
        assert_eq!(again.stats().tombstones, 0);
        assert_eq!(published(&again), held);
        assert!(before.iter().zip(again.facts()).all(|(a, b)| a.state == b.state && a.head == b.head));
    }
}

#[test]
fn deletions_behind_the_lowest_lease_are_kept_also_behind_a_restart() {
    for checkpoint in [false, true] {
        let disk = MemoryDisk::new();
        let (store, clock) = half_deleted(&disk);
        let half: Vec<(FragmentId, Version)> =
            versions(&store).into_iter().map(|(id, v)| (id, Version::new(v.epoch, v.seq * 3 / 4))).collect();
        store.renew_lease("b", 5, &versions(&store));
        store.renew_lease("c", 6, &half);
        raise(&store);
        assert_eq!(store.floors(), half);
        sweep(&store);
        let left = store.stats().tombstones;
        assert!(left > 20 && left < 80, "{left}");
        if checkpoint {
            store.checkpoint().expect("works");
        }
        let again = with_clock(&power_cut(&disk), &clock);
        let leases = again.leases();
        assert_eq!(leases.iter().map(|lease| (lease.peer.as_str(), lease.incarnation)).collect::<Vec<_>>(), [("b", 5), ("c", 6)]);
        assert_eq!(leases[1].held.clone().into_iter().collect::<Vec<_>>(), half);
        raise(&again);
        assert_eq!(again.floors(), half, "the lease holds on");
        clock.store(11_500, Ordering::Relaxed);
        again.touch_lease("b");
        assert_eq!(raise(&again), ["c"], "it was not renewed for ten seconds");
        assert_eq!(again.floors(), versions(&again));
        sweep(&again);
        assert_eq!(again.stats().tombstones, 0);
    }
}

#[test]
fn the_lease_that_costs_too_much_ends_and_no_other() {
    let disk = MemoryDisk::new();
    let (store, clock) = half_deleted(&disk);
    store.renew_lease("away", 5, &versions(&store));
    clock.store(2_000, Ordering::Relaxed);
    for round in 0..10 {
        let mut txn = store.begin();
        let key = |i: u32| format!("short lived {round} {i}");
        for i in 0..100 {
            txn.set(key(i).as_bytes(), b"x", limosa_core::Expiry::NEVER).expect("writable");
        }
        txn.commit();
        for i in 0..100 {
            txn.delete(key(i).as_bytes(), 0).expect("writable");
        }
        txn.commit();
        drop(txn);
        store.flush().expect("works");
        store.renew_lease("in sync", 6, &versions(&store));
        let ended = raise(&store);
        if round < 9 {
            assert_eq!(ended, Vec::<String>::new(), "64 bytes for each of {} deletions", store.stats().tombstones);
        } else {
            assert_eq!(ended, ["away"]);
        }
    }
    assert_eq!(store.floors(), versions(&store));
}

#[test]
fn a_flush_of_everything_is_one_range_delete_a_fragment_and_survives_checkpoint_and_power_cut() {
    let disk = MemoryDisk::new();
    let (store, clock) = half_deleted(&disk);
    store.checkpoint().expect("works");
    let before = store.stats().journal_bytes;
    let mut txn = store.begin();
    assert!(txn.remove_range(&KeyRange::ALL).expect("writable"));
    txn.commit();
    txn.set(b"k3", b"again", limosa_core::Expiry::NEVER).expect("writable");
    txn.commit();
    drop(txn);
    store.flush().expect("works");
    assert!(store.stats().journal_bytes - before < 200, "four fragments");
    assert!(store.has_graves());
    while store.free_some(1) {}
    for checkpoint in [false, true] {
        if checkpoint {
            store.checkpoint().expect("works");
        }
        let again = with_clock(&power_cut(&disk), &clock);
        assert_eq!(published(&again).into_keys().collect::<Vec<_>>(), [b"k3".to_vec()]);
        assert_eq!(again.facts(), store.facts());
    }
    raise(&store);
    assert!(store.cut().fragments().iter().all(|view| !view.tree().has_deletions()), "range deletes go with the record");
}
