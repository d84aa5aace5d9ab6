//! What a front door of a cluster asks: where a key lies, what each command saw, what a standby holds behind a shut gate.

use limosa_core::slot::slot_of;
use limosa_core::{Expiry, Version};
use limosa_store::disk::MemoryDisk;
use limosa_store::{FragmentGate, TailRead};

use crate::common::{get, open, owner, set, versions};

/// Slots of `foo` and `b`: 12182 and 3300, in the last and the first of four fragments.
const KEYS: [&str; 2] = ["foo", "b"];

#[test]
fn a_place_names_the_fragment_its_version_and_its_newest_commit_alone() {
    let store = owner(&MemoryDisk::new(), "a");
    let at = KEYS.map(|key| set(&store, key, "1"));
    store.flush().expect("the disk works");
    let mut txn = store.begin();
    let places = KEYS.map(|key| txn.place(key.as_bytes()));
    assert_eq!(places.map(|place| place.position), at, "another fragment's commits do not count");
    assert_eq!(places.map(|place| place.version), [Version::new(1, 1); 2]);
    assert!(places[0].fragment != places[1].fragment);
    assert_eq!(txn.version_of(places[0].fragment), Some(Version::new(1, 1)));
    txn.set(b"foo", b"2", Expiry::NEVER).expect("writable");
    let written = txn.commit().expect("something was written");
    assert_eq!(txn.take_seen(), written);
    assert_eq!(txn.get(b"b", 1).expect("memory").map(|string| string.value.to_vec()), Some(b"1".to_vec()));
    assert_eq!(txn.take_seen().0, 0, "what is published is no pending position");
    assert_eq!(txn.place(b"foo").version, Version::new(1, 2), "pending commits included");
}

#[test]
fn a_standbys_place_is_what_its_reads_see_not_what_it_has_only_received() {
    let (owner, standby) = (owner(&MemoryDisk::new(), "a"), open(&MemoryDisk::new(), "b"));
    let mut tail = owner.tail(&versions(&standby)).expect("ring");
    for value in ["1", "2"] {
        set(&owner, "foo", value);
        owner.flush().expect("the disk works");
        let before = standby.begin().place(b"foo");
        while let TailRead::Batch(batch) = tail.next(1 << 20).expect("readable") {
            standby.replicate(&batch.records, &batch.epochs, &batch.checks).expect("contiguous");
        }
        let txn = standby.begin();
        assert_eq!((txn.place(b"foo"), txn.version_of(before.fragment)), (before, Some(before.version)), "its reads do not show it yet");
        drop(txn);
        standby.flush().expect("the disk works");
        assert_eq!(get(&standby, "foo").as_deref(), Some(value.as_bytes()));
        assert_eq!(standby.begin().place(b"foo").version, owner.begin().place(b"foo").version);
    }
}

#[test]
fn a_standbys_read_passes_a_shut_gate_and_nothing_else_does() {
    let store = owner(&MemoryDisk::new(), "a");
    set(&store, "foo", "1");
    let fragment = store.begin().place(b"foo").fragment;
    for gate in [FragmentGate::Parked, FragmentGate::Closed] {
        store.set_gates(&[(fragment, gate)]);
        let mut txn = store.begin();
        assert!(txn.get(b"foo", 1).is_err());
        txn.follow(true);
        assert!(txn.get(b"foo", 1).expect("it is held").is_some());
        assert!(txn.facts(b"foo", 1).expect("it is held").is_some());
        assert!(txn.set(b"foo", b"2", Expiry::NEVER).is_err());
        txn.follow(false);
        assert!(txn.get(b"foo", 1).is_err());
    }
}

#[test]
fn clearing_slots_leaves_the_others_and_what_is_arriving() {
    let store = owner(&MemoryDisk::new(), "a");
    for key in KEYS {
        set(&store, key, "1");
    }
    let mut txn = store.begin();
    let upload = txn.upload_open(b"{b}large").expect("writable");
    txn.upload_push(upload, &[7; 100_000], true).expect("writable");
    txn.commit();
    txn.clear_slots(0, slot_of(b"foo") - 1).expect("writable");
    txn.commit();
    assert!(txn.get(b"b", 1).expect("memory").is_none());
    assert!(txn.get(b"foo", 1).expect("memory").is_some());
    txn.set_uploaded(b"{b}large", upload, Expiry::NEVER).expect("it has arrived");
    txn.upload_close(upload).expect("it was set");
    txn.commit();
    assert_eq!(txn.get(b"{b}large", 1).expect("memory").map(|string| string.value.len()), Some(100_000));
    txn.clear_slots(0, 16_383).expect("writable");
    txn.commit();
    assert!(txn.get(b"foo", 1).expect("memory").is_none() && txn.get(b"{b}large", 1).expect("memory").is_none());
}
