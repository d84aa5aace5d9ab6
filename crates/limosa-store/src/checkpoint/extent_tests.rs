//! Claims about extent files: what is kept, what goes, and what a full disk or damage does to them.
#![allow(clippy::cast_possible_truncation, reason = "bytes made from numbers")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use limosa_core::FragmentId;

use super::*;
use crate::disk::{Disk, Fault, MemoryDisk, Survivors};
use crate::error::StoreError;
use crate::journal::{Chain, Owner, Point, Position};

const OWNER: Owner = Owner { cluster: [7; 16], incarnation: 9 };
const F: FragmentId = FragmentId(3);
const OPTIONS: CheckpointOptions = CheckpointOptions { cache_bytes: 1 << 20, extent_bytes: 40_000 };

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("/data")).unwrap();
    disk.flush_dir(Path::new("/")).unwrap();
    disk
}

fn open(disk: &MemoryDisk) -> Checkpoint {
    Checkpoint::open(Arc::new(disk.clone()), Path::new("/data/checkpoint.redb"), OWNER, OPTIONS).unwrap()
}

fn summary(n: u64) -> Vec<u8> {
    [&n.to_le_bytes()[..], &[0; 85]].concat()
}

fn extents(disk: &MemoryDisk) -> Vec<PathBuf> {
    let dir = Path::new("/data/extents");
    disk.list(dir).unwrap().into_iter().map(|name| dir.join(name)).collect()
}

/// What each block must be: the whole one, then its patches.
type Model = BTreeMap<u64, Vec<Vec<u8>>>;

/// Random puts, patches and removals, as a checkpoint does them: one a block.
fn commit(checkpoint: &Checkpoint, model: &mut Model, n: u64, blocks: u64) -> Result<Written, StoreError> {
    let mut next = model.clone();
    let mut writer = checkpoint.begin()?;
    for i in 0..blocks {
        let dice = (n * 7_919 + i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        let (key, body) = (i.to_be_bytes(), vec![(n + i) as u8; 100 + (dice % 900) as usize]);
        match dice % 10 {
            0 => {
                writer.remove_block(F, &key)?;
                next.remove(&i);
            }
            1..=4 => {
                let body = &body[..body.len() / 10];
                let known = model.contains_key(&i);
                let place = next.entry(i).or_default();
                if known && writer.choose(F, &key, body.len() as u64)? == Writing::Patch {
                    writer.put_patch(F, &key, &summary(n), body)?;
                } else {
                    place.clear();
                    writer.put_block(F, &key, &summary(n), body)?;
                }
                place.push(body.to_vec());
            }
            5 | 6 => {
                writer.put_block(F, &key, &summary(n), &body)?;
                next.insert(i, vec![body]);
            }
            _ => {}
        }
    }
    let written = writer.commit(Point { position: Position(n), chain: Chain([n as u8; 16]) })?;
    *model = next;
    checkpoint.sweep();
    Ok(written)
}

fn check(view: &CheckpointView, model: &Model) {
    let rows: Vec<_> = view.blocks(F).unwrap().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), model.len());
    for (row, (i, bodies)) in rows.iter().zip(model) {
        assert_eq!(row.first_key, i.to_be_bytes());
        let stored = view.read_row(F, row).unwrap();
        assert_eq!([vec![stored.whole], stored.patches].concat(), *bodies);
        row.places.iter().for_each(|place| view.check_place(F, &row.first_key, place).unwrap());
    }
}

#[test]
fn blocks_equal_a_map_over_random_checkpoints_and_files_take_at_most_about_twice_what_is_needed() {
    let disk = disk();
    let (mut checkpoint, mut model, mut moved) = (open(&disk), Model::new(), 0);
    for n in 1..=60 {
        moved += commit(&checkpoint, &mut model, n, 4_000).unwrap().moved_bytes;
        if n % 10 == 0 {
            check(&checkpoint.view().unwrap(), &model);
            drop(checkpoint);
            checkpoint = open(&disk.restart(Survivors::None));
            check(&checkpoint.view().unwrap(), &model);
            checkpoint = open(&disk);
        }
        let facts = checkpoint.view().unwrap().extents().to_vec();
        let live: u64 = facts.iter().map(|file| file.live_bytes).sum();
        let bytes: u64 = facts.iter().map(|file| file.bytes).sum();
        assert!(bytes <= 2 * live + (5 << 20), "{bytes} for {live}");
        assert_eq!(extents(&disk).len(), facts.len(), "what no commit names is gone");
        let needed: usize = model.values().flatten().map(|body| body.len() + 16).sum();
        assert_eq!(live, needed as u64, "what is needed is counted to the byte");
    }
    assert!(moved > 0, "files were cleared");
}

