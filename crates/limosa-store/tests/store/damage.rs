//! A flipped bit in a cold block: a typed error, a list, and another store's entries in its place.

use std::path::Path;

use limosa_core::Version;
use limosa_store::disk::{Disk, MemoryDisk};
use limosa_store::{DamagedBlock, Extract, Mended, Store, StoreError};

use crate::common::{get, open, owner, power_cut, published, set, stream, transfer};

/// Flips a bit of `pattern` wherever the checkpoint of `node` has it.
fn rot(disk: &MemoryDisk, node: &str, pattern: &[u8]) {
    let mut folders = vec![format!("/{node}")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for name in disk.list(Path::new(&folder)).expect("the disk works") {
            let path = format!("{folder}/{name}");
            match disk.read(Path::new(&path)) {
                _ if name == "journal" => {}
                Err(_) => folders.push(path),
                Ok(mut bytes) => {
                    let at: Vec<usize> = bytes.windows(pattern.len()).enumerate().filter(|(_, w)| *w == pattern).map(|(i, _)| i).collect();
                    at.iter().for_each(|at| bytes[*at] ^= 1);
                    found += at.len();
                    if !at.is_empty() {
                        disk.replace(Path::new(&path), bytes);
                    }
                }
            }
        }
    }
    assert!(found > 0, "the value lies in the checkpoint as it is");
}

/// `a` is an owner, `b` its copy at the same version; the block of `k7` on the disk of `a` is damaged.
fn damaged(of: &str) -> (Store, Store, MemoryDisk) {
    damaged_where(of, b"value 7 of the damaged store")
}

/// As [`damaged`], every block with `pattern` in it.
fn damaged_where(of: &str, pattern: &[u8]) -> (Store, Store, MemoryDisk) {
    let (disk_a, disk_b) = (MemoryDisk::new(), MemoryDisk::new());
    let a = owner(&disk_a, "a");
    for i in 0..500 {
        set(&a, &format!("k{i}"), format!("value {i} of the damaged store"));
    }
    a.flush().expect("room");
    let b = open(&disk_b, "b");
    transfer(&a, &b);
    for store in [&a, &b] {
        store.checkpoint().expect("room");
        store.sync().expect("room");
    }
    drop((a, b));
    let (disk_a, disk_b) = (power_cut(&disk_a), power_cut(&disk_b));
    rot(if of == "a" { &disk_a } else { &disk_b }, of, pattern);
    let (a, b) = (open(&disk_a, "a"), open(&disk_b, "b"));
    if of == "a" { (a, b, disk_a) } else { (b, a, disk_b) }
}

fn read(store: &Store, key: &str) -> Result<Option<Vec<u8>>, &'static str> {
    let mut txn = store.begin();
    txn.get(key.as_bytes(), 0).map(|value| value.map(|value| value.value.into_owned())).map_err(|error| error.code())
}

/// What `peer` has takes the place of `block`.
fn mend(store: &Store, peer: &Store, block: &DamagedBlock) -> Result<Mended, StoreError> {
    let cut = peer.cut();
    let view = cut.fragment(block.fragment).expect("both have it");
    let (frame, next) = view.delta(&block.range, Version::ZERO, Extract::WholeRange, usize::MAX).expect("the peer's disk is sound");
    assert_eq!(next, None);
    store.mend(block.fragment, &block.range.start, frame.entries.iter(), view.facts().floor)
}

/// Found by the simulator (stores, seeds 29 and 78): looking for what a crash left of arriving values met a damaged block, and the owner
/// started again and again without ever taking office.
#[test]
fn an_owner_takes_office_over_damaged_blocks() {
    let (a, _, _) = damaged_where("a", b"of the damaged store");
    let before = a.facts()[0].epochs.epoch();
    assert!(a.open_epoch(0).expect("what is damaged does not matter for that") > before);
    assert_eq!(read(&a, "k7"), Err("store.corrupt_block"), "and it is not served");
}

