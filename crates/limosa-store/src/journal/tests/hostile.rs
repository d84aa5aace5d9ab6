//! Bytes that nobody at Limosa wrote.

use limosa_core::limits::COMMIT_BYTES_MAX;
use proptest::prelude::*;

use super::*;
use crate::journal::group::{GroupHeader, HEADER_BYTES, Salt};
use crate::journal::window::Window;

fn window(bytes: &[u8], salt: Salt) -> (Window, u64) {
    let disk = disk();
    disk.replace(&path_of(1), bytes.to_vec());
    let file = disk.open(&path_of(1), crate::disk::Open::Read).unwrap();
    (Window::new(file, path_of(1), salt), bytes.len() as u64)
}

/// A header with a right checksum and any fields.
fn any_header() -> impl Strategy<Value = GroupHeader> {
    let small = prop_oneof![0u64..20, any::<u64>()];
    (prop_oneof![0u32..40, any::<u32>()], any::<u32>(), small.clone(), prop_oneof![0u32..10, any::<u32>()], small).prop_map(
        |(body_bytes, body_crc, first, count, flushed)| GroupHeader {
            body_bytes,
            body_crc,
            first: Position(first),
            count,
            flushed: Position(flushed),
            chain: Chain([3; 16]),
        },
    )
}

#[test]
fn a_length_above_the_limit_is_refused_before_anything_is_allocated() {
    let salt = Salt(1);
    let header =
        GroupHeader { body_bytes: u32::MAX, body_crc: 0, first: Position(1), count: 1, flushed: Position::ZERO, chain: Chain([0; 16]) };
    assert_eq!(GroupHeader::decode(&header.encode(salt), salt), Err("the group's length is above its limit"));
}

#[test]
fn a_group_beyond_the_limit_is_refused() {
    assert!(group::check_room(0, COMMIT_BYTES_MAX).is_ok(), "the largest commit fits");
    assert!(group::check_room(BODY_BYTES_MAX - 3, 1).is_ok());
    for (held, more) in [(BODY_BYTES_MAX - 2, 1), (0, BODY_BYTES_MAX), (0, usize::MAX - 1)] {
        assert_eq!(group::check_room(held, more).unwrap_err().code(), "store.limit");
    }
}

proptest! {
    #[test]
    fn any_bytes_as_a_group_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), salt: u32) {
        let (mut window, limit) = window(&bytes, Salt(salt));
        if limit > 0 {
            let _ = window.group(0, limit);
            let _ = window.witness_behind(0, limit, Position(1));
        }
    }

    #[test]
    fn any_fields_under_a_right_checksum_never_panic(header in any_header(), body in proptest::collection::vec(0u8..12, 0..60)) {
        let salt = Salt(9);
        let header = GroupHeader { body_crc: salt.crc(&body[..body.len().min(header.body_bytes as usize)]), ..header };
        let (mut window, limit) = window(&[&header.encode(salt)[..], &body].concat(), salt);
        if let Ok(group) = window.group(0, limit) {
            prop_assert_eq!(group.records().count(), header.count as usize);
            let _ = group.end();
        }
    }

    #[test]
    fn any_bytes_as_a_segment_open_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), keep in 0usize..200) {
        // The start of a true segment, then anything.
        let disk = disk();
        let (mut journal, _) = open(&disk, JournalOptions::default()).unwrap();
        write(&mut journal, 2).unwrap();
        let mut whole = disk.read(&path_of(1)).unwrap();
        whole.truncate(keep);
        whole.extend_from_slice(&bytes);
        disk.replace(&path_of(1), whole);
        if let Ok((journal, _)) = open(&disk, JournalOptions::default()) {
            check_records(&journal, Position(1));
        }
    }

    #[test]
    fn a_segment_header_of_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = segment::SegmentHeader::decode(&bytes);
        let mut whole = bytes;
        whole.resize(segment::HEADER_BYTES, 0);
        let crc = crc32fast::hash(&whole[..64]);
        whole[64..].copy_from_slice(&crc.to_le_bytes());
        let _ = segment::SegmentHeader::decode(&whole);
    }
}

#[test]
fn the_header_is_as_long_as_the_format_says() {
    assert_eq!((segment::HEADER_BYTES, HEADER_BYTES), (68, 56));
}
