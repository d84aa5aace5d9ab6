//! Tests of the layout section.

use super::*;
use limosa_core::LiveRef;
use limosa_core::columns::ColumnsBuilder;
use proptest::prelude::*;

fn columns(entries: &[EntryRef<'_>]) -> Columns {
    let mut builder = ColumnsBuilder::default();
    for entry in entries {
        builder.push(*entry);
    }
    builder.finish()
}

fn live(value: &[u8]) -> LiveRef<'_> {
    LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value }
}

fn round_trip(entries: &Columns, to: Version) -> Result<Columns, DecodeError> {
    let count = u32::try_from(entries.len()).expect("few");
    decode(&encode(entries, to), entries.value_bytes().clone(), count, to)
}

#[test]
fn every_shape_of_entry_comes_back() {
    let to = Version::new(3, 1000);
    let part = LiveRef { kind: Kind::PART, expiry: Expiry::at(1_790_000_000_123), value: b"abc" };
    let entries = columns(&[
        EntryRef { key: b"", version: to, live: Some(live(b"")) },
        EntryRef { key: b"a", version: Version::new(3, 990), live: Some(live(b"one")) },
        EntryRef { key: b"ab", version: Version::new(3, 990), live: Some(live(b"two")) },
        EntryRef { key: b"abc", version: Version::new(2, 77), live: None },
        EntryRef { key: b"abcd", version: Version::ZERO, live: None },
        EntryRef { key: b"b", version: Version::new(3, 1), live: Some(part) },
        EntryRef { key: b"ba", version: Version::new(4, u64::MAX), live: Some(LiveRef { expiry: Expiry::at(1), ..part }) },
        EntryRef { key: b"c", version: Version::new(u32::MAX, 0), live: Some(LiveRef { expiry: Expiry::at(u64::MAX), ..part }) },
    ]);
    assert_eq!(round_trip(&entries, to), Ok(entries));
}

#[test]
fn keys_of_the_same_value_length_and_version_cost_three_bytes_each() {
    let to = Version::new(1, 500);
    let keys: Vec<[u8; 4]> = (0..100u32).map(|i| (i * 0x0100_0001).to_be_bytes()).collect();
    let rows: Vec<_> = keys.iter().map(|key| EntryRef { key, version: to, live: Some(live(&[7; 90])) }).collect();
    let layout = encode(&columns(&rows), to);
    let keys_bytes = 4 * 100;
    assert!(layout.len() <= keys_bytes + 3 * 100 + 2, "{}", layout.len());
}

#[test]
fn prefixes_that_multiply_are_refused_before_they_are_written_out() {
    let count = 1000u32;
    let mut layout = vec![LIVE | SAME_LENGTH | SAME_VERSION; count as usize];
    let long = 100_000u64;
    varint::put(&mut layout, 0);
    (1..u64::from(count)).for_each(|i| varint::put(&mut layout, long + i - 1));
    varint::put(&mut layout, long);
    layout.extend(std::iter::repeat_n(1u8, count as usize - 1));
    layout.extend(std::iter::repeat_n(9u8, 100_000 + count as usize - 1));
    let result = decode(&layout, Bytes::new(), count, Version::ZERO);
    assert!(matches!(result, Err(DecodeError::TooLarge { field: "frame.keys", .. })), "{result:?}");
}

#[test]
fn a_layout_cut_anywhere_is_refused() {
    let to = Version::new(1, 9);
    let entries = columns(&[
        EntryRef { key: b"key", version: Version::new(1, 3), live: Some(LiveRef { kind: Kind::PART, expiry: Expiry::at(5), value: b"v" }) },
        EntryRef { key: b"kez", version: Version::new(1, 4), live: None },
    ]);
    let layout = encode(&entries, to);
    for end in 0..layout.len() {
        assert!(decode(&layout[..end], entries.value_bytes().clone(), 2, to).is_err(), "cut at {end}");
    }
    let longer = [&layout[..], &[0]].concat();
    assert!(decode(&longer, entries.value_bytes().clone(), 2, to).is_err());
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    for flags in [EXPIRES, KIND, SAME_LENGTH, SAME_VERSION | OTHER_EPOCH, 1 << 6, 1 << 7] {
        assert!(decode(&[flags, 0, 0, 0, 0, 0], Bytes::new(), 1, Version::ZERO).is_err(), "{flags:08b}");
    }
}

proptest! {
    #[test]
    fn hostile_layouts_never_panic(layout in proptest::collection::vec(prop_oneof![0u8..64, any::<u8>()], 0..120), count in 0u32..40) {
        let _ = decode(&layout, Bytes::from_static(b"0123456789"), count, Version::new(1, 100));
    }

    #[test]
    fn distances_survive_zigzag(distance in any::<u64>()) {
        prop_assert_eq!(unzigzag(zigzag(distance)), distance);
    }
}
