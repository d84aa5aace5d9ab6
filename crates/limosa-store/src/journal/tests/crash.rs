//! A crash at every effect: what was flushed is there, nothing is half there, and the journal goes on.

use std::io::ErrorKind;

use super::*;
use crate::disk::{Fault, Survivors};

/// What a run was told before the crash.
#[derive(Default, Clone, Copy, Debug)]
struct Told {
    flushed: Position,
    written: Position,
}

/// Groups of several sizes, some flushed one by one and some together, over several segments, then a release.
fn run(disk: &MemoryDisk, told: &mut Told) -> Result<(), StoreError> {
    let (mut journal, _) = open(disk, SMALL)?;
    for (round, count) in [1u64, 2, 5, 1, 4, 3, 1, 1].into_iter().enumerate() {
        told.written = journal.end().position.plus(count); // a write that fails may be there after all
        write(&mut journal, count)?;
        if round % 3 != 1 {
            told.flushed = journal.flush()?;
            journal.publish();
        }
    }
    told.flushed = journal.flush()?;
    journal.publish();
    journal.mark()
}

fn check_after(disk: &MemoryDisk, told: Told, what: &str) {
    let (mut journal, recovered) = open(disk, SMALL).unwrap_or_else(|error| panic!("{what}: {error}"));
    let end = recovered.end.position;
    assert!(end >= told.flushed, "{what}: flushed up to {}, back up to {end}", told.flushed);
    assert!(end <= told.written, "{what}: never written up to {end}");
    assert_eq!(check_records(&journal, Position(1)), end, "{what}");
    // It goes on, and what was found is on the disk from now on.
    write(&mut journal, 3).unwrap();
    journal.flush().unwrap();
    drop(journal);
    let (journal, recovered) = open(&disk.restart(Survivors::None), SMALL).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    assert_eq!(recovered.end.position, end.plus(3), "{what}");
    assert_eq!(check_records(&journal, Position(1)), end.plus(3), "{what}");
}

fn effects_of_a_run() -> (u64, u64) {
    let disk = disk();
    let start = disk.effects();
    run(&disk, &mut Told::default()).unwrap();
    (start, disk.effects())
}

#[test]
fn a_crash_at_every_effect_loses_nothing_flushed() {
    let (start, end) = effects_of_a_run();
    assert!(end - start > 20);
    for effect in start..=end {
        for survivors in [Survivors::None, Survivors::All].into_iter().chain((0..30).map(Survivors::Some)) {
            for done in [0, usize::MAX] {
                let disk = disk();
                disk.fault_at(effect, Fault::Crash { done });
                let mut told = Told::default();
                let _ = run(&disk, &mut told);
                check_after(&disk.restart(survivors), told, &format!("effect {effect}, done {done}, {survivors:?}"));
            }
        }
    }
}

#[test]
fn a_write_torn_at_any_byte_is_cut() {
    let (start, end) = effects_of_a_run();
    for effect in start..end {
        let mut last = None;
        for done in 0.. {
            let disk = disk();
            disk.fault_at(effect, Fault::Crash { done });
            let mut told = Told::default();
            let _ = run(&disk, &mut told);
            let disk = disk.restart(Survivors::All);
            if last.replace(disk.used()) == Some(disk.used()) {
                break; // no write, or the whole of it
            }
            check_after(&disk, told, &format!("effect {effect}, done {done}"));
        }
    }
}

#[test]
fn a_crash_while_opening_after_a_crash_loses_nothing_flushed() {
    let torn = || {
        let disk = disk();
        let (mut journal, _) = open(&disk, SMALL).unwrap();
        write(&mut journal, 1).unwrap();
        journal.flush().unwrap();
        write(&mut journal, 2).unwrap();
        disk.fault_at(disk.effects(), Fault::Crash { done: 50 });
        write(&mut journal, 1).unwrap_err();
        disk.restart(Survivors::All)
    };
    let told = Told { flushed: Position(1), written: Position(3) };
    for effect in 0..6 {
        for survivors in [Survivors::None, Survivors::All].into_iter().chain((0..10).map(Survivors::Some)) {
            let disk = torn();
            disk.fault_at(effect, Fault::Crash { done: 20 });
            let _ = open(&disk, SMALL);
            check_after(&disk.restart(survivors), told, &format!("effect {effect}, {survivors:?}"));
        }
    }
}

