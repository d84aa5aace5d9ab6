//! What opening refuses, by name.

use super::*;

fn three_segments() -> (MemoryDisk, Point) {
    let disk = disk();
    let (mut journal, _) = open(&disk, SMALL).unwrap();
    (0..6).for_each(|_| _ = write(&mut journal, 3).unwrap());
    journal.flush().unwrap();
    assert!(disk.list(dir()).unwrap().len() >= 3);
    (disk, journal.end())
}

fn firsts(disk: &MemoryDisk) -> Vec<u64> {
    let mut firsts: Vec<_> = disk.list(dir()).unwrap().iter().filter_map(|name| segment::first_of(name)).map(|first| first.0).collect();
    firsts.sort_unstable();
    firsts
}

#[test]
fn a_missing_segment_is_named_by_its_positions() {
    let (disk, _) = three_segments();
    let firsts = firsts(&disk);
    disk.remove(&path_of(firsts[1])).unwrap();
    let StoreError::JournalMissing { from, to, .. } = open(&disk, SMALL).unwrap_err() else { panic!("another error") };
    assert_eq!((from.0, to.0), (firsts[1], firsts[2] - 1));
}

#[test]
fn a_journal_that_starts_behind_the_checkpoint_is_refused() {
    let (disk, end) = three_segments();
    let firsts = firsts(&disk);
    disk.remove(&path_of(firsts[0])).unwrap();
    assert_eq!(open(&disk, SMALL).unwrap_err().code(), "store.journal_missing");
    assert!(open_at(&disk, SMALL, end).is_ok(), "a checkpoint that holds the rest does not need it");
}

#[test]
fn a_journal_that_has_gone_is_refused_when_a_checkpoint_knows_of_it() {
    let expect = Point { position: Position(9), chain: Chain([1; 16]) };
    assert_eq!(open_at(&disk(), SMALL, expect).unwrap_err().code(), "store.journal_missing");
}

#[test]
fn a_checkpoint_of_another_history_is_refused() {
    let (disk, end) = three_segments();
    let other = Point { chain: Chain([1; 16]), ..end };
    assert_eq!(open_at(&disk, SMALL, other).unwrap_err().code(), "store.journal_chain");
    let inside_a_group = Point { position: Position(end.position.0 - 1), ..end };
    assert_eq!(open_at(&disk, SMALL, inside_a_group).unwrap_err().code(), "store.journal_chain");
}

#[test]
fn a_segment_of_another_node_is_refused() {
    let (disk, _) = three_segments();
    for (owner, what) in [(Owner { incarnation: 1, ..OWNER }, "incarnation"), (Owner { cluster: [0; 16], ..OWNER }, "cluster")] {
        let error = Journal::open(Arc::new(disk.clone()), dir(), owner, SMALL, Point::genesis(&owner)).unwrap_err();
        assert!(matches!(error, StoreError::ForeignFolder { what: found, .. } if found == what), "{error}");
    }
}

#[test]
fn a_newer_format_is_refused_as_newer() {
    for (field, code) in [(8, "store.format_newer"), (12, "store.format_newer")] {
        let (disk, _) = three_segments();
        let mut bytes = disk.read(&path_of(1)).unwrap();
        bytes[field] += 2;
        let crc = crc32fast::hash(&bytes[..64]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
        disk.replace(&path_of(1), bytes);
        assert_eq!(open(&disk, SMALL).unwrap_err().code(), code);
    }
}

#[test]
fn a_newer_record_kind_is_refused_as_newer_and_not_cut() {
    let salt = segment::salt(OWNER, Position(1));
    let body = [2, 200, 1];
    let before = Point::genesis(&OWNER);
    let header = group::GroupHeader {
        body_bytes: 3,
        body_crc: salt.crc(&body),
        first: Position(1),
        count: 1,
        flushed: Position::ZERO,
        chain: before.chain.extended(&body),
    };
    let segment = segment::SegmentHeader { owner: OWNER, before }.encode();
    let disk = disk();
    disk.replace(&path_of(1), [&segment[..], &header.encode(salt), &body].concat());
    let StoreError::FormatNewer { what, found, known, .. } = open(&disk, SMALL).unwrap_err() else { panic!("another error") };
    assert_eq!((what, found, known), ("record kind", 200, RecordKind::NEWEST.into()));
}

#[test]
fn segments_that_were_exchanged_break_the_chain() {
    let (disk, _) = three_segments();
    // The same owner, the same positions, other records.
    let other = super::disk();
    let (mut journal, _) = open(&other, SMALL).unwrap();
    for _ in 0..6 {
        let mut group = Group::new(journal.end().position.next());
        (0..3).for_each(|_| {
            let next = group.next();
            let mut bytes = body(next);
            bytes[0] ^= 1;
            group.push(RecordKind::Commit, &bytes).unwrap();
        });
        journal.write(&mut group).unwrap();
    }
    let second = firsts(&disk)[1];
    disk.replace(&path_of(second), other.read(&path_of(second)).unwrap());
    assert_eq!(open(&disk, SMALL).unwrap_err().code(), "store.journal_chain");
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let (disk, _) = three_segments();
    disk.replace(&dir().join("journal-1.log"), b"mine".to_vec());
    disk.replace(&dir().join("notes.txt"), b"mine".to_vec());
    assert!(open(&disk, SMALL).is_ok());
}
