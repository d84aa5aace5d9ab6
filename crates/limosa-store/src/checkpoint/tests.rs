//! Claims about the checkpoint.
#![allow(clippy::cast_possible_truncation, reason = "bytes made from numbers")]

use std::io::ErrorKind;

use super::value::SUMMARIES;
use super::*;
use crate::disk::{Disk, Fault, MemoryDisk, RealDisk, Survivors};
use crate::error::StoreError;
use crate::journal::{Chain, Owner, Point, Position};
use limosa_core::{FragmentId, Retry};
use std::path::Path;
use std::sync::Arc;

const OWNER: Owner = Owner { cluster: [7; 16], incarnation: 9 };
const F: FragmentId = FragmentId(3);
const OPTIONS: CheckpointOptions = CheckpointOptions { cache_bytes: 1 << 20, extent_bytes: 20_000 };

fn path() -> &'static Path {
    Path::new("/data/checkpoint.redb")
}

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("/data")).unwrap();
    disk.flush_dir(Path::new("/")).unwrap();
    disk
}

fn open(disk: &MemoryDisk) -> Result<Checkpoint, StoreError> {
    Checkpoint::open(Arc::new(disk.clone()), path(), OWNER, OPTIONS)
}

fn point(n: u64) -> Point {
    Point { position: Position(n), chain: Chain([n as u8; 16]) }
}

fn key(i: u64) -> Vec<u8> {
    format!("key-{i:05}").into_bytes()
}

/// What block `i` holds in state `n`.
fn block(n: u64, i: u64) -> Vec<u8> {
    vec![(n * 31 + i) as u8; 300 + (i * 97 % 3000) as usize]
}

/// A summary that names state `n`.
fn summary(n: u64) -> Vec<u8> {
    [&n.to_le_bytes()[..], &[0; 85]].concat()
}

fn whole(checkpoint: &Checkpoint, i: u64) -> Vec<u8> {
    checkpoint.load_block(F, &key(i)).unwrap().whole
}

/// State `n` changes every block whose index is a multiple of `n`, and names itself in a fact.
fn commit_state(checkpoint: &Checkpoint, n: u64) -> Result<(), StoreError> {
    let mut writer = checkpoint.begin()?;
    for i in (0..40).filter(|i| i % n == 0) {
        writer.put_block(F, &key(i), &summary(n), &block(n, i))?;
    }
    writer.put_meta("state", &n.to_le_bytes())?;
    writer.commit(point(n)).map(drop)
}

/// The state that the checkpoint holds, checked to be whole.
fn check_state(checkpoint: &Checkpoint) -> u64 {
    let view = checkpoint.view().unwrap();
    let n = view.point().position.0;
    let fact = view.meta("state").unwrap().map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    if n == 0 {
        assert_eq!((view.point(), fact), (Point::genesis(&OWNER), None));
        assert_eq!(view.blocks(F).unwrap().count(), 0);
        return 0;
    }
    assert_eq!((view.point(), fact), (point(n), Some(n)));
    let rows = view.blocks(F).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(rows.len(), 40);
    for (i, row) in (0..).zip(rows) {
        let last = (1..=n).rev().find(|n| i % n == 0).expect("1 divides");
        assert_eq!((&row.first_key, &row.summary), (&key(i), &summary(last)));
        assert_eq!(view.load_block(F, &key(i)).unwrap().whole, block(last, i));
        view.check_place(F, &key(i), &row.places[0]).unwrap();
    }
    n
}

#[test]
fn a_commit_comes_back_with_its_point_after_a_restart() {
    let disk = disk();
    for n in 0..5 {
        let checkpoint = open(&disk).unwrap();
        assert_eq!(check_state(&checkpoint), n);
        commit_state(&checkpoint, n + 1).unwrap();
        assert_eq!(check_state(&checkpoint), n + 1);
    }
}

#[test]
fn fragments_lie_apart_and_in_key_order() {
    let checkpoint = open(&disk()).unwrap();
    let mut writer = checkpoint.begin().unwrap();
    for fragment in [FragmentId(0), FragmentId(1), FragmentId(256), FragmentId(u32::MAX)] {
        for key in [&b"b"[..], b"", b"a\xff"] {
            writer.put_block(fragment, key, &summary(fragment.0.into()), b"x").unwrap();
        }
    }
    writer.commit(point(1)).unwrap();
    let view = checkpoint.view().unwrap();
    for fragment in [FragmentId(0), FragmentId(1), FragmentId(256), FragmentId(u32::MAX)] {
        let rows: Vec<_> = view.blocks(fragment).unwrap().map(|row| row.unwrap()).collect();
        assert_eq!(rows.iter().map(|row| &row.first_key[..]).collect::<Vec<_>>(), [&b""[..], b"a\xff", b"b"]);
        assert!(rows.iter().all(|row| row.summary == summary(fragment.0.into())));
    }
    assert_eq!(view.blocks(FragmentId(2)).unwrap().count(), 0);
}

