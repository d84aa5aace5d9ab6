//! Gates, epochs of single fragments, and notes: what commands see while a fragment moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use limosa_core::{Expiry, FragmentId, KeyRange, Scope, Version};
use limosa_store::disk::MemoryDisk;
use limosa_store::{FragmentGate, Store, StoreError};

use crate::common::*;

const ALL: [FragmentId; 4] = [FragmentId(0), FragmentId(1), FragmentId(2), FragmentId(3)];

/// A user key that lies in `fragment`.
fn key_in(store: &Store, fragment: FragmentId) -> String {
    (0..).map(|i| format!("key{i}")).find(|key| store.begin().fragment_of(key.as_bytes()) == fragment).expect("keys are spread")
}

fn try_set(store: &Store, key: &str, value: &str) -> Result<(), StoreError> {
    let mut txn = store.begin();
    txn.set(key.as_bytes(), value.as_bytes(), Expiry::NEVER)?;
    txn.commit();
    Ok(())
}

#[test]
fn a_fragment_that_does_not_serve_takes_no_command_and_others_do() {
    let store = owner(&MemoryDisk::new(), "a");
    let [here, there] = [key_in(&store, ALL[1]), key_in(&store, ALL[2])];
    set(&store, &here, "1");
    store.set_gates(&[(ALL[1], FragmentGate::Parked)]);
    let codes = |store: &Store| {
        let mut txn = store.begin();
        let k = here.as_bytes();
        let code = |error: Option<StoreError>| error.map(|error| error.code());
        [
            code(txn.get(k, 0).err()),
            code(txn.facts(k, 0).err()),
            code(txn.set(k, b"2", Expiry::NEVER).err()),
            code(txn.delete(k, 0).err()),
            code(txn.append(k, b"2", 0).err()),
            code(txn.upload_open(k).err()),
            code(txn.scan(&KeyRange::ALL, |_, _| std::ops::ControlFlow::Continue(())).err()),
            code(txn.remove_range(&KeyRange::ALL).err()),
        ]
    };
    assert_eq!(codes(&store), [Some("store.parked"); 8]);
    store.set_gates(&[(ALL[1], FragmentGate::Closed)]);
    assert_eq!(codes(&store), [Some("store.not_served"); 8]);
    set(&store, &there, "2");
    assert_eq!(get(&store, &there).as_deref(), Some(&b"2"[..]));
    store.set_gates(&[(ALL[1], FragmentGate::Serving)]);
    assert_eq!(codes(&store)[..2], [None; 2]);
    assert_eq!(get(&store, &here).as_deref(), Some(&b"1"[..]), "what was refused changed nothing");
}

#[test]
fn a_batch_over_a_closed_fragment_is_taken_back_whole() {
    let store = owner(&MemoryDisk::new(), "a");
    let keys = ALL.map(|id| key_in(&store, id));
    store.set_gates(&[(ALL[3], FragmentGate::Closed)]);
    let outcome = store.transact(|txn| {
        for key in &keys {
            txn.set(key.as_bytes(), b"x", Expiry::NEVER)?;
        }
        txn.commit();
        Ok(())
    });
    assert!(matches!(outcome, Err(StoreError::NotServed { fragment }) if fragment == ALL[3]));
    assert_eq!(get(&store, &keys[0]), None);
}

#[test]
fn deleting_everything_deletes_what_is_served_here() {
    let store = owner(&MemoryDisk::new(), "a");
    let keys = ALL.map(|id| key_in(&store, id));
    keys.iter().for_each(|key| _ = set(&store, key, "x"));
    store.set_gates(&[(ALL[3], FragmentGate::Closed)]);
    let mut txn = store.begin();
    txn.clear().expect("closed fragments are another node's business");
    txn.commit();
    drop(txn);
    store.set_gates(&[(ALL[3], FragmentGate::Serving)]);
    assert_eq!(keys.each_ref().map(|key| get(&store, key).is_some()), [false, false, false, true]);
    store.set_gates(&[(ALL[3], FragmentGate::Parked)]);
    assert!(matches!(store.begin().clear(), Err(StoreError::Parked { .. })), "it may be served here in a moment");
}

/// A write is either evaluated before the gate closed, and in what is sealed, or it is refused.
#[test]
fn no_write_is_evaluated_behind_a_gate_that_closed() {
    let store = owner(&MemoryDisk::new(), "a");
    let key = key_in(&store, ALL[2]);
    let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (store, key, written, stop) = (store.clone(), key.clone(), written.clone(), stop.clone());
            std::thread::spawn(move || {
                for i in 0u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    match try_set(&store, &key, &format!("{writer}.{i}")) {
                        Ok(()) => _ = written.fetch_add(1, Ordering::SeqCst),
                        Err(StoreError::Parked { .. }) => std::thread::yield_now(),
                        Err(other) => panic!("{other}"),
                    }
                    if i % 16 == 0 {
                        store.flush().expect("works");
                    }
                }
            })
        })
        .collect();
    let mut before = 0;
    for _ in 0..40 {
        std::thread::sleep(std::time::Duration::from_micros(300));
        store.set_gates(&[(ALL[2], FragmentGate::Parked)]);
        let (version, state) = store.sealed(ALL[2]).expect("it is parked");
        assert!(version.seq >= before);
        before = version.seq;
        std::thread::yield_now();
        store.flush().expect("works");
        assert_eq!(store.sealed(ALL[2]).expect("it is parked"), (version, state), "nothing came behind the seal");
        store.set_gates(&[(ALL[2], FragmentGate::Serving)]);
    }
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().expect("no writer saw anything else"));
    store.set_gates(&[(ALL[2], FragmentGate::Closed)]);
    assert_eq!(store.sealed(ALL[2]).expect("closed").0.seq, written.load(Ordering::SeqCst), "each write that was evaluated, and no other");
}