#[test]
fn a_failed_flush_poisons_and_opening_again_does_not_trust_memory() {
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    write(&mut journal, 2).unwrap();
    disk.fault_at(disk.effects(), Fault::Fail { kind: ErrorKind::Other, done: 0 });
    assert_eq!(journal.flush().unwrap_err().code(), "store.io");
    assert_eq!(journal.flush().unwrap_err().code(), "store.poisoned");
    assert_eq!(write(&mut journal, 1).unwrap_err().code(), "store.poisoned");
    assert_eq!(journal.handle().published(), Position::ZERO);
    drop(journal);
    // The system still shows the group, and believes it to be on the disk: a plain flush would not put it there.
    let (_, recovered) = open(&disk, SMALL).unwrap();
    assert_eq!(recovered.end.position, Position(2));
    let (_, recovered) = open(&disk.restart(Survivors::None), SMALL).unwrap();
    assert_eq!(recovered.end.position, Position(2), "what was shown after opening is on the disk");
}

#[test]
fn a_full_disk_refuses_the_group_and_takes_it_when_room_returns() {
    for short in 1..200 {
        let disk = disk();
        let (mut journal, _) = open(&disk, SMALL).unwrap();
        write(&mut journal, 2).unwrap();
        let whole = disk.read(&path_of(1)).unwrap().len();
        let mut group = Group::new(Position(3));
        group.push(RecordKind::Commit, &body(Position(3))).unwrap();
        disk.set_room(Some(disk.used() + (group.bytes() - 1).min(short)));
        let error = journal.write(&mut group).unwrap_err();
        assert_eq!((error.code(), error.retry()), ("store.disk_full", limosa_core::Retry::Later));
        assert_eq!(disk.read(&path_of(1)).unwrap().len(), whole, "the part that was written is cut off");
        assert_eq!(journal.end().position, Position(2));
        journal.flush().unwrap();
        disk.set_room(None);
        journal.write(&mut group).unwrap();
        journal.flush().unwrap();
        journal.publish();
        assert_eq!(check_records(&journal, Position(1)), Position(3));
        check_after(&disk.restart(Survivors::None), Told { flushed: Position(3), written: Position(3) }, "full");
    }
}

#[test]
fn a_full_disk_at_a_new_segment_leaves_no_trace() {
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    write(&mut journal, 5).unwrap();
    disk.set_room(Some(disk.used() + 10));
    assert_eq!(write(&mut journal, 5).unwrap_err().code(), "store.disk_full");
    assert_eq!(disk.list(dir()).unwrap().len(), 1);
    disk.set_room(None);
    write(&mut journal, 5).unwrap();
    journal.flush().unwrap();
    check_after(&disk.restart(Survivors::None), Told { flushed: Position(10), written: Position(10) }, "full");
}

#[test]
fn a_write_that_fails_and_cannot_be_cut_off_poisons() {
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    disk.fault_at(disk.effects(), Fault::Fail { kind: ErrorKind::Other, done: 30 });
    assert_eq!(write(&mut journal, 1).unwrap_err().code(), "store.io");
    assert_eq!(write(&mut journal, 1).unwrap_err().code(), "store.poisoned");
}

#[test]
fn a_crash_while_releasing_leaves_no_hole() {
    for effect in 0..8 {
        for survivors in [Survivors::None, Survivors::All].into_iter().chain((0..10).map(Survivors::Some)) {
            let disk = disk();
            let mut told = Told::default();
            run(&disk, &mut told).unwrap();
            let (journal, recovered) = open(&disk, SMALL).unwrap();
            let point = recovered.end;
            disk.fault_at(disk.effects() + effect, Fault::Crash { done: 0 });
            let _ = journal.handle().release(point.position);
            let disk = disk.restart(survivors);
            let (journal, recovered) = open_at(&disk, SMALL, point).unwrap();
            assert_eq!(recovered.end, point);
            check_records(&journal, journal.handle().first());
        }
    }
}

