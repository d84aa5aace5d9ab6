//! Commands at the head: what a transaction sees, what it writes, when it counts.

use crate::common::*;
use limosa_core::{Expiry, KeyRange, Kind, LiveRef, key};
use limosa_store::disk::{Fault, MemoryDisk};
use limosa_store::{Durability, Options, Position, Store, StoreError};
use std::io;

#[test]
fn a_write_is_seen_at_once_and_published_by_the_flush() {
    let disk = MemoryDisk::new();
    let store = owner(&disk, "a");
    let before = store.horizon();
    let seen = set(&store, "k", "v");
    assert_eq!(seen, before.next());
    assert_eq!(get(&store, "k").as_deref(), Some(&b"v"[..]));
    assert!(published(&store).is_empty(), "not before the flush");
    assert_eq!(store.flush().expect("works"), seen);
    assert_eq!(published(&store).len(), 1);
    assert!(!store.has_pending());
}

#[test]
fn an_answer_waits_for_what_it_has_seen_and_for_nothing_else() {
    let store = owner(&MemoryDisk::new(), "a");
    set(&store, "old", "1");
    store.flush().expect("works");
    let seen = set(&store, "new", "2");
    let horizon = store.horizon();
    let mut txn = store.begin();
    assert!(txn.get(b"old", 0).expect("readable").is_some());
    assert!(txn.seen() <= horizon, "published: nothing to wait for");
    assert!(txn.get(b"new", 0).expect("readable").is_some());
    assert_eq!(txn.seen(), seen);
}

#[test]
fn an_equal_write_takes_no_version_but_waits_for_the_pending_one() {
    let store = owner(&MemoryDisk::new(), "a");
    let first = set(&store, "k", "v");
    assert_eq!(set(&store, "k", "v"), first, "covers the pending write that it equals");
    store.flush().expect("works");
    let heads = versions(&store);
    assert_eq!(set(&store, "k", "v"), Position::ZERO);
    assert!(!store.has_pending());
    assert_eq!(versions(&store), heads);
}

#[test]
fn a_batch_is_one_commit_and_its_last_write_of_a_key_counts() {
    let store = owner(&MemoryDisk::new(), "a");
    let mut txn = store.begin();
    for i in 0..50 {
        txn.set(format!("k{}", i % 20).as_bytes(), format!("v{i}").as_bytes(), Expiry::NEVER).expect("writable");
    }
    txn.delete(b"k3", 0).expect("writable");
    let position = txn.commit();
    drop(txn);
    assert_eq!(store.flush().ok(), position);
    let now = published(&store);
    assert_eq!(now.len(), 19);
    assert_eq!(now[&b"k5"[..]].0, b"v45");
}

#[test]
fn a_dropped_transaction_leaves_no_trace() {
    let store = owner(&MemoryDisk::new(), "a");
    set(&store, "a", "pending");
    let mut txn = store.begin();
    txn.set(b"a", b"other", Expiry::NEVER).expect("writable");
    txn.remove_range(&KeyRange::ALL).expect("writable");
    txn.set(b"b", b"2", Expiry::NEVER).expect("writable");
    assert!(txn.get(b"a", 0).expect("readable").is_none());
    drop(txn);
    assert_eq!(get(&store, "a").as_deref(), Some(&b"pending"[..]));
    assert_eq!(get(&store, "b"), None);
    store.flush().expect("works");
    assert_eq!(published(&store).len(), 1);
}

#[test]
fn a_pending_range_delete_hides_what_was_before_and_not_what_comes_after() {
    let store = owner(&MemoryDisk::new(), "a");
    for i in 0..100 {
        set(&store, &format!("k{i}"), "published");
    }
    store.flush().expect("works");
    set(&store, "k7", "pending");
    let mut txn = store.begin();
    assert!(txn.remove_range(&KeyRange::ALL).expect("writable"));
    txn.commit();
    assert!(txn.get(b"k7", 0).expect("readable").is_none());
    assert!(txn.get(b"k8", 0).expect("readable").is_none());
    assert!(!txn.remove_range(&KeyRange::ALL).expect("writable"), "nothing is left");
    drop(txn);
    set(&store, "k9", "after");
    assert_eq!(get(&store, "k9").as_deref(), Some(&b"after"[..]));
    store.flush().expect("works");
    assert_eq!(published(&store).into_keys().collect::<Vec<_>>(), [b"k9".to_vec()]);
}

#[test]
fn a_scan_at_the_head_merges_pending_and_published() {
    let store = owner(&MemoryDisk::new(), "a");
    for i in 0..40 {
        set(&store, &format!("k{i}"), "1");
    }
    store.flush().expect("works");
    for i in (0..60).step_by(3) {
        set(&store, &format!("k{i}"), "2");
    }
    del(&store, "k1");
    let mut seen = Vec::new();
    store
        .begin()
        .scan(&KeyRange::ALL, |stored, live| {
            seen.push((key::parse(stored).expect("well formed").0, live.value.to_vec()));
            std::ops::ControlFlow::Continue(())
        })
        .expect("readable");
    let keys: Vec<_> = seen.iter().map(|(k, _)| key::stored(k)).collect();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "in key order");
    store.flush().expect("works");
    let now = published(&store);
    assert_eq!(seen.len(), now.len());
    assert!(seen.iter().all(|(k, v)| now[k].0 == *v));
}