#[test]
fn a_view_reads_its_files_until_it_goes() {
    let disk = disk();
    let (checkpoint, mut model) = (open(&disk), Model::new());
    commit(&checkpoint, &mut model, 1, 50).unwrap();
    let (view, then, files) = (checkpoint.view().unwrap(), model.clone(), extents(&disk));
    for i in 0..50u64 {
        let mut writer = checkpoint.begin().unwrap();
        writer.remove_block(F, &i.to_be_bytes()).unwrap();
        writer.commit(Point { position: Position(2 + i), chain: Chain([0; 16]) }).unwrap();
    }
    checkpoint.sweep();
    assert_eq!(checkpoint.view().unwrap().extents(), []);
    check(&view, &then);
    assert_eq!(extents(&disk), files);
    drop(view);
    checkpoint.sweep();
    assert_eq!(extents(&disk), [] as [PathBuf; 0]);
}

#[test]
fn no_room_at_any_effect_keeps_the_last_checkpoint_and_leaves_no_file() {
    let whole = disk();
    let (checkpoint, mut model) = (open(&whole), Model::new());
    commit(&checkpoint, &mut model, 1, 60).unwrap();
    let start = whole.effects();
    commit(&checkpoint, &mut model, 2, 60).unwrap();
    for effect in start..whole.effects() {
        let disk = disk();
        let (checkpoint, mut model) = (open(&disk), Model::new());
        commit(&checkpoint, &mut model, 1, 60).unwrap();
        disk.fault_at(effect, Fault::Fail { kind: ErrorKind::StorageFull, done: 100 });
        match commit(&checkpoint, &mut model, 2, 60) {
            Ok(_) => {}
            Err(StoreError::DiskFull { .. }) => {
                checkpoint.sweep();
                let view = checkpoint.view().unwrap();
                assert_eq!(extents(&disk).len(), view.extents().len(), "effect {effect}: what no commit names is gone");
                if view.point().position == Position(1) {
                    check(&view, &model);
                    commit(&checkpoint, &mut model, 2, 60).unwrap();
                    check(&open(&disk.restart(Survivors::None)).view().unwrap(), &model);
                }
            }
            Err(error) => assert_eq!(error.code(), "store.poisoned", "effect {effect}: {error}"),
        }
    }
}

#[test]
fn a_damaged_or_missing_file_is_a_corrupt_block_and_the_others_are_served() {
    let disk = disk();
    let (checkpoint, mut model) = (open(&disk), Model::new());
    commit(&checkpoint, &mut model, 1, 300).unwrap();
    drop(checkpoint);
    let first = Path::new("/data/extents").join(super::extent::file_name(1));
    let bytes = disk.read(&first).unwrap();
    for damaged in [None, Some(bytes[..bytes.len() / 2].to_vec()), Some(vec![0; 10]), Some([&b"X"[..], &bytes[1..]].concat())] {
        let disk = disk.restart(Survivors::All);
        match damaged {
            None => disk.remove(&first).unwrap(),
            Some(damaged) => disk.replace(&first, damaged),
        }
        let checkpoint = open(&disk);
        let view = checkpoint.view().unwrap();
        let (mut served, mut corrupt) = (0, 0);
        for row in view.blocks(F).unwrap().map(|row| row.unwrap()) {
            match view.read_row(F, &row) {
                Ok(_) => served += 1,
                Err(error) => {
                    assert_eq!((error.code(), row.places[0].file), ("store.corrupt_block", 1));
                    corrupt += 1;
                }
            }
        }
        assert!(served > 0 && corrupt > 0, "{served} served, {corrupt} corrupt");
        // What is damaged does not keep the next checkpoint from being made.
        let mut writer = checkpoint.begin().unwrap();
        writer.put_block(F, &0u64.to_be_bytes(), &summary(9), &[1; 50]).unwrap();
        writer.commit(Point { position: Position(2), chain: Chain([0; 16]) }).unwrap();
    }
}
