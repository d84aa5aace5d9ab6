//! Groups and headers of the journal for the fuzzers: the checksums around them are made here, so that every change gets past them.

use std::path::Path;
use std::sync::Arc;

use super::group::{GroupHeader, Salt};
use super::window::Window;
use super::{Chain, Owner, Point, Position, RecordKind, record, segment};
use crate::disk::{Disk, MemoryDisk, Open};

const SALT: Salt = Salt(9);

/// declared bytes (4) | count (4) | first position (8) | flushed position (8) | body.
pub(crate) fn group(bytes: &[u8]) {
    let Some((head, body)) = bytes.split_first_chunk::<24>() else { return };
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let position = |at: usize| Position(u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes")));
    let covered = &body[..body.len().min(word(0) as usize)];
    let header = GroupHeader {
        body_bytes: word(0),
        body_crc: SALT.crc(covered),
        first: position(8),
        count: word(4),
        flushed: position(16),
        chain: Chain([3; 16]),
    };
    let whole = [&header.encode(SALT)[..], body].concat();
    let (disk, path) = (MemoryDisk::new(), Path::new("/journal"));
    disk.replace(path, whole.clone());
    let file = disk.open(path, Open::Read).expect("it is there");
    let (mut window, limit) = (Window::new(Arc::clone(&file), path.to_path_buf(), SALT), whole.len() as u64);
    if let Ok(group) = window.group(0, limit) {
        assert_eq!(group.records().count(), header.count as usize);
        let _ = group.end();
    }
    let _ = window.witness_behind(0, limit, Position(1));
}

pub(crate) fn groups() -> Vec<Vec<u8>> {
    let mut body = Vec::new();
    record::put(&mut body, RecordKind::Commit, &[b"a commit"]);
    record::put(&mut body, RecordKind::Notes, &[b"\0"]);
    let bytes = u32::try_from(body.len()).expect("small").to_le_bytes();
    let head = [&bytes[..], &2u32.to_le_bytes(), &7u64.to_le_bytes(), &6u64.to_le_bytes()].concat();
    vec![[&head[..], &body].concat()]
}

/// The fields of a segment's header.
pub(crate) fn segment(bytes: &[u8]) {
    let mut whole = bytes.to_vec();
    whole.resize(segment::HEADER_BYTES, 0);
    let crc = crc32fast::hash(&whole[..segment::HEADER_BYTES - 4]);
    whole[segment::HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    let Ok(header) = segment::SegmentHeader::decode(&whole) else { return };
    let _ = segment::admit(Path::new("/journal"), &header, header.owner, header.first());
    assert_eq!(segment::SegmentHeader::decode(&header.encode()), Ok(header));
}

pub(crate) fn segments() -> Vec<Vec<u8>> {
    let owner = Owner { cluster: [7; 16], incarnation: 77 };
    let header = segment::SegmentHeader { owner, before: Point { position: Position(41), chain: Chain([5; 16]) } };
    vec![header.encode()[..segment::HEADER_BYTES - 4].to_vec()]
}
