//! Claims about the journal, most of them on a disk that crashes.
#![allow(clippy::cast_possible_truncation, reason = "bytes made from numbers")]

mod bits;
mod crash;
mod hostile;
mod reading;
mod refusals;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::disk::{Disk, MemoryDisk};
use crate::error::StoreError;

const OWNER: Owner = Owner { cluster: [7; 16], incarnation: 0xA1B2_C3D4_0000_0001 };
const SMALL: JournalOptions = JournalOptions { segment_bytes: 400 };

fn dir() -> &'static Path {
    Path::new("/data/journal")
}

fn path_of(first: u64) -> PathBuf {
    segment::path(dir(), Position(first))
}

/// A disk with the journal's folder, durable.
fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir(dir()).unwrap();
    disk.flush_dir(Path::new("/")).unwrap();
    disk.flush_dir(Path::new("/data")).unwrap();
    disk
}

fn open(disk: &MemoryDisk, options: JournalOptions) -> Result<(Journal, Recovered), StoreError> {
    open_at(disk, options, Point::genesis(&OWNER))
}

fn open_at(disk: &MemoryDisk, options: JournalOptions, expect: Point) -> Result<(Journal, Recovered), StoreError> {
    Journal::open(Arc::new(disk.clone()), dir(), OWNER, options, expect)
}

/// The body of the record at a position: different for each, 1 to 90 bytes.
fn body(position: Position) -> Vec<u8> {
    let length = 1 + position.0 * 37 % 90;
    (0..length).map(|i| (position.0 * 7 + i) as u8).collect()
}

/// Writes one group of `count` records.
fn write(journal: &mut Journal, count: u64) -> Result<Point, StoreError> {
    let mut group = Group::new(journal.end().position.next());
    for _ in 0..count {
        let next = group.next();
        group.push(RecordKind::Commit, &body(next)).unwrap();
    }
    journal.write(&mut group)
}

/// Reads everything published from `from` on, and checks that it is what was written. Answers the last position.
fn check_records(journal: &Journal, from: Position) -> Position {
    let mut reader = journal.handle().reader(from).unwrap();
    let mut next = None;
    while let Some(group) = reader.next_group().unwrap() {
        for (position, record) in group.records() {
            assert!(next.is_none_or(|next| next == position), "positions are dense");
            assert_eq!(record.body, body(position), "at {position}");
            next = Some(position.next());
        }
    }
    next.map_or(Position::ZERO, |next| Position(next.0 - 1))
}

#[test]
fn what_is_written_comes_back_over_segments_and_starts() {
    let disk = disk();
    let mut chain = Chain::genesis(&OWNER);
    for round in 0..5u64 {
        let (mut journal, recovered) = open(&disk, SMALL).unwrap();
        assert_eq!(recovered, Recovered { end: Point { position: Position(round * 12), chain }, torn: None });
        for count in [1, 3, 8] {
            write(&mut journal, count).unwrap();
            journal.flush().unwrap();
            journal.publish();
        }
        chain = journal.end().chain;
        assert_eq!(check_records(&journal, Position(1)), Position(round * 12 + 12));
    }
    assert!(disk.list(dir()).unwrap().len() > 4, "small segments rotate");
}

#[test]
fn a_group_larger_than_a_segment_has_one_of_its_own() {
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    for count in [1, 60, 1] {
        write(&mut journal, count).unwrap();
    }
    journal.flush().unwrap();
    assert_eq!(disk.list(dir()).unwrap().len(), 3);
    let (journal, _) = open(&disk, SMALL).unwrap();
    assert_eq!(check_records(&journal, Position(1)), Position(62));
}

#[test]
fn one_group_is_one_write_and_one_flush() {
    let disk = disk();
    let (mut journal, _) = open(&disk, JournalOptions::default()).unwrap();
    let before = disk.effects();
    write(&mut journal, 100).unwrap();
    assert_eq!(disk.effects(), before + 1);
    journal.flush().unwrap();
    journal.flush().unwrap();
    assert_eq!(disk.effects(), before + 2, "nothing new is not flushed again");
}

#[test]
fn the_layout_of_a_segment_does_not_change() {
    let disk = disk();
    let (mut journal, _) = open(&disk, JournalOptions::default()).unwrap();
    let mut group = Group::new(Position(1));
    group.push(RecordKind::Commit, b"one").unwrap();
    group.push(RecordKind::Witness, b"").unwrap();
    journal.write(&mut group).unwrap();
    let bytes = disk.read(&path_of(1)).unwrap();
    assert_eq!(segment::hex(&bytes), include_str!("segment-v1.hex").trim());
}