#[test]
fn a_damaged_block_is_a_typed_error_is_listed_and_comes_back_from_another_store() {
    let (a, b, disk) = damaged("a");
    assert_eq!(a.damage(), [], "nobody has looked");
    assert_eq!(read(&a, "k7"), Err("store.corrupt_block"));
    assert_eq!(get(&a, "k8").as_deref().map(|value| value.starts_with(b"value 8")), Some(true), "other keys go on");
    let listed = a.damage();
    assert_eq!((listed.len(), a.stats().damaged, a.stats().mended), (1, 1, 0));
    assert!(a.poison().is_none());
    assert_eq!(mend(&a, &b, &listed[0]).expect("the same version"), Mended::Yes);
    assert_eq!(read(&a, "k7"), Ok(Some(b"value 7 of the damaged store".to_vec())));
    assert_eq!((a.damage(), a.stats().damaged, a.stats().mended), (vec![], 0, 1));
    let all = published(&a);
    // Until the next checkpoint a crash finds the damage again; behind it, it is gone for good.
    a.checkpoint().expect("room");
    drop(a);
    let again = open(&power_cut(&disk), "a");
    assert_eq!(published(&again), all);
    assert_eq!(again.damage(), []);
}

#[test]
fn a_store_that_is_ahead_can_not_mend_and_changes_nothing() {
    let (a, b, _) = damaged("a");
    assert_eq!(read(&a, "k7"), Err("store.corrupt_block"));
    b.open_epoch(0).expect("room");
    set(&b, "k7", "newer");
    b.flush().expect("room");
    let refused = mend(&a, &b, &a.damage()[0]).expect_err("another digest");
    assert_eq!(refused.code(), "store.invalid");
    assert_eq!((read(&a, "k7"), a.damage().len()), (Err("store.corrupt_block"), 1));
}

#[test]
fn a_commit_onto_a_damaged_block_waits_until_it_is_mended_and_poisons_nothing() {
    let (b, a, disk_b) = damaged("b");
    a.open_epoch(0).expect("room");
    let mut tail = a.tail(&b.facts().iter().map(|facts| (facts.id, facts.head)).collect::<Vec<_>>()).expect("at hand");
    let before = a.cut();
    for key in ["k8", "k7", "k9"] {
        set(&a, key, "newer");
    }
    a.flush().expect("room");
    let limosa_store::TailRead::Batch(rows) = tail.next(1).expect("readable") else { panic!("the rows lead") };
    b.replicate(&rows.records, &rows.epochs, &rows.checks).expect("contiguous");
    while let limosa_store::TailRead::Batch(batch) = tail.next(1 << 16).expect("readable") {
        b.replicate(&batch.records, &batch.epochs, &batch.checks).expect("contiguous");
    }
    assert_eq!(b.flush().map_err(|error| error.code()), Err("store.corrupt_block"));
    assert_eq!(b.flush().map_err(|error| error.code()), Err("store.corrupt_block"), "as long as it is damaged");
    assert!(b.poison().is_none());
    assert_eq!(read(&b, "k10").map(|value| value.is_some()), Ok(true), "other keys are read");
    assert_eq!(b.checkpoint().map_err(|error| error.code()), Err("store.invalid"));
    let block = b.damage().remove(0);
    let view = before.fragment(block.fragment).expect("both have it");
    let (frame, _) = view.delta(&block.range, Version::ZERO, Extract::WholeRange, usize::MAX).expect("sound");
    b.mend(block.fragment, &block.range.start, frame.entries.iter(), Version::ZERO).expect("the version that it waits at");
    b.flush().expect("it goes on");
    assert!(stream(&mut tail, &b));
    assert_eq!(published(&b), published(&a));
    assert_eq!(b.drift(), None);
    b.checkpoint().expect("room");
    drop(b);
    assert_eq!(published(&open(&power_cut(&disk_b), "b")), published(&a));
}
