//! Rows, indexes and headers of a checkpoint for the fuzzers, each as it lies behind its checksum.

use limosa_core::FragmentId;
use limosa_tree::summary::SUMMARY_BYTES;

use super::choice::ExtentFacts;
use super::extent::{self, put_indexed, read_index};
use super::place::{Place, Row};
use super::value::{extent_key, extent_value, format_value, open, point_value, read_extent, read_format, read_point};
use crate::journal::{Chain, Owner, Point, Position};

/// which (1) | its bytes.
pub(crate) fn value(bytes: &[u8]) {
    let Some((&which, value)) = bytes.split_first() else { return };
    match which {
        0 => {
            let Some(row) = Row::decode(value) else { return };
            let _ = row.shape();
            assert_eq!(Row::decode(&row.encode()), Some(row));
        }
        1 => drop(read_index(value)),
        2 => drop(read_extent(&extent_key(7), value)),
        3 => drop(read_format(value).is_ok()),
        4 => drop(read_point(value)),
        5 => drop(open(b"a key", value)),
        6 => drop(value.first_chunk().map(|header| extent::header_is(header, owner(), 7))),
        _ => {}
    }
}

fn owner() -> Owner {
    Owner { cluster: [7; 16], incarnation: 77 }
}

pub(crate) fn values() -> Vec<Vec<u8>> {
    let of = |which: u8, value: &[u8]| [&[which], value].concat();
    let places =
        vec![Place { file: 7, offset: 64, bytes: 4000, seal: [1; 16] }, Place { file: 9, offset: 1 << 40, bytes: 90, seal: [2; 16] }];
    let mut index = vec![2];
    put_indexed(&mut index, FragmentId(7), b"first", 64, 4000);
    put_indexed(&mut index, FragmentId(8), b"", 5000, 90);
    let file = ExtentFacts { number: 7, bytes: 1 << 20, live_bytes: 1 << 19, index_offset: 1 << 18, index_bytes: 40 };
    vec![
        of(0, &Row { summary: vec![0; SUMMARY_BYTES], places }.encode()),
        of(1, &index),
        of(2, &extent_value(&file)),
        of(3, &format_value(owner())),
        of(4, &point_value(Point { position: Position(9), chain: Chain([5; 16]) })),
        of(6, &extent::sample_header(owner(), 7)),
    ]
}
