//! Damage at every byte: found, or provably without consequence.

use super::*;

/// A journal of one segment, each group flushed before the next; with a closing mark or without.
fn closed_journal(is_marked: bool) -> (MemoryDisk, Point) {
    let disk = disk();
    let (mut journal, _) = open(&disk, JournalOptions::default()).unwrap();
    for count in [2, 1, 3] {
        write(&mut journal, count).unwrap();
        journal.flush().unwrap();
    }
    if is_marked {
        journal.mark().unwrap();
    }
    (disk, journal.end())
}

fn with_bytes(bytes: Vec<u8>) -> MemoryDisk {
    let disk = disk();
    disk.replace(&path_of(1), bytes);
    disk
}

fn is_refusal(error: &StoreError) -> bool {
    matches!(error.code(), "store.journal_damaged" | "store.journal_chain" | "store.journal_missing" | "store.foreign_folder")
}

#[test]
fn after_a_clean_stop_every_flipped_bit_is_refused_or_harmless() {
    let (disk, end) = closed_journal(true);
    let bytes = disk.read(&path_of(1)).unwrap();
    let mark = bytes.len() - group::HEADER_BYTES;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match open(&with_bytes(flipped), JournalOptions::default()) {
            Err(error) => assert!(is_refusal(&error), "bit {bit}: {error}"),
            // The closing mark holds no record: cutting it loses nothing.
            Ok((_, recovered)) => assert!(bit / 8 >= mark && recovered.end == end, "bit {bit}"),
        }
    }
}

#[test]
fn without_a_mark_only_the_last_group_passes_for_a_torn_write() {
    let (disk, end) = closed_journal(false);
    let bytes = disk.read(&path_of(1)).unwrap();
    let mut last = Group::new(Position(4));
    (4..7).for_each(|p| _ = last.push(RecordKind::Commit, &body(Position(p))).unwrap());
    let last_start = bytes.len() - usize::try_from(last.bytes()).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let flipped = with_bytes(flipped);
        match open(&flipped, JournalOptions::default()) {
            Err(error) => assert!(is_refusal(&error) && bit / 8 < last_start, "bit {bit}: {error}"),
            Ok((_, recovered)) => {
                assert!(bit / 8 >= last_start, "bit {bit} passes");
                assert_eq!(recovered.end.position, Position(3));
                assert!(recovered.torn.is_some(), "the cut is reported");
            }
        }
    }
    // A checkpoint, standby or receipt that has seen the end turns the cut into a refusal.
    let mut flipped = bytes;
    *flipped.last_mut().unwrap() ^= 1;
    assert!(is_refusal(&open_at(&with_bytes(flipped), JournalOptions::default(), end).unwrap_err()));
}

#[test]
fn truncated_anywhere_it_opens_with_the_whole_groups_before_and_never_below_the_checkpoint() {
    let (disk, end) = closed_journal(false);
    let bytes = disk.read(&path_of(1)).unwrap();
    let mut last = Position::ZERO;
    for length in 0..bytes.len() {
        let (journal, recovered) = open(&with_bytes(bytes[..length].to_vec()), JournalOptions::default()).unwrap();
        assert!(recovered.end.position >= last);
        last = recovered.end.position;
        assert_eq!(check_records(&journal, Position(1)), last, "at {length}");
        let error = open_at(&with_bytes(bytes[..length].to_vec()), JournalOptions::default(), end).unwrap_err();
        assert!(is_refusal(&error), "at {length}: {error}");
    }
    assert_eq!(last, Position(3));
}

#[test]
fn an_earlier_segment_may_not_be_short_or_damaged_anywhere() {
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    (0..6).for_each(|_| _ = write(&mut journal, 3).unwrap());
    journal.flush().unwrap();
    let bytes = disk.read(&path_of(1)).unwrap();
    for length in 0..bytes.len() {
        disk.replace(&path_of(1), bytes[..length].to_vec());
        assert!(is_refusal(&open(&disk, SMALL).unwrap_err()), "at {length}");
    }
    for byte in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[byte] ^= 0x10;
        disk.replace(&path_of(1), flipped);
        assert!(is_refusal(&open(&disk, SMALL).unwrap_err()), "byte {byte}");
    }
}

#[test]
fn groups_that_were_never_flushed_may_be_lost_in_any_order() {
    let disk = disk();
    let (mut journal, _) = open(&disk, JournalOptions::default()).unwrap();
    write(&mut journal, 1).unwrap();
    journal.flush().unwrap();
    let flushed_end = disk.read(&path_of(1)).unwrap().len();
    (0..3).for_each(|_| _ = write(&mut journal, 2).unwrap());
    let mut bytes = disk.read(&path_of(1)).unwrap();
    // The first of the three never reached the disk, the others did: whole groups behind a hole prove nothing here.
    bytes[flushed_end..flushed_end + 100].fill(0);
    let (journal, recovered) = open(&with_bytes(bytes), JournalOptions::default()).unwrap();
    assert_eq!(recovered.end.position, Position(1));
    assert_eq!(check_records(&journal, Position(1)), Position(1));
}

#[test]
fn a_group_that_sits_in_a_value_proves_nothing() {
    // A client stores the bytes of a whole journal as a value; the write of it is torn.
    let (other, _) = closed_journal(true);
    let value = other.read(&path_of(1)).unwrap();
    let disk = disk();
    let other_owner = Owner { incarnation: 5, ..OWNER };
    let open_other = |disk: &MemoryDisk| {
        Journal::open(Arc::new(disk.clone()), dir(), other_owner, JournalOptions::default(), Point::genesis(&other_owner))
    };
    let (mut journal, _) = open_other(&disk).unwrap();
    let mut group = Group::new(Position(1));
    group.push(RecordKind::Commit, &value).unwrap();
    journal.write(&mut group).unwrap();
    let mut bytes = disk.read(&path_of(1)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let (_, recovered) = open_other(&with_bytes(bytes)).unwrap();
    assert!(recovered.torn.is_some());
}