#[test]
fn removed_and_cleared_blocks_are_gone() {
    let checkpoint = open(&disk()).unwrap();
    commit_state(&checkpoint, 1).unwrap();
    let mut writer = checkpoint.begin().unwrap();
    writer.put_block(FragmentId(4), b"k", &summary(1), b"b").unwrap();
    writer.clear_fragment(F).unwrap();
    writer.put_block(F, b"after", &summary(1), b"b").unwrap();
    writer.put_block(F, b"gone", &summary(1), b"b").unwrap();
    writer.remove_block(F, b"gone").unwrap();
    writer.remove_block(F, b"never there").unwrap();
    writer.remove_meta("state").unwrap();
    writer.commit(point(2)).unwrap();
    let view = checkpoint.view().unwrap();
    assert_eq!(view.blocks(F).unwrap().map(|row| row.unwrap().first_key).collect::<Vec<_>>(), [b"after".to_vec()]);
    assert_eq!(view.blocks(FragmentId(4)).unwrap().count(), 1);
    assert_eq!(view.meta("state").unwrap(), None);
}

#[test]
fn a_checkpoint_that_is_dropped_leaves_no_trace() {
    let disk = disk();
    let checkpoint = open(&disk).unwrap();
    commit_state(&checkpoint, 1).unwrap();
    let mut writer = checkpoint.begin().unwrap();
    for i in 0..2000 {
        writer.put_block(F, &key(i), &summary(9), &block(9, i)).unwrap(); // more than a batch: redb has spilled
    }
    drop(writer);
    assert_eq!(check_state(&checkpoint), 1);
    // The same when the process is killed in the middle.
    let mut writer = checkpoint.begin().unwrap();
    (0..2000).for_each(|i| writer.put_block(F, &key(i), &summary(9), &block(9, i)).unwrap());
    let killed = disk.restart(Survivors::All);
    assert_eq!(check_state(&open(&killed).unwrap()), 1);
}

#[test]
fn a_view_does_not_move_when_a_commit_passes_it() {
    let checkpoint = open(&disk()).unwrap();
    commit_state(&checkpoint, 1).unwrap();
    let view = checkpoint.view().unwrap();
    (2..6).for_each(|n| commit_state(&checkpoint, n).unwrap());
    assert_eq!(view.point(), point(1));
    assert_eq!(view.load_block(F, &key(0)).unwrap().whole, block(1, 0));
    assert_eq!(whole(&checkpoint, 0), block(5, 0));
}

#[test]
fn a_crash_at_every_effect_leaves_a_whole_state() {
    let run = |disk: &MemoryDisk, done: &mut u64| -> Result<(), StoreError> {
        let checkpoint = open(disk)?;
        for n in 1..3 {
            commit_state(&checkpoint, n)?;
            *done = n;
        }
        Ok(())
    };
    let whole = disk();
    let start = whole.effects();
    run(&whole, &mut 0).unwrap();
    for effect in start..whole.effects() {
        for survivors in [Survivors::None, Survivors::All, Survivors::Some(effect)] {
            let disk = disk();
            disk.fault_at(effect, Fault::Crash { done: 1000 });
            let mut done = 0;
            let _ = run(&disk, &mut done); // fine when the crash hits while redb closes the file
            let disk = disk.restart(survivors);
            let checkpoint = open(&disk).unwrap_or_else(|error| panic!("effect {effect}, {survivors:?}: {error}"));
            let found = check_state(&checkpoint);
            assert!(found == done || found == done + 1, "effect {effect}, {survivors:?}: {found}, told {done}");
            commit_state(&checkpoint, found + 1).unwrap();
            assert_eq!(check_state(&open(&disk.restart(Survivors::None)).unwrap()), found + 1);
        }
    }
}

