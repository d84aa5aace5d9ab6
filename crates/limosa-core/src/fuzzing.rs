//! What a decoder of foreign bytes shows to the fuzzers: one function, inputs to start from, and how much it may allocate.
//!
//! Each crate keeps its targets in a module of this name, beside decoders that are nobody else's business; `limosa-fuzz` runs all of them,
//! on stable as bounded tests and under cargo-fuzz without an end.

use crate::iblt::{Decoder, Encoder};
use crate::varint::Reader;
use crate::{Commit, EntryRef, Expiry, FragmentId, KeyRange, Kind, LiveRef, Part, RangeDelete, Version, key};

/// One decoder.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of its folder of kept inputs.
    pub name: &'static str,
    /// Decodes `bytes` and checks what must hold of the result. Panics where something does not.
    pub run: fn(&[u8]),
    /// Valid inputs, from which others are made.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// It may allocate so many bytes, whatever the input.
    pub bytes_base: u64,
    /// And so many for each byte of the input.
    pub bytes_per_byte: u64,
}

impl Target {
    /// A target that may allocate 64 KiB, and 256 bytes for each byte of input: what lists of small items grow to, counted each time that
    /// they double.
    pub const fn new(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Self {
        Self { name, run, seeds, bytes_base: 64 << 10, bytes_per_byte: 256 }
    }

    /// The same with another bound.
    #[must_use]
    pub const fn allowed(self, bytes_base: u64, bytes_per_byte: u64) -> Self {
        Self { bytes_base, bytes_per_byte, ..self }
    }
}

/// The decoders of this crate.
pub const TARGETS: &[Target] = &[
    Target::new("core_commit", commit, commits),
    Target::new("core_stored_key", stored_key, stored_keys),
    Target::new("core_symbols", symbols, encoded_symbols).allowed(256 << 10, 256),
];

fn commit(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let Ok(commit) = Commit::decode(&mut reader) else { return };
    let mut again = Vec::new();
    commit.encode(&mut again);
    assert_eq!(Commit::decode(&mut Reader::new(&again)), Ok(commit), "what was read is what is written");
}

fn commits() -> Vec<Vec<u8>> {
    let live = |value: &'static [u8], expiry| Some(LiveRef { kind: Kind::STRING, expiry, value });
    let version = Version::new(2, 300);
    let entries = vec![
        EntryRef { key: b"alpha", version, live: live(b"value", Expiry::NEVER) },
        EntryRef { key: b"beta", version, live: live(b"", Expiry::at(1_790_000_000_000)) },
        EntryRef { key: b"gone", version, live: None },
    ];
    let range = KeyRange::new(&b"c"[..], Some(bytes::Bytes::from_static(b"d")));
    let full = Part { fragment: FragmentId(7), version, range_deletes: vec![RangeDelete { range, version }], entries };
    let empty = Part { fragment: FragmentId(9), version: Version::new(1, 1), range_deletes: vec![], entries: vec![] };
    let encoded = |parts| {
        let mut out = Vec::new();
        Commit { stamp_ms: 1_790_000_000_123, parts }.encode(&mut out);
        out
    };
    vec![encoded(vec![]), encoded(vec![full.clone()]), encoded(vec![full, empty])]
}

fn stored_key(bytes: &[u8]) {
    let _ = key::slot(bytes);
    if let Some((user_key, None)) = key::parse(bytes) {
        assert_eq!(key::parse(&key::stored(&user_key)).map(|(parsed, _)| parsed), Some(user_key));
    }
}

fn stored_keys() -> Vec<Vec<u8>> {
    vec![key::stored(b""), key::stored(b"user:{42}:name"), key::stored(b"a\0b\0\0"), key::element(b"a\0b", key::TAG_PART, &[0; 16])]
}

/// first (1) | total (2) | symbols, against a set of eight.
fn symbols(bytes: &[u8]) {
    let Some((&[first, low, high], rest)) = bytes.split_first_chunk() else { return };
    let mut decoder = Decoder::new(1..=8, 7);
    if decoder.add_encoded(first.into(), u16::from_le_bytes([low, high]).into(), rest).is_ok_and(|finished| finished) {
        assert!(decoder.remote_only().len() as u64 <= decoder.received() * 8, "no more ids than symbols can name");
    }
}

fn encoded_symbols() -> Vec<Vec<u8>> {
    let of = |ids: std::ops::Range<u64>, count| {
        let total = u16::try_from(ids.end - ids.start).expect("small");
        let encoded = Encoder::new(ids, 7).encoded(count);
        [&[0], &total.to_le_bytes()[..], &encoded].concat()
    };
    vec![of(1..9, 8), of(3..14, 32), of(1000..1040, 96)]
}