/// Found by simulation: a full disk left part of a group, which was cut off; then a larger group went into a new segment, the power was
/// cut, and what had been cut off was back behind the last group of a segment that was not the last one any more.
#[test]
fn what_a_full_disk_left_does_not_come_back_behind_a_new_segment() {
    for seed in 0..200 {
        let disk = disk();
        let (mut journal, _) = open(&disk, SMALL).unwrap();
        write(&mut journal, 1).unwrap();
        journal.flush().unwrap();
        disk.fault_at(disk.effects(), Fault::Fail { kind: ErrorKind::StorageFull, done: 90 });
        assert!(matches!(write(&mut journal, 2), Err(StoreError::DiskFull { .. })));
        write(&mut journal, 12).unwrap(); // too large for what is left of the segment
        journal.flush().unwrap();
        let (journal, recovered) = open(&disk.restart(Survivors::Some(seed)), SMALL).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(recovered.end.position, Position(13), "seed {seed}");
        assert_eq!(check_records(&journal, Position(1)), Position(13), "seed {seed}");
    }
}

/// Found by simulation: a mark has no position, so that nothing asked for its flush before a new segment was made; torn by a power cut,
/// it passed for damage.
#[test]
fn a_torn_mark_is_not_left_behind_in_a_segment_that_has_ended() {
    for filling in 0..60 {
        for seed in 0..40 {
            let disk = disk();
            let (mut journal, _) = open(&disk, JournalOptions { segment_bytes: 1100 }).unwrap();
            let mut group = Group::new(Position(1));
            group.push(RecordKind::Commit, &vec![7; 800 + filling]).unwrap(); // the mark lies across the end of a sector, or beside it
            journal.write(&mut group).unwrap();
            journal.flush().unwrap();
            journal.mark().unwrap();
            write(&mut journal, 12).unwrap();
            journal.flush().unwrap();
            let outcome = open(&disk.restart(Survivors::Some(seed)), SMALL);
            let (_, recovered) = outcome.unwrap_or_else(|error| panic!("filling {filling}, seed {seed}: {error}"));
            assert_eq!(recovered.end.position, Position(13));
        }
    }
}

/// Found by simulation: a segment with nothing but a mark in it, then a group larger than a segment; the new segment took the old one's
/// name, and releasing the old one deleted it.
#[test]
fn a_segment_with_only_a_mark_takes_a_group_of_any_size() {
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    write(&mut journal, 12).unwrap();
    write(&mut journal, 1).unwrap(); // a segment of its own
    let torn = disk.read(&path_of(13)).unwrap().len();
    drop(journal);
    disk.replace(&path_of(13), disk.read(&path_of(13)).unwrap()[..torn - 1].to_vec());
    let (mut journal, recovered) = open(&disk, SMALL).unwrap();
    assert_eq!(recovered.end.position, Position(12), "the torn group is cut, and a mark says up to where all is flushed");
    write(&mut journal, 12).unwrap();
    journal.flush().unwrap();
    journal.publish();
    journal.handle().release(Position(13)).unwrap();
    let (journal, recovered) = open_at(&disk.restart(Survivors::None), SMALL, recovered.end).unwrap();
    assert_eq!(recovered.end.position, Position(24));
    assert_eq!(check_records(&journal, Position(13)), Position(24));
}

/// Found by simulation: a full disk refused a new segment, whose file was removed again; the old segment was then written to and torn, and
/// the power cut brought the removed file back behind it.
#[test]
fn a_new_segment_that_a_full_disk_refused_does_not_come_back() {
    for seed in 0..200 {
        let disk = disk();
        let (mut journal, _) = open(&disk, SMALL).unwrap();
        write(&mut journal, 1).unwrap();
        journal.flush().unwrap();
        disk.set_room(Some(disk.used() + 20));
        assert!(matches!(write(&mut journal, 12), Err(StoreError::DiskFull { .. })), "it needs a new segment");
        assert!(matches!(journal.mark(), Err(StoreError::DiskFull { .. })), "part of a mark is written and cut off again");
        let (journal, recovered) = open(&disk.restart(Survivors::Some(seed)), SMALL).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(recovered.end.position, Position(1), "seed {seed}");
        assert_eq!(check_records(&journal, Position(1)), Position(1), "seed {seed}");
    }
}