#[test]
fn a_full_disk_keeps_the_last_checkpoint_and_the_next_one_works() {
    let disk = disk();
    let checkpoint = open(&disk).unwrap();
    commit_state(&checkpoint, 1).unwrap();
    disk.set_room(Some(disk.used() + 10_000));
    let outcome = (|| {
        let mut writer = checkpoint.begin()?;
        for i in 0..5000 {
            writer.put_block(F, &key(i), &summary(9), &block(9, i))?;
        }
        writer.commit(point(2)).map(drop)
    })();
    let error = outcome.unwrap_err();
    assert_eq!((error.code(), error.retry()), ("store.disk_full", Retry::Later));
    assert_eq!(check_state(&checkpoint), 1, "reading goes on");
    disk.set_room(None);
    commit_state(&checkpoint, 2).unwrap();
    assert_eq!(check_state(&checkpoint), 2);
    assert_eq!(check_state(&open(&disk.restart(Survivors::None)).unwrap()), 2);
}

#[test]
fn a_failing_disk_poisons_and_what_is_shown_after_opening_is_on_the_disk() {
    let whole = disk();
    let checkpoint = open(&whole).unwrap();
    let start = whole.effects();
    commit_state(&checkpoint, 1).unwrap();
    for effect in start..whole.effects() {
        let disk = disk();
        let checkpoint = open(&disk).unwrap();
        disk.fault_at(effect, Fault::Fail { kind: ErrorKind::Other, done: 0 });
        if commit_state(&checkpoint, 1).is_err() {
            assert_eq!(checkpoint.begin().unwrap_err().code(), "store.poisoned", "effect {effect}");
            assert_eq!(checkpoint.load_block(F, b"k").unwrap_err().code(), "store.poisoned");
        }
        drop(checkpoint);
        let shown = check_state(&open(&disk).unwrap());
        assert_eq!(check_state(&open(&disk.restart(Survivors::None)).unwrap()), shown, "effect {effect}");
    }
}

/// Changes the file behind the checkpoint's back, with redb's own means.
fn tamper(f: impl FnOnce(&redb::WriteTransaction)) -> Checkpoint {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.redb");
    let open = || Checkpoint::open(Arc::new(RealDisk), &path, OWNER, OPTIONS).unwrap();
    commit_state(&open(), 1).unwrap();
    let db = redb::Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    f(&txn);
    txn.commit().unwrap();
    drop(db);
    open()
}

fn row(i: u64) -> Vec<u8> {
    value::block_key(F, &key(i)).unwrap()
}

#[test]
fn a_changed_summary_is_damage() {
    let checkpoint = tamper(|txn| {
        txn.open_table(SUMMARIES).unwrap().insert(&row(2)[..], &b"short"[..]).unwrap();
    });
    let view = checkpoint.view().unwrap();
    let rows: Vec<_> = view.blocks(F).unwrap().collect();
    assert_eq!(rows.iter().filter(|row| row.is_err()).count(), 1);
    assert_eq!(rows[2].as_ref().unwrap_err().code(), "store.checkpoint_damaged");
}

#[test]
fn a_file_of_another_node_or_of_a_newer_format_is_refused() {
    let disk = disk();
    drop(open(&disk).unwrap());
    let other = Owner { incarnation: 10, ..OWNER };
    let error = Checkpoint::open(Arc::new(disk), path(), other, OPTIONS).unwrap_err();
    assert_eq!(error.code(), "store.foreign_folder");
    let mut format = value::format_value(OWNER);
    format[8] = 4;
    assert!(matches!(value::read_format(&format), Err(value::FormatFault::Newer { what: "format version", found: 4, known: 3 })));
    assert!(matches!(value::read_format(&format[1..]), Err(value::FormatFault::Damaged)));
}

#[test]
fn a_file_that_is_not_redbs_is_refused_without_a_panic() {
    for bytes in [vec![], vec![0; 10], b"redb".to_vec(), vec![0xFF; 10_000]] {
        let disk = disk();
        disk.replace(path(), bytes);
        let error = open(&disk).unwrap_err();
        assert!(matches!(error.code(), "store.checkpoint_damaged" | "store.poisoned" | "store.io"), "{error}");
    }
}

#[test]
fn a_panic_in_redb_ends_in_the_guard_and_poisons() {
    let guard = guard::Guard::new(path().to_path_buf());
    let error = guard.call::<()>("read", || panic!("page 7")).unwrap_err();
    assert!(error.code() == "store.poisoned" && error.to_string().contains("page 7"), "{error}");
    assert_eq!(guard.call("read", || Ok(1)).unwrap_err().code(), "store.poisoned");
}

#[test]
fn the_checkpoints_own_names_are_not_for_others() {
    let checkpoint = open(&disk()).unwrap();
    let mut writer = checkpoint.begin().unwrap();
    assert_eq!(writer.put_meta("limosa.point", b"").unwrap_err().code(), "store.invalid");
    assert_eq!(writer.remove_meta("limosa.format").unwrap_err().code(), "store.invalid");
}
