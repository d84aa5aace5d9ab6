//! Readers beside a writer.

use super::*;

#[test]
fn a_reader_stops_at_the_published_end_and_goes_on_later() {
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    let mut reader = journal.handle().reader(Position(1)).unwrap();
    let mut next = Position(1);
    for round in 0..20 {
        write(&mut journal, 1 + round % 4).unwrap();
        assert!(reader.next_group().unwrap().is_none(), "written is not published");
        journal.flush().unwrap();
        journal.publish();
        while let Some(group) = reader.next_group().unwrap() {
            for (position, record) in group.records() {
                assert_eq!((position, record.body), (next, &body(position)[..]));
                next = next.next();
            }
        }
        assert_eq!(next, journal.end().position.next());
    }
}

#[test]
fn a_reader_starts_at_the_group_that_holds_its_position() {
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    for count in [3, 1, 4, 1, 5, 9, 2, 6] {
        write(&mut journal, count).unwrap();
    }
    journal.publish();
    for from in 1..=31 {
        let mut reader = journal.handle().reader(Position(from)).unwrap();
        let group = reader.next_group().unwrap().unwrap();
        assert!((group.first().0..=group.end().position.0).contains(&from));
    }
    assert!(journal.handle().reader(Position(32)).unwrap().next_group().unwrap().is_none());
}

#[test]
fn a_reader_of_a_long_segment_starts_near_its_position() {
    let disk = disk();
    let (mut journal, _) = open(&disk, JournalOptions::default()).unwrap();
    let mut group = Group::new(Position(1));
    for _ in 0..40 {
        group.restart(journal.end().position.next());
        group.push(RecordKind::Commit, &vec![1; 100 << 10]).unwrap();
        journal.write(&mut group).unwrap();
    }
    journal.publish();
    assert_eq!(journal.shared_marks(), 4, "40 groups of 100 KiB leave a mark each MiB");
    let (reopened, _) = open(&disk, JournalOptions::default()).unwrap();
    assert_eq!(reopened.shared_marks(), 4);
    let mut reader = reopened.handle().reader(Position(33)).unwrap();
    assert_eq!(reader.next_group().unwrap().unwrap().first(), Position(33));
}

#[test]
fn released_segments_are_told_from_missing_ones() {
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    (0..8).for_each(|_| _ = write(&mut journal, 3).unwrap());
    journal.flush().unwrap();
    journal.publish();
    let mut slow = journal.handle().reader(Position(1)).unwrap();
    slow.next_group().unwrap();
    let released = journal.handle().release(Position(20)).unwrap();
    assert!(released >= 2);
    let first = journal.handle().first();
    assert!(first <= Position(20) && first > Position(1));
    for error in [journal.handle().reader(Position(1)).unwrap_err(), read_to_error(&mut slow)] {
        assert_eq!((error.code(), error.retry()), ("store.journal_released", limosa_core::Retry::AfterResync));
    }
    assert_eq!(check_records(&journal, Position(20)), Position(24));
    assert_eq!(journal.handle().release(Position(1000)).unwrap(), disk_count_before(released), "the last segment stays");
    assert_eq!(disk.list(dir()).unwrap().len(), 1);
}

fn read_to_error(reader: &mut Reader) -> StoreError {
    loop {
        match reader.next_group() {
            Ok(group) => assert!(group.is_some()),
            Err(error) => return error,
        }
    }
}

fn disk_count_before(released: usize) -> usize {
    // 8 groups of 3 records in segments of 400 bytes: 2 groups fit none or one to a segment.
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    (0..8).for_each(|_| _ = write(&mut journal, 3).unwrap());
    disk.list(dir()).unwrap().len() - 1 - released
}

#[test]
fn a_flush_elsewhere_covers_what_was_written_before_it() {
    let disk = disk();
    let (mut journal, _) = open(&disk, JournalOptions::default()).unwrap();
    write(&mut journal, 2).unwrap();
    let job = journal.flush_job().unwrap();
    write(&mut journal, 2).unwrap();
    assert_eq!(journal.flushed_by(job.run()).unwrap(), Position(2));
    assert_eq!(journal.flush().unwrap(), Position(4));
}
