//! The machine stops at each effect in turn: what was acknowledged is there, what is there was asked for, whole.

use limosa_core::Expiry;
use limosa_store::disk::{Fault, MemoryDisk, Survivors};
use limosa_store::{Options, Store, StoreError};

use crate::common::*;

fn small(disk: &MemoryDisk) -> Options {
    Options { segment_bytes: 3_000, tail_bytes: 0, ring_bytes: 2_000, ..options(disk, "a") }
}

/// Writes step by step; answers the last step that was acknowledged, and whether all went well.
fn workload(disk: &MemoryDisk) -> (u32, Result<(), StoreError>) {
    let mut acknowledged = 0;
    let mut run = || {
        let store = Store::open(small(disk))?;
        store.open_epoch(0)?;
        for step in 1..=12u32 {
            let mut txn = store.begin();
            // all keys carry the step: a mixture of two steps would show
            for key in 0..4 {
                txn.set(format!("k{key}").as_bytes(), format!("{step}").as_bytes(), Expiry::NEVER)?;
            }
            txn.set(b"filler", &vec![step.to_le_bytes()[0]; 400], Expiry::NEVER)?;
            txn.commit();
            drop(txn);
            store.flush()?;
            acknowledged = step;
            if step % 5 == 0 {
                store.checkpoint()?;
            }
        }
        Ok(())
    };
    let result = run();
    (acknowledged, result)
}

#[test]
fn a_crash_at_every_effect_keeps_every_acknowledged_commit_whole() {
    let calm = MemoryDisk::new();
    workload(&calm).1.expect("without a fault all goes well");
    for effect in 0..calm.effects() {
        let survivors = [Survivors::None, Survivors::All, Survivors::Some(effect)][usize::try_from(effect % 3).expect("small")];
        let disk = MemoryDisk::new();
        disk.fault_at(effect, Fault::Crash { done: usize::try_from(effect * 37 % 300).expect("small") });
        let (acknowledged, result) = workload(&disk);
        assert!(result.is_err() || acknowledged == 12, "effect {effect}");
        let disk = disk.restart(survivors);
        let store = Store::open(small(&disk)).unwrap_or_else(|error| panic!("effect {effect}, {survivors:?}: {error}"));
        let found = get(&store, "k0").map_or(0, |value| String::from_utf8_lossy(&value).parse::<u32>().expect("a step"));
        assert!((acknowledged..=acknowledged + 1).contains(&found), "effect {effect}: {acknowledged} acknowledged, {found} found");
        for key in 1..4 {
            let other = get(&store, &format!("k{key}"));
            assert_eq!(other.is_some(), found > 0);
            assert!(other.is_none_or(|value| value == found.to_string().as_bytes()), "effect {effect}: a commit in halves");
        }
        store.open_epoch(0).expect("works");
        set(&store, "k0", "after");
        store.flush().expect("works");
    }
}

#[test]
fn a_clean_stop_and_a_power_cut_behind_it_find_the_same() {
    let disk = MemoryDisk::new();
    workload(&disk).1.expect("works");
    let facts = Store::open(small(&disk)).expect("sound").facts();
    assert_eq!(Store::open(small(&power_cut(&disk))).expect("sound").facts(), facts);
}
