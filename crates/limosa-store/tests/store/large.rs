//! Large values: parts that stay where they are when a value is edited.

use limosa_core::{Expiry, KeyRange};
use limosa_store::disk::MemoryDisk;
use limosa_store::{Extract, Store};

use crate::common::*;

/// Key and value bytes that a standby at the last publish would be sent.
fn delta_bytes(store: &Store, edit: impl FnOnce()) -> usize {
    let before = versions(store);
    edit();
    store.flush().expect("works");
    let cut = store.cut();
    let pairs = cut.fragments().iter().zip(before);
    pairs
        .map(|(view, (_, since))| {
            view.delta(&KeyRange::ALL.intersect(&view.facts().range).expect("whole"), since, Extract::Changes, usize::MAX)
                .expect("readable")
                .0
                .entries
                .payload_bytes()
        })
        .sum()
}

#[test]
fn fifty_bytes_overwritten_or_inserted_in_a_megabyte_are_a_delta_of_a_few_parts() {
    let store = owner(&MemoryDisk::new(), "a");
    let mut dice = Dice(1);
    let (mut overwritten, mut inserted) = (0, 0);
    for i in 0..10 {
        let (key, value) = (format!("v{i}"), dice.bytes(1 << 20));
        set(&store, &key, &value);
        store.flush().expect("works");
        let at = usize::try_from(dice.below(1_000_000)).expect("small");
        let mut over = value.clone();
        over[at..at + 50].copy_from_slice(&dice.bytes(50));
        overwritten += delta_bytes(&store, || _ = set(&store, &key, &over));
        let mut into = over.clone();
        into.splice(at..at, dice.bytes(50));
        inserted += delta_bytes(&store, || _ = set(&store, &key, &into));
        assert_eq!(get(&store, &key), Some(into));
    }
    assert!(overwritten < 100_000, "{overwritten}");
    assert!(inserted < 100_000, "{inserted}");
}

#[test]
fn a_large_value_comes_back_over_every_way_of_replacing_it() {
    let disk = MemoryDisk::new();
    let store = owner(&disk, "a");
    let mut dice = Dice(2);
    let (a, b) = (dice.bytes(300_000), dice.bytes(50_000));
    for (value, entries) in [(&a[..], None), (&b[..], None), (&b[..100], Some(1)), (&a[..], None), (&a[..16 << 10], Some(1))] {
        set(&store, "k", value);
        assert_eq!(get(&store, "k").as_deref(), Some(value), "pending");
        store.flush().expect("works");
        assert_eq!(get(&store, "k").as_deref(), Some(value), "published");
        assert!(entries.is_none_or(|entries| store.stats().live == entries), "no part is left over");
        assert_eq!(store.stats().top_level, 1);
    }
    set(&store, "k", &a);
    del(&store, "k");
    assert_eq!(get(&store, "k"), None);
    set(&store, "k", &a);
    assert_eq!(get(&store, "k").as_deref(), Some(&a[..]), "deleted and made again before any flush");
    store.flush().expect("works");
    drop(store);
    assert_eq!(get(&open(&power_cut(&disk), "a"), "k").as_deref(), Some(&a[..]));
}

#[test]
fn a_deadline_and_a_length_do_not_touch_the_parts() {
    let store = owner(&MemoryDisk::new(), "a");
    let value = Dice(3).bytes(1 << 20);
    set(&store, "k", &value);
    store.flush().expect("works");
    let moved = delta_bytes(&store, || {
        let mut txn = store.begin();
        assert!(txn.set_expiry(b"k", Expiry::at(500), 0).expect("writable"));
        assert_eq!(txn.facts(b"k", 0).expect("readable").map(|facts| facts.bytes), Some(1 << 20));
        assert_eq!(txn.facts(b"k", 500).expect("readable"), None);
        txn.commit();
    });
    assert!(moved < 100, "{moved}");
}

#[test]
fn a_value_beyond_the_limit_is_refused_before_anything_is_written() {
    let store = owner(&MemoryDisk::new(), "a");
    let long = vec![0; limosa_core::limits::USER_KEY_BYTES_MAX + 1];
    assert_eq!(store.begin().set(&long, b"", Expiry::NEVER).map_err(|e| e.code()), Err("store.limit"));
    assert!(!store.has_pending());
}
