//! The disk in memory keeps its promises: tests rely on it to break the others.

use std::io::ErrorKind;
use std::path::Path;

use super::*;

fn file() -> &'static Path {
    Path::new("/d/f")
}

/// A disk with one durable file that holds "one".
fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("/d")).unwrap();
    disk.flush_dir(Path::new("/")).unwrap();
    let f = disk.open(file(), Open::CreateNew).unwrap();
    f.write_at(0, b"one").unwrap();
    f.flush().unwrap();
    disk.flush_dir(Path::new("/d")).unwrap();
    disk
}

#[test]
fn what_is_not_flushed_is_gone_after_a_crash() {
    let disk = disk();
    let f = disk.open(file(), Open::Write).unwrap();
    f.write_at(3, b"two").unwrap();
    disk.open(Path::new("/d/g"), Open::Create).unwrap().flush().unwrap();
    assert_eq!(disk.read(file()).unwrap(), b"onetwo");
    let lost = disk.restart(Survivors::None);
    assert_eq!(lost.read(file()).unwrap(), b"one");
    assert!(!lost.exists(Path::new("/d/g")).unwrap(), "a flushed file without a flushed name");
    assert_eq!(disk.restart(Survivors::All).read(file()).unwrap(), b"onetwo");
}

#[test]
fn a_failed_flush_is_not_made_good_by_the_next_one() {
    let disk = disk();
    let f = disk.open(file(), Open::Write).unwrap();
    f.write_at(3, b"two").unwrap();
    disk.fault_at(disk.effects(), Fault::Fail { kind: ErrorKind::Other, done: 0 });
    f.flush().unwrap_err();
    f.flush().unwrap();
    assert_eq!(disk.read(file()).unwrap(), b"onetwo");
    assert_eq!(disk.restart(Survivors::None).read(file()).unwrap(), b"one");
}

#[test]
fn a_crash_stops_everything_after_the_bytes_that_were_done() {
    let disk = disk();
    let f = disk.open(file(), Open::Write).unwrap();
    disk.fault_at(disk.effects(), Fault::Crash { done: 2 });
    f.write_at(3, b"two").unwrap_err();
    f.bytes().unwrap_err();
    disk.open(file(), Open::Read).unwrap_err();
    assert_eq!(disk.restart(Survivors::All).read(file()).unwrap(), b"onetw");
}

#[test]
fn sectors_survive_one_by_one() {
    let disk = disk();
    let f = disk.open(file(), Open::Write).unwrap();
    f.write_at(512, &[7; 1024]).unwrap();
    let is_holey = |seed| {
        let bytes = disk.restart(Survivors::Some(seed)).read(file()).unwrap();
        bytes.len() == 1536 && bytes[512..1024].iter().all(|byte| *byte == 0)
    };
    assert!((0..20).any(is_holey), "the later sector without the earlier one");
}

#[test]
fn room_ends_in_the_middle_of_a_write() {
    let disk = disk();
    let f = disk.open(file(), Open::Write).unwrap();
    disk.set_room(Some(5));
    assert_eq!(f.write_at(3, b"two").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.read(file()).unwrap(), b"onetw");
    f.write_at(0, b"ONE").unwrap();
    disk.set_room(None);
    f.write_at(3, b"two").unwrap();
}

#[test]
fn bulk_writes_between_small_ones_read_back_at_every_alignment() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = RealDisk.open(&dir.path().join("bulk"), Open::CreateNew).expect("it can be made");
    let mut expected = Vec::new();
    let mut put = |bytes: &[u8], is_bulk: bool| {
        let offset = expected.len() as u64;
        let written = if is_bulk { file.write_bulk_at(offset, bytes) } else { file.write_at(offset, bytes) };
        written.expect("there is room");
        expected.extend_from_slice(bytes);
        let mut read = vec![0; expected.len()];
        assert_eq!(file.read_at(0, &mut read).expect("it reads"), expected.len());
        assert!(read == expected, "after {offset} and {} bytes", bytes.len());
    };
    for (round, len) in [300_001, 4096 * 64, 1 << 20, (1 << 20) + 1, 262_143, 3_000_000].into_iter().enumerate() {
        let fill = u8::try_from(round).expect("few rounds");
        put(&vec![fill; 68 + round * 1021], false);
        put(&(0..len).map(|i: usize| fill ^ i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect::<Vec<u8>>(), true);
    }
    file.flush().expect("it flushes");
    file.set_bytes(100_001).expect("it can be cut");
    assert_eq!(file.bytes().expect("it has a length"), 100_001);
}