#[test]
fn a_store_without_an_epoch_refuses_to_write() {
    let store = open(&MemoryDisk::new(), "a");
    let live = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: b"v" };
    assert!(matches!(store.begin().write(&key::stored(b"k"), live), Err(StoreError::Invalid { .. })));
    assert!(get(&store, "k").is_none(), "reading is fine");
}

#[test]
fn a_failed_flush_poisons_the_store_and_loses_nothing_published() {
    let disk = MemoryDisk::new();
    let store = owner(&disk, "a");
    set(&store, "k", "1");
    store.flush().expect("works");
    set(&store, "k", "2");
    for effect in disk.effects()..disk.effects() + 2 {
        disk.fault_at(effect, Fault::Fail { kind: io::ErrorKind::Other, done: 0 });
    }
    assert!(store.flush().is_err());
    assert!(matches!(store.flush(), Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.begin().set(b"k", b"3", Expiry::NEVER), Err(StoreError::Poisoned { .. })));
    assert_eq!(store.checkpoint().map_err(|e| e.code()), Err("store.poisoned"));
    assert_eq!(store.poison().map(|e| e.code()), Some("store.poisoned"), "what readiness asks");
    drop(store);
    let store = open(&power_cut(&disk), "a");
    assert_eq!(get(&store, "k").as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_full_disk_keeps_what_was_written_and_goes_on_when_there_is_room() {
    let disk = MemoryDisk::new();
    let store = owner(&disk, "a");
    set(&store, "k", vec![1; 9000]);
    disk.set_room(Some(disk.used() + 100));
    assert_eq!(store.flush().map_err(|e| e.code()), Err("store.disk_full"));
    assert_eq!(store.begin().set(b"j", b"1", Expiry::NEVER).map_err(|e| e.code()), Err("store.disk_full"));
    assert_eq!(get(&store, "k").map(|v| v.len()), Some(9000), "still at the head");
    disk.set_room(None);
    store.flush().expect("there is room again");
    set(&store, "j", "1");
    store.flush().expect("works");
    assert_eq!(published(&store).len(), 2);
    drop(store);
    assert_eq!(published(&open(&power_cut(&disk), "a")).len(), 2);
}

#[test]
fn interval_durability_publishes_before_the_disk_has_it_and_sync_flushes() {
    let disk = MemoryDisk::new();
    let store = Store::open(interval(&disk, "a")).expect("sound");
    store.open_epoch(0).expect("works");
    set(&store, "kept", "1");
    store.flush().expect("works");
    store.sync().expect("works");
    set(&store, "lost", "1");
    store.flush().expect("works");
    assert_eq!(published(&store).len(), 2);
    drop(store);
    let disk = power_cut(&disk);
    let store = open(&disk, "a");
    assert_eq!(published(&store).into_keys().collect::<Vec<_>>(), [b"kept".to_vec()]);

    let disk = MemoryDisk::new();
    let store = Store::open(Options { durability: Durability::Commit, ..options(&disk, "a") }).expect("sound");
    store.open_epoch(0).expect("works");
    set(&store, "kept", "1");
    store.flush().expect("works");
    drop(store);
    assert_eq!(published(&open(&power_cut(&disk), "a")).len(), 1);
}

#[test]
fn a_role_and_epochs_survive_restarts() {
    let disk = MemoryDisk::new();
    let store = owner(&disk, "a");
    store.set_role(b"owner").expect("works");
    drop(store);
    let disk = power_cut(&disk);
    let store = open(&disk, "a");
    assert_eq!(&store.role()[..], b"owner");
    assert_eq!(store.open_epoch(0).ok(), Some(2));
    assert_eq!(store.open_epoch(9).ok(), Some(10));
    store.checkpoint().expect("works");
    drop(store);
    let store = open(&power_cut(&disk), "a");
    assert_eq!(&store.role()[..], b"owner");
    assert_eq!(store.facts()[0].epochs.rows().iter().map(|row| row.epoch).collect::<Vec<_>>(), [1, 2, 10]);
    assert_eq!(store.open_epoch(0).ok(), Some(11));
}

#[test]
fn due_keys_become_tombstones_unless_a_pending_write_saved_them() {
    let store = owner(&MemoryDisk::new(), "a");
    let mut txn = store.begin();
    for i in 0..10 {
        txn.set(format!("k{i}").as_bytes(), b"v", Expiry::at(100 + i)).expect("writable");
    }
    txn.set(b"large", &Dice(1).bytes(100_000), Expiry::at(50)).expect("writable");
    txn.commit();
    assert!(txn.get(b"k1", 101).expect("readable").is_none(), "past its deadline");
    drop(txn);
    store.flush().expect("works");
    let mut txn = store.begin();
    assert!(txn.set_expiry(b"k2", Expiry::NEVER, 0).expect("writable"));
    txn.commit();
    drop(txn);
    assert_eq!(store.expire_due(104, 100).ok(), Some(5), "large, k0, k1, k3, k4");
    store.flush().expect("works");
    assert_eq!(published(&store).len(), 6);
    assert_eq!(store.stats().live, 6, "the large value's parts are gone too");
    assert_eq!(store.earliest_expiry(), Some(105));
}
