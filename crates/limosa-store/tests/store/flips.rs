//! One bit is flipped at every byte of a small checkpoint, in turn: it is noticed, or nothing that is served differs.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use limosa_core::{Expiry, KeyRange, Version};
use limosa_store::disk::{Disk, MemoryDisk, Survivors};
use limosa_store::{Extract, Options, Store, StoreError};

use crate::common::*;

/// Keys, and what is served of them.
type Held = Vec<(Vec<u8>, Vec<u8>)>;

fn small(disk: &MemoryDisk) -> Options {
    // the same ids in every run: the same bytes are flipped to the same others
    Options { fragments: 2, tail_bytes: 0, segment_bytes: 1, entropy: Arc::new(|| Ok(0x5EED)), ..options(disk, "a") }
}

/// A folder whose state lies in the checkpoint alone: whole blocks in one extent file, patches in another.
fn written() -> (MemoryDisk, Held) {
    let disk = MemoryDisk::new();
    let store = Store::open(small(&disk)).expect("an empty disk");
    store.open_epoch(0).expect("works");
    for i in 0..24 {
        set(&store, &format!("k{i}"), if i == 3 { vec![b'x'; 300] } else { format!("value {i}").into_bytes() });
    }
    store.flush().expect("works");
    store.checkpoint().expect("works");
    set(&store, "k1", "another value");
    del(&store, "k2");
    store.begin().set(b"k5", b"with a deadline", Expiry::at(1 << 40)).expect("writable");
    store.flush().expect("works");
    let report = store.checkpoint().expect("works");
    assert!(report.patches > 0, "{report:?}");
    store.sync().expect("works");
    let held = all(&store).expect("sound");
    drop(store);
    (disk, held)
}

/// Every entry, as reads and as frames find it.
fn all(store: &Store) -> Result<Held, StoreError> {
    let mut out = Vec::new();
    let cut = store.cut();
    let _ = cut.scan(&KeyRange::ALL, |entry| {
        out.push((entry.key.to_vec(), format!("{:?}", (entry.version, entry.live)).into_bytes()));
        ControlFlow::Continue(())
    })?;
    for view in cut.fragments() {
        let (frame, next) = view.delta(&view.facts().range, Version::ZERO, Extract::Changes, 1 << 20)?;
        assert!(next.is_none());
        out.push((b"digest".to_vec(), frame.digest.to_bytes().to_vec()));
        out.extend(frame.entries.iter().map(|entry| (entry.key.to_vec(), format!("{:?}", entry.live).into_bytes())));
    }
    Ok(out)
}

/// Answers how many of the flips in `path` were noticed, among those of the bytes that `which` takes.
fn flip_all(disk: &MemoryDisk, path: &Path, held: &Held, which: impl Fn(usize, u8) -> bool + Sync) -> usize {
    let bytes = disk.read(path).expect("it is there");
    let tried: Vec<usize> = (0..bytes.len()).filter(|&at| which(at, bytes[at])).collect();
    let flip = |at: usize| {
        let damaged = disk.restart(Survivors::All);
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        damaged.replace(path, flipped);
        match Store::open(small(&damaged)).and_then(|store| all(&store)) {
            Ok(found) => {
                assert!(found == *held, "{} byte {at}: something else is served", path.display());
                0
            }
            Err(_) => 1,
        }
    };
    std::thread::scope(|scope| {
        let halves = [0, 1].map(|odd| {
            scope.spawn({
                let (tried, flip) = (&tried, &flip);
                move || tried.iter().skip(odd).step_by(2).map(|&at| flip(at)).sum::<usize>()
            })
        });
        halves.into_iter().map(|half| half.join().expect("every flip is noticed")).sum()
    })
}

fn extent_files(disk: &MemoryDisk) -> Vec<PathBuf> {
    let dir = small(disk).dir.join("extents");
    let mut names = disk.list(&dir).expect("the folder is there");
    names.sort();
    names.iter().map(|name| dir.join(name)).collect()
}

#[test]
fn a_flipped_bit_anywhere_in_an_extent_file_is_noticed_before_it_is_served() {
    let (disk, held) = written();
    let files = extent_files(&disk);
    assert_eq!(files.len(), 2, "whole blocks, and patches");
    for path in files {
        let bytes = disk.read(&path).expect("it is there").len();
        let noticed = flip_all(&disk, &path, &held, |_, _| true);
        assert!(noticed > bytes / 2, "{}: {noticed} of {bytes}", path.display());
    }
}

#[test]
fn a_flipped_bit_in_redbs_file_is_noticed_or_hits_nothing_that_is_served() {
    let (disk, held) = written();
    let path = small(&disk).dir.join("checkpoint.redb");
    // Every seventh byte, of empty pages every 427th. Not all: some flips make redb panic, while it closes the file, in a destructor that
    // runs because of a panic, and that ends the process: nothing wrong is served, but no test outlives it either.
    let step = 7;
    assert!(flip_all(&disk, &path, &held, |at, byte| at % if byte == 0 { 61 * step } else { step } == 0) > 0);
}