#[test]
fn a_serving_fragment_is_not_sealed() {
    let store = owner(&MemoryDisk::new(), "a");
    assert_eq!(store.sealed(ALL[0]).map_err(|error| error.code()), Err("store.invalid"));
}

#[test]
fn epochs_are_opened_one_by_one_durably_and_only_above_what_is_there() {
    let disk = MemoryDisk::new();
    let store = open(&disk, "a");
    store.open_epochs(&[(ALL[0], 3), (ALL[1], 7)]).expect("nothing was opened before");
    let held = |store: &Store| store.facts().iter().map(|facts| facts.epochs.epoch()).collect::<Vec<_>>();
    assert_eq!(held(&store), [3, 7, 0, 0]);
    let refused = store.open_epochs(&[(ALL[2], 1), (ALL[1], 7)]);
    assert!(matches!(refused, Err(StoreError::EpochHeld { held: 7, epoch: 7, fragment }) if fragment == ALL[1]));
    assert_eq!(held(&store), [3, 7, 0, 0], "all or none");
    set(&store, &key_in(&store, ALL[1]), "x");
    store.flush().expect("works");
    let key = key_in(&store, ALL[2]);
    assert_eq!(try_set(&store, &key, "x").map_err(|error| error.code()), Err("store.invalid"), "this one is not owned");
    drop(store);
    let store = open(&power_cut(&disk), "a");
    assert_eq!(held(&store), [3, 7, 0, 0]);
    assert_eq!(versions(&store)[1].1, Version::new(7, 1));
}

#[test]
fn the_newest_commit_of_each_fragment_is_known_also_behind_a_restart() {
    let disk = MemoryDisk::new();
    let store = owner(&disk, "a");
    let [a, b] = [key_in(&store, ALL[0]), key_in(&store, ALL[1])];
    let of_a = set(&store, &a, "1");
    let of_b = set(&store, &b, "1");
    assert!(store.last_commit(ALL[0]) < Some(of_a), "it is not published");
    store.flush().expect("works");
    let known = |store: &Store| (store.last_commit(ALL[0]), store.last_commit(ALL[1]), store.begin().last_commit(ALL[1]));
    assert_eq!(known(&store), (Some(of_a), Some(of_b), Some(of_b)));
    assert_eq!(store.last_commit(FragmentId(9)), None);
    store.checkpoint().expect("works");
    drop(store);
    assert_eq!(known(&open(&power_cut(&disk), "a")), (Some(of_a), Some(of_b), Some(of_b)));
}

#[test]
fn notes_are_durable_forgotten_when_empty_and_bounded() {
    let disk = MemoryDisk::new();
    let store = open(&disk, "a");
    store.set_notes(&[("fence/1", b"7"), ("fence/2", b"8"), ("ratchet", b"x")]).expect("works");
    store.set_note("fence/1", b"9").expect("works");
    store.set_note("ratchet", b"").expect("works");
    let told = |store: &Store| store.notes("fence/").into_iter().map(|(key, value)| (key, value.to_vec())).collect::<Vec<_>>();
    let expected = [("fence/1".to_owned(), b"9".to_vec()), ("fence/2".to_owned(), b"8".to_vec())];
    assert_eq!((told(&store), store.note("ratchet")), (expected.to_vec(), None));
    drop(store);
    let disk = power_cut(&disk);
    let store = open(&disk, "a");
    assert_eq!(told(&store), expected);
    store.checkpoint().expect("works");
    store.set_note("late", b"1").expect("works");
    drop(store);
    let store = open(&power_cut(&disk), "a");
    assert_eq!((told(&store), store.note("late").as_deref()), (expected.to_vec(), Some(&b"1"[..])));
    assert!(matches!(store.set_note("big", &vec![0; (64 << 10) + 1]), Err(StoreError::Limit { .. })));
    let value = vec![1; 64 << 10];
    let refused = (0..70).find_map(|i| store.set_note(&format!("n{i}"), &value).err());
    assert!(matches!(refused, Some(StoreError::Limit { .. })), "all of them together are bounded");
    assert_eq!(store.note("fence/1").as_deref(), Some(&b"9"[..]));
}

#[test]
fn floors_rise_where_this_node_owns_and_deadlines_pass_where_it_serves() {
    let store = owner(&MemoryDisk::new(), "a");
    let keys = ALL.map(|id| key_in(&store, id));
    for key in &keys {
        let mut txn = store.begin();
        txn.set(key.as_bytes(), b"x", Expiry::at(5)).expect("writable");
        txn.commit();
    }
    store.flush().expect("works");
    store.set_gates(&[(ALL[0], FragmentGate::Closed)]);
    assert_eq!(store.expire_due(10, 100).expect("works"), 3, "another node expires the fourth");
    store.flush().expect("works");
    assert_eq!(store.raise_floors(&Scope::only([ALL[1], ALL[2]])).expect("writable").floors, 2);
    store.flush().expect("works");
    let raised: Vec<bool> = store.floors().into_iter().map(|(_, floor)| !floor.is_zero()).collect();
    assert_eq!(raised, [false, true, true, false]);
}

#[test]
fn a_lease_ends_for_the_fragments_that_its_peer_left() {
    let store = owner(&MemoryDisk::new(), "a");
    store.renew_lease("b", 5, &versions(&store));
    store.end_lease("b", &Scope::only([ALL[0], ALL[1]]));
    let held: Vec<FragmentId> = store.leases()[0].held.keys().copied().collect();
    assert_eq!(held, [ALL[2], ALL[3]]);
    store.end_lease("b", &Scope::All);
    assert!(store.leases().is_empty());
}
